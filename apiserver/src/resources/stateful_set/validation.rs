//! What must be right with a StatefulSet: its spec, its changes and its status.

use api::field::{BadValue, Error, ErrorList, Path, go_json};
use api::names::dns1123_label;
use api::selector::label::{from_api, validate_labels};
use api::validate::meta::validate_annotations;
use k8s_openapi::api::apps::v1::{
    RollingUpdateStatefulSetStrategy, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
    StatefulSetStatus, StatefulSetUpdateStrategy,
};

use super::{DELETE, ON_DELETE, ORDERED_READY, PARALLEL, RETAIN, ROLLING_UPDATE, claims};
use crate::resources::replica_template::{self, shown_selector, validate_non_negative};
use crate::resources::{int_or_percent, pod_spec, replica_status, semantic};

pub(super) const FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                     'minReadySeconds' are forbidden";

/// What is not checked because it was stored before it was.
#[derive(Clone, Copy, Default)]
struct Tolerance<'a> {
    /// `serviceName` and `volumeClaimTemplates`, which cannot be put right any more.
    fixed_fields: bool,
    /// The spec of the template's pods.
    template: bool,
    /// What the spec was.
    old: Option<&'a StatefulSetSpec>,
}

/// What is wrong with a new spec.
pub(super) fn validate_new(spec: &StatefulSetSpec) -> ErrorList {
    validate_spec(spec, Tolerance::default(), &Path::new("spec"))
}

/// What is wrong with a changed spec.
pub(super) fn validate_change(new: &StatefulSetSpec, old: &StatefulSetSpec) -> ErrorList {
    let path = Path::new("spec");
    let mut tolerance = Tolerance { fixed_fields: true, template: false, old: Some(old) };
    tolerance.template = !validate_spec(old, tolerance, &path).is_empty();
    let mut errors = validate_spec(new, tolerance, &path);
    let fixed = StatefulSetSpec {
        min_ready_seconds: old.min_ready_seconds,
        ordinals: old.ordinals.clone(),
        persistent_volume_claim_retention_policy: old.persistent_volume_claim_retention_policy.clone(),
        replicas: old.replicas,
        revision_history_limit: old.revision_history_limit,
        template: old.template.clone(),
        update_strategy: old.update_strategy.clone(),
        ..new.clone()
    };
    if !semantic::equal(&fixed, old) {
        errors.push(Error::forbidden(&path, FIXED));
    }
    errors
}

fn validate_spec(spec: &StatefulSetSpec, tolerance: Tolerance<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(validate_pod_management(spec.pod_management_policy.as_deref(), &path.child("podManagementPolicy")));
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    errors.extend(validate_strategy(&strategy, &path.child("updateStrategy")));
    if let Some(policy) = &spec.persistent_volume_claim_retention_policy {
        errors.extend(validate_retention(policy, &path.child("persistentVolumeClaimRetentionPolicy")));
    }
    if !tolerance.fixed_fields {
        let claims = spec.volume_claim_templates.as_deref().unwrap_or_default();
        errors.extend(claims::validate(claims, &path.child("volumeClaimTemplates")));
    }
    errors.extend(validate_non_negative(super::replicas(spec).into(), &path.child("replicas")));
    errors.extend(validate_non_negative(spec.min_ready_seconds.unwrap_or(0).into(), &path.child("minReadySeconds")));
    let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
    errors.extend(validate_non_negative(start.into(), &path.child("ordinals").child("start")));
    let service = spec.service_name.as_deref().unwrap_or_default();
    if !tolerance.fixed_fields && !service.is_empty() {
        errors.push_invalid(&path.child("serviceName"), service, dns1123_label(service));
    }
    errors.extend(validate_template(spec, tolerance, path));
    errors
}

fn validate_pod_management(policy: Option<&str>, path: &Path) -> Option<Error> {
    match policy.unwrap_or_default() {
        "" => Some(Error::required(path, "")),
        ORDERED_READY | PARALLEL => None,
        other => Some(Error::invalid(path, other, format!("must be '{ORDERED_READY}' or '{PARALLEL}'"))),
    }
}

