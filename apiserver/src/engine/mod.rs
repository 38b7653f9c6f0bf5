//! Answers requests for resources: the verbs, the same for every kind.
//!
//! A request comes in with an identity, is resolved to a [`Resource`] of the registry, authorized, and handed to its verb.
//! Reads serve stored bytes. Writes go through one pipeline: decode, default, mutating admission, prepare, reserve,
//! validate, validating admission, commit.

mod answer;
mod body;
mod bootstrap;
mod call;
mod create;
mod delete;
mod dispatch;
mod eviction;
mod lifecycle;
mod list;
mod metadata;
mod patch;
mod pods;
mod read;
mod scale;
mod selection;
mod tokens;
mod unreadable;
mod unstored;
mod update;
mod watch;

use std::sync::Arc;

use api::status::Status;
use k8s_openapi::jiff::Timestamp;
use store::{ReadError, Store, WatchError, WriteError};

use crate::admission::{Admission, Quotas};
use crate::authn::{Authenticators, ServiceAccountTokens};
use crate::authz::{Authorizer, Masters, Rbac};
use crate::entry::Objects;
use crate::registry::Registry;
use crate::reservation::Ledger;
use crate::usage::Collector;

pub use answer::{Answer, Payload};
pub use body::Body;
pub(crate) use body::yaml_to_json;
pub use bootstrap::Location;
#[cfg(test)]
pub(crate) use bootstrap::{born_rbac, born_roles};
pub use call::Call;
pub use dispatch::dispatch;
pub(crate) use dispatch::{not_allowed, not_served};
pub(crate) use metadata::MODIFIED;
pub(crate) use pods::bind_named;

/// Where the engine gets the time and random bits from.
pub trait Surroundings: Send + Sync + 'static {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;
    /// 64 random bits.
    fn random(&self) -> u64;
}

/// Answers requests for resources. Cloning gives another handle to the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) store: Store<Objects>,
    /// What is served.
    pub registry: Arc<Registry>,
    pub(crate) ledger: Ledger,
    quotas: Arc<Quotas>,
    admission: Admission,
    surroundings: Arc<dyn Surroundings>,
    access: Access,
    usage: Option<Arc<Collector>>,
}

/// By what the server itself answers who somebody is and what they may do: the same that its requests pass.
#[derive(Clone)]
pub struct Access {
    /// The means of authentication.
    pub authenticators: Authenticators,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// The roles of the cluster, by which it is judged what somebody may hand out; without, nobody may but masters.
    pub rbac: Rbac,
    /// The tokens of ServiceAccounts; without, none are issued.
    pub service_accounts: Option<ServiceAccountTokens>,
}

impl Default for Access {
    /// Nobody is known, and nobody but masters may do anything.
    fn default() -> Self {
        Access {
            authenticators: Authenticators::new(None),
            authorizer: Arc::new(Masters),
            rbac: Rbac::default(),
            service_accounts: None,
        }
    }
}

impl Engine {
    /// An engine over `store`, whose codec shares `registry`.
    #[must_use]
    pub fn new(store: Store<Objects>, registry: Arc<Registry>, surroundings: Arc<dyn Surroundings>) -> Self {
        let clock = Arc::clone(&surroundings);
        let ledger = Ledger::new(store.clone(), Arc::new(move || to_the_second(clock.now())));
        let (quotas, admission, access) = (Arc::default(), Admission::default(), Access::default());
        Engine { store, registry, ledger, quotas, admission, surroundings, access, usage: None }
    }

    /// The same engine, which answers by `access` who somebody is and what they may do.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Engine { access, ..self }
    }

    /// The same engine, about whose writes these plugins decide.
    #[must_use]
    pub fn with_admission(self, admission: Admission) -> Self {
        Engine { admission, ..self }
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// By what it answers who somebody is and what they may do.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The same engine, which asks `usage` what nodes and pods use.
    #[must_use]
    pub fn with_usage(self, usage: Arc<Collector>) -> Self {
        Engine { usage: Some(usage), ..self }
    }

    /// What says what nodes and pods use, if anything does.
    pub(crate) fn usage(&self) -> Option<&Collector> {
        self.usage.as_deref()
    }

    /// What it keeps objects in.
    #[must_use]
    pub fn store(&self) -> &Store<Objects> {
        &self.store
    }

    /// What is being charged to quotas.
    pub(crate) fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// The time, to the second as objects state it.
    pub(crate) fn now(&self) -> Timestamp {
        to_the_second(self.surroundings.now())
    }

    pub(crate) fn random(&self) -> u64 {
        self.surroundings.random()
    }

    /// A random identity for a new object.
    pub(crate) fn new_uid(&self) -> String {
        api::names::uid(&mut || self.surroundings.random())
    }

    /// A name that begins with `base`.
    pub(crate) fn new_name(&self, base: &str) -> String {
        api::names::generate_name(base, &mut || self.surroundings.random())
    }
}

fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// What a client is told of a read that failed.
pub(crate) fn read_failed(error: ReadError) -> Status {
    match error {
        ReadError::Compacted { .. } => {
            Status::resource_expired("The resourceVersion for the provided list is too old.")
        }
        ReadError::Future { requested, current } => too_large_version(requested.0, current.0),
        ReadError::Unavailable { .. } | ReadError::Closed => Status::service_unavailable(error.to_string()),
    }
}

/// What a client is told of a watch that could not start.
pub(crate) fn watch_failed(error: WatchError) -> Status {
    match error {
        WatchError::Compacted { requested, oldest } => {
            Status::resource_expired(format!("too old resource version: {requested} ({oldest})"))
        }
        WatchError::Future { requested, current } => too_large_version(requested.0, current.0),
        WatchError::TooMany { .. } => Status::too_many_requests(error.to_string(), 1),
        WatchError::Closed => Status::service_unavailable(error.to_string()),
    }
}

/// What a client is told of a write that failed for a reason other than a conflict.
pub(crate) fn write_failed(error: &WriteError) -> Status {
    match error {
        WriteError::TooLarge { size, limit, .. } => {
            let message = format!("etcdserver: request is too large: {size} bytes, the limit is {limit}");
            Status::request_entity_too_large(&message)
        }
        WriteError::NoSpace { .. } | WriteError::Unavailable { .. } | WriteError::Closed => {
            Status::service_unavailable(error.to_string())
        }
        WriteError::Undetermined { .. } => Status::timeout(&error.to_string(), 1),
        WriteError::Conflict { .. } => Status::internal_error(error),
    }
}

fn too_large_version(requested: u64, current: u64) -> Status {
    let message = format!("Too large resource version: {requested}, current: {current}");
    let cause = api::status::StatusCause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".to_owned(),
        field: String::new(),
    };
    Status::timeout(&message, 1).with_cause(cause)
}
