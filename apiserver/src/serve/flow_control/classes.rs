//! Which FlowSchema a request is of, and which flow.

use k8s_openapi::api::flowcontrol::v1::{
    FlowSchemaSpec, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, Subject,
};

use crate::authn::Identity;
use crate::authz::Attributes;

/// What the names of the users begin with who are ServiceAccounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

const ALL: &str = "*";

/// Whether a request of `identity` is one of the schema's.
pub(super) fn matches(schema: &FlowSchemaSpec, identity: &Identity, attributes: &Attributes) -> bool {
    schema.rules.iter().flatten().any(|rule| matches_rule(rule, identity, attributes))
}

/// What tells the flows of a schema apart.
pub(super) fn flow<'a>(schema: &FlowSchemaSpec, identity: &'a Identity, attributes: &'a Attributes) -> &'a str {
    match schema.distinguisher_method.as_ref().map(|method| method.type_.as_str()) {
        Some("ByUser") => &identity.user,
        Some("ByNamespace") => &attributes.namespace,
        _ => "",
    }
}

fn matches_rule(rule: &PolicyRulesWithSubjects, identity: &Identity, attributes: &Attributes) -> bool {
    if !rule.subjects.iter().any(|subject| matches_subject(subject, identity)) {
        return false;
    }
    if attributes.is_resource() {
        rule.resource_rules.iter().flatten().any(|rule| matches_resource(rule, attributes))
    } else {
        rule.non_resource_rules.iter().flatten().any(|rule| matches_path(rule, attributes))
    }
}

fn matches_subject(subject: &Subject, identity: &Identity) -> bool {
    match subject.kind.as_str() {
        "User" => subject.user.as_ref().is_some_and(|user| user.name == ALL || user.name == identity.user),
        "Group" => subject.group.as_ref().is_some_and(|group| group.name == ALL || identity.is_in(&group.name)),
        "ServiceAccount" => subject.service_account.as_ref().is_some_and(|account| {
            let asks = identity.user.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
            asks.is_some_and(|(namespace, name)| {
                namespace == account.namespace && (account.name == ALL || account.name == name)
            })
        }),
        _ => false,
    }
}

/// Whether a list has a word, or says that it has all.
fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|listed| listed == ALL || listed == word)
}

fn matches_resource(rule: &ResourcePolicyRule, attributes: &Attributes) -> bool {
    let Attributes { verb, group, resource, subresource, namespace, .. } = attributes;
    let whole = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
    has(&rule.verbs, verb) && has(&rule.resources, &whole) && has(&rule.api_groups, group) && {
        match namespace.as_str() {
            "" => rule.cluster_scope == Some(true),
            namespace => has(rule.namespaces.as_deref().unwrap_or_default(), namespace),
        }
    }
}

