//! Keys of networks, and of a service's place in them: what each becomes in the kernel and in the container.

use testkit::{Host, eventually, kernel, requires, scenarios};

scenarios!(
    endpoint_keys_reach_the_interface,
    the_order_of_networks_is_by_priority,
    networks_are_made_as_they_are_described,
    a_network_has_the_families_that_are_on,
    a_project_on_a_macvlan,
    external_networks_are_joined_and_left_alone
);

/// What `ip` says inside a container.
fn ip(host: &Host, container: &str, words: &str) -> String {
    kernel::tool_ok(&format!(
        "nsenter -t {} -n ip -o {words}",
        host.pid(container)
    ))
}

const ENDPOINTS: &str = "\
services:
  web:
    image: busybox
    command: sh -c 'echo web > /index.html; httpd -f -p 80 -h /'
    init: true
    networks:
      app:
        aliases: [shop]
        ipv4_address: 10.71.0.77
        ipv6_address: fd71::77
        mac_address: 02:00:00:71:00:77
        interface_name: front
        link_local_ips: [169.254.7.1]
        driver_opts:
          com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.log_martians=1
      back:
        gw_priority: 5
        driver_opts: {com.docker.network.endpoint.ifname: rear}
  client:
    image: busybox
    command: sleep 1000
    init: true
    networks: [app]
networks:
  app:
    enable_ipv6: true
    ipam: {config: [{subnet: 10.71.0.0/24}, {subnet: 'fd71::/64', gateway: 'fd71::f'}]}
  back: {ipam: {config: [{subnet: 10.72.0.0/24}]}}
";

fn endpoint_keys_reach_the_interface(host: &Host) {
    requires!(has_ipv6(), "IPv6 is off on this host");
    let project = host.compose_file("ends", ENDPOINTS);
    project.compose("up -d").ok();
    let web = "ends-web-1";
    let front = ip(host, web, "addr show dev front");
    for address in ["10.71.0.77/24", "fd71::77/64", "169.254.7.1/16"] {
        assert!(front.contains(address), "{address} in {front}");
    }
    assert!(ip(host, web, "link show dev front").contains("02:00:00:71:00:77"));
    let martians = host.docker(&format!(
        "exec {web} cat /proc/sys/net/ipv4/conf/front/log_martians /proc/sys/net/ipv4/conf/rear/log_martians"
    ));
    assert_eq!(martians.ok(), "1\n0");
    let route = ip(host, web, "-4 route show default");
    assert!(route.contains("via 10.72.0.1 dev rear"), "{route}");
    let route = ip(host, web, "-6 route show default");
    assert!(route.contains("via fd71::f dev front"), "{route}");
    let shown = host.inspect(
        web,
        "{{with index .NetworkSettings.Networks \"ends_app\"}}{{.GlobalIPv6Address}}/{{.GlobalIPv6PrefixLen}} {{.IPv6Gateway}} {{.IPAMConfig.LinkLocalIPs}}{{end}}",
    );
    assert_eq!(shown, "fd71::77/64 fd71::f [169.254.7.1]");
    eventually("the alias leads there", || {
        let page = host
            .docker("exec ends-client-1 timeout 4 wget -q -O - http://shop/")
            .run();
        (page.stdout.trim() == "web").then_some(())
    });
}

const ORDERED: &str = "\
services:
  one:
    image: busybox
    command: sleep 1000
    init: true
    mac_address: 02:00:00:00:00:01
    networks: {aa: {priority: 1}, zz: {priority: 10}}
networks:
  aa: {ipam: {config: [{subnet: 10.73.0.0/24}]}}
  zz: {ipam: {config: [{subnet: 10.74.0.0/24}]}}
";

fn the_order_of_networks_is_by_priority(host: &Host) {
    host.compose_file("order", ORDERED).compose("up -d").ok();
    let first = ip(host, "order-one-1", "addr show dev eth0");
    assert!(first.contains("10.74.0.2/24"), "{first}");
    let links = ip(host, "order-one-1", "link show");
    let of = |name: &str| {
        let line = links.lines().find(|line| line.contains(name));
        line.expect("the interface").contains("02:00:00:00:00:01")
    };
    assert!(
        of(" eth0") && !of(" eth1"),
        "the first has the service's MAC: {links}"
    );
}

const DESCRIBED: &str = "\
services:
  one:
    image: busybox
    command: sleep 1000
    init: true
    networks: [app, closed]
networks:
  app:
    name: a-name-of-its-own
    attachable: true
    labels: {tier: front}
    driver: bridge
    driver_opts:
      com.docker.network.bridge.name: br-described
      com.docker.network.driver.mtu: 1400
    ipam:
      driver: default
      options: {note: kept}
      config:
        - subnet: 10.75.0.0/24
          ip_range: 10.75.0.64/29
          gateway: 10.75.0.70
          aux_addresses: {router: 10.75.0.64, printer: 10.75.0.65}
  closed: {internal: true}
";

