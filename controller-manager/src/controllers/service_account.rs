//! Sees that every namespace has the ServiceAccount `default`, without which no pod can be created in it.
//!
//! A namespace that is not active, because it is on its way out, gets none. What somebody writes into the account stays.

use std::sync::Arc;

use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

/// The account that every namespace has.
const NAME: &str = "default";

/// The controller.
pub struct ServiceAccounts;

/// An active namespace.
pub struct Observed {
    namespace: Arc<Namespace>,
    has_account: bool,
}

impl Controller for ServiceAccounts {
    const NAME: &'static str = "serviceaccount-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Namespace>().mapped::<ServiceAccount>(|_, pair| {
            // That an account is there is no reason to do anything.
            let gone = pair.old.as_ref().filter(|_| pair.new.is_none()).map(|account| &account.metadata);
            let of_interest = gone.filter(|meta| meta.name.as_deref() == Some(NAME));
            of_interest.and_then(|meta| meta.namespace.as_deref()).map(namespace_key).into_iter().collect()
        })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let namespace = cache.get::<Namespace>("", &key.name)?;
        let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase != Some("Active") {
            return None;
        }
        let has_account = cache.get::<ServiceAccount>(&key.name, NAME).is_some();
        Some(Observed { namespace, has_account })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        if !observed.has_account {
            let metadata = ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: observed.namespace.metadata.name.clone(),
                ..ObjectMeta::default()
            };
            plan.create(&ServiceAccount { metadata, ..ServiceAccount::default() });
        }
        plan
    }
}

fn namespace_key(namespace: &str) -> Key {
    Key::of::<Namespace>("", namespace)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{LocalObjectReference, NamespaceStatus};

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn namespace(name: &str, phase: Option<&str>) -> Namespace {
        Namespace {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            status: Some(NamespaceStatus { phase: phase.map(str::to_owned), ..NamespaceStatus::default() }),
            ..Namespace::default()
        }
    }

    fn account(namespace: &str, name: &str) -> ServiceAccount {
        let secret = LocalObjectReference { name: "registry".to_owned() };
        ServiceAccount {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            image_pull_secrets: Some(vec![secret]),
            ..ServiceAccount::default()
        }
    }

    fn accounts(world: &World<ServiceAccounts>) -> Vec<String> {
        let name = |account: Arc<ServiceAccount>| Key::to(&*account).to_string();
        world.list::<ServiceAccount>().into_iter().map(name).collect()
    }

    fn setup() -> World<ServiceAccounts> {
        let mut world = World::new(ServiceAccounts);
        world.add(namespace("bare", Some("Active")));
        world.add(namespace("going", Some("Terminating")));
        world.add(namespace("new", None));
        world.add(namespace("shop", Some("Active")));
        world.add(account("shop", "default"));
        world.add(account("shop", "web"));
        world
    }

    #[test]
    fn every_active_namespace_has_its_account() {
        let world = check_converges(setup, nobody_else);
        let expected = ["serviceaccounts bare/default", "serviceaccounts shop/default", "serviceaccounts shop/web"];
        assert_eq!(accounts(&world), expected);
        let kept = world.get::<ServiceAccount>("shop", "default").unwrap();
        assert!(kept.image_pull_secrets.is_some());
    }

    #[test]
    fn it_comes_back_when_it_is_deleted_and_no_other_does() {
        let mut world = setup();
        world.settle();
        world.delete::<ServiceAccount>("shop", "default");
        world.delete::<ServiceAccount>("shop", "web");
        let plans = world.settle();
        assert_eq!(plans.len(), 1);
        assert_eq!(accounts(&world), ["serviceaccounts bare/default", "serviceaccounts shop/default"]);
        world.change::<ServiceAccount>("shop", "default", |account| account.secrets = Some(Vec::new()));
        assert!(world.settle().is_empty());
    }

    #[test]
    fn a_namespace_gets_it_when_it_becomes_active_and_not_after() {
        let mut world = setup();
        world.settle();
        let active =
            |namespace: &mut Namespace| namespace.status.get_or_insert_default().phase = Some("Active".to_owned());
        world.change::<Namespace>("", "new", active);
        world.settle();
        assert!(world.get::<ServiceAccount>("new", "default").is_some());
        let going = |namespace: &mut Namespace| {
            namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
        };
        world.change::<Namespace>("", "new", going);
        world.delete::<ServiceAccount>("new", "default");
        assert!(world.settle().is_empty());
    }
}
