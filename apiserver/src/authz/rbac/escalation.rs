//! Nobody hands out what they do not have: who writes a role or binds one needs every right in it, or the explicit right to
//! `escalate` the role or to `bind` it.

use api::status::{GroupResource, Status};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef};

use super::policy::NoRole;
use super::{Rbac, joined, rules};
use crate::authn::{Identity, MASTERS};
use crate::authz::{Attributes, Authorizer, Decision};
use crate::object::Object;

/// The only group that roles are of.
const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether whoever makes `new`, or of `old` makes `new`, may. Objects that hand out nothing are for others to judge.
pub(crate) fn check(
    rbac: &Rbac,
    authorizer: &dyn Authorizer,
    identity: &Identity,
    (namespace, new, old): (&str, &dyn Object, Option<&dyn Object>),
) -> Result<(), Status> {
    if identity.is_in(MASTERS) || old.is_some_and(|old| only_for_garbage_collection(new, old)) {
        return Ok(());
    }
    let asking = Asking { rbac, authorizer, identity, namespace, name: new.meta().name.as_deref().unwrap_or_default() };
    let any = new.as_any();
    if let Some(role) = any.downcast_ref::<Role>() {
        return asking.role("roles", role.rules.as_deref().unwrap_or_default(), false);
    }
    if let Some(role) = any.downcast_ref::<ClusterRole>() {
        let before = old.and_then(|old| old.as_any().downcast_ref::<ClusterRole>());
        let aggregates = |role: &ClusterRole| {
            let selectors = role.aggregation_rule.as_ref().and_then(|rule| rule.cluster_role_selectors.as_ref());
            selectors.is_some_and(|selectors| !selectors.is_empty())
        };
        // What it gathers cannot be known beforehand.
        let everything = aggregates(role) || before.is_some_and(aggregates);
        return asking.role("clusterroles", role.rules.as_deref().unwrap_or_default(), everything);
    }
    if let Some(binding) = any.downcast_ref::<RoleBinding>() {
        return asking.binding("rolebindings", &binding.role_ref);
    }
    if let Some(binding) = any.downcast_ref::<ClusterRoleBinding>() {
        return asking.binding("clusterrolebindings", &binding.role_ref);
    }
    Ok(())
}

/// Whoever ends objects changes nothing of what they hand out, and need not have it.
fn only_for_garbage_collection(new: &dyn Object, old: &dyn Object) -> bool {
    let mut alike = new.copy();
    let (meta, old_meta) = (alike.meta_mut(), old.meta());
    meta.owner_references.clone_from(&old_meta.owner_references);
    meta.finalizers.clone_from(&old_meta.finalizers);
    meta.resource_version.clone_from(&old_meta.resource_version);
    meta.managed_fields.clone_from(&old_meta.managed_fields);
    matches!((alike.to_json(), old.to_json()), (Ok(new), Ok(old)) if new == old)
}

/// Somebody who wants to write an object that hands something out.
struct Asking<'a> {
    rbac: &'a Rbac,
    authorizer: &'a dyn Authorizer,
    identity: &'a Identity,
    /// Where the object is; empty for all namespaces.
    namespace: &'a str,
    name: &'a str,
}

impl Asking<'_> {
    fn role(&self, resource: &str, wanted: &[PolicyRule], everything: bool) -> Result<(), Status> {
        if self.may("escalate", resource, self.name) {
            return Ok(());
        }
        self.confirm(resource, wanted)?;
        if everything { self.confirm(resource, &full_authority()) } else { Ok(()) }
    }

    fn binding(&self, resource: &str, role: &RoleRef) -> Result<(), Status> {
        let of = match &*role.kind {
            "ClusterRole" => "clusterroles",
            _ => "roles",
        };
        if self.may("bind", of, &role.name) {
            return Ok(());
        }
        let missing =
            |NoRole { kind, name }: NoRole| Status::not_found(&GroupResource::new(GROUP, kind.to_lowercase()), &name);
        let wanted = self.rbac.rules_of(role, self.namespace).map_err(missing)?;
        self.confirm(resource, &wanted)
    }

    fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let attributes = Attributes {
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            version: "*".to_owned(),
            resource: resource.to_owned(),
            namespace: self.namespace.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        matches!(self.authorizer.authorize(self.identity, &attributes), Decision::Allow(_))
    }

    /// Refuses what lacks a right of `wanted`, and tells which.
    fn confirm(&self, resource: &str, wanted: &[PolicyRule]) -> Result<(), Status> {
        let (held, errors) = self.rbac.held(self.identity, self.namespace);
        let mut missing: Vec<String> = rules::missing(&held, wanted).iter().map(rules::shown).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort();
        missing.dedup();
        let (user, groups) = (api::field::go_quote(&self.identity.user), rules::quoted(&self.identity.groups));
        let missing = missing.join("\n");
        let mut why = format!(
            "user {user} (groups={groups}) is attempting to grant RBAC permissions not currently held:\n{missing}"
        );
        if let Some(errors) = joined(&errors) {
            why.push_str("; resolution errors: ");
            why.push_str(&errors);
        }
        Err(Status::forbidden(&GroupResource::new(GROUP, resource.to_owned()), self.name, why))
    }
}

/// Every right there is.
fn full_authority() -> [PolicyRule; 2] {
    let all = || vec!["*".to_owned()];
    let resources =
        PolicyRule { api_groups: Some(all()), resources: Some(all()), verbs: all(), ..PolicyRule::default() };
    [resources, PolicyRule { non_resource_urls: Some(all()), verbs: all(), ..PolicyRule::default() }]
}
