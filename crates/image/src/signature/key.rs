//! Public keys as `cosign generate-key-pair` and openssl write them, and whether one of them made a signature. The arithmetic is that
//! of the TLS library. Source: RFC 5280 section 4.1.2.7 (`SubjectPublicKeyInfo`), RFC 5480, RFC 7468.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, alg_id};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Why a text is no key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it is no public key in PEM (-----BEGIN PUBLIC KEY-----)")]
    Pem,
    #[error("the public key in it is damaged")]
    Damaged,
    #[error("its kind of key is not known: ECDSA (P-256, P-384), Ed25519 and RSA are")]
    Kind,
}

/// A key, and how signatures with it are checked.
#[derive(Clone)]
pub(super) struct PublicKey {
    key: Vec<u8>,
    algorithms: Vec<&'static dyn SignatureVerificationAlgorithm>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey").finish_non_exhaustive()
    }
}

impl PublicKey {
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| KeyError::Pem)?;
        let (kind, key) = parts(&der).ok_or(KeyError::Damaged)?;
        let algorithms = algorithms(kind);
        if algorithms.is_empty() {
            return Err(KeyError::Kind);
        }
        let key = key.to_vec();
        Ok(Self { key, algorithms })
    }

    /// Whether `signature` over `message` was made with the private half.
    pub(super) fn made(&self, signature: &[u8], message: &[u8]) -> bool {
        let mut algorithms = self.algorithms.iter();
        algorithms.any(|a| a.verify_signature(&self.key, message, signature).is_ok())
    }
}

/// cosign hashes with SHA-256, and since version 3 as long as the curve is. RSA pads as PKCS #1 v1.5 or PSS, that with a salt as long as
/// the hash.
fn algorithms(kind: &[u8]) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let used_with = |a: &dyn SignatureVerificationAlgorithm| match a.public_key_alg_id() {
        alg_id::ECDSA_P384 => vec![alg_id::ECDSA_SHA256, alg_id::ECDSA_SHA384],
        alg_id::RSA_ENCRYPTION => vec![alg_id::RSA_PKCS1_SHA256, alg_id::RSA_PSS_SHA256],
        _ => vec![alg_id::ECDSA_SHA256, alg_id::ED25519],
    };
    let fits = |a: &&dyn SignatureVerificationAlgorithm| {
        a.public_key_alg_id().as_ref() == kind && used_with(*a).contains(&a.signature_alg_id())
    };
    known.all.iter().copied().filter(fits).collect()
}

/// The algorithm and the key of a `SubjectPublicKeyInfo`.
fn parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (whole, after) = value(SEQUENCE, der)?;
    let (kind, rest) = value(SEQUENCE, whole)?;
    let (bits, end) = value(BIT_STRING, rest)?;
    // The first byte counts the bits that the last one lacks: a key has whole bytes.
    let (0, key) = bits.split_first().map(|(unused, key)| (*unused, key))? else {
        return None;
    };
    (after.is_empty() && end.is_empty()).then_some((kind, key))
}

/// The content of a value with this tag, and what follows it. Lengths are in their shortest form, as DER wants them.
fn value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        _ if found != tag => return None,
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&length, rest) = rest.split_first()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let shortest = match first {
        0x81 => length > 0x7f,
        0x82 => length > 0xff,
        _ => true,
    };
    shortest.then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::super::signer::{Signer, pem};
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_signature_counts_for_its_key_and_message_alone() {
        let (mine, other) = (Signer::new(), Signer::new());
        let key = PublicKey::from_pem(mine.public_pem().as_bytes()).unwrap();
        let signature = mine.sign(b"message");
        assert!(key.made(&signature, b"message"));
        assert!(!key.made(&signature, b"massage"));
        assert!(!key.made(&other.sign(b"message"), b"message"));
        assert!(!key.made(&signature[..signature.len() - 1], b"message"));
        let longer = [signature.as_slice(), b"\0"].concat();
        assert!(!key.made(&longer, b"message"));
        for bad in [&b""[..], b"\x30", b"\x30\x80\x02", &[0xff; 80]] {
            assert!(!key.made(bad, b"message"), "{bad:?}");
        }
    }

    /// Made with `openssl genpkey`, `dgst -sign` and `pkeyutl -sign -rawin` over this text.
    #[test]
    fn signatures_by_openssl_with_every_kind_of_key_are_verified() {
        let read = |name: &str| {
            let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/signature/openssl");
            std::fs::read_to_string(format!("{dir}/{name}")).unwrap()
        };
        for (key, signature, good) in [
            ("p256", "p256-sha256", true),
            ("p256", "p256-sha384", false),
            ("p384", "p384-sha256", true),
            ("p384", "p384-sha384", true),
            ("p384", "p256-sha256", false),
            ("ed25519", "ed25519", true),
            ("ed25519", "p256-sha256", false),
            ("rsa", "rsa-pkcs1", true),
            ("rsa", "rsa-pss", true),
            ("rsa", "rsa-pss-longest-salt", false),
            ("rsa", "ed25519", false),
        ] {
            let public = PublicKey::from_pem(read(&format!("{key}.pem")).as_bytes()).unwrap();
            let bytes = STANDARD
                .decode(read(&format!("{signature}.sig")).trim())
                .unwrap();
            let made = public.made(&bytes, b"what was signed\n");
            assert_eq!(made, good, "{key} {signature}");
            assert!(!public.made(&bytes, b"what was not\n"));
        }
        let unknown = PublicKey::from_pem(read("p521.pem").as_bytes());
        assert_eq!(unknown.err(), Some(KeyError::Kind));
    }

    #[test]
    fn texts_that_are_no_public_keys_are_refused_with_what_is_wrong() {
        let of = |text: &str| PublicKey::from_pem(text.as_bytes()).err();
        assert_eq!(of(""), Some(KeyError::Pem));
        assert_eq!(of("-----BEGIN PUBLIC KEY-----\n"), Some(KeyError::Pem));
        assert_eq!(of(&pem("PRIVATE KEY", b"abc")), Some(KeyError::Pem));
        assert_eq!(of(&pem("PUBLIC KEY", b"abc")), Some(KeyError::Damaged));
        let mut der = Signer::new().public_der();
        let whole = of(&pem("PUBLIC KEY", &der));
        assert_eq!(whole, None);
        let trailing = [der.as_slice(), b"\0"].concat();
        assert_eq!(of(&pem("PUBLIC KEY", &trailing)), Some(KeyError::Damaged));
        der[22] ^= 1; // the curve's name
        assert_eq!(of(&pem("PUBLIC KEY", &der)), Some(KeyError::Kind));
    }

    proptest::proptest! {
        #[test]
        fn any_key_is_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120)) {
            let _ = parts(&bytes);
            let _ = PublicKey::from_pem(&bytes);
        }
    }
}
