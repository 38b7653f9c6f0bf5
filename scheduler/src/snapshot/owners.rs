//! What pods belong to, Services that select them and controllers that own them; and so among which pods those are spread
//! that do not say how.
//!
//! That a Service or a controller changes costs a look-up, and that the answers for pods of its namespace are found out
//! anew. Finding one out costs a look-up for each of the pod's labels, and a comparison with each Service that is filed
//! under one of them: the rarest of those that it selects by, so that few are filed together.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::selector::label::{self, Selector};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::PodInfo;
use super::affinity::{PodSet, Query};

/// How many answers are kept in each namespace. Then all are forgotten.
const MOST_ANSWERS: usize = 4096;

type Labels = BTreeMap<String, String>;

/// Controllers whose pods are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is named as the kind")]
pub enum ControllerKind {
    ReplicaSet,
    ReplicationController,
    StatefulSet,
}

/// The controller of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Controller {
    /// Of which kind it is.
    pub kind: ControllerKind,
    /// Its name.
    pub name: String,
}

impl Controller {
    /// The controller of a pod, if it is one whose pods are spread.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
        let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
        let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("apps/v1", "ReplicaSet") => ControllerKind::ReplicaSet,
            ("apps/v1", "StatefulSet") => ControllerKind::StatefulSet,
            ("v1", "ReplicationController") => ControllerKind::ReplicationController,
            _ => return None,
        };
        Some(Self { kind, name: owner.name.clone() })
    }
}

/// Which pods a controller selects, as it says and as it is meant.
#[derive(Clone, Debug, PartialEq)]
enum Selects {
    Labels(Labels),
    Selector(LabelSelector, Selector),
}

/// Services and controllers of a namespace.
#[derive(Clone, Debug, Default)]
struct Namespace {
    /// What each Service selects, which is something.
    services: HashMap<String, Labels>,
    /// The names of Services by one of the labels that they select.
    by_label: HashMap<String, HashMap<String, BTreeSet<String>>>,
    controllers: HashMap<Controller, Selects>,
    /// What was found out, by the pod's controller and labels.
    answers: HashMap<Option<Controller>, HashMap<Labels, Option<Query>>>,
    kept: usize,
}

impl Namespace {
    fn is_empty(&self) -> bool {
        self.services.is_empty() && self.controllers.is_empty()
    }

    fn forget_answers(&mut self) {
        self.answers.clear();
        self.kept = 0;
    }

    /// What a Service selects, which is something.
    fn set_service(&mut self, name: &str, selector: Labels) {
        if self.services.get(name) == Some(&selector) {
            return;
        }
        self.remove_service(name);
        self.forget_answers();
        let crowd = |(key, value): &(&String, &String)| {
            self.by_label.get(*key).and_then(|by_value| by_value.get(*value)).map_or(0, BTreeSet::len)
        };
        if let Some((key, value)) = selector.iter().min_by_key(crowd) {
            let names = self.by_label.entry(key.clone()).or_default().entry(value.clone()).or_default();
            names.insert(name.to_owned());
            self.services.insert(name.to_owned(), selector);
        }
    }

    fn remove_service(&mut self, name: &str) {
        let Some(selector) = self.services.remove(name) else { return };
        self.forget_answers();
        for (key, value) in &selector {
            let Some(by_value) = self.by_label.get_mut(key) else { continue };
            let Some(names) = by_value.get_mut(value) else { continue };
            names.remove(name);
            if names.is_empty() {
                by_value.remove(value);
            }
            if by_value.is_empty() {
                self.by_label.remove(key);
            }
        }
    }

