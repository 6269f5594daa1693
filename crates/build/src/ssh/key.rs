//! A key that signs as an agent does. The arithmetic is ring's, which TLS uses here anyway.
//!
//! Source: RFC 4253 section 6.6 (RSA), 8332 (its SHA-2), 5656 (ECDSA), 8709 (Ed25519).

use super::container::{self, BadKey, Contained, RsaNumbers};
use super::wire::{put_integer, put_string};
use ring::rand::SystemRandom;
use ring::rsa::{self, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};
use std::fmt;

/// SSH_AGENT_RSA_SHA2_256 and its like, of a request to sign. Without one SHA-1 is meant, which no server takes any more.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

pub(crate) struct Key {
    /// As the protocol has it: `string kind, …`.
    public: Vec<u8>,
    pub(super) comment: String,
    secret: Secret,
}

enum Secret {
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(&'static Curve, Box<EcdsaKeyPair>),
}

struct Curve {
    name: &'static str,
    kind: &'static str,
    /// Of a scalar.
    bytes: usize,
    algorithm: &'static EcdsaSigningAlgorithm,
}

static CURVES: [Curve; 2] = [
    Curve {
        name: "nistp256",
        kind: "ecdsa-sha2-nistp256",
        bytes: 32,
        algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
    },
    Curve {
        name: "nistp384",
        kind: "ecdsa-sha2-nistp384",
        bytes: 48,
        algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
    },
];

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.comment).finish()
    }
}

impl Key {
    pub(super) fn parse(file: &[u8]) -> Result<Self, BadKey> {
        let (secret, comment) = match container::open(file)? {
            Contained::Ed25519 {
                seed,
                public,
                comment,
            } => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public);
                (Secret::Ed25519(Box::new(pair.map_err(damaged)?)), comment)
            }
            Contained::Rsa(numbers) => {
                (Secret::Rsa(Box::new(rsa_pair(&numbers)?)), numbers.comment)
            }
            Contained::Ecdsa {
                curve,
                scalar,
                point,
                comment,
            } => (ecdsa(&curve, &scalar, &point)?, comment),
            Contained::Pkcs1(der) => (pkcs1(&der)?, String::new()),
            Contained::Pkcs8(der) => (pkcs8(&der)?, String::new()),
        };
        Ok(Self {
            public: secret.public(),
            comment,
            secret,
        })
    }

    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// A signature as the protocol has it; `None` in a form we do not sign in.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let (kind, bytes) = match &self.secret {
            Secret::Ed25519(pair) => ("ssh-ed25519", pair.sign(data).as_ref().to_vec()),
            Secret::Rsa(pair) => {
                let (kind, padding): (_, &'static dyn ring::signature::RsaEncoding) = match flags {
                    RSA_SHA2_256 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    RSA_SHA2_512 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    _ => return None,
                };
                let mut bytes = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, data, &mut bytes).ok()?;
                (kind, bytes)
            }
            Secret::Ecdsa(curve, pair) => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at_checked(curve.bytes)?;
                let mut bytes = Vec::new();
                put_integer(&mut bytes, r);
                put_integer(&mut bytes, s);
                (curve.kind, bytes)
            }
        };
        let mut signature = Vec::new();
        put_string(&mut signature, kind.as_bytes());
        put_string(&mut signature, &bytes);
        Some(signature)
    }
}

impl Secret {
    fn public(&self) -> Vec<u8> {
        let mut public = Vec::new();
        match self {
            Self::Ed25519(pair) => {
                put_string(&mut public, b"ssh-ed25519");
                put_string(&mut public, pair.public_key().as_ref());
            }
            Self::Rsa(pair) => {
                let numbers: PublicKeyComponents<Vec<u8>> = pair.public().into();
                put_string(&mut public, b"ssh-rsa");
                put_integer(&mut public, &numbers.e);
                put_integer(&mut public, &numbers.n);
            }
            Self::Ecdsa(curve, pair) => {
                put_string(&mut public, curve.kind.as_bytes());
                put_string(&mut public, curve.name.as_bytes());
                put_string(&mut public, pair.public_key().as_ref());
            }
        }
        public
    }
}

fn damaged(_: ring::error::KeyRejected) -> BadKey {
    BadKey::Damaged
}

