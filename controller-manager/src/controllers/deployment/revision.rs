//! Revisions: which ReplicaSet came when, and what is written on ReplicaSets for those who roll back.
//!
//! The ReplicaSet that has a Deployment's template has the highest revision, also after a return to an old template: its
//! former revisions go to its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::budget::{Budget, wanted};

pub(super) type Annotations = BTreeMap<String, String>;

/// The revision of a ReplicaSet, and of a Deployment that of its new ReplicaSet.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The revisions that a ReplicaSet had before, from the oldest to the newest.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many pods the Deployment was to have when the ReplicaSet got its size.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// How many pods there could be in all when the ReplicaSet got its size.
const MOST: &str = "deployment.kubernetes.io/max-replicas";
/// To which revision a client of an old version of the API wants to return.
pub(super) const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How long the history of revisions may be.
const LONGEST_HISTORY: usize = 2000;

/// Whether an annotation is one object's own, and not copied between Deployments and ReplicaSets.
pub(super) fn is_own(key: &str) -> bool {
    [REVISION, HISTORY, DESIRED, MOST, ROLLBACK_TO, LAST_APPLIED].contains(&key)
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The revision of a ReplicaSet: 0 if it has none, and `None` if what it has is no number.
pub(super) fn revision(set: &ReplicaSet) -> Option<i64> {
    annotation(&set.metadata, REVISION).map_or(Some(0), |text| text.parse().ok())
}

/// Whether a ReplicaSet had another revision before.
pub(super) fn has_history(set: &ReplicaSet) -> bool {
    annotation(&set.metadata, HISTORY).is_some()
}

fn count(set: &ReplicaSet, key: &str) -> Option<i64> {
    let count: i32 = annotation(&set.metadata, key)?.parse().ok()?;
    Some(i64::from(count)).filter(|count| *count >= 0)
}

/// How many pods the Deployment was to have when the ReplicaSet got its size.
pub(super) fn desired_then(set: &ReplicaSet) -> Option<i64> {
    count(set, DESIRED)
}

/// How many pods there could be in all when the ReplicaSet got its size.
pub(super) fn most_then(set: &ReplicaSet) -> Option<i64> {
    count(set, MOST)
}

/// Notes on a ReplicaSet for what it gets its size.
pub(super) fn note_scale(annotations: &mut Annotations, budget: Budget) {
    annotations.insert(DESIRED.to_owned(), budget.replicas.to_string());
    annotations.insert(MOST.to_owned(), budget.most().to_string());
}

/// Notes on the new ReplicaSet what it has of its Deployment, and that its revision is `newest` at least.
pub(super) fn note_new(annotations: &mut Annotations, deployment: &ObjectMeta, newest: i64) {
    for (key, value) in deployment.annotations.iter().flatten().filter(|(key, _)| !is_own(key)) {
        annotations.insert(key.clone(), value.clone());
    }
    let old = annotations.get(REVISION).cloned();
    // A revision that is no number was not written here. It stays.
    let Ok(revision) = old.as_deref().filter(|old| !old.is_empty()).map_or(Ok(0), str::parse::<i64>) else { return };
    // It is higher if ReplicaSets are gone that came between.
    if revision >= newest {
        return;
    }
    annotations.insert(REVISION.to_owned(), newest.to_string());
    if let Some(old) = old {
        let history = annotations.entry(HISTORY.to_owned()).or_default();
        remember(history, &old);
    }
}

/// Appends a revision to a history, of which the beginning goes if it gets too long.
fn remember(history: &mut String, revision: &str) {
    if history.is_empty() || history.starts_with(',') {
        revision.clone_into(history);
        return;
    }
    let mut rest = history.as_str();
    while rest.len() + 1 + revision.len() > LONGEST_HISTORY {
        match rest.split_once(',') {
            Some((_, later)) => rest = later,
            None => return,
        }
    }
    *history = format!("{rest},{revision}");
}

/// What orders ReplicaSets by age.
pub(super) fn age(set: &ReplicaSet) -> (Option<&Time>, Option<&str>) {
    (set.metadata.creation_timestamp.as_ref(), set.metadata.name.as_deref())
}

/// The old ReplicaSets that are too many to be kept for a return to them: those of the lowest revisions, unless they still
/// have pods, or may have. None that is being deleted counts.
pub(super) fn excess<'a>(spec: &DeploymentSpec, old: impl Iterator<Item = &'a Arc<ReplicaSet>>) -> Vec<&'a ReplicaSet> {
    let Some(limit) = spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else { return Vec::new() };
    let mut old: Vec<&ReplicaSet> =
        old.filter(|set| set.metadata.deletion_timestamp.is_none()).map(AsRef::as_ref).collect();
    old.sort_by_key(|set| (revision(set).unwrap_or(0), age(set)));
    let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.into_iter().take(excess).filter(|set| is_without_pods(set)).collect()
}

