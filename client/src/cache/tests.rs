//! What a cache says, against a model that keeps lists and looks through them.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use proptest::prelude::*;

use super::*;
use crate::resource::MetadataOnly;

const NAMESPACES: [&str; 3] = ["", "a", "b"];
const NAMES: [&str; 3] = ["x", "y", "z"];
const UIDS: [&str; 4] = ["", "u1", "u2", "u3"];
const SELECTORS: [&str; 16] = [
    "",
    "k=1",
    "k==1",
    "k!=1",
    "k",
    "!k",
    "k in (1)",
    "k in (1,2)",
    "k notin (1)",
    "k>1",
    "k<2",
    "k=1,l=1",
    "k=1,l!=1",
    "l",
    "k in (1),k in (2)",
    "k=9",
];

/// The resources, two of which are known whole and one by its metadata.
fn resources() -> [Resource; 3] {
    let custom = Resource {
        group: "shop.example".to_owned(),
        version: "v1".to_owned(),
        plural: "orders".to_owned(),
        kind: "Order".to_owned(),
        namespaced: true,
    };
    [Resource::of::<Pod>(), Resource::of::<ConfigMap>(), custom]
}

/// An object, as numbers.
#[derive(Clone, Debug)]
struct Made {
    namespace: usize,
    name: usize,
    /// Which of those that ever had the name.
    life: u8,
    k: Option<u8>,
    l: Option<u8>,
    /// Which uids, and whether as controllers.
    owners: Vec<(usize, bool)>,
    node: Option<u8>,
    going: bool,
    version: Option<u64>,
}

impl Made {
    fn uid(&self) -> String {
        format!("{}-{}-{}", self.namespace, self.name, self.life)
    }

    fn meta(&self, version: u64) -> ObjectMeta {
        let label = |key: &str, value: Option<u8>| value.map(|value| (key.to_owned(), value.to_string()));
        let labels: BTreeMap<String, String> = label("k", self.k).into_iter().chain(label("l", self.l)).collect();
        let owner = |(uid, controls): &(usize, bool)| OwnerReference {
            uid: UIDS[*uid].to_owned(),
            controller: Some(*controls),
            ..OwnerReference::default()
        };
        ObjectMeta {
            namespace: Some(NAMESPACES[self.namespace].to_owned()).filter(|namespace| !namespace.is_empty()),
            name: Some(NAMES[self.name].to_owned()),
            uid: Some(self.uid()),
            labels: Some(labels).filter(|labels| !labels.is_empty()),
            owner_references: Some(self.owners.iter().map(owner).collect())
                .filter(|owners: &Vec<_>| !owners.is_empty()),
            deletion_timestamp: self.going.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
            resource_version: Some(self.version.unwrap_or(version).to_string()),
            ..ObjectMeta::default()
        }
    }

