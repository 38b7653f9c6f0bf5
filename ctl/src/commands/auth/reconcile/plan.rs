//! What is to be done to a role or a binding so that it is at least what is expected. Pure.

use api::rbac::missing;
use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::rules::{shown, shown_subject};
use crate::Error;

/// Objects with this annotation of `false` want to stay as they are.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    None,
    Create,
    Update,
    /// What a binding binds cannot be changed.
    Recreate,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) operation: Operation,
    /// The object as it is to be.
    pub(super) object: Value,
    /// Whether the object wants to stay as it is.
    pub(super) is_protected: bool,
    /// What is added, as it is shown.
    added: Vec<String>,
    /// What is there and not expected, as it is shown.
    extra: Vec<String>,
}

impl Plan {
    fn create(object: &Value, added: Vec<String>) -> Plan {
        let (operation, object) = (Operation::Create, object.clone());
        Plan { operation, object, is_protected: false, added, extra: Vec::new() }
    }

    /// To leave an object as it is but for annotations and labels, of which its own win.
    fn with_metadata(existing: &Value, expected: &Value) -> Plan {
        let mut object = existing.clone();
        let mut operation = Operation::None;
        for field in ["annotations", "labels"] {
            let of = |object: &Value| object["metadata"][field].as_object().cloned().unwrap_or_default();
            let own = of(existing);
            let mut merged: Map<String, Value> = of(expected);
            merged.extend(own.clone());
            if merged != own {
                object["metadata"][field] = Value::Object(merged);
                operation = Operation::Update;
            }
        }
        let (added, extra) = (Vec::new(), Vec::new());
        Plan { operation, object, is_protected: is_protected(existing), added, extra }
    }

    fn set(&mut self, field: &str, value: Value) {
        self.object[field] = value;
        self.operation = Operation::Update;
    }

    /// What is said of it.
    pub(super) fn lines(&self, is_binding: bool, removes: bool) -> Vec<String> {
        let operation = match self.operation {
            Operation::None => return Vec::new(),
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Recreate => "recreate",
        };
        let caveat =
            if self.is_protected { format!(", but object opted out ({AUTO_UPDATE}: false)") } else { String::new() };
        let mut lines = vec![format!("\treconciliation required {operation}{caveat}")];
        let what = if is_binding { "subjects" } else { "rules" };
        let nothing = Vec::new();
        let extra = if removes { &self.extra } else { &nothing };
        for (head, all) in [(format!("missing {what} added"), &self.added), (format!("extra {what} removed"), extra)] {
            if !all.is_empty() {
                lines.push(format!("\t{head}:"));
                lines.extend(all.iter().map(|one| format!("\t\t{one}")));
            }
        }
        lines
    }
}

fn is_protected(existing: &Value) -> bool {
    existing["metadata"]["annotations"][AUTO_UPDATE] == "false"
}

