//! Roles and who has them (`rbac.authorization.k8s.io`), as data: whether somebody may hand out a role is a question to the
//! authorizer, and not asked here.
//!
//! Names are anything that fits into a URL, so that they can have colons, as the names of upstream's own roles do.

mod binding;
mod cluster_role;
mod cluster_role_binding;
mod role;
mod role_binding;

use api::field::{Error, ErrorList, Path};
use api::names::path_segment_name;
use k8s_openapi::api::rbac::v1::PolicyRule;

pub(crate) use self::cluster_role::ClusterRoles;
pub(crate) use self::cluster_role_binding::ClusterRoleBindings;
pub(crate) use self::role::Roles;
pub(crate) use self::role_binding::RoleBindings;

/// The only group that roles are of.
const GROUP: &str = "rbac.authorization.k8s.io";

/// What is wrong with a name. The beginning of a name is held to the rules of a whole one.
fn validate_name(name: &str) -> Vec<String> {
    path_segment_name(name)
}

/// What is wrong with the rules of a role. Those of a role in a namespace say nothing of URLs.
fn validate_rules(rules: Option<&Vec<PolicyRule>>, namespaced: bool) -> ErrorList {
    let path = Path::new("rules");
    let mut errors = ErrorList::new();
    for (i, rule) in rules.into_iter().flatten().enumerate() {
        errors.extend(validate_rule(rule, namespaced, &path.index(i)));
    }
    errors
}

fn validate_rule(rule: &PolicyRule, namespaced: bool, path: &Path) -> ErrorList {
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let (groups, resources, urls) = (list(&rule.api_groups), list(&rule.resources), list(&rule.non_resource_urls));
    let mut errors = ErrorList::new();
    if rule.verbs.is_empty() {
        errors.push(Error::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    if !urls.is_empty() {
        let path = path.child("nonResourceURLs");
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(Error::invalid(&path, &urls[..], detail));
        }
        if !groups.is_empty() || !resources.is_empty() || !list(&rule.resource_names).is_empty() {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(Error::invalid(&path, &urls[..], detail));
        }
        return errors;
    }
    if groups.is_empty() {
        let detail = "resource rules must supply at least one api group";
        errors.push(Error::required(&path.child("apiGroups"), detail));
    }
    if resources.is_empty() {
        let detail = "resource rules must supply at least one resource";
        errors.push(Error::required(&path.child("resources"), detail));
    }
    errors
}
