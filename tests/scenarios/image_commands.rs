//! What people and scripts see of images: no more words than there is news, nothing guessed, nothing overwritten.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::{fs, thread};
use testkit::{Host, Registry, kernel, requires, scenarios};

scenarios!(
    nothing_new_is_not_told_as_news,
    the_result_stands_below_the_bars,
    a_name_by_digest_is_no_second_row,
    save_takes_a_repository_or_a_platform,
    save_leaves_pipes_and_links_what_they_are,
    filters_that_make_no_sense_list_nothing,
    login_tries_the_account_it_has,
    import_takes_a_url,
    a_manifest_of_an_insecure_registry,
    templates_find_what_an_image_leaves_out,
    info_tells_the_host_s_mirrors,
);

fn nothing_new_is_not_told_as_news(host: &Host) {
    let first = host.docker("pull busybox").ok();
    assert!(first.contains("Pulling fs layer"), "{first}");
    let again = host.docker("pull busybox").ok();
    assert!(again.contains("Status: Image is up to date"), "{again}");
    assert!(!again.contains("layer"), "{again}");
    let file = host.folder("archives").join("busybox.tar");
    host.docker("save busybox -o").arg(&file).ok();
    host.docker("rmi busybox").ok();
    // Scripts take the name from there.
    let loaded = host.docker("load -i").arg(&file).ok();
    assert_eq!(loaded.trim(), "Loaded image: busybox:latest");
    host.docker("pull scratch")
        .fails(1)
        .says(&["'scratch' is a reserved name"]);
    let other = host.docker("pull --platform linux/arm64 busybox").run();
    other.says(&["WARNING", "linux/amd64", "linux/arm64"]);
    host.docker("save --platform linux/arm64 busybox")
        .fails(1)
        .says(&["linux/arm64", "linux/amd64"]);
}

fn the_result_stands_below_the_bars(host: &Host) {
    let (_, said) = host.on_a_terminal("pull busybox").start().end();
    let last = |words: &str| {
        said.rfind(words)
            .unwrap_or_else(|| panic!("{words}: {said:?}"))
    };
    assert!(last("Pull complete") < last("Digest: "), "{said:?}");
    assert!(last("Digest: ") < last("Status: "), "{said:?}");
}

fn a_name_by_digest_is_no_second_row(host: &Host) {
    host.docker("pull busybox").ok();
    let digest = host.inspect("busybox", "{{index .RepoDigests 0}}");
    host.docker("pull").arg(&digest).ok();
    assert_eq!(host.docker("images").ok().lines().count(), 2);
    host.docker("rmi busybox:latest").ok();
    let left = host
        .docker("images --format '{{.Repository}} {{.Tag}}'")
        .ok();
    assert_eq!(left.trim(), "busybox <none>");
}

fn save_takes_a_repository_or_a_platform(host: &Host) {
    host.docker("pull busybox").ok();
    for tag in ["1", "2"] {
        host.docker(&format!("tag busybox team/app:{tag}")).ok();
    }
    let dir = host.folder("archives");
    let manifest = |words: &str| {
        let file = dir.join("saved.tar");
        host.docker(&format!("save {words} -o")).arg(&file).ok();
        kernel::tool_ok(&format!("tar xOf {} manifest.json", file.display()))
    };
    let both = manifest("team/app");
    assert!(
        both.contains("team/app:1") && both.contains("team/app:2"),
        "{both}"
    );
    let one = manifest("--platform linux/amd64 team/app:1");
    assert!(
        one.contains("team/app:1") && !one.contains("team/app:2"),
        "{one}"
    );
    let file = dir.join("saved.tar").display().to_string();
    host.docker(&format!("load --platform linux/s390x -i {file}"))
        .fails(1)
        .says(&["linux/s390x"]);
}

fn save_leaves_pipes_and_links_what_they_are(host: &Host) {
    host.docker("pull busybox").ok();
    let dir = host.folder("out");
    let (pipe, file, link) = (dir.join("pipe"), dir.join("file"), dir.join("link"));
    kernel::tool_ok(&format!("mkfifo {}", pipe.display()));
    let reader = pipe.clone();
    let reading = thread::spawn(move || fs::read(reader).expect("the archive").len());
    host.docker("save busybox -o").arg(&pipe).ok();
    assert!(fs::metadata(&pipe).expect("the pipe").file_type().is_fifo());
    assert!(reading.join().expect("a reader") > 100_000);
    fs::write(&file, "before").expect("a file");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    host.docker("save busybox -o").arg(&link).ok();
    assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
    assert!(fs::metadata(&file).expect("the file").len() > 100_000);
    host.docker("save busybox -o")
        .arg(&dir)
        .fails(1)
        .says(&["is a directory"]);
}

