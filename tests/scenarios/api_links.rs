//! The API and containers that know each other: legacy links, and what the server leaves of its children.

use super::api::Served;
use testkit::{Host, eventually, scenarios};

scenarios!(
    a_link_tells_of_the_other_until_it_is_removed,
    children_of_the_server_are_no_zombies,
);

fn a_link_tells_of_the_other_until_it_is_removed(host: &Host) {
    let served = Served::start(host);
    let at = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    at("run -d --name db --expose 5432 -e USER=me busybox sleep 1000").ok();
    at("run -d --name web --link db:my-db busybox sleep 1000").ok();
    let address = at("inspect -f {{.NetworkSettings.IPAddress}} db").ok();
    for told in [
        // The first process, and one that is executed.
        at("exec web cat /proc/1/environ").ok().replace('\0', "\n"),
        at("exec web env").ok(),
    ] {
        for wanted in [
            "MY_DB_NAME=/web/my-db".to_owned(),
            format!("MY_DB_PORT=tcp://{address}:5432"),
            format!("MY_DB_PORT_5432_TCP_ADDR={address}"),
            "MY_DB_ENV_USER=me".to_owned(),
        ] {
            assert!(told.lines().any(|l| l == wanted), "{wanted}: {told}");
        }
    }
    at("rm --link web/nobody").run().says(&["web/nobody"]);
    at("rm --link web/my-db").ok();
    assert_eq!(host.inspect("web", "{{.HostConfig.Links}}"), "[]");
    at("restart -t 0 web").ok();
    assert!(!at("exec web env").ok().contains("MY_DB"));
    assert_eq!(host.docker("ps -q").ok().lines().count(), 2);
}

fn children_of_the_server_are_no_zombies(host: &Host) {
    let served = Served::start(host);
    let at = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    at("run -d --name web busybox sleep 1000").ok();
    at("exec web true").ok();
    at("run --rm busybox true").ok();
    at("tag busybox other:1").ok();
    at("commit web made:1").ok();
    at("rmi made:1").ok();
    at("rm -f web").ok();
    let pid = served.running.pid();
    eventually("all children that ended are gone", || {
        let is_zombie = |child: &i32| {
            let status = std::fs::read_to_string(format!("/proc/{child}/status"));
            let status = status.unwrap_or_default();
            status.contains("State:\tZ") && status.contains(&format!("PPid:\t{pid}\n"))
        };
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let mut pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        (!pids.any(|child| is_zombie(&child))).then_some(())
    });
}
