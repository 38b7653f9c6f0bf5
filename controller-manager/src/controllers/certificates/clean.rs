//! Deletes requests that are over, and those that nobody cared for.
//!
//! A request stays for an hour after it was denied, failed, or got its certificate, but no longer than the certificate is
//! valid; and for a day while it waits for approval or, once approved, for its certificate.

use std::sync::Arc;
use std::time::Duration;

use client::cache::Cache;
use client::resource::Key;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use x509_parser::pem::parse_x509_pem;

use super::{APPROVED, DENIED, FAILED, certificate, conditions};
use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

/// How long what is over stays.
const OVER: Duration = Duration::from_secs(60 * 60);

/// How long what is not over stays.
const WAITING: Duration = Duration::from_secs(24 * 60 * 60);

/// The controller.
pub struct Cleaning;

impl Controller for Cleaning {
    const NAME: &'static str = "certificatesigningrequest-cleaner-controller";
    type Observed = Arc<CertificateSigningRequest>;

    fn watches(&self) -> Watches {
        Watches::on::<CertificateSigningRequest>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Arc<CertificateSigningRequest>> {
        let object = cache.get::<CertificateSigningRequest>("", &key.name)?;
        object.metadata.deletion_timestamp.is_none().then_some(object)
    }

    fn reconcile(&self, object: &Arc<CertificateSigningRequest>, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        let Some(end) = end(object) else { return plan };
        match Duration::try_from(end.duration_since(moment.now)) {
            Ok(left) if !left.is_zero() => plan.look_again(left),
            _ => {
                plan.delete(&**object);
            }
        }
        plan
    }
}

/// When a request goes, as far as that can be told.
fn end(object: &CertificateSigningRequest) -> Option<Timestamp> {
    let after = |time: Timestamp, delay: Duration| time.saturating_add(delay).unwrap_or(Timestamp::MAX);
    if conditions(object).is_empty() {
        let created = object.metadata.creation_timestamp.as_ref()?.0;
        return Some(after(created, WAITING));
    }
    let of_condition = |condition: &CertificateSigningRequestCondition| {
        let (delay, expiry) = match (condition.type_.as_str(), certificate(object)) {
            (APPROVED, Some(certificate)) => (OVER, expiry(certificate)),
            (APPROVED, None) => (WAITING, None),
            (DENIED | FAILED, _) => (OVER, None),
            _ => return None,
        };
        let updated = condition.last_update_time.as_ref().map(|time| after(time.0, delay));
        updated.into_iter().chain(expiry).min()
    };
    conditions(object).iter().filter_map(of_condition).min()
}

/// Until when a certificate in PEM is valid. Of several, the first one counts.
fn expiry(pem: &[u8]) -> Option<Timestamp> {
    let (_, block) = parse_x509_pem(pem).ok()?;
    let seconds = block.parse_x509().ok()?.validity().not_after.timestamp();
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::ByteString;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::controllers::certificates::samples::{object, with_condition};
    use crate::testing::{World, check_converges, nobody_else};

    const NOON: Timestamp = Timestamp::constant(1_772_366_400, 0);

    fn minutes_ago(minutes: i64) -> Timestamp {
        NOON.checked_sub(SignedDuration::from_mins(minutes)).unwrap()
    }

    /// A request that was created and has conditions that were updated so many minutes before noon.
    fn request(
        created: i64,
        conditions: &[(&str, Option<i64>)],
        certificate: Option<&str>,
    ) -> CertificateSigningRequest {
        let mut asked = object("asked", "kubernetes.io/kube-apiserver-client", "", &["client auth"]);
        asked.metadata.creation_timestamp = Some(Time(minutes_ago(created)));
        for (kind, updated) in conditions {
            asked = with_condition(asked, kind, updated.map(minutes_ago));
        }
        if let Some(certificate) = certificate {
            asked.status.get_or_insert_default().certificate = Some(ByteString(certificate.into()));
        }
        asked
    }

    /// A certificate that ends with a day of March 2026.
    fn certificate_until(day: u8) -> String {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2026, 3, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    /// Checks that a request stays for so many minutes after noon; for ever, if that is `None`.
    fn check(object: CertificateSigningRequest, minutes: Option<i64>) {
        let mut world = World::new(Cleaning);
        world.add(object.clone());
        world.settle();
        let is_there = |world: &World<Cleaning>| !world.list::<CertificateSigningRequest>().is_empty();
        let Some(minutes) = minutes else {
            world.pass(Duration::from_secs(400 * 24 * 3600));
            world.settle();
            assert!(is_there(&world), "{object:#?}");
            return;
        };
        if minutes > 0 {
            assert!(is_there(&world), "{object:#?}");
            world.pass(Duration::from_secs(u64::try_from(minutes * 60 - 1).unwrap()));
            world.settle();
            assert!(is_there(&world), "{object:#?}");
            world.pass(Duration::from_secs(1));
            world.settle();
        }
        assert!(!is_there(&world), "{object:#?}");
    }

    #[test]
    fn requests_go_when_they_are_over() {
        check(request(0, &[], None), Some(1440));
        check(request(1441, &[], None), Some(0));
        check(request(1441, &[("Denied", Some(50))], None), Some(10));
        check(request(1, &[("Denied", Some(61))], None), Some(0));
        check(request(1, &[("Approved", Some(120)), ("Failed", Some(50))], None), Some(10));
        check(request(1, &[("Approved", Some(50))], None), Some(1390));
        let valid = certificate_until(20);
        check(request(1, &[("Approved", Some(50))], Some(&valid)), Some(10));
        check(request(1, &[("Approved", Some(61))], Some(&valid)), Some(0));
        check(request(1, &[("Approved", Some(61))], Some("garbage")), Some(0));
        check(request(1, &[("Approved", Some(50))], Some("garbage")), Some(10));
    }

    #[test]
    fn a_certificate_that_is_no_longer_valid_ends_its_request() {
        check(request(1, &[("Approved", Some(50))], Some(&certificate_until(1))), Some(0));
        check(request(1, &[("Approved", None)], Some(&certificate_until(2))), Some(720));
        check(request(1, &[("Failed", None)], Some(&certificate_until(1))), None);
        check(request(9999, &[("Checked", Some(9999))], None), None);
    }

    #[test]
    fn it_comes_to_rest() {
        let setup = || {
            let mut world = World::new(Cleaning);
            world.add(request(1441, &[], None));
            let mut young = request(1, &[], None);
            young.metadata.name = Some("young".to_owned());
            world.add(young);
            world
        };
        assert_eq!(check_converges(setup, nobody_else).list::<CertificateSigningRequest>().len(), 1);
    }
}
