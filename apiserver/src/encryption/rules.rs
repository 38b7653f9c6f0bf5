//! Which resources are sealed by which keys, and opened by which: a configuration made ready for use.
//!
//! As upstream has it: the first key of the first provider writes, and all of them read. What is stored by another one, or in
//! plain where there is to be none, is stale: it is read, and an update that changes nothing writes it anew.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;

use super::cipher::{Cipher, Means};
use super::config::{Configuration, KeyConfig, ProviderConfig};

/// What every sealed value begins with, whatever the means.
pub(super) const SEALED: &[u8] = b"k8s:enc:";

/// What is stored below this has no API, and is no resource that can be named: which ports are taken.
const UNSERVED: &str = "gantry.dev/";

/// A key, told from all others by its means, name and secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(u64);

/// By what a stored value is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is stored as it is.
    Plain,
    /// It is sealed by this key.
    By(KeyId),
    /// It cannot be read, for this reason.
    Unreadable(Arc<str>),
}

/// What a key is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    /// The provider, such as `aesgcm`.
    pub provider: &'static str,
    /// Its name in the configuration.
    pub name: Arc<str>,
}

struct Key {
    id: KeyId,
    name: KeyName,
    /// What values begin with behind the provider's prefix: the name and a colon.
    prefix: Box<[u8]>,
    cipher: Cipher,
}

enum Provider {
    Identity,
    Keys { means: Means, keys: Vec<Key> },
}

/// The providers of a resource, in their order.
#[derive(Default)]
pub(super) struct Providers(Vec<Arc<Provider>>);

impl Providers {
    /// The key that writes; without, values are stored as they are.
    fn writer(&self) -> Option<(Means, &Key)> {
        match self.0.first().map(|provider| &**provider) {
            Some(Provider::Keys { means, keys }) => keys.first().map(|key| (*means, key)),
            Some(Provider::Identity) | None => None,
        }
    }

    /// Whether what is kept by this could be read from where it is stored.
    pub(super) fn reads(&self, kept: &Kept) -> bool {
        match kept {
            Kept::Plain => self.reads_plain(),
            Kept::By(id) => self.0.iter().any(|provider| match &**provider {
                Provider::Keys { keys, .. } => keys.iter().any(|key| key.id == *id),
                Provider::Identity => false,
            }),
            Kept::Unreadable(_) => false,
        }
    }

    fn reads_plain(&self) -> bool {
        self.0.iter().any(|provider| matches!(**provider, Provider::Identity))
    }

    /// What `value` is kept as if this were written now.
    pub(super) fn current(&self) -> Kept {
        self.writer().map_or(Kept::Plain, |(_, key)| Kept::By(key.id))
    }

    fn open(&self, place: &[u8], stored: &[u8]) -> Result<(Vec<u8>, KeyId), Cow<'static, str>> {
        let mut faults: Vec<&'static str> = Vec::new();
        for provider in &self.0 {
            let Provider::Keys { means, keys } = &**provider else { continue };
            let Some(rest) = stored.strip_prefix(means.prefix().as_bytes()) else { continue };
            let mut of_provider = Vec::new();
            for key in keys {
                let Some(sealed) = rest.strip_prefix(&*key.prefix) else { continue };
                match key.cipher.open(place, sealed) {
                    Ok(value) => return Ok((value, key.id)),
                    Err(fault) => of_provider.push(fault),
                }
            }
            if of_provider.is_empty() {
                of_provider.push(means.no_such_key());
            }
            faults.extend(of_provider);
        }
        faults.dedup();
        Err(match faults.as_slice() {
            [] => "no matching prefix found".into(),
            [fault] => (*fault).into(),
            several => format!("[{}]", several.join(", ")).into(),
        })
    }
}

/// A configuration, ready for use. Without resources everything is stored as it is.
#[derive(Default)]
pub struct Rules {
    /// By `<group>/<resource>` as in storage keys.
    exact: HashMap<String, Arc<Providers>>,
    /// By group.
    groups: HashMap<String, Arc<Providers>>,
    all: Option<Arc<Providers>>,
    names: HashMap<KeyId, KeyName>,
    /// Whether some resource is not to be read that is stored in plain.
    refuses_plain: bool,
    hash: String,
}

impl Rules {
    /// The rules of a valid configuration, whose text has this hash.
    ///
    /// # Errors
    /// If resources are named behind others that take them in.
    pub(super) fn new(configuration: &Configuration, hash: String) -> Result<Rules, String> {
        let mut rules = Rules { hash, ..Rules::default() };
        let mut providers: Vec<(Scope, Vec<Arc<Provider>>)> = Vec::new();
        for rule in &configuration.resources {
            let ready: Vec<Arc<Provider>> =
                rule.providers.iter().map(|provider| rules.provider(provider)).collect::<Result<_, _>>()?;
            for resource in &rule.resources {
                let scope = Scope::parse(resource);
                let masking = [Scope::Group(scope.group().to_owned()), Scope::All];
                if let Some(mask) = masking.iter().find(|mask| providers.iter().any(|(known, _)| known == *mask)) {
                    return Err(format!("resource {resource:?} is masked by earlier rule {:?}", mask.text()));
                }
                match providers.iter_mut().find(|(known, _)| *known == scope) {
                    Some((_, list)) => list.extend(ready.iter().cloned()),
                    None => providers.push((scope, ready.clone())),
                }
            }
        }
        for (scope, list) in providers {
            let providers = Arc::new(Providers(list));
            rules.refuses_plain |= !providers.reads_plain();
            match scope {
                Scope::All => rules.all = Some(providers),
                Scope::Group(group) => drop(rules.groups.insert(group, providers)),
                Scope::Resource(group, resource) => {
                    rules.exact.insert(format!("{group}/{resource}"), providers);
                }
            }
        }
        Ok(rules)
    }

