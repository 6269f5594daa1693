//! The other end of pull and push: Debian's `docker-registry`, with or without a password file, TLS, or another registry behind it; and
//! a connection to it that breaks.

use crate::Host;
use crate::kernel::tool_ok;
use crate::wait::eventually;
use std::fs;
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
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
        Self::run(host, &format!("127.0.0.1:{port}"), "", "")
    }

    /// One that fetches from another what it does not have, and keeps it.
    pub fn cache_of(host: &Host, port: u16, other: &Registry) -> Self {
        let proxy = format!("proxy:\n  remoteurl: http://{}\n", other.address);
        Self::run(host, &format!("127.0.0.1:{port}"), "", &proxy)
    }

    /// One with a certificate, at an address that is nobody's loopback; `client_ca`: whose certificates it wants to be shown.
    pub fn with_tls(
        host: &Host,
        address: &str,
        certificate: &Path,
        key: &Path,
        client_ca: &Path,
    ) -> Self {
        let tls = format!(
            "  tls:\n    certificate: {}\n    key: {}\n    clientcas: [{}]\n",
            certificate.display(),
            key.display(),
            client_ca.display()
        );
        Self::run(host, address, &tls, "")
    }

    /// One that is set up in its own way: lines of its `http` section, and others after it.
    pub fn set_up(host: &Host, address: &str, http: &str, more: &str) -> Self {
        Self::run(host, address, http, more)
    }

    /// One that asks for this name and password.
    pub fn with_password(host: &Host, port: u16, name: &str, password: &str) -> Self {
        Self::with_password_at(host, &format!("127.0.0.1:{port}"), name, password)
    }

    /// The same at another address.
    pub fn with_password_at(host: &Host, address: &str, name: &str, password: &str) -> Self {
        let file = host.folder("registry").join("htpasswd");
        tool_ok(&format!(
            "htpasswd -Bbc {} {name} {password}",
            file.display()
        ));
        let auth = format!(
            "auth:\n  htpasswd:\n    realm: scenarios\n    path: {}\n",
            file.display()
        );
        Self::run(host, address, "", &auth)
    }

    /// One that wants a token of this service.
    pub fn with_tokens(host: &Host, port: u16, tokens: &crate::TokenService) -> Self {
        use crate::token::{ISSUER, SERVICE};
        let auth = format!(
            "auth:\n  token:\n    realm: http://{}/token\n    service: {SERVICE}\n    issuer: {ISSUER}\n    rootcertbundle: {}\n",
            tokens.address,
            tokens.certificate.display()
        );
        Self::run(host, &format!("127.0.0.1:{port}"), "", &auth)
    }

    pub fn installed() -> bool {
        Path::new("/usr/bin/docker-registry").exists()
    }

    fn run(host: &Host, address: &str, tls: &str, more: &str) -> Self {
        let dir = host.folder(&format!(
            "registry-{}",
            address.replace([':', '[', ']'], "-")
        ));
        let config = dir.join("config.yml");
        let storage = dir.join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: '{address}'\n{tls}{more}",
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
            address: address.to_owned(),
        };
        eventually("the registry answers", || {
            TcpStream::connect(&registry.address).ok()
        });
        registry
    }
}

/// A way to a registry on which connections break: each of the first ones after so many bytes of answers.
#[derive(Debug)]
pub struct BrokenWay {
    pub address: String,
}

impl BrokenWay {
    /// Threads end with the process.
    pub fn to(registry: &Registry, cuts: &[u64]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (target, cuts) = (registry.address.clone(), cuts.to_vec());
        std::thread::spawn(move || {
            let mut cuts = cuts.into_iter();
            for client in listener.incoming().flatten() {
                let limit = cuts.next().unwrap_or(u64::MAX);
                let Ok(server) = TcpStream::connect(&target) else {
                    return;
                };
                let (Ok(mut asked), Ok(mut asks)) = (client.try_clone(), server.try_clone()) else {
                    return;
                };
                std::thread::spawn(move || std::io::copy(&mut asked, &mut asks));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut (&server).take(limit), &mut &client);
                    let _ = client.shutdown(Shutdown::Both);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
