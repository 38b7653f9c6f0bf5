//! What makes a kind this kind and no other: its names, defaults, rules, and how it is shown.
//!
//! A kind is one file in `resources/` with one [`Strategy`], and one line in the registry there. Everything that kinds
//! have in common (routes, verbs, patches, dry run, finalizers, watches, tables, discovery) is the engine's and follows
//! from what is declared here. Strategies are pure: the time comes in with [`Context`], and what needs the rest of the
//! cluster's state is a hook of its own ([`Strategy::reserve`]).

use std::borrow::Cow;

use api::field::ErrorList;
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::{Metadata, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use api::status::{GroupKind, GroupResource, Status};

use crate::authn::Identity;
use crate::engine::Call;
use crate::request::WriteOptions;
use crate::reservation::{Ledger, Reservation};

/// A built-in object: one of the generated structs.
pub trait Typed:
    Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Default + Send + Sync + 'static
{
}

impl<T> Typed for T where
    T: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone + Default + Send + Sync + 'static
{
}

/// What a resource is called and where it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version that it is served in.
    pub version: Cow<'static, str>,
    /// The kind, such as `Pod`.
    pub kind: Cow<'static, str>,
    /// The resource, such as `pods`.
    pub plural: Cow<'static, str>,
    /// The name for one, such as `pod`.
    pub singular: Cow<'static, str>,
    /// What users may type instead.
    pub short_names: Vec<Cow<'static, str>>,
    /// Groups of resources that it belongs to, such as `all`.
    pub categories: Vec<Cow<'static, str>>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Names {
    /// The names that the generated type of a built-in kind states, with a lower-case singular and nothing else.
    #[must_use]
    pub fn of<T: Resource>(singular: &'static str, namespaced: bool) -> Names {
        Names {
            group: Cow::Borrowed(T::GROUP),
            version: Cow::Borrowed(T::VERSION),
            kind: Cow::Borrowed(T::KIND),
            plural: Cow::Borrowed(T::URL_PATH_SEGMENT),
            singular: Cow::Borrowed(singular),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced,
        }
    }

    /// With these short names.
    #[must_use]
    pub fn short(self, names: &[&'static str]) -> Names {
        Names { short_names: names.iter().map(|name| Cow::Borrowed(*name)).collect(), ..self }
    }

    /// In these categories.
    #[must_use]
    pub fn within(self, categories: &[&'static str]) -> Names {
        Names { categories: categories.iter().map(|name| Cow::Borrowed(*name)).collect(), ..self }
    }

    /// The group and version as objects state it, such as `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> Cow<'static, str> {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version).into() }
    }

    /// The group and resource, as errors name it.
    #[must_use]
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group.clone(), self.plural.clone())
    }

    /// The group and kind, as errors name it.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.group.clone(), self.kind.clone())
    }
}

/// What a strategy may know of the request and the world.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time of the request.
    pub now: Timestamp,
    /// The namespace of the request; empty for resources without namespaces.
    pub namespace: &'a str,
    /// Who asks; `None` for what the server itself does.
    pub identity: Option<&'a Identity>,
}

/// How a column of a table is described to clients (`metav1.TableColumnDefinition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, such as `Ready`.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: &'static str,
    /// `name` for the column that identifies the row, otherwise empty.
    pub format: &'static str,
    /// What the column shows.
    pub description: &'static str,
    /// 0 is always shown, 1 only with `-o wide`.
    pub priority: i32,
}

impl Column {
    /// A column of text that is always shown.
    #[must_use]
    pub const fn new(name: &'static str, description: &'static str) -> Column {
        Column { name, kind: "string", format: "", description, priority: 0 }
    }

    /// The same column, shown only with `-o wide`.
    #[must_use]
    pub const fn wide(self) -> Column {
        Column { priority: 1, ..self }
    }

    /// The same column with numbers or another type of value.
    #[must_use]
    pub const fn of_type(self, kind: &'static str) -> Column {
        Column { kind, ..self }
    }
}

