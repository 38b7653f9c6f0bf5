//! Signs the approved requests that name a built-in signer, if they keep its rules; else it says which they break.
//!
//! A request is signed once. It is valid for as long as it asked for, within bounds, and from a little earlier on, for
//! clocks that are behind.

use std::sync::Arc;
use std::time::Duration;

use client::cache::Cache;
use client::resource::Key;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::request::Request;
use super::{APPROVED, DENIED, FAILED, certificate, conditions, has_condition, rules, signer};
use crate::certify::BACKDATED;
use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Certification, Effect, Plan, Target};

/// The shortest time for which a certificate is valid.
const SHORTEST: Duration = Duration::from_secs(10 * 60);

/// A certificate that is valid for a shorter time is valid for all of it after it was signed.
const SHORT: Duration = Duration::from_secs(8 * 60 * 60);

/// The longest time for which a certificate is valid, and that for which it is if it does not ask for another.
pub const ONE_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The controller.
pub struct Signing {
    longest: Duration,
}

impl Signing {
    /// Signs certificates that are valid for at most this time, and for this time if they do not ask for another.
    #[must_use]
    pub fn new(longest: Duration) -> Signing {
        Signing { longest }
    }

    fn duration(&self, asked: Option<i32>) -> Duration {
        let Some(asked) = asked else { return self.longest };
        let asked = Duration::from_secs(u64::try_from(asked).unwrap_or(0));
        if asked > self.longest { self.longest } else { asked.max(SHORTEST) }
    }
}

impl Default for Signing {
    fn default() -> Signing {
        Signing::new(ONE_YEAR)
    }
}

impl Controller for Signing {
    const NAME: &'static str = "certificatesigningrequest-signing-controller";
    type Observed = Arc<CertificateSigningRequest>;