/// The entries of a field; none of what is no list.
fn entries(object: &Value, path: &str) -> Vec<Value> {
    object.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn read<T: DeserializeOwned>(values: Vec<Value>) -> Result<Vec<T>, serde_json::Error> {
    values.into_iter().map(serde_json::from_value).collect()
}

/// What is to be done to a role.
pub(super) fn role(existing: Option<&Value>, expected: &Value, removes: bool) -> Result<Plan, Error> {
    let rules = |object: &Value| {
        read::<PolicyRule>(entries(object, "/rules"))
            .map_err(|error| Error::said(format!("the rules of a role cannot be read: {error}")))
    };
    let wanted = rules(expected)?;
    let show = |rules: &[PolicyRule]| rules.iter().map(shown).collect::<Vec<String>>();
    let Some(existing) = existing else { return Ok(Plan::create(expected, show(&wanted))) };
    let held = rules(existing)?;
    let mut plan = Plan::with_metadata(existing, expected);
    // The rules of roles that gather those of others are not their own.
    let both_gather = [expected, existing].iter().all(|role| role["aggregationRule"].is_object());
    let extra = if both_gather { Vec::new() } else { missing(&wanted, &held) };
    let added = missing(&held, &wanted);
    if !removes && !added.is_empty() {
        let mut all = entries(existing, "/rules");
        all.extend(added.iter().map(|rule| json!(rule)));
        plan.set("rules", Value::Array(all));
    } else if removes && !(added.is_empty() && extra.is_empty()) {
        plan.set("rules", expected["rules"].clone());
    }
    (plan.added, plan.extra) = (show(&added), show(&extra));
    gather(&mut plan, existing, expected, removes);
    Ok(plan)
}

/// Which rules a role gathers from others.
fn gather(plan: &mut Plan, existing: &Value, expected: &Value, removes: bool) {
    const RULE: &str = "aggregationRule";
    let selectors = |role: &Value| entries(role, "/aggregationRule/clusterRoleSelectors");
    let (held, wanted) = (selectors(existing), selectors(expected));
    let without = |all: &[Value], others: &[Value]| -> Vec<Value> {
        all.iter().filter(|one| !others.contains(one)).cloned().collect()
    };
    let (added, extra) = (without(&wanted, &held), without(&held, &wanted));
    if !expected[RULE].is_object() {
        if existing[RULE].is_object() {
            plan.set(RULE, Value::Null);
        }
    } else if !removes && !added.is_empty() {
        let all: Vec<Value> = held.into_iter().chain(added).collect();
        plan.set(RULE, json!({"clusterRoleSelectors": all}));
    } else if removes && !(added.is_empty() && extra.is_empty()) {
        plan.set(RULE, expected[RULE].clone());
    }
}

/// What is to be done to a binding.
pub(super) fn binding(existing: Option<&Value>, expected: &Value, removes: bool) -> Plan {
    let subjects = |object: &Value| entries(object, "/subjects");
    let wanted = subjects(expected);
    let Some(existing) = existing else { return Plan::create(expected, show_subjects(&wanted)) };
    if !is_same(&expected["roleRef"], &existing["roleRef"]) {
        let mut plan = Plan::create(expected, Vec::new());
        plan.operation = Operation::Recreate;
        plan.is_protected = is_protected(existing);
        return plan;
    }
    let mut plan = Plan::with_metadata(existing, expected);
    let held = subjects(existing);
    let (added, extra) = (others(&wanted, &held), others(&held, &wanted));
    if !removes && !added.is_empty() {
        plan.set("subjects", held.into_iter().chain(added.clone()).collect());
    } else if removes && !(added.is_empty() && extra.is_empty()) {
        plan.set("subjects", Value::Array(wanted));
    }
    (plan.added, plan.extra) = (show_subjects(&added), show_subjects(&extra));
    plan
}

/// Those of `all` that are not in `known`, once each.
fn others(all: &[Value], known: &[Value]) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for one in all {
        if !known.iter().chain(&found).any(|other| is_same(other, one)) {
            found.push(one.clone());
        }
    }
    found
}

/// Whether references have the same fields, where one that is empty is none.
fn is_same(one: &Value, other: &Value) -> bool {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    ["apiGroup", "kind", "name", "namespace"].iter().all(|field| text(one, field) == text(other, field))
}

