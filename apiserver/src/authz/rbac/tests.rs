//! Who may do what, and who may hand out what.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::authn::MASTERS;
use crate::object::Object;

fn user(name: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Identity { user: name.to_owned(), groups, ..Identity::default() }
}

fn asked(verb: &str, resource: &str, namespace: &str) -> Attributes {
    let (verb, resource, namespace) = (verb.to_owned(), resource.to_owned(), namespace.to_owned());
    Attributes { verb, resource, namespace, ..Attributes::default() }
}

fn of<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn reads(name: &str, resource: &str) -> Value {
    json!({"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get", "list"]}]})
}

fn binds(name: &str, kind: &str, role: &str, subjects: &Value) -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({"metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": kind, "name": role}, "subjects": subjects})
}

/// Two cluster roles and a role; who is bound to them is told in the names of the bindings.
fn cluster() -> Rbac {
    let rbac = Rbac::default();
    let mut policy = rbac.0.write();
    policy.put_cluster_role(of(&reads("pods", "pods")));
    policy.put_cluster_role(of(&reads("nodes", "nodes")));
    policy.put_role("a", of(&reads("secrets", "secrets")));
    let subjects = json!([
        {"kind": "Group", "name": "readers"},
        {"kind": "User", "name": "ann"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": "b"},
    ]);
    policy.put_cluster_role_binding(of(&binds("readers-pods", "ClusterRole", "pods", &subjects)));
    let subjects = json!([{"kind": "ServiceAccount", "name": "robot"}, {"kind": "User", "name": "bob"}]);
    policy.put_role_binding("a", of(&binds("robot-secrets", "Role", "secrets", &subjects)));
    policy.put_role_binding("a", of(&binds("robot-nodes", "ClusterRole", "nodes", &subjects)));
    policy.put_role_binding("b", of(&binds("nothing", "Role", "none", &json!([{"kind": "User", "name": "bob"}]))));
    drop(policy);
    rbac
}

fn decide(rbac: &Rbac, identity: &Identity, verb: &str, resource: &str, namespace: &str) -> String {
    match rbac.authorize(identity, &asked(verb, resource, namespace)) {
        Decision::Allow(reason) => format!("yes: {reason}"),
        Decision::Deny(reason) => format!("never: {reason}"),
        Decision::NoOpinion(reason) => format!("no: {reason}"),
    }
}

#[test]
fn who_is_bound_may() {
    let rbac = cluster();
    let check = |identity: &Identity, asked: &str, expected: &str| {
        let words: Vec<&str> = asked.split(' ').collect();
        assert_eq!(decide(&rbac, identity, words[0], words[1], words.get(2).copied().unwrap_or_default()), expected);
    };
    let ann = user("ann", &["readers"]);
    let by_group =
        r#"yes: RBAC: allowed by ClusterRoleBinding "readers-pods" of ClusterRole "pods" to Group "readers""#;
    check(&ann, "list pods", by_group);
    check(&ann, "list pods a", by_group);
    check(&ann, "create pods a", "no: ");
    check(
        &user("ann", &[]),
        "list pods",
        r#"yes: RBAC: allowed by ClusterRoleBinding "readers-pods" of ClusterRole "pods" to User "ann""#,
    );
    check(&user("readers", &[]), "list pods", "no: ");
    check(&user("x", &["ann"]), "list pods", "no: ");
    check(
        &user("system:serviceaccount:b:robot", &[]),
        "list pods c",
        r#"yes: RBAC: allowed by ClusterRoleBinding "readers-pods" of ClusterRole "pods" to ServiceAccount "robot/b""#,
    );
    let robot = user("system:serviceaccount:a:robot", &[]);
    check(&robot, "list pods a", "no: ");
    check(
        &robot,
        "get secrets a",
        r#"yes: RBAC: allowed by RoleBinding "robot-secrets/a" of Role "secrets" to ServiceAccount "robot/a""#,
    );
    check(&robot, "get secrets b", "no: ");
    check(&robot, "get secrets", "no: ");
    // A ClusterRole that is bound in a namespace holds there.
    check(
        &robot,
        "get nodes a",
        r#"yes: RBAC: allowed by RoleBinding "robot-nodes/a" of ClusterRole "nodes" to ServiceAccount "robot/a""#,
    );
    check(&robot, "get nodes", "no: ");
    let bob = user("bob", &[]);
    check(&bob, "get pods b", r#"no: RBAC: role.rbac.authorization.k8s.io "none" not found"#);
    check(&bob, "get pods a", "no: ");
}

#[test]
fn changes_show() {
    let rbac = cluster();
    let ann = user("ann", &[]);
    let may =
        |verb: &str, resource: &str, namespace: &str| decide(&rbac, &ann, verb, resource, namespace).starts_with("yes");
    assert!(may("get", "pods", "a"));
    rbac.0.write().put_cluster_role(of(&reads("pods", "events")));
    assert!(!may("get", "pods", "a") && may("get", "events", "a"));
    rbac.0.write().remove_cluster_role("pods");
    assert!(!may("get", "events", "a"));
    rbac.0.write().put_cluster_role(of(&reads("pods", "pods")));
    assert!(may("get", "pods", "a"));
    let others = json!([{"kind": "User", "name": "bob"}]);
    rbac.0.write().put_cluster_role_binding(of(&binds("readers-pods", "ClusterRole", "pods", &others)));
    assert!(!may("get", "pods", "a"));
    rbac.0
        .write()
        .put_role_binding("a", of(&binds("ann", "ClusterRole", "pods", &json!([{"kind": "User", "name": "ann"}]))));
    assert!(may("get", "pods", "a") && !may("get", "pods", "b"));
    rbac.0.write().remove_role_binding("a", "ann");
    assert!(!may("get", "pods", "a"));
    rbac.0.write().remove_role("a", "secrets");
    let robot = user("system:serviceaccount:a:robot", &[]);
    assert_eq!(
        decide(&rbac, &robot, "get", "secrets", "a"),
        r#"no: RBAC: role.rbac.authorization.k8s.io "secrets" not found"#
    );
}

#[test]
fn rules_are_listed() {
    let rbac = cluster();
    let listed = |identity: &Identity, namespace: &str| {
        let Rules { resources, paths, error } = rbac.rules(identity, namespace);
        let resources = resources.iter().flat_map(|rule| rule.resources.clone().unwrap_or_default());
        (resources.collect::<Vec<_>>(), paths.len(), error)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let robot = user("system:serviceaccount:a:robot", &[]);
    assert_eq!(listed(&robot, "a"), (names(&["nodes", "secrets"]), 0, String::new()));
    assert_eq!(listed(&robot, "b"), (names(&[]), 0, String::new()));
    let error = r#"role.rbac.authorization.k8s.io "none" not found"#.to_owned();
    assert_eq!(listed(&user("bob", &[]), "b"), (names(&[]), 0, error));
}

/// What somebody is told who writes `new` in `namespace` in the place of `old`.
fn write(rbac: &Rbac, identity: &Identity, namespace: &str, new: &dyn Object, old: Option<&dyn Object>) -> String {
    let told = check_escalation(rbac, rbac, identity, (namespace, new, old));
    told.map_or_else(|status| format!("{} {}", status.code, status.message), |()| String::new())
}

#[test]
fn nobody_hands_out_what_they_lack() {
    let rbac = cluster();
    let ann = user("ann", &["readers", "x"]);
    let role = |resource: &str| of::<Role>(&reads("r", resource));
    assert_eq!(write(&rbac, &ann, "a", &role("pods"), None), "");
    assert_eq!(
        write(&rbac, &ann, "a", &role("secrets"), None),
        "403 roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"ann\" (groups=[\"readers\" \"x\"]) is attempting to \
         grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
    );
    assert_eq!(write(&rbac, &user("m", &[MASTERS]), "a", &role("secrets"), None), "");
    let cluster_role = |resource: &str| of::<ClusterRole>(&reads("r", resource));
    assert_eq!(write(&rbac, &ann, "", &cluster_role("pods"), None), "");
    assert!(write(&rbac, &ann, "", &cluster_role("nodes"), None).starts_with("403 clusterroles.rbac"));
    // What somebody has in a namespace cannot be handed out everywhere.
    let bob = user("bob", &[]);
    assert_eq!(write(&rbac, &bob, "a", &role("nodes"), None), "");
    assert!(write(&rbac, &bob, "", &cluster_role("nodes"), None).starts_with("403 "));
    let mut gathers = cluster_role("pods");
    gathers.aggregation_rule = of(&json!({"clusterRoleSelectors": [{}]}));
    assert!(write(&rbac, &ann, "", &gathers, None).contains(r#"{APIGroups:["*"], Resources:["*"], Verbs:["*"]}"#));
    assert!(write(&rbac, &ann, "", &cluster_role("pods"), Some(&gathers)).starts_with("403 "));
}

#[test]
fn nobody_binds_what_they_lack() {
    let rbac = cluster();
    let subjects = json!([{"kind": "User", "name": "eve"}]);
    let binding = |kind: &str, role: &str| of::<RoleBinding>(&binds("b", kind, role, &subjects));
    let ann = user("ann", &[]);
    assert_eq!(write(&rbac, &ann, "a", &binding("ClusterRole", "pods"), None), "");
    assert!(write(&rbac, &ann, "a", &binding("Role", "secrets"), None).starts_with("403 rolebindings.rbac"));
    assert_eq!(
        write(&rbac, &ann, "a", &binding("Role", "none"), None),
        r#"404 role.rbac.authorization.k8s.io "none" not found"#
    );
    let everywhere = of::<ClusterRoleBinding>(&binds("b", "ClusterRole", "nodes", &subjects));
    let bob = user("bob", &[]);
    assert!(write(&rbac, &bob, "", &everywhere, None).starts_with("403 clusterrolebindings.rbac"));
    // Whoever clears finalizers hands out nothing.
    let mut ending = everywhere.clone();
    ending.metadata.finalizers = Some(vec!["x".to_owned()]);
    assert_eq!(write(&rbac, &bob, "", &everywhere, Some(&ending)), "");
}

#[test]
fn who_may_escalate_or_bind_may() {
    let rbac = cluster();
    let explicit = json!({"metadata": {"name": "explicit"}, "rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["escalate"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["bind"], "resourceNames": ["nodes"]},
    ]});
    rbac.0.write().put_cluster_role(of(&explicit));
    let subjects = json!([{"kind": "User", "name": "eve"}]);
    rbac.0.write().put_cluster_role_binding(of(&binds("e", "ClusterRole", "explicit", &subjects)));
    let eve = user("eve", &[]);
    assert_eq!(write(&rbac, &eve, "a", &of::<Role>(&reads("r", "secrets")), None), "");
    assert!(write(&rbac, &eve, "", &of::<ClusterRole>(&reads("r", "secrets")), None).starts_with("403 "));
    let bind = |role: &str| of::<ClusterRoleBinding>(&binds("b", "ClusterRole", role, &subjects));
    assert_eq!(write(&rbac, &eve, "", &bind("nodes"), None), "");
    assert!(write(&rbac, &eve, "", &bind("pods"), None).starts_with("403 "));
}
