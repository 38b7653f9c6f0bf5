//! Who approves, signs or vouches for certificates may do so for their signer.
//!
//! What always holds: whether somebody may is asked of the signer that is stored, not of one that a request would make of it.
//! Rights to a domain, such as `example.com/*`, are rights to all its signers. Nobody can ask for a certificate for
//! `system:masters` to the API server.

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, ClusterTrustBundle};

use super::{Operation, Plugin, Review, typed};
use crate::authn::Identity;
use crate::authz::{Attributes, Authorizer, Decision};
use crate::object::Object;
use crate::resources::organizations;

const REQUESTS: &str = "certificates.k8s.io/certificatesigningrequests";
const BUNDLES: &str = "certificates.k8s.io/clustertrustbundles";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

pub(super) struct CertificateApproval;

pub(super) struct CertificateSigning;

pub(super) struct ClusterTrustBundleAttest;

pub(super) struct CertificateSubjectRestriction;

impl Plugin for CertificateApproval {
    fn handles(&self, review: &Review<'_>) -> bool {
        &*review.call.resource.storage.path == REQUESTS && review.subresource == "approval"
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let old = old.and_then(typed::<CertificateSigningRequest>);
        let refused = old.map(|old| &old.spec.signer_name).filter(|signer| !may(review, "approve", signer));
        let answer = refused.map_or(Ok(()), |signer| {
            let why = format!("user not permitted to approve requests with signerName \"{signer}\"");
            Err(review.forbidden(object, why))
        });
        async { answer }.boxed()
    }
}

impl Plugin for CertificateSigning {
    fn handles(&self, review: &Review<'_>) -> bool {
        &*review.call.resource.storage.path == REQUESTS && review.subresource == "status"
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let request = typed::<CertificateSigningRequest>;
        let mut answer = Ok(());
        if let (Some(new), Some(old)) = (request(object), old.and_then(request)) {
            let signer = &old.spec.signer_name;
            if verdict(new) != verdict(old) && !may(review, "sign", signer) {
                let why = format!("user not permitted to sign requests with signerName \"{signer}\"");
                answer = Err(review.forbidden(object, why));
            }
        }
        async { answer }.boxed()
    }
}

impl Plugin for ClusterTrustBundleAttest {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of(BUNDLES)
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let bundle = typed::<ClusterTrustBundle>;
        let mut answer = Ok(());
        if let Some(new) = bundle(object)
            && let Some(signer) = new.spec.signer_name.as_deref().filter(|signer| !signer.is_empty())
            && !old.and_then(bundle).is_some_and(|old| only_for_garbage_collection(new, old))
            && !may(review, "attest", signer)
        {
            let why = format!("user not permitted to attest for signerName \"{signer}\"");
            answer = Err(review.forbidden(object, why));
        }
        async { answer }.boxed()
    }
}

impl Plugin for CertificateSubjectRestriction {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of(REQUESTS) && review.operation == Operation::Create
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let request = typed::<CertificateSigningRequest>(object);
        let request = request.filter(|request| request.spec.signer_name == CLIENT_SIGNER);
        let answer = match request.map(|request| organizations(&request.spec.request.0)) {
            None => Ok(()),
            Some(Err(why)) => Err(review.forbidden(object, format!("failed to parse CSR: {why}"))),
            Some(Ok(groups)) if groups.iter().any(|group| group == MASTERS) => {
                let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
                Err(review.forbidden(object, why))
            }
            Some(Ok(_)) => Ok(()),
        };
        async { answer }.boxed()
    }
}

/// What signing, or refusing to, changes.
fn verdict(request: &CertificateSigningRequest) -> impl PartialEq + use<'_> {
    let status = request.status.as_ref();
    let certificate = status.and_then(|status| status.certificate.as_ref()).map(|certificate| certificate.0.as_slice());
    let conditions = status.and_then(|status| status.conditions.as_deref());
    (certificate.unwrap_or_default(), conditions.unwrap_or_default())
}

