//! What comes from elsewhere: build contexts, ADD and Compose files by git, from URLs, from a registry.

use std::fs;
use std::path::Path;
use testkit::git::{GitServer, git};
use testkit::{Host, Registry, eventually, kernel, requires, scenarios};

scenarios!(
    a_context_from_git,
    what_git_serves_cannot_leave_the_context,
    add_of_repositories_and_files,
    compose_builds_from_git,
    compose_files_from_git,
    a_project_is_published_and_comes_back,
    a_context_is_an_archive_or_a_dockerfile_at_a_url,
);

/// `x-access-token:sesame`, as a server sees it.
const SESAME: &str = "Basic eC1hY2Nlc3MtdG9rZW46c2VzYW1l";

fn a_context_from_git(host: &Host) {
    requires!(GitServer::installed(), "git http-backend");
    let server = GitServer::start(host, None);
    let url = server.repository(
        "app",
        &[
            ("Dockerfile", "FROM busybox\nCOPY . /src\n"),
            ("main", "one\n"),
            ("other/Dockerfile", "FROM busybox\nCOPY file /file\n"),
            ("other/file", "below\n"),
            (".dockerignore", "hidden\n"),
            ("hidden", "x"),
        ],
    );
    server.git("app", &["tag", "-a", "-m", "first", "v1"]);
    let first = server.git("app", &["rev-parse", "HEAD"]);
    // Enough versions of one file for git to send it as a delta.
    let long: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    server.commit(
        "app",
        &[
            ("long", &long),
            ("longer", &format!("{long}end\n")),
            ("main", "two\n"),
        ],
    );
    server.git("app", &["branch", "side/way"]);

    let cat = |image: &str, path: &str| host.docker(&format!("run --rm {image} cat {path}")).ok();
    host.docker(&format!("build -q -t head {url}")).ok();
    assert_eq!(cat("head", "/src/main"), "two");
    assert_eq!(cat("head", "/src/longer"), format!("{long}end"));
    let files = host.docker("run --rm head ls -A /src").ok();
    assert!(!files.contains(".git"), "{files}");
    host.docker("run --rm head ls /src/hidden").fails(1);
    for (reference, main) in [
        ("v1", "one"),
        (first.as_str(), "one"),
        ("side/way", "two"),
        ("refs/heads/main", "two"),
    ] {
        host.docker(&format!("build -q -t named {url}#{reference}"))
            .ok();
        assert_eq!(cat("named", "/src/main"), main, "{reference}");
    }
    host.docker(&format!("build -q -t below {url}#v1:other"))
        .ok();
    assert_eq!(cat("below", "/file"), "below");
    host.docker(&format!(
        "build -q -t file -f other/Dockerfile {url}#:other/.."
    ))
    .fails(1)
    .says(&["outside of the repository"]);
    host.docker(&format!(
        "build -q -t moved http://{}/moved/app.git",
        server.address
    ))
    .ok();
    assert_eq!(cat("moved", "/src/main"), "two");

    let fails = |address: &str, words: &[&str]| {
        host.docker(&format!("build {address}"))
            .fails(1)
            .says(words);
    };
    fails(
        &format!("{url}#nothing"),
        &["no branch, tag or commit \"nothing\""],
    );
    fails(&format!("{url}#{}", &first[..9]), &["all of its 40 digits"]);
    fails(&format!("{url}#v1:none"), &["no directory \"none\""]);
    fails(&format!("{url}?commit={first}&branch=main"), &["must be"]);
    fails(
        &format!("http://{}/none.git", server.address),
        &["answered 404"],
    );
    fails(
        &format!("http://{}/loop/app.git", server.address),
        &["without end"],
    );
    assert!(
        fs::read_dir(host.data_root().join("build"))
            .expect("a directory")
            .flatten()
            .all(|e| !e.file_name().to_string_lossy().starts_with("work-")),
        "nothing of the builds stays"
    );
}