/// The `Name` column that every table begins with.
pub const NAME_COLUMN: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    description: "Name must be unique within a namespace. Is required when creating resources, although some resources \
                  may allow a client to request the generation of an appropriate name automatically. Name is primarily \
                  intended for creation idempotence and configuration definition. Cannot be updated. More info: \
                  https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    priority: 0,
};

/// The `Age` column that most tables end with.
pub const AGE_COLUMN: Column = Column {
    name: "Age",
    kind: "string",
    format: "",
    description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is not \
                  guaranteed to be set in happens-before order across separate operations. Clients may not set this \
                  value. It is represented in RFC3339 form and is in UTC. Populated by the system. Read-only. Null for \
                  lists. More info: \
                  https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    priority: 0,
};

/// A field that field selectors may name. The engine reads it out of the stored JSON, once, when a write is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// Its name in selectors, such as `spec.nodeName`.
    pub name: &'static str,
    /// Its path in the stored JSON; mostly the same. Versions of a resource may give one path different names.
    pub path: &'static str,
    /// The path of what counts instead when there is nothing at `path`, or an empty string.
    pub or_path: Option<&'static str>,
    /// What it counts as when it is not there, such as `false`.
    pub absent: &'static str,
}

impl SelectableField {
    /// A field that is named by its path and is the empty string when it is not there.
    #[must_use]
    pub const fn at(path: &'static str) -> SelectableField {
        SelectableField { name: path, path, or_path: None, absent: "" }
    }
}

/// A resource whose objects go with objects of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Companion {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The resource, such as `endpoints`.
    pub resource: &'static str,
}

/// A subresource that reads and writes a part of the object itself, such as `status`.
pub struct UpdateSubresource<T> {
    /// Its name in the path.
    pub name: &'static str,
    /// Takes from the old object whatever this subresource may not change.
    pub prepare: fn(new: &mut T, old: &T, context: Context<'_>),
    /// Says what is wrong with the change.
    pub validate: fn(new: &T, old: &T) -> ErrorList,
}

/// How an object is scaled (`autoscaling/v1` `Scale`).
pub struct ScaleSubresource<T> {
    /// `spec.replicas`.
    pub replicas: fn(&T) -> i32,
    /// Sets `spec.replicas`.
    pub set_replicas: fn(&mut T, i32),
    /// `status.replicas`.
    pub status_replicas: fn(&T) -> i32,
    /// The selector in string form, for `status.selector`.
    pub selector: fn(&T) -> String,
}

/// How long a deletion waits, for kinds whose objects end gracefully.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// The object goes at once.
    Immediate,
    /// The object stays, marked, for this many seconds or until it is deleted with 0.
    Seconds(i64),
}

/// Where objects come from when they are read, and where they go when they are created.
pub enum Source<T> {
    /// They are stored.
    Stored,
    /// They are created, answered, and not kept: questions to the server, and things that it is to do at once.
    Answered(Answering<T>),
    /// They can only be read, and are computed then.
    Computed(Computing<T>),
}

/// Answers a created object with the JSON of an object, mostly the same one with its status.
pub type Answering<T> =
    for<'a> fn(object: T, call: &'a Call<'a>, options: &'a WriteOptions) -> BoxFuture<'a, Result<Vec<u8>, Status>>;

/// Computes every object there is, or the one with a name.
pub type Computing<T> = for<'a> fn(call: &'a Call<'a>, name: Option<&'a str>) -> BoxFuture<'a, Result<Vec<T>, Status>>;

/// Says whether `new` asks for something else than `old` did.
pub type SpecChanged<T> = fn(new: &T, old: &T) -> bool;

