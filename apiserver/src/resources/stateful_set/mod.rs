//! StatefulSets: pods of one template that keep their names and their storage.
//!
//! What identifies the pods and their claims (`serviceName`, `selector`, `podManagementPolicy`, `volumeClaimTemplates`)
//! never changes.

mod claims;
mod validation;

use api::field::{ErrorList, Path};
use api::names::object_dns_label;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus, StatefulSetUpdateStrategy};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::{self, CONTAINERS_COLUMN, IMAGES_COLUMN};
use super::{pod_spec, semantic};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, ScaleSubresource, Strategy, UpdateSubresource};

const ROLLING_UPDATE: &str = "RollingUpdate";
const ON_DELETE: &str = "OnDelete";
const ORDERED_READY: &str = "OrderedReady";
const PARALLEL: &str = "Parallel";
const RETAIN: &str = "Retain";
const DELETE: &str = "Delete";

pub(crate) struct StatefulSets;

impl Strategy for StatefulSets {
    type Object = StatefulSet;

    fn names(&self) -> Names {
        Names::of::<StatefulSet>("statefulset", true).short(&["sts"]).within(&["all"])
    }

    /// What Go always writes is there afterwards, too.
    fn default(&self, object: &mut StatefulSet) {
        object.status.get_or_insert_default().available_replicas.get_or_insert(0);
        let spec = &mut object.spec;
        spec.service_name.get_or_insert_default();
        if let Some(ordinals) = &mut spec.ordinals {
            ordinals.start.get_or_insert(0);
        }
        fill(&mut spec.pod_management_policy, ORDERED_READY);
        default_strategy(spec.update_strategy.get_or_insert_default());
        let retention = spec.persistent_volume_claim_retention_policy.get_or_insert_default();
        fill(&mut retention.when_deleted, RETAIN);
        fill(&mut retention.when_scaled, RETAIN);
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        pod_spec::set_template_defaults(&mut spec.template);
        spec.volume_claim_templates.iter_mut().flatten().for_each(claims::set_defaults);
    }

    fn prepare_create(&self, object: &mut StatefulSet, _: Context<'_>) {
        object.status = Some(StatefulSetStatus { available_replicas: Some(0), ..StatefulSetStatus::default() });
    }

    fn prepare_update(&self, new: &mut StatefulSet, old: &StatefulSet, _: Context<'_>) {
        new.status = old.status.clone();
    }

    fn generation(&self) -> Option<fn(new: &StatefulSet, old: &StatefulSet) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    /// The name becomes a part of host names.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        object_dns_label(name, prefix)
    }

    fn validate(&self, object: &StatefulSet) -> ErrorList {
        validation::validate_new(&object.spec)
    }

    fn validate_update(&self, new: &StatefulSet, old: &StatefulSet) -> ErrorList {
        validation::validate_change(&new.spec, &old.spec)
    }

    fn warnings(&self, new: &StatefulSet, old: Option<&StatefulSet>) -> Vec<String> {
        let (spec, old) = (&new.spec, old.map(|old| &old.spec));
        let mut warnings = Vec::new();
        if old.is_none_or(|old| !semantic::equal(spec, old)) {
            let path = Path::new("spec").child("template");
            let old = old.map(|old| &old.template);
            warnings.extend(replica_template::template_warnings(&path, &spec.template, old));
        }
        warnings.extend(claims::warnings(spec, old.is_some()));
        if spec.revision_history_limit.is_some_and(|limit| limit < 0) {
            let message = "a negative value retains all historical revisions; a value >= 0 is recommended";
            warnings.push(format!("spec.revisionHistoryLimit: {message}"));
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        const READY: Column = Column::new("Ready", "Number of the pod with ready state");
        const { &[NAME_COLUMN, READY, AGE_COLUMN, CONTAINERS_COLUMN, IMAGES_COLUMN] }
    }

    fn row(&self, object: &StatefulSet, now: Timestamp) -> Vec<Value> {
        let ready = object.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
        let [containers, images] = replica_template::container_cells(&object.spec.template);
        vec![
            object.metadata.name.clone().into(),
            format!("{ready}/{}", replicas(&object.spec)).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            containers,
            images,
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<StatefulSet>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec = old.spec.clone(),
            validate: |new, old| {
                let status = |set: &StatefulSet| set.status.clone().unwrap_or_default();
                validation::validate_status(&status(new), &status(old), &Path::new("status"))
            },
        }]
    }

    fn scale(&self) -> Option<ScaleSubresource<StatefulSet>> {
        Some(ScaleSubresource {
            replicas: |set| replicas(&set.spec),
            set_replicas: |set, replicas| set.spec.replicas = Some(replicas),
            status_replicas: |set| set.status.as_ref().map_or(0, |status| status.replicas),
            selector: |set| replica_template::selector_text(&set.spec.selector),
        })
    }
}

fn replicas(spec: &StatefulSetSpec) -> i32 {
    spec.replicas.unwrap_or(0)
}

/// A strategy of no type gets a rolling update; one of that type is only completed.
fn default_strategy(strategy: &mut StatefulSetUpdateStrategy) {
    if strategy.type_.as_deref().is_none_or(str::is_empty) {
        strategy.type_ = Some(ROLLING_UPDATE.to_owned());
        strategy.rolling_update.get_or_insert_default();
    }
    if let Some(rolling) = &mut strategy.rolling_update
        && strategy.type_.as_deref() == Some(ROLLING_UPDATE)
    {
        rolling.partition.get_or_insert(0);
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
    }
}

fn fill(field: &mut Option<String>, value: &str) {
    if field.as_deref().is_none_or(str::is_empty) {
        *field = Some(value.to_owned());
    }
}

#[cfg(test)]
mod tests;
