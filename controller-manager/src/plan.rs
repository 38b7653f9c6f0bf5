//! What a controller wants done: a value, to be printed, tested, and carried out by the [`driver`](crate::driver).

mod failure;

use std::collections::BTreeMap;
use std::time::Duration;

use api::patch::merge;
use client::events::EventType;
use client::resource::{Kind, Resource};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewSpec;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub(crate) use failure::Refused;
pub use failure::{Attempt, Failure};

/// The most actions of one plan. What is left is planned when they are done.
pub const MOST_ACTIONS: usize = 500;

/// What to do, in this order, and when to look again.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Actions; the first that fails is the last that is tried.
    pub actions: Vec<Action>,
    /// After how long to look again even if nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<Duration>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Action {
    /// To what.
    pub target: Target,
    /// What.
    pub effect: Effect,
    /// What is said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// The object that an action is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its resource.
    #[serde(serialize_with = "by_name")]
    pub resource: Resource,
    /// Its namespace; empty for objects that are in none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name; empty if the server is to choose one, and for what is about many objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which of all objects that ever had the name; empty if that does not matter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

fn by_name<S: serde::Serializer>(resource: &Resource, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(resource)
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Effect {
    /// Makes an object.
    Create(Value),
    /// Changes an object by a merge patch.
    Patch {
        /// Of which subresource.
        #[serde(skip_serializing_if = "Option::is_none")]
        subresource: Option<&'static str>,
        /// The version that the object must have; any, if it is empty.
        #[serde(skip_serializing_if = "String::is_empty")]
        version: String,
        /// The patch.
        body: Value,
    },
    /// Replaces an object, by `PUT`, as the only method of some subresources.
    Replace {
        /// Of which subresource.
        subresource: &'static str,
        /// The object.
        body: Value,
    },
    /// Creates something below an object, such as an Eviction.
    Post {
        /// Which subresource.
        subresource: &'static str,
        /// What is created.
        body: Value,
    },
    /// Deletes an object.
    Delete(Deletion),
    /// Deletes every object of the resource in the namespace, and later what they own.
    DeleteAll,
    /// Demands that something is so at the server, which caches cannot tell; else the rest of the plan is not done.
    Confirm(Fact),
    /// Demands that no pod at the server uses the target, a volume claim ([`claims`](crate::claims)); else the rest of the plan
    /// is not done.
    ConfirmUnused {
        /// The uid of the claim's controller; empty if it has none.
        #[serde(skip_serializing_if = "String::is_empty")]
        controller: String,
    },
    /// Demands that at least one of these accesses is allowed, each asked for by a SubjectAccessReview, in this order and
    /// until one is. If none is, the rest of the plan is not done, and the failure's message is their [`refusal`]. The
    /// target is the object for whose sake it is asked; nothing is done to it.
    Review(Vec<SubjectAccessReviewSpec>),
    /// Says that something happened to the object.
    Event(Says),
    /// Signs what a CertificateSigningRequest asks for, and writes the certificate into its status.
    Certify(Certification),
}

/// A certificate to be signed by the cluster's authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certification {
    /// The version that the CertificateSigningRequest must have.
    pub version: String,
    /// The request, PEM.
    pub request: String,
    /// What the certificate may be used for, in the API's words, such as `digital signature` and `client auth`.
    pub usages: Vec<String>,
    /// From when on it is valid.
    #[serde(serialize_with = "as_string")]
    pub not_before: Timestamp,
    /// Until when it is valid.
    #[serde(serialize_with = "as_string")]
    pub not_after: Timestamp,
}

fn as_string<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deletion {
    /// What becomes of the objects that it owns; by default what the kind says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// In how many seconds; by default what the object says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
    /// The version that the object must have; any, if it is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// What becomes of the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// What can be demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Fact {
    /// There is an object of this name and uid, and it is not being deleted.
    Alive,
    /// There is no object of this name and uid.
    Gone,
    /// There is no object of the resource in the namespace.
    Empty,
}

/// The words of an Event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Says {
    /// Whether it is as it should be.
    #[serde(serialize_with = "as_text")]
    pub event_type: EventType,
    /// Why, in one word.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

fn as_text<S: serde::Serializer>(event_type: &EventType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(event_type.as_str())
}

/// What is said about an action, by Events that regard another object than the one it is done to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The object that the Events regard.
    #[serde(serialize_with = "by_kind_and_name")]
    pub regarding: ObjectReference,
    /// When it was done: reason, and message with `{name}` for the name of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<(&'static str, String)>,
    /// When it failed: reason, and message with `{name}` and `{error}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<(&'static str, String)>,
}

fn by_kind_and_name<S: serde::Serializer>(reference: &ObjectReference, serializer: S) -> Result<S::Ok, S::Error> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    serializer.collect_str(&format_args!("{} {}", text(&reference.kind), text(&reference.name)))
}

impl Target {
    /// An object as it is known.
    #[must_use]
    pub fn of<K: Kind>(object: &K) -> Target {
        Target::meta(Resource::of::<K>(), object.metadata())
    }

    /// An object of any resource, by its metadata.
    #[must_use]
    pub fn meta(resource: Resource, meta: &ObjectMeta) -> Target {
        Target {
            resource,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }

    /// Whether it is an object of kind `K`.
    #[must_use]
    pub fn is_of<K: Kind>(&self) -> bool {
        self.resource.plural == K::URL_PATH_SEGMENT && self.resource.group == K::GROUP
    }
}

impl Action {
    /// The same action, with Events about it.
    pub fn reporting(&mut self, report: Report) {
        self.report = Some(report);
    }
}

impl Plan {
    /// Nothing to do.
    #[must_use]
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Whether nothing is to be done. There may be a time to look again all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Whether it does more than to say something. If it does not, it leaves everything as it is, and would be made again:
    /// so it is no reason to look again.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.actions.iter().any(|action| !matches!(action.effect, Effect::Event(_)))
    }

