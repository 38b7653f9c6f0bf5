//! Objects as the API says that they are, and as it was decided that they will be.
//!
//! What was decided holds until the API says anything new of the object: it then says what has become of the decision.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Something that has a version.
pub(super) trait Versioned {
    /// The version in which the API has it.
    fn version(&self) -> &str;
}

#[derive(Clone, Debug, PartialEq)]
struct Known<T> {
    api: Arc<T>,
    /// What was decided, and for whom.
    assumed: Option<(Arc<T>, String)>,
}

/// Objects by their names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assumed<K: Eq + Hash, T> {
    known: HashMap<K, Known<T>>,
}

impl<K: Eq + Hash, T> Default for Assumed<K, T> {
    fn default() -> Self {
        Self { known: HashMap::new() }
    }
}

impl<K: Eq + Hash, T: Versioned> Assumed<K, T> {
    /// The object as it will be.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&Arc<T>>
    where
        K: Borrow<Q>,
    {
        let known = self.known.get(key)?;
        Some(known.assumed.as_ref().map_or(&known.api, |(assumed, _)| assumed))
    }

    /// The object as the API says that it is.
    pub(super) fn api<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&Arc<T>>
    where
        K: Borrow<Q>,
    {
        self.known.get(key).map(|known| &known.api)
    }

    /// The object as it was decided for `whom`.
    pub(super) fn assumed<Q: Eq + Hash + ?Sized>(&self, key: &Q, whom: &str) -> Option<&Arc<T>>
    where
        K: Borrow<Q>,
    {
        let (assumed, by) = self.known.get(key)?.assumed.as_ref()?;
        (by == whom).then_some(assumed)
    }

    /// The API says that the object is so.
    pub(super) fn set(&mut self, key: K, object: T) {
        let before = self.known.remove(&key);
        let assumed = before.filter(|before| before.api.version() == object.version()).and_then(|known| known.assumed);
        self.known.insert(key, Known { api: Arc::new(object), assumed });
    }

    /// The API says that the object is gone.
    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.known.remove(key);
    }

    /// It was decided for `whom` that the object is to be so. Nothing happens if it has changed since that was decided.
    pub(super) fn assume<Q: Eq + Hash + ?Sized>(&mut self, key: &Q, object: T, whom: &str) -> bool
    where
        K: Borrow<Q>,
    {
        let known = self.known.get_mut(key).filter(|known| known.api.version() == object.version());
        let known = known.map(|known| known.assumed = Some((Arc::new(object), whom.to_owned())));
        known.is_some()
    }

    /// What was decided for `whom` of the object no longer holds.
    pub(super) fn restore<Q: Eq + Hash + ?Sized>(&mut self, key: &Q, whom: &str)
    where
        K: Borrow<Q>,
    {
        if let Some(known) = self.known.get_mut(key)
            && known.assumed.as_ref().is_some_and(|(_, by)| by == whom)
        {
            known.assumed = None;
        }
    }
}
