//! Networks: who reaches whom by which name and address, what is published where, and what stays apart.

use testkit::{Host, eventually, http, kernel, scenarios};

scenarios!(
    names_and_aliases_are_found,
    networks_are_isolated,
    published_ports_answer_from_everywhere,
    the_outside_is_reached_and_sees_the_host,
    addresses_are_leased_and_given_back,
    connecting_and_disconnecting_a_running_container,
    an_internal_network_has_no_way_out,
    a_name_server_of_ones_own,
    other_tables_are_left_alone,
    removal_asks_first,
);

/// An image and a command that send every datagram to port 53 back.
const UDP_ECHO: &str = "debian perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 53, Proto => \"udp\"); $s->send($m) while defined $s->recv($m, 512)'";

/// A web server that says its name.
fn web(host: &Host, name: &str, words: &str) {
    host.docker(&format!("run -d --name {name} {words} busybox sh -c 'echo {name} > /index.html; httpd -f -p 80 -h /'")).ok();
}

fn fetch(host: &Host, from: &str, url: &str) -> Option<String> {
    let output = host
        .docker(&format!("exec {from} timeout 4 wget -q -O - {url}"))
        .run();
    (output.code == 0).then(|| output.stdout.trim().to_owned())
}

fn eventually_fetch(host: &Host, from: &str, url: &str) -> String {
    eventually(&format!("{from} reaches {url}"), || fetch(host, from, url))
}

fn names_and_aliases_are_found(host: &Host) {
    host.docker("network create one").ok();
    web(host, "server", "--network one --network-alias www");
    host.docker("run -d --name client --network one busybox sleep 1000")
        .ok();
    for name in [
        "server",
        "www",
        &host.inspect("server", "{{.Config.Hostname}}"),
    ] {
        assert_eq!(
            eventually_fetch(host, "client", &format!("http://{name}/")),
            "server",
            "{name}"
        );
    }
    let address = host.docker("exec client nslookup server 127.0.0.11").run();
    address.says(&[&host.address("server")]);
    assert_ne!(
        host.docker("exec client nslookup no-such-name.invalid 127.0.0.11")
            .run()
            .code,
        0
    );
    let reverse = host
        .docker("exec client")
        .arg("nslookup")
        .arg(host.address("server"))
        .run();
    reverse.says(&["server"]);
    host.docker("rename server renamed").ok();
    host.docker("restart -t 0 renamed").ok();
    assert_eq!(
        eventually_fetch(host, "client", "http://renamed/"),
        "server"
    );
    // On the default bridge names are not served; links are.
    web(host, "plain", "");
    host.docker("run -d --name linked --link plain:alias busybox sleep 1000")
        .ok();
    assert_eq!(eventually_fetch(host, "linked", "http://alias/"), "plain");
    host.docker("run -d --name unlinked busybox sleep 1000")
        .ok();
    assert_eq!(fetch(host, "unlinked", "http://plain/"), None);
    assert_eq!(
        eventually_fetch(
            host,
            "unlinked",
            &format!("http://{}/", host.address("plain"))
        ),
        "plain"
    );
}

fn networks_are_isolated(host: &Host) {
    host.docker("network create one").ok();
    host.docker("network create two").ok();
    web(host, "aa", "--network one");
    host.docker("run -d --name bb --network two busybox sleep 1000")
        .ok();
    host.docker("run -d --name cc --network one busybox sleep 1000")
        .ok();
    assert_eq!(eventually_fetch(host, "cc", "http://aa/"), "aa");
    assert_eq!(fetch(host, "bb", "http://aa/"), None);
    assert_eq!(
        fetch(host, "bb", &format!("http://{}/", host.address("aa"))),
        None
    );
    web(host, "published", "--network one -p 8080:80");
    let gateway = host.inspect(
        "bb",
        "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}",
    );
    assert_eq!(
        eventually_fetch(host, "bb", &format!("http://{gateway}:8080/")),
        "published",
        "what is published is for all"
    );
}

