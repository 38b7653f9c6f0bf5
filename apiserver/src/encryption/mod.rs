//! Encryption at rest: between the API's objects and what the store keeps of them.
//!
//! The store's codec ([`crate::entry::Objects`]) seals what is written and opens what comes in, once; what this process keeps in
//! memory is plain. So reads, lists and watches cost what they did, and neither the store's files, nor its log, nor etcd ever
//! have a plain value of a resource that is to be encrypted.
//!
//! What always holds:
//!
//! - what no key opens is an entry that says so, and harms nothing but reads of itself and of lists that it is in;
//! - a configuration that cannot be used changes nothing;
//! - a configuration counts as loaded ([`Encryption::loaded`]) only when no write is under way that an earlier one has sealed, so
//!   that a key which nothing is stored by then is not needed any more.

mod census;
mod cipher;
mod config;
mod file;
mod reload;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use store::{Encoded, Key};

pub use census::{Count, State};
pub use config::Configuration;
pub use file::{EncryptionError, Loaded, OWN_FILE, add_keys, load, open_own, write};
pub use rules::{Kept, KeyId, KeyName, Rules};

/// How many names of keys are remembered that no configuration has any more.
const MAX_NAMES: usize = 4096;

/// What is encrypted by which keys. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub struct Encryption(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rules: RwLock<Arc<Rules>>,
    /// Whether `rules` refuses something that is stored in plain, which is looked at for every value that comes in.
    refuses_plain: AtomicBool,
    /// The file of the configuration, if it is read again when it changes.
    followed: Option<PathBuf>,
    /// The hash of the configuration by which alone is written.
    loaded: RwLock<String>,
    /// What the keys are called that have been read since the start.
    names: RwLock<HashMap<KeyId, KeyName>>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

impl Encryption {
    /// By these rules. If `followed` is given, they are read from there again when it changes.
    #[must_use]
    pub fn new(rules: Arc<Rules>, followed: Option<PathBuf>) -> Encryption {
        let encryption = Encryption(Arc::new(Inner { followed, ..Inner::default() }));
        *encryption.0.loaded.write() = rules.hash().to_owned();
        drop(encryption.replace(rules));
        encryption
    }

    /// The rules as they are now.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.rules.read())
    }

    /// The hash of the configuration by which alone is written; empty without one.
    #[must_use]
    pub fn loaded(&self) -> String {
        self.0.loaded.read().clone()
    }

    /// How often the file was read again, and how often what was in it could not be used.
    #[must_use]
    pub fn reloads(&self) -> (u64, u64) {
        (self.0.reloads.load(Ordering::Relaxed), self.0.failed_reloads.load(Ordering::Relaxed))
    }

    fn followed(&self) -> Option<&Path> {
        self.0.followed.as_deref()
    }

    /// Goes by other rules from now on, and gives those until now: they are held by the writes that they have sealed.
    fn replace(&self, rules: Arc<Rules>) -> Arc<Rules> {
        let mut names = self.0.names.write();
        if names.len() > MAX_NAMES {
            names.clear();
        }
        names.extend(rules.names().iter().map(|(id, name)| (*id, name.clone())));
        drop(names);
        // Before the rules when more is refused, and behind them when less is: what comes in between asks the rules.
        self.0.refuses_plain.store(true, Ordering::Relaxed);
        let refuses = rules.refuses_plain();
        let old = std::mem::replace(&mut *self.0.rules.write(), rules);
        self.0.refuses_plain.store(refuses, Ordering::Relaxed);
        old
    }

    /// What a key is called, if it was read since the start.
    fn name(&self, key: KeyId) -> Option<KeyName> {
        self.0.names.read().get(&key).cloned()
    }

    /// What is to be stored at `key`, of the resource that this is a path of (`<group>/<resource>`), for `value`.
    pub(crate) fn seal(&self, resource: Option<&str>, key: &Key, value: Bytes) -> Result<Encoded, String> {
        let Some(resource) = resource else { return Ok(Encoded::plain(value)) };
        let rules = self.rules();
        let sealed = rules.seal(resource, key.as_str(), &value)?;
        Ok(Encoded { value: sealed.map_or(value, Bytes::from), held: Some(rules) })
    }

    /// The value of what is stored at `key`, and by what it is kept. What cannot be read stays as it is stored.
    pub(crate) fn open(&self, resource: Option<&str>, key: &Key, stored: Bytes) -> (Bytes, Kept) {
        let is_sealed = stored.starts_with(rules::SEALED);
        if !is_sealed && !self.0.refuses_plain.load(Ordering::Relaxed) {
            return (stored, Kept::Plain);
        }
        let Some(resource) = resource else { return (stored, Kept::Plain) };
        let (value, kept) = self.rules().open(resource, key.as_str(), &stored);
        (value.map_or(stored, Bytes::from), kept)
    }

    /// Whether an object of the resource that is kept by this would be kept otherwise if it were written now.
    pub(crate) fn is_stale(&self, resource: Option<&str>, kept: &Kept) -> bool {
        let rules = self.0.rules.read();
        match resource.and_then(|resource| rules.of(resource)) {
            Some(providers) => providers.current() != *kept,
            None => *kept != Kept::Plain,
        }
    }
}
