//! The API and registries: by the account of the client that asks, and no other.

use super::api::Served;
use testkit::{Host, Registry, requires, scenarios};

scenarios!(a_client_pushes_and_pulls_by_its_own_account);

fn a_client_pushes_and_pulls_by_its_own_account(host: &Host) {
    requires!(Registry::installed(), "docker-registry");
    let registry = Registry::with_password(host, 5096, "ann", "secret");
    let address = &registry.address;
    let served = Served::start(host);
    let own = host.folder("account");
    let at = |words: &str| served.client(words).env("DOCKER_CONFIG", &own);
    let nobody = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    at(&format!("tag busybox {address}/team/app:1")).ok();

    at(&format!("login -u ann --password-stdin {address}"))
        .stdin("wrong")
        .run()
        .says(&["unauthorized"]);
    let said = at(&format!("login -u ann --password-stdin {address}"))
        .stdin("secret")
        .ok();
    assert!(said.contains("Login Succeeded"), "{said}");

    let push = format!("push {address}/team/app:1");
    assert_ne!(nobody(&push).run().code, 0, "without the account");
    let told = at(&push).ok();
    assert!(told.contains("1: digest: sha256:"), "{told}");
    at(&format!("rmi {address}/team/app:1")).ok();
    let pull = format!("pull {address}/team/app:1");
    let told = nobody(&pull).run();
    assert_ne!(told.code, 0, "without the account: {told}");
    let told = at(&pull).ok();
    assert!(told.contains("Status: "), "{told}");
    let id = host
        .docker(&format!("inspect -f {{{{.Id}}}} {address}/team/app:1"))
        .ok();
    assert_eq!(id, host.docker("inspect -f {{.Id}} busybox").ok());

    let path = format!("/v1.44/distribution/{address}/team/app:1/json");
    let said = served.get(&path);
    assert!(said.contains("no basic auth credentials"), "{said}");
    let account = "{\"username\":\"ann\",\"password\":\"secret\"}";
    let header = encoded(account);
    let said = served.raw(
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Registry-Auth: {header}\r\n\r\n")
            .as_bytes(),
    );
    assert!(
        said.contains("\"digest\":\"sha256:") && said.contains("\"architecture\":\""),
        "{said}"
    );
}

fn encoded(text: &str) -> String {
    testkit::Call::tool(std::path::Path::new("base64"), "-w0")
        .stdin(text)
        .ok()
}
