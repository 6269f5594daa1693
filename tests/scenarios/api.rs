//! The Docker Engine API on a socket: Docker's own command at it, as at a daemon.

use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use testkit::{Call, Host, Running, eventually, kernel, requires, scenarios};

scenarios!(
    containers_live_as_at_a_daemon,
    streams_are_taken_over_and_come_to_an_end,
    images_are_built_and_carried,
    networks_and_volumes_are_made_and_removed,
    who_is_followed_hears_what_happens,
    a_socket_has_one_server_and_a_dead_one_is_replaced,
    a_listener_that_is_passed_is_served_until_nothing_is_asked,
    hostile_requests_are_refused_and_harm_nothing,
);

const CLIENT: &str = "/usr/bin/docker";

/// A server, and its clients.
pub(crate) struct Served<'a> {
    host: &'a Host,
    pub(crate) running: Running,
    pub(crate) socket: PathBuf,
}

impl<'a> Served<'a> {
    pub(crate) fn start(host: &'a Host) -> Self {
        requires!(Path::new(CLIENT).exists(), "Docker's command");
        let socket = host.folder("api").join("docker.sock");
        let running = host
            .dockless(&format!("serve -H unix://{}", socket.display()))
            .start();
        running.says("Listening on");
        Self {
            host,
            running,
            socket,
        }
    }

    pub(crate) fn client(&self, words: &str) -> Call {
        Call::tool(Path::new(CLIENT), words)
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            .env("DOCKER_BUILDKIT", "0")
            .env("HOME", self.host.folder("home"))
            .dir(self.host.folder("."))
    }

    /// What is said to a request, head and body.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("the server");
        // A server that has heard enough closes before all is said.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        self.raw(
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        )
    }
}

fn containers_live_as_at_a_daemon(host: &Host) {
    let served = Served::start(host);
    let at = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    at("run -d --name web --label tier=front -e A=1 -v data:/data busybox sleep 1000").ok();
    // One store, whoever asks.
    assert_eq!(host.docker("ps --format {{.Names}}").ok(), "web");
    assert_eq!(
        at("ps --filter label=tier=front --format {{.Names}}").ok(),
        "web"
    );
    assert_eq!(at("ps -q --filter label=tier=back").ok(), "");
    let pid = at("inspect -f {{.State.Pid}} web").ok();
    assert_eq!(pid, host.pid("web").to_string());
    assert!(at("top web").ok().contains("sleep 1000"));
    assert!(at("stats --no-stream web").ok().contains("web"));

    at("pause web").ok();
    assert_eq!(host.inspect("web", "{{.State.Status}}"), "paused");
    at("unpause web").ok();
    at("update --memory 64m --memory-swap 128m web").ok();
    assert_eq!(host.inspect("web", "{{.HostConfig.Memory}}"), "67108864");
    at("rename web www").ok();
    let own = host.folder("files").join("note");
    std::fs::write(&own, "carried").expect("a file");
    at(&format!("cp {} www:/data/note", own.display())).ok();
    assert_eq!(at("exec www cat /data/note").ok(), "carried");
    assert!(at("cp www:/data -").ok().contains("carried"));
    assert!(at("diff www").ok().contains("/data"));

    at("restart -t 0 www").ok();
    assert_ne!(host.pid("www").to_string(), pid);
    at("stop -t 0 www").ok();
    assert_eq!(at("wait www").ok(), "137");
    at("start www").ok();
    at("rm www").run().says(&["container is running"]);
    at("rm -f www").ok();
    assert_eq!(host.docker("ps -aq").ok(), "");
    at("run --rm --name again busybox sh -c 'exit 7'").fails(7);
    at("run --rm busybox nothing-of-this-name").fails(127);
    assert_eq!(
        at("ps -aq").ok(),
        "",
        "what failed to start went with its end"
    );
    at("inspect nobody").run().says(&["nobody"]);
    at("service ls").run().says(&["not a swarm manager"]);
    assert!(at("info").ok().contains("Server Version"));
    assert!(at("version").ok().contains("dockless"));
    assert!(at("system df").ok().contains("Images"));
}