    fn provider(&mut self, provider: &ProviderConfig) -> Result<Arc<Provider>, String> {
        let ProviderConfig::Keys(means, keys) = provider else { return Ok(Arc::new(Provider::Identity)) };
        let (means, mut ready) = (*means, Vec::with_capacity(keys.len()));
        for KeyConfig { name, secret } in keys {
            let cipher = Cipher::new(means, secret)
                .map_err(|_| format!("error while creating cipher for named key {name}: it cannot be used"))?;
            let (id, name) = (key_id(means, name, secret), Arc::<str>::from(name.as_str()));
            let prefix = format!("{name}:").into_bytes().into();
            let name = KeyName { provider: means.name(), name };
            self.names.insert(id, name.clone());
            ready.push(Key { id, name, prefix, cipher });
        }
        Ok(Arc::new(Provider::Keys { means, keys: ready }))
    }

    /// What the resource of this path in storage keys has, `<group>/<resource>`.
    pub(super) fn of(&self, resource: &str) -> Option<&Arc<Providers>> {
        if self.is_empty() || resource.starts_with(UNSERVED) {
            return None;
        }
        let group = || resource.split('/').next().unwrap_or_default();
        self.exact.get(resource).or_else(|| self.groups.get(group())).or(self.all.as_ref())
    }

    /// Whether everything is stored as it is.
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.groups.is_empty() && self.all.is_none()
    }

    /// Whether some resource is not to be read that is stored in plain.
    pub(super) fn refuses_plain(&self) -> bool {
        self.refuses_plain
    }

    /// What tells the text of the configuration from others: `sha256:` and digits; empty without one.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What its keys are called.
    pub(super) fn names(&self) -> &HashMap<KeyId, KeyName> {
        &self.names
    }

    /// The bytes to store of `value`, or nothing if it is stored as it is.
    pub(super) fn seal(&self, resource: &str, place: &str, value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Some((means, key)) = self.of(resource).and_then(|providers| providers.writer()) else { return Ok(None) };
        let mut out = Vec::with_capacity(means.prefix().len() + key.prefix.len() + value.len() + 64);
        out.extend_from_slice(means.prefix().as_bytes());
        out.extend_from_slice(&key.prefix);
        let sealed = key.cipher.seal(place.as_bytes(), value, &mut out);
        sealed.map_err(|_| format!("{place} could not be encrypted by the key {}", key.name.name))?;
        Ok(Some(out))
    }

    /// The value of what is stored, and by what it is kept.
    pub(super) fn open(&self, resource: &str, place: &str, stored: &[u8]) -> (Option<Vec<u8>>, Kept) {
        let unreadable = |why: &str| (None, Kept::Unreadable(why.into()));
        let providers = self.of(resource);
        if !stored.starts_with(SEALED) {
            return match providers {
                Some(providers) if !providers.reads_plain() => unreadable("no matching prefix found"),
                _ => (None, Kept::Plain),
            };
        }
        let Some(providers) = providers else { return unreadable("identity transformer tried to read encrypted data") };
        match providers.open(place.as_bytes(), stored) {
            Ok((value, key)) => (Some(value), Kept::By(key)),
            Err(why) => unreadable(&why),
        }
    }

    /// Below which paths of storage keys something is said: `<group>/<resource>`, `<group>`, or nothing for everything.
    pub(super) fn scopes(&self) -> Vec<String> {
        if self.all.is_some() {
            return vec![String::new()];
        }
        let inside = |path: &&String| !self.groups.contains_key(path.split('/').next().unwrap_or_default());
        let mut scopes: Vec<String> = self.exact.keys().filter(inside).cloned().collect();
        scopes.extend(self.groups.keys().cloned());
        scopes.sort();
        scopes
    }
}

/// What a line of `resources` is about. Groups are those of storage keys, where the core group has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Group(String),
    Resource(String, String),
}

impl Scope {
    fn parse(text: &str) -> Scope {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        let group = if group.is_empty() { "core" } else { group };
        match (resource, group) {
            ("*", "*") => Scope::All,
            ("*", group) => Scope::Group(group.to_owned()),
            (resource, group) => Scope::Resource(group.to_owned(), resource.to_owned()),
        }
    }

    fn group(&self) -> &str {
        match self {
            Scope::All => "*",
            Scope::Group(group) | Scope::Resource(group, _) => group,
        }
    }

    fn text(&self) -> String {
        match self {
            Scope::All => "*.*".to_owned(),
            Scope::Group(group) if group == "core" => "*.".to_owned(),
            Scope::Group(group) => format!("*.{group}"),
            Scope::Resource(group, resource) => format!("{resource}.{group}"),
        }
    }
}

fn key_id(means: Means, name: &str, secret: &[u8]) -> KeyId {
    let mut text = format!("{}{}:{name}:", means.prefix(), name.len()).into_bytes();
    text.extend_from_slice(secret);
    let digest = digest::digest(&digest::SHA256, &text);
    let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
    KeyId(u64::from_be_bytes(first))
}
