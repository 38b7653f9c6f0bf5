//! Autoscalers in `autoscaling/v1`. Its rules are stated of the stored form, so that messages name the fields of that form,
//! as upstream's do.

use api::field::ErrorList;
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler;
use k8s_openapi::api::autoscaling::v2;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::conversion::{to_v1, to_v2};
use super::{HorizontalPodAutoscalers, names, spec, table, validate_status};
use crate::strategy::{Column, Context, Names, Strategy, UpdateSubresource};

pub(crate) struct AutoscalersV1;

impl Strategy for AutoscalersV1 {
    type Object = HorizontalPodAutoscaler;

    fn names(&self) -> Names {
        names::<HorizontalPodAutoscaler>()
    }

    /// The metric that is aimed at when none is stated is filled in by the conversion, which knows of all.
    fn default(&self, object: &mut HorizontalPodAutoscaler) {
        object.spec.min_replicas.get_or_insert(1);
    }

    fn prepare_create(&self, object: &mut HorizontalPodAutoscaler, context: Context<'_>) {
        change(object, |object| HorizontalPodAutoscalers.prepare_create(object, context));
    }

    fn prepare_update(&self, new: &mut HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler, _: Context<'_>) {
        change(new, |new| new.status = to_v2(old).status);
    }

    fn generation(&self) -> Option<fn(new: &HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler) -> bool> {
        Some(|new, old| spec::differ(&to_v2(new).spec, &to_v2(old).spec))
    }

    fn validate(&self, object: &HorizontalPodAutoscaler) -> ErrorList {
        HorizontalPodAutoscalers.validate(&to_v2(object))
    }

    fn validate_update(&self, new: &HorizontalPodAutoscaler, old: &HorizontalPodAutoscaler) -> ErrorList {
        HorizontalPodAutoscalers.validate_update(&to_v2(new), &to_v2(old))
    }

    fn columns(&self) -> &'static [Column] {
        table::COLUMNS
    }

    fn row(&self, object: &HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
        table::row(&to_v2(object), now)
    }

    fn updates(&self) -> Vec<UpdateSubresource<HorizontalPodAutoscaler>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| change(new, |new| new.spec = to_v2(old).spec),
            validate: |new, _| validate_status(to_v2(new).status.as_ref()),
        }]
    }
}

/// Makes a change to the stored form, since a part of spec and status stands in annotations here.
fn change(object: &mut HorizontalPodAutoscaler, change: impl FnOnce(&mut v2::HorizontalPodAutoscaler)) {
    let mut stored = to_v2(object);
    change(&mut stored);
    *object = to_v1(&stored);
}