fn show_subjects(subjects: &[Value]) -> Vec<String> {
    let read = |subject: &Value| serde_json::from_value::<Subject>(subject.clone()).unwrap_or_default();
    subjects.iter().map(|subject| shown_subject(&read(subject))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(plan: &Plan, operation: Operation, lines: &[&str]) {
        assert_eq!(plan.operation, operation, "{plan:?}");
        let names = |prefix: &str, all: &[String]| all.iter().map(|one| format!("{prefix}{one}")).collect::<Vec<_>>();
        let found = [names("+", &plan.added), names("-", &plan.extra)].concat();
        assert_eq!(found.len(), lines.len(), "{found:?}");
        assert!(found.iter().zip(lines).all(|(found, part)| found.contains(part)), "{found:?}");
    }

    #[test]
    fn roles_get_what_they_lack() {
        let of = |verbs: &[&str]| json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]});
        let (get, list, both) = (of(&["get"]), of(&["list"]), of(&["get", "list"]));
        let plan = |existing: Option<&Value>, expected: &Value, removes| role(existing, expected, removes).unwrap();
        check(&plan(None, &both, false), Operation::Create, &["[get list]"]);
        check(&plan(Some(&both), &get, false), Operation::None, &["[list]"]);
        check(&plan(Some(&both), &get, true), Operation::Update, &["[list]"]);
        assert_eq!(plan(Some(&both), &get, true).object, get);
        let union = plan(Some(&get), &list, false);
        check(&union, Operation::Update, &["[list]", "[get]"]);
        assert_eq!(union.object["rules"], json!([get["rules"][0], list["rules"][0]]));
        assert!(role(None, &json!({"rules": [3]}), false).is_err());
    }

    #[test]
    fn labels_are_added_and_who_opts_out_is_known() {
        let expected = json!({"metadata": {"labels": {"a": "new", "b": "c"}}});
        let existing = json!({"metadata": {"labels": {"a": "own"}, "annotations": {AUTO_UPDATE: "false"}}});
        let plan = role(Some(&existing), &expected, false).unwrap();
        check(&plan, Operation::Update, &[]);
        assert_eq!(plan.object["metadata"]["labels"], json!({"a": "own", "b": "c"}));
        let words = "\treconciliation required update, but object opted out \
                     (rbac.authorization.kubernetes.io/autoupdate: false)";
        assert_eq!(plan.lines(false, false), [words]);
    }

    #[test]
    fn roles_gather_what_is_expected() {
        let of = |labels: &[&str]| {
            let selectors: Vec<Value> = labels.iter().map(|label| json!({"matchLabels": {*label: "y"}})).collect();
            json!({"aggregationRule": {"clusterRoleSelectors": selectors}})
        };
        let check = |existing: &Value, expected: &Value, removes: bool, operation: Operation, result: &Value| {
            let plan = role(Some(existing), expected, removes).unwrap();
            assert_eq!((plan.operation, &plan.object["aggregationRule"]), (operation, &result["aggregationRule"]));
        };
        let (a, b, none) = (of(&["a"]), of(&["b"]), json!({}));
        check(&a, &a, true, Operation::None, &a);
        check(&a, &b, false, Operation::Update, &of(&["a", "b"]));
        check(&a, &b, true, Operation::Update, &b);
        check(&a, &none, false, Operation::Update, &none);
        check(&none, &a, false, Operation::Update, &a);
    }

    #[test]
    fn bindings_get_whom_they_lack() {
        let user = |name: &str| json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name});
        let of = |role: &str, names: &[&str]| {
            let subjects: Vec<Value> = names.iter().map(|name| user(name)).collect();
            json!({"roleRef": {"kind": "Role", "name": role}, "subjects": subjects})
        };
        check(&binding(None, &of("r", &["a"]), false), Operation::Create, &["Name:a"]);
        check(&binding(Some(&of("r", &["a"])), &of("r", &["a"]), true), Operation::None, &[]);
        let union = binding(Some(&of("r", &["a"])), &of("r", &["b", "b"]), false);
        check(&union, Operation::Update, &["Name:b", "Name:a"]);
        assert_eq!(union.object, of("r", &["a", "b"]));
        let replaced = binding(Some(&of("r", &["a"])), &of("r", &["b"]), true);
        assert_eq!(replaced.object, of("r", &["b"]));
        let lines = [
            "\treconciliation required update",
            "\tmissing subjects added:",
            "\t\t{Kind:User APIGroup:rbac.authorization.k8s.io Name:b Namespace:}",
            "\textra subjects removed:",
            "\t\t{Kind:User APIGroup:rbac.authorization.k8s.io Name:a Namespace:}",
        ];
        assert_eq!(replaced.lines(true, true), lines);
        check(&binding(Some(&of("r", &["a"])), &of("s", &["a"]), false), Operation::Recreate, &[]);
    }
}
