mod examples;
mod hostile;

mod parts;

use crate::testing::{load_files, load_text, load_with, messages, options};
use crate::{LoadError, Loaded, MemoryFiles, Options};
use std::path::Path;

fn ok(result: Result<Loaded, LoadError>) -> Loaded {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn image(loaded: &Loaded, service: &str) -> String {
    loaded
        .project
        .service(service)
        .unwrap()
        .image
        .clone()
        .unwrap_or_default()
}

fn with_env(pairs: &[(&str, &str)]) -> Options {
    Options {
        environment: pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ..options()
    }
}

#[test]
fn an_obsolete_version_is_one_warning_whatever_it_says() {
    for version in ["'3'", "3.8", "'2.4'", "\"9.99\"", "latest", "[1]"] {
        let loaded = ok(load_text(&format!(
            "version: {version}\nservices: {{a: {{image: x}}}}"
        )));
        assert_eq!(
            messages(&loaded.warnings),
            [
                "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion"
            ]
        );
    }
    let two = [
        ("/p/compose.yaml", "version: '3'\nservices: {a: {image: x}}"),
        ("/p/compose.override.yaml", "version: '3'\nservices: {}"),
    ];
    assert_eq!(ok(load_files(&two)).warnings.len(), 1);
    let mixed =
        "version: '2.4'\nservices: {a: {image: x, mem_limit: 1g, deploy: {replicas: 2}, cpus: 1}}";
    assert_eq!(ok(load_text(mixed)).project.services[0].replicas(), 2);
}

#[test]
fn version_one_files_are_read() {
    let loaded = ok(load_text(
        "web:\n  image: nginx\n  links: [db]\ndb:\n  image: postgres\n",
    ));
    assert_eq!(loaded.project.service("web").unwrap().depends_on.len(), 1);
    assert!(loaded.warnings[0].message.contains("version 1"));
}

#[test]
fn names_and_the_default_network() {
    let loaded = ok(load_text(
        "services: {a: {image: x, volumes: ['v:/v']}, b: {image: y, network_mode: host}}\nvolumes: {v: , w: {name: own}, e: {external: true}}\nnetworks: {unused: }",
    ));
    let project = &loaded.project;
    assert_eq!(project.name, "p");
    assert_eq!(project.networks["default"].spec.name, "p_default");
    assert_eq!(
        (
            project.volumes["v"].name.as_str(),
            project.volumes["w"].name.as_str(),
            project.volumes["e"].name.as_str()
        ),
        ("p_v", "own", "e")
    );
    let none = ok(load_text("services: {b: {image: y, network_mode: none}}"));
    assert!(none.project.networks.is_empty());
}

#[test]
fn builds_get_their_defaults() {
    let loaded = ok(load_files(&[(
        "/p/docker/compose.yml",
        "services: {a: {build: ../}, b: {build: {dockerfile_inline: FROM x}}}",
    )])
    .or_else(|_| {
        load_with(
            &Options {
                current_dir: "/p/docker".into(),
                ..options()
            },
            &[(
                "/p/docker/compose.yml",
                "services: {a: {build: ../}, b: {build: {dockerfile_inline: FROM x}}}",
            )],
        )
    }));
    let build = |name: &str| loaded.project.service(name).unwrap().build.clone().unwrap();
    assert_eq!(
        (
            build("a").context.as_str(),
            build("a").dockerfile.as_deref()
        ),
        ("/p", Some("Dockerfile"))
    );
    assert_eq!(
        (build("b").context.as_str(), build("b").dockerfile),
        ("/p/docker", None)
    );
    assert_eq!(
        loaded.project.service("a").unwrap().image_name("docker"),
        "docker-a"
    );
}

#[test]
fn variables_from_the_process_the_env_file_and_the_project() {
    let files = [
        (
            "/p/compose.yaml",
            "name: n-${WHERE}\nservices: {a: {image: \"$IMG:${TAG:-1}\", labels: {p: $COMPOSE_PROJECT_NAME}}}",
        ),
        ("/p/.env", "IMG=redis\nTAG=7\nWHERE=here\n"),
    ];
    let loaded = ok(load_files(&files));
    assert_eq!(image(&loaded, "a"), "redis:7");
    assert_eq!(loaded.project.name, "n-here");
    assert_eq!(loaded.project.services[0].labels["p"], "n-here");
    assert_eq!(
        image(&ok(load_with(&with_env(&[("TAG", "8")]), &files)), "a"),
        "redis:8"
    );
    let mut options = with_env(&[]);
    options.env_files = vec!["other.env".into()];
    let files = [files[0], files[1], ("/p/other.env", "IMG=x\nWHERE=there")];
    assert_eq!(image(&ok(load_with(&options, &files)), "a"), "x:1");
}

#[test]
fn an_unset_variable_warns_and_a_required_one_fails() {
    let loaded = ok(load_text("services: {a: {image: x, command: [$NOPE]}}"));
    assert_eq!(
        messages(&loaded.warnings),
        ["The \"NOPE\" variable is not set. Defaulting to a blank string."]
    );
    let error = load_text("services:\n  a:\n    image: \"x:${TAG:?tell me}\"\n")
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "/p/compose.yaml:3:12: services.a.image: required variable TAG is missing a value: tell me\n  3 |     image: \"x:${TAG:?tell me}\"\n    |            ^\n  Hint: set it in the environment or in the .env file: TAG=…"
    );
}