/// Whoever ends objects vouches for nothing.
fn only_for_garbage_collection(new: &ClusterTrustBundle, old: &ClusterTrustBundle) -> bool {
    let mut alike = new.clone();
    let meta = &mut alike.metadata;
    meta.owner_references.clone_from(&old.metadata.owner_references);
    meta.finalizers.clone_from(&old.metadata.finalizers);
    meta.resource_version.clone_from(&old.metadata.resource_version);
    meta.managed_fields.clone_from(&old.metadata.managed_fields);
    alike == *old
}

/// Whether who asks may do that for a signer. The server itself may.
fn may(review: &Review<'_>, verb: &str, signer: &str) -> bool {
    let authorizer = &*review.call.engine.access().authorizer;
    review.call.identity.is_none_or(|identity| is_allowed(authorizer, identity, verb, signer))
}

/// Whether somebody may do that for a signer, or for all of its domain.
fn is_allowed(authorizer: &dyn Authorizer, identity: &Identity, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    [signer.to_owned(), format!("{domain}/*")].into_iter().any(|name| {
        let attributes = Attributes {
            verb: verb.to_owned(),
            group: "certificates.k8s.io".to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            ..Attributes::default()
        };
        matches!(authorizer.authorize(identity, &attributes), Decision::Allow(_))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::authz::Rules;

    /// Allows one verb for what has one name.
    struct Only(&'static str, &'static str);

    impl Authorizer for Only {
        fn authorize(&self, _: &Identity, attributes: &Attributes) -> Decision {
            let asked = (&*attributes.group, &*attributes.resource, &*attributes.verb, &*attributes.name);
            if asked == ("certificates.k8s.io", "signers", self.0, self.1) {
                return Decision::allow();
            }
            Decision::NoOpinion(String::new())
        }

        fn rules(&self, _: &Identity, _: &str) -> Rules {
            Rules::default()
        }
    }

    #[test]
    fn rights_to_a_domain_are_rights_to_its_signers() {
        let check = |only: Only, signer: &str, expected: bool| {
            let identity =
                Identity { user: "jane".to_owned(), uid: String::new(), groups: Vec::new(), extra: BTreeMap::new() };
            assert_eq!(is_allowed(&only, &identity, "sign", signer), expected, "{signer}");
        };
        check(Only("sign", "example.com/web"), "example.com/web", true);
        check(Only("sign", "example.com/*"), "example.com/web", true);
        check(Only("sign", "example.com/other"), "example.com/web", false);
        check(Only("sign", "example.org/*"), "example.com/web", false);
        check(Only("approve", "example.com/web"), "example.com/web", false);
    }

    #[test]
    fn only_certificates_and_conditions_are_verdicts() {
        let request = |status: Value| -> CertificateSigningRequest {
            let spec = json!({"request": "", "signerName": "example.com/web"});
            serde_json::from_value(json!({"metadata": {"name": "r"}, "spec": spec, "status": status})).unwrap()
        };
        let check = |one: Value, other: Value, expected: bool| {
            let (one, other) = (request(one), request(other));
            let same = verdict(&one) == verdict(&other);
            assert_eq!(same, expected);
        };
        check(json!(null), json!({}), true);
        check(json!({}), json!({"conditions": []}), true);
        check(json!({}), json!({"certificate": "YQ=="}), false);
        check(json!({}), json!({"conditions": [{"type": "Failed", "status": "True"}]}), false);
    }

    #[test]
    fn bundles_that_only_lose_owners_are_not_vouched_for() {
        let bundle = |metadata: Value, text: &str| -> ClusterTrustBundle {
            let spec = json!({"signerName": "example.com/web", "trustBundle": text});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
        };
        let old = bundle(json!({"name": "b", "finalizers": ["example.com/f"]}), "x");
        assert!(only_for_garbage_collection(&bundle(json!({"name": "b"}), "x"), &old));
        assert!(!only_for_garbage_collection(&bundle(json!({"name": "b"}), "y"), &old));
        assert!(!only_for_garbage_collection(&bundle(json!({"name": "b", "labels": {"a": "b"}}), "x"), &old));
    }
}
