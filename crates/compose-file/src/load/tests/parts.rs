//! `extends` and `include`: parts of a project in other places.

use super::*;

#[test]
fn extends_from_here_and_elsewhere() {
    let files = [
        (
            "/p/compose.yaml",
            "services:\n  base: {image: x, environment: {A: 1, B: 1}}\n  a: {extends: base, environment: {B: 2}}\n  b: {extends: {service: web, file: lib/common.yaml}, command: c}\n",
        ),
        (
            "/p/lib/common.yaml",
            "services:\n  root: {image: y, volumes: ['./data:/d'], env_file: [e.env]}\n  web: {extends: root, ports: ['80']}\n",
        ),
        ("/p/lib/e.env", "FROM_LIB=1"),
    ];
    let loaded = ok(load_files(&files));
    let a = loaded.project.service("a").unwrap();
    assert_eq!(
        (a.environment["A"].as_deref(), a.environment["B"].as_deref()),
        (Some("1"), Some("2"))
    );
    let b = loaded.project.service("b").unwrap();
    assert_eq!((b.image.as_deref(), b.ports.len()), (Some("y"), 1));
    assert!(format!("{:?}", b.volumes).contains("/p/lib/data"));
    assert_eq!(b.environment["FROM_LIB"].as_deref(), Some("1"));
    assert!(loaded.project.service("root").is_none());
}

#[test]
fn extends_that_cannot_be() {
    let error = |files: &[(&str, &str)]| load_files(files).unwrap_err().to_string();
    assert!(
        error(&[(
            "/p/compose.yaml",
            "services: {web: {extends: bass}, base: {image: x}}"
        )])
        .contains("cannot extend service \"bass\": it is not in /p/compose.yaml\n")
    );
    assert!(
        error(&[(
            "/p/compose.yaml",
            "services: {web: {extends: bass}, base: {image: x}}"
        )])
        .contains("did you mean \"base\"?")
    );
    assert!(
        error(&[(
            "/p/compose.yaml",
            "services: {a: {extends: b}, b: {extends: c}, c: {extends: a}}"
        )])
        .contains("services extend each other in a circle: a -> b -> c -> a")
    );
    assert!(
        error(&[("/p/compose.yaml", "services: {a: {extends: a}}")]).contains("circle: a -> a")
    );
    let other = (
        "/p/o.yaml",
        "services: {b: {extends: {service: a, file: compose.yaml}}}",
    );
    assert!(
        error(&[
            (
                "/p/compose.yaml",
                "services: {a: {extends: {service: b, file: o.yaml}}}"
            ),
            other
        ])
        .contains("circle")
    );
    assert!(
        error(&[(
            "/p/compose.yaml",
            "services: {a: {extends: {service: b, file: none.yaml}}}"
        )])
        .starts_with(
            "/p/compose.yaml:1:25: services.a.extends: Compose file /p/none.yaml not found"
        )
    );
    let mut chain = String::from("services:\n  s0: {image: x}\n");
    for n in 1..200 {
        chain.push_str(&format!("  s{n}: {{extends: s{}}}\n", n - 1));
    }
    assert!(error(&[("/p/compose.yaml", &chain)]).contains("extend each other"));
}

#[test]
fn includes_bring_their_own_directory_and_variables() {
    let files = [
        (
            "/p/compose.yaml",
            "include: [db/compose.yaml, {path: [m/a.yaml, m/b.yaml], project_directory: root, env_file: m/vars}]\nservices: {a: {image: x, depends_on: [db]}, db: {labels: [local=1]}}",
        ),
        (
            "/p/db/compose.yaml",
            "name: ignored\nservices: {db: {image: \"pg:${PG}\", volumes: ['./data:/d', 'v:/v']}}\nvolumes: {v: }",
        ),
        ("/p/db/.env", "PG=15"),
        ("/p/m/a.yaml", "services: {m: {image: \"$WHO\", build: .}}"),
        ("/p/m/b.yaml", "services: {m: {command: c}}"),
        ("/p/m/vars", "WHO=mm"),
    ];
    let loaded = ok(load_files(&files));
    assert_eq!(image(&loaded, "db"), "pg:15");
    let db = loaded.project.service("db").unwrap();
    assert_eq!(db.labels["local"], "1");
    assert!(format!("{:?}", db.volumes).contains("/p/db/data"));
    assert_eq!(loaded.project.volumes["v"].name, "p_v");
    let m = loaded.project.service("m").unwrap();
    assert_eq!(
        (
            m.image.as_deref(),
            m.build.as_ref().unwrap().context.as_str()
        ),
        (Some("mm"), "/p/root")
    );
    assert_eq!(loaded.project.name, "p");
    assert_eq!(
        image(&ok(load_with(&with_env(&[("PG", "16")]), &files)), "db"),
        "pg:16"
    );
}

#[test]
fn included_services_can_be_extended() {
    let files = [
        (
            "/p/compose.yaml",
            "include: [i.yaml]\nservices: {a: {extends: base}}",
        ),
        ("/p/i.yaml", "services: {base: {image: x}}"),
    ];
    assert_eq!(image(&ok(load_files(&files)), "a"), "x");
}

#[test]
fn a_file_included_twice_counts_once() {
    let files = [
        (
            "/p/compose.yaml",
            "include: [b.yaml, c.yaml]\nservices: {a: {image: x}}",
        ),
        ("/p/b.yaml", "include: [d.yaml]\n"),
        ("/p/c.yaml", "include: [d.yaml]\n"),
        (
            "/p/d.yaml",
            "services: {d: {image: y, post_start: [{command: once}]}}",
        ),
    ];
    assert_eq!(
        ok(load_files(&files))
            .project
            .service("d")
            .unwrap()
            .post_start
            .len(),
        1
    );
}

#[test]
fn includes_that_cannot_be() {
    let error = |files: &[(&str, &str)]| load_files(files).unwrap_err().to_string();
    let circle = [
        ("/p/compose.yaml", "include: [b.yaml]"),
        ("/p/b.yaml", "include: [compose.yaml]"),
    ];
    assert!(error(&circle).contains(
        "files include each other in a circle: /p/compose.yaml -> /p/b.yaml -> /p/compose.yaml"
    ));
    assert!(error(&[("/p/compose.yaml", "include: [compose.yaml]")]).contains("circle"));
    assert!(
        error(&[("/p/compose.yaml", "include: [none.yaml]")])
            .starts_with("/p/compose.yaml:1:11: include[0]: Compose file /p/none.yaml not found")
    );
    let remote = error(&[("/p/compose.yaml", "include: ['https://a:b@x/y.git']")]);
    assert!(remote.contains("cannot fetch https://x/y.git"), "{remote}");
    assert!(error(&[("/p/compose.yaml", "include: [{env_file: x}]")]).contains("names no file"));
    let wide: Vec<(String, String)> = (0..12)
        .map(|n| {
            (
                format!("/p/i{n}.yaml"),
                format!("include: [i{0}.yaml, i{0}.yaml]", n + 1),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = wide.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    files.extend([
        ("/p/compose.yaml", "include: [i0.yaml]"),
        ("/p/i12.yaml", "services: {a: {image: x}}"),
    ]);
    assert!(error(&files).contains("more than 500 files are included"));
}
