//! Keys as ssh-keygen and openssl write them, what they sign, and what nobody may ask.

use super::container::BadKey;
use super::served::{Owner, Served, answer};
use super::wire::{self, Reader};
use super::*;
use proptest::prelude::*;
use ring::signature::{self, UnparsedPublicKey};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

#[expect(
    clippy::disallowed_methods,
    reason = "the programs whose keys and signatures ours are held against"
)]
fn tool(words: &[&str]) {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .expect("openssh-client and openssl are installed");
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// A key that ssh-keygen makes, and what it says of its public half.
fn made(dir: &Path, kind: &[&str]) -> (PathBuf, String) {
    let path = dir.join(kind.join("-"));
    let mut words = vec!["ssh-keygen", "-q", "-N", "", "-C", "mine", "-f"];
    words.push(path.to_str().unwrap());
    words.push("-t");
    words.extend(kind);
    tool(&words);
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (path, public.split(' ').nth(1).unwrap().to_owned())
}

fn sign(key: &Key, flags: u32) -> (String, Vec<u8>) {
    let mut request = vec![wire::SIGN_REQUEST];
    wire::put_string(&mut request, key.public());
    wire::put_string(&mut request, b"data");
    request.extend(flags.to_be_bytes());
    let keys = [Key::parse(&std::fs::read(&key.comment).unwrap()).unwrap()];
    let answer = answer(&keys, &request);
    assert_eq!(answer[0], wire::SIGN_RESPONSE);
    let signature = Reader(&answer[1..]).string().unwrap();
    let mut reader = Reader(signature);
    let kind = String::from_utf8(reader.string().unwrap().to_vec()).unwrap();
    (kind, reader.string().unwrap().to_vec())
}

/// The key under its path, so that [`sign`] can read it as an agent does.
fn key(path: &Path) -> Key {
    let mut key = Key::parse(&std::fs::read(path).unwrap()).unwrap();
    key.comment = path.display().to_string();
    key
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn keys_of_openssh_sign() {
    let dir = tempfile::tempdir().unwrap();
    let (path, public) = made(dir.path(), &["ed25519"]);
    let ed25519 = key(&path);
    assert_eq!(base64(ed25519.public()), public);
    assert_eq!(
        Key::parse(&std::fs::read(&path).unwrap()).unwrap().comment,
        "mine"
    );
    let (kind, bytes) = sign(&ed25519, 0);
    let point = &ed25519.public()[19..];
    assert_eq!(kind, "ssh-ed25519");
    UnparsedPublicKey::new(&signature::ED25519, point)
        .verify(b"data", &bytes)
        .unwrap();
    for _ in 0..3 {
        let (path, public) = made(dir.path(), &["rsa", "-b", "2048"]);
        let rsa = key(&path);
        assert_eq!(base64(rsa.public()), public);
        let mut reader = Reader(rsa.public());
        reader.string().unwrap();
        let (e, n) = (reader.integer().unwrap(), reader.integer().unwrap());
        let public = signature::RsaPublicKeyComponents { n, e };
        let (kind, bytes) = sign(&rsa, 4);
        assert_eq!(kind, "rsa-sha2-512");
        public
            .verify(&signature::RSA_PKCS1_2048_8192_SHA512, b"data", &bytes)
            .unwrap();
        let (kind, bytes) = sign(&rsa, 2);
        assert_eq!(kind, "rsa-sha2-256");
        public
            .verify(&signature::RSA_PKCS1_2048_8192_SHA256, b"data", &bytes)
            .unwrap();
        assert_eq!(rsa.sign(b"data", 0), None, "SHA-1");
        std::fs::remove_file(&path).unwrap();
    }
    for bits in ["256", "384"] {
        let (path, public) = made(dir.path(), &["ecdsa", "-b", bits]);
        let ecdsa = key(&path);
        assert_eq!(base64(ecdsa.public()), public);
        assert_eq!(sign(&ecdsa, 0).0, format!("ecdsa-sha2-nistp{bits}"));
    }
}

#[test]
fn keys_of_openssl_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    tool(&[
        "openssl",
        "genrsa",
        "-traditional",
        "-out",
        &file("pkcs1"),
        "2048",
    ]);
    tool(&["openssl", "genrsa", "-out", &file("pkcs8"), "2048"]);
    tool(&[
        "openssl",
        "genpkey",
        "-algorithm",
        "ed25519",
        "-out",
        &file("ed"),
    ]);
    let curve = "ec_paramgen_curve:P-256";
    tool(&[
        "openssl",
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        curve,
        "-out",
        &file("ec"),
    ]);
    for (name, kind, flags) in [
        ("pkcs1", "rsa-sha2-512", 4),
        ("pkcs8", "rsa-sha2-512", 4),
        ("ed", "ssh-ed25519", 0),
        ("ec", "ecdsa-sha2-nistp256", 0),
    ] {
        assert_eq!(sign(&key(&dir.path().join(name)), flags).0, kind, "{name}");
    }
}

#[test]
fn what_is_no_key_is_refused_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locked");
    let name = path.to_str().unwrap();
    tool(&[
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "secret",
        "-f",
        name,
    ]);
    let env = |_: &str| None;
    let refused = |text: &str| Ssh::parse(text, &env).unwrap_err().to_string();
    assert!(refused(&format!("a={name}")).contains("ssh-add"));
    let (p521, _) = made(dir.path(), &["ecdsa", "-b", "521"]);
    assert!(refused(&format!("a={}", p521.display())).contains("nistp521"));
    assert!(refused(&format!("a={name}.pub")).contains("no private key"));
    assert!(refused("a=/no/such/key").contains("/no/such/key"));
    assert!(refused("default").contains("SSH_AUTH_SOCK"));
    std::fs::write(&path, vec![b'x'; 200 << 10]).unwrap();
    assert!(refused(&format!("a={name}")).contains("too large"));
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let two = format!("a={},{name}", socket.display());
    assert!(refused(&two).contains("not both"));
    let one = Ssh::parse(&format!("={}", socket.display()), &env).unwrap();
    assert_eq!(one.id, DEFAULT);
    assert!(Ssh::check_unique(&[one.clone(), one]).is_err());
    let truncated = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n";
    assert_eq!(Key::parse(truncated).unwrap_err(), BadKey::Damaged);
}