fn ecdsa(curve: &str, scalar: &[u8], point: &[u8]) -> Result<Secret, BadKey> {
    let known = CURVES.iter().find(|known| known.name == curve);
    let curve = known.ok_or_else(|| BadKey::Kind(format!("ecdsa-sha2-{curve}")))?;
    let missing = curve
        .bytes
        .checked_sub(scalar.len())
        .ok_or(BadKey::Damaged)?;
    let mut whole = vec![0; missing];
    whole.extend(scalar);
    let pair = EcdsaKeyPair::from_private_key_and_public_key(
        curve.algorithm,
        &whole,
        point,
        &SystemRandom::new(),
    );
    Ok(Secret::Ecdsa(curve, Box::new(pair.map_err(damaged)?)))
}

fn pkcs1(der: &[u8]) -> Result<Secret, BadKey> {
    let pair = RsaKeyPair::from_der(der).map_err(rsa_rejected)?;
    Ok(Secret::Rsa(Box::new(pair)))
}

/// Which kind it is, the forms themselves know.
fn pkcs8(der: &[u8]) -> Result<Secret, BadKey> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Ok(Secret::Ed25519(Box::new(pair)));
    }
    for curve in &CURVES {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve.algorithm, der, &SystemRandom::new()) {
            return Ok(Secret::Ecdsa(curve, Box::new(pair)));
        }
    }
    let pair = RsaKeyPair::from_pkcs8(der).map_err(rsa_rejected)?;
    Ok(Secret::Rsa(Box::new(pair)))
}

/// ring says by a text whether a key is wrong, or one it does not sign with.
fn rsa_rejected(rejected: ring::error::KeyRejected) -> BadKey {
    match rejected.to_string().as_str() {
        "TooSmall"
        | "TooLarge"
        | "UnsupportedKeySize"
        | "PrivateModulusLenNotMultipleOf512Bits" => {
            BadKey::Kind("RSA of this size (2048, 3072 and 4096 bits can)".to_owned())
        }
        "WrongAlgorithm" => BadKey::Kind("this in PKCS#8".to_owned()),
        _ => BadKey::Damaged,
    }
}

/// OpenSSH leaves out what can be worked out: the exponents of the Chinese remainder theorem.
fn rsa_pair(numbers: &RsaNumbers) -> Result<RsaKeyPair, BadKey> {
    let exponent = |prime: &[u8]| {
        let mut less = prime.to_vec();
        // A prime is odd: one less is a cleared bit.
        *less
            .last_mut()
            .filter(|last| **last & 1 == 1)
            .ok_or(BadKey::Damaged)? &= !1;
        Ok(remainder(&numbers.d, &less))
    };
    let components = rsa::KeyPairComponents {
        public_key: PublicKeyComponents {
            n: &numbers.n,
            e: &numbers.e,
        },
        d: &numbers.d,
        p: &numbers.p,
        q: &numbers.q,
        dP: &exponent(&numbers.p)?,
        dQ: &exponent(&numbers.q)?,
        qInv: &numbers.q_inverse,
    };
    RsaKeyPair::from_components(&components).map_err(rsa_rejected)
}

/// `value` modulo `modulus`, big-endian, without leading zeros. Done once, when a key is read: what ring checks of a wrong result, it
/// refuses, and each signature is verified by it before it is given out.
fn remainder(value: &[u8], modulus: &[u8]) -> Vec<u8> {
    // One byte more than the modulus, for the bit that is shifted out.
    let mut wide = vec![0];
    wide.extend(modulus);
    let mut rest = vec![0_u8; wide.len()];
    for bit in value
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if rest >= wide {
            subtract(&mut rest, &wide);
        }
    }
    super::wire::without_zeros(&rest).to_vec()
}

fn subtract(from: &mut [u8], what: &[u8]) {
    let mut borrow = false;
    for (byte, less) in from.iter_mut().zip(what).rev() {
        let (once, first) = byte.overflowing_sub(*less);
        let (twice, second) = once.overflowing_sub(u8::from(borrow));
        (*byte, borrow) = (twice, first || second);
    }
}

#[cfg(test)]
mod arithmetic {
    use super::super::wire::without_zeros;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn remainders_are_those_of_the_processor(value: u128, modulus in 1_u64..) {
            let expected = (value % u128::from(modulus)).to_be_bytes();
            let got = remainder(&value.to_be_bytes(), without_zeros(&modulus.to_be_bytes()));
            prop_assert_eq!(without_zeros(&expected), &got[..]);
        }
    }
}