    /// What the Services select that select pods with these labels.
    fn services_of<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a Labels> {
        let names = labels.iter().filter_map(|(key, value)| self.by_label.get(key)?.get(value)).flatten();
        let selectors = names.filter_map(|name| self.services.get(name));
        selectors.filter(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
    }

    fn find_out(&self, pod: &PodInfo) -> Option<Query> {
        let mut labels = Labels::new();
        for selector in self.services_of(&pod.labels) {
            labels.extend(selector.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let selector = match pod.controller.as_ref().and_then(|controller| self.controllers.get(controller)) {
            None => Selector::from_labels(&labels),
            Some(Selects::Labels(own)) => {
                labels.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
                Selector::from_labels(&labels)
            }
            Some(Selects::Selector(_, own)) => Selector::from_labels(&labels).with(own.requirements().iter().cloned()),
        };
        let pods = || PodSet::in_namespace(&pod.namespace, selector.clone());
        (!selector.is_everything()).then(|| Query { sets: vec![pods()], living: true })
    }
}

/// All Services and controllers, by namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners(HashMap<String, Namespace>);

impl Owners {
    pub(super) fn set_service(&mut self, service: &Service) {
        let (namespace, name) = identity(&service.metadata);
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
        if selector.is_empty() {
            // It selects nothing.
            self.remove_service(namespace, name);
        } else {
            self.0.entry(namespace.to_owned()).or_default().set_service(name, selector);
        }
    }

    pub(super) fn remove_service(&mut self, namespace: &str, name: &str) {
        self.change(namespace, |namespace| namespace.remove_service(name));
    }

    pub(super) fn set_replication_controller(&mut self, controller: &ReplicationController) {
        let selector = controller.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
        self.set(ControllerKind::ReplicationController, &controller.metadata, Selects::Labels(selector));
    }

    pub(super) fn set_replica_set(&mut self, set: &ReplicaSet) {
        self.set_selector(ControllerKind::ReplicaSet, &set.metadata, &set.spec.selector);
    }

    pub(super) fn set_stateful_set(&mut self, set: &StatefulSet) {
        self.set_selector(ControllerKind::StatefulSet, &set.metadata, &set.spec.selector);
    }

    pub(super) fn remove_controller(&mut self, kind: ControllerKind, namespace: &str, name: &str) {
        let controller = Controller { kind, name: name.to_owned() };
        self.change(namespace, |namespace| {
            if namespace.controllers.remove(&controller).is_some() {
                namespace.forget_answers();
            }
        });
    }

    /// Finds out, and remembers, among which pods the pod is spread by default, if among any.
    pub(super) fn learn(&mut self, pod: &PodInfo) -> Option<&Query> {
        let namespace = self.0.get_mut(&pod.namespace)?;
        let is_known = namespace.answers.get(&pod.controller).is_some_and(|known| known.contains_key(&pod.labels));
        if !is_known {
            if namespace.kept == MOST_ANSWERS {
                namespace.forget_answers();
            }
            let answer = namespace.find_out(pod);
            namespace.answers.entry(pod.controller.clone()).or_default().insert(pod.labels.clone(), answer);
            namespace.kept += 1;
        }
        namespace.answers.get(&pod.controller)?.get(&pod.labels)?.as_ref()
    }

    /// Among which pods the pod is spread by default, if among any.
    pub(super) fn query(&self, pod: &PodInfo) -> Option<Cow<'_, Query>> {
        let namespace = self.0.get(&pod.namespace)?;
        match namespace.answers.get(&pod.controller).and_then(|known| known.get(&pod.labels)) {
            Some(known) => known.as_ref().map(Cow::Borrowed),
            None => namespace.find_out(pod).map(Cow::Owned),
        }
    }

    fn set_selector(&mut self, kind: ControllerKind, meta: &ObjectMeta, selector: &LabelSelector) {
        let (namespace, name) = identity(meta);
        let known = self
            .0
            .get(namespace)
            .and_then(|namespace| namespace.controllers.get(&Controller { kind, name: name.to_owned() }));
        // Most changes of controllers are of their status.
        if matches!(known, Some(Selects::Selector(said, _)) if said == selector) {
            return;
        }
        // What is not valid says nothing.
        let read = label::from_api(Some(selector)).unwrap_or(Selector::Nothing);
        self.set(kind, meta, Selects::Selector(selector.clone(), read));
    }

    fn set(&mut self, kind: ControllerKind, meta: &ObjectMeta, selects: Selects) {
        let (namespace, name) = identity(meta);
        let namespace = self.0.entry(namespace.to_owned()).or_default();
        let controller = Controller { kind, name: name.to_owned() };
        if namespace.controllers.get(&controller) != Some(&selects) {
            namespace.controllers.insert(controller, selects);
            namespace.forget_answers();
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Namespace)) {
        let Some(namespace) = self.0.get_mut(name) else { return };
        change(namespace);
        if namespace.is_empty() {
            self.0.remove(name);
        }
    }
}

fn identity(meta: &ObjectMeta) -> (&str, &str) {
    (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    fn service(name: &str, selector: Value) -> Service {
        testing::object(json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"selector": selector}}))
    }