    fn watches(&self) -> Watches {
        Watches::on::<CertificateSigningRequest>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Arc<CertificateSigningRequest>> {
        let object = cache.get::<CertificateSigningRequest>("", &key.name)?;
        let is_approved = has_condition(&object, APPROVED) && !has_condition(&object, DENIED);
        (is_approved && !has_failed(&object) && certificate(&object).is_none()).then_some(object)
    }

    fn reconcile(&self, object: &Arc<CertificateSigningRequest>, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        let usages = object.spec.usages.clone().unwrap_or_default();
        // The API server lets in no request that cannot be read.
        let Some(request) = Request::from_pem(&object.spec.request.0) else { return plan };
        let kept = match object.spec.signer_name.as_str() {
            signer::API_SERVER_CLIENT => rules::api_server_client(&usages),
            signer::KUBELET_CLIENT => rules::kubelet_client(&request, &usages),
            signer::KUBELET_SERVING => rules::kubelet_serving(&request, &usages),
            signer::LEGACY_UNKNOWN => Ok(()),
            _ => return plan,
        };
        if let Err(message) = kept {
            fail(&mut plan, object, message, moment.now);
            return plan;
        }
        let duration = self.duration(object.spec.expiration_seconds);
        let backdated = moment.now.saturating_sub(BACKDATED).unwrap_or(Timestamp::MIN);
        let from = if duration < SHORT { moment.now } else { backdated };
        let certification = Certification {
            version: object.metadata.resource_version.clone().unwrap_or_default(),
            request: String::from_utf8_lossy(&object.spec.request.0).into_owned(),
            usages,
            not_before: backdated,
            not_after: from.saturating_add(duration).unwrap_or(Timestamp::MAX),
        };
        plan.act(Target::of(&**object), Effect::Certify(certification));
        plan
    }
}

fn has_failed(object: &CertificateSigningRequest) -> bool {
    let true_enough = |condition: &CertificateSigningRequestCondition| matches!(condition.status.as_str(), "" | "True");
    conditions(object).iter().any(|condition| condition.type_ == FAILED && true_enough(condition))
}

/// Says that a request will not be signed.
fn fail(plan: &mut Plan, object: &CertificateSigningRequest, message: String, now: Timestamp) {
    let mut failed = object.clone();
    let status = failed.status.get_or_insert_default();
    status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: FAILED.to_owned(),
        status: "True".to_owned(),
        reason: Some("SignerValidationFailure".to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: None,
    });
    plan.update_status(object, &failed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::certificates::samples::{names, object, pem, with_condition};
    use crate::testing::{World, check_converges, nobody_else};

    const CLIENT: [&str; 2] = ["digital signature", "client auth"];
    const SERVING: [&str; 2] = ["digital signature", "server auth"];

    fn approved(object: CertificateSigningRequest) -> CertificateSigningRequest {
        with_condition(object, APPROVED, None)
    }

    fn certification(object: CertificateSigningRequest, signing: Signing) -> Option<Certification> {
        let mut world = World::new(signing);
        let added = world.add(object);
        let plan = world.plan(&Key::to(&*added))?;
        match &plan.actions.first()?.effect {
            Effect::Certify(certification) => Some(certification.clone()),
            other => panic!("{other:#?}"),
        }
    }

    #[test]
    fn approved_requests_are_signed_or_fail() {
        let client = pem("system:node:n1", &["system:nodes"], &[]);
        let serving = pem("system:node:n1", &["system:nodes"], &names(&["n1"], &[], &[], &[]));
        let user = pem("ann", &["dev", "ops"], &[]);
        let setup = || {
            let mut world = World::new(Signing::default());
            world.add(approved(object("client", signer::KUBELET_CLIENT, &client, &CLIENT)));
            world.add(approved(object("serving", signer::KUBELET_SERVING, &serving, &SERVING)));
            world.add(approved(object("user", signer::API_SERVER_CLIENT, &user, &CLIENT)));
            world.add(approved(object("anything", signer::LEGACY_UNKNOWN, &user, &["cert sign"])));
            world.add(approved(object("no-client", signer::KUBELET_CLIENT, &serving, &CLIENT)));
            world.add(approved(object("no-serving", signer::KUBELET_SERVING, &client, &SERVING)));
            world.add(approved(object("no-user", signer::API_SERVER_CLIENT, &user, &SERVING)));
            world
        };
        let world = check_converges(setup, nobody_else);
        let told: Vec<String> = world.list::<CertificateSigningRequest>().iter().map(|object| tell(object)).collect();
        let expected = [
            "anything signed",
            "client signed",
            "no-client SignerValidationFailure: DNS subjectAltNames are not allowed",
            "no-serving SignerValidationFailure: DNS or IP subjectAltName is required",
            "no-user SignerValidationFailure: invalid usage for client certificate: server auth",
            "serving signed",
            "user signed",
        ];
        assert_eq!(told, expected);
    }

    fn tell(object: &CertificateSigningRequest) -> String {
        assert_eq!(conditions(object)[0].type_, APPROVED);
        let name = object.metadata.name.as_deref().unwrap();
        let Some(failed) = conditions(object).iter().find(|condition| condition.type_ == FAILED) else {
            return format!("{name} {}", if certificate(object).is_some() { "signed" } else { "open" });
        };
        assert!(certificate(object).is_none() && failed.status == "True" && failed.last_update_time.is_some());
        format!("{name} {}: {}", failed.reason.as_deref().unwrap(), failed.message.as_deref().unwrap())
    }

    #[test]
    fn nothing_else_is_signed() {
        let user = pem("ann", &[], &[]);
        let asked = object("user", signer::API_SERVER_CLIENT, &user, &CLIENT);
        let mut signed = approved(asked.clone());
        signed.status.get_or_insert_default().certificate = Some(k8s_openapi::ByteString(b"signed".to_vec()));
        let objects = [
            with_condition(approved(asked.clone()), DENIED, None),
            with_condition(approved(asked.clone()), FAILED, None),
            approved(object("user", "example.com/own", &user, &CLIENT)),
            approved(object("user", signer::API_SERVER_CLIENT, "garbage", &CLIENT)),
            asked,
            signed,
        ];
        for object in objects {
            assert_eq!(certification(object.clone(), Signing::default()), None, "{object:#?}");
        }
    }

    #[test]
    fn certificates_are_valid_for_as_long_as_asked_within_bounds() {
        let user = pem("ann", &[], &[]);
        // The world begins at noon.
        let check = |asked: Option<i32>, longest: Duration, until: &str| {
            let mut object = approved(object("user", signer::API_SERVER_CLIENT, &user, &CLIENT));
            object.spec.expiration_seconds = asked;
            let certification = certification(object, Signing::new(longest)).unwrap();
            assert_eq!(certification.not_before.to_string(), "2026-03-01T11:55:00Z");
            assert_eq!(certification.not_after.to_string(), until, "{asked:?}");
            assert_eq!((certification.request, certification.usages), (user.clone(), CLIENT.map(str::to_owned).into()));
        };
        check(None, ONE_YEAR, "2027-03-01T11:55:00Z");
        check(Some(i32::MAX), ONE_YEAR, "2027-03-01T11:55:00Z");
        check(Some(28_800), ONE_YEAR, "2026-03-01T19:55:00Z");
        check(Some(28_799), ONE_YEAR, "2026-03-01T19:59:59Z");
        check(Some(600), ONE_YEAR, "2026-03-01T12:10:00Z");
        check(Some(1), ONE_YEAR, "2026-03-01T12:10:00Z");
        check(Some(-1), ONE_YEAR, "2026-03-01T12:10:00Z");
        check(Some(7200), Duration::from_secs(3600), "2026-03-01T13:00:00Z");
        check(None, Duration::from_secs(3600), "2026-03-01T13:00:00Z");
    }
}