#[test]
fn a_quoted_variable_becomes_what_the_key_wants() {
    let loaded = ok(load_with(
        &with_env(&[("N", "3"), ("T", "true"), ("M", "1g"), ("P", "8080")]),
        &[(
            "/p/compose.yaml",
            "services: {a: {image: x, scale: $N, tty: '$T', mem_limit: \"${M}\", ports: ['$P:80'], deploy: {resources: {limits: {cpus: \"$N\"}}}}}",
        )],
    ));
    let service = &loaded.project.services[0];
    assert_eq!(
        (service.scale, service.tty, service.limits.memory),
        (Some(3), true, Some(1 << 30))
    );
    assert_eq!(service.ports[0].binding.to_string(), "8080:80/tcp");
}

#[test]
fn the_environment_of_containers() {
    let files = [
        (
            "/p/compose.yaml",
            "services: {a: {image: x, env_file: [a.env, {path: none.env, required: false}, {path: raw.env, format: raw}], environment: {B: own, FROM: , GONE: }}}",
        ),
        ("/p/a.env", "A=1\nB=file\nC=${OUTER}-$A\n"),
        ("/p/raw.env", "R='$A'\n"),
    ];
    let loaded = ok(load_with(
        &with_env(&[("OUTER", "o"), ("FROM", "process")]),
        &files,
    ));
    let shown: Vec<_> = loaded.project.services[0]
        .environment
        .iter()
        .map(|(k, v)| format!("{k}={}", v.as_deref().unwrap_or("~")))
        .collect();
    assert_eq!(
        shown,
        ["A=1", "B=own", "C=o-1", "FROM=process", "GONE=~", "R='$A'"]
    );
    let missing = load_text("services:\n  a:\n    image: x\n    env_file: none.env\n")
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with(
            "/p/compose.yaml:4:15: services.a.env_file[0]: env file /p/none.env not found"
        ),
        "{missing}"
    );
    let broken = load_files(&[
        ("/p/compose.yaml", "services: {a: {image: x, env_file: b}}"),
        ("/p/b", "X=1\nY='\n"),
    ])
    .unwrap_err()
    .to_string();
    assert!(
        broken.starts_with("/p/b:2:1: unterminated quoted value"),
        "{broken}"
    );
}

#[test]
fn label_files() {
    let loaded = ok(load_files(&[
        (
            "/p/compose.yaml",
            "services: {a: {image: x, label_file: l, labels: [b=own]}}",
        ),
        ("/p/l", "a=1\nb=2\n"),
    ]));
    let labels = &loaded.project.services[0].labels;
    assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("1", "own"));
}

#[test]
fn several_files_merge_in_order() {
    let files = [
        (
            "/p/compose.yaml",
            "services: {a: {image: x, ports: ['80:80'], volumes: ['./a:/a']}}",
        ),
        (
            "/q/over.yaml",
            "services: {a: {image: y, volumes: ['./b:/b']}, b: {image: z}}",
        ),
    ];
    let loaded = ok(load_with(
        &Options {
            files: vec!["compose.yaml".into(), "/q/over.yaml".into()],
            ..options()
        },
        &files,
    ));
    assert_eq!(image(&loaded, "a"), "y");
    let sources = format!("{:?}", loaded.project.service("a").unwrap().volumes);
    assert!(
        sources.contains("/p/a") && sources.contains("/p/b"),
        "{sources}"
    );
}

#[test]
fn several_documents_of_one_file_merge() {
    let loaded = ok(load_text(
        "services: {a: {image: x}}\n---\nservices: {a: {image: y}}\n",
    ));
    assert_eq!(image(&loaded, "a"), "y");
}

