//! Signed tokens (RFC 7519, with ES256): how they are made and read, and how others can check them.
//!
//! What always holds: nothing that a token says is believed before its signature was checked, and no other algorithm
//! than that of the key is accepted.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Where the configuration is found (OpenID Connect Discovery 1.0).
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Where the keys are found.
pub const KEYS_PATH: &str = "/openid/v1/jwks";

/// Who issues the tokens of a cluster's ServiceAccounts, unless it is told otherwise; and for whom they are then.
pub const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

const ALGORITHM: &str = "ES256";

/// What opens the encoding of a public key on P-256 (RFC 5480); its point follows.
const P256_KEY_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Signs tokens, and knows its own.
pub struct Issuer {
    url: String,
    key: EcdsaKeyPair,
    key_id: String,
    extends: bool,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A key that cannot sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key for the tokens of ServiceAccounts is not one of ECDSA on P-256")]
pub struct KeyError;

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Issued {
    #[serde(default)]
    iss: String,
}

impl Issuer {
    /// Issues in the name of `url`, with a key of ECDSA on P-256 (PKCS #8, DER).
    pub fn new(url: impl Into<String>, key: &[u8]) -> Result<Issuer, KeyError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).map_err(|_| KeyError)?;
        let encoded = [&P256_KEY_PREFIX, key.public_key().as_ref()].concat();
        let key_id = URL_SAFE_NO_PAD.encode(digest(&SHA256, &encoded));
        Ok(Issuer { url: url.into(), key, key_id, extends: true })
    }

    /// The same issuer; whether tokens that kubelets ask for are good for longer than they ask, so that programs that never
    /// read their token again go on.
    #[must_use]
    pub fn extending(self, extends: bool) -> Issuer {
        Issuer { extends, ..self }
    }

    pub(crate) fn extends(&self) -> bool {
        self.extends
    }

    /// In whose name.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The token that says `claims`, among which `iss` is to be [`Issuer::url`].
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, String> {
        let header = json!({"alg": ALGORITHM, "kid": self.key_id}).to_string();
        let claims = serde_json::to_vec(claims).map_err(|error| error.to_string())?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| "the token cannot be signed".to_owned())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What a token says that this issuer signed; `None` for what is no token of this issuer. The error is for one that
    /// says that it is, and is not.
    pub(super) fn read<T: DeserializeOwned>(&self, token: &str) -> Result<Option<T>, String> {
        let Some((signed, signature)) = token.rsplit_once('.') else { return Ok(None) };
        let Some((header, claims)) = signed.split_once('.') else { return Ok(None) };
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let (Some(header), Some(claims), Some(signature)) = (decoded(header), decoded(claims), decoded(signature))
        else {
            return Ok(None);
        };
        let ours = serde_json::from_slice::<Header>(&header).is_ok_and(|header| header.alg == ALGORITHM)
            && serde_json::from_slice::<Issued>(&claims).is_ok_and(|issued| issued.iss == self.url);
        if !ours {
            return Ok(None);
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        key.verify(signed.as_bytes(), &signature)
            .map_err(|_| "go-jose/go-jose: error in cryptographic primitive".to_owned())?;
        let claims = serde_json::from_slice(&claims);
        claims.map(Some).map_err(|_| {
            "service account token claims could not be validated due to unexpected private claim".to_owned()
        })
    }

    /// The document at [`CONFIGURATION_PATH`] of a server at `address` (host and port).
    #[must_use]
    pub fn configuration(&self, address: &str) -> String {
        #[derive(Serialize)]
        struct Configuration<'a> {
            issuer: &'a str,
            jwks_uri: String,
            response_types_supported: [&'a str; 1],
            subject_types_supported: [&'a str; 1],
            id_token_signing_alg_values_supported: [&'a str; 1],
        }
        let document = Configuration {
            issuer: &self.url,
            jwks_uri: format!("https://{address}{KEYS_PATH}"),
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: [ALGORITHM],
        };
        serde_json::to_string(&document).expect("a struct of strings is JSON")
    }

    /// The document at [`KEYS_PATH`].
    #[must_use]
    pub fn keys(&self) -> String {
        #[derive(Serialize)]
        struct Key<'a> {
            #[serde(rename = "use")]
            usage: &'a str,
            kty: &'a str,
            kid: &'a str,
            crv: &'a str,
            alg: &'a str,
            x: String,
            y: String,
        }
        #[derive(Serialize)]
        struct Keys<'a> {
            keys: [Key<'a>; 1],
        }
        // A point that is not compressed: 4, and 32 bytes of each coordinate.
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = Key { usage: "sig", kty: "EC", kid: &self.key_id, crv: "P-256", alg: ALGORITHM, x, y };
        serde_json::to_string(&Keys { keys: [key] }).expect("a struct of strings is JSON")
    }
}
