//! `RUN --mount=type=ssh`: an agent of the caller's, or key files, behind a socket in the step; OpenSSH's own programs on both ends.

#![expect(
    clippy::disallowed_methods,
    reason = "OpenSSH's programs are what the steps are held against"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use testkit::{Host, Project, eventually, kernel, requires, scenarios};

scenarios!(
    a_step_uses_an_agent_and_cannot_change_it,
    key_files_sign_and_compose_hands_them_over,
    who_gets_no_agent_is_told,
);

/// An agent as users have one; gone at the end.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(host: &Host) -> Self {
        let socket = host.folder("agent").join("socket");
        let mut call = Command::new("ssh-agent");
        let process = call.arg("-D").arg("-a").arg(&socket).spawn();
        let process = process.expect("ssh-agent");
        eventually("the agent's socket", || socket.exists().then_some(()));
        Self { process, socket }
    }

    fn tool(&self, words: &[&str]) -> String {
        let mut call = Command::new("ssh-add");
        let output = call.args(words).env("SSH_AUTH_SOCK", &self.socket).output();
        let output = output.expect("ssh-add");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn add(&self, key: &Path) {
        self.tool(&["-q", &key.display().to_string()]);
    }

    fn list(&self) -> String {
        self.tool(&["-l"])
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn installed() -> bool {
    let names = ["ssh-agent", "ssh-add", "ssh-keygen"];
    names
        .iter()
        .all(|name| Path::new("/usr/bin").join(name).exists())
}

/// A new key, and its public half as a line.
fn key(path: &Path, kind: &str) -> String {
    kernel::tool_ok(&format!(
        "ssh-keygen -q -N '' -t {kind} -C {kind} -f {}",
        path.display()
    ));
    std::fs::read_to_string(path.with_extension("pub")).expect("a key")
}

/// A context with OpenSSH's programs and what they are linked with, to be called by `/ssh/run PROGRAM`.
fn context<'a>(host: &'a Host, name: &str, yaml: &str) -> Project<'a> {
    let project = host.compose_file(name, yaml);
    let dir = project.dir().join("ssh");
    std::fs::create_dir_all(&dir).expect("a directory");
    for program in ["ssh-add", "ssh-keygen"] {
        let path = format!("/usr/bin/{program}");
        std::fs::copy(&path, dir.join(program)).expect("a copy");
        for word in kernel::tool_ok(&format!("ldd {path}")).split_whitespace() {
            let library = Path::new(word);
            if let (true, Some(name)) = (library.is_absolute(), library.file_name()) {
                std::fs::copy(library, dir.join(name)).expect("a copy");
            }
        }
    }
    let run = "#!/bin/sh\nprogram=$1; shift\nexec /ssh/ld-linux-x86-64.so.2 --library-path /ssh /ssh/$program \"$@\"\n";
    project.write("ssh/run", run);
    project
}

const USES: &str = "\
FROM busybox
COPY --chmod=755 ssh /ssh
RUN --mount=type=ssh echo $SSH_AUTH_SOCK > /where; stat -c '%a %u %F' $SSH_AUTH_SOCK >> /where; /ssh/run ssh-add -l > /listed
RUN --mount=type=ssh --mount=type=ssh,id=other,target=/tmp/sock,mode=0666,uid=7 /ssh/run ssh-add -D; /ssh/run ssh-add -X; \
stat -c '%a %u' /tmp/sock > /second || echo none > /second
RUN echo ${SSH_AUTH_SOCK:-none} > /without
";

