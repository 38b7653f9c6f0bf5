//! What only one object in the cluster may have: service addresses and node ports.
//!
//! A claim is a key of its own in the store, made only if it does not exist. That is what makes it exclusive, with several
//! API servers on one etcd as with one: no memory has to agree. What is stored under the key is the affair of the
//! [`Book`]: of some it is an object that clients see. A crash between a claim and the write that it was made for leaves
//! a claim that nobody holds; those are dropped when the server starts, by comparing with the stored objects.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use store::{At, Durability, Key, Prefix, Store, WriteError};

use crate::entry::{Objects, ROOT};

/// Where namespaces are kept.
const NAMESPACES: &str = "core/namespaces/";
/// How often a claim that changes meanwhile is tried to be given back.
const MAX_ATTEMPTS: usize = 5;

/// One kind of things that are claimed: where their claims are, and in which form.
#[derive(Debug)]
pub struct Book {
    /// What its keys begin with, up to the item.
    pub prefix: &'static str,
    /// What is stored of a claim of an item for a holder that is made now.
    pub write: fn(item: &str, holder: &str, now: Timestamp) -> Bytes,
    /// Who holds what is stored, and whether it was a claim to begin with.
    pub read: fn(value: &[u8]) -> (String, bool),
    /// What is stored when a claim is given back now; nothing, if its key goes.
    pub erase: fn(value: &[u8], now: Timestamp) -> Option<Bytes>,
}

impl Book {
    /// A book whose claims nobody sees but the ledger, and which state the holder and nothing else.
    #[must_use]
    pub const fn hidden(prefix: &'static str) -> Book {
        Book {
            prefix,
            write: |_, holder, _| Bytes::from(holder.to_owned()),
            read: |value| (String::from_utf8_lossy(value).into_owned(), true),
            erase: |_, _| None,
        }
    }

    fn key(&self, item: &str) -> Result<Key, store::KeyError> {
        Key::new(&format!("{}{item}", self.prefix))
    }

    fn held(&self, item: String, value: &[u8]) -> Held {
        let (holder, managed) = (self.read)(value);
        Held { item, holder, managed }
    }
}

/// An item that cannot be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The item.
    pub item: String,
    /// What it was claimed for, as it was stated then.
    pub holder: String,
    /// Whether it was claimed by the ledger. Objects that clients make keep their items from being claimed, too.
    pub managed: bool,
}

