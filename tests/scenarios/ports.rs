//! Ports while containers run: added, removed, restricted, listed; services with one address; containers that may not leave.

use crate::network::Outside;
use testkit::{Host, eventually, http, kernel, scenarios};

scenarios!(
    ports_come_and_go_on_a_running_container,
    a_restricted_port_is_for_those_it_names,
    a_service_with_one_address_and_one_without,
    a_container_that_may_not_leave,
    every_open_port_is_listed,
    ports_are_published_where_the_configuration_says,
    a_thousand_ports_are_one_element,
);

/// A web server that says its host's name.
const WEB: &str = "busybox sh -c 'hostname > /index.html; exec httpd -f -p 80 -h /'";

fn page(address: &str) -> Option<String> {
    http::get(address, "/").map(|page| page.body.trim().to_owned())
}

fn ports_come_and_go_on_a_running_container(host: &Host) {
    host.docker(&format!(
        "run -d --name web --hostname web -p 8081:80 -p 80 {WEB}"
    ))
    .ok();
    eventually("it serves", || page("127.0.0.1:8081"));
    let pid = host.pid("web");
    let drawn = host.docker("port web 80/tcp").ok();
    host.docker("update --publish-add 8080:80 --publish-rm 8081 web")
        .ok();
    assert_eq!(page("127.0.0.1:8080").as_deref(), Some("web"));
    assert_eq!(page("127.0.0.1:8081"), None);
    assert_eq!(host.pid("web"), pid, "nothing was started again");
    let after = host.docker("port web 80/tcp").ok();
    let random = |text: &str| {
        let lines = text.lines().map(str::to_owned);
        lines
            .filter(|line| !line.ends_with(":8080") && !line.ends_with(":8081"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        random(&after),
        random(&drawn),
        "the one that was drawn stays"
    );
    let inspected = host.inspect("web", "{{json .HostConfig.PortBindings}}");
    assert!(
        inspected.contains("8080") && !inspected.contains("8081"),
        "{inspected}"
    );

    host.docker(&format!("run -d --name other -p 9000:80 {WEB}"))
        .ok();
    host.docker("update --publish-add 9000:80 web")
        .fails(1)
        .says(&["9000", "container \"other\""]);
    assert_eq!(page("127.0.0.1:8080").as_deref(), Some("web"), "as it was");
    assert!(
        !host
            .inspect("web", "{{json .HostConfig.PortBindings}}")
            .contains("9000")
    );
    host.docker("update --publish-rm 7777 web")
        .fails(1)
        .says(&["7777", "8080:80/tcp"]);
    host.docker("run -d --name hosted --network host busybox sleep 1000")
        .ok();
    host.docker("update --publish-add 1:1 hosted")
        .fails(1)
        .says(&["network mode is host"]);

    host.docker("stop web").ok();
    host.docker("update --publish-rm 8080 --publish-add 8082:80 web")
        .ok();
    host.docker("start web").ok();
    assert_eq!(
        eventually("at its next start", || page("127.0.0.1:8082")),
        "web"
    );
}

fn a_restricted_port_is_for_those_it_names(host: &Host) {
    let outside = Outside::new();
    let project = host.compose_file(
        "doors",
        "services:\n  web:\n    image: busybox\n    command: sh -c 'hostname > /index.html; exec httpd -f -p 80 -h /'\n    hostname: web\n    ports:\n      - \"8080:80\"\n      - target: 80\n        published: 8081\n        x-dockless: {allow: [192.0.2.2]}\n      - target: 80\n        published: 8082\n        x-dockless: {allow: [10.0.0.0/8, \"fd00::/8\"]}\n",
    );
    project.compose("up -d").ok();
    for port in [8080, 8081, 8082] {
        let here = eventually("this host always may", || {
            page(&format!("127.0.0.1:{port}"))
        });
        assert_eq!(here, "web");
    }
    let seen = |port: u16| outside.get(&format!("192.0.2.1:{port}")).is_some();
    assert_eq!([seen(8080), seen(8081), seen(8082)], [true, true, false]);
    let shown = project.compose("config").ok();
    assert!(shown.contains("x-dockless:"), "{shown}");
    let table = host.dockless("ports --published").ok();
    assert!(table.contains("192.0.2.2/32"), "{table}");
    project
        .compose("up -d --plan")
        .run()
        .says(&["Nothing to do"]);

    project.replace("docker-compose.yml", "192.0.2.2", "192.0.2.99");
    project.compose("up -d").ok();
    eventually("it serves again", || page("127.0.0.1:8081"));
    assert!(!seen(8081), "what the file says now");
    project.replace("docker-compose.yml", "allow:", "alow:");
    project.compose("config").fails(1).says(&["alow", "allow"]);

    host.docker(&format!("run -d --name one -p published=8090,target=80,allow=192.0.2.0/24 -p published=8091,target=80,allow=198.51.100.1 {WEB}")).ok();
    eventually("it serves", || page("127.0.0.1:8091"));
    assert_eq!([seen(8090), seen(8091)], [true, false]);
}

fn a_service_with_one_address_and_one_without(host: &Host) {
    let project = host.compose_file(
        "shop",
        "x-web: &web\n  image: busybox\n  command: sh -c 'hostname > /index.html; exec httpd -f -p 80 -h /'\nservices:\n  web:\n    <<: *web\n    deploy: {replicas: 2, endpoint_mode: vip}\n  plain:\n    <<: *web\n    deploy: {replicas: 2, endpoint_mode: dnsrr}\n  client:\n    image: busybox\n    command: sleep 1000\n",
    );
    project.compose("up -d").ok();
    let found = |name: &str| {
        let said = project
            .compose(&format!("exec -T client nslookup -type=a {name}"))
            .run()
            .stdout;
        let answers = said.split("answer").nth(1).unwrap_or(&said).to_owned();
        let mut addresses: Vec<String> = answers
            .lines()
            .filter_map(|line| line.strip_prefix("Address:").map(|a| a.trim().to_owned()))
            .filter(|address| !address.starts_with("127."))
            .collect();
        addresses.sort();
        addresses
    };
    let own = |service: &str| {
        let mut addresses: Vec<String> = [1, 2]
            .iter()
            .map(|n| host.address(&format!("shop-{service}-{n}")))
            .collect();
        addresses.sort();
        addresses
    };
    let vip = found("web");
    assert_eq!(vip.len(), 1);
    assert!(!own("web").contains(&vip[0]), "an address of its own");
    assert_eq!(found("tasks.web"), own("web"));
    assert_eq!(found("shop-web-1"), [host.address("shop-web-1")]);
    assert_eq!(found("plain"), own("plain"));
    let mut seen = std::collections::BTreeSet::new();
    eventually("both containers answer on the one address", || {
        let page = project
            .compose("exec -T client timeout 4 wget -qO- http://web/")
            .run();
        if page.code == 0 {
            seen.insert(page.stdout);
        }
        (seen.len() == 2).then_some(())
    });
    host.docker("rm -f shop-web-1").ok();
    for _ in 0..4 {
        project
            .compose("exec -T client timeout 4 wget -qO- http://web/")
            .ok();
    }
    project.compose("up -d").ok();
    assert_eq!(found("web"), vip, "the same as before");
    project.compose("down").ok();
    assert!(
        kernel::nft_elements().is_empty(),
        "{:?}",
        kernel::nft_elements()
    );
}

fn a_container_that_may_not_leave(host: &Host) {
    let outside = Outside::new();
    let project = host.compose_file(
        "inside",
        "services:\n  web:\n    image: busybox\n    command: sh -c 'hostname > /index.html; exec httpd -f -p 80 -h /'\n    hostname: web\n    ports: [\"8080:80\"]\n    x-dockless: {deny-egress: true}\n  free:\n    image: busybox\n    command: sh -c 'hostname > /index.html; exec httpd -f -p 80 -h /'\n",
    );
    project.compose("up -d").ok();
    eventually("it is reached from outside", || {
        outside.get("192.0.2.1:8080")
    });
    let reaches = |service: &str, words: &str| {
        project
            .compose(&format!("exec -T {service} {words}"))
            .run()
            .code
            == 0
    };
    eventually("its neighbour", || {
        reaches("web", "timeout 4 wget -qO- http://free/").then_some(())
    });
    assert!(
        reaches("free", "ping -c 1 -W 2 192.0.2.2"),
        "another one leaves"
    );
    assert!(
        !reaches("web", "ping -c 1 -W 2 192.0.2.2"),
        "this one does not"
    );
    assert!(
        !reaches("web", "nslookup no-such-name.example"),
        "nor do its questions"
    );
}

fn every_open_port_is_listed(host: &Host) {
    host.docker(&format!(
        "run -d --name web -p 127.0.0.1:8080:80 -p 9000-9009:9000-9009/udp {WEB}"
    ))
    .ok();
    host.docker("run -d --name hosted --network host busybox httpd -f -p 7070")
        .ok();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address");
    let rows = || {
        let text = host.dockless("ports --format json").ok();
        let rows = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        rows.collect::<Vec<serde_json::Value>>()
    };
    let row = |port: &str| rows().into_iter().find(|row| row["Port"] == port);
    let web = row("8080").expect("the published port");
    assert_eq!(web["Holder"], "container web");
    assert_eq!(
        (&web["Address"], &web["Reach"]),
        (&"127.0.0.1".into(), &"this host".into())
    );
    let range = row("9000-9009").expect("one row");
    assert_eq!(
        (&range["Protocol"], &range["Reach"]),
        (&"udp".into(), &"everywhere".into())
    );
    let hosted = eventually("it listens", || row("7070"));
    assert_eq!(hosted["Container"], "hosted", "{hosted}");
    let mine = row(&own.port().to_string()).expect("a process of the host");
    assert_eq!(
        (mine["Pid"].as_str(), &mine["Reach"]),
        (
            Some(std::process::id().to_string().as_str()),
            &"this host".into()
        )
    );
    host.docker("rm -f web").ok();
    assert!(row("8080").is_none());
}

fn ports_are_published_where_the_configuration_says(host: &Host) {
    let outside = Outside::new();
    let config = host.folder("config").join("config.json");
    std::fs::write(&config, r#"{"ip": "127.0.0.1"}"#).expect("a file");
    let given = format!("--engine-config {}", config.display());
    host.dockless(&format!("{given} run -d --name kept -p 8080:80 {WEB}"))
        .ok();
    host.dockless(&format!(
        "{given} run -d --name open -p 0.0.0.0:8081:80 {WEB}"
    ))
    .ok();
    for port in [8080, 8081] {
        eventually("this host", || page(&format!("127.0.0.1:{port}")));
    }
    assert_eq!(outside.get("192.0.2.1:8080"), None);
    assert!(
        outside.get("192.0.2.1:8081").is_some(),
        "what is said counts"
    );
    assert_eq!(host.docker("port kept").ok(), "80/tcp -> 127.0.0.1:8080");
}

fn a_thousand_ports_are_one_element(host: &Host) {
    host.docker(&format!(
        "run -d --name web -p 20000-20999:20000-20999 {WEB}"
    ))
    .ok();
    let elements = kernel::nft_elements();
    let mine = elements
        .iter()
        .filter(|element| element.contains("20000"))
        .count();
    assert_eq!(
        (mine, elements.iter().any(|e| e.contains("20001"))),
        (1, false),
        "{elements:?}"
    );
    let run = host
        .run_root()
        .join("containers")
        .join(host.inspect("web", "{{.Id}}"));
    let state = std::fs::metadata(run.join("state.json")).expect("a record");
    assert!(state.len() < 8 << 10, "{} bytes", state.len());
    let shown = host.inspect("web", "{{len .NetworkSettings.Ports}}");
    assert_eq!(shown, "1000");
    assert!(
        host.docker("ps")
            .ok()
            .contains("20000-20999->20000-20999/tcp")
    );
}
