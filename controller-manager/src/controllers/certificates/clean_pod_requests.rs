//! Deletes PodCertificateRequests when they are a quarter of an hour old, by when each is answered or given up.

use std::sync::Arc;
use std::time::Duration;

use client::cache::Cache;
use client::resource::Key;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::PodCertificateRequest;

use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

/// How long a request stays.
const STAYS: Duration = Duration::from_secs(15 * 60);

/// The controller.
pub struct PodRequestCleaning;

impl Controller for PodRequestCleaning {
    const NAME: &'static str = "podcertificaterequest-cleaner-controller";
    type Observed = Arc<PodCertificateRequest>;

    fn watches(&self) -> Watches {
        Watches::on::<PodCertificateRequest>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Arc<PodCertificateRequest>> {
        let object = cache.get::<PodCertificateRequest>(&key.namespace, &key.name)?;
        object.metadata.deletion_timestamp.is_none().then_some(object)
    }

    fn reconcile(&self, object: &Arc<PodCertificateRequest>, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        let Some(created) = &object.metadata.creation_timestamp else { return plan };
        let end = created.0.saturating_add(STAYS).unwrap_or(Timestamp::MAX);
        match Duration::try_from(end.duration_since(moment.now)) {
            Ok(left) if !left.is_zero() => plan.look_again(left),
            _ => {
                plan.delete(&**object);
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn setup() -> World<PodRequestCleaning> {
        let mut world = World::new(PodRequestCleaning);
        // The world begins at noon.
        for (name, created) in [("old", "11:45:00"), ("young", "11:45:01")] {
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("shop".to_owned()),
                creation_timestamp: Some(Time(format!("2026-03-01T{created}Z").parse().unwrap())),
                ..ObjectMeta::default()
            };
            world.add(PodCertificateRequest { metadata, ..PodCertificateRequest::default() });
        }
        world
    }

    #[test]
    fn requests_go_after_a_quarter_of_an_hour() {
        let mut world = check_converges(setup, nobody_else);
        let names = |world: &World<PodRequestCleaning>| -> Vec<String> {
            world.list::<PodCertificateRequest>().iter().filter_map(|object| object.metadata.name.clone()).collect()
        };
        assert_eq!(names(&world), ["young"]);
        world.pass(Duration::from_secs(1));
        world.settle();
        assert!(names(&world).is_empty());
    }
}
