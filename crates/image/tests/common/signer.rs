//! A key pair, and documents as cosign writes them.

#![allow(dead_code, unreachable_pub)] // every test uses a part

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::Digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

/// `SubjectPublicKeyInfo` of P-256 up to the point.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key pair of ECDSA P-256.
pub struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&self.random, message).unwrap();
        signature.as_ref().to_vec()
    }

    pub fn public_der(&self) -> Vec<u8> {
        [&SPKI, self.pair.public_key().as_ref()].concat()
    }

    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public_der())
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// What cosign signs since version 3: a statement about a digest.
pub fn statement(digest: &Digest) -> String {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"{}":"{}"}},"annotations":{{}}}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#,
        digest.algorithm().as_str(),
        digest.hex()
    )
}

/// What of a statement is signed.
pub fn enveloped(statement: &str) -> String {
    let kind = "application/vnd.in-toto+json";
    format!(
        "DSSEv1 {} {kind} {} {statement}",
        kind.len(),
        statement.len()
    )
}

/// A statement and its signature in a bundle.
pub fn bundle(statement: &str, signature: &[u8]) -> String {
    format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"k"}}}},"dsseEnvelope":{{"payload":"{}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"{}"}}]}}}}"#,
        STANDARD.encode(statement),
        STANDARD.encode(signature)
    )
}

pub fn payload(digest: &Digest, name: &str) -> String {
    format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
    )
}