/// Keeps claims.
#[derive(Clone)]
pub struct Ledger {
    store: Store<Objects>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Why a claim was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Another object has it.
    #[error("held by {holder}")]
    Taken {
        /// What it was claimed for, as it was stated then.
        holder: String,
    },
    /// The name of the item makes no key.
    #[error("{0}")]
    Name(#[from] store::KeyError),
    /// The store did not take it.
    #[error("{0}")]
    Store(#[from] WriteError),
    /// The store could not be asked.
    #[error("{0}")]
    Read(#[from] store::ReadError),
}

impl Ledger {
    /// A ledger in `store`, whose claims are made at the time that `now` tells.
    #[must_use]
    pub fn new(store: Store<Objects>, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Ledger { store, now }
    }

    /// The value of a label of a namespace, if both exist.
    pub(crate) async fn namespace_label(&self, namespace: &str, label: &str) -> Result<Option<String>, ClaimError> {
        let key = Key::new(&format!("{ROOT}{NAMESPACES}{namespace}"))?;
        let stored = self.store.get(&key, At::Latest).await?;
        Ok(stored.and_then(|stored| stored.entry.label(label).map(str::to_owned)))
    }

    /// Claims `item` for `holder`, such as `services/default/web`. Claiming again what the holder has is no error.
    pub async fn claim(&self, book: &Book, item: &str, holder: &str) -> Result<(), ClaimError> {
        let key = book.key(item)?;
        let value = (book.write)(item, holder, (self.now)());
        loop {
            match self.store.create(key.clone(), value.clone(), Durability::Flushed).await {
                Ok(_) => return Ok(()),
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match self.held(book, item).await? {
                Some(held) if held.holder == holder => return Ok(()),
                Some(held) => return Err(ClaimError::Taken { holder: held.holder }),
                // It was given back in between.
                None => {}
            }
        }
    }

    /// Gives `item` back if `holder` has it.
    pub async fn release(&self, book: &Book, item: &str, holder: &str) -> Result<(), ClaimError> {
        self.release_of(book, item, |held| held == holder).await
    }

    /// Gives `item` back if it is of a holder for which `is_mine` holds. What clients change in the meantime, where they
    /// can, makes no difference.
    pub async fn release_of(&self, book: &Book, item: &str, is_mine: impl Fn(&str) -> bool) -> Result<(), ClaimError> {
        let key = book.key(item)?;
        let mut conflict = Ok(());
        for _ in 0..MAX_ATTEMPTS {
            let Some(stored) = self.store.get(&key, At::Latest).await? else { return Ok(()) };
            if !is_mine(&(book.read)(stored.entry.bytes()).0) {
                return Ok(());
            }
            let (key, expected) = (key.clone(), stored.revision);
            let written = match (book.erase)(stored.entry.bytes(), (self.now)()) {
                Some(value) => self.store.update(key, expected, value, Durability::Flushed).await.map(drop),
                None => self.store.delete(key, expected, Durability::Flushed).await.map(drop),
            };
            match written {
                Ok(()) => return Ok(()),
                Err(error @ WriteError::Conflict { .. }) => conflict = Err(error.into()),
                Err(error) => return Err(error.into()),
            }
        }
        conflict
    }

    /// Who has `item`, if anybody has.
    async fn held(&self, book: &Book, item: &str) -> Result<Option<Held>, ClaimError> {
        let stored = self.store.get(&book.key(item)?, At::Latest).await?;
        Ok(stored.map(|stored| book.held(item.to_owned(), stored.entry.bytes())))
    }

    /// Every claim, in the order of items.
    pub async fn claims(&self, book: &Book) -> Result<Vec<Held>, ClaimError> {
        let prefix = Prefix::new(book.prefix)?;
        let snapshot = self.store.snapshot(&prefix, At::Latest).await?;
        let claims = snapshot.range(&prefix, None).map(|(key, stored)| {
            let item = key.as_str()[book.prefix.len()..].to_owned();
            book.held(item, stored.entry.bytes())
        });
        Ok(claims.collect())
    }

    /// Every item that is claimed, in their order.
    pub async fn items(&self, book: &Book) -> Result<Vec<String>, ClaimError> {
        let prefix = Prefix::new(book.prefix)?;
        let snapshot = self.store.snapshot(&prefix, At::Latest).await?;
        let items = snapshot.range(&prefix, None).map(|(key, _)| key.as_str()[book.prefix.len()..].to_owned());
        Ok(items.collect())
    }

    /// What is stored at `key`: the object that a claim was made for.
    pub async fn stored(&self, key: &str) -> Result<Option<Bytes>, ClaimError> {
        let stored = self.store.get(&Key::new(key)?, At::Latest).await?;
        Ok(stored.map(|stored| stored.entry.bytes().clone()))
    }
}

/// Claims that were made for a write that has not happened yet.
///
/// The engine calls [`commit`](Reservation::commit) when the write is acknowledged and
/// [`roll_back`](Reservation::roll_back) when it failed.
#[must_use]
pub struct Reservation {
    on_commit: Option<BoxFuture<'static, ()>>,
    on_roll_back: Option<BoxFuture<'static, ()>>,
}

impl Reservation {
    /// Nothing was acquired.
    pub fn none() -> Self {
        Reservation { on_commit: None, on_roll_back: None }
    }

    /// Runs `on_commit` after the write (to give back what the old object had and the new one does not) or
    /// `on_roll_back` if there was none (to give back what was acquired).
    pub fn new(on_commit: BoxFuture<'static, ()>, on_roll_back: BoxFuture<'static, ()>) -> Self {
        Reservation { on_commit: Some(on_commit), on_roll_back: Some(on_roll_back) }
    }

    /// The object was written.
    pub async fn commit(self) {
        if let Some(commit) = self.on_commit {
            commit.await;
        }
    }

    /// The object was not written.
    pub async fn roll_back(self) {
        if let Some(roll_back) = self.on_roll_back {
            roll_back.await;
        }
    }
}
