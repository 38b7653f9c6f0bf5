//! The conditions of a request: which there are, what of them is kept, and when they changed.

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

pub(super) const APPROVED: &str = "Approved";
pub(super) const DENIED: &str = "Denied";
pub(super) const FAILED: &str = "Failed";

/// All conditions of a request.
pub(super) fn all(request: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// The conditions of one type.
pub(super) fn of_type<'a>(
    request: &'a CertificateSigningRequest,
    kind: &str,
) -> Vec<&'a CertificateSigningRequestCondition> {
    all(request).iter().filter(|condition| condition.type_ == kind).collect()
}

/// Makes the conditions of one type what they were, unless some were added or removed.
pub(super) fn preserve(new: &mut CertificateSigningRequest, old: &CertificateSigningRequest, kind: &str) {
    let before = of_type(old, kind);
    if of_type(new, kind).len() != before.len() {
        return;
    }
    let conditions = new.status.iter_mut().flat_map(|status| &mut status.conditions).flatten();
    for (condition, before) in conditions.filter(|condition| condition.type_ == kind).zip(before) {
        *condition = before.clone();
    }
}

/// Writes down when conditions were updated and changed, where that is not stated.
pub(super) fn stamp(new: &mut CertificateSigningRequest, old: &CertificateSigningRequest, now: Timestamp) {
    for condition in new.status.iter_mut().flat_map(|status| &mut status.conditions).flatten() {
        condition.last_update_time.get_or_insert(Time(now));
        if condition.last_transition_time.is_none() {
            let same = |before: &&CertificateSigningRequestCondition| {
                before.type_ == condition.type_
                    && before.status == condition.status
                    && before.last_transition_time.is_some()
            };
            let before = all(old).iter().find(same).and_then(|before| before.last_transition_time.clone());
            condition.last_transition_time = before.or(Some(Time(now)));
        }
    }
}
