//! The roles and bindings that every cluster has: upstream's defaults, which stand in `manifests/born`.
//!
//! What always holds: a start gives back what somebody took out of them, and leaves what somebody put in; an object that says
//! that it is not to follow (`rbac.authorization.kubernetes.io/autoupdate: "false"`) stays as it is.

use api::status::Status;
use futures::future::try_join_all;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};

use super::ask::{Place, name, unless_conflict, unless_missing};
use crate::authz::CONTROLLER_MANAGER;
use crate::authz::rbac::missing_rules;
use crate::engine::Engine;
use crate::request::Verb;

const GROUP: &str = "rbac.authorization.k8s.io";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// What the names of controllers' roles begin with. What follows is the ServiceAccount that has the role.
const CONTROLLER: &str = "system:controller:";

/// Bindings that earlier versions made and that gave too much, which a start takes away: with this one every node could read
/// every Secret.
const TOO_MUCH: &[&str] = &["gantry:nodes"];

/// What the manifests say, of each kind.
#[derive(Default)]
struct Born {
    cluster_roles: Vec<Value>,
    cluster_role_bindings: Vec<Value>,
    roles: Vec<Value>,
    role_bindings: Vec<Value>,
}

impl Born {
    fn read() -> Born {
        let mut born = Born::default();
        for manifest in [
            include_str!("../../../../manifests/born/cluster-roles.yaml"),
            include_str!("../../../../manifests/born/cluster-role-bindings.yaml"),
            include_str!("../../../../manifests/born/gantry.yaml"),
            include_str!("../../../../manifests/born/joining.yaml"),
            include_str!("../../../../manifests/born/roles.yaml"),
            include_str!("../../../../manifests/born/role-bindings.yaml"),
        ] {
            read(manifest).into_iter().for_each(|object| born.put(object));
        }
        for role in read(include_str!("../../../../manifests/born/controller-roles.yaml")) {
            born.put(controller_binding(&role));
            born.put(role);
        }
        born
    }

    fn put(&mut self, mut object: Value) {
        object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = "rbac-defaults".into();
        object["metadata"]["annotations"][AUTO_UPDATE] = "true".into();
        let place = match object["kind"].as_str() {
            Some("ClusterRole") => &mut self.cluster_roles,
            Some("ClusterRoleBinding") => &mut self.cluster_role_bindings,
            Some("Role") => &mut self.roles,
            _ => &mut self.role_bindings,
        };
        place.push(object);
    }
}

fn read(manifest: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(manifest).expect("what is built in is well formed")
}

/// The binding of a controller's role: to its ServiceAccount, under which a controller may run alone, and to the user as whom
/// all of them run together here.
fn controller_binding(role: &Value) -> Value {
    let role = name(role);
    let account = role.strip_prefix(CONTROLLER).unwrap_or(role);
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [
            {"kind": "ServiceAccount", "name": account, "namespace": "kube-system"},
            {"apiGroup": GROUP, "kind": "User", "name": CONTROLLER_MANAGER},
        ],
    })
}

impl Engine {
    /// Makes the roles and bindings that are missing, and gives back what is missing of the others.
    pub(super) async fn bootstrap_roles(&self) -> Result<(), Status> {
        let born = Born::read();
        let place = |resource| Place::of(GROUP, "v1", resource);
        self.ensure_roles(place("clusterroles"), &born.cluster_roles, missing_of_role).await?;
        self.ensure_roles(place("clusterrolebindings"), &born.cluster_role_bindings, missing_of_binding).await?;
        self.take_away(place("clusterrolebindings"), TOO_MUCH).await?;
        for namespace in ["kube-system", "kube-public"] {
            let of = |objects: &[Value]| -> Vec<Value> {
                objects.iter().filter(|object| object["metadata"]["namespace"] == namespace).cloned().collect()
            };
            self.ensure_roles(place("roles").within(namespace), &of(&born.roles), missing_of_role).await?;
            let bindings = of(&born.role_bindings);
            self.ensure_roles(place("rolebindings").within(namespace), &bindings, missing_of_binding).await?;
        }
        Ok(())
    }

    /// Deletes those that a start has made, and that are to follow it.
    async fn take_away(&self, place: Place, names: &[&str]) -> Result<(), Status> {
        for wanted in names {
            let found = unless_missing(self.ask(place, Verb::Get, wanted, None).await)?;
            if found["metadata"]["annotations"][AUTO_UPDATE] == "true" {
                let options = json!({"preconditions": {"uid": found["metadata"]["uid"]}});
                unless_conflict(unless_missing(self.ask(place, Verb::Delete, wanted, Some(&options)).await))?;
            }
        }
        Ok(())
    }

