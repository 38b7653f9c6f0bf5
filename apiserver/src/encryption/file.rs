//! The file of a configuration: what is in it, and how a cluster's own comes to be.
//!
//! A file is replaced at once, or stays as it is; only its owner can read what is written here. The key of a cluster is made
//! once: a file that is there and is not understood is never replaced, since what it says opens what is stored.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::{digest, rand};
use k8s_openapi::jiff::Timestamp;

use super::config::{Configuration, KeyConfig};
use super::rules::Rules;
use crate::serve::files;

/// Where a cluster's own configuration is, in its data directory.
pub const OWN_FILE: &str = "pki/encryption.yaml";

const COMMENT: &str = "\
By the first of these keys Secrets are encrypted where they are stored; by all of them they are read.
Without this file they are lost: back it up, apart from the store, and keep it secret.
`gantry encryption rotate` replaces the key.";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What is in it makes no sense.
    #[error("{path} is not a usable EncryptionConfiguration: {why}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The machine gives no random bytes.
    #[error("no key can be made: {0}")]
    Random(String),
}

/// What a file says.
pub struct Loaded {
    /// As it was understood.
    pub configuration: Configuration,
    /// The same, ready for use.
    pub rules: Rules,
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read, or says nothing that can be used.
pub fn load(path: &Path) -> Result<Loaded, EncryptionError> {
    let failed = |source| EncryptionError::File { path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(failed)?;
    understand(path, &bytes)
}

/// What the text of a file says.
pub(super) fn understand(path: &Path, bytes: &[u8]) -> Result<Loaded, EncryptionError> {
    let invalid = |why| EncryptionError::Invalid { path: path.to_owned(), why };
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("it is not text".to_owned()))?;
    let configuration = Configuration::parse(text).map_err(invalid)?;
    let rules = Rules::new(&configuration, hash(bytes)).map_err(invalid)?;
    Ok(Loaded { configuration, rules })
}

/// What tells one text from another, as upstream's metric states it.
pub(super) fn hash(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", digits.collect::<String>())
}

/// Reads the configuration of the cluster whose files are in `data_dir`, or makes one with a new key.
///
/// # Errors
/// If there is one that cannot be used, or none can be made.
pub fn open_own(data_dir: &Path) -> Result<Arc<Rules>, EncryptionError> {
    let path = data_dir.join(OWN_FILE);
    match fs::read(&path) {
        Ok(bytes) => return Ok(Arc::new(understand(&path, &bytes)?.rules)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(EncryptionError::File { path, source }),
    }
    let configuration = Configuration::of_secrets(new_key()?);
    write(&path, &configuration)?;
    Ok(Arc::new(load(&path)?.rules))
}

/// Puts a new key before the others in the configuration, wherever a key writes.
///
/// # Errors
/// If the machine gives no random bytes.
pub fn add_keys(configuration: &mut Configuration) -> Result<(), EncryptionError> {
    configuration.add_keys(|| new_key().map_err(|error| error.to_string())).map_err(EncryptionError::Random)
}

/// Replaces the file by one that says this.
///
/// # Errors
/// If it cannot be written. It is whole all the same.
pub fn write(path: &Path, configuration: &Configuration) -> Result<(), EncryptionError> {
    let failed = |source| EncryptionError::File { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        files::create_private_directory(directory).map_err(failed)?;
    }
    files::replace(path, &configuration.to_yaml(COMMENT)).map_err(failed)
}

/// A key of 32 bytes, whose name no other has: the day, for people, and random digits.
fn new_key() -> Result<KeyConfig, EncryptionError> {
    let failed = |_| EncryptionError::Random("the machine gives no random bytes".to_owned());
    let mut secret = vec![0; 32];
    rand::fill(&mut secret).map_err(failed)?;
    let mut mark = [0; 4];
    rand::fill(&mut mark).map_err(failed)?;
    let day = Timestamp::now().strftime("%Y-%m-%d");
    Ok(KeyConfig { name: format!("{day}-{:08x}", u32::from_be_bytes(mark)), secret })
}