#[test]
fn standard_input_is_a_file() {
    let files = MemoryFiles {
        stdin: b"services: {a: {image: x, build: .}}".to_vec(),
        ..MemoryFiles::default()
    };
    let loaded = ok(crate::load(
        &Options {
            files: vec!["-".into()],
            ..options()
        },
        &files,
    ));
    assert_eq!(
        loaded.project.services[0].build.as_ref().unwrap().context,
        "/p"
    );
}

#[test]
fn profiles() {
    let text = "services: {a: {image: x}, b: {image: x, profiles: [debug]}, c: {image: x, profiles: [other]}}";
    let names = |profiles: &[&str], services: &[&str], env: &[(&str, &str)]| {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let options = Options {
            profiles: owned(profiles),
            services: owned(services),
            ..with_env(env)
        };
        let loaded = ok(load_with(&options, &[("/p/compose.yaml", text)]));
        loaded.project.service_names().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&[], &[], &[]), "a");
    assert_eq!(names(&["debug"], &[], &[]), "a b");
    assert_eq!(names(&["*"], &[], &[]), "a b c");
    assert_eq!(names(&[], &["c"], &[]), "a c");
    assert_eq!(
        names(&[], &[], &[("COMPOSE_PROFILES", "debug,other")]),
        "a b c"
    );
    let error =
        load_text("services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [debug]}}")
            .unwrap_err()
            .to_string();
    assert!(
        error.contains("service \"a\" depends on \"b\", whose profile is not active"),
        "{error}"
    );
    assert!(error.contains("--profile debug"), "{error}");
    let optional = ok(load_text(
        "services: {a: {image: x, depends_on: {b: {condition: service_started, required: false}}}, b: {image: x, profiles: [debug]}}",
    ));
    assert!(optional.project.services[0].depends_on.is_empty());
}

#[test]
fn anchors_and_extensions_make_fragments() {
    let loaded = ok(load_text(
        "x-env: &env {A: 1, B: 2}\nx-base: &base\n  image: x\n  environment: {<<: *env, B: 3}\nservices:\n  a: *base\n  b:\n    <<: *base\n    image: y\n",
    ));
    assert_eq!(image(&loaded, "b"), "y");
    assert_eq!(
        loaded.project.service("a").unwrap().environment["B"].as_deref(),
        Some("3")
    );
    assert_eq!(loaded.project.extensions["x-env"]["A"], 1);
}

#[test]
fn no_file_and_empty_files() {
    assert!(
        load_files(&[])
            .unwrap_err()
            .to_string()
            .starts_with("no configuration file provided: not found")
    );
    assert!(
        load_text("")
            .unwrap_err()
            .to_string()
            .starts_with("/p/compose.yaml: empty compose file")
    );
    assert!(
        load_text("# only a comment\n")
            .unwrap_err()
            .to_string()
            .contains("empty compose file")
    );
    let error = load_with(
        &Options {
            files: vec!["x.yml".into()],
            ..options()
        },
        &[],
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("Compose file /p/x.yml not found"), "{error}");
    assert!(ok(load_text("name: n")).project.services.is_empty());
}

#[test]
fn later_phases_find_places() {
    let project = ok(load_text(
        "services:\n  web:\n    image: nginx\n    ports:\n      - \"80:80\"\n",
    ))
    .project;
    let error = project
        .error_at("services.web.ports[0]", "port is taken")
        .with_hint("use another")
        .render();
    assert_eq!(
        error,
        "/p/compose.yaml:5:9: services.web.ports[0]: port is taken\n  5 |       - \"80:80\"\n    |         ^\n  Hint: use another"
    );
    assert!(
        project
            .error_at("services.web.networks.default", "x")
            .render()
            .starts_with("/p/compose.yaml:2:3: ")
    );
}

#[test]
fn services_come_in_dependency_order() {
    let project = ok(load_text("services: {a: {image: x, depends_on: [b, c]}, b: {image: x, depends_on: [c]}, c: {image: x}}")).project;
    let order: Vec<_> = project
        .in_dependency_order()
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(order, ["c", "b", "a"]);
}