/// A kind.
pub trait Strategy: Send + Sync + 'static {
    /// The struct of this kind.
    type Object: Typed;

    /// What it is called. Asked once.
    fn names(&self) -> Names;

    /// Where its objects come from. Of a kind that is not stored, only its names, defaults and rows count beside this; its
    /// verbs are those that discovery states.
    fn source(&self) -> Source<Self::Object> {
        Source::Stored
    }

    /// Fills in what the client left out, as the API documentation states. Applying it twice changes nothing.
    fn default(&self, _object: &mut Self::Object) {}

    /// Clears what a client may not set on creation (such as status) and sets what the server states (generation is the
    /// engine's).
    fn prepare_create(&self, _object: &mut Self::Object, _context: Context<'_>) {}

    /// Carries over from the old object what an ordinary update may not change (such as status).
    fn prepare_update(&self, _new: &mut Self::Object, _old: &Self::Object, _context: Context<'_>) {}

    /// Whether `metadata.generation` is kept, and grows with this change. The default says that it is not kept at all.
    fn generation(&self) -> Option<SpecChanged<Self::Object>> {
        None
    }

    /// Says what is wrong with a name; empty if nothing. `prefix` says that it is a `generateName`.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        api::names::object_dns_subdomain(name, prefix)
    }

    /// Says what is wrong with a new object, its metadata excepted.
    fn validate(&self, object: &Self::Object) -> ErrorList;

    /// Says what is wrong with a changed object, its metadata excepted: its own rules and what is immutable.
    fn validate_update(&self, new: &Self::Object, old: &Self::Object) -> ErrorList;

    /// What the client is warned of, such as deprecated fields.
    fn warnings(&self, _new: &Self::Object, _old: Option<&Self::Object>) -> Vec<String> {
        Vec::new()
    }

    /// The columns of its table; the first is [`NAME_COLUMN`].
    fn columns(&self) -> &'static [Column] {
        const { &[NAME_COLUMN, AGE_COLUMN] }
    }

    /// One cell for each column.
    fn row(&self, object: &Self::Object, now: Timestamp) -> Vec<Value> {
        let meta = object.metadata();
        vec![meta.name.clone().into(), api::duration::age(meta.creation_timestamp.as_ref(), now).into()]
    }

    /// Conditions of its row, such as `Completed`.
    fn row_conditions(&self, _object: &Self::Object) -> Vec<api::table::RowCondition> {
        Vec::new()
    }

    /// What field selectors may name beside `metadata.name` and `metadata.namespace`.
    fn selectable_fields(&self) -> &'static [SelectableField] {
        &[]
    }

    /// Subresources that write a part of the object: `status` and the like.
    fn updates(&self) -> Vec<UpdateSubresource<Self::Object>> {
        Vec::new()
    }

    /// How it is scaled, if it is.
    fn scale(&self) -> Option<ScaleSubresource<Self::Object>> {
        None
    }

    /// Whether an update of an object that does not exist creates it (`PUT` as create).
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// Whether an update may leave out `metadata.resourceVersion`.
    fn allow_unconditional_update(&self) -> bool {
        true
    }

    /// Whether the answer to a deletion is the object, as some kinds have always had it, and not a status.
    fn returns_deleted_object(&self) -> bool {
        false
    }

    /// What a client is warned of that deletes an object without saying what is to become of its dependents, for kinds whose
    /// objects then leave them behind. The dependents of others go along.
    fn orphans_by_default(&self) -> Option<&'static str> {
        None
    }

    /// How `object` ends when it is deleted with `requested` seconds of grace, or with none stated.
    fn grace(&self, _object: &Self::Object, _requested: Option<i64>) -> Grace {
        Grace::Immediate
    }

    /// Acquires what only one object in the cluster may have, such as an address, and writes it into the object; `old` is
    /// `None` on creation. The engine commits the reservation after the write, and rolls it back if there was none.
    /// Runs after defaults and [`prepare_create`](Strategy::prepare_create), before validation.
    fn reserve<'a>(
        &'a self,
        _ledger: &'a Ledger,
        _new: &'a mut Self::Object,
        _old: Option<&'a Self::Object>,
        _dry_run: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>> {
        Box::pin(async { Ok(Reservation::none()) })
    }

    /// Gives back what a deleted object had acquired.
    fn release<'a>(&'a self, _ledger: &'a Ledger, _object: &'a Self::Object) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    /// Resources whose object of the same name and namespace is deleted when an object of this kind has gone.
    fn companions(&self) -> &'static [Companion] {
        &[]
    }
}
