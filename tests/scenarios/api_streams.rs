//! The API's streams as libraries use them, which Docker's own command does not.

use super::api::Served;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use testkit::{Host, scenarios};

scenarios!(
    frames_are_what_the_start_asks_for,
    a_log_is_had_by_attaching_after_the_end,
    who_types_only_stays_until_the_keys,
);

/// Asks to take over the connection, and reads the answer's head alone.
fn take(served: &Served<'_>, path: &str, body: &str) -> UnixStream {
    let mut stream = UnixStream::connect(&served.socket).expect("the server");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a timeout");
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.contains(" 101 "), "{head}");
    stream
}

fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an end");
    bytes
}

fn prepared(served: &Served<'_>, container: &str, body: &str) -> String {
    let said = served.post(&format!("/v1.44/containers/{container}/exec"), body);
    let id = said.split("\"Id\":\"").nth(1).and_then(|t| t.get(..64));
    id.unwrap_or_else(|| panic!("no id: {said}")).to_owned()
}

fn frames_are_what_the_start_asks_for(host: &Host) {
    let served = Served::start(host);
    host.docker("pull -q busybox").ok();
    host.docker("run -d --name web busybox sleep 1000").ok();
    let described =
        |tty| format!("{{\"Cmd\":[\"echo\",\"hi\"],\"AttachStdout\":true,\"Tty\":{tty}}}");
    let talk = |exec_tty, start_tty| {
        let id = prepared(&served, "web", &described(exec_tty));
        let path = format!("/v1.44/exec/{id}/start");
        rest(take(&served, &path, &format!("{{\"Tty\":{start_tty}}}")))
    };
    assert_eq!(talk(true, false), b"\x01\0\0\0\0\0\0\x04hi\r\n");
    assert_eq!(talk(true, true), b"hi\r\n");
    assert_eq!(talk(false, true), b"hi\n");
    assert_eq!(talk(false, false), b"\x01\0\0\0\0\0\0\x03hi\n");
}

fn a_log_is_had_by_attaching_after_the_end(host: &Host) {
    let served = Served::start(host);
    host.docker("pull -q busybox").ok();
    host.docker("run --name done busybox echo was here").ok();
    let path = "/v1.44/containers/done/attach?logs=1&stdout=1&stderr=1";
    let said = rest(take(&served, path, ""));
    assert_eq!(said, b"\x01\0\0\0\0\0\0\x09was here\n");
}

fn who_types_only_stays_until_the_keys(host: &Host) {
    let served = Served::start(host);
    host.docker("pull -q busybox").ok();
    host.docker("run -dit --name web busybox sh -c 'read x; echo $x > /typed; sleep 1000'")
        .ok();
    let path = "/v1.44/containers/web/attach?stream=1&stdin=1&detachKeys=ctrl-x,x";
    let mut stream = take(&served, path, "");
    stream.write_all(b"later\r").expect("it is still there");
    testkit::eventually("what was typed arrives", || {
        let typed = host.docker("exec web cat /typed").run();
        (typed.stdout.trim() == "later").then_some(())
    });
    stream.write_all(b"\x18x").expect("it is still there");
    assert_eq!(rest(stream), b"", "the keys end the conversation");
    assert_eq!(host.inspect("web", "{{.State.Running}}"), "true");
    // The end of who is typed to is an end too.
    let stream = take(&served, path, "");
    host.docker("kill web").ok();
    rest(stream);
}