fn what_git_serves_cannot_leave_the_context(host: &Host) {
    requires!(GitServer::installed(), "git http-backend");
    let server = GitServer::start(host, None);
    let url = server.repository(
        "evil",
        &[("Dockerfile", "FROM busybox\nCOPY etc/hostname /got\n")],
    );
    std::os::unix::fs::symlink("/etc", server.path("evil").join("etc")).expect("a link");
    server.commit("evil", &[]);
    host.docker(&format!("build {url}"))
        .fails(1)
        .says(&["not found"]);
    host.docker(&format!("build {url}#main:etc"))
        .fails(1)
        .says(&["no directory"]);

    // A tree that git itself would not make: `.git/config` and `..` as names, written as plain objects.
    let blob = server.git("evil", &["hash-object", "-w", "Dockerfile"]);
    for (name, words) in [
        ("..", "directory that is there"),
        (".git", "git's own directory"),
    ] {
        let tree = format!("100644 blob {blob}\t{name}\n");
        let made = host.folder("trees").join("tree");
        fs::write(&made, tree).expect("a file");
        let script = format!("git mktree --missing < {}", made.display());
        let tree = testkit::Call::tool(Path::new("sh"), "-c")
            .arg(&script)
            .dir(server.path("evil"))
            .ok()
            .trim()
            .to_owned();
        let commit = server.git("evil", &["commit-tree", "-m", "x", &tree]);
        server.git("evil", &["update-ref", "refs/heads/bad", &commit]);
        host.docker(&format!("build {url}#bad"))
            .fails(1)
            .says(&[words]);
    }
}

fn add_of_repositories_and_files(host: &Host) {
    requires!(GitServer::installed(), "git http-backend");
    let server = GitServer::start(host, Some(SESAME));
    let url = server.repository("lib", &[("a/b", "deep\n"), ("top", "top\n")]);
    let commit = server.git("lib", &["rev-parse", "HEAD"]);
    let sub = server.repository("app", &[("main", "main\n")]);
    server.git(
        "app",
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "add",
            "-q",
            &server.path("lib").display().to_string(),
            "vendor/lib",
        ],
    );
    server.git(
        "app",
        &[
            "config",
            "-f",
            ".gitmodules",
            "submodule.vendor/lib.url",
            "../lib.git",
        ],
    );
    server.commit("app", &[]);

    let project = host.compose_file("add", "");
    project.write("Dockerfile", &format!(
        "FROM busybox\nADD {url} /lib/\nADD --keep-git-dir --checksum={commit} {url}#main /kept\nADD {sub} /app\n\
         ADD {url}#:a /only/\nRUN cat /lib/top /lib/a/b /kept/top /app/main /app/vendor/lib/top /only/b && test ! -e /lib/.git\n"
    ));
    let build = |words: &str| host.docker(&format!("build {words} .")).dir(project.dir());
    build("").fails(1).says(&["401", "GIT_AUTH_TOKEN"]);
    let output = build("-t added --secret id=GIT_AUTH_TOKEN")
        .env("GIT_AUTH_TOKEN", "sesame")
        .run();
    assert_eq!(output.code, 0, "{output}");
    assert!(!output.all().contains("sesame"), "{output}");
    let again = build("-t added --secret id=GIT_AUTH_TOKEN")
        .env("GIT_AUTH_TOKEN", "sesame")
        .run();
    assert!(again.all().contains("CACHED"), "{again}");

    // The repository that was kept is one to git, and clean.
    let kept = host.folder("kept");
    host.docker("create --name added added").ok();
    host.docker("cp added:/kept").arg(&kept).ok();
    let kept = if kept.join("kept").exists() {
        kept.join("kept")
    } else {
        kept
    };
    assert_eq!(git(&kept, &["rev-parse", "HEAD"]), commit);
    assert_eq!(git(&kept, &["status", "--porcelain"]), "");
    git(&kept, &["fsck", "--strict"]);

    let wrong = "1".repeat(40);
    project.write(
        "Dockerfile",
        &format!("FROM busybox\nADD --checksum={wrong} {url} /x/\n"),
    );
    build("--secret id=GIT_AUTH_TOKEN")
        .env("GIT_AUTH_TOKEN", "sesame")
        .fails(1);
    project.write("Dockerfile", "FROM busybox\nADD --checksum=x . /x/\n");
    build("").fails(1).says(&["--checksum", "one source"]);
}

fn compose_builds_from_git(host: &Host) {
    requires!(GitServer::installed(), "git http-backend");
    let server = GitServer::start(host, None);
    let url = server.repository(
        "app",
        &[
            (
                "docker/My",
                "FROM busybox\nCOPY --from=lib top /top\nCOPY main /main\nCMD cat /top /main\n",
            ),
            ("main", "main\n"),
        ],
    );
    let lib = server.repository("lib", &[("top", "top\n")]);
    let project = host.compose_file("gitbuild", &format!(
        "services:\n  app:\n    build:\n      context: {url}#main\n      dockerfile: docker/My\n      additional_contexts:\n        lib: {lib}\n"
    ));
    project.compose("build -q").ok();
    assert!(project.compose("run --rm app").ok().contains("top\nmain"));
}

