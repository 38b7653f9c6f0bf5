//! Pods: containers that run together on one node.

use api::field::{ErrorList, Path};
use api::names;
use api::table::RowCondition;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::resources::{pod_spec, semantic};
use crate::strategy::{Column, Context, Grace, Names, SelectableField, Strategy, UpdateSubresource};

pub mod binding;
pub mod eviction;
mod prepare;
mod resize;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod update;
mod validation;

pub(crate) struct Pods;

impl Strategy for Pods {
    type Object = Pod;

    fn names(&self) -> Names {
        Names::of::<Pod>("pod", true).short(&["po"]).within(&["all"])
    }

    fn default(&self, object: &mut Pod) {
        pod_spec::set_pod_defaults(object.spec.get_or_insert_default());
    }

    fn prepare_create(&self, object: &mut Pod, context: Context<'_>) {
        prepare::create(object, context.now);
    }

    fn prepare_update(&self, new: &mut Pod, old: &Pod, _: Context<'_>) {
        prepare::update(new, old);
    }

    fn generation(&self) -> Option<fn(new: &Pod, old: &Pod) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &Pod) -> ErrorList {
        pod_spec::validate_new_pod(&validation::spec_of(object), &object.metadata)
    }

    fn validate_update(&self, new: &Pod, old: &Pod) -> ErrorList {
        update::validate(new, old)
    }

    /// Updates of pods, which machines make many of, are not looked at.
    fn warnings(&self, new: &Pod, old: Option<&Pod>) -> Vec<String> {
        if old.is_some() {
            return Vec::new();
        }
        let messages = names::dns1123_label(new.metadata.name.as_deref().unwrap_or_default());
        let mut warnings = Vec::new();
        if !messages.is_empty() {
            warnings.push(format!(
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is \
                 recommended: [{}]",
                messages.join(" ")
            ));
        }
        let spec = validation::spec_of(new);
        warnings.extend(pod_spec::warnings(&Path::nil(), &spec, &new.metadata, None));
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        table::COLUMNS
    }

    fn row(&self, object: &Pod, now: Timestamp) -> Vec<Value> {
        table::row(object, now)
    }

    fn row_conditions(&self, object: &Pod) -> Vec<RowCondition> {
        table::row_conditions(object)
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const {
            &[
                SelectableField { absent: "false", ..SelectableField::at("spec.hostNetwork") },
                SelectableField::at("spec.nodeName"),
                SelectableField::at("spec.restartPolicy"),
                SelectableField::at("spec.schedulerName"),
                SelectableField::at("spec.serviceAccountName"),
                SelectableField::at("status.nominatedNodeName"),
                SelectableField::at("status.phase"),
                SelectableField::at("status.podIP"),
            ]
        }
    }

    fn updates(&self) -> Vec<UpdateSubresource<Pod>> {
        vec![
            UpdateSubresource { name: "status", prepare: prepare::update_status, validate: status::validate },
            UpdateSubresource {
                name: "ephemeralcontainers",
                prepare: prepare::update_ephemeral_containers,
                validate: validation::validate_ephemeral_containers,
            },
            UpdateSubresource { name: "resize", prepare: prepare::resize, validate: resize::validate },
        ]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }

    /// As long as the client says, or the pod itself; at once if it runs on no node or has ended (`CheckGracefulDelete`).
    fn grace(&self, object: &Pod, requested: Option<i64>) -> Grace {
        let spec = validation::spec_of(object);
        let phase = object.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let unscheduled = spec.node_name.as_deref().unwrap_or_default().is_empty();
        if unscheduled || matches!(phase, "Succeeded" | "Failed") {
            return Grace::Immediate;
        }
        match requested.or(spec.termination_grace_period_seconds).unwrap_or(0) {
            0 => Grace::Immediate,
            seconds if seconds < 0 => Grace::Seconds(1),
            seconds => Grace::Seconds(seconds),
        }
    }
}