fn published_ports_answer_from_everywhere(host: &Host) {
    let outside = Outside::new();
    web(host, "fixed", "-p 8080:80");
    web(host, "local", "-p 127.0.0.1:8081:80");
    web(host, "range", "-p 9000-9002:80-82");
    web(host, "random", "-p 80");
    host.docker("run -d --name all -P localhost/odd:health")
        .run();
    let get =
        |port: &str| http::get(&format!("127.0.0.1:{port}"), "/").map(|p| p.body.trim().to_owned());
    let random = host.docker("port random 80/tcp").ok();
    let random = random
        .lines()
        .next()
        .and_then(|l| l.rsplit(':').next())
        .expect("a port")
        .to_owned();
    for (port, name) in [
        ("8080", "fixed"),
        ("8081", "local"),
        ("9000", "range"),
        (random.as_str(), "random"),
    ] {
        let answer = eventually(&format!("{port} answers on localhost"), || get(port));
        assert_eq!(answer, name);
    }
    assert_eq!(
        outside.get("192.0.2.1:8080"),
        Some("fixed".into()),
        "from outside"
    );
    assert_eq!(
        outside.get("192.0.2.1:8081"),
        None,
        "bound to localhost alone"
    );
    host.docker("run -d --name client busybox sleep 1000").ok();
    assert_eq!(
        eventually_fetch(host, "client", "http://192.0.2.1:8080/"),
        "fixed",
        "from another container by the host's address"
    );
    assert_eq!(
        eventually_fetch(host, "fixed", "http://192.0.2.1:8080/"),
        "fixed",
        "from itself"
    );

    host.docker(&format!("run -d --name udp -p 5353:53/udp {UDP_ECHO}"))
        .ok();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .set_read_timeout(Some(std::time::Duration::from_millis(300)))
        .expect("a limit");
    eventually("udp answers", || {
        socket.send_to(b"ping", "127.0.0.1:5353").ok()?;
        let mut buffer = [0; 16];
        (socket.recv(&mut buffer).ok()? == 4).then_some(())
    });
    host.docker("rm -f fixed").ok();
    assert_eq!(get("8080"), None, "closed with its container");
    web(host, "next", "-p 8080:80");
    assert_eq!(eventually("the port serves again", || get("8080")), "next");
    host.docker("run --rm -p 8080:80 busybox true")
        .fails(125)
        .says(&["8080", "next"]);
}

/// A second network namespace behind a cable: 192.0.2.1 is this host, 192.0.2.2 the outside.
pub(crate) struct Outside(testkit::Running);

impl Outside {
    pub(crate) fn new() -> Self {
        let holder = std::path::Path::new("unshare");
        let holder = testkit::Call::tool(holder, "-n sh -c 'echo up; exec sleep 1000'").start();
        holder.says("up");
        let pid = holder.pid();
        kernel::tool_ok(&format!(
            "ip link add cable type veth peer name eth0 netns {pid}"
        ));
        kernel::tool_ok("ip addr add 192.0.2.1/24 dev cable");
        kernel::tool_ok("ip link set cable up");
        kernel::tool_ok("ip route add default via 192.0.2.2");
        for words in [
            "addr add 192.0.2.2/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
        ] {
            kernel::tool_ok(&format!("nsenter -t {pid} -n ip {words}"));
        }
        Self(holder)
    }

    pub(crate) fn get(&self, address: &str) -> Option<String> {
        let page = kernel::tool(&format!(
            "nsenter -t {} -n curl -s -m 5 http://{address}/",
            self.0.pid()
        ));
        (!page.is_empty()).then_some(page)
    }

    /// Answers `seen` at 192.0.2.2:80 as long as the result is kept.
    pub(crate) fn answer(&self) -> testkit::Running {
        let pid = self.0.pid();
        testkit::Call::tool(
            std::path::Path::new("nsenter"),
            &format!("-t {pid} -n busybox nc -ll -p 80 -e sh -c 'echo seen'"),
        )
        .start()
    }
}

/// Whether a container gets an answer of [`Outside::answer`].
pub(crate) fn reaches_outside(host: &Host, name: &str) -> Option<()> {
    let call = format!("exec {name} timeout 4 nc -w 2 192.0.2.2 80");
    host.docker(&call)
        .run()
        .stdout
        .contains("seen")
        .then_some(())
}

fn the_outside_is_reached_and_sees_the_host(host: &Host) {
    let outside = Outside::new();
    let server = outside.answer();
    host.docker("run -d --name cc busybox sleep 1000").ok();
    eventually("the outside is reached", || reaches_outside(host, "cc"));
    let conntrack = kernel::tool("cat /proc/net/nf_conntrack");
    let address = host.address("cc");
    let line = conntrack
        .lines()
        .find(|l| l.contains(&format!("src={address}")));
    assert!(
        line.is_none_or(|l| l.contains("dst=192.0.2.1")),
        "answers come to the host's address: {line:?}"
    );
    // Without the host's translation nothing would come back: the outside has no route to the container.
    assert_eq!(outside.get(&format!("{address}:80")), None);
    drop(server);
}

