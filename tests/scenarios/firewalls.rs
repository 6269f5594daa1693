//! Beside other firewalls: what they do to the packet filter does not take our containers' ports, and what they block is named.

use crate::network::{Outside, reaches_outside};
use std::path::Path;
use testkit::{Call, Host, eventually, http, kernel, requires, scenarios};

scenarios!(
    a_flushed_ruleset_is_made_again_by_itself,
    docker_s_forward_policy_is_named_and_the_way_out_works,
    ufw_is_enabled_and_reloaded,
    firewalld_is_started_and_reloaded,
    a_docker_daemon_is_started_and_restarted,
    tailscale_s_rules_and_routes,
);

fn serve(host: &Host) {
    host.docker("run -d --name web -p 8080:80 busybox sh -c 'echo web > /index.html; exec httpd -f -p 80 -h /'")
        .ok();
    eventually("it serves", here);
}

fn here() -> Option<String> {
    http::get("127.0.0.1:8080", "/").map(|page| page.body)
}

/// `systemctl restart nftables` does just this: the file it reads begins with `flush ruleset`.
fn a_flushed_ruleset_is_made_again_by_itself(host: &Host) {
    let outside = Outside::new();
    serve(host);
    let file = host.folder("etc").join("nftables.conf");
    std::fs::write(
        &file,
        "flush ruleset\ntable inet filter {\n  chain input { type filter hook input priority 0; }\n}\n",
    )
    .expect("a file");
    for _ in 0..3 {
        kernel::tool_ok(&format!("nft -f {}", file.display()));
        eventually("it answers again", here);
        assert!(outside.get("192.0.2.1:8080").is_some());
        let address = host.address("web");
        assert_eq!(
            outside.get(&format!("{address}:80")),
            None,
            "and is shut again"
        );
    }
    assert!(
        kernel::tool_ok("nft list tables").contains("inet filter"),
        "theirs stays"
    );
    kernel::kill_9(host.monitor_of("web"));
    kernel::tool_ok("nft flush ruleset");
    host.dockless("network reload").ok();
    assert!(here().is_some(), "by hand, where nobody watches");
}

/// Docker sets the policy of its chain to DROP and says in its documentation what to do.
fn docker_s_forward_policy_is_named_and_the_way_out_works(host: &Host) {
    requires!(has("iptables"), "iptables");
    let outside = Outside::new();
    serve(host);
    for words in [
        "-N DOCKER-USER",
        "-A FORWARD -j DOCKER-USER",
        "-P FORWARD DROP",
    ] {
        kernel::tool_ok(&format!("iptables {words}"));
    }
    assert!(here().is_some(), "this host's own way is another one");
    assert_eq!(outside.get("192.0.2.1:8080"), None);
    let said = host.dockless("network reload").run();
    said.says(&["chain FORWARD: policy drop", "DOCKER-USER"]);
    host.dockless("ports")
        .run()
        .says(&["chain FORWARD: policy drop"]);
    for way in ["-i", "-o"] {
        kernel::tool_ok(&format!("iptables -I DOCKER-USER {way} dl+ -j ACCEPT"));
    }
    assert!(outside.get("192.0.2.1:8080").is_some(), "as the hint says");
}

fn ufw_is_enabled_and_reloaded(host: &Host) {
    requires!(has("ufw"), "ufw");
    let outside = Outside::new();
    serve(host);
    kernel::tool_ok("ufw --force enable");
    assert!(here().is_some());
    host.dockless("network reload")
        .run()
        .says(&["ufw route allow"]);
    kernel::tool_ok("ufw route allow in on dl+");
    kernel::tool_ok("ufw route allow out on dl+");
    for _ in 0..2 {
        kernel::tool_ok("ufw reload");
        assert!(outside.get("192.0.2.1:8080").is_some(), "as the hint says");
    }
    kernel::tool_ok("ufw --force disable");
    assert!(here().is_some());
}

/// A bus as the system's, where everybody may say everything: nothing but firewalld is on it.
const BUS: &str = "<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>\
<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>";