#[test]
fn a_step_may_list_and_sign_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = dir.path().join("upstream");
    let listener = UnixListener::bind(&upstream).unwrap();
    let agent = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        while let Some(request) = wire::read(&mut stream).unwrap() {
            seen.push(request[0]);
            wire::write(&mut stream, &[wire::IDENTITIES_ANSWER, 0, 0, 0, 0]).unwrap();
        }
        seen
    });
    let served = dir.path().join("served");
    std::fs::create_dir(&served).unwrap();
    let owner = Owner {
        uid: 1000,
        gid: 1001,
        mode: 0o640,
    };
    let running = Served::start(&served, owner, Arc::new(Signer::Agent(upstream))).unwrap();
    let socket = served.join(served::NAME);
    let stat = rustix::fs::stat(&socket).unwrap();
    assert_eq!(
        (stat.st_uid, stat.st_gid, stat.st_mode & 0o777),
        (1000, 1001, 0o640)
    );
    let mut client = UnixStream::connect(&socket).unwrap();
    let mut ask = |message: &[u8]| {
        wire::write(&mut client, message).unwrap();
        wire::read(&mut client).unwrap().unwrap()[0]
    };
    assert_eq!(ask(&[wire::REQUEST_IDENTITIES]), wire::IDENTITIES_ANSWER);
    // Add, remove, remove all, lock, unlock, add with constraints, an extension, and one nobody knows.
    for kind in [17, 18, 19, 22, 23, 25, 26, 27, 200] {
        assert_eq!(ask(&[kind, 0, 0, 0, 0]), wire::FAILURE, "{kind}");
    }
    assert_eq!(ask(&[wire::REQUEST_IDENTITIES, 1]), wire::FAILURE);
    assert_eq!(ask(&[wire::SIGN_REQUEST]), wire::IDENTITIES_ANSWER);
    drop(client);
    assert_eq!(
        agent.join().unwrap(),
        [wire::REQUEST_IDENTITIES, wire::SIGN_REQUEST]
    );
    drop(running);
    assert!(UnixStream::connect(&socket).is_err());
}

#[test]
fn lengths_are_believed_only_when_the_bytes_come() {
    let refused = |bytes: &[u8]| wire::read(&mut &*bytes).unwrap_err().kind();
    assert_eq!(refused(&[0, 0, 0, 0]), std::io::ErrorKind::InvalidData);
    assert_eq!(refused(&[0xff; 8]), std::io::ErrorKind::InvalidData);
    assert_eq!(refused(&[0, 3, 0, 0, 1]), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(wire::read(&mut &b""[..]).unwrap(), None);
}

proptest! {
    #[test]
    fn no_request_and_no_key_file_panics(bytes: Vec<u8>, text in "-----BEGIN (OPENSSH|RSA) PRIVATE KEY-----[A-Za-z0-9+/=\n]{0,80}-----END OPENSSH PRIVATE KEY-----") {
        let mut request = vec![wire::SIGN_REQUEST];
        request.extend(&bytes);
        prop_assert_eq!(answer(&[], &request), [wire::FAILURE]);
        let _ = Key::parse(&bytes);
        let _ = Key::parse(text.as_bytes());
        let mut magic = b"openssh-key-v1\0\0\0\0\x04none".to_vec();
        magic.extend(&bytes);
        let armored = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----", base64(&magic));
        prop_assert!(Key::parse(armored.as_bytes()).is_err());
    }
}