fn addresses_are_leased_and_given_back(host: &Host) {
    host.docker(
        "network create --subnet 10.77.0.0/24 --gateway 10.77.0.254 --ip-range 10.77.0.64/26 pool",
    )
    .ok();
    host.docker("run -d --name aa --network pool busybox sleep 1000")
        .ok();
    let first: u8 = host
        .address("aa")
        .rsplit('.')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("an address");
    assert!((64..128).contains(&first), "out of the range: {first}");
    assert_eq!(
        kernel::addresses_in(host.pid("aa")),
        [format!("10.77.0.{first}/24")]
    );
    host.docker("run -d --name ss --network pool --ip 10.77.0.9 busybox sleep 1000")
        .ok();
    assert_eq!(kernel::addresses_in(host.pid("ss")), ["10.77.0.9/24"]);
    host.docker("run --rm --network pool --ip 10.77.0.9 busybox true")
        .fails(125)
        .says(&["10.77.0.9"]);
    host.docker("run --rm --network pool --ip 10.78.0.9 busybox true")
        .fails(125)
        .says(&["10.78.0.9"]);
    host.docker("restart -t 0 ss").ok();
    assert_eq!(kernel::addresses_in(host.pid("ss")), ["10.77.0.9/24"]);
    host.docker("rm -f ss").ok();
    host.docker("run --rm --network pool --ip 10.77.0.9 busybox true")
        .ok();
    host.docker("network create --subnet 10.77.0.0/25 overlapping")
        .fails(1)
        .says(&["10.77.0.0/2"]);
    host.docker("network create --subnet 10.90.0.0/30 tiny")
        .ok();
    host.docker("run -d --network tiny busybox sleep 1000").ok();
    host.docker("run -d --network tiny busybox sleep 1000")
        .fails(125)
        .says(&["tiny"]);
    let mac = host
        .docker("run --rm --mac-address 02:42:ac:11:00:99 busybox cat /sys/class/net/eth0/address")
        .ok();
    assert_eq!(mac, "02:42:ac:11:00:99");
}

fn connecting_and_disconnecting_a_running_container(host: &Host) {
    host.docker("network create one").ok();
    host.docker("network create two").ok();
    web(host, "aa", "--network one");
    host.docker("run -d --name bb --network two busybox sleep 1000")
        .ok();
    assert_eq!(fetch(host, "bb", "http://aa/"), None);
    host.docker("network connect --alias late two aa").ok();
    assert_eq!(kernel::addresses_in(host.pid("aa")).len(), 2);
    assert_eq!(eventually_fetch(host, "bb", "http://aa/"), "aa");
    assert_eq!(eventually_fetch(host, "bb", "http://late/"), "aa");
    host.docker("restart -t 0 aa").ok();
    assert_eq!(
        kernel::addresses_in(host.pid("aa")).len(),
        2,
        "it is remembered"
    );
    host.docker("network disconnect two aa").ok();
    assert_eq!(kernel::addresses_in(host.pid("aa")).len(), 1);
    assert_eq!(fetch(host, "bb", "http://aa/"), None);
}

fn an_internal_network_has_no_way_out(host: &Host) {
    let outside = Outside::new();
    let pid = outside.0.pid();
    let _server = testkit::Call::tool(
        std::path::Path::new("nsenter"),
        &format!("-t {pid} -n busybox nc -ll -p 80 -e sh -c 'echo seen'"),
    )
    .start();
    host.docker("network create --internal closed").ok();
    web(host, "aa", "--network closed");
    host.docker("run -d --name bb --network closed busybox sleep 1000")
        .ok();
    assert_eq!(eventually_fetch(host, "bb", "http://aa/"), "aa");
    let out = host.docker("exec bb nc -w 2 192.0.2.2 80").run();
    assert!(!out.stdout.contains("seen"), "{out}");
    host.docker("run -d --name open busybox sleep 1000").ok();
    eventually("another network reaches it", || {
        host.docker("exec open nc -w 2 192.0.2.2 80")
            .run()
            .stdout
            .contains("seen")
            .then_some(())
    });
}

fn a_name_server_of_ones_own(host: &Host) {
    host.docker("network create one").ok();
    host.docker(&format!("run -d --name ns --network one {UDP_ECHO}"))
        .ok();
    assert!(kernel::lives(host.pid("ns")), "port 53 is free inside");
    host.docker("run -d --name cc --network one busybox sleep 1000")
        .ok();
    host.docker("exec cc nslookup ns 127.0.0.11").ok();
    assert_eq!(host.docker("exec ns cat /proc/1/comm").ok(), "perl");
}

fn other_tables_are_left_alone(host: &Host) {
    kernel::tool_ok("nft add table inet theirs");
    kernel::tool_ok("nft add chain inet theirs c { type filter hook input priority 0 ; }");
    kernel::tool_ok("nft add rule inet theirs c tcp dport 4242 counter drop");
    let before = kernel::tool("nft -s list table inet theirs");
    web(host, "aa", "-p 8080:80");
    host.docker("network create nn").ok();
    host.docker("rm -f aa").ok();
    host.docker("network rm nn").ok();
    host.docker("system prune -af").ok();
    assert_eq!(kernel::tool("nft -s list table inet theirs"), before);
}

fn removal_asks_first(host: &Host) {
    host.docker("network create nn").ok();
    host.docker("run -d --name cc --network nn busybox sleep 1000")
        .ok();
    host.docker("network rm nn").fails(1).says(&["nn", "cc"]);
    host.docker("network rm bridge").fails(1).says(&["bridge"]);
    host.docker("network create nn")
        .fails(1)
        .says(&["nn", "already exists"]);
    host.docker("rm -f cc").ok();
    let before = kernel::links().len();
    host.docker("network rm nn").ok();
    assert!(
        kernel::links().len() < before || before <= 2,
        "its bridge is gone"
    );
    host.docker("network inspect nn").fails(1);
    host.docker("network rm nn").fails(1).says(&["nn"]);
}