fn firewalld_is_started_and_reloaded(host: &Host) {
    requires!(has("firewalld"), "firewalld");
    requires!(has("dbus-daemon"), "dbus-daemon");
    let outside = Outside::new();
    let _server = outside.answer();
    serve(host);
    let etc = host.folder("etc");
    std::fs::write(etc.join("bus.conf"), BUS).expect("a file");
    for folder in [Path::new("/run/dbus"), &etc.join("zones")] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let bus = format!(
        "--nofork --nopidfile --config-file={}/bus.conf",
        etc.display()
    );
    let _bus = Call::tool(Path::new("dbus-daemon"), &bus).start();
    eventually("a bus", || {
        Path::new("/run/dbus/system_bus_socket")
            .exists()
            .then_some(())
    });
    let words = format!(
        "--nofork --nopid --log-target=console --system-config={}",
        etc.display()
    );
    let _firewalld = Call::tool(Path::new("firewalld"), &words).start();
    eventually("firewalld", || {
        (kernel::tool("firewall-cmd --state") == "running").then_some(())
    });
    assert!(here().is_some());
    assert!(
        outside.get("192.0.2.1:8080").is_some(),
        "it lets in what is translated"
    );
    assert_eq!(reaches_outside(host, "web"), None, "and nothing else out");
    let told = "table inet firewalld, chain filter_FORWARD";
    let said = host.dockless("network reload").run();
    said.says(&[
        told,
        "firewall-cmd --permanent --zone=trusted --add-interface=",
    ]);
    kernel::tool_ok("firewall-cmd --permanent --zone=trusted --add-interface=dl+");
    for _ in 0..2 {
        kernel::tool_ok("firewall-cmd --reload");
        assert!(here().is_some());
        assert!(outside.get("192.0.2.1:8080").is_some());
        eventually("the outside, as the hint says", || {
            reaches_outside(host, "web")
        });
    }
    let said = host.dockless("network reload").ok();
    assert!(!said.contains("firewalld"), "{said}");
    kernel::tool_ok("firewall-cmd --complete-reload");
    assert!(outside.get("192.0.2.1:8080").is_some());
}

fn a_docker_daemon_is_started_and_restarted(host: &Host) {
    requires!(has("dockerd"), "dockerd");
    let outside = Outside::new();
    let _server = outside.answer();
    let folder = host.folder("docker");
    std::fs::write(folder.join("daemon.json"), "{}").expect("a file");
    let dir = folder.display();
    let words = format!(
        "--host unix://{dir}/docker.sock --data-root {dir}/data --exec-root /run/docker-beside --pidfile {dir}/pid --config-file {dir}/daemon.json"
    );
    let start = || {
        let daemon = Call::tool(Path::new("dockerd"), &words).start();
        eventually("dockerd", || {
            let info =
                format!("docker --host unix://{dir}/docker.sock info --format '{{{{.ID}}}}'");
            (!kernel::tool(&info).is_empty()).then_some(())
        });
        daemon
    };
    // It shuts the way through a host that it makes a router itself, and leaves one that is a router already as it is.
    kernel::tool_ok("sysctl -q -w net.ipv4.ip_forward=0");
    let first = start();
    serve(host);
    assert_eq!(outside.get("192.0.2.1:8080"), None);
    assert_eq!(reaches_outside(host, "web"), None);
    let said = host.dockless("network reload").run();
    said.says(&["table ip filter, chain FORWARD: policy drop", "DOCKER-USER"]);
    for way in ["-i", "-o"] {
        kernel::tool_ok(&format!("iptables -I DOCKER-USER {way} dl+ -j ACCEPT"));
    }
    let works = || {
        assert!(outside.get("192.0.2.1:8080").is_some());
        eventually("the outside", || reaches_outside(host, "web"));
        assert!(here().is_some());
    };
    works();
    kernel::tool_ok(&format!("kill {}", first.pid()));
    eventually("its end", || (!kernel::lives(first.pid())).then_some(()));
    works();
    let _second = start();
    works();
    host.docker("network create later").ok();
    let later = "run -d --name later --network later -p 8081:80 busybox httpd -f -p 80 -h /etc";
    host.docker(later).ok();
    eventually("what is started beside it", || {
        outside.get("192.0.2.1:8081")
    });
    let theirs = kernel::tool_ok("ip -4 -o addr show docker0");
    let ours = host.address("later");
    let beginning = ours.split('.').take(2).collect::<Vec<_>>().join(".");
    assert!(
        !theirs.contains(&format!(" {beginning}.")),
        "{theirs}: {ours}"
    );
}