fn compose_files_from_git(host: &Host) {
    requires!(GitServer::installed(), "git http-backend");
    let server = GitServer::start(host, None);
    let url = server.repository(
        "Shop",
        &[
            ("compose.yaml", "services:\n  web:\n    image: busybox\n    env_file: web.env\n    volumes: ['./page:/page:ro']\n    command: cat /page\n"),
            ("web.env", "FROM_GIT=yes\n"),
            ("page", "first page\n"),
            ("parts/compose.yml", "services:\n  part:\n    image: busybox\n    command: echo part\n    environment: {A: '1'}\n"),
        ],
    );
    server.git("Shop", &["tag", "v1"]);
    server.commit("Shop", &[("page", "second page\n")]);
    let project = host.compose_file("local", &format!(
        "include: ['{url}#main:parts']\nservices:\n  own:\n    extends: {{file: '{url}@v1:parts/compose.yml', service: part}}\n    command: echo own\n"
    ));
    let remote = |reference: &str, words: &str| {
        host.docker(&format!("compose -f {url}{reference} {words}"))
            .dir(project.dir())
    };

    // The name is the repository's; its `.env`, env files and bind mounts are those of the checkout.
    remote("#v1", "up -d").ok();
    assert!(remote("#v1", "ps -a").ok().contains("shop-web-1"));
    eventually("the page is shown", || {
        let logs = remote("#v1", "logs --no-log-prefix web").ok();
        logs.contains("first page").then_some(())
    });
    let env = host.inspect("shop-web-1", "{{json .Config.Env}}");
    assert!(env.contains("FROM_GIT=yes"), "{env}");
    remote("", "up -d").ok();
    eventually("the page is shown", || {
        let logs = remote("", "logs --no-log-prefix web").ok();
        logs.contains("second page").then_some(())
    });
    // What a project is made from stays; once it is down, both commits go.
    let kept = || kernel::files_below(&host.data_root().join("remote/git"));
    assert!(host.docker("system df").ok().contains("Fetched Projects"));
    remote("", "run -d web sleep 1000").ok();
    host.docker("system prune -f").ok();
    assert!(!kept().is_empty());
    remote("", "down").ok();
    let pruned = host.docker("system prune -f").ok();
    assert!(
        pruned.contains("Deleted Fetched Projects:\ngit/"),
        "{pruned}"
    );
    assert!(kept().is_empty(), "{:?}", kept());
    assert!(!host.docker("system df").ok().contains("Fetched Projects"));
    assert_eq!(
        remote("#main:parts", "config --services").ok().trim(),
        "part"
    );

    // A commit that is here is not fetched again.
    remote("#v1", "config -q").ok();
    let before = server.seen().len();
    let commit = server.git("Shop", &["rev-parse", "v1"]);
    remote(&format!("#{commit}"), "config -q").ok();
    assert_eq!(server.seen().len(), before, "{:?}", server.seen());

    assert_eq!(project.compose("config --services").ok().lines().count(), 2);
    let run = project.compose("run --rm own").ok();
    assert!(run.contains("own"), "{run}");
    remote("#none", "config")
        .fails(1)
        .says(&["cannot fetch", "\"none\""]);
    remote("#main:page/none", "config")
        .fails(1)
        .says(&["no file page/none"]);
    remote("", "config")
        .env("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "false")
        .fails(1)
        .says(&["switched off by COMPOSE_EXPERIMENTAL_GIT_REMOTE"]);

    // A link in the repository leads nowhere on this host.
    std::os::unix::fs::symlink("/etc/hostname", server.path("Shop").join("link.yaml"))
        .expect("a link");
    server.commit("Shop", &[]);
    remote("#main:link.yaml", "config")
        .fails(1)
        .says(&["no file link.yaml"]);
}

fn a_project_is_published_and_comes_back(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5057);
    let at = format!("{}/apps/shop:1", registry.address);
    let project = host.compose_file(
        "publish",
        "services:\n  web: # what is said stays\n    image: busybox\n    env_file: secret/web.env\n    command: env\n\
         \x20   extends: {file: base.yaml, service: base}\n    volumes: ['/srv/data:/data']\n    environment: {PASSWORD: hunter2}\n",
    );
    project.write("secret/web.env", "COLOUR=green\n");
    project.write(
        "base.yaml",
        "services:\n  base:\n    image: busybox\n    environment: {BASE: 'yes'}\n",
    );

    let refused = project.compose(&format!("publish {at}")).fails(1);
    refused.says(&["/srv/data:/data", "nothing was published", "-y"]);
    host.docker(&format!("compose -f oci://{at} config"))
        .fails(1)
        .says(&["cannot fetch"]);
    project
        .compose(&format!("publish --oci-version 2 {at}"))
        .fails(1)
        .says(&["1.0 or 1.1"]);
    host.docker("pull busybox").ok();
    for version in [
        "",
        "--oci-version 1.0",
        "--oci-version 1.1 --resolve-image-digests",
    ] {
        project
            .compose(&format!("publish -y --with-env {version} {at}"))
            .ok();
        let config = host.docker(&format!("compose -f oci://{at} config")).ok();
        for word in [
            "name: shop",
            "COLOUR: green",
            "BASE: \"yes\"",
            "PASSWORD: hunter2",
        ] {
            assert!(config.contains(word), "{word}: {config}");
        }
        assert_eq!(
            config.contains("busybox@sha256:"),
            version.contains("digests"),
            "{config}"
        );
    }
    // No path of this host is told to others.
    let manifest =
        testkit::http::get(&registry.address, "/v2/apps/shop/manifests/1").expect("an answer");
    assert!(!manifest.body.contains("secret/"), "{}", manifest.body);

    let over = host.compose_file(
        "over",
        &format!("include: ['oci://{at}']\nservices:\n  other: {{image: busybox}}\n"),
    );
    assert_eq!(over.compose("config --services").ok().lines().count(), 2);
    over.compose("config")
        .env("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "0")
        .fails(1)
        .says(&["switched off"]);
    let image = format!("{}/plain:1", registry.address);
    host.docker("pull busybox").ok();
    host.docker(&format!("tag busybox {image}")).ok();
    host.docker(&format!("push {image}")).ok();
    host.docker(&format!("compose -f oci://{image} config"))
        .fails(1)
        .says(&["no artifact of type"]);

    project.write("compose.yaml", "include: [base.yaml]\nservices: {}\n");
    project
        .compose(&format!("publish -y {at}"))
        .fails(1)
        .says(&["local includes"]);
    project.write("compose.yaml", "services: {a: {build: .}}\n");
    project
        .compose(&format!("publish -y {at}"))
        .fails(1)
        .says(&["only contains a build section"]);
}

fn a_context_is_an_archive_or_a_dockerfile_at_a_url(host: &Host) {
    requires!(GitServer::installed(), "git http-backend");
    // Plain files are served by the backend too, from within a repository's directory.
    let server = GitServer::start(host, None);
    let project = host.compose_file("url", "");
    project.write("Dockerfile", "FROM busybox\nCOPY file /file\n");
    project.write("file", "in the archive\n");
    let files = server.files();
    kernel::tool_ok(&format!(
        "tar -C {} -czf {}/ctx.tar.gz Dockerfile file",
        project.dir().display(),
        files.display()
    ));
    fs::write(
        files.join("alone"),
        "FROM busybox\nRUN echo alone > /file\n",
    )
    .expect("a file");
    let at = format!("http://{}/files", server.address);
    for (name, words) in [("ctx.tar.gz", "in the archive"), ("alone", "alone")] {
        host.docker(&format!("build -q -t fromurl {at}/{name}"))
            .ok();
        assert_eq!(host.docker("run --rm fromurl cat /file").ok(), words);
    }
    let archive = fs::read(files.join("ctx.tar.gz")).expect("the archive");
    host.docker("build -q -t fromstdin -").stdin(archive).ok();
    assert_eq!(
        host.docker("run --rm fromstdin cat /file").ok(),
        "in the archive"
    );
    host.docker(&format!("build {at}/none"))
        .fails(1)
        .says(&["answered 404"]);

    let sum = kernel::tool_ok(&format!("sha256sum {}/alone", files.display()));
    let sum = sum.split(' ').next().expect("a sum");
    project.write("Dockerfile", &format!(
        "FROM busybox\nADD --checksum=sha256:{sum} {at}/alone /plain\nADD {at}/ctx.tar.gz /kept/\nADD --unpack=true {at}/ctx.tar.gz /unpacked/\n\
         RUN test -f /kept/ctx.tar.gz && test -f /unpacked/file && stat -c %a /plain > /mode\n"
    ));
    host.docker("build -q -t added .").dir(project.dir()).ok();
    assert_eq!(host.docker("run --rm added cat /mode").ok(), "600");
    project.write(
        "Dockerfile",
        &format!(
            "FROM busybox\nADD --checksum=sha256:{} {at}/alone /x\n",
            "0".repeat(64)
        ),
    );
    host.docker("build .")
        .dir(project.dir())
        .fails(1)
        .says(&["has the digest", sum]);
}
