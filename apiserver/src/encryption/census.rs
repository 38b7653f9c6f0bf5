//! How many objects are kept by which key.

use std::collections::BTreeMap;

use store::{Prefix, Store};

use super::{Encryption, Kept};
use crate::entry::{Objects, ROOT, stored_resource};

/// What is to be said of how an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// As it would be if it were written now.
    Current,
    /// Otherwise; it would be written anew by an update that changes nothing.
    Stale,
    /// By a key that the configuration has no more: this process can read it, and no other one.
    Lost,
    /// It cannot be read.
    Unreadable,
}

impl State {
    /// As the metric states it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Current => "current",
            State::Stale => "stale",
            State::Lost => "lost",
            State::Unreadable => "unreadable",
        }
    }
}

/// So many objects of a resource are kept by a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The resource as a configuration names it, such as `secrets` or `deployments.apps`.
    pub resource: String,
    /// The provider; `identity` of what is stored as it is, and nothing if it is not known.
    pub provider: String,
    /// What the key is called, if there is one.
    pub key: String,
    /// Whether that is as it should be.
    pub state: State,
    /// How many.
    pub objects: usize,
}

impl Encryption {
    /// Counts the objects of the resources that the configuration names, or, with `all`, whatever is not stored in plain.
    #[must_use]
    pub fn census(&self, store: &Store<Objects>, all: bool) -> Vec<Count> {
        let rules = self.rules();
        let scopes = if all { vec![String::new()] } else { rules.scopes() };
        let state = store.known_state();
        let mut counts: BTreeMap<(&str, String, String, State), usize> = BTreeMap::new();
        for scope in scopes {
            let path = if scope.is_empty() { ROOT.to_owned() } else { format!("{ROOT}{scope}/") };
            let Ok(prefix) = Prefix::new(&path) else { continue };
            for (key, stored) in state.range(&prefix, None) {
                let Some(resource) = stored_resource(key) else { continue };
                let (kept, providers) = (stored.entry.kept(), rules.of(resource));
                if providers.is_none() && *kept == Kept::Plain {
                    continue;
                }
                let is_current = providers.is_some_and(|providers| providers.current() == *kept);
                let named = match kept {
                    Kept::By(id) => self.name(*id),
                    _ => None,
                };
                let (provider, key) = match (kept, named) {
                    (Kept::Plain, _) => ("identity".to_owned(), String::new()),
                    (_, Some(name)) => (name.provider.to_owned(), name.name.to_string()),
                    (_, None) => Default::default(),
                };
                let state = match kept {
                    Kept::Unreadable(_) => State::Unreadable,
                    _ if is_current => State::Current,
                    kept if providers.is_some_and(|providers| providers.reads(kept)) => State::Stale,
                    _ => State::Lost,
                };
                *counts.entry((resource, provider, key, state)).or_default() += 1;
            }
        }
        let count = |((resource, provider, key, state), objects)| {
            let (group, plural) = str::split_once(resource, '/').unwrap_or(("core", resource));
            let resource = if group == "core" { plural.to_owned() } else { format!("{plural}.{group}") };
            Count { resource, provider, key, state, objects }
        };
        counts.into_iter().map(count).collect()
    }

    /// Says in the log what of the store cannot be read, or will not be by the next process.
    pub(crate) fn warn_of_loss(&self, store: &Store<Objects>) {
        for Count { resource, key, state, objects, .. } in self.census(store, true) {
            match state {
                State::Unreadable => tracing::error!(
                    resource,
                    objects,
                    "objects cannot be read: no key of the encryption configuration opens what is stored of them; put back the key \
                     that they were written with"
                ),
                State::Lost => tracing::error!(
                    resource,
                    objects,
                    key,
                    "objects will be lost when this process ends: the encryption configuration has no more what they were \
                     written with; put it back, or write them anew now"
                ),
                State::Current | State::Stale => {}
            }
        }
    }
}
