//! Publishes the certificate of the cluster's authority in every namespace, for pods to know the API server by.
//!
//! It is in the ConfigMap `kube-root-ca.crt`, as the only thing: other data is removed and what is missing is put back,
//! unless the namespace is on its way out. A description that is not empty may be anybody's.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

/// The ConfigMap.
const NAME: &str = "kube-root-ca.crt";

/// Where the certificate is in it.
const FIELD: &str = "ca.crt";

const DESCRIPTION_ANNOTATION: &str = "kubernetes.io/description";

/// As upstream describes it.
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                           endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
                           guaranteed across distributions of Kubernetes clusters.";

/// The controller.
pub struct RootCa {
    certificate: String,
}

/// A namespace that is not on its way out.
pub struct Observed {
    namespace: Arc<Namespace>,
    published: Option<Arc<ConfigMap>>,
}

impl RootCa {
    /// Publishes this certificate, PEM.
    #[must_use]
    pub fn new(certificate: impl Into<String>) -> RootCa {
        RootCa { certificate: certificate.into() }
    }

    /// What the ConfigMap has to hold.
    fn data(&self) -> BTreeMap<String, String> {
        [(FIELD.to_owned(), self.certificate.clone())].into()
    }

    /// The ConfigMap as it has to be.
    fn put_right(&self, config_map: &mut ConfigMap) {
        config_map.data = Some(self.data());
        let annotations = config_map.metadata.annotations.get_or_insert_default();
        annotations.insert(DESCRIPTION_ANNOTATION.to_owned(), DESCRIPTION.to_owned());
    }

    fn is_right(&self, config_map: &ConfigMap) -> bool {
        let annotations = config_map.metadata.annotations.as_ref();
        let description = annotations.and_then(|annotations| annotations.get(DESCRIPTION_ANNOTATION));
        config_map.data.as_ref() == Some(&self.data()) && description.is_some_and(|text| !text.is_empty())
    }
}

impl Controller for RootCa {
    const NAME: &'static str = "root-ca-certificate-publisher-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<Namespace>().mapped::<ConfigMap>(|_, pair| {
            let config_map = pair.both().next().filter(|config_map| config_map.metadata.name.as_deref() == Some(NAME));
            let namespace = config_map.and_then(|config_map| config_map.metadata.namespace.as_deref());
            namespace.map(|namespace| Key::of::<Namespace>("", namespace)).into_iter().collect()
        })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let namespace = cache.get::<Namespace>("", &key.name)?;
        let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
        if namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating") {
            return None;
        }
        Some(Observed { published: cache.get::<ConfigMap>(&key.name, NAME), namespace })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        match &observed.published {
            Some(published) if self.is_right(published) => {}
            Some(published) => {
                let mut right = ConfigMap::clone(published);
                self.put_right(&mut right);
                plan.update(&**published, &right);
            }
            None => {
                let metadata = ObjectMeta {
                    name: Some(NAME.to_owned()),
                    namespace: observed.namespace.metadata.name.clone(),
                    ..ObjectMeta::default()
                };
                let mut config_map = ConfigMap { metadata, ..ConfigMap::default() };
                self.put_right(&mut config_map);
                plan.create(&config_map);
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::NamespaceStatus;

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn namespace(name: &str, phase: &str) -> Namespace {
        Namespace {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            status: Some(NamespaceStatus { phase: Some(phase.to_owned()), ..NamespaceStatus::default() }),
            ..Namespace::default()
        }
    }

    fn config_map(namespace: &str, name: &str, data: &[(&str, &str)], description: &str) -> ConfigMap {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                annotations: Some([(DESCRIPTION_ANNOTATION.to_owned(), description.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some(data.iter().map(owned).collect()),
            ..ConfigMap::default()
        }
    }

    /// What is published in each namespace, and how it is described.
    fn published(world: &World<RootCa>) -> Vec<(String, BTreeMap<String, String>, String)> {
        let config_maps = world.list::<ConfigMap>();
        let ours = config_maps.iter().filter(|config_map| config_map.metadata.name.as_deref() == Some(NAME));
        let tell = |config_map: &Arc<ConfigMap>| {
            let meta = &config_map.metadata;
            let description = meta.annotations.clone().unwrap_or_default()[DESCRIPTION_ANNOTATION].clone();
            (meta.namespace.clone().unwrap(), config_map.data.clone().unwrap_or_default(), description)
        };
        ours.map(tell).collect()
    }

    fn right(namespace: &str, description: &str) -> (String, BTreeMap<String, String>, String) {
        (namespace.to_owned(), RootCa::new("the root").data(), description.to_owned())
    }

    fn setup() -> World<RootCa> {
        let mut world = World::new(RootCa::new("the root"));
        world.add(namespace("bare", "Active"));
        world.add(namespace("going", "Terminating"));
        world.add(namespace("mine", "Active"));
        world.add(namespace("old", "Active"));
        world.add(config_map("mine", NAME, &[(FIELD, "the root")], "Mine."));
        world.add(config_map("old", NAME, &[(FIELD, "another root"), ("more", "data")], ""));
        world.add(config_map("old", "settings", &[("color", "red")], ""));
        world
    }

    #[test]
    fn it_is_in_every_namespace_that_stays() {
        let world = check_converges(setup, nobody_else);
        let expected = [right("bare", DESCRIPTION), right("mine", "Mine."), right("old", DESCRIPTION)];
        assert_eq!(published(&world), expected);
    }

    #[test]
    fn it_is_put_back_when_it_is_changed_or_deleted() {
        let mut world = setup();
        world.settle();
        world.delete::<ConfigMap>("bare", NAME);
        world.change::<ConfigMap>("mine", NAME, |config_map| config_map.metadata.annotations = None);
        world.change::<ConfigMap>("old", NAME, |config_map| config_map.data = None);
        world.settle();
        assert_eq!(published(&world), ["bare", "mine", "old"].map(|namespace| right(namespace, DESCRIPTION)));
    }

    #[test]
    fn other_config_maps_and_namespaces_that_go_are_no_reason_to_do_anything() {
        let mut world = setup();
        world.settle();
        world.change::<ConfigMap>("old", "settings", |config_map| config_map.data = None);
        world.change::<Namespace>("", "bare", |namespace| {
            namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
        });
        world.delete::<ConfigMap>("bare", NAME);
        world.delete::<ConfigMap>("old", "settings");
        assert!(world.settle().is_empty());
        assert!(world.get::<ConfigMap>("bare", NAME).is_none());
    }
}