fn a_step_uses_an_agent_and_cannot_change_it(host: &Host) {
    requires!(installed(), "openssh-client");
    let agent = Agent::start(host);
    let keys = host.folder("keys");
    key(&keys.join("mine"), "ed25519");
    agent.add(&keys.join("mine"));
    let listed = agent.list();
    let project = context(host, "agent", "");
    project.write("Dockerfile", USES);
    let build = |words: &str| {
        let call = host.docker(&format!("build {words} -t used ."));
        let output = call
            .dir(project.dir())
            .env("SSH_AUTH_SOCK", &agent.socket)
            .run();
        assert_eq!(output.code, 0, "{output}");
        output
    };
    build("--ssh default");
    let seen = |path: &str| host.docker(&format!("run --rm used cat {path}")).ok();
    assert_eq!(seen("/where"), "/run/buildkit/ssh_agent.0\n600 0 socket");
    assert_eq!(seen("/listed").trim(), listed.trim());
    assert_eq!(seen("/second"), "none", "not handed over, not required");
    assert_eq!(seen("/without"), "none");
    assert_eq!(agent.list(), listed, "no step has changed it");
    let left =
        "run --rm used find / -xdev -name 'ssh_agent*' -o -xdev -name buildkit -o -xdev -name sock";
    assert_eq!(
        host.docker(left).ok(),
        "",
        "nothing of a socket is in a layer"
    );
    key(&keys.join("second"), "ecdsa");
    agent.add(&keys.join("second"));
    let again = build("--ssh default");
    assert!(again.all().contains("CACHED"), "{again}");
    assert_eq!(
        seen("/listed").trim(),
        listed.trim(),
        "other keys run no step again"
    );
    build(&format!(
        "--no-cache --ssh default --ssh other={}",
        agent.socket.display()
    ));
    assert_eq!(seen("/second"), "666 7");
    assert_eq!(seen("/listed").lines().count(), 2);
}

const SIGNS: &str = "\
FROM busybox
COPY --chmod=755 ssh /ssh
COPY --from=public . /keys
RUN --mount=type=ssh,id=files,required \
for key in /keys/*.pub; do echo data > /data; /ssh/run ssh-keygen -Y sign -n file -f $key /data && mv /data.sig $key.sig || exit 1; done
";

/// That what the image has is a signature of `data` by a key.
fn check(host: &Host, project: &Project<'_>, name: &str) {
    let signature = host
        .docker(&format!("run --rm signed cat /keys/{name}.pub.sig"))
        .ok();
    project.write("sig", &(signature + "\n"));
    project.write("data", "data\n");
    let script = format!(
        "cd {}; exec ssh-keygen -Y check-novalidate -n file -s sig < data",
        project.dir().display()
    );
    let checked = Command::new("sh")
        .arg("-c")
        .arg(script)
        .output()
        .expect("sh");
    assert!(checked.status.success(), "{name}: {checked:?}");
}

fn key_files_sign_and_compose_hands_them_over(host: &Host) {
    requires!(installed(), "openssh-client");
    let project = context(host, "files", "");
    project.write("Dockerfile", SIGNS);
    let kinds = ["ed25519", "rsa", "ecdsa"];
    let mut paths = Vec::new();
    for kind in kinds {
        let path = host.folder("keys").join(kind);
        project.write(&format!("public/{kind}.pub"), &key(&path, kind));
        paths.push(path.display().to_string());
    }
    let words = format!(
        "build -t signed --build-context public=public --ssh files={} .",
        paths.join(",")
    );
    let built = host.docker(&words).dir(project.dir()).run();
    assert_eq!(built.code, 0, "{built}");
    for kind in kinds {
        check(host, &project, kind);
    }
    for (name, ssh) in [("list", "['files=./one']"), ("map", "{files: ./one}")] {
        let yaml = format!(
            "services:\n  app:\n    image: signed\n    build:\n      context: .\n      ssh: {ssh}\n      additional_contexts: {{public: ./public}}\n"
        );
        let project = context(host, name, &yaml);
        project.write("Dockerfile", SIGNS);
        project.write(
            "public/one.pub",
            &key(&project.dir().join("one"), "ed25519"),
        );
        let output = project.compose("build").run();
        assert_eq!(output.code, 0, "{ssh}: {output}");
        check(host, &project, "one");
    }
}

fn who_gets_no_agent_is_told(host: &Host) {
    let project = host.compose_file("none", "");
    project.write(
        "Dockerfile",
        "FROM busybox\nRUN --mount=type=ssh,id=github,required true\n",
    );
    let build = |words: &str| {
        let call = host.docker(&format!("build {words} ."));
        call.dir(project.dir()).without("SSH_AUTH_SOCK")
    };
    build("")
        .fails(1)
        .says(&["github", "--ssh github", "Dockerfile:2"]);
    project.write("text", "no key\n");
    for (words, said) in [
        ("--ssh default", "ssh-agent"),
        ("--ssh default=/no/such", "/no/such"),
        ("--ssh a=text", "no private key"),
        ("--ssh a=text,raw=true", "raw"),
    ] {
        let output = build(words).run();
        assert_ne!(output.code, 0, "{words}: {output}");
        output.says(&[said]);
    }
}
