//! One key: what it seals and opens. A key object is made once, and used by every write and read.
//!
//! The forms are upstream's, byte for byte, so that either opens what the other has sealed. AES-GCM binds a value to the place
//! where it is stored, and refuses it elsewhere; upstream's AES-CBC and Secretbox do not, and AES-CBC does not notice every change.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand;
use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use crypto_secretbox::{Tag, XSalsa20Poly1305};

/// The size of a block of AES.
const BLOCK: usize = 16;
/// The sizes of what Secretbox puts before the ciphertext.
const BOX_NONCE: usize = 24;
const BOX_TAG: usize = 16;

const TOO_SHORT: &str = "the stored data was shorter than the required size";

/// By which means values are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Means {
    AesGcm,
    AesCbc,
    Secretbox,
}

impl Means {
    /// Its name in a configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Means::AesGcm => "aesgcm",
            Means::AesCbc => "aescbc",
            Means::Secretbox => "secretbox",
        }
    }

    /// What stored values begin with.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Means::AesGcm => "k8s:enc:aesgcm:v1:",
            Means::AesCbc => "k8s:enc:aescbc:v1:",
            Means::Secretbox => "k8s:enc:secretbox:v1:",
        }
    }

    /// How many bytes a key may have.
    pub(super) const fn key_sizes(self) -> &'static [usize] {
        match self {
            Means::AesGcm | Means::AesCbc => &[16, 24, 32],
            Means::Secretbox => &[32],
        }
    }

    /// Why a value is not opened that names no key that there is.
    pub(super) const fn no_such_key(self) -> &'static str {
        match self {
            Means::AesGcm | Means::AesCbc => "no matching key was found for the provided AES transformer",
            Means::Secretbox => "no matching key was found for the provided Secretbox transformer",
        }
    }
}

/// A key of any means, ready for use.
pub(super) enum Cipher {
    AesGcm(LessSafeKey),
    AesCbc(Box<(PaddedBlockEncryptingKey, PaddedBlockDecryptingKey)>),
    Secretbox(Box<XSalsa20Poly1305>),
}

impl Cipher {
    /// Fails if the secret is not of a size that the means has.
    pub(super) fn new(means: Means, secret: &[u8]) -> Result<Cipher, Unspecified> {
        Ok(match means {
            Means::AesGcm => {
                let algorithm = match secret.len() {
                    16 => &AES_128_GCM,
                    24 => &AES_192_GCM,
                    _ => &AES_256_GCM,
                };
                Cipher::AesGcm(LessSafeKey::new(UnboundKey::new(algorithm, secret)?))
            }
            Means::AesCbc => {
                let algorithm = match secret.len() {
                    16 => &AES_128,
                    24 => &AES_192,
                    _ => &AES_256,
                };
                let key = || UnboundCipherKey::new(algorithm, secret);
                Cipher::AesCbc(Box::new((
                    PaddedBlockEncryptingKey::cbc_pkcs7(key()?)?,
                    PaddedBlockDecryptingKey::cbc_pkcs7(key()?)?,
                )))
            }
            Means::Secretbox => {
                Cipher::Secretbox(Box::new(XSalsa20Poly1305::new_from_slice(secret).map_err(|_| Unspecified)?))
            }
        })
    }

    /// Appends `value`, sealed for `place`, to `out`. Fails if the machine gives no random bytes.
    pub(super) fn seal(&self, place: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), Unspecified> {
        match self {
            Cipher::AesGcm(key) => {
                let mut nonce = [0; NONCE_LEN];
                rand::fill(&mut nonce)?;
                out.reserve(NONCE_LEN + value.len() + MAX_TAG_LEN);
                out.extend_from_slice(&nonce);
                let start = out.len();
                out.extend_from_slice(value);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(place), &mut out[start..])?;
                out.extend_from_slice(tag.as_ref());
            }
            Cipher::AesCbc(keys) => {
                let mut iv = [0; BLOCK];
                rand::fill(&mut iv)?;
                let mut sealed = Vec::with_capacity(value.len() + BLOCK);
                sealed.extend_from_slice(value);
                let context = EncryptionContext::Iv128(FixedLength::from(iv));
                keys.0.less_safe_encrypt(&mut sealed, context)?;
                out.extend_from_slice(&iv);
                out.extend_from_slice(&sealed);
            }
            Cipher::Secretbox(key) => {
                let mut nonce = [0; BOX_NONCE];
                rand::fill(&mut nonce)?;
                out.reserve(BOX_NONCE + BOX_TAG + value.len());
                out.extend_from_slice(&nonce);
                let start = out.len() + BOX_TAG;
                out.resize(start, 0);
                out.extend_from_slice(value);
                let tag = key.encrypt_in_place_detached(&nonce.into(), b"", &mut out[start..]);
                out[start - BOX_TAG..start].copy_from_slice(&tag.map_err(|_| Unspecified)?);
            }
        }
        Ok(())
    }

    /// The value that was sealed for `place`. Fails with upstream's reason.
    pub(super) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, &'static str> {
        match self {
            Cipher::AesGcm(key) => {
                let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(TOO_SHORT)?;
                let mut value = rest.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let opened = key.open_in_place(nonce, Aad::from(place), &mut value);
                let size = opened.map_err(|_| "cipher: message authentication failed")?.len();
                value.truncate(size);
                Ok(value)
            }
            Cipher::AesCbc(keys) => {
                let (iv, rest) = sealed.split_first_chunk::<BLOCK>().ok_or(TOO_SHORT)?;
                if rest.len() % BLOCK != 0 {
                    return Err("the stored data is not a multiple of the block size");
                }
                if rest.is_empty() {
                    return Err("invalid PKCS7 data (empty or not padded)");
                }
                let mut value = rest.to_vec();
                let context = DecryptionContext::Iv128(FixedLength::from(*iv));
                let opened = keys.1.decrypt(&mut value, context).map_err(|_| "invalid padding on input")?;
                let size = opened.len();
                value.truncate(size);
                Ok(value)
            }
            Cipher::Secretbox(key) => {
                let (nonce, rest) = sealed.split_first_chunk::<BOX_NONCE>().ok_or(TOO_SHORT)?;
                let (tag, rest) = rest.split_first_chunk::<BOX_TAG>().ok_or(TOO_SHORT)?;
                let mut value = rest.to_vec();
                let opened = key.decrypt_in_place_detached(nonce.into(), b"", &mut value, Tag::from_slice(tag));
                opened.map_err(|_| "output array was not large enough for encryption")?;
                Ok(value)
            }
        }
    }
}