    /// Makes or mends `wanted`, all at a time so that they share flushes of the store.
    async fn ensure_roles(&self, place: Place, wanted: &[Value], mend: Mend) -> Result<(), Status> {
        let list = self.ask(place, Verb::List, "", None).await?;
        let present = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ensured = wanted.iter().map(|wanted| async move {
            let Some(current) = present.iter().find(|present| name(present) == name(wanted)) else {
                return unless_conflict(self.ask(place, Verb::Create, "", Some(wanted)).await);
            };
            if current["metadata"]["annotations"][AUTO_UPDATE] == "false" {
                return Ok(());
            }
            if current["roleRef"] != wanted["roleRef"] {
                // Which role a binding gives cannot be changed.
                let options = json!({"preconditions": {"uid": current["metadata"]["uid"]}});
                unless_conflict(self.ask(place, Verb::Delete, name(wanted), Some(&options)).await)?;
                return unless_conflict(self.ask(place, Verb::Create, "", Some(wanted)).await);
            }
            let mut mended = current.clone();
            mend(&mut mended, wanted);
            give_back(&mut mended["metadata"]["labels"], &wanted["metadata"]["labels"]);
            give_back(&mut mended["metadata"]["annotations"], &wanted["metadata"]["annotations"]);
            if mended == *current {
                return Ok(());
            }
            unless_conflict(self.ask(place, Verb::Update, name(wanted), Some(&mended)).await)
        });
        try_join_all(ensured).await.map(drop)
    }
}

/// Gives an object back what it lacks of the wanted one.
type Mend = fn(&mut Value, &Value);

/// Labels or annotations that are missing. What somebody else made of them stays.
fn give_back(present: &mut Value, wanted: &Value) {
    for (key, value) in wanted.as_object().into_iter().flatten() {
        if present.get(key).is_none() {
            present[key] = value.clone();
        }
    }
}

fn missing_of_role(present: &mut Value, wanted: &Value) {
    let rules = |role: &Value| serde_json::from_value::<Vec<PolicyRule>>(role["rules"].clone()).unwrap_or_default();
    for rule in missing_rules(&rules(present), &rules(wanted)) {
        append(&mut present["rules"], json!(rule));
    }
    for selector in wanted["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten() {
        append(&mut present["aggregationRule"]["clusterRoleSelectors"], selector.clone());
    }
}

fn missing_of_binding(present: &mut Value, wanted: &Value) {
    for subject in wanted["subjects"].as_array().into_iter().flatten() {
        append(&mut present["subjects"], subject.clone());
    }
}

/// Puts a value at the end of a list that does not have it.
fn append(list: &mut Value, value: Value) {
    match list {
        Value::Array(values) if values.contains(&value) => {}
        Value::Array(values) => values.push(value),
        _ => *list = json!([value]),
    }
}

/// What a new cluster has, and more, for tests of what somebody may do in it.
#[cfg(test)]
pub(crate) fn born_rbac(more: &[Value]) -> crate::authz::Rbac {
    crate::authz::Rbac::of([&born_roles()[..], more].concat())
}

/// The roles and bindings of a new cluster.
#[cfg(test)]
pub(crate) fn born_roles() -> Vec<Value> {
    let Born { cluster_roles, cluster_role_bindings, roles, role_bindings } = Born::read();
    [cluster_roles, cluster_role_bindings, roles, role_bindings].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_complete() {
        let born = Born::read();
        let names = |objects: &[Value]| {
            let mut names: Vec<String> = objects.iter().map(|object| name(object).to_owned()).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{names:?}");
            names
        };
        let roles = names(&born.cluster_roles);
        names(&born.cluster_role_bindings);
        for role in &born.cluster_roles {
            let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone()).unwrap_or_default();
            assert!(!rules.is_empty() || role["aggregationRule"].is_object(), "{role}");
        }
        for binding in &born.cluster_role_bindings {
            assert!(
                roles.contains(&name(&json!({"metadata": {"name": binding["roleRef"]["name"]}})).to_owned()),
                "{binding}"
            );
        }
        assert!(roles.iter().filter(|role| role.starts_with(CONTROLLER)).count() > 30);
    }

    #[test]
    fn what_was_taken_out_comes_back() {
        let rule = |verbs: &[&str]| json!({"apiGroups": [""], "resources": ["pods"], "verbs": verbs});
        let role = |rules: Vec<Value>| json!({"rules": rules});
        let check = |present: Value, expected: Value| {
            let mut mended = present;
            missing_of_role(&mut mended, &role(vec![rule(&["get", "list"])]));
            assert_eq!(mended, expected);
        };
        check(role(vec![rule(&["get", "list"])]), role(vec![rule(&["get", "list"])]));
        check(role(vec![rule(&["*"])]), role(vec![rule(&["*"])]));
        check(role(vec![rule(&["get", "watch"])]), role(vec![rule(&["get", "watch"]), rule(&["list"])]));
        check(json!({}), role(vec![rule(&["get", "list"])]));

        let (ann, bob) = (json!({"kind": "User", "name": "ann"}), json!({"kind": "User", "name": "bob"}));
        let mut binding = json!({"subjects": [bob]});
        missing_of_binding(&mut binding, &json!({"subjects": [ann, bob]}));
        assert_eq!(binding, json!({"subjects": [bob, ann]}));

        let mut labels = json!({"a": "mine"});
        give_back(&mut labels, &json!({"a": "theirs", "b": "theirs"}));
        assert_eq!(labels, json!({"a": "mine", "b": "theirs"}));
    }
}
