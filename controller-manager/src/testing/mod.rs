//! A world for one controller: objects as an API server would keep them, and the cache that shows them, without a server, a
//! clock or a task. Plans are carried out at once, so that what a controller does is a function of what there was.

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::status::CAUSE_NAMESPACE_TERMINATING;
use client::cache::{Cache, Subscription};
use client::resource::{Key, Kind, Resource};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use crate::controller::{Controller, Keep, Map, Moment};
use crate::plan::{Deletion, Effect, Failure, MOST_ACTIONS, Plan, Refused, to_json};
use server::Server;

/// How many plans may be made before the world has to be at rest.
const MOST_PLANS: usize = 2000;

/// A controller and all there is.
pub(crate) struct World<C> {
    controller: C,
    /// What the controller sees.
    pub(crate) cache: Cache,
    /// What there is.
    server: Server,
    queue: Arc<Mutex<BTreeSet<Key>>>,
    subscriptions: Vec<Subscription>,
    again: BTreeMap<Key, Timestamp>,
    failures: BTreeMap<Key, Failure>,
    /// Every Event, as `Type Reason Kind name: message`.
    pub(crate) events: Vec<String>,
    /// How many more actions are carried out before the process "crashes".
    allowed: usize,
    done: usize,
}

impl<C: Controller> World<C> {
    /// A world in which there is nothing, at noon of the first of March 2026.
    pub(crate) fn new(controller: C) -> World<C> {
        let cache = Cache::new();
        let mut server = Server::new(cache.clone(), Timestamp::from_second(1_772_366_400).unwrap());
        for watched in controller.watches().watched {
            server.know(watched.resource, watched.keep);
        }
        let mut world = World {
            controller,
            cache,
            server,
            queue: Arc::default(),
            subscriptions: Vec::new(),
            again: BTreeMap::new(),
            failures: BTreeMap::new(),
            events: Vec::new(),
            allowed: usize::MAX,
            done: 0,
        };
        world.restart();
        world
    }

    /// Starts the controller as in a new process: it knows nothing but what it is shown.
    pub(crate) fn restart(&mut self) {
        self.subscriptions.clear();
        self.again.clear();
        self.failures.clear();
        self.allowed = usize::MAX;
        self.queue.lock().clear();
        let watches = self.controller.watches();
        for watched in watches.watched {
            if let Some(map) = watched.map {
                self.subscribe(&watched.resource, map);
            }
        }
        if let Some(map) = watches.everything {
            for resource in self.server.resources() {
                self.subscribe(&resource, Arc::clone(&map));
            }
        }
    }

    fn subscribe(&mut self, resource: &Resource, map: Map) {
        let (cache, queue) = (self.cache.clone(), Arc::clone(&self.queue));
        let subscription = self.cache.subscribe(resource, move |change| queue.lock().extend(map(&cache, change)));
        self.subscriptions.push(subscription);
    }

    /// Makes the metadata of a resource known, as of one that only controllers of every resource watch.
    pub(crate) fn know_metadata(&mut self, resource: Resource) {
        self.server.know(resource, Keep::metadata());
        self.restart();
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.server.now
    }

    /// Adds an object, as a client would create it. What is stated of its metadata stays, uid and times included.
    pub(crate) fn add<K: Kind + Serialize>(&mut self, object: K) -> Arc<K> {
        let key = self.server.create(&Resource::of::<K>(), to_json(&object)).expect("it can be created");
        self.get(&key.namespace, &key.name).expect("it was created")
    }

    /// Adds an object of any resource that is known.
    pub(crate) fn add_any(&mut self, resource: &Resource, object: Value) -> Key {
        self.server.create(resource, object).expect("it can be created")
    }

    /// Changes an object, its status included, as clients would.
    pub(crate) fn change<K: Kind + Serialize>(&mut self, namespace: &str, name: &str, change: impl FnOnce(&mut K)) {
        let mut object = K::clone(&self.get::<K>(namespace, name).expect("it is there"));
        change(&mut object);
        self.server.put(&Key::of::<K>(namespace, name), to_json(&object));
    }

    /// Deletes an object, as a client would: it stays while it has finalizers, and a pod on a node stays until it is removed.
    pub(crate) fn delete<K: Kind>(&mut self, namespace: &str, name: &str) {
        self.server.delete(&Key::of::<K>(namespace, name), &Deletion::default());
    }

    /// Changes an object of any resource, its status included, as clients would.
    pub(crate) fn change_any(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let mut object = self.json(key).expect("it is there").clone();
        change(&mut object);
        self.server.put(key, object);
    }

    /// Deletes an object of any resource, as a client would who says how.
    pub(crate) fn delete_any(&mut self, key: &Key, deletion: &Deletion) {
        self.server.delete(key, deletion);
    }

    /// Removes an object, as if it had never been.
    pub(crate) fn remove<K: Kind>(&mut self, namespace: &str, name: &str) {
        self.server.remove(&Key::of::<K>(namespace, name));
    }

    /// The object of this name.
    pub(crate) fn get<K: Kind>(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.cache.get(namespace, name)
    }

    /// All objects of a kind.
    pub(crate) fn list<K: Kind>(&self) -> Vec<Arc<K>> {
        self.cache.list(None)
    }

    /// An object of any kind, as JSON.
    pub(crate) fn json(&self, key: &Key) -> Option<&Value> {
        self.server.get(key)
    }

