//! Networks on an interface of the host, and networks with options: drivers, configuration networks, pools of addresses.

use testkit::{Host, eventually, kernel, requires, scenarios};

scenarios!(
    macvlan_containers_are_machines_of_the_outside_network,
    without_a_parent_containers_have_only_each_other,
    a_vlan_is_made_for_its_network_and_goes_with_it,
    ipvlan_containers_share_the_address_on_the_wire,
    a_configuration_is_used_by_other_networks,
    bridge_options_that_would_not_hold_are_refused,
    configured_pools_are_used_up_and_say_so,
    a_container_that_left_all_networks_joins_again,
    a_link_is_a_name_of_ones_own,
);

/// Whether interfaces of this kind can be made here.
pub(crate) fn kernel_has(kind: &str) -> bool {
    let more = if kind == "vlan" { " id 9" } else { "" };
    kernel::tool("ip link add probe0 type veth peer name probe1");
    kernel::tool(&format!(
        "ip link add link probe0 name probe2 type {kind}{more}"
    ));
    let has = kernel::links().contains("probe2");
    kernel::tool("ip link del probe0");
    has
}

fn sleeper(host: &Host, name: &str, words: &str) {
    host.docker(&format!(
        "run -d --init --name {name} {words} busybox sleep 1000"
    ))
    .ok();
}

fn pings(host: &Host, from: &str, to: &str) -> bool {
    let ping = host.docker(&format!("exec {from} ping -c 1 -W 3 {to}"));
    ping.run().code == 0
}

const LAN: &str = "--subnet 192.0.2.0/24 --ip-range 192.0.2.128/25 --gateway 192.0.2.2";

fn macvlan_containers_are_machines_of_the_outside_network(host: &Host) {
    requires!(kernel_has("macvlan"), "this kernel has no macvlan");
    let outside = crate::network::Outside::new();
    host.docker(&format!(
        "network create -d macvlan -o parent=cable {LAN} lan"
    ))
    .ok();
    let web = "sh -c 'echo web > /index.html; httpd -f -p 80 -h /'";
    let started = host.docker(&format!(
        "run -d --init --name web --network lan --ip 192.0.2.77 -p 8080:80 busybox {web}"
    ));
    started
        .run()
        .says(&["Published ports are discarded on network lan"]);
    sleeper(host, "aa", "--network lan");
    assert!(pings(host, "aa", "web"), "by name");
    assert!(pings(host, "aa", "192.0.2.2"), "the outside");
    let page = eventually("the outside sees it", || outside.get("192.0.2.77:80"));
    assert_eq!(page.trim(), "web");
    assert!(
        !pings(host, "aa", "192.0.2.1"),
        "the host itself is not reached by its own wire"
    );
    let ports = host.inspect("web", "{{json .NetworkSettings.Ports}}");
    assert_eq!(ports, "{\"80/tcp\":null}", "shown, not published");
    host.docker("restart -t 0 web").ok();
    let page = eventually("it is there again", || outside.get("192.0.2.77:80"));
    assert_eq!(page.trim(), "web", "with its address");
    // Live: a container of a bridge joins and leaves.
    host.docker("network create app").ok();
    sleeper(host, "both", "--network app");
    host.docker("network connect --ip 192.0.2.78 lan both").ok();
    assert!(pings(host, "both", "192.0.2.77"));
    host.docker("network disconnect lan both").ok();
    assert_eq!(kernel::addresses_in(host.pid("both")).len(), 1);
    host.docker("network rm lan").fails(1).says(&["web", "aa"]);
    host.docker("rm -f web aa both").ok();
    host.docker("network rm lan").ok();
    assert!(kernel::links().contains("cable"));
}

fn without_a_parent_containers_have_only_each_other(host: &Host) {
    requires!(kernel_has("macvlan"), "this kernel has no macvlan");
    host.docker("network create -d macvlan alone").ok();
    assert!(kernel::links().iter().any(|name| name.starts_with("dm-")));
    sleeper(host, "aa", "--network alone");
    sleeper(host, "bb", "--network alone");
    assert!(pings(host, "aa", "bb"));
    let routes = kernel::tool_ok(&format!("nsenter -t {} -n ip route", host.pid("aa")));
    assert!(!routes.contains("default"), "{routes}");
    host.docker("rm -f aa bb").ok();
    host.docker("network prune -f").ok();
    assert!(kernel::links().iter().all(|name| !name.starts_with("dm-")));
}