fn matches_path(rule: &NonResourcePolicyRule, attributes: &Attributes) -> bool {
    let path = attributes.path.as_str();
    has(&rule.verbs, &attributes.verb)
        && rule.non_resource_urls.iter().any(|url| {
            let below = url.trim_end_matches('*').trim_end_matches('/');
            url == ALL || url == path || path.strip_prefix(below).is_some_and(|rest| rest.starts_with('/'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::born_flow_schemas;

    /// The schema of a request in a new cluster, and its flow.
    fn class(user: &str, groups: &[&str], request: &str) -> (String, String) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
        let (method, path) = request.split_once(' ').unwrap();
        let (parts, ()) = http::Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        let attributes = Attributes::of_request(&parts);
        let mut schemas = born_flow_schemas();
        schemas.sort_by_key(|schema| schema.spec.matching_precedence);
        let schema = schemas.into_iter().find(|schema| matches(&schema.spec, &identity, &attributes));
        let schema = schema.unwrap();
        let flow = flow(&schema.spec, &identity, &attributes).to_owned();
        (schema.metadata.name.unwrap(), flow)
    }

    #[test]
    fn requests_are_of_upstreams_classes() {
        let check = |user: &str, groups: &[&str], request: &str, expected: (&str, &str)| {
            let (schema, flow) = class(user, groups, request);
            assert_eq!((schema.as_str(), flow.as_str()), expected, "{user} {request}");
        };
        let known = "system:authenticated";
        let pods = "GET /api/v1/namespaces/a/pods";
        let lease = "PUT /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x";
        check("admin", &["system:masters", known], pods, ("exempt", ""));
        check("admin", &["system:masters", known], "GET /metrics", ("exempt", ""));
        check("system:anonymous", &["system:unauthenticated"], "GET /healthz", ("probes", ""));
        check("jane", &[known], "GET /readyz/etcd", ("probes", ""));
        check("jane", &[known], "GET /readyzz", ("global-default", "jane"));
        check("jane", &[known], "POST /healthz", ("global-default", "jane"));
        check("jane", &[known], pods, ("global-default", "jane"));
        check("jane", &[known], "GET /apis", ("global-default", "jane"));
        check("system:kube-scheduler", &[known], lease, ("system-leader-election", "system:kube-scheduler"));
        check("system:kube-scheduler", &[known], pods, ("kube-scheduler", "a"));
        check("system:kube-scheduler", &[known], "GET /api/v1/nodes", ("kube-scheduler", ""));
        check("system:kube-controller-manager", &[known], pods, ("kube-controller-manager", "a"));
        let endpoints = "PUT /api/v1/namespaces/a/endpoints/x";
        let manager = "system:kube-controller-manager";
        check(manager, &[known], endpoints, ("endpoint-controller", manager));
        let node = ["system:nodes", known];
        check("system:node:n", &node, "PATCH /api/v1/nodes/n/status", ("system-node-high", "system:node:n"));
        check("system:node:n", &node, "GET /api/v1/nodes/n", ("system-node-high", "system:node:n"));
        check("system:node:n", &node, lease, ("system-node-high", "system:node:n"));
        check("system:node:n", &node, pods, ("system-nodes", "system:node:n"));
        check("system:node:n", &node, "PATCH /api/v1/namespaces/a/pods/p/status", ("system-nodes", "system:node:n"));
        let accounts = ["system:serviceaccounts", known];
        let of_system = "system:serviceaccount:kube-system:x";
        check(of_system, &accounts, pods, ("kube-system-service-accounts", "a"));
        check(of_system, &accounts, lease, ("system-leader-election", of_system));
        let other = "system:serviceaccount:kube-system-2:x";
        check(other, &accounts, pods, ("service-accounts", other));
        check("nobody", &["system:unauthenticated"], pods, ("global-default", "nobody"));
    }

    #[test]
    fn all_means_all() {
        let spec: FlowSchemaSpec = serde_json::from_value(serde_json::json!({
            "priorityLevelConfiguration": {"name": "x"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "*"}}, {"kind": "Group", "group": {"name": "g"}}],
                "resourceRules": [{"verbs": ["list"], "apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"],
                    "namespaces": ["a"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/x/*"]}],
            }],
        }))
        .unwrap();
        let check = |method: &str, uri: &str, expected: bool| {
            let (parts, ()) = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
            let identity = Identity { user: "u".to_owned(), ..Identity::default() };
            assert_eq!(matches(&spec, &identity, &Attributes::of_request(&parts)), expected, "{method} {uri}");
        };
        check("GET", "/apis/apps/v1/namespaces/a/deployments", true);
        check("GET", "/apis/apps/v1/namespaces/a/deployments/d", false);
        check("GET", "/apis/apps/v1/namespaces/b/deployments", false);
        check("GET", "/apis/apps/v1/deployments", false);
        check("GET", "/apis/other/v1/namespaces/a/deployments", false);
        check("GET", "/apis/apps/v1/namespaces/a/replicasets", false);
        check("POST", "/x/y", true);
        check("POST", "/x", false);
        check("POST", "/xy", false);
    }
}
