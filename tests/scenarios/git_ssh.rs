//! Repositories behind ssh: the user's own program reaches them, a stand-in that says what it was told, and OpenSSH with its server.

#![expect(
    clippy::disallowed_methods,
    reason = "OpenSSH's programs are what is held against"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use testkit::git::GitServer;
use testkit::{Host, eventually, requires, scenarios};

scenarios!(
    the_users_ssh_brings_repositories,
    what_others_wrote_cannot_use_the_users_ssh,
    an_address_cannot_become_an_option_of_ssh,
    a_real_server_is_known_by_its_key,
);

/// An `ssh` that runs its last word here, and writes down all of them.
struct StandIn {
    program: PathBuf,
    log: PathBuf,
}

impl StandIn {
    /// `before` is done before the server is run.
    fn new(host: &Host, before: &str) -> Self {
        let dir = host.folder("stand-in");
        let (program, log) = (dir.join("my ssh"), dir.join("log"));
        let text = format!(
            "#!/bin/sh\necho \"$GIT_PROTOCOL $*\" >>'{}'\n{before}\nfor last; do :; done\nexec sh -c \"$last\"\n",
            log.display()
        );
        fs::write(&program, text).expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
        Self { program, log }
    }

    /// As users write it: a command line.
    fn command(&self) -> String {
        format!("'{}' -F none", self.program.display())
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

const DOCKERFILE: &str = "FROM busybox\nCOPY said /said\nCMD cat /said\n";

fn the_users_ssh_brings_repositories(host: &Host) {
    requires!(GitServer::installed(), "git");
    let server = GitServer::start(host, None);
    let compose = "services:\n  web: {image: busybox, command: here}\n";
    let files = [
        ("it's/Dockerfile", DOCKERFILE),
        ("it's/said", "by ssh\n"),
        ("compose.yaml", compose),
    ];
    server.repository("shop's", &files);
    let path = server.path("shop's").display().to_string();
    let ssh = StandIn::new(host, "");
    host.docker("pull busybox").ok();
    host.docker(&format!(
        "build -t one \"ssh://me:pw@git.example:2222{path}#main:it's\""
    ))
    .env("GIT_SSH_COMMAND", ssh.command())
    .ok();
    assert_eq!(host.docker("run --rm one").ok(), "by ssh");
    let calls = ssh.calls();
    assert!(!calls.is_empty());
    for call in &calls {
        assert!(
            call.starts_with("version=2 -F none -o BatchMode=yes -o SendEnv=GIT_PROTOCOL -p 2222 me@git.example git-upload-pack '"),
            "{call}"
        );
    }
    // Compose files and what they build come the same way.
    let config = host
        .docker(&format!(
            "compose -f \"ssh://git.example{path}#main\" config"
        ))
        .env("GIT_SSH", ssh.program.display().to_string())
        .ok();
    assert!(config.contains("- here"), "{config}");
    let project = host.compose_file(
        "there",
        &format!(
            "services:\n  web:\n    image: two\n    build: \"ssh://git.example{path}#main:it's\"\n"
        ),
    );
    project
        .compose("build")
        .env("GIT_SSH_COMMAND", ssh.command())
        .ok();
    assert_eq!(host.docker("run --rm two").ok(), "by ssh");

    // A server that keeps the variable from git is told the version otherwise.
    let deaf = StandIn::new(host, "unset GIT_PROTOCOL");
    host.docker(&format!(
        "build --no-cache -t three \"ssh://git.example{path}#main:it's\""
    ))
    .env("GIT_SSH_COMMAND", deaf.command())
    .ok();
    assert_eq!(host.docker("run --rm three").ok(), "by ssh");
}

fn what_others_wrote_cannot_use_the_users_ssh(host: &Host) {
    requires!(GitServer::installed(), "git");
    let server = GitServer::start(host, None);
    server.repository("lib", &[("file", "text\n")]);
    let address = format!("ssh://git.example{}", server.path("lib").display());
    let ssh = StandIn::new(host, "");
    host.docker("pull busybox").ok();
    let context = host.folder("context");
    fs::write(
        context.join("Dockerfile"),
        format!("FROM busybox\nADD {address} /lib\n"),
    )
    .expect("a Dockerfile");
    let build = |more: &str| {
        host.docker(&format!("build {more} -t added {}", context.display()))
            .env("GIT_SSH_COMMAND", ssh.command())
    };
    build("").fails(1).says(&["--ssh", "https://git.example/"]);
    // So is a submodule of a repository that came by HTTP.
    let url = server.repository("app", &[("Dockerfile", "FROM busybox\n")]);
    let commit = server.git("lib", &["rev-parse", "HEAD"]);
    let modules = format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {address}\n");
    fs::write(server.path("app").join(".gitmodules"), modules).expect("a file");
    let entry = format!("160000,{commit},lib");
    server.git("app", &["update-index", "--add", "--cacheinfo", &entry]);
    server.git("app", &["add", ".gitmodules"]);
    server.git("app", &["commit", "-q", "-m", "submodule"]);
    host.docker(&format!("build {url}"))
        .env("GIT_SSH_COMMAND", ssh.command())
        .fails(1)
        .says(&["submodule lib", "ssh"]);
    assert_eq!(ssh.calls(), Vec::<String>::new(), "it was not run");

    // Who hands keys over means it.
    let key = host.folder("keys").join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    requires!(made.is_ok_and(|status| status.success()), "ssh-keygen");
    build(&format!("--ssh default={}", key.display())).ok();
    assert_eq!(host.docker("run --rm added cat /lib/file").ok(), "text");
}

fn an_address_cannot_become_an_option_of_ssh(host: &Host) {
    let ssh = StandIn::new(host, "");
    let mark = host.folder("mark").join("made");
    for address in [
        format!("ssh://-oProxyCommand=touch%20{}/x.git", mark.display()),
        format!("ssh://%2doProxyCommand=touch%20x@h{}", mark.display()),
        "git@h:-u".to_owned(),
    ] {
        host.docker(&format!("build \"{address}\""))
            .env("GIT_SSH_COMMAND", ssh.command())
            .fails(1)
            .says(&["dash"]);
    }
    // Neither is a command line a script.
    host.docker("build git@h:x.git")
        .env(
            "GIT_SSH_COMMAND",
            format!("touch {} ; true", mark.display()),
        )
        .fails(1);
    assert_eq!(ssh.calls(), Vec::<String>::new());
    host.docker("build git@h:x.git")
        .env("GIT_SSH_COMMAND", "/no/such/ssh")
        .fails(1)
        .says(&["/no/such/ssh", "OpenSSH", "https://h/x.git"]);
    host.docker("build git@h:x.git")
        .env("GIT_SSH_COMMAND", ssh.command())
        .fails(1)
        .says(&[
            "cannot be reached by ssh",
            "does not appear to be a git repository",
        ]);
}

/// OpenSSH's server for one key, on a port of its own.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SSHD: &str = "/usr/sbin/sshd";

fn a_real_server_is_known_by_its_key(host: &Host) {
    requires!(Path::new(SSHD).exists(), "openssh-server");
    requires!(GitServer::installed(), "git");
    let git = GitServer::start(host, None);
    git.repository("app", &[("Dockerfile", DOCKERFILE), ("said", "by sshd\n")]);
    let dir = host.folder("sshd");
    let file = |name: &str| dir.join(name).display().to_string();
    for name in ["host", "user"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f", &file(name)])
            .status();
        assert!(made.is_ok_and(|status| status.success()));
    }
    fs::copy(file("user.pub"), file("authorized")).expect("a copy");
    // It insists on this directory, whose place cannot be said.
    let _ = fs::create_dir("/run/sshd");
    let config = format!(
        "Port 2299\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
         PermitRootLogin yes\nPasswordAuthentication no\nAcceptEnv GIT_PROTOCOL\n",
        file("host"),
        file("authorized")
    );
    fs::write(file("config"), config).expect("a file");
    let child = Command::new(SSHD)
        .args(["-D", "-e", "-f", &file("config")])
        .stderr(Stdio::null())
        .spawn();
    let _server = Server(child.expect("sshd"));
    eventually("sshd", || {
        std::net::TcpStream::connect("127.0.0.1:2299").ok()
    });
    let ssh = format!(
        "ssh -F none -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={}",
        file("user"),
        file("known")
    );
    let address = format!("ssh://root@127.0.0.1:2299{}", git.path("app").display());
    host.docker("pull busybox").ok();
    host.docker(&format!("build -t app {address}"))
        .env("GIT_SSH_COMMAND", &ssh)
        .fails(1)
        .says(&["Host key verification failed", "connect once by hand"]);
    let key = fs::read_to_string(file("host.pub")).expect("a key");
    fs::write(file("known"), format!("[127.0.0.1]:2299 {key}")).expect("a file");
    host.docker(&format!("build -t app {address}"))
        .env("GIT_SSH_COMMAND", &ssh)
        .ok();
    assert_eq!(host.docker("run --rm app").ok(), "by sshd");
    fs::write(file("authorized"), "").expect("a file");
    host.docker(&format!("build --no-cache -t app {address}"))
        .env("GIT_SSH_COMMAND", &ssh)
        .fails(1)
        .says(&["Permission denied", "agent"]);
}