fn a_vlan_is_made_for_its_network_and_goes_with_it(host: &Host) {
    requires!(kernel_has("vlan"), "this kernel has no VLANs (8021q)");
    requires!(kernel_has("macvlan"), "this kernel has no macvlan");
    let _outside = crate::network::Outside::new();
    let create = |name: &str, subnet: &str| {
        host.docker(&format!(
            "network create -d macvlan -o parent=cable.9 --subnet {subnet} {name}"
        ))
        .ok()
    };
    create("tagged", "10.79.0.0/24");
    let vlan = kernel::tool_ok("ip -d link show cable.9");
    assert!(vlan.contains("vlan protocol 802.1Q id 9"), "{vlan}");
    create("second", "10.79.1.0/24");
    sleeper(host, "aa", "--network second");
    host.docker("network rm tagged").ok();
    assert!(kernel::links().contains("cable.9"), "another one is on it");
    host.docker("rm -f aa").ok();
    host.docker("network rm second").ok();
    assert!(!kernel::links().contains("cable.9"));
}

fn ipvlan_containers_share_the_address_on_the_wire(host: &Host) {
    requires!(kernel_has("ipvlan"), "this kernel has no ipvlan");
    let _outside = crate::network::Outside::new();
    host.docker(&format!(
        "network create -d ipvlan -o parent=cable {LAN} lan"
    ))
    .ok();
    sleeper(host, "aa", "--network lan");
    sleeper(host, "bb", "--network lan");
    assert!(pings(host, "aa", "bb") && pings(host, "aa", "192.0.2.2"));
    host.docker("run --rm --network lan --mac-address 02:00:00:00:00:09 busybox true")
        .fails(125)
        .says(&["mac-address", "ipvlan"]);
    host.docker("network create -d ipvlan -o parent=cable -o ipvlan_mode=l3 other")
        .fails(1)
        .says(&["lan", "cable"]);
    host.docker("rm -f aa bb").ok();
    host.docker("network rm lan").ok();
    host.docker(
        "network create -d ipvlan -o parent=cable -o ipvlan_mode=l3 --subnet 10.80.0.0/24 routed",
    )
    .ok();
    sleeper(host, "cc", "--network routed");
    let route = kernel::tool_ok(&format!(
        "nsenter -t {} -n ip route show default",
        host.pid("cc")
    ));
    assert!(
        route.contains("dev eth0") && !route.contains("via"),
        "{route}"
    );
}

fn a_configuration_is_used_by_other_networks(host: &Host) {
    host.docker("network create --config-only --subnet 10.81.0.0/24 --ip-range 10.81.0.128/25 --aux-address router=10.81.0.128 -o com.docker.network.driver.mtu=1300 conf")
        .ok();
    host.docker("run --rm --network conf busybox true")
        .fails(125)
        .says(&["configuration", "--config-from"]);
    host.docker("network create --config-from conf --subnet 10.82.0.0/24 net")
        .fails(1)
        .says(&["--config-from"]);
    host.docker("network create --config-from conf --attachable net")
        .ok();
    sleeper(host, "aa", "--network net");
    assert_eq!(kernel::addresses_in(host.pid("aa")), ["10.81.0.129/24"]);
    let link = kernel::tool_ok(&format!(
        "nsenter -t {} -n ip link show eth0",
        host.pid("aa")
    ));
    assert!(link.contains("mtu 1300"), "{link}");
    let shown = host.inspect("conf", "{{.ConfigOnly}} {{(index .IPAM.Config 0).Subnet}}");
    assert_eq!(shown, "true 10.81.0.0/24");
    assert_eq!(host.inspect("net", "{{.ConfigFrom.Network}}"), "conf");
    host.docker("network rm conf")
        .fails(1)
        .says(&["in use by network net"]);
}

