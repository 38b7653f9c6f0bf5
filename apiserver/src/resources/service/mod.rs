//! Services: stable addresses for sets of pods.
//!
//! Cluster IPs and node ports are allocated from the cluster's ranges when a Service is written, never twice, and given
//! back when it no longer needs them. See [`reservation`](crate::reservation) for what makes that exclusive. The IPAddress
//! objects that clients see are the claims of cluster IPs.

mod allocation;
mod book;
mod claims;
mod config;
mod continuity;
mod defaults;
mod families;
mod pool;
mod repair;
mod spec;
mod table;
mod validation;
mod warnings;

#[cfg(test)]
mod tests;

use api::field::ErrorList;
use api::status::Status;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{LoadBalancerStatus, Service, ServiceStatus};
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde_json::Value;

pub use self::config::{Config, ConfigError};
pub use self::repair::{Claim, Conflict, Orphans, Report, repair, restore};
use crate::reservation::{Ledger, Reservation};
use crate::strategy::{Column, Companion, Context, Names, SelectableField, Strategy, UpdateSubresource};

pub(crate) struct Services {
    config: Config,
    dice: Dice,
}

impl Services {
    /// Gives Services what `config` has. Servers that share a store need different seeds.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        Services { config, dice: Dice(Mutex::new(StdRng::seed_from_u64(seed))) }
    }
}

/// Random numbers that follow from a seed.
struct Dice(Mutex<StdRng>);

impl Dice {
    fn roll(&self) -> u64 {
        self.0.lock().next_u64()
    }
}

impl Strategy for Services {
    type Object = Service;

    fn names(&self) -> Names {
        Names::of::<Service>("service", true).short(&["svc"]).within(&["all"])
    }

    fn default(&self, object: &mut Service) {
        defaults::set(object);
    }

    fn prepare_create(&self, object: &mut Service, _: Context<'_>) {
        let load_balancer = Some(LoadBalancerStatus::default());
        object.status = Some(ServiceStatus { load_balancer, ..ServiceStatus::default() });
        continuity::follow_cluster_ip(object.spec.get_or_insert_default(), None);
    }

    fn prepare_update(&self, new: &mut Service, old: &Service, _: Context<'_>) {
        new.status.clone_from(&old.status);
        if let Some(old_spec) = &old.spec {
            let spec = new.spec.get_or_insert_default();
            continuity::keep_allocated(spec, old_spec);
            continuity::follow_cluster_ip(spec, Some(old_spec));
        }
        continuity::drop_unused(new, old);
    }

    /// A DNS label, since v1.36 (KEP-5311); before, it had to begin with a letter.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        api::names::object_dns_label(name, prefix)
    }

    fn validate(&self, object: &Service) -> ErrorList {
        validation::service(object, None)
    }

    fn validate_update(&self, new: &Service, old: &Service) -> ErrorList {
        validation::update(new, old)
    }

    fn warnings(&self, new: &Service, _: Option<&Service>) -> Vec<String> {
        warnings::of(new)
    }

    fn columns(&self) -> &'static [Column] {
        table::COLUMNS
    }

    fn row(&self, object: &Service, now: Timestamp) -> Vec<Value> {
        table::row(object, now)
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField::at("spec.clusterIP"), SelectableField::at("spec.type")] }
    }

    fn updates(&self) -> Vec<UpdateSubresource<Service>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec.clone_from(&old.spec),
            validate: validation::status,
        }]
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn reserve<'a>(
        &'a self,
        ledger: &'a Ledger,
        new: &'a mut Service,
        old: Option<&'a Service>,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>> {
        Box::pin(allocation::reserve(self, ledger, new, old, dry_run))
    }

    fn release<'a>(&'a self, ledger: &'a Ledger, object: &'a Service) -> BoxFuture<'a, ()> {
        Box::pin(allocation::release(ledger, object))
    }

    /// So that a new Service of the name does not begin with the addresses of the old one, should the endpoints
    /// controller lag.
    fn companions(&self) -> &'static [Companion] {
        const { &[Companion { group: "", version: "v1", resource: "endpoints" }] }
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}
