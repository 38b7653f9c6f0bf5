//! What the scheduler is told beside affinity: tolerations, gates, groups, and claims of devices.

use std::collections::{BTreeMap, HashSet};

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use api::selector::label::validate_label_name;
use k8s_openapi::api::core::v1::{
    PodReadinessGate, PodResourceClaim, PodSchedulingGate, PodSchedulingGroup, Toleration,
};
use serde::Serialize;

use super::absent::text;
use super::annotations::MIRROR_POD;
use super::rules::{dns_label, dns_subdomain, present, qualified_name, supported};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn validate_tolerations(tolerations: &[Toleration], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, toleration) in tolerations.iter().enumerate() {
        let path = path.index(i);
        let (key, operator) = (text(&toleration.key), text(&toleration.operator));
        let (value, effect) = (text(&toleration.value), text(&toleration.effect));
        let (operator_path, effect_path) = (path.child("operator"), path.child("effect"));
        if !key.is_empty() {
            errors.extend(validate_label_name(key, &path.child("key")));
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(Error::invalid(&operator_path, BadValue::json(operator), detail));
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(Error::invalid(&effect_path, BadValue::json(effect), detail));
        }
        match operator {
            "" | "Equal" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    errors.push(Error::invalid(&operator_path, value, messages.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                errors.push(Error::invalid(&operator_path, value, "value must be empty when `operator` is 'Exists'"));
            }
            "Exists" => {}
            // Known, but behind a gate that is closed.
            "Lt" | "Gt" => {
                let operators = ["Equal", "Exists", "Lt", "Gt"];
                errors.push(Error::not_supported(&operator_path, BadValue::json(operator), &operators));
            }
            _ => errors.extend(supported(operator, &["Equal", "Exists"], &operator_path)),
        }
        if !effect.is_empty() {
            errors.extend(supported(effect, EFFECTS, &effect_path));
        }
    }
    errors
}

pub(super) fn validate_readiness_gates(gates: &[PodReadinessGate], path: &Path) -> ErrorList {
    let gates = gates.iter().enumerate();
    gates.flat_map(|(i, gate)| qualified_name(&gate.condition_type, &path.index(i).child("conditionType"))).collect()
}

pub(super) fn validate_scheduling_gates(gates: &[PodSchedulingGate], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, PodSchedulingGate { name }) in gates.iter().enumerate() {
        errors.extend(qualified_name(name, &path.index(i)));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.index(i), name));
        }
    }
    errors
}

pub(super) fn validate_group(group: &PodSchedulingGroup, path: &Path) -> ErrorList {
    let path = path.child("podGroupName");
    match &group.pod_group_name {
        Some(name) => dns_subdomain(name, &path),
        None => Error::invalid(&path, BadValue::null(), "must specify one of: `podGroupName`").into(),
    }
}

/// `annotations` are the pod's.
pub(super) fn validate_claims(
    claims: &[PodResourceClaim],
    annotations: Option<&BTreeMap<String, String>>,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    let is_static = annotations.is_some_and(|annotations| annotations.contains_key(MIRROR_POD));
    for (i, claim) in claims.iter().enumerate() {
        if is_static {
            errors.push(Error::forbidden(&Path::new(""), "static pods do not support resource claims"));
            continue;
        }
        let path = path.index(i);
        let name_path = path.child("name");
        if let Some(missing) = present(&claim.name, &name_path) {
            errors.push(missing);
        } else if seen.insert(&claim.name) {
            errors.extend(dns_label(&claim.name, &name_path));
        } else {
            errors.push(Error::duplicate(&name_path, &claim.name));
        }
        let detail = match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
            (Some(_), Some(_)) => {
                Some("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
            }
            (None, None) => Some("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            _ => None,
        };
        errors.extend(detail.map(|detail| Error::invalid(&path, shown(claim), detail)));
        let references = [
            ("resourceClaimName", &claim.resource_claim_name),
            ("resourceClaimTemplateName", &claim.resource_claim_template_name),
        ];
        for (field, name) in references {
            if let Some(name) = name {
                errors.extend(dns_subdomain(name, &path.child(field)));
            }
        }
    }
    errors
}

/// A claim as upstream shows it, which is by the names of its Go fields.
fn shown(claim: &PodResourceClaim) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shown<'a> {
        name: &'a str,
        resource_claim_name: Option<&'a str>,
        resource_claim_template_name: Option<&'a str>,
    }
    BadValue::json(&Shown {
        name: &claim.name,
        resource_claim_name: claim.resource_claim_name.as_deref(),
        resource_claim_template_name: claim.resource_claim_template_name.as_deref(),
    })
}
