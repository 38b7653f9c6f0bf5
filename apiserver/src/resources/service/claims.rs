//! The claims that one write of a Service makes and gives up.
//!
//! Every write claims with a holder of its own: the Service's identity and a random token. So two writes of one Service
//! that are under way at the same time cannot both have an item and then, when one of them fails, give it back from under
//! the other; nor can a Service that is deleted take along what its successor of the same name has claimed. What cannot
//! be given back (the store is gone, the process dies) is left to the repair at the next start: holding on to an item
//! that nobody uses is the lesser evil.

use std::collections::HashSet;

use api::status::Status;
use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Dice;
use super::pool::{CLUSTER_IPS, NODE_PORTS, Pool};
use crate::reservation::{ClaimError, Ledger, Reservation};

/// How many random items are tried before the pool is searched for a free one.
const RANDOM_ATTEMPTS: usize = 4;

/// Who holds a claim: a Service, whichever write of it made the claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner(String);

impl Owner {
    pub(super) fn of(meta: &ObjectMeta) -> Owner {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Owner(format!("services/{}/{}/{}", text(&meta.namespace), text(&meta.name), text(&meta.uid)))
    }

    /// The owner that a ledger's holder names. Everything before the last `/`, since tokens have none.
    pub(super) fn of_holder(holder: &str) -> Owner {
        Owner(holder.rsplit_once('/').map_or(holder, |(owner, _)| owner).to_owned())
    }

    /// The holder of the claims that were made with `token`.
    pub(super) fn holder(&self, token: &str) -> String {
        format!("{}/{token}", self.0)
    }

    /// Such as `services/default/web/4f1c…`.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

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
    holder: String,
    dry_run: bool,
    made: HashSet<(&'static str, String)>,
    given_up: HashSet<(&'static str, String)>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(ledger: &'a Ledger, dice: &'a Dice, owner: Owner, dry_run: bool) -> Self {
        let holder = owner.holder(&format!("{:016x}", dice.roll()));
        Claims { ledger, dice, owner, holder, dry_run, made: HashSet::new(), given_up: HashSet::new() }
    }

    /// Claims `item`. A dry run only looks whether that would succeed.
    pub(super) async fn claim(&mut self, pool: &Pool, item: &str) -> Result<(), Refusal> {
        let index = pool.index(item).ok_or_else(|| Refusal::NotInRange(pool.not_in_range()))?;
        let allocated = match pool.name() {
            CLUSTER_IPS => Refusal::Allocated("provided IP is already allocated"),
            _ => Refusal::Allocated("provided port is already allocated"),
        };
        let item = pool.item(index);
        if self.made.contains(&(pool.name(), item.clone())) {
            return Err(allocated);
        }
        let is_free =
            if self.dry_run { !self.taken(pool).await?.contains(&index) } else { self.try_claim(pool, &item).await? };
        if !is_free {
            return Err(allocated);
        }
        self.made.insert((pool.name(), item));
        Ok(())
    }

    /// Claims any free item. In a sparse pool the first random one is free, and nothing needs to be searched.
    pub(super) async fn claim_any(&mut self, pool: &Pool) -> Result<String, Refusal> {
        let upper = pool.bands()[0].clone();
        let attempts = if self.dry_run || upper.is_empty() { 0 } else { RANDOM_ATTEMPTS };
        for _ in 0..attempts {
            let item = pool.item(upper.start + self.dice.roll() % (upper.end - upper.start));
            if self.try_claim(pool, &item).await? {
                self.made.insert((pool.name(), item.clone()));
                return Ok(item);
            }
        }
        let taken = self.taken(pool).await?;
        for index in pool.free(self.dice.roll(), &taken) {
            let item = pool.item(index);
            // Somebody else may have been faster.
            if self.dry_run || self.try_claim(pool, &item).await? {
                self.made.insert((pool.name(), item.clone()));
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
        let Claims { ledger, owner, holder, dry_run, made, given_up, .. } = self;
        if dry_run {
            return outcome.map(|()| Reservation::none());
        }
        let undo = {
            let ledger = ledger.clone();
            async move {
                for (pool, item) in made {
                    if let Err(error) = ledger.release(pool, &item, &holder).await {
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

    /// Whether the claim was made; false if another holder has the item.
    async fn try_claim(&self, pool: &Pool, item: &str) -> Result<bool, ClaimError> {
        let is_ours = || self.made.contains(&(pool.name(), item.to_owned()));
        if is_ours() {
            return Ok(false);
        }
        match self.ledger.claim(pool.name(), item, &self.holder).await {
            Ok(()) => Ok(true),
            Err(ClaimError::Taken { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The numbers of the items that are claimed, by this write too.
    async fn taken(&self, pool: &Pool) -> Result<HashSet<u64>, ClaimError> {
        let claims = self.ledger.claims(pool.name()).await?;
        let ours = self.made.iter().filter(|(name, _)| *name == pool.name()).map(|(_, item)| item);
        Ok(claims.iter().map(|(item, _)| item).chain(ours).filter_map(|item| pool.index(item)).collect())
    }
}

/// Gives back those of `items` that `owner` holds.
pub(super) async fn give_back(ledger: &Ledger, owner: &Owner, items: &HashSet<(&'static str, String)>) {
    for pool in [CLUSTER_IPS, NODE_PORTS] {
        if !items.iter().any(|(name, _)| *name == pool) {
            continue;
        }
        let released = async {
            for (item, holder) in ledger.claims(pool).await? {
                if Owner::of_holder(&holder) == *owner && items.contains(&(pool, item.clone())) {
                    ledger.release(pool, &item, &holder).await?;
                }
            }
            Ok::<(), ClaimError>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(pool, owner = owner.as_str(), %error, "kept claims that are no longer used until the next start");
        }
    }
}
