//! The OCI runtime command line: further processes in a container, and terminals handed to whoever asked for them.

use crate::oci::Bench;
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use testkit::{Host, kernel, scenarios};

scenarios!(
    a_further_process_is_described_by_flags_or_by_a_file,
    a_further_process_has_a_right_more_and_nothing_to_pass_on,
    the_master_of_a_terminal_goes_to_the_console_socket,
);

fn a_further_process_is_described_by_flags_or_by_a_file(host: &Host) {
    let bench = Bench::new(host);
    bench.configure(&["sleep", "1000"], |_| {});
    bench.aside("run -d is-entered").ok();
    bench
        .runc("exec is-entered sh -c 'echo $ONE $TWO; exit 3' ")
        .fails(3);
    assert_eq!(
        bench
            .runc("exec -e TWO=2 --env ONE=one --cwd /tmp is-entered sh -c 'echo $ONE $TWO $(pwd)'")
            .ok(),
        "one 2 /tmp"
    );
    assert_eq!(
        bench
            .runc("exec is-entered --user 12:34 -g 56 sh -c 'id -u; id -G'")
            .ok(),
        "12\n34 56"
    );
    assert_eq!(
        bench.runc("exec is-entered cat").stdin("typed").ok(),
        "typed"
    );
    bench
        .runc("exec is-entered no-such-program")
        .fails(255)
        .says(&["no-such-program"]);
    bench.runc("exec is-entered").fails(1).says(&["command"]);

    let process = json!({
        "args": ["sh", "-c", "echo by file; exit 9"], "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0},
    });
    std::fs::write(bench.bundle.join("process.json"), process.to_string()).expect("a file");
    let said = bench
        .runc("exec --process process.json is-entered")
        .fails(9);
    assert_eq!(said.stdout, "by file\n");

    bench
        .aside("exec --detach --pid-file exec-pid is-entered sleep 2000")
        .ok();
    let pid: i32 = std::fs::read_to_string(bench.bundle.join("exec-pid"))
        .expect("a pid file")
        .parse()
        .expect("a pid");
    assert_eq!(kernel::command_line(pid).trim(), "sleep 2000");
    let pids: Vec<i32> =
        serde_json::from_str(&bench.runc("ps -f json is-entered").ok()).expect("JSON");
    assert!(pids.contains(&pid) && pids.len() == 2, "{pids:?}");

    // Created is enough; paused is not.
    bench.runc("pause is-entered").ok();
    assert_eq!(bench.status("is-entered"), "paused");
    bench
        .runc("exec is-entered true")
        .fails(255)
        .says(&["--ignore-paused"]);
    bench.runc("pause is-entered").fails(1);
    bench.runc("resume is-entered").ok();
    bench.runc("resume is-entered").fails(1);
    bench.runc("delete --force is-entered").ok();
    assert_eq!(kernel::cgroups_with("is-entered").len(), 0);
}

fn a_further_process_has_a_right_more_and_nothing_to_pass_on(host: &Host) {
    let bench = Bench::new(host);
    bench.configure(&["sleep", "1000"], |config| {
        let sets = &mut config["process"]["capabilities"];
        sets["inheritable"] = json!(["CAP_CHOWN"]);
        sets["ambient"] = json!(["CAP_CHOWN"]);
    });
    bench.aside("run -d has-rights").ok();
    let sets = |flags: &str| {
        let words = format!("exec {flags} has-rights cat /proc/self/status");
        let status = bench.runc(&words).ok();
        ["CapInh", "CapAmb", "CapEff", "CapBnd"].map(|name| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            u64::from_str_radix(number.expect("a set"), 16).expect("a number")
        })
    };
    // CAP_CHOWN is 0, CAP_KILL 5, CAP_SETGID 6, CAP_SETUID 7, CAP_SYSLOG 34.
    assert_eq!(sets(""), [1, 1, 0xe1, 0xe1]);
    let more = 0xe1 | 1 << 34;
    assert_eq!(sets("--cap CAP_SYSLOG"), [1, 1, more, more]);
    bench.runc("delete -f has-rights").ok();
}

fn the_master_of_a_terminal_goes_to_the_console_socket(host: &Host) {
    let bench = Bench::new(host);
    let terminal = |config: &mut Value| {
        config["process"]["terminal"] = json!(true);
        config["process"]["consoleSize"] = json!({"height": 33, "width": 99});
    };
    bench.configure(
        &["sh", "-c", "stty size; readlink /proc/self/fd/0; cat"],
        terminal,
    );
    bench
        .runc("create has-a-tty")
        .fails(1)
        .says(&["console socket"]);
    let socket = Console::at(&bench.bundle.join("console"));
    bench
        .aside("create --console-socket console has-a-tty")
        .ok();
    let master = socket.receive();
    bench.runc("start has-a-tty").ok();
    assert_eq!(
        read_until(&master, "/dev/pts/0\r\n"),
        "33 99\r\n/dev/pts/0\r\n"
    );

    bench
        .aside("exec -d -t --console-socket console has-a-tty sh -c 'echo I am $(tty); sleep 1000'")
        .ok();
    let second = socket.receive();
    assert!(read_until(&second, "\n").starts_with("I am /dev/pts/1"));
    bench
        .runc("exec --console-socket console has-a-tty true")
        .fails(255)
        .says(&["console socket"]);
    bench.runc("delete -f has-a-tty").ok();
    bench.configure(&["true"], |_| {});
    bench
        .runc("create --console-socket console no-tty")
        .fails(1)
        .says(&["no tty"]);
}

/// Where a container engine waits for a terminal.
struct Console(OwnedFd);

impl Console {
    fn at(path: &Path) -> Self {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        bind(&listener, &SocketAddrUnix::new(path).expect("an address")).expect("bound");
        listen(&listener, 4).expect("listening");
        Self(listener)
    }

    fn receive(&self) -> OwnedFd {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        let connection = rustix::net::accept(&self.0).expect("a connection");
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 256];
        let mut parts = [std::io::IoSliceMut::new(&mut name)];
        recvmsg(&connection, &mut parts, &mut control, RecvFlags::empty()).expect("a message");
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        rights.expect("a descriptor")
    }
}

fn read_until(master: &OwnedFd, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(end) {
        let length = rustix::io::read(master.as_fd(), &mut buffer).expect("output");
        text += &String::from_utf8_lossy(&buffer[..length]);
    }
    text
}