fn streams_are_taken_over_and_come_to_an_end(host: &Host) {
    let served = Served::start(host);
    let at = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    let both = at("run --rm busybox sh -c 'echo out; echo err >&2; exit 3'").fails(3);
    assert_eq!(
        (both.stdout.as_str(), both.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(at("run --rm -i busybox cat").stdin("typed").ok(), "typed");
    // More than pipes and frames hold.
    let much = "x".repeat(3_000_000);
    let counted = at("run --rm -i busybox wc -c").stdin(much.clone()).ok();
    assert_eq!(counted.trim(), "3000000");
    let back = at("run --rm -i busybox cat").stdin(much.clone()).ok();
    assert_eq!(back.len(), much.len());

    at("run -d --name web busybox sleep 1000").ok();
    let both = at("exec web sh -c 'echo out; echo err >&2; exit 4'").fails(4);
    assert_eq!(
        (both.stdout.as_str(), both.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(at("exec -i web cat").stdin("through").ok(), "through");
    assert_eq!(
        at("exec -u 1000 -w /tmp -e A=b web sh -c 'id -u; pwd; echo $A'").ok(),
        "1000\n/tmp\nb"
    );
    at("exec web nothing-of-this-name").fails(127);
    at("exec -d web touch /tmp/was-here").ok();
    eventually("the detached process ran", || {
        (at("exec web ls /tmp").ok() == "was-here").then_some(())
    });

    let terminal = |words: &str| {
        Call::tool(Path::new("script"), "-qec")
            .arg(format!("{CLIENT} {words}"))
            .arg("/dev/null")
            .env("DOCKER_HOST", format!("unix://{}", served.socket.display()))
            .env("TERM", "xterm")
            .dir(host.folder("."))
    };
    let mut sitting =
        terminal("run --rm -it --name shell busybox sh -c 'read x; echo got $x; stty size'")
            .start();
    eventually("the container runs", || {
        (at("ps -q --filter name=shell").ok() != "").then_some(())
    });
    sitting.write(b"it\r");
    let (code, said) = sitting.end();
    assert!(code == 0 && said.contains("got it"), "{code}: {said}");
    let executed = terminal("exec -it web sh -c 'tty; exit 5'").run();
    assert!(
        executed.code == 5 && executed.all().contains("/dev/pts/"),
        "{executed}"
    );
}

fn images_are_built_and_carried(host: &Host) {
    let served = Served::start(host);
    let at = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    let context = host.folder("context");
    let file = "FROM busybox\nARG X=1\nRUN echo built $X > /made\nCOPY note /note\nCMD [\"cat\", \"/made\", \"/note\"]\n";
    std::fs::write(context.join("Dockerfile"), file).expect("a file");
    std::fs::write(context.join("note"), "noted\n").expect("a file");
    let told = at("build --build-arg X=9 -t app:1 context").ok();
    assert!(
        told.contains("Step 2/3 : RUN") && told.contains("Successfully tagged app:1"),
        "{told}"
    );
    assert_eq!(at("run --rm app:1").ok(), "built 9\nnoted");
    std::fs::write(context.join("Dockerfile"), "FROM busybox\nRUN exit 3\n").expect("a file");
    at("build context")
        .run()
        .says(&["The command '/bin/sh -c exit 3' returned a non-zero code: 3"]);

    assert!(at("history app:1").ok().contains("COPY"));
    at("tag app:1 app:2").ok();
    assert!(at("images --filter reference=app").ok().contains("app"));
    at("save -o app.tar app:1").ok();
    at("rmi app:1 app:2").ok();
    assert_eq!(at("load -i app.tar").ok(), "Loaded image: app:1");
    at("create --name made app:1").ok();
    at("commit -m changed made app:3").ok();
    at("tag app:3 app:4").ok();
    let from = at("inspect -f {{.Id}} app:1").ok();
    assert_eq!(at("inspect -f {{.Parent}} app:4").ok(), from);
    assert_eq!(host.docker("run --rm app:3").ok(), "built 9\nnoted");
    at("export -o files.tar made").ok();
    assert!(
        kernel::tool_ok(&format!(
            "tar tf {}",
            host.folder(".").join("files.tar").display()
        ))
        .contains("made")
    );
    at("import files.tar flat:1").ok();
    assert_eq!(at("run --rm flat:1 cat /note").ok(), "noted");
    at("rm made").ok();
    at("image prune -f").ok();
    at("pull nobody.invalid/nothing:1")
        .run()
        .says(&["pull access denied for nobody.invalid/nothing, repository does not exist"]);
    let said = served.post("/v1.41/images/load", "no image");
    assert!(
        said.contains(" 200 ") && said.contains("\"errorDetail\""),
        "{said}"
    );
}

fn networks_and_volumes_are_made_and_removed(host: &Host) {
    let served = Served::start(host);
    let at = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    at("network create --subnet 10.77.0.0/24 back").ok();
    at("run -d --name db --network back --network-alias store busybox sleep 1000").ok();
    assert!(
        at("run --rm --network back busybox nslookup store")
            .ok()
            .contains("10.77.0.")
    );
    at("network connect bridge db").ok();
    assert!(
        at("inspect -f '{{len .NetworkSettings.Networks}}' db")
            .ok()
            .contains('2')
    );
    at("network disconnect bridge db").ok();
    at("network disconnect -f bridge db")
        .run()
        .says(&["is not connected to network bridge"]);
    assert!(at("network inspect back").ok().contains("db"));
    at("network rm back").run().says(&["back"]);
    at("rm -f db").ok();
    at("network rm back").ok();
    assert!(!at("network ls").ok().contains("back"));

    at("volume create --label keep=no data").ok();
    assert!(at("volume inspect data").ok().contains("keep"));
    at("run -d --name user -v data:/data busybox sleep 1000").ok();
    at("volume rm data").run().says(&["in use"]);
    at("rm -f user").ok();
    at("volume rm data").ok();
    assert_eq!(at("volume ls -q").ok(), "");
}

fn who_is_followed_hears_what_happens(host: &Host) {
    let served = Served::start(host);
    let at = |words: &str| served.client(words);
    at("pull -q busybox").ok();
    let events = at("events --filter container=web --format {{.Action}}").start();
    let web = "run -d --name web busybox sh -c 'i=0; while [ $i -lt 1000 ]; do echo tick $i; i=$((i+1)); sleep 0.1; done'";
    // The stream is open once an event of it comes.
    eventually("the events are followed", || {
        at(web).ok();
        let heard = events.so_far().contains("start");
        if !heard {
            at("rm -f web").ok();
        }
        heard.then_some(())
    });
    let logs = at("logs -f --tail 1 -t web").start();
    logs.says("tick 5");
    assert!(at("logs web").ok().starts_with("tick 0"));
    at("kill web").ok();
    let (code, _) = logs.end();
    assert_eq!(code, 0, "the end of the container is the end of its log");
    events.says("die");
    events.kill_9();
    at("rm web").ok();
    // Until is a whole second, which has to pass.
    eventually("the past is told", || {
        let words = "events --since 1h --until 0s --filter container=web --format {{.Action}}";
        let past = at(words).ok();
        (past.contains("create") && past.contains("destroy")).then_some(())
    });
}

fn a_socket_has_one_server_and_a_dead_one_is_replaced(host: &Host) {
    let served = Served::start(host);
    let where_ = format!("unix://{}", served.socket.display());
    host.dockless(&format!("serve -H {where_}"))
        .fails(1)
        .says(&["answers", "already", "-H unix:///PATH"]);
    assert!(served.get("/_ping").ends_with("OK"));
    let mode = kernel::tool_ok(&format!("stat -c %a {}", served.socket.display()));
    assert_eq!(mode, "660");
    let socket = served.socket.clone();
    served.running.kill_9();
    assert!(socket.exists() && UnixStream::connect(&socket).is_err());
    let served = Served::start(host);
    assert!(served.get("/_ping").ends_with("OK"));
    served.running.signal(Signal::TERM);
    let (code, _) = served.running.end();
    assert!(code == 0 && !socket.exists(), "{code}");
    host.dockless("serve -H tcp://127.0.0.1:2375")
        .fails(1)
        .says(&["tcp://127.0.0.1:2375", "not offered over the network"]);
}

/// As systemd does it: the socket is there before, and comes as descriptor 3.
fn a_listener_that_is_passed_is_served_until_nothing_is_asked(host: &Host) {
    requires!(Path::new("/usr/bin/python3").exists(), "python3");
    let socket = host.folder("api").join("passed.sock");
    let script = format!(
        "import os,socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind({:?})\ns.listen()\nos.dup2(s.fileno(),3)\nos.set_inheritable(3,True)\nos.environ['LISTEN_FDS']='1'\nos.environ['LISTEN_PID']=str(os.getpid())\nos.execv({:?},['dockless','--root',{:?},'--run-root',{:?},'serve','--idle-timeout','1s'])",
        socket.display().to_string(),
        host.program("dockless").display().to_string(),
        host.data_root().display().to_string(),
        host.run_root().display().to_string(),
    );
    let running = Call::tool(Path::new("/usr/bin/python3"), "-c")
        .arg(script)
        .start();
    let mut stream = eventually("it is served", || UnixStream::connect(&socket).ok());
    stream
        .write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("a request");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("an answer");
    assert!(said.ends_with("OK"), "{said}");
    let (code, _) = running.end();
    assert_eq!(code, 0, "nothing was asked any more");
    assert!(socket.exists(), "the socket is whose it was");
}

fn hostile_requests_are_refused_and_harm_nothing(host: &Host) {
    let served = Served::start(host);
    served.client("pull -q busybox").ok();
    served.client("run -d --name web busybox sleep 1000").ok();
    let deep = format!("{{\"Image\":\"busybox\",\"X\":{}", "[".repeat(200_000));
    let long = format!("{{\"Image\":\"{}\"}}", "i".repeat(5_000_000));
    for (body, code) in [
        (deep.as_str(), " 400 "),
        (long.as_str(), " 400 "),
        (
            "{\"Image\":\"busybox\",\"HostConfig\":{\"Memory\":1e999}}",
            " 400 ",
        ),
        (
            "{\"Image\":\"busybox\",\"HostConfig\":{\"Memory\":\"all\"}}",
            " 400 ",
        ),
        ("{\"Image\":[]}", " 400 "),
        ("[]", " 400 "),
        ("{\"Image\":\"../../etc\"}", " 404 "),
        ("{}", " 400 "),
    ] {
        let said = served.post("/v1.41/containers/create", body);
        assert!(
            said.starts_with("HTTP/1.1") && said.contains(code),
            "{}: {said}",
            &body[..body.len().min(80)]
        );
    }
    for (path, code) in [
        (
            "/v1.41/containers/json?filters=%7B%22status%22%3A7%7D",
            " 400 ",
        ),
        ("/v1.41/containers/json?limit=many", " 400 "),
        ("/v1.41/volumes/..%2f..%2fcontainers", " 404 "),
        ("/v1.41/exec/..%2f..%2fetc%2fpasswd/json", " 404 "),
        ("/v1.41/containers/..%2fweb/json", " 404 "),
        ("/v1.41/networks/%00/", " 404 "),
        ("/v1.41/images/..%2f..%2f/json", " 404 "),
        ("/v1.23/info", " 400 "),
        ("/v1.48/info", " 400 "),
        ("/nothing", " 404 "),
        (
            "/v1.41/containers/web/archive?path=/../../../etc/nothing-there",
            " 404 ",
        ),
    ] {
        let said = served.get(path);
        assert!(said.contains(code), "{path}: {said}");
    }
    // Not HTTP, half a request, two lengths.
    served.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc");
    let header = format!(
        "GET /_ping HTTP/1.1\r\nX: {}\r\n\r\n",
        "x".repeat(2_000_000)
    );
    let said = served.raw(header.as_bytes());
    assert!(!said.contains(" 200 "), "{said}");
    let said = served.raw(b"POST /v1.41/containers/prune HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n");
    assert!(!said.contains(" 200 "), "{said}");
    // A tar that climbs out, and none at all.
    let put = |bytes: &[u8]| {
        let mut request = format!(
            "PUT /v1.41/containers/web/archive?path=/tmp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        )
        .into_bytes();
        request.extend(bytes);
        served.raw(&request)
    };
    let dir = host.folder("tar");
    std::fs::write(dir.join("evil"), "out").expect("a file");
    kernel::tool_ok(&format!(
        "tar -C {0} -P --transform s,evil,../../../escaped, -cf {0}/evil.tar evil",
        dir.display()
    ));
    let evil = std::fs::read(dir.join("evil.tar")).expect("a tar");
    assert!(!put(&evil).contains(" 200 "));
    assert!(!put(&[0x41; 2048]).contains(" 200 "));
    assert!(served.get("/_ping").ends_with("OK"), "it is still there");
    assert_eq!(host.docker("ps --format {{.Names}}").ok(), "web");
}
