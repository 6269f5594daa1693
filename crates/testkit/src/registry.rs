//! The other end of pull and push: Debian's `docker-registry` on loopback, with or without a password file.

use crate::kernel::tool_ok;
use crate::wait::eventually;
use crate::{Host, http};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running registry; killed when dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    pub address: String,
}

impl Registry {
    /// An open one.
    pub fn start(host: &Host, port: u16) -> Self {
        Self::run(host, port, "")
    }

    /// One that asks for this name and password.
    pub fn with_password(host: &Host, port: u16, name: &str, password: &str) -> Self {
        let file = host.folder("registry").join("htpasswd");
        tool_ok(&format!(
            "htpasswd -Bbc {} {name} {password}",
            file.display()
        ));
        Self::run(
            host,
            port,
            &format!(
                "auth:\n  htpasswd:\n    realm: scenarios\n    path: {}\n",
                file.display()
            ),
        )
    }

    pub fn installed() -> bool {
        Path::new("/usr/bin/docker-registry").exists()
    }

    fn run(host: &Host, port: u16, auth: &str) -> Self {
        let dir = host.folder(&format!("registry-{port}"));
        let config = dir.join("config.yml");
        let storage = dir.join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:{port}\n{auth}",
            storage.display()
        );
        fs::write(&config, text).expect("a configuration");
        let mut command = Command::new("/usr/bin/docker-registry");
        command
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let registry = Self {
            child: command.spawn().expect("docker-registry"),
            address: format!("127.0.0.1:{port}"),
        };
        eventually("the registry answers", || {
            http::get(&registry.address, "/v2/")
        });
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
