//! What only one object in the cluster may have: service addresses and node ports.
//!
//! A claim is a key of its own in the store, made only if it does not exist. That is what makes it exclusive, with several
//! API servers on one etcd as with one: no memory has to agree. A crash between a claim and the write that it was made
//! for leaves a claim that nobody holds; those are dropped when the server starts, by comparing with the stored objects.

use futures::future::BoxFuture;
use store::{At, Durability, Key, Prefix, Store, WriteError};

use crate::entry::Objects;

const CLAIMS: &str = "/registry/gantry.dev/claims/";

/// Keeps claims.
#[derive(Clone)]
pub struct Ledger {
    store: Store<Objects>,
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
    /// The name of the pool or of the item makes no key.
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
    /// A ledger in `store`.
    #[must_use]
    pub fn new(store: Store<Objects>) -> Self {
        Ledger { store }
    }

    /// Claims `item` of `pool` for `holder`, such as `services/default/web`. Claiming again what the holder has is no
    /// error.
    pub async fn claim(&self, pool: &str, item: &str, holder: &str) -> Result<(), ClaimError> {
        let key = claim_key(pool, item)?;
        let value = bytes::Bytes::from(holder.to_owned());
        loop {
            match self.store.create(key.clone(), value.clone(), Durability::Flushed).await {
                Ok(_) => return Ok(()),
                Err(WriteError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match self.store.get(&key, At::Latest).await? {
                Some(stored) if *stored.entry.bytes() == value => return Ok(()),
                Some(stored) => {
                    let holder = String::from_utf8_lossy(stored.entry.bytes()).into_owned();
                    return Err(ClaimError::Taken { holder });
                }
                // It was given back in between.
                None => {}
            }
        }
    }

    /// Gives `item` of `pool` back if `holder` has it.
    pub async fn release(&self, pool: &str, item: &str, holder: &str) -> Result<(), ClaimError> {
        let key = claim_key(pool, item)?;
        let Some(stored) = self.store.get(&key, At::Latest).await? else { return Ok(()) };
        if stored.entry.bytes() != holder.as_bytes() {
            return Ok(());
        }
        match self.store.delete(key, stored.revision, Durability::Flushed).await {
            // Somebody else gave it back.
            Ok(_) | Err(WriteError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Every claim in `pool` as (item, holder), in the order of items.
    pub async fn claims(&self, pool: &str) -> Result<Vec<(String, String)>, ClaimError> {
        let prefix = Prefix::new(&format!("{CLAIMS}{pool}/"))?;
        let snapshot = self.store.snapshot(&prefix, At::Latest).await?;
        let claims = snapshot.range(&prefix, None).map(|(key, stored)| {
            let item = key.as_str()[prefix.as_str().len()..].to_owned();
            (item, String::from_utf8_lossy(stored.entry.bytes()).into_owned())
        });
        Ok(claims.collect())
    }
}

fn claim_key(pool: &str, item: &str) -> Result<Key, store::KeyError> {
    Key::new(&format!("{CLAIMS}{pool}/{item}"))
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
