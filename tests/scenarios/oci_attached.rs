//! The OCI runtime command line with somebody who stays: at a terminal, with signals to pass on, and for systemd, which waits
//! to hear that the container is ready.

use crate::oci::Bench;
use rustix::process::Signal;
use serde_json::json;
use std::os::unix::net::UnixDatagram;
use testkit::{Call, Host, Running, scenarios};

scenarios!(
    a_terminal_is_typed_at_and_looked_at,
    signals_to_the_caller_are_the_containers,
    it_starts_without_pivot_root_and_without_a_new_keyring,
    readiness_reaches_systemd_and_nothing_else_does,
);

/// `runc WORDS` with a terminal of its own, 24 rows and 80 columns unless the caller's says otherwise.
fn on_a_terminal(bench: &Bench<'_>, words: &str) -> Running {
    Call::tool(std::path::Path::new("script"), "-qec")
        .arg(format!("stty rows 31 cols 97; {}", bench.runc_line(words)))
        .arg("/dev/null")
        .env("TERM", "xterm")
        .dir(&bench.bundle)
        .start()
}

fn a_terminal_is_typed_at_and_looked_at(host: &Host) {
    let bench = Bench::new(host);
    let script = "tty; stty size; read line; echo heard $line; exit 7";
    bench.configure(&["sh", "-c", script], |config| {
        config["process"]["terminal"] = json!(true);
    });
    let mut run = on_a_terminal(&bench, "run has-a-terminal");
    run.says("/dev/pts/0");
    run.says("31 97");
    run.write(b"hello\n");
    let (code, said) = run.end();
    assert!(said.contains("heard hello"), "{said}");
    assert_eq!(code, 7);
    assert_eq!(bench.runc("list -q").ok(), "");

    // A further process has one of its own; an interrupt typed there is the process's.
    bench.configure(&["sleep", "1000"], |_| {});
    bench.aside("run -d has-none").ok();
    let script = "trap \"echo interrupted; exit 3\" INT; tty; stty size; while :; do sleep 1; done";
    let mut exec = on_a_terminal(&bench, &format!("exec -t has-none sh -c '{script}'"));
    exec.says("/dev/pts/0");
    exec.says("31 97");
    exec.write(b"\x03");
    let (code, said) = exec.end();
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(code, 3);
    bench.runc("delete -f has-none").ok();
}

fn signals_to_the_caller_are_the_containers(host: &Host) {
    let bench = Bench::new(host);
    let script = |code: u8| {
        format!(
            "trap 'echo told to end; exit {code}' TERM; trap 'echo told one' USR1; echo ready; while :; do sleep 0.1; done"
        )
    };
    bench.configure(&["sh", "-c", &script(5)], |_| {});
    let run = bench.runc("run is-told").start();
    run.says("ready");
    run.signal(Signal::USR1);
    run.says("told one");

    let exec = bench.runc("exec is-told sh -c").arg(script(6)).start();
    exec.says("ready");
    exec.signal(Signal::USR1);
    exec.says("told one");
    exec.signal(Signal::TERM);
    let (code, said) = exec.end();
    assert_eq!(code, 6, "{said}");

    run.signal(Signal::TERM);
    let (code, said) = run.end();
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("told to end"), "{said}");
    assert_eq!(bench.runc("list -q").ok(), "");
}

fn it_starts_without_pivot_root_and_without_a_new_keyring(host: &Host) {
    let bench = Bench::new(host);
    let script = "ls /; ls /../..; echo $(pwd)";
    bench.configure(&["sh", "-c", script], |_| {});
    let with = bench.runc("run pivots").ok();
    let without = bench.runc("run --no-pivot --no-new-keyring moves").ok();
    assert_eq!(with, without);
    // Created and entered by others as well.
    bench.configure(&["sleep", "1000"], |_| {});
    bench.aside("create --no-pivot --no-new-keyring stays").ok();
    bench.runc("start stays").ok();
    assert_eq!(
        bench.runc("exec stays ls /").ok(),
        bench.runc("exec stays ls /..").ok()
    );
    bench.runc("delete -f stays").ok();
}

fn readiness_reaches_systemd_and_nothing_else_does(host: &Host) {
    let bench = Bench::new(host);
    let path = bench.bundle.join("systemd");
    let systemd = UnixDatagram::bind(&path).expect("a socket");
    // busybox has no client of datagram sockets: what can be said from inside is that the place is there.
    let script = "echo $NOTIFY_SOCKET; ls ${NOTIFY_SOCKET%/*}";
    bench.configure(&["sh", "-c", script], |_| {});
    let told = bench.runc("run asks").env("NOTIFY_SOCKET", &path).ok();
    assert_eq!(told, format!("{}/notify\nnotify", path.display()));

    // `start` waits for the word, which comes by way of the directory that the container sees.
    bench.configure(&["sleep", "1000"], |_| {});
    bench.aside("create waits").env("NOTIFY_SOCKET", &path).ok();
    let start = bench
        .runc("start waits")
        .env("NOTIFY_SOCKET", &path)
        .start();
    let inside = bench.root().join("waits/notify/notify");
    let say = |words: &[u8]| {
        testkit::eventually("the container's socket takes a word", || {
            let socket = UnixDatagram::unbound().ok()?;
            socket.send_to(words, &inside).ok()
        });
    };
    say(b"MAINPID=1\nSTATUS=starting\n");
    say(b"READY=1\nFDSTORE=1\n");
    assert_eq!(start.end().0, 0);
    let mut heard = [0; 64];
    let length = systemd.recv(&mut heard).expect("a word");
    assert_eq!(&heard[..length], b"READY=1");
    bench.runc("delete -f waits").ok();

    // One that ends without a word holds nobody up.
    bench.configure(&["true"], |_| {});
    bench
        .aside("run -d is-silent")
        .env("NOTIFY_SOCKET", &path)
        .ok();
    bench.runc("delete -f is-silent").ok();
}