fn networks_are_made_as_they_are_described(host: &Host) {
    let project = host.compose_file("made", DESCRIBED);
    project.compose("up -d").ok();
    assert!(kernel::links().contains("br-described"));
    let bridge = kernel::tool_ok("ip -o -4 addr show dev br-described");
    assert!(bridge.contains("10.75.0.70/24"), "{bridge}");
    let addresses = kernel::addresses_in(host.pid("made-one-1"));
    assert!(
        addresses.contains(&"10.75.0.66/24".to_owned()),
        "the first of the range that is nobody's: {addresses:?}"
    );
    assert!(ip(host, "made-one-1", "link show").contains("mtu 1400"));
    let routes = ip(host, "made-one-1", "-4 route show default");
    assert_eq!(
        routes.lines().count(),
        1,
        "none by the internal one: {routes}"
    );
    assert!(routes.contains("via 10.75.0.70"), "{routes}");
    let shown = host.inspect(
        "a-name-of-its-own",
        "{{.Labels.tier}} {{.Attachable}} {{.IPAM.Driver}} {{.IPAM.Options.note}} {{(index .IPAM.Config 0).AuxiliaryAddresses.printer}}",
    );
    assert_eq!(shown, "front true default kept 10.75.0.65");
    let internal = host.inspect("made_closed", "{{.Internal}}");
    assert_eq!(internal, "true");
    host.docker("run --rm --network a-name-of-its-own busybox true")
        .ok();
    project.compose("down").ok();
    assert!(!kernel::links().contains("br-described"));
}

const FAMILIES: &str = "\
services:
  six:
    image: busybox
    command: sh -c 'echo six > /index.html; httpd -f -p 80 -h /'
    init: true
    ports: ['8086:80']
    networks: [only]
  other:
    image: busybox
    command: sleep 1000
    init: true
    networks: [only, both]
networks:
  only: {enable_ipv4: false, enable_ipv6: true}
  both: {enable_ipv6: true}
";

fn has_ipv6() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6").exists()
}

fn a_network_has_the_families_that_are_on(host: &Host) {
    requires!(has_ipv6(), "IPv6 is off on this host");
    let project = host.compose_file("fam", FAMILIES);
    project.compose("up -d").ok();
    assert!(
        kernel::addresses_in(host.pid("fam-six-1")).is_empty(),
        "no IPv4"
    );
    assert_eq!(
        kernel::addresses_in(host.pid("fam-other-1")).len(),
        1,
        "of both"
    );
    let global = |container: &str| ip(host, container, "-6 addr show scope global");
    let six = global("fam-six-1");
    assert!(
        six.contains("inet6 fd") && six.contains("/64"),
        "a unique local prefix: {six}"
    );
    assert_eq!(global("fam-other-1").lines().count(), 2);
    host.docker("exec fam-other-1 ping -6 -c 1 -W 5 six").ok();
    let gateway = host.inspect("fam_only", "{{(index .IPAM.Config 0).Gateway}}");
    let route = ip(host, "fam-six-1", "-6 route show default");
    assert!(route.contains(&format!("via {gateway} ")), "{route}");
    let flags = host.inspect("fam_only", "{{.EnableIPv4}} {{.EnableIPv6}}");
    assert_eq!(flags, "false true");
    let page = eventually("its port answers by IPv6", || {
        testkit::http::get(&format!("[{gateway}]:8086"), "/")
    });
    assert_eq!(page.body.trim(), "six");
    // The prefix stays as long as the network does.
    let subnet = || host.inspect("fam_only", "{{(index .IPAM.Config 0).Subnet}}");
    let before = subnet();
    project.compose("restart -t 0").ok();
    assert_eq!(subnet(), before);
}

const MACVLAN: &str = "\
services:
  one: {image: busybox, command: sleep 1000, init: true, networks: {lan: {ipv4_address: 192.0.2.77}}}
  two: {image: busybox, command: sleep 1000, init: true, networks: [lan], ports: ['8099:80']}
networks:
  lan:
    driver: macvlan
    driver_opts: {parent: cable, macvlan_mode: bridge}
    ipam: {config: [{subnet: 192.0.2.0/24, ip_range: 192.0.2.128/25, gateway: 192.0.2.2}]}
";

fn a_project_on_a_macvlan(host: &Host) {
    requires!(
        crate::network_drivers::kernel_has("macvlan"),
        "this kernel has no macvlan"
    );
    let _outside = crate::network::Outside::new();
    let project = host.compose_file("lan", MACVLAN);
    let up = project.compose("up -d").run();
    assert_eq!(up.code, 0, "{up}");
    up.says(&["services.two.ports", "nothing is published"]);
    let link = ip(host, "lan-one-1", "-d link show dev eth0");
    assert!(link.contains("macvlan mode bridge"), "{link}");
    host.docker("exec lan-two-1 ping -c 1 -W 5 one").ok();
    host.docker("exec lan-two-1 ping -c 1 -W 5 192.0.2.2").ok();
    let addresses = kernel::addresses_in(host.pid("lan-one-1"));
    assert_eq!(addresses, ["192.0.2.77/24"]);
    project.compose("down").ok();
    assert!(kernel::links().contains("cable"));
}

const EXTERNAL: &str = "\
services:
  one: {image: busybox, command: sleep 1000, init: true, networks: [there]}
networks:
  there: {external: true, name: was-there}
";

fn external_networks_are_joined_and_left_alone(host: &Host) {
    let project = host.compose_file("ext", EXTERNAL);
    project.compose("up -d").fails(1).says(&["was-there"]);
    host.docker("network create --subnet 10.76.0.0/24 was-there")
        .ok();
    project.compose("up -d").ok();
    let addresses = kernel::addresses_in(host.pid("ext-one-1"));
    assert_eq!(addresses, ["10.76.0.2/24"]);
    project.compose("down").ok();
    assert_eq!(host.inspect("was-there", "{{.Name}}"), "was-there");
}