    fn replica_set(name: &str, selector: Value) -> ReplicaSet {
        let template = json!({"spec": {"containers": []}});
        let spec = json!({"selector": selector, "template": template});
        testing::object(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}))
    }

    fn stateful_set(name: &str, selector: Value) -> StatefulSet {
        let spec = json!({"selector": selector, "serviceName": "", "template": {"spec": {"containers": []}}});
        testing::object(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec}))
    }

    fn replication_controller(name: &str, selector: Value) -> ReplicationController {
        testing::object(json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"selector": selector}}))
    }

    /// A pod with these labels, and the controller of this version, kind and name.
    fn pod(labels: Value, owner: [&str; 3]) -> PodInfo {
        let mut pod = testing::pod("p", json!({}));
        pod.metadata.labels = Some(testing::object(labels));
        let [version, kind, name] = owner;
        let owner = json!({"apiVersion": version, "kind": kind, "name": name, "uid": name, "controller": true});
        pod.metadata.owner_references = Some(vec![testing::object(owner)]);
        PodInfo::new(&pod)
    }

    fn query(selector: &str) -> Query {
        let pods = PodSet::in_namespace("default", Selector::parse(selector).unwrap());
        Query { sets: vec![pods], living: true }
    }

    /// The pods among which the pod is spread, whether or not they were found out before.
    fn check(owners: &Owners, pod: &PodInfo, expected: Option<&str>) {
        let expected = expected.map(query);
        assert_eq!(owners.query(pod).as_deref(), expected.as_ref(), "{pod:?}");
        let mut owners = owners.clone();
        assert_eq!(owners.learn(pod), expected.as_ref(), "{pod:?}");
        assert_eq!(owners.query(pod).as_deref(), expected.as_ref(), "{pod:?}, once it was found out");
    }

    #[test]
    fn pods_are_spread_among_those_of_their_services_and_controller() {
        let mut owners = Owners::default();
        check(&owners, &pod(json!({"app": "web"}), ["v1", "Node", "n"]), None);
        owners.set_service(&service("web", json!({"app": "web"})));
        owners.set_service(&service("front", json!({"tier": "front", "app": "web"})));
        owners.set_service(&service("db", json!({"app": "db"})));
        owners.set_service(&service("manual", json!(null)));
        owners.set_service(&service("all", json!({})));
        let expression = json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["back", "front"]}]});
        owners.set_replica_set(&replica_set("rs", expression));
        owners.set_replica_set(&replica_set("odd", json!({"matchExpressions": [{"key": "a", "operator": "Odd"}]})));
        owners.set_stateful_set(&stateful_set("ss", json!({"matchLabels": {"set": "a"}})));
        owners.set_replication_controller(&replication_controller("rc", json!({"app": "rc", "z": "1"})));
        let none = ["v1", "Node", "n"];
        check(&owners, &pod(json!({"app": "other"}), none), None);
        check(&owners, &pod(json!({}), none), None);
        check(&owners, &pod(json!({"app": "web"}), none), Some("app=web"));
        check(&owners, &pod(json!({"app": "web", "tier": "front"}), none), Some("app=web,tier=front"));
        let rs = ["apps/v1", "ReplicaSet", "rs"];
        check(&owners, &pod(json!({"app": "x", "tier": "back"}), rs), Some("tier in (back,front)"));
        let all = Some("app=web,tier=front,tier in (back,front)");
        check(&owners, &pod(json!({"app": "web", "tier": "front"}), rs), all);
        check(&owners, &pod(json!({"app": "web"}), ["apps/v1", "StatefulSet", "ss"]), Some("app=web,set=a"));
        check(&owners, &pod(json!({"app": "web"}), ["v1", "ReplicationController", "rc"]), Some("app=rc,z=1"));
        // Not such a controller, not there, or not valid.
        check(&owners, &pod(json!({"app": "web"}), ["apps/v2", "ReplicaSet", "rs"]), Some("app=web"));
        check(&owners, &pod(json!({"app": "web"}), ["apps/v1", "ReplicaSet", "none"]), Some("app=web"));
        check(&owners, &pod(json!({"app": "web"}), ["apps/v1", "ReplicaSet", "odd"]), Some("app=web"));
        let mut elsewhere = pod(json!({"app": "web"}), rs);
        elsewhere.namespace = "elsewhere".to_owned();
        check(&owners, &elsewhere, None);
    }

    #[test]
    fn what_is_known_follows_changes_that_matter() {
        let mut owners = Owners::default();
        owners.set_service(&service("a", json!({"app": "web"})));
        owners.set_replica_set(&replica_set("rs", json!({"matchLabels": {"x": "1"}})));
        let pod = pod(json!({"app": "web", "tier": "front"}), ["apps/v1", "ReplicaSet", "rs"]);
        let mut check = |change: &dyn Fn(&mut Owners), expected: Option<&str>| {
            assert!(owners.learn(&pod).is_some());
            change(&mut owners);
            assert_eq!(owners.query(&pod).as_deref(), expected.map(query).as_ref());
            let is_kept = owners.0.get("default").is_some_and(|namespace| namespace.kept == 1);
            (is_kept, owners.0.len())
        };
        let same = |owners: &mut Owners| owners.set_service(&service("a", json!({"app": "web"})));
        assert_eq!(check(&same, Some("app=web,x=1")), (true, 1));
        let same = |owners: &mut Owners| owners.set_replica_set(&replica_set("rs", json!({"matchLabels": {"x": "1"}})));
        assert_eq!(check(&same, Some("app=web,x=1")), (true, 1));
        let other = |owners: &mut Owners| owners.set_service(&service("b", json!({"tier": "front"})));
        assert_eq!(check(&other, Some("app=web,tier=front,x=1")), (false, 1));
        let away = |owners: &mut Owners| owners.set_service(&service("b", json!({"tier": "back"})));
        assert_eq!(check(&away, Some("app=web,x=1")), (false, 1));
        let gone = |owners: &mut Owners| owners.remove_controller(ControllerKind::ReplicaSet, "default", "rs");
        assert_eq!(check(&gone, Some("app=web")), (false, 1));
        let none = |owners: &mut Owners| {
            owners.remove_service("default", "b");
            owners.set_service(&service("a", json!(null)));
        };
        assert_eq!(check(&none, None), (false, 0), "nothing is left");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Service(u8, Labels),
        NoService(u8),
        Learn(Labels),
    }

    fn labels() -> impl Strategy<Value = Labels> {
        proptest::collection::btree_map("[ab]", "[xyz]", 0..3)
    }

    proptest! {
        #[test]
        fn services_are_found_by_what_they_select(steps in proptest::collection::vec(prop_oneof![
            (0..5u8, labels()).prop_map(|(name, labels)| Step::Service(name, labels)),
            (0..5u8).prop_map(Step::NoService),
            labels().prop_map(Step::Learn),
        ], 0..20)) {
            let (mut owners, mut known) = (Owners::default(), BTreeMap::<u8, Labels>::new());
            for step in steps {
                match step {
                    Step::Service(name, labels) => {
                        owners.set_service(&service(&name.to_string(), json!(labels)));
                        known.insert(name, labels);
                    }
                    Step::NoService(name) => {
                        owners.remove_service("default", &name.to_string());
                        known.remove(&name);
                    }
                    Step::Learn(labels) => {
                        let pod = pod(json!(labels), ["v1", "Node", "n"]);
                        let selecting = known.values().filter(|selector| {
                            selector.iter().all(|(key, value)| labels.get(key) == Some(value))
                        });
                        let merged: Labels = selecting.flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
                        let text: Vec<_> = merged.iter().map(|(key, value)| format!("{key}={value}")).collect();
                        let expected = (!text.is_empty()).then(|| query(&text.join(",")));
                        let found = owners.query(&pod).map(Cow::into_owned);
                        prop_assert_eq!(found.as_ref(), expected.as_ref());
                        prop_assert_eq!(owners.learn(&pod), expected.as_ref());
                    }
                }
            }
            known.keys().for_each(|name| owners.remove_service("default", &name.to_string()));
            prop_assert!(owners.0.is_empty());
        }
    }
}
