//! Approves the requests of kubelets for the certificates by which they are known, if the requestor may have them.
//!
//! A kubelet may renew its own certificate, and a bootstrapping one gets its first, as far as the cluster's roles allow
//! that. The server says whether they do. No other request is approved, and none is ever denied.

use std::sync::Arc;

use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use serde_json::json;

use super::request::Request;
use super::{APPROVED, DENIED, certificate, conditions, has_condition, rules, signer};
use crate::controller::{Controller, Moment, Watches};
use crate::plan::{Effect, Plan, Target, refusal};

/// The controller.
pub struct Approval;

impl Controller for Approval {
    const NAME: &'static str = "certificatesigningrequest-approving-controller";
    type Observed = Arc<CertificateSigningRequest>;

    fn watches(&self) -> Watches {
        Watches::on::<CertificateSigningRequest>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Arc<CertificateSigningRequest>> {
        let object = cache.get::<CertificateSigningRequest>("", &key.name)?;
        let decided = has_condition(&object, APPROVED) || has_condition(&object, DENIED);
        (object.spec.signer_name == signer::KUBELET_CLIENT && !decided && certificate(&object).is_none())
            .then_some(object)
    }

    fn reconcile(&self, object: &Arc<CertificateSigningRequest>, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        // The API server lets in no request that cannot be read.
        let Some(request) = Request::from_pem(&object.spec.request.0) else { return plan };
        if rules::kubelet_client(&request, object.spec.usages.as_deref().unwrap_or_default()).is_err() {
            return plan;
        }
        let own = vec![access(object, "selfnodeclient")];
        let is_own = object.spec.username.as_ref() == Some(&request.common_name);
        let refused = |reviews: &[SubjectAccessReviewSpec]| {
            moment.failure.as_ref().is_some_and(|failure| failure.message == refusal(reviews))
        };
        let any = vec![access(object, "nodeclient")];
        let either = [own.clone(), any.clone()].concat();
        let (reviews, message) = if is_own && !refused(&own) && !refused(&either) {
            (own, "Auto approving self kubelet client certificate after SubjectAccessReview.")
        } else {
            // When a kubelet may not renew its own, both are asked for: what was refused may be allowed by now.
            let reviews = if is_own { either } else { any };
            (reviews, "Auto approving kubelet client certificate after SubjectAccessReview.")
        };
        approve(&mut plan, object, reviews, message);
        plan
    }
}

/// Approves a request if one of the accesses is allowed.
fn approve(
    plan: &mut Plan,
    object: &CertificateSigningRequest,
    reviews: Vec<SubjectAccessReviewSpec>,
    message: &'static str,
) {
    let mut conditions = conditions(object).to_vec();
    // The server writes down when.
    conditions.push(CertificateSigningRequestCondition {
        type_: APPROVED.to_owned(),
        status: "True".to_owned(),
        reason: Some("AutoApproved".to_owned()),
        message: Some(message.to_owned()),
        ..CertificateSigningRequestCondition::default()
    });
    plan.act(Target::of(object), Effect::Review(reviews));
    let version = object.metadata.resource_version.clone().unwrap_or_default();
    let body = json!({"status": {"conditions": conditions}});
    plan.act(Target::of(object), Effect::Patch { subresource: Some("approval"), version, body });
}

/// What the requestor must be allowed to do.
fn access(object: &CertificateSigningRequest, subresource: &str) -> SubjectAccessReviewSpec {
    let spec = &object.spec;
    SubjectAccessReviewSpec {
        user: spec.username.clone(),
        uid: spec.uid.clone(),
        groups: spec.groups.clone(),
        extra: spec.extra.clone(),
        resource_attributes: Some(ResourceAttributes {
            group: Some("certificates.k8s.io".to_owned()),
            resource: Some("certificatesigningrequests".to_owned()),
            subresource: Some(subresource.to_owned()),
            verb: Some("create".to_owned()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::certificates::samples::{names, object, pem, with_condition};
    use crate::testing::{World, check_converges, nobody_else};

    const USAGES: [&str; 2] = ["digital signature", "client auth"];

    fn node_request() -> String {
        pem("system:node:n1", &["system:nodes"], &[])
    }

    fn by(user: &str, mut object: CertificateSigningRequest) -> CertificateSigningRequest {
        object.spec.username = Some(user.to_owned());
        object.spec.groups = Some(vec!["system:authenticated".to_owned()]);
        object
    }

    /// A world in which those who ask are allowed these.
    fn world(allowed: &[(&str, &str)], objects: &[CertificateSigningRequest]) -> World<Approval> {
        let mut world = World::new(Approval);
        allow(&mut world, allowed);
        for object in objects {
            world.add(object.clone());
        }
        world
    }

    fn allow(world: &mut World<Approval>, allowed: &[(&str, &str)]) {
        let owned = |(user, subresource): &(&str, &str)| Some(((*user).to_owned(), (*subresource).to_owned()));
        let allowed: Vec<Option<(String, String)>> = allowed.iter().map(owned).collect();
        world.allow(move |review| {
            let subresource = review.resource_attributes.clone().and_then(|attributes| attributes.subresource);
            allowed.contains(&review.user.clone().zip(subresource))
        });
    }

    /// The messages of all approvals.
    fn approvals(world: &World<Approval>) -> Vec<String> {
        let of = |object: &Arc<CertificateSigningRequest>| {
            let condition = conditions(object).iter().find(|condition| condition.type_ == APPROVED)?.clone();
            assert_eq!((condition.status.as_str(), condition.reason.as_deref()), ("True", Some("AutoApproved")));
            Some(format!("{}: {}", object.metadata.name.as_deref()?, condition.message?))
        };
        world.list::<CertificateSigningRequest>().iter().filter_map(of).collect()
    }

    #[test]
    fn kubelets_are_approved_as_the_server_allows() {
        let (first, own) = (node_request(), node_request());
        let setup = || {
            let objects = [
                by("system:bootstrap:abcdef", object("first", signer::KUBELET_CLIENT, &first, &USAGES)),
                by("system:node:n1", object("own", signer::KUBELET_CLIENT, &own, &USAGES)),
                by("system:node:n1", object("serving", signer::KUBELET_SERVING, &own, &USAGES)),
            ];
            let allowed = [("system:bootstrap:abcdef", "nodeclient"), ("system:node:n1", "selfnodeclient")];
            world(&allowed, &objects)
        };
        let expected = [
            "first: Auto approving kubelet client certificate after SubjectAccessReview.",
            "own: Auto approving self kubelet client certificate after SubjectAccessReview.",
        ];
        assert_eq!(approvals(&check_converges(setup, nobody_else)), expected);
    }

    #[test]
    fn who_may_only_renew_gets_no_certificate_of_another() {
        let other = by("eve", object("other", signer::KUBELET_CLIENT, &node_request(), &USAGES));
        let mut world = world(&[("eve", "selfnodeclient")], &[other]);
        world.settle();
        assert!(approvals(&world).is_empty());
    }

    #[test]
    fn a_kubelet_that_may_not_renew_may_still_be_one_that_may_ask_for_any() {
        let own = by("system:node:n1", object("own", signer::KUBELET_CLIENT, &node_request(), &USAGES));
        let check = |later: &[(&str, &str)], expected: &[&str]| {
            let mut world = world(&[], std::slice::from_ref(&own));
            world.settle();
            assert!(approvals(&world).is_empty());
            allow(&mut world, later);
            world.change::<CertificateSigningRequest>("", "own", |object| object.metadata.labels = None);
            world.settle();
            assert_eq!(approvals(&world), expected);
        };
        let approved = "own: Auto approving kubelet client certificate after SubjectAccessReview.";
        check(&[], &[]);
        check(&[("system:node:n1", "nodeclient")], &[approved]);
        check(&[("system:node:n1", "selfnodeclient")], &[approved]);
    }

    #[test]
    fn what_is_asked_of_the_server_is_all_that_is_known_of_the_requestor() {
        let mut asked = by("system:node:n1", object("own", signer::KUBELET_CLIENT, &node_request(), &USAGES));
        asked.spec.uid = Some("u1".to_owned());
        asked.spec.extra = Some([("zone".to_owned(), vec!["a".to_owned()])].into());
        let mut world = World::new(Approval);
        world.add(asked);
        let plan = world.plan(&Key::of::<CertificateSigningRequest>("", "own")).unwrap();
        let Effect::Review(reviews) = &plan.actions[0].effect else { panic!("{plan:#?}") };
        assert_eq!(
            json!(reviews),
            json!([{
                "user": "system:node:n1", "uid": "u1", "groups": ["system:authenticated"], "extra": {"zone": ["a"]},
                "resourceAttributes": {
                    "group": "certificates.k8s.io", "resource": "certificatesigningrequests",
                    "subresource": "selfnodeclient", "verb": "create",
                },
            }])
        );
    }

    #[test]
    fn nothing_else_is_asked_for() {
        let check = |object: CertificateSigningRequest| {
            let mut world = World::new(Approval);
            world.allow(|_| true);
            world.add(by("system:node:n1", object));
            assert!(world.settle().is_empty());
        };
        let node = |signer: &str| object("own", signer, &node_request(), &USAGES);
        check(node(signer::API_SERVER_CLIENT));
        check(with_condition(node(signer::KUBELET_CLIENT), DENIED, None));
        check(with_condition(node(signer::KUBELET_CLIENT), APPROVED, None));
        check(object("own", signer::KUBELET_CLIENT, "garbage", &USAGES));
        check(object("own", signer::KUBELET_CLIENT, &node_request(), &["client auth"]));
        let named = pem("system:node:n1", &["system:nodes"], &names(&["n1"], &[], &[], &[]));
        check(object("own", signer::KUBELET_CLIENT, &named, &USAGES));
    }
}