    /// As an object of the resource with this number.
    fn object(&self, resource: usize, version: u64) -> AnyObject {
        let metadata = self.meta(version);
        match resource {
            0 => {
                let node_name = self.node.map(|node| if node == 0 { String::new() } else { format!("n{node}") });
                Arc::new(Pod { metadata, spec: Some(PodSpec { node_name, ..PodSpec::default() }), ..Pod::default() })
            }
            1 => Arc::new(ConfigMap { metadata, ..ConfigMap::default() }),
            _ => Arc::new(MetadataOnly { metadata }),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Made),
    Remove(usize, usize, usize),
    Replace(usize, Vec<Made>),
    Advance(usize, u64),
    Forget(usize),
    Subscribe(usize),
    Unsubscribe(usize),
    AwaitVersion(usize, usize, usize, u64),
    AwaitDeletion(usize, Made, bool),
}

fn made() -> impl Strategy<Value = Made> {
    let labels = (proptest::option::of(0..3_u8), proptest::option::of(0..3_u8));
    let owners = proptest::collection::vec((0..UIDS.len(), any::<bool>()), 0..3);
    let rest = (owners, proptest::option::of(0..3_u8), proptest::bool::weighted(0.2), proptest::option::of(0..5_u64));
    ((0..3_usize, 0..3_usize, 0..3_u8), labels, rest).prop_map(
        |((namespace, name, life), (k, l), (owners, node, going, version))| Made {
            namespace,
            name,
            life,
            k,
            l,
            owners,
            node,
            going,
            version,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..3_usize, 0..3_usize, 0..3_usize);
    prop_oneof![
        8 => (0..3_usize, made()).prop_map(|(resource, made)| Step::Put(resource, made)),
        4 => place().prop_map(|(resource, namespace, name)| Step::Remove(resource, namespace, name)),
        2 => (0..3_usize, proptest::collection::vec(made(), 0..6)).prop_map(|(at, made)| Step::Replace(at, made)),
        1 => (0..3_usize, 0..60_u64).prop_map(|(resource, revision)| Step::Advance(resource, revision)),
        1 => (0..3_usize).prop_map(Step::Subscribe),
        1 => (0..8_usize).prop_map(Step::Unsubscribe),
        1 => (place(), 0..60_u64).prop_map(|((at, namespace, name), to)| Step::AwaitVersion(at, namespace, name, to)),
        1 => (0..3_usize, made(), any::<bool>()).prop_map(|(at, made, gone)| Step::AwaitDeletion(at, made, gone)),
        1 => (0..3_usize).prop_map(Step::Forget),
    ]
}

/// The place of an object, in the order in which objects are listed.
type Place = (String, String);
type Model = BTreeMap<Place, AnyObject>;

fn place(meta: &ObjectMeta) -> Place {
    (namespace(meta).to_owned(), name(meta).to_owned())
}

/// Somebody who is told, and checks that every change goes on from what was told last.
struct Told {
    resource: usize,
    state: Arc<Mutex<Model>>,
    _subscription: Subscription,
}

impl Told {
    fn new(cache: &Cache, number: usize, resource: &Resource) -> Told {
        let state: Arc<Mutex<Model>> = Arc::default();
        let (within, name, to) = (cache.clone(), resource.name(), Arc::clone(&state));
        let subscription = cache.subscribe(resource, move |change| {
            let latest = change.latest().expect("a change is about an object").meta();
            let mut state = to.lock();
            let known = state.get(&place(latest));
            assert!(same(known, change.old.as_ref()), "the old state is what was told last");
            let key =
                Key { resource: name.clone(), namespace: namespace(latest).into(), name: self::name(latest).into() };
            assert!(same(within.any(&key).as_ref(), change.new.as_ref()), "reads see it already");
            match &change.new {
                Some(new) => drop(state.insert(place(latest), Arc::clone(new))),
                None => drop(state.remove(&place(latest))),
            }
        });
        Told { resource: number, state, _subscription: subscription }
    }
}

fn same(one: Option<&AnyObject>, other: Option<&AnyObject>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// A wait that has begun, and what it waits for.
struct Wait {
    resource: usize,
    key: Key,
    written: Written,
    shown: Pin<Box<dyn Future<Output = ()>>>,
}

fn synced(cache: &Cache, resource: &Resource) -> Pin<Box<dyn Future<Output = ()>>> {
    let (cache, resource) = (cache.clone(), resource.clone());
    Box::pin(async move { cache.synced(&resource).await })
}

/// A cache, and what it should say.
struct Compared {
    cache: Cache,
    resources: [Resource; 3],
    models: [Model; 3],
    revisions: [u64; 3],
    listed: [bool; 3],
    synced: [Pin<Box<dyn Future<Output = ()>>>; 3],
    told: Vec<Told>,
    waits: Vec<Wait>,
    version: u64,
}

impl Compared {
    fn new() -> Compared {
        let (cache, resources) = (Cache::new(), resources());
        let told = resources.iter().enumerate().map(|(at, resource)| Told::new(&cache, at, resource)).collect();
        let synced = resources.each_ref().map(|resource| synced(&cache, resource));
        let (models, revisions, listed) = Default::default();
        Compared { cache, resources, models, revisions, listed, synced, told, waits: Vec::new(), version: 5 }
    }

    fn key(&self, resource: usize, namespace: usize, name: usize) -> Key {
        let resource = self.resources[resource].name();
        Key { resource, namespace: NAMESPACES[namespace].into(), name: NAMES[name].into() }
    }

    fn step(&mut self, step: Step) {
        self.version += 1;
        match step {
            Step::Put(at, made) => {
                let object = made.object(at, self.version);
                self.revisions[at] = self.revisions[at].max(revision_of(object.meta()));
                self.models[at].insert(place(object.meta()), Arc::clone(&object));
                self.cache.put_any(&self.resources[at], object);
            }
            Step::Remove(at, namespace, name) => {
                let meta = ObjectMeta {
                    namespace: Some(NAMESPACES[namespace].to_owned()),
                    name: Some(NAMES[name].to_owned()),
                    resource_version: Some(self.version.to_string()),
                    ..ObjectMeta::default()
                };
                self.revisions[at] = self.revisions[at].max(self.version);
                self.models[at].remove(&place(&meta));
                self.cache.remove(&self.resources[at], &meta);
            }
            Step::Replace(at, made) => self.replace(at, &made),
            Step::Advance(at, revision) => {
                self.revisions[at] = self.revisions[at].max(revision);
                self.cache.table(&self.resources[at]).advance(revision);
            }
            Step::Subscribe(at) => self.told.push(Told::new(&self.cache, at, &self.resources[at])),
            Step::Unsubscribe(which) if which < self.told.len() => drop(self.told.remove(which)),
            Step::Unsubscribe(_) => {}
            Step::AwaitVersion(at, namespace, name, revision) => {
                self.wait(at, self.key(at, namespace, name), Written::At(revision));
            }
            Step::AwaitDeletion(at, made, gone) => {
                let written = if gone { Written::Gone(made.uid()) } else { Written::Deleted(made.uid()) };
                self.wait(at, self.key(at, made.namespace, made.name), written);
            }
            Step::Forget(at) => {
                self.models[at].clear();
                (self.revisions[at], self.listed[at]) = (0, false);
                self.cache.forget(&self.resources[at]);
                self.synced[at] = synced(&self.cache, &self.resources[at]);
            }
        }
    }

    fn replace(&mut self, at: usize, made: &[Made]) {
        let mut listed: Model = BTreeMap::new();
        for made in made {
            let object = made.object(at, self.version);
            listed.insert(place(object.meta()), object);
        }
        self.cache.table(&self.resources[at]).replace(listed.values().cloned().collect(), self.version);
        for (place, object) in &mut listed {
            let (new, known) = (object.meta(), self.models[at].get(place));
            let as_known = |known: &&AnyObject| {
                known.meta().resource_version == new.resource_version && known.meta().uid == new.uid
            };
            if let Some(known) = known.filter(as_known) {
                *object = Arc::clone(known);
            }
        }
        self.models[at] = listed;
        self.revisions[at] = self.version;
        self.listed[at] = true;
    }

    fn wait(&mut self, resource: usize, key: Key, written: Written) {
        let (cache, awaited) = (self.cache.clone(), (key.clone(), written.clone()));
        let shown = Box::pin(async move { cache.shows(&awaited.0, &awaited.1).await });
        self.waits.push(Wait { resource, key, written, shown });
    }

    /// Every wait is over that should be, and no other.
    fn check_waits(&mut self) {
        let (models, revisions) = (&self.models, &self.revisions);
        self.waits.retain_mut(|wait| {
            let seen = models[wait.resource].get(&(wait.key.namespace.to_string(), wait.key.name.to_string()));
            let seen = seen.map(|seen| seen.meta());
            let expected = match &wait.written {
                Written::At(revision) => {
                    revisions[wait.resource] >= *revision || seen.is_some_and(|seen| revision_of(seen) >= *revision)
                }
                Written::Gone(uid) => seen.is_none_or(|seen| seen.uid.as_ref() != Some(uid)),
                Written::Deleted(uid) => {
                    seen.is_none_or(|seen| seen.uid.as_ref() != Some(uid) || seen.deletion_timestamp.is_some())
                }
            };
            let shown = wait.shown.as_mut().now_or_never().is_some();
            assert_eq!(shown, expected, "{} {:?}", wait.key, wait.written);
            !shown
        });
        for (at, resource) in self.resources.iter().enumerate() {
            assert_eq!(self.cache.has_synced(resource), self.listed[at]);
            if self.listed[at] {
                let resolved = std::mem::replace(&mut self.synced[at], Box::pin(std::future::ready(())));
                assert!(resolved.now_or_never().is_some(), "it has been listed");
            } else {
                assert!(self.synced[at].as_mut().now_or_never().is_none(), "it has not been listed");
            }
        }
    }

    fn check(&mut self) {
        self.check_waits();
        for told in &self.told {
            let state = told.state.lock();
            check_same("told", state.values().cloned().collect(), self.models[told.resource].values().collect());
        }
        self.check_any();
        self.check_kind::<Pod>(0);
        self.check_kind::<ConfigMap>(1);
        for node in ["", "n1", "n2", "n3"] {
            let bound = |pod: &Arc<Pod>| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
            let pods = self.models[0].values().filter_map(as_kind::<Pod>);
            let expected: Vec<Arc<Pod>> = pods.filter(|pod| !node.is_empty() && bound(pod)).collect();
            assert_same_kind("pods_on", &self.cache.pods_on(node), &expected);
        }
    }

    /// The reads of objects of any kind.
    fn check_any(&self) {
        for (at, resource) in self.resources.iter().enumerate() {
            let (name, model) = (resource.name(), &self.models[at]);
            check_same("list_any", self.cache.list_any(&name, None), model.values().collect());
            assert_eq!(self.cache.count(&name), model.len());
            for (number, within) in NAMESPACES.iter().enumerate() {
                let expected = model.iter().filter(|((namespace, _), _)| namespace == within).map(|(_, object)| object);
                check_same("list_any", self.cache.list_any(&name, Some(within)), expected.collect());
                for (other, name) in NAMES.iter().enumerate() {
                    let expected = model.get(&((*within).to_owned(), (*name).to_owned()));
                    assert!(same(self.cache.any(&self.key(at, number, other)).as_ref(), expected));
                }
            }
        }
        for uid in UIDS {
            let expected = self.all().filter(|(_, object)| owners(object).any(|(owner, _)| owner == uid));
            check_found("dependents", self.cache.dependents(uid), expected);
        }
        for life in 0..3 {
            for (namespace, name) in (0..3).flat_map(|namespace| (0..3).map(move |name| (namespace, name))) {
                let uid = format!("{namespace}-{name}-{life}");
                // Objects of several resources may have it here; which is found, is not said.
                let found = self.cache.with_uid(&uid);
                let mut expected = self.all().filter(|(_, object)| object.meta().uid.as_ref() == Some(&uid)).peekable();
                assert_eq!(found.is_some(), expected.peek().is_some(), "{uid}");
                assert!(found.is_none_or(|found| expected.any(|it| it.0 == found.0 && Arc::ptr_eq(&it.1, &found.1))));
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = (Resource, AnyObject)> {
        let of = |(at, model): (usize, &Model)| {
            let resource = &self.resources[at];
            model.values().map(|object| (resource.clone(), Arc::clone(object))).collect::<Vec<_>>()
        };
        self.models.iter().enumerate().flat_map(of)
    }

    /// The reads of objects of one kind.
    fn check_kind<K: Kind>(&self, at: usize) {
        let all: Vec<(&Place, Arc<K>)> =
            self.models[at].iter().filter_map(|(place, object)| Some((place, as_kind(object)?))).collect();
        let those = |are: &dyn Fn(&str, &ObjectMeta) -> bool| -> Vec<Arc<K>> {
            let matching = all.iter().filter(|(place, object)| are(&place.0, object.metadata()));
            matching.map(|(_, object)| Arc::clone(object)).collect()
        };
        assert_same_kind("list", &self.cache.list(None), &those(&|_, _| true));
        for uid in UIDS {
            let controlled = those(&|_, meta| owners_of(meta).any(|(owner, controls)| owner == uid && controls));
            assert_same_kind("controlled", &self.cache.controlled(uid), &controlled);
        }
        for within in NAMESPACES {
            assert_same_kind("list", &self.cache.list(Some(within)), &those(&|namespace, _| namespace == within));
            let free = |namespace: &str, meta: &ObjectMeta| {
                namespace == within && !owners_of(meta).any(|(_, controls)| controls)
            };
            assert_same_kind("uncontrolled", &self.cache.uncontrolled(within), &those(&free));
            for selector in SELECTORS {
                let parsed = Selector::parse(selector).unwrap();
                let chosen = |namespace: &str, meta: &ObjectMeta| namespace == within && parsed.matches(&meta.labels);
                assert_same_kind(selector, &self.cache.select(within, &parsed), &those(&chosen));
            }
            assert_same_kind("nothing", &self.cache.select::<K>(within, &Selector::Nothing), &[]);
            for name in NAMES {
                let expected = those(&|namespace, meta| namespace == within && meta.name.as_deref() == Some(name));
                let found: Vec<Arc<K>> = self.cache.get(within, name).into_iter().collect();
                assert_same_kind("get", &found, &expected);
            }
        }
    }

    /// Removes everything, after which nothing may be left anywhere.
    fn end(&mut self) {
        for (resource, model) in self.resources.iter().zip(&mut self.models) {
            for object in std::mem::take(model).into_values() {
                self.cache.remove(resource, object.meta());
            }
            assert!(self.cache.table(resource).objects.read().is_bare(), "{resource}");
        }
        for told in std::mem::take(&mut self.told) {
            assert!(told.state.lock().is_empty());
        }
        for resource in &self.resources {
            assert!(self.cache.table(resource).listeners.lock().is_empty());
        }
    }
}

fn owners_of(meta: &ObjectMeta) -> impl Iterator<Item = (&str, bool)> {
    meta.owner_references.iter().flatten().map(|owner| (owner.uid.as_str(), owner.controller == Some(true)))
}

fn owners(object: &AnyObject) -> impl Iterator<Item = (&str, bool)> {
    owners_of(object.meta())
}

fn check_same(what: &str, found: Vec<AnyObject>, expected: Vec<&AnyObject>) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(found.iter().zip(expected).all(|(one, other)| Arc::ptr_eq(one, other)), "{what}");
}

fn assert_same_kind<K>(what: &str, found: &[Arc<K>], expected: &[Arc<K>]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(found.iter().zip(expected).all(|(one, other)| Arc::ptr_eq(one, other)), "{what}");
}

/// The same objects, resource by resource in the order of their names.
fn check_found(what: &str, found: Vec<(Resource, AnyObject)>, expected: impl Iterator<Item = (Resource, AnyObject)>) {
    let mut expected: Vec<(Resource, AnyObject)> = expected.collect();
    expected.sort_by_key(|(resource, _)| resource.name());
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(
        found.iter().zip(&expected).all(|(one, other)| one.0 == other.0 && Arc::ptr_eq(&one.1, &other.1)),
        "{what}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn the_cache_is_as_the_model_says(steps in proptest::collection::vec(step(), 1..40)) {
        let mut compared = Compared::new();
        compared.check();
        for step in steps {
            compared.step(step);
            compared.check();
        }
        compared.end();
    }
}

fn pod(name: &str, uid: &str, version: Option<&str>) -> Pod {
    let (name, uid) = (Some(name.to_owned()), Some(uid.to_owned()));
    let resource_version = version.map(str::to_owned);
    Pod {
        metadata: ObjectMeta { namespace: Some("a".to_owned()), name, uid, resource_version, ..ObjectMeta::default() },
        ..Pod::default()
    }
}

#[test]
fn a_uid_leads_to_the_newest_that_has_it() {
    let (cache, resource) = (Cache::new(), Resource::of::<Pod>());
    cache.put(pod("x", "u1", None));
    cache.put(pod("y", "u1", None));
    cache.remove(&resource, &pod("x", "u1", None).metadata);
    assert_eq!(cache.with_uid("u1").unwrap().1.meta().name.as_deref(), Some("y"));
    cache.put(pod("y", "u2", None));
    assert!(cache.with_uid("u1").is_none() && cache.with_uid("u2").is_some());
}

#[test]
fn a_list_replaces_what_states_no_version_and_what_was_born_again() {
    let check = |known: Pod, listed: Pod, changes: usize| {
        let (cache, resource) = (Cache::new(), Resource::of::<Pod>());
        cache.put(known);
        let told = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&told);
        let _subscription = cache.subscribe(&resource, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        cache.table(&resource).replace(vec![Arc::new(listed)], 7);
        assert_eq!(told.load(Ordering::Relaxed), 1 + changes as u64);
    };
    check(pod("x", "u1", Some("7")), pod("x", "u1", Some("7")), 0);
    check(pod("x", "u1", Some("7")), pod("x", "u1", Some("8")), 1);
    check(pod("x", "u1", Some("7")), pod("x", "u2", Some("7")), 1);
    check(pod("x", "u1", None), pod("x", "u1", None), 1);
}

#[tokio::test]
async fn a_wait_for_a_resource_that_nobody_keeps_is_none() {
    let cache = Cache::new();
    cache.shows(&Key::of::<Pod>("a", "x"), &Written::At(7)).await;
    assert!(!cache.has_synced(&Resource::of::<Pod>()));
}

#[test]
fn a_resource_is_of_the_version_in_which_it_was_kept_last() {
    let (cache, [_, _, old]) = (Cache::new(), resources());
    let new = Resource { version: "v2".to_owned(), ..old.clone() };
    cache.put_any(&old, Arc::new(MetadataOnly { metadata: pod("x", "u1", None).metadata }));
    assert_eq!(cache.with_uid("u1").unwrap().0, old);
    cache.table(&new);
    assert_eq!(cache.with_uid("u1").unwrap().0, new);
    assert_eq!(cache.resource(&old.name()), Some(new));
}