#[test]
fn switches_of_config() {
    let text =
        "services: {a: {image: \"x:$TAG\", ports: ['$P:80'], volumes: ['./a:/a'], env_file: none}}";
    let files = MemoryFiles::new([("/p/compose.yaml", text)]);
    let options = Options {
        interpolate: false,
        resolve_paths: false,
        ..options()
    };
    let (tree, warnings) = crate::load_tree(&options, &files).unwrap();
    assert_eq!(tree["services"]["a"]["image"], "x:$TAG");
    assert_eq!(tree["services"]["a"]["ports"][0], "$P:80");
    assert_eq!(tree["services"]["a"]["volumes"][0]["source"], "./a");
    assert!(warnings.is_empty());
    let unresolved = Options {
        resolve_environment: false,
        normalize: false,
        ..self::options()
    };
    let loaded = ok(load_with(
        &unresolved,
        &[(
            "/p/compose.yaml",
            "services: {a: {image: x, env_file: none, networks: [default]}}",
        )],
    )
    .or_else(|_| {
        load_with(
            &Options {
                check_consistency: false,
                ..unresolved.clone()
            },
            &[(
                "/p/compose.yaml",
                "services: {a: {image: x, env_file: none}}",
            )],
        )
    }));
    assert!(loaded.project.networks.is_empty());
    let names: Vec<_> = crate::variables(&self::options(), &files)
        .unwrap()
        .into_iter()
        .map(|v| v.name)
        .collect();
    assert_eq!(names, ["P", "TAG"]);
}

#[test]
fn an_env_file_may_be_missing_where_nobody_needs_it() {
    let text =
        "services: {a: {image: x, depends_on: [b]}, b: {image: x}, c: {image: x, env_file: none}}";
    let with = |services: &[&str], needs_environment| {
        let options = Options {
            services: services.iter().map(|s| (*s).to_owned()).collect(),
            needs_environment,
            ..options()
        };
        load_with(&options, &[("/p/compose.yaml", text)])
    };
    assert!(with(&["a"], true).is_ok());
    assert!(with(&[], false).is_ok());
    let none: &[&str] = &[];
    for services in [none, &["c"]] {
        let error = with(services, true).unwrap_err();
        assert!(format!("{error:?}").contains("not found"), "{error:?}");
    }
}

#[test]
fn a_variable_that_only_an_env_file_sets_is_explained() {
    let files = [
        (
            "/p/compose.yaml",
            "services: {a: {image: \"x:$TAG\", env_file: a.env}}",
        ),
        ("/p/a.env", "TAG=1"),
    ];
    let warnings = ok(load_files(&files)).warnings;
    let hint = warnings[0].hint.as_deref().unwrap();
    assert!(
        hint.starts_with("/p/a.env sets TAG, but an env_file only reaches the container"),
        "{hint}"
    );
}

#[test]
fn lines_may_end_as_on_windows() {
    let loaded = ok(load_text(
        "services:\r\n  a:\r\n    image: x\r\n    command: |\r\n      echo\r\n",
    ));
    assert_eq!(image(&loaded, "a"), "x");
    let error = load_text("services:\r\n  a:\r\n    imag: x\r\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("  3 |     imag: x\n"), "{error:?}");
}

/// Files, one of which is elsewhere.
struct Elsewhere(MemoryFiles);

impl crate::Files for Elsewhere {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.0.is_dir(path)
    }

    fn read_stdin(&self) -> std::io::Result<Vec<u8>> {
        self.0.read_stdin()
    }

    fn fetch(&self, address: &str) -> Result<crate::Fetched, String> {
        match address {
            "oci://r/shop" => Ok(crate::Fetched {
                file: "/kept/abc/compose.yaml".into(),
                name: "Shop".into(),
            }),
            _ => Err("nobody answers".into()),
        }
    }
}

#[test]
fn files_elsewhere_are_read_where_they_were_brought() {
    let files = Elsewhere(MemoryFiles::new([
        (
            "/kept/abc/compose.yaml",
            "services: {a: {image: x, env_file: e}}",
        ),
        ("/kept/abc/e", "K=v"),
        ("/p/include.yaml", "include: ['oci://r/shop']"),
        (
            "/p/extends.yaml",
            "services: {b: {extends: {file: 'oci://r/shop', service: a}}}",
        ),
    ]));
    let load = |file: &str| {
        let options = Options {
            files: vec![file.into()],
            ..options()
        };
        crate::load(&options, &files).map_err(|error| error.to_string())
    };
    let main = load("oci://r/shop").unwrap().project;
    assert_eq!(
        (main.name.as_str(), main.working_dir.as_path()),
        ("shop", Path::new("/kept/abc"))
    );
    for file in ["include.yaml", "extends.yaml"] {
        let project = load(file).unwrap().project;
        assert_eq!(project.name, "p", "{file}");
        assert_eq!(
            project.services[0].environment["K"].as_deref(),
            Some("v"),
            "{file}"
        );
    }
    let error = load("oci://u:secret@r/none").unwrap_err();
    assert!(
        error.contains("oci://r/none") && error.contains("nobody answers"),
        "{error}"
    );
}