fn is_without_pods(set: &ReplicaSet) -> bool {
    let status = set.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation).unwrap_or(0);
    wanted(set) == 0
        && status.is_none_or(|status| status.replicas == 0)
        && set.metadata.generation.unwrap_or(0) <= observed
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn annotations(value: &Value) -> Annotations {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn the_new_one_is_annotated() {
        let check = |deployment: Value, old: Value, newest: i64, expected: Value| {
            let mut set = annotations(&old);
            let deployment = ObjectMeta { annotations: Some(annotations(&deployment)), ..ObjectMeta::default() };
            note_new(&mut set, &deployment, newest);
            assert_eq!(set, annotations(&expected), "{old} {newest}");
        };
        check(json!({}), json!({}), 1, json!({REVISION: "1"}));
        check(json!({}), json!({REVISION: ""}), 1, json!({REVISION: "1", HISTORY: ""}));
        check(json!({}), json!({REVISION: "3"}), 2, json!({REVISION: "3"}));
        check(json!({}), json!({REVISION: "3"}), 3, json!({REVISION: "3"}));
        check(json!({}), json!({REVISION: "1"}), 4, json!({REVISION: "4", HISTORY: "1"}));
        check(json!({}), json!({REVISION: "4", HISTORY: "1"}), 6, json!({REVISION: "6", HISTORY: "1,4"}));
        check(json!({}), json!({REVISION: "x"}), 6, json!({REVISION: "x"}));
        let deployment = json!({
            "a": "1", "b": "2", REVISION: "7", HISTORY: "5", DESIRED: "8", MOST: "9", ROLLBACK_TO: "1", LAST_APPLIED: "{}",
        });
        let expected = json!({"a": "1", "b": "2", "c": "3", REVISION: "2"});
        check(deployment, json!({"b": "0", "c": "3", REVISION: "2"}), 2, expected);
    }

    #[test]
    fn histories_are_cut_at_their_beginning() {
        let check = |history: &str, revision: &str, expected: &str| {
            let mut history = history.to_owned();
            remember(&mut history, revision);
            assert_eq!(history, expected);
        };
        check("", "1", "1");
        check("1", "2", "1,2");
        let long: Vec<String> = (1000..1400).map(|number| number.to_string()).collect();
        check(&long.join(","), "1400", &format!("{},1400", long[1..].join(",")));
        check(&"9".repeat(2000), "1", &"9".repeat(2000));
    }

    fn set(name: &str, change: impl FnOnce(&mut Value)) -> Arc<ReplicaSet> {
        let mut set = json!({
            "metadata": {"name": name, "generation": 3, "annotations": {}},
            "spec": {"replicas": 0, "selector": {}}, "status": {"replicas": 0, "observedGeneration": 3},
        });
        change(&mut set);
        Arc::new(serde_json::from_value(set).unwrap())
    }

    fn with_revision(name: &str, revision: &str) -> Arc<ReplicaSet> {
        set(name, |set| set["metadata"]["annotations"][REVISION] = json!(revision))
    }

    #[test]
    fn only_so_many_are_kept() {
        let check = |limit: Option<i32>, old: &[Arc<ReplicaSet>], expected: &[&str]| {
            let spec = DeploymentSpec { revision_history_limit: limit, ..DeploymentSpec::default() };
            let names: Vec<&str> =
                excess(&spec, old.iter()).into_iter().map(|set| set.metadata.name.as_deref().unwrap()).collect();
            assert_eq!(names, expected);
        };
        let three = [with_revision("c", "10"), with_revision("a", "9"), with_revision("b", "2")];
        check(Some(3), &three, &[]);
        check(Some(1), &three, &["b", "a"]);
        check(Some(0), &three, &["b", "a", "c"]);
        check(None, &three, &[]);
        check(Some(i32::MAX), &three, &[]);
        let pods = |field: &'static str| {
            move |set: &mut Value| match field {
                "spec" => set["spec"]["replicas"] = json!(1),
                "status" => set["status"]["replicas"] = json!(1),
                "generation" => set["metadata"]["generation"] = json!(4),
                _ => set["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z"),
            }
        };
        // One with pods is kept, and nothing goes in its stead; one that is being deleted does not count.
        check(Some(1), &[set("a", pods("spec")), with_revision("b", "5")], &[]);
        check(Some(0), &[set("a", pods("status")), with_revision("b", "5")], &["b"]);
        check(Some(0), &[set("a", pods("generation")), with_revision("b", "5")], &["b"]);
        check(Some(1), &[set("a", pods("deleted")), with_revision("b", "5")], &[]);
    }

    #[test]
    fn numbers_are_read() {
        let check = |value: Option<&str>, expected_revision: Option<i64>, expected_count: Option<i64>| {
            let set = set("a", |set| {
                for key in [REVISION, DESIRED, MOST].iter().filter(|_| value.is_some()) {
                    set["metadata"]["annotations"][key] = json!(value);
                }
            });
            assert_eq!(revision(&set), expected_revision);
            assert_eq!((desired_then(&set), most_then(&set)), (expected_count, expected_count));
        };
        check(None, Some(0), None);
        check(Some("7"), Some(7), Some(7));
        check(Some("-7"), Some(-7), None);
        check(Some("seven"), None, None);
        check(Some("99999999999"), Some(99_999_999_999), None);
    }
}
