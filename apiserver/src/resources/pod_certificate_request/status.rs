//! How a request ends: which conditions there may be, and what else the status then says.

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::conditions;
use k8s_openapi::api::certificates::v1::{PodCertificateRequest, PodCertificateRequestStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::issuance;
use crate::resources::semantic;

const ISSUED: &str = "Issued";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";
const ENDS: [&str; 3] = [ISSUED, DENIED, FAILED];

/// How the request has ended, if it has.
pub(super) fn end(request: &PodCertificateRequest) -> Option<&'static str> {
    let conditions = conditions_of(request.status.as_ref()?);
    let is_true = |end: &str| conditions.iter().any(|shown| shown.type_ == end && shown.status == "True");
    ENDS.into_iter().find(|end| is_true(end))
}

pub(super) fn validate_update(new: &PodCertificateRequest, old: &PodCertificateRequest) -> ErrorList {
    let path = Path::new("status");
    let (status, old_status) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let errors = validate_conditions(conditions_of(&status), &path);
    if !errors.is_empty() {
        return errors;
    }
    let same = |expected: &PodCertificateRequestStatus, detail: &str| {
        let same = semantic::equal(&status, expected);
        if same { ErrorList::new() } else { Error::invalid(&path, BadValue::Omitted, detail).into() }
    };
    if end(old).is_some() {
        return same(&old_status, "immutable after PodCertificateRequest is issued, denied, or failed");
    }
    match end(new) {
        None => same(&old_status, "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\""),
        Some(ISSUED) => issuance::validate(&status, &old.spec, &path),
        Some(_) => {
            let conditions = status.conditions.clone();
            let expected = PodCertificateRequestStatus { conditions, ..Default::default() };
            let detail = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
            same(&expected, detail)
        }
    }
}

fn conditions_of(status: &PodCertificateRequestStatus) -> &[Condition] {
    status.conditions.as_deref().unwrap_or_default()
}

fn validate_conditions(shown: &[Condition], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut ends = 0;
    for (i, condition) in shown.iter().enumerate() {
        // Upstream makes the index a field of its own.
        let path = path.child("conditions").child(&format!("[{i}]"));
        if !ENDS.contains(&condition.type_.as_str()) {
            errors.push(Error::not_supported(&path.child("type"), &condition.type_, &ENDS));
            continue;
        }
        ends += 1;
        if ends > 1 {
            let detail = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.push(Error::invalid(&path.child("type"), &condition.type_, detail));
        }
        if condition.status != "True" {
            errors.push(Error::not_supported(&path.child("status"), &condition.status, &["True"]));
        }
    }
    errors.extend(conditions::validate_conditions(shown, &path.child("conditions")));
    errors
}
