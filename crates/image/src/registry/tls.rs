//! Whose certificates are believed and which one is shown: the host's roots, and for one registry the files of Docker's, containers' and
//! containerd's `certs.d` or of a `hosts.toml`. Read when the first TLS connection is made, never earlier.
//!
//! ```text
//! certs.d/<host[:port]>/*.crt          roots
//! certs.d/<host[:port]>/x.cert x.key   what we show
//! ```

use super::endpoint::Transport;
use super::{Error, RegistryOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};

/// For one host; `verify`: only a certificate somebody vouches for will do.
pub(super) fn config(
    host: &str,
    verify: bool,
    transport: &Transport,
    options: &RegistryOptions,
) -> Result<TlsConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let (mut own_roots, mut client) = (Vec::new(), None);
    for path in &transport.ca {
        own_roots.extend(certificates(path)?);
    }
    for (certificate, key) in &transport.client {
        client = client.or(Some(pair(
            certificate,
            key.as_ref().unwrap_or(certificate),
        )?));
    }
    for dir in &options.certs_dirs {
        from_dir(dir, host, &mut own_roots, &mut client)?;
    }
    let builder = builder.client_cert(client);
    if !verify {
        let none = RootCerts::Specific(Arc::new(Vec::new()));
        return Ok(builder.disable_verification(true).root_certs(none).build());
    }
    let native = rustls_native_certs::load_native_certs().certs;
    if native.is_empty() && own_roots.is_empty() {
        // A host without a CA bundle (an initramfs): Mozilla's list as of the build.
        return Ok(builder.root_certs(RootCerts::WebPki).build());
    }
    let mut roots: Vec<Certificate<'static>> = native
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    roots.extend(own_roots);
    Ok(builder
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build())
}

fn from_dir(
    dir: &Path,
    host: &str,
    roots: &mut Vec<Certificate<'static>>,
    client: &mut Option<ClientCert>,
) -> Result<(), Error> {
    let plain = dir.join(host);
    let other = host
        .rsplit_once(':')
        .map(|(name, port)| dir.join(format!("{name}_{port}_")));
    for dir in std::iter::once(plain).chain(other) {
        // Beside a hosts.toml files are what it says they are.
        if dir.join("hosts.toml").exists() {
            continue;
        }
        let mut files: Vec<PathBuf> = match std::fs::read_dir(&dir) {
            Ok(entries) => entries.flatten().map(|e| e.path()).collect(),
            Err(_) => continue,
        };
        files.sort();
        for path in files {
            match path.extension().and_then(|e| e.to_str()) {
                Some("crt") => roots.extend(certificates(&path)?),
                Some("cert") => {
                    let shown = pair(&path, &path.with_extension("key"))?;
                    client.get_or_insert(shown);
                }
                Some("key") if !path.with_extension("cert").exists() => {
                    return Err(bad(
                        &path,
                        format!(
                            "its certificate {} is missing",
                            path.with_extension("cert").display()
                        ),
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn bad(path: &Path, message: impl Into<String>) -> Error {
    Error::Certificate {
        path: path.into(),
        message: message.into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| bad(path, e.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let pem = read(path)?;
    let items = ureq::tls::parse_pem(&pem).filter_map(Result::ok);
    let found: Vec<_> = items
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    match found.is_empty() {
        true => Err(bad(path, "there is no certificate in it (PEM is wanted)")),
        false => Ok(found),
    }
}

fn pair(certificate: &Path, key: &Path) -> Result<ClientCert, Error> {
    let chain = certificates(certificate)?;
    let pem = read(key)?;
    let no_key = |_| bad(key, "there is no private key in it (PEM is wanted)");
    let private = PrivateKey::from_pem(&pem).map_err(no_key)?;
    // Tried here, where it is an error with a file's name: later it would end the process.
    let refused = |e: rustls::Error| {
        bad(
            certificate,
            format!("it cannot be shown with the key {}: {e}", key.display()),
        )
    };
    try_out(&chain, &pem).map_err(refused)?;
    Ok(ClientCert::new_with_certs(&chain, private))
}

fn try_out(chain: &[Certificate<'static>], key: &[u8]) -> Result<(), rustls::Error> {
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|e| rustls::Error::General(e.to_string()))?;
    let chain = chain
        .iter()
        .map(|c| CertificateDer::from(c.der().to_vec()))
        .collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(rustls::RootCertStore::empty());
    builder.with_client_auth_cert(chain, key).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(files: &[(&str, &str)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let of_host = dir.path().join("r.example:5000");
        std::fs::create_dir(&of_host).unwrap();
        for (name, text) in files {
            std::fs::write(of_host.join(name), text).unwrap();
        }
        let options = RegistryOptions {
            certs_dirs: vec![dir.path().into()],
            ..RegistryOptions::default()
        };
        match config("r.example:5000", true, &Transport::default(), &options) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        assert_eq!(said(&[("README", "x")]), "");
        for (files, wanted) in [
            (&[("ca.crt", "rubbish")][..], "ca.crt"),
            (&[("client.key", "x")], "client.cert is missing"),
            (&[("client.cert", "x")], "client.cert"),
        ] {
            let text = said(files);
            assert!(text.contains(wanted), "{text}");
        }
        assert_eq!(said(&[("hosts.toml", ""), ("client.key", "x")]), "");
    }
}