fn validate_strategy(strategy: &StatefulSetUpdateStrategy, path: &Path) -> ErrorList {
    let rolling_path = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("", _) => Error::required(path, "").into(),
        (ON_DELETE | ROLLING_UPDATE, None) => ErrorList::new(),
        (ON_DELETE, Some(rolling)) => {
            let detail = format!("only allowed for updateStrategy '{ROLLING_UPDATE}'");
            Error::invalid(&rolling_path, BadValue::Json(shown_rolling(rolling)), detail).into()
        }
        (ROLLING_UPDATE, Some(rolling)) => validate_rolling(rolling, &rolling_path),
        (other, rolling) => {
            let shown = int_or_percent::shown_strategy(other, rolling.as_ref().map(shown_rolling));
            Error::invalid(path, shown, format!("must be '{ROLLING_UPDATE}' or '{ON_DELETE}'")).into()
        }
    }
}

fn shown_rolling(rolling: &RollingUpdateStatefulSetStrategy) -> String {
    let (partition, unavailable) = (rolling.partition.unwrap_or(0), go_json(&rolling.max_unavailable));
    format!(r#"{{"Partition":{partition},"MaxUnavailable":{unavailable}}}"#)
}

fn validate_rolling(rolling: &RollingUpdateStatefulSetStrategy, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(validate_non_negative(rolling.partition.unwrap_or(0).into(), &path.child("partition")));
    if let Some(unavailable) = &rolling.max_unavailable {
        let path = path.child("maxUnavailable");
        errors.extend(int_or_percent::validate(unavailable, &path));
        if int_or_percent::number(unavailable) == 0 {
            errors.push(Error::invalid(&path, BadValue::json(unavailable), "cannot be 0"));
        }
        errors.extend(int_or_percent::validate_at_most_all(unavailable, &path));
    }
    errors
}

fn validate_retention(policy: &StatefulSetPersistentVolumeClaimRetentionPolicy, path: &Path) -> ErrorList {
    let policies = [(&policy.when_deleted, "whenDeleted"), (&policy.when_scaled, "whenScaled")];
    let policies = policies.map(|(policy, field)| (policy.as_deref().unwrap_or_default(), field));
    let unsupported = policies.into_iter().filter(|(policy, _)| ![RETAIN, DELETE].contains(policy));
    unsupported.map(|(policy, field)| Error::not_supported(&path.child(field), policy, &[RETAIN, DELETE])).collect()
}

/// What is wrong with the selector and the template below `path`.
fn validate_template(spec: &StatefulSetSpec, tolerance: Tolerance<'_>, path: &Path) -> ErrorList {
    let (selector_path, path) = (path.child("selector"), path.child("template"));
    let mut errors = replica_template::validate_selector(&spec.selector, "statefulset", &selector_path);
    match from_api(Some(&spec.selector)) {
        Err(_) => errors.push(Error::invalid(&selector_path, shown_selector(&spec.selector), "")),
        Ok(selector) => {
            errors.extend(replica_template::validate_match(&selector, &spec.template, &path));
            if tolerance.template {
                let meta = spec.template.metadata.clone().unwrap_or_default();
                errors.extend(validate_labels(meta.labels.as_ref(), &path.child("labels")));
                errors.extend(validate_annotations(meta.annotations.as_ref(), &path.child("annotations")));
            } else {
                let options = replica_template::options(tolerance.old.map(|old| &old.template));
                errors.extend(pod_spec::validate_template(&claims::with_volumes(spec), &path, &options));
            }
        }
    }
    errors.extend(replica_template::validate_endless(&spec.template, "StatefulSet", &path));
    errors
}

/// What is wrong with a changed status at `path`.
pub(super) fn validate_status(new: &StatefulSetStatus, old: &StatefulSetStatus, path: &Path) -> ErrorList {
    let number = |number: Option<i32>| i64::from(number.unwrap_or(0));
    let total = i64::from(new.replicas);
    let (ready, current) = (number(new.ready_replicas), number(new.current_replicas));
    let (updated, available) = (number(new.updated_replicas), number(new.available_replicas));
    let mut errors = replica_status::non_negative(
        &[
            ("replicas", total),
            ("readyReplicas", ready),
            ("currentReplicas", current),
            ("updatedReplicas", updated),
            ("availableReplicas", available),
            ("observedGeneration", new.observed_generation.unwrap_or(0)),
            ("collisionCount", number(new.collision_count)),
        ],
        path,
    );
    let parts = [
        ("readyReplicas", ready),
        ("currentReplicas", current),
        ("updatedReplicas", updated),
        ("availableReplicas", available),
    ];
    errors.extend(replica_status::at_most(&parts, total, "status.replicas", path));
    errors.extend(replica_status::at_most(&[("availableReplicas", available)], ready, "status.readyReplicas", path));
    errors.extend(replica_status::not_decremented(new.collision_count, old.collision_count, path));
    errors
}
