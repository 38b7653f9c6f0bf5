//! Defaults. Applying them twice changes nothing.
//!
//! A template gets fewer of them than a pod: what is only filled in when a pod is made can still be chosen then, and
//! does not look like a change of the template.

mod image;
mod pod;
mod volume;

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{
    Container, HTTPGetAction, ObjectFieldSelector, PodSpec, PodTemplateSpec, Probe, ResourceFieldSelector,
    ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{ephemeral, gates};
use image::pull_policy;
pub(crate) use pod::set_pod_defaults;
pub(in crate::resources) use volume::set_azure_disk_defaults;

/// How long a pod may take to end.
const GRACE_PERIOD_SECONDS: i64 = 30;

/// Fills in the defaults of a pod spec that hold in templates, too (`SetDefaults_PodSpec` and those of everything
/// below), and drops what is behind a closed feature gate. Pods get [`set_pod_defaults`] instead.
pub(crate) fn set_defaults(spec: &mut PodSpec) {
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(GRACE_PERIOD_SECONDS);
    set_service_account(spec);
    gates::drop_disabled(spec);
    spec.volumes.iter_mut().flatten().for_each(volume::set_defaults);
    spec.containers.iter_mut().for_each(set_container_defaults);
    spec.init_containers.iter_mut().flatten().for_each(set_container_defaults);
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        ephemeral::change_common_part(container, set_container_defaults);
    }
    spec.overhead.iter_mut().for_each(round_list);
    spec.resources.iter_mut().for_each(round_requirements);
}

/// The same for the spec of a template, which is there afterwards, as its metadata is.
pub(crate) fn set_template_defaults(template: &mut PodTemplateSpec) {
    template.metadata.get_or_insert_default();
    set_defaults(template.spec.get_or_insert_default());
}

/// Sets the text where it is absent or empty.
pub(in crate::resources) fn fill(field: &mut Option<String>, value: &str) {
    if field.as_deref().is_none_or(str::is_empty) {
        *field = Some(value.to_owned());
    }
}

/// `serviceAccount` is what `serviceAccountName` was called, and says the same.
fn set_service_account(spec: &mut PodSpec) {
    if let Some(old_name) = spec.service_account.take().filter(|name| !name.is_empty()) {
        fill(&mut spec.service_account_name, &old_name);
    }
    spec.service_account = spec.service_account_name.clone().filter(|name| !name.is_empty());
}

fn set_container_defaults(container: &mut Container) {
    let policy = pull_policy(container.image.as_deref().unwrap_or_default());
    fill(&mut container.image_pull_policy, policy);
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
    }
    for source in container.env.iter_mut().flatten().filter_map(|variable| variable.value_from.as_mut()) {
        source.field_ref.iter_mut().for_each(set_field_defaults);
        source.resource_field_ref.iter_mut().for_each(set_resource_field_defaults);
    }
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(set_probe_defaults);
    if let Some(lifecycle) = &mut container.lifecycle {
        let hooks = [&mut lifecycle.post_start, &mut lifecycle.pre_stop];
        hooks.into_iter().flatten().filter_map(|hook| hook.http_get.as_mut()).for_each(set_http_defaults);
    }
    container.resources.get_or_insert_default();
    container.resources.iter_mut().for_each(round_requirements);
}

fn set_probe_defaults(probe: &mut Probe) {
    let numbers = [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ];
    for (field, value) in numbers {
        if field.unwrap_or_default() == 0 {
            *field = Some(value);
        }
    }
    probe.http_get.iter_mut().for_each(set_http_defaults);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn set_http_defaults(action: &mut HTTPGetAction) {
    fill(&mut action.path, "/");
    fill(&mut action.scheme, "HTTP");
}

fn set_field_defaults(reference: &mut ObjectFieldSelector) {
    fill(&mut reference.api_version, "v1");
}

/// A divisor is always stated; 0 stands for 1.
fn set_resource_field_defaults(reference: &mut ResourceFieldSelector) {
    let divisor = reference.divisor.get_or_insert_with(|| ApiQuantity("0".to_owned()));
    round(divisor, None);
}

fn round_requirements(requirements: &mut ResourceRequirements) {
    requirements.limits.iter_mut().for_each(round_list);
    requirements.requests.iter_mut().for_each(round_list);
}

/// Quantities of resources are kept in thousandths at the finest.
pub(in crate::resources) fn round_list(quantities: &mut BTreeMap<String, ApiQuantity>) {
    quantities.values_mut().for_each(|quantity| round(quantity, Some(-3)));
}

/// Writes a quantity as it is stored, rounded up to a power of ten where one is given. What is none stays as it is, for
/// validation to name.
fn round(quantity: &mut ApiQuantity, scale: Option<i8>) {
    let Ok(mut parsed) = Quantity::try_from(&*quantity) else { return };
    if let Some(scale) = scale {
        parsed.round_up(scale);
    }
    *quantity = ApiQuantity::from(&parsed);
}