/// The rules and routes that tailscaled makes (github.com/tailscale/tailscale, `util/linuxfw` and `wgengine/router`); a cable
/// takes the place of the tunnel.
const TAILSCALE: &[&str] = &[
    "ip addr add 100.101.102.103/32 dev tailscale0",
    "ip link set tailscale0 up",
    "ip route add 100.64.0.0/10 dev tailscale0 table 52",
    "ip rule add pref 5210 fwmark 0x80000/0xff0000 lookup main",
    "ip rule add pref 5230 fwmark 0x80000/0xff0000 lookup default",
    "ip rule add pref 5250 fwmark 0x80000/0xff0000 type unreachable",
    "ip rule add pref 5270 lookup 52",
    "iptables -N ts-input",
    "iptables -A ts-input -s 100.101.102.103/32 -i lo -j ACCEPT",
    "iptables -A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP",
    "iptables -A ts-input -i tailscale0 -j ACCEPT",
    "iptables -I INPUT -j ts-input",
    "iptables -N ts-forward",
    "iptables -A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000",
    "iptables -A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT",
    "iptables -A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP",
    "iptables -A ts-forward -o tailscale0 -j ACCEPT",
    "iptables -I FORWARD -j ts-forward",
    "iptables -t nat -N ts-postrouting",
    "iptables -t nat -A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE",
    "iptables -t nat -I POSTROUTING -j ts-postrouting",
];

fn tailscale_s_rules_and_routes(host: &Host) {
    requires!(has("iptables"), "iptables");
    let peer = Call::tool(Path::new("unshare"), "-n sh -c 'echo up; exec sleep 1000'").start();
    peer.says("up");
    let pid = peer.pid();
    kernel::tool_ok(&format!(
        "ip link add tailscale0 type veth peer name tailscale0 netns {pid}"
    ));
    TAILSCALE
        .iter()
        .for_each(|words| drop(kernel::tool_ok(words)));
    let inside = format!("nsenter -t {pid} -n");
    for words in [
        "addr add 100.64.0.9/10 dev tailscale0",
        "link set tailscale0 up",
    ] {
        kernel::tool_ok(&format!("{inside} ip {words}"));
    }
    let _server = Call::tool(
        Path::new("nsenter"),
        &format!("-t {pid} -n busybox nc -ll -p 80 -e sh -c 'echo seen'"),
    )
    .start();
    let rules = || ["iptables -S", "iptables -t nat -S"].map(kernel::tool_ok);
    let before = rules();
    serve(host);
    eventually("a container reaches the tailnet", || {
        let call = "exec web timeout 4 nc -w 2 100.64.0.9 80";
        host.docker(call)
            .run()
            .stdout
            .contains("seen")
            .then_some(())
    });
    let page = kernel::tool(&format!(
        "{inside} curl -s -m 5 http://100.101.102.103:8080/"
    ));
    assert_eq!(page, "web", "and is reached from it");
    host.docker("network create --subnet 100.64.7.0/24 within")
        .fails(1)
        .says(&["100.64.0.0/10"]);
    host.dockless("network reload").ok();
    host.docker("rm -f web").ok();
    assert_eq!(rules(), before, "theirs is as it was");
}

fn has(tool: &str) -> bool {
    let places = ["/usr/sbin", "/sbin", "/usr/bin"].map(Path::new);
    places.iter().any(|place| place.join(tool).exists())
}
