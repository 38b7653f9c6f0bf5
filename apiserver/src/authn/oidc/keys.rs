//! The keys of an issuer (RFC 7517), and what they signed (RFC 7515, 7518).
//!
//! What always holds: a signature counts only if it was made by the algorithm that the token names, that algorithm is allowed, and
//! the key is of its kind. There is no algorithm without a key, and none with a shared one.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The most keys that an issuer may have. Further ones are not known.
const MOST_KEYS: usize = 100;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
}

/// A name that is none of an algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("oidc: unsupported signing alg: {0:?}")]
pub struct UnknownAlgorithm(String);

impl std::str::FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
        Ok(match name {
            "RS256" => Algorithm::Rs256,
            "RS384" => Algorithm::Rs384,
            "RS512" => Algorithm::Rs512,
            "ES256" => Algorithm::Es256,
            "ES384" => Algorithm::Es384,
            "ES512" => Algorithm::Es512,
            "PS256" => Algorithm::Ps256,
            "PS384" => Algorithm::Ps384,
            "PS512" => Algorithm::Ps512,
            other => return Err(UnknownAlgorithm(other.to_owned())),
        })
    }
}

impl Algorithm {
    /// For keys of RSA.
    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }

    /// For keys on the curve of this name.
    fn on(self, curve: &str) -> Option<&'static dyn VerificationAlgorithm> {
        match (self, curve) {
            (Algorithm::Es256, "P-256") => Some(&ECDSA_P256_SHA256_FIXED),
            (Algorithm::Es384, "P-384") => Some(&ECDSA_P384_SHA384_FIXED),
            (Algorithm::Es512, "P-521") => Some(&ECDSA_P521_SHA512_FIXED),
            _ => None,
        }
    }
}

#[derive(Debug)]
enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The point, not compressed.
    Ec {
        curve: String,
        point: Vec<u8>,
    },
}

#[derive(Debug)]
struct Key {
    id: String,
    public: Public,
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Jwk {
    kty: String,
    kid: String,
    #[serde(rename = "use")]
    usage: String,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

impl Keys {
    /// Reads a JWK Set. Keys that are of no use here are left out.
    pub(super) fn read(json: &[u8]) -> Result<Keys, serde_json::Error> {
        let document: Document = serde_json::from_slice(json)?;
        let keys = document.keys.into_iter().filter_map(|key| read(&serde_json::from_value(key).ok()?));
        Ok(Keys(keys.take(MOST_KEYS).collect()))
    }

    /// Whether one of them signed this, by `algorithm`. Only the key of the name counts that the token has, if it has one.
    pub(super) fn signed(&self, algorithm: Algorithm, id: &str, signed: &[u8], signature: &[u8]) -> bool {
        let named = self.0.iter().filter(|key| id.is_empty() || key.id == id);
        named.into_iter().any(|key| key.public.signed(algorithm, signed, signature))
    }
}

fn read(jwk: &Jwk) -> Option<Key> {
    if jwk.usage == "enc" {
        return None;
    }
    let number = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let public = match jwk.kty.as_str() {
        "RSA" => Public::Rsa { n: number(&jwk.n)?, e: number(&jwk.e)? },
        "EC" => Public::Ec { curve: jwk.crv.clone(), point: [vec![4], number(&jwk.x)?, number(&jwk.y)?].concat() },
        _ => return None,
    };
    Some(Key { id: jwk.kid.clone(), public })
}

impl Public {
    fn signed(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Public::Rsa { n, e } => {
                algorithm.rsa().is_some_and(|by| RsaPublicKeyComponents { n, e }.verify(by, signed, signature).is_ok())
            }
            Public::Ec { curve, point } => algorithm
                .on(curve)
                .is_some_and(|by| UnparsedPublicKey::new(by, point).verify(signed, signature).is_ok()),
        }
    }
}