fn bridge_options_that_would_not_hold_are_refused(host: &Host) {
    for option in [
        "com.docker.network.bridge.gateway_mode_ipv4=routed",
        "com.docker.network.bridge.gateway_mode_ipv4=isolated",
        "com.docker.network.host_ipv4=192.0.2.1",
        "com.docker.network.bridge.inhibit_ipv4=perhaps",
    ] {
        let (key, _) = option.split_once('=').expect("an option");
        host.docker(&format!("network create -o {option} nn"))
            .fails(1)
            .says(&[key, "expected"]);
    }
    // Containers without the host on their bridge.
    host.docker("network create --internal --subnet 10.83.0.0/24 -o com.docker.network.bridge.gateway_mode_ipv4=isolated -o com.docker.network.bridge.name=br-isolated -o com.docker.network.container_iface_prefix=net nn")
        .ok();
    sleeper(host, "aa", "--network nn");
    sleeper(host, "bb", "--network nn");
    assert!(pings(host, "aa", "bb"));
    assert_eq!(kernel::tool_ok("ip -o -4 addr show dev br-isolated"), "");
    let links = kernel::tool_ok(&format!("nsenter -t {} -n ip link", host.pid("aa")));
    assert!(links.contains("net0"), "{links}");
}

fn configured_pools_are_used_up_and_say_so(host: &Host) {
    let config = host.folder("etc").join("config.json");
    let text = r#"{"default-address-pools": [{"base": "10.84.0.0/27", "size": 28}]}"#;
    std::fs::write(&config, text).expect("a configuration");
    let create = |name: &str| {
        host.docker(&format!("network create {name}"))
            .env("DOCKLESS_CONFIG", &config)
    };
    let subnet = |name: &str| host.inspect(name, "{{(index .IPAM.Config 0).Subnet}}");
    create("one").ok();
    create("two").ok();
    assert_eq!(
        (subnet("one"), subnet("two")),
        ("10.84.0.0/28".into(), "10.84.0.16/28".into())
    );
    sleeper(host, "aa", "--network one");
    create("three")
        .fails(1)
        .says(&["network prune", "no container has two"]);
    host.docker("network prune -f").ok();
    create("three").ok();
    assert_eq!(subnet("three"), "10.84.0.16/28");
}

fn a_container_that_left_all_networks_joins_again(host: &Host) {
    host.docker("network create --subnet 10.85.0.0/24 one").ok();
    sleeper(host, "aa", "--network one");
    sleeper(host, "bb", "--network one");
    host.docker("network disconnect one aa").ok();
    assert!(kernel::addresses_in(host.pid("aa")).is_empty());
    host.docker("restart -t 0 aa").ok();
    assert!(
        kernel::addresses_in(host.pid("aa")).is_empty(),
        "it is remembered"
    );
    host.docker("network connect --ip 10.85.0.9 --alias back --link-local-ip 169.254.3.4 --driver-opt com.docker.network.endpoint.ifname=lan --driver-opt com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1 one aa")
        .ok();
    let lan = kernel::tool_ok(&format!(
        "nsenter -t {} -n ip -o addr show dev lan",
        host.pid("aa")
    ));
    assert!(
        lan.contains("10.85.0.9/24") && lan.contains("169.254.3.4/16"),
        "{lan}"
    );
    let martians = host
        .docker("exec aa cat /proc/sys/net/ipv4/conf/lan/log_martians")
        .ok();
    assert_eq!(martians, "1");
    assert!(pings(host, "bb", "back"));
    assert!(pings(host, "aa", "bb"), "and names are served to it again");
    host.docker("network disconnect one nobody")
        .fails(1)
        .says(&["nobody"]);
    host.docker("network disconnect -f one nobody").ok();
    host.docker("network disconnect -f one aa").ok();
    host.docker("network disconnect -f one aa")
        .fails(1)
        .says(&["container aa is not connected to network one"]);
    sleeper(host, "cc", "--network none");
    host.docker("network connect one cc")
        .fails(1)
        .says(&["private (none) mode", "network disconnect none"]);
    host.docker("network disconnect none cc").ok();
    host.docker("network connect --gw-priority 3 one cc").ok();
    assert!(pings(host, "cc", "bb"));
}

fn a_link_is_a_name_of_ones_own(host: &Host) {
    host.docker("network create one").ok();
    sleeper(host, "db", "--network one");
    sleeper(host, "aa", "");
    sleeper(host, "bb", "--network one");
    // Who is linked may come later.
    host.docker("network connect --link nobody:x --link db:store one aa")
        .ok();
    assert!(pings(host, "aa", "store"));
    assert!(!pings(host, "bb", "store"), "nobody else's");
    let links = "{{json (index .NetworkSettings.Networks \"one\").Links}}";
    assert_eq!(host.inspect("aa", links), "[\"nobody:x\",\"db:store\"]");
    host.docker("network disconnect one aa").ok();
    host.docker("network connect one aa").ok();
    assert!(!pings(host, "aa", "store"), "it went with the endpoint");
}
