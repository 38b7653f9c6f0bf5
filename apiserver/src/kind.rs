//! A kind as the engine sees it, with the type of its objects erased.
//!
//! [`Builtin`] makes one of every [`Strategy`]; kinds that are known only at run time implement [`Kind`] directly.

use std::any::Any;

use api::field::ErrorList;
use api::status::Status;
use api::table::RowCondition;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::engine::Call;
use crate::object::Object;
use crate::request::WriteOptions;
use crate::reservation::{Ledger, Reservation};
use crate::strategy::{
    Column, Companion, Context, Grace, Names, ScaleSubresource, SelectableField, Source, Strategy, UpdateSubresource,
};

/// What the engine asks of a kind. The methods are those of [`Strategy`], over any object; objects of another kind than
/// [`Kind::decode`] returns are a mistake in the program.
pub trait Kind: Send + Sync + 'static {
    /// What it is called.
    fn names(&self) -> &Names;
    /// Whether its objects are stored; see [`Strategy::source`].
    fn is_stored(&self) -> bool {
        true
    }
    /// Answers a created object, if it is a kind whose objects are answered and not stored.
    fn answer<'a>(
        &'a self,
        _object: Box<dyn Object>,
        _call: &'a Call<'a>,
        _options: &'a WriteOptions,
    ) -> Option<BoxFuture<'a, Result<Vec<u8>, Status>>> {
        None
    }
    /// Computes the objects, or the one with a name, if it is a kind whose objects are computed.
    fn compute<'a>(&'a self, _call: &'a Call<'a>, _name: Option<&'a str>) -> Option<BoxFuture<'a, Computed>> {
        None
    }
    /// Makes an object of JSON whose `apiVersion` and `kind` have been checked. The error is what serde says.
    fn decode(&self, value: Value) -> Result<Box<dyn Object>, serde_json::Error>;
    /// The same, straight from stored JSON.
    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error>;
    /// See [`Strategy::default`].
    fn default(&self, object: &mut dyn Object);
    /// See [`Strategy::prepare_create`].
    fn prepare_create(&self, object: &mut dyn Object, context: Context<'_>);
    /// See [`Strategy::prepare_update`].
    fn prepare_update(&self, new: &mut dyn Object, old: &dyn Object, context: Context<'_>);
    /// Whether generations are kept and, if so, whether this change is one. On creation `old` is `None`.
    fn next_generation(&self, new: &dyn Object, old: Option<&dyn Object>) -> Option<i64>;
    /// See [`Strategy::validate_name`].
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String>;
    /// See [`Strategy::validate`].
    fn validate(&self, object: &dyn Object) -> ErrorList;
    /// See [`Strategy::validate_update`].
    fn validate_update(&self, new: &dyn Object, old: &dyn Object) -> ErrorList;
    /// See [`Strategy::warnings`].
    fn warnings(&self, new: &dyn Object, old: Option<&dyn Object>) -> Vec<String>;
    /// See [`Strategy::columns`].
    fn columns(&self) -> &[Column];
    /// See [`Strategy::row`].
    fn row(&self, object: &dyn Object, now: Timestamp) -> Vec<Value>;
    /// See [`Strategy::row_conditions`].
    fn row_conditions(&self, object: &dyn Object) -> Vec<RowCondition>;
    /// See [`Strategy::selectable_fields`].
    fn selectable_fields(&self) -> &[SelectableField];
    /// The names of the subresources that write a part of the object.
    fn update_subresources(&self) -> Vec<&'static str>;
    /// Prepares `new` as an update through `subresource`.
    fn prepare_subresource(&self, subresource: &str, new: &mut dyn Object, old: &dyn Object, context: Context<'_>);
    /// Validates `new` as an update through `subresource`.
    fn validate_subresource(&self, subresource: &str, new: &dyn Object, old: &dyn Object) -> ErrorList;
    /// Whether it has the `scale` subresource.
    fn has_scale(&self) -> bool;
    /// What the scale of `object` shows, if it has one.
    fn scale(&self, object: &dyn Object) -> Option<Scale>;
    /// Sets the replicas of `object`.
    fn set_replicas(&self, object: &mut dyn Object, replicas: i32);
    /// See [`Strategy::allow_create_on_update`].
    fn allow_create_on_update(&self) -> bool;
    /// See [`Strategy::allow_unconditional_update`].
    fn allow_unconditional_update(&self) -> bool;
    /// See [`Strategy::returns_deleted_object`].
    fn returns_deleted_object(&self) -> bool;
    /// See [`Strategy::orphans_by_default`].
    fn orphans_by_default(&self) -> Option<&'static str>;
    /// See [`Strategy::grace`].
    fn grace(&self, object: &dyn Object, requested: Option<i64>) -> Grace;
    /// See [`Strategy::reserve`].
    fn reserve<'a>(
        &'a self,
        ledger: &'a Ledger,
        new: &'a mut dyn Object,
        old: Option<&'a dyn Object>,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>>;
    /// See [`Strategy::release`].
    fn release<'a>(&'a self, ledger: &'a Ledger, object: &'a dyn Object) -> BoxFuture<'a, ()>;
    /// See [`Strategy::companions`].
    fn companions(&self) -> &'static [Companion];
}

/// The objects that were computed.
pub type Computed = Result<Vec<Box<dyn Object>>, Status>;

/// What `autoscaling/v1` `Scale` says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// `spec.replicas`.
    pub replicas: i32,
    /// `status.replicas`.
    pub status_replicas: i32,
    /// `status.selector`.
    pub selector: String,
}

