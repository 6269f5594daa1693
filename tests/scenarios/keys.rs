//! Every key of a common service file, each observed inside the running container.

use testkit::{Host, eventually, http, kernel, requires, scenarios};

scenarios!(what_each_key_asks_for_is_there);

fn what_each_key_asks_for_is_there(host: &Host) {
    requires!(
        host.has_image("busybox:1.36") && host.has_image("redis:alpine"),
        "images busybox and redis"
    );
    let project = host.project("keys");
    project.compose("up -d").env("KEYS_FROM", "the shell").ok();
    let web = project.compose("ps -q web").ok();
    let pid = host.pid(&web);

    assert_eq!(kernel::addresses_in(pid), ["172.16.238.10/24"]);
    let routes = kernel::tool(&format!("nsenter -t {pid} -n ip route show default"));
    assert!(routes.contains("via 172.16.238.1 "), "{routes}");

    let environment = kernel::environment(pid);
    assert_eq!(
        environment.get("GREETING").map(String::as_str),
        Some("hello world")
    );
    assert_eq!(environment.get("EMPTY").map(String::as_str), Some(""));
    assert_eq!(
        environment.get("FROM_ENV").map(String::as_str),
        Some("the shell")
    );
    assert_eq!(kernel::command_line(pid), "httpd -f -p 80 -h /www");

    let mounts = kernel::mounts_of(pid);
    let volume = mounts
        .iter()
        .find(|m| m.target == "/data")
        .expect("the named volume");
    assert!(
        volume.root.contains("volumes/keys_data/_data"),
        "{volume:?}"
    );
    assert_eq!(
        kernel::file_in(pid, "/files/note.txt"),
        "a file of the host\n"
    );
    host.docker(&format!(
        "exec {web} sh -c 'echo changed > /files/note.txt'"
    ))
    .ok();
    assert_eq!(project.read("files/note.txt"), "changed\n");

    // The engine's own responder is what the container asks; it asks those that `dns` names.
    assert!(kernel::file_in(pid, "/etc/resolv.conf").contains("nameserver 127.0.0.11"));
    assert_eq!(
        host.inspect(&web, "{{json .HostConfig.Dns}}"),
        r#"["9.9.9.9","1.1.1.1"]"#
    );
    let found = host.docker(&format!("exec {web} nslookup cache")).run();
    found.says(&["172.16.238."]);

    eventually("port 80 answers", || {
        http::get("127.0.0.1:80", "/").filter(|p| p.body.contains("every key"))
    });
    let ports = host.docker(&format!("port {web} 80/tcp")).ok();
    let random = ports
        .lines()
        .filter_map(|l| l.rsplit(':').next())
        .find(|p| *p != "80")
        .expect("a random port too")
        .to_owned();
    eventually("the random port answers", || {
        http::get(&format!("127.0.0.1:{random}"), "/").filter(|p| p.status == 200)
    });

    assert_eq!(
        host.inspect(&web, "{{.Config.Image}}"),
        "keys-web",
        "built under the name of `image`"
    );
    assert_eq!(
        host.inspect(
            &web,
            "{{index .Config.Labels \"com.docker.compose.service\"}}"
        ),
        "web"
    );
    project.compose("down -v").ok();
}
