//! The claims that one write of a Service makes and gives up.
//!
//! Every claim has a holder of its own: the Service's identity and a random token. So two writes of one Service that are
//! under way at the same time cannot both have an item and then, when one of them fails, give it back from under the
//! other; nor can a Service that is deleted take along what its successor of the same name has claimed. What cannot
//! be given back (the store is gone, the process dies) is left to the repair at the next start: holding on to an item
//! that nobody uses is the lesser evil.

use std::collections::{HashMap, HashSet};

use api::status::Status;
use futures::FutureExt;

use super::Dice;
use super::book::{Owner, book, token};
use super::pool::{CLUSTER_IPS, Pool};
use crate::reservation::{ClaimError, Ledger, Reservation};

/// How many random items are tried before the pool is searched for a free one.
const RANDOM_ATTEMPTS: usize = 4;

/// Why an item was not given. Displays in upstream's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    NotInRange(String),
    #[error("{0}")]
    Allocated(&'static str),
    #[error("range is full")]
    Full,
    #[error("{0}")]
    Ledger(#[from] ClaimError),
}

/// Claims that are made at once and given back at the end, if the write fails; and claims that are given up only when it
/// has succeeded.
pub(super) struct Claims<'a> {
    ledger: &'a Ledger,
    dice: &'a Dice,
    owner: Owner,
    dry_run: bool,
    /// The items, and the holders that they were claimed with.
    made: HashMap<(&'static str, String), String>,
    given_up: HashSet<(&'static str, String)>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(ledger: &'a Ledger, dice: &'a Dice, owner: Owner, dry_run: bool) -> Self {
        Claims { ledger, dice, owner, dry_run, made: HashMap::new(), given_up: HashSet::new() }
    }

    /// Claims `item`. A dry run only looks whether that would succeed.
    pub(super) async fn claim(&mut self, pool: &Pool, item: &str) -> Result<(), Refusal> {
        let index = pool.index(item).ok_or_else(|| Refusal::NotInRange(pool.not_in_range()))?;
        let allocated = match pool.name() {
            CLUSTER_IPS => Refusal::Allocated("provided IP is already allocated"),
            _ => Refusal::Allocated("provided port is already allocated"),
        };
        let item = pool.item(index);
        let is_made = if self.dry_run {
            !self.taken(pool).await?.contains(&index) && self.note(pool, &item, String::new())
        } else {
            self.try_claim(pool, &item).await?
        };
        if is_made { Ok(()) } else { Err(allocated) }
    }

    /// Claims any free item. In a sparse pool the first random one is free, and nothing needs to be searched.
    pub(super) async fn claim_any(&mut self, pool: &Pool) -> Result<String, Refusal> {
        let upper = pool.bands()[0].clone();
        let attempts = if self.dry_run || upper.is_empty() { 0 } else { RANDOM_ATTEMPTS };
        for _ in 0..attempts {
            let item = pool.item(upper.start + self.dice.roll() % (upper.end - upper.start));
            if self.try_claim(pool, &item).await? {
                return Ok(item);
            }
        }
        let taken = self.taken(pool).await?;
        for index in pool.free(self.dice.roll(), &taken) {
            let item = pool.item(index);
            // Somebody else may have been faster.
            let is_made =
                if self.dry_run { self.note(pool, &item, String::new()) } else { self.try_claim(pool, &item).await? };
            if is_made {
                return Ok(item);
            }
        }
        Err(Refusal::Full)
    }

    /// Gives `item` of the ledger's pool back when the write has succeeded.
    pub(super) fn give_up(&mut self, pool: &'static str, item: String) {
        self.given_up.insert((pool, item));
    }

    /// The reservation, or the error that ended the attempt, everything claimed being given back.
    pub(super) async fn finish(self, outcome: Result<(), Status>) -> Result<Reservation, Status> {
        let Claims { ledger, owner, dry_run, made, given_up, .. } = self;
        if dry_run {
            return outcome.map(|()| Reservation::none());
        }
        let undo = {
            let ledger = ledger.clone();
            async move {
                for ((pool, item), holder) in made {
                    if let Err(error) = ledger.release(book(pool), &item, &holder).await {
                        tracing::warn!(pool, item, %error, "kept a claim that was made in vain until the next start");
                    }
                }
            }
        };
        match outcome {
            Ok(()) => {
                let ledger = ledger.clone();
                let release = async move { give_back(&ledger, &owner, &given_up).await };
                Ok(Reservation::new(release.boxed(), undo.boxed()))
            }
            Err(status) => {
                undo.await;
                Err(status)
            }
        }
    }

    /// Whether the claim was made; false if another holder has the item, or this write has it already.
    async fn try_claim(&mut self, pool: &Pool, item: &str) -> Result<bool, ClaimError> {
        if self.made.contains_key(&(pool.name(), item.to_owned())) {
            return Ok(false);
        }
        let holder = self.owner.holder(&token(self.dice.roll()));
        match self.ledger.claim(book(pool.name()), item, &holder).await {
            Ok(()) => Ok(self.note(pool, item, holder)),
            Err(ClaimError::Taken { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Remembers that this write has an item; false if it had it before.
    fn note(&mut self, pool: &Pool, item: &str, holder: String) -> bool {
        self.made.insert((pool.name(), item.to_owned()), holder).is_none()
    }

    /// The numbers of the items that are claimed, by this write too.
    async fn taken(&self, pool: &Pool) -> Result<HashSet<u64>, ClaimError> {
        let claimed = self.ledger.items(book(pool.name())).await?;
        let ours = self.made.keys().filter(|(name, _)| *name == pool.name()).map(|(_, item)| item);
        Ok(claimed.iter().chain(ours).filter_map(|item| pool.index(item)).collect())
    }
}

/// Gives back those of `items` that `owner` holds.
pub(super) async fn give_back(ledger: &Ledger, owner: &Owner, items: &HashSet<(&'static str, String)>) {
    for (pool, item) in items {
        let is_owners = |holder: &str| Owner::of_holder(holder) == *owner;
        if let Err(error) = ledger.release_of(book(pool), item, is_owners).await {
            let owner = owner.as_str();
            tracing::warn!(pool, item, owner, %error, "kept a claim that is no longer used until the next start");
        }
    }
}
