//! Roles, and who has them (RBAC): who is bound to a role may do what its rules say, and nobody anything else.
//!
//! What always holds: decisions are made from what this process knows, without waiting; what is known follows the store by
//! a watch, and a change shows as soon as this process has been told of it.

mod escalation;
mod follow;
mod policy;
mod rules;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use k8s_openapi::api::authorization::v1::{NonResourceRule, ResourceRule};
use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef};
use parking_lot::RwLock;

use self::policy::{NoRole, Policy};
use super::{Attributes, Authorizer, Decision, Rules};
use crate::authn::Identity;

pub(crate) use self::escalation::check as check_escalation;
pub(crate) use self::rules::{allows, missing as missing_rules};

/// The authorizer. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub struct Rbac(Arc<RwLock<Policy>>);

impl Rbac {
    /// All rules that somebody has in `namespace`, and what is wrong with the roles that they are bound to.
    fn held(&self, identity: &Identity, namespace: &str) -> (Vec<PolicyRule>, Vec<NoRole>) {
        let (mut held, mut errors) = (Vec::new(), Vec::new());
        self.0.read().visit(identity, namespace, |applies| {
            match &applies.rules {
                Ok(rules) => held.extend_from_slice(rules),
                Err(error) => errors.push(error.clone()),
            }
            ControlFlow::Continue(())
        });
        (held, errors)
    }

    /// With these roles and bindings.
    #[cfg(test)]
    pub(crate) fn of(objects: Vec<serde_json::Value>) -> Rbac {
        let rbac = Rbac::default();
        for object in objects {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            let mut policy = rbac.0.write();
            match &*kind {
                "ClusterRole" => policy.put_cluster_role(serde_json::from_value(object).unwrap()),
                "ClusterRoleBinding" => policy.put_cluster_role_binding(serde_json::from_value(object).unwrap()),
                "Role" => policy.put_role(&namespace, serde_json::from_value(object).unwrap()),
                _ => policy.put_role_binding(&namespace, serde_json::from_value(object).unwrap()),
            }
        }
        rbac
    }

    /// The rules of a role that a binding in `namespace` names.
    fn rules_of(&self, role: &RoleRef, namespace: &str) -> Result<Vec<PolicyRule>, NoRole> {
        self.0.read().rules_of(role, namespace).map(<[PolicyRule]>::to_vec)
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision {
        let (mut allowed, mut errors) = (None, Vec::new());
        self.0.read().visit(identity, &attributes.namespace, |applies| match &applies.rules {
            Ok(rules) if rules.iter().any(|rule| rules::allows(rule, attributes)) => {
                allowed = Some(applies.reason());
                ControlFlow::Break(())
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                errors.push(error.clone());
                ControlFlow::Continue(())
            }
        });
        match allowed {
            Some(reason) => Decision::Allow(reason),
            None => Decision::NoOpinion(joined(&errors).map(|errors| format!("RBAC: {errors}")).unwrap_or_default()),
        }
    }

    fn rules(&self, identity: &Identity, namespace: &str) -> Rules {
        let (held, errors) = self.held(identity, namespace);
        let mut rules = Rules { error: joined(&errors).unwrap_or_default(), ..Rules::default() };
        for rule in held {
            let PolicyRule { api_groups, non_resource_urls, resource_names, resources, verbs } = rule;
            if resources.as_ref().is_some_and(|resources| !resources.is_empty()) {
                let verbs = verbs.clone();
                rules.resources.push(ResourceRule { api_groups, resource_names, resources, verbs });
            }
            if non_resource_urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
                rules.paths.push(NonResourceRule { non_resource_urls, verbs });
            }
        }
        rules
    }
}

/// Several errors as one, the way Go's aggregates are written: each is told once.
fn joined(errors: &[NoRole]) -> Option<String> {
    let mut told: Vec<String> = Vec::new();
    for error in errors {
        let error = error.to_string();
        if !told.contains(&error) {
            told.push(error);
        }
    }
    match told.len() {
        0 => None,
        1 => told.pop(),
        _ => Some(format!("[{}]", told.join(", "))),
    }
}