    /// Lets time pass. Keys that wanted to be looked at by then are looked at when the world settles.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.server.now = self.server.now.checked_add(SignedDuration::try_from(time).unwrap()).unwrap();
        let due: Vec<Key> =
            self.again.iter().filter(|(_, at)| **at <= self.server.now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.again.remove(&key);
            self.queue.lock().insert(key);
        }
    }

    /// What the controller would do about a key, without doing it.
    pub(crate) fn plan(&self, key: &Key) -> Option<Plan> {
        let observed = self.controller.observe(&self.cache, key)?;
        let moment = Moment { now: self.server.now, failure: self.failures.get(key).cloned() };
        let plan = self.controller.reconcile(&observed, &moment);
        assert!(plan.actions.len() <= MOST_ACTIONS, "a plan for {key} has {} actions", plan.actions.len());
        Some(plan)
    }

    /// Looks at every key that there is a reason for, until nothing is left to do. Returns the plans that had actions.
    pub(crate) fn settle(&mut self) -> Vec<(Key, Plan)> {
        let mut plans = Vec::new();
        for _ in 0..MOST_PLANS {
            let Some(key) = self.queue.lock().pop_first() else { return plans };
            let Some(plan) = self.plan(&key) else { continue };
            if let Some(delay) = plan.again {
                let at = self.server.now.checked_add(SignedDuration::try_from(delay).unwrap()).unwrap();
                self.again.insert(key.clone(), at);
            }
            let failed = self.carry_out(&plan);
            if self.allowed == 0 {
                return plans;
            }
            match failed {
                Some(failure) => {
                    let again = self.failures.insert(key.clone(), failure.clone()) != Some(failure);
                    // What fails in the same way again and again would be tried for ever.
                    if again {
                        self.queue.lock().insert(key.clone());
                    }
                }
                None => {
                    let failed_before = self.failures.remove(&key).is_some();
                    if plan.writes() || failed_before {
                        self.queue.lock().insert(key.clone());
                    }
                }
            }
            if plan.writes() {
                plans.push((key, plan));
            }
        }
        panic!("no end after {MOST_PLANS} plans; the last: {:#?}", plans.last());
    }

    /// Settles, with `environment` doing in between what others would (a kubelet, a user), until neither does anything
    /// more. `environment` says whether it did something.
    pub(crate) fn settle_with(&mut self, environment: &impl Fn(&mut World<C>) -> bool) -> Vec<(Key, Plan)> {
        let mut plans = Vec::new();
        for _ in 0..MOST_PLANS {
            plans.extend(self.settle());
            if self.allowed == 0 || !environment(self) {
                return plans;
            }
        }
        panic!("no end after {MOST_PLANS} rounds; the last plan: {:#?}", plans.last());
    }

    /// Carries out as much of a plan as is allowed and goes well. A plan from before the last changes is what a controller
    /// makes whose cache is behind.
    pub(crate) fn carry_out(&mut self, plan: &Plan) -> Option<Failure> {
        for action in &plan.actions {
            if self.allowed == 0 {
                return None;
            }
            if let Effect::Event(says) = &action.effect {
                self.events.push(format!(
                    "{} {} {} {}: {}",
                    says.event_type.as_str(),
                    says.reason,
                    action.target.resource.kind,
                    action.target.name,
                    says.message
                ));
                continue;
            }
            self.allowed -= 1;
            self.done += 1;
            let result = self.server.act(action);
            if let Some(report) = &action.report {
                self.events.extend(server::words(report, &action.target.name, &result));
            }
            if let Err(refused) = result {
                return Some(Failure::of(action, refused));
            }
        }
        None
    }

    /// Makes every creation of this resource fail from now on, for this reason and with this message; or no longer.
    pub(crate) fn refuse_creation<K: Kind>(&mut self, refusal: Option<(&str, &str)>) {
        let refused = refusal.map(|(reason, message)| Refused::new(reason, message));
        self.server.refuse(&Resource::of::<K>(), refused);
    }

    /// Makes every creation of this resource fail from now on, as the server does where a namespace is being deleted.
    pub(crate) fn refuse_creation_in_ending_namespace<K: Kind>(&mut self) {
        let message = format!("{} \"x\" is forbidden: it is being terminated", K::URL_PATH_SEGMENT);
        let causes = vec![CAUSE_NAMESPACE_TERMINATING.to_owned()];
        self.server.refuse(&Resource::of::<K>(), Some(Refused { causes, ..Refused::new("Forbidden", message) }));
    }

    /// Makes the server allow the accesses of which `allows` says so, and no others. At first it allows none.
    pub(crate) fn allow(&mut self, allows: impl Fn(&SubjectAccessReviewSpec) -> bool + 'static) {
        self.server.authorizer = Box::new(allows);
    }

    /// Everything there is, without what differs from run to run: uids, versions, generated names.
    pub(crate) fn summary(&self) -> Vec<String> {
        self.server.summary()
    }
}

/// Checks what must hold of every controller: from what `setup` makes, it comes to rest; at rest every plan is empty; and if
/// its process ends after any action, and starts again, it comes to the same. Returns the world at rest.
pub(crate) fn check_converges<C: Controller>(
    setup: impl Fn() -> World<C>,
    environment: impl Fn(&mut World<C>) -> bool,
) -> World<C> {
    let mut whole = setup();
    whole.settle_with(&environment);
    let (expected, actions) = (whole.summary(), whole.done);
    whole.restart();
    let more = whole.settle_with(&environment);
    assert!(more.is_empty(), "it was not at rest: {more:#?}");
    for cut in 1..=actions.min(200) {
        let mut world = setup();
        world.allowed = cut;
        world.settle_with(&environment);
        world.restart();
        world.settle_with(&environment);
        assert_eq!(world.summary(), expected, "after an end behind action {cut} of {actions}");
    }
    whole
}

/// Nothing happens but what the controller does.
pub(crate) fn nobody_else<C>(_: &mut World<C>) -> bool {
    false
}