/// The kind that a strategy describes.
pub struct Builtin<S: Strategy> {
    strategy: S,
    names: Names,
    updates: Vec<UpdateSubresource<S::Object>>,
    scale: Option<ScaleSubresource<S::Object>>,
    source: Source<S::Object>,
}

impl<S: Strategy> Builtin<S> {
    /// Wraps `strategy`.
    pub fn new(strategy: S) -> Self {
        let (names, updates, scale) = (strategy.names(), strategy.updates(), strategy.scale());
        let source = strategy.source();
        Builtin { strategy, names, updates, scale, source }
    }

    fn update(&self, subresource: &str) -> Option<&UpdateSubresource<S::Object>> {
        self.updates.iter().find(|update| update.name == subresource)
    }
}

fn typed<T: Any>(object: &dyn Object) -> &T {
    object.as_any().downcast_ref().expect("objects come from this kind's decode")
}

fn typed_mut<T: Any>(object: &mut dyn Object) -> &mut T {
    object.as_any_mut().downcast_mut().expect("objects come from this kind's decode")
}

impl<S: Strategy> Kind for Builtin<S> {
    fn names(&self) -> &Names {
        &self.names
    }

    fn is_stored(&self) -> bool {
        matches!(self.source, Source::Stored)
    }

    fn answer<'a>(
        &'a self,
        object: Box<dyn Object>,
        call: &'a Call<'a>,
        options: &'a WriteOptions,
    ) -> Option<BoxFuture<'a, Result<Vec<u8>, Status>>> {
        let Source::Answered(answer) = self.source else { return None };
        Some(answer(typed::<S::Object>(&*object).clone(), call, options))
    }

    fn compute<'a>(&'a self, call: &'a Call<'a>, name: Option<&'a str>) -> Option<BoxFuture<'a, Computed>> {
        let Source::Computed(compute) = self.source else { return None };
        let computed = compute(call, name);
        let erased =
            async move { Ok(computed.await?.into_iter().map(|object| Box::new(object) as Box<dyn Object>).collect()) };
        Some(Box::pin(erased))
    }

    fn decode(&self, value: Value) -> Result<Box<dyn Object>, serde_json::Error> {
        Ok(Box::new(serde_json::from_value::<S::Object>(value)?))
    }

    fn decode_stored(&self, json: &[u8]) -> Result<Box<dyn Object>, serde_json::Error> {
        Ok(Box::new(serde_json::from_slice::<S::Object>(json)?))
    }

    fn default(&self, object: &mut dyn Object) {
        self.strategy.default(typed_mut(object));
    }

    fn prepare_create(&self, object: &mut dyn Object, context: Context<'_>) {
        self.strategy.prepare_create(typed_mut(object), context);
    }

    fn prepare_update(&self, new: &mut dyn Object, old: &dyn Object, context: Context<'_>) {
        self.strategy.prepare_update(typed_mut(new), typed(old), context);
    }

    fn next_generation(&self, new: &dyn Object, old: Option<&dyn Object>) -> Option<i64> {
        let changed = self.strategy.generation()?;
        let Some(old) = old else { return Some(1) };
        let generation = old.meta().generation.unwrap_or(0);
        Some(generation + i64::from(changed(typed(new), typed(old))))
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        self.strategy.validate_name(name, prefix)
    }

    fn validate(&self, object: &dyn Object) -> ErrorList {
        self.strategy.validate(typed(object))
    }

    fn validate_update(&self, new: &dyn Object, old: &dyn Object) -> ErrorList {
        self.strategy.validate_update(typed(new), typed(old))
    }

    fn warnings(&self, new: &dyn Object, old: Option<&dyn Object>) -> Vec<String> {
        self.strategy.warnings(typed(new), old.map(typed))
    }

    fn columns(&self) -> &[Column] {
        self.strategy.columns()
    }

    fn row(&self, object: &dyn Object, now: Timestamp) -> Vec<Value> {
        self.strategy.row(typed(object), now)
    }

    fn row_conditions(&self, object: &dyn Object) -> Vec<RowCondition> {
        self.strategy.row_conditions(typed(object))
    }

    fn selectable_fields(&self) -> &[SelectableField] {
        self.strategy.selectable_fields()
    }

    fn update_subresources(&self) -> Vec<&'static str> {
        self.updates.iter().map(|update| update.name).collect()
    }

    fn prepare_subresource(&self, subresource: &str, new: &mut dyn Object, old: &dyn Object, context: Context<'_>) {
        if let Some(update) = self.update(subresource) {
            (update.prepare)(typed_mut(new), typed(old), context);
        }
    }

    fn validate_subresource(&self, subresource: &str, new: &dyn Object, old: &dyn Object) -> ErrorList {
        self.update(subresource).map_or_else(ErrorList::default, |update| (update.validate)(typed(new), typed(old)))
    }

    fn has_scale(&self) -> bool {
        self.scale.is_some()
    }

    fn scale(&self, object: &dyn Object) -> Option<Scale> {
        let scale = self.scale.as_ref()?;
        let object = typed(object);
        Some(Scale {
            replicas: (scale.replicas)(object),
            status_replicas: (scale.status_replicas)(object),
            selector: (scale.selector)(object),
        })
    }

    fn set_replicas(&self, object: &mut dyn Object, replicas: i32) {
        if let Some(scale) = &self.scale {
            (scale.set_replicas)(typed_mut(object), replicas);
        }
    }

    fn allow_create_on_update(&self) -> bool {
        self.strategy.allow_create_on_update()
    }

    fn allow_unconditional_update(&self) -> bool {
        self.strategy.allow_unconditional_update()
    }

    fn returns_deleted_object(&self) -> bool {
        self.strategy.returns_deleted_object()
    }

    fn orphans_by_default(&self) -> Option<&'static str> {
        self.strategy.orphans_by_default()
    }

    fn grace(&self, object: &dyn Object, requested: Option<i64>) -> Grace {
        self.strategy.grace(typed(object), requested)
    }

    fn reserve<'a>(
        &'a self,
        ledger: &'a Ledger,
        new: &'a mut dyn Object,
        old: Option<&'a dyn Object>,
        dry_run: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>> {
        self.strategy.reserve(ledger, typed_mut(new), old.map(typed), dry_run)
    }

    fn release<'a>(&'a self, ledger: &'a Ledger, object: &'a dyn Object) -> BoxFuture<'a, ()> {
        self.strategy.release(ledger, typed(object))
    }

    fn companions(&self) -> &'static [Companion] {
        self.strategy.companions()
    }
}
