//! Deletes tokens whose time has passed. One that says no time goes never; one whose time cannot be read goes at once, for it
//! is of no use.

use std::sync::Arc;

use api::bootstrap_token::{Expiry, expiry};
use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::core::v1::Secret;

use super::is_token;
use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Deletion, Effect, Plan, Target};

/// The controller.
pub struct TokenCleaning;

impl Controller for TokenCleaning {
    const NAME: &'static str = "token-cleaner-controller";
    type Observed = Arc<Secret>;

    fn watches(&self) -> Watches {
        Watches::on::<Secret>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Arc<Secret>> {
        let secret = cache.get::<Secret>(&key.namespace, &key.name)?;
        (is_token(&secret) && secret.metadata.deletion_timestamp.is_none()).then_some(secret)
    }

    fn reconcile(&self, secret: &Arc<Secret>, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        match expiry(secret, moment.now) {
            Expiry::Never => {}
            Expiry::In(left) => plan.look_again(left),
            Expiry::Passed => {
                // Somebody may have given it more time meanwhile.
                let version = secret.metadata.resource_version.clone().unwrap_or_default();
                let deletion = Deletion { version, ..Deletion::default() };
                plan.act(Target::of(&**secret), Effect::Delete(deletion));
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn secret(name: &str, namespace: &str, kind: &str, expiration: Option<&str>) -> Secret {
        let mut secret = json!({"metadata": {"name": name, "namespace": namespace}, "type": kind});
        if let Some(expiration) = expiration {
            secret["data"] = json!({"expiration": k8s_openapi::ByteString(expiration.as_bytes().to_vec())});
        }
        serde_json::from_value(secret).unwrap()
    }

    const TYPE: &str = "bootstrap.kubernetes.io/token";
    const PASSED: Option<&str> = Some("2026-03-01T12:00:00Z");

    fn names(world: &World<TokenCleaning>) -> Vec<String> {
        world.list::<Secret>().iter().filter_map(|secret| secret.metadata.name.clone()).collect()
    }

    #[test]
    fn tokens_go_when_their_time_has_passed() {
        let setup = || {
            let mut world = World::new(TokenCleaning);
            world.add(secret("a-passed", "kube-system", TYPE, PASSED));
            world.add(secret("b-unreadable", "kube-system", TYPE, Some("soon")));
            world.add(secret("c-soon", "kube-system", TYPE, Some("2026-03-01T12:00:10Z")));
            world.add(secret("d-never", "kube-system", TYPE, None));
            world.add(secret("e-elsewhere", "default", TYPE, PASSED));
            world.add(secret("f-other", "kube-system", "Opaque", PASSED));
            world
        };
        let mut world = check_converges(setup, nobody_else);
        let staying = ["c-soon", "d-never", "e-elsewhere", "f-other"];
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(names(&world)), staying);
        world.pass(Duration::from_secs(9));
        world.settle();
        assert_eq!(sorted(names(&world)), staying);
        world.pass(Duration::from_secs(1));
        world.settle();
        assert_eq!(sorted(names(&world)), staying[1..]);
    }

    #[test]
    fn who_gives_a_token_more_time_in_time_keeps_it() {
        let mut world = World::new(TokenCleaning);
        world.add(secret("a", "kube-system", TYPE, PASSED));
        let plan = world.plan(&Key::of::<Secret>("kube-system", "a")).unwrap();
        world.change::<Secret>("kube-system", "a", |secret| secret.data = None);
        assert!(world.carry_out(&plan).is_some());
        world.settle();
        assert_eq!(names(&world), ["a"]);
    }
}
