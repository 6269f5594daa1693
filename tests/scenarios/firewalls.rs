//! Beside other firewalls: what they do to the packet filter does not take our containers' ports, and what they block is named.

use crate::network::Outside;
use testkit::{Host, eventually, http, kernel, requires, scenarios};

scenarios!(
    a_flushed_ruleset_is_made_again_by_itself,
    docker_s_forward_policy_is_named_and_the_way_out_works,
    ufw_is_enabled_and_reloaded,
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

fn has(tool: &str) -> bool {
    let places = ["/usr/sbin", "/sbin", "/usr/bin"].map(std::path::Path::new);
    places.iter().any(|place| place.join(tool).exists())
}