    /// How many more actions the plan can take.
    #[must_use]
    pub fn room(&self) -> usize {
        MOST_ACTIONS.saturating_sub(self.actions.len())
    }

    /// Adds an action.
    pub fn act(&mut self, target: Target, effect: Effect) -> &mut Action {
        self.actions.push(Action { target, effect, report: None });
        self.actions.last_mut().expect("one was pushed")
    }

    /// Looks again after `delay`, or sooner if that was wanted before.
    pub fn look_again(&mut self, delay: Duration) {
        self.again = Some(self.again.map_or(delay, |again| again.min(delay)));
    }

    /// Makes an object.
    pub fn create<K: Kind + Serialize>(&mut self, object: &K) -> &mut Action {
        self.act(Target::of(object), Effect::Create(to_json(object)))
    }

    /// Changes what of an object differs, its status excepted, if it is still as `old` is.
    pub fn update<K: Kind + Serialize>(&mut self, old: &K, new: &K) -> Option<&mut Action> {
        let (mut was, mut is) = (to_map(old), to_map(new));
        was.remove("status");
        is.remove("status");
        self.patch(old, None, merge::create(&was, &is))
    }

    /// Changes what of an object's status differs, if the object is still as `old` is.
    pub fn update_status<K: Kind + Serialize>(&mut self, old: &K, new: &K) -> Option<&mut Action> {
        let status = |mut object: Map<String, Value>| object.remove("status").map(|it| ("status".to_owned(), it));
        let (was, is) = (status(to_map(old)), status(to_map(new)));
        self.patch(old, Some("status"), merge::create(&was.into_iter().collect(), &is.into_iter().collect()))
    }

    /// Changes what of an object's status and annotations differs, in one patch of its status, if the object is still as
    /// `old` is. That is for kinds whose annotations are written with their status, and for objects that are large: of
    /// them only what is given here is compared, and only if it is not the same.
    pub fn update_status_and_annotations<K: Kind, S: PartialEq + Serialize>(
        &mut self,
        old: &K,
        (old_status, new_status): (&S, &S),
        annotations: &BTreeMap<String, String>,
    ) -> Option<&mut Action> {
        let mut patch = Map::new();
        let had = old.metadata().annotations.as_ref();
        if !annotations.iter().eq(had.into_iter().flatten()) {
            let difference = merge::create(&had.map(to_map).unwrap_or_default(), &to_map(annotations));
            patch.insert("metadata".to_owned(), json!({"annotations": difference}));
        }
        if old_status != new_status {
            let difference = merge::create(&to_map(old_status), &to_map(new_status));
            patch.insert("status".to_owned(), Value::Object(difference));
        }
        self.patch(old, Some("status"), patch)
    }

    fn patch<K: Kind>(
        &mut self,
        old: &K,
        subresource: Option<&'static str>,
        patch: Map<String, Value>,
    ) -> Option<&mut Action> {
        if patch.is_empty() {
            return None;
        }
        let body = Value::Object(patch);
        let version = old.metadata().resource_version.clone().unwrap_or_default();
        Some(self.act(Target::of(old), Effect::Patch { subresource, version, body }))
    }

    /// Deletes an object.
    pub fn delete<K: Kind>(&mut self, object: &K) -> &mut Action {
        self.act(Target::of(object), Effect::Delete(Deletion::default()))
    }

    /// Demands that an object is at the server as it is in the cache: alive, with the same uid.
    pub fn confirm<K: Kind>(&mut self, object: &K, fact: Fact) {
        self.act(Target::of(object), Effect::Confirm(fact));
    }

    /// Says that something happened to an object.
    pub fn event<K: Kind>(
        &mut self,
        object: &K,
        event_type: EventType,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.act(Target::of(object), Effect::Event(Says { event_type, reason, message: message.into() }));
    }
}

/// What the failure of an [`Effect::Review`] says, by which a controller can tell it from others.
#[must_use]
pub fn refusal(reviews: &[SubjectAccessReviewSpec]) -> String {
    let say = |review: &SubjectAccessReviewSpec| {
        let what = review.resource_attributes.clone().unwrap_or_default();
        let path = review.non_resource_attributes.clone().unwrap_or_default();
        let text = Option::unwrap_or_default;
        let verb = what.verb.or(path.verb);
        let parts = [what.group, what.resource, what.subresource, what.namespace, what.name, path.path];
        let target: Vec<String> = parts.into_iter().map(text).filter(|part| !part.is_empty()).collect();
        format!("{} may not {} {}", text(review.user.clone()), text(verb), target.join("/"))
    };
    reviews.iter().map(say).collect::<Vec<_>>().join(", ")
}

/// A reference to an object, as Events have it.
#[must_use]
pub fn reference<K: Kind>(object: &K) -> ObjectReference {
    let meta = object.metadata();
    ObjectReference {
        api_version: Some(K::API_VERSION.to_owned()),
        kind: Some(K::KIND.to_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// A reference to the controller of an object, by which it is owned and which waits for it when it is deleted.
#[must_use]
pub fn controller_reference<K: Kind>(owner: &K) -> OwnerReference {
    let meta = owner.metadata();
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// An object as JSON, with what the server needs to read it.
pub(crate) fn to_json<K: Serialize>(object: &K) -> Value {
    // Kinds are structs with string keys, of which JSON can always be made.
    serde_json::to_value(object).unwrap_or_default()
}

fn to_map<K: Serialize>(object: &K) -> Map<String, Value> {
    match to_json(object) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