fn filters_that_make_no_sense_list_nothing(host: &Host) {
    host.docker("pull busybox").ok();
    for (words, code) in [
        ("images -q --filter dangling=maybe", 1),
        ("images -q --filter until=soon", 1),
        ("images -q --filter reference", 125),
        ("image prune -f --filter until=soon", 1),
        ("search --filter stars=many busybox", 1),
        ("search --limit 101 busybox", 1),
    ] {
        let seen = host.docker(words).fails(code);
        assert_eq!(seen.stdout, "", "{seen}");
    }
    host.docker("images --format '{{.Name}}'")
        .fails(1)
        .says(&["Repository, Tag"]);
    host.docker("image frob").fails(1).says(&["image --help"]);
}

fn login_tries_the_account_it_has(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::with_password(host, 5058, "ann", "s3cret");
    let at = &registry.address;
    let config = host.folder("docker-config");
    let docker = |words: &str| host.docker(words).env("DOCKER_CONFIG", &config);
    docker(&format!("login {at}")).fails(1).says(&["non TTY"]);
    docker(&format!("login -u ann --password-stdin {at}"))
        .stdin("s3cret\n")
        .ok();
    let again = docker(&format!("login {at}")).ok();
    assert!(again.contains("[Username: ann]"), "{again}");
    assert!(again.contains("Login Succeeded"), "{again}");
    let file = config.join("config.json");
    let text = fs::read_to_string(&file).expect("config.json");
    // ann:wrong
    fs::write(&file, text.replace("YW5uOnMzY3JldA==", "YW5uOndyb25n")).expect("config.json");
    let refused = docker(&format!("login {at}")).fails(1);
    refused.says(&["unauthorized", at]);
}

/// Serves one file to everybody until the process ends.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let got = client.read(&mut asked).unwrap_or(0);
            let there = asked[..got].starts_with(b"GET /rootfs.tar ");
            let status = if there { "200 OK" } else { "404 Not Found" };
            let length = bytes.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = client.write_all(head.as_bytes());
            let _ = client.write_all(&bytes);
        }
    });
    address
}

fn import_takes_a_url(host: &Host) {
    host.docker("create --name box busybox").ok();
    let file = host.folder("archives").join("box.tar");
    host.docker("export box -o").arg(&file).ok();
    let at = serve(fs::read(&file).expect("the archive"));
    let made = host
        .docker(&format!(
            "import -c 'CMD [\"sh\"]' http://{at}/rootfs.tar flat:1"
        ))
        .run();
    assert_eq!(made.code, 0, "{made}");
    assert!(made.stdout.trim().starts_with("sha256:"), "{made}");
    assert!(made.stderr.contains(&at), "{made}");
    assert_eq!(host.docker("run --rm flat:1 echo runs").ok(), "runs");
    host.docker(&format!("import http://{at}/nothing.tar"))
        .fails(1)
        .says(&["/nothing.tar", "404"]);
}

fn a_manifest_of_an_insecure_registry(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::start(host, 5059);
    let at = &registry.address;
    host.docker("pull busybox").ok();
    for tag in ["amd64", "list"] {
        host.docker(&format!("tag busybox {at}/app:{tag}")).ok();
    }
    host.docker(&format!("push -q {at}/app:amd64")).ok();
    for words in [
        "create --insecure {at}/app:list {at}/app:amd64",
        "push --insecure {at}/app:list",
        "inspect --insecure {at}/app:list",
    ] {
        let words = words.replace("{at}", at);
        host.docker(&format!("manifest {words}")).ok();
    }
}

fn templates_find_what_an_image_leaves_out(host: &Host) {
    host.docker("pull busybox").ok();
    let shown = host.inspect(
        "busybox",
        "{{.Config.ExposedPorts}}|{{.Config.StopSignal}}|{{.Config.Hostname}}|{{.Config.Tty}}",
    );
    assert_eq!(shown, "map[]|||false");
    let history = host.docker("history -H=false busybox").ok();
    assert!(
        history.starts_with("IMAGE          CREATED AT"),
        "{history}"
    );
    assert!(!history.contains(".000000000Z"), "{history}");
}

fn info_tells_the_host_s_mirrors(host: &Host) {
    let config = host.folder("etc").join("config.json");
    let text = r#"{"registry-mirrors": ["http://mirror.example"], "insecure-registries": ["reg.example:5000", "10.9.0.0/16"]}"#;
    fs::write(&config, text).expect("a file");
    let info = host.docker("info").env("DOCKLESS_CONFIG", &config).ok();
    let (_, registries) = info.split_once("Insecure Registries:").expect("a section");
    for words in [
        "reg.example:5000",
        "10.9.0.0/16",
        "127.0.0.0/8",
        "Registry Mirrors:\n  http://mirror.example",
    ] {
        assert!(registries.contains(words), "{info}");
    }
    assert!(info.contains("  Layers: "), "{info}");
}
