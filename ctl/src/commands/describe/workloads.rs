//! What makes pods: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs.

use serde_json::Value;

use super::page::{Page, controller, list, or_none, pairs, selector, shown, truth};
use super::{Subject, pod};

/// A Deployment.
pub(super) fn deployment(page: &mut Page, subject: &Subject) {
    let deployment = &subject.object;
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    page.head(deployment);
    page.created(deployment);
    page.notes(deployment);
    page.field(0, "Selector", &selector(&spec["selector"]));
    let of = |field: &str| number(&status[field]);
    page.field(
        0,
        "Replicas",
        &format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number(&spec["replicas"]),
            of("updatedReplicas"),
            of("replicas"),
            of("availableReplicas"),
            of("unavailableReplicas")
        ),
    );
    page.field(0, "StrategyType", &shown(&spec["strategy"]["type"]));
    page.field(0, "MinReadySeconds", &number(&spec["minReadySeconds"]).to_string());
    let rolling = &spec["strategy"]["rollingUpdate"];
    if !rolling.is_null() {
        let (unavailable, surge) = (shown(&rolling["maxUnavailable"]), shown(&rolling["maxSurge"]));
        page.field(0, "RollingUpdateStrategy", &format!("{unavailable} max unavailable, {surge} max surge"));
    }
    pod::template(page, &spec["template"]);
    page.conditions(deployment);
    let (old, new) = generations(deployment, subject.related("replicasets"));
    if !(old.is_empty() && new.is_empty()) {
        page.field(0, "OldReplicaSets", &sets(&old));
        page.field(0, "NewReplicaSet", &sets(&new));
    }
    page.events(subject.events.as_deref());
}

/// A Deployment's ReplicaSets: those of former templates, and the one of the present one.
pub(crate) fn generations<'a>(deployment: &Value, sets: &'a [Value]) -> (Vec<&'a Value>, Vec<&'a Value>) {
    let mut own: Vec<&Value> = sets.iter().filter(|set| is_controlled(set, deployment)).collect();
    own.sort_by_key(|set| (shown(&set["metadata"]["creationTimestamp"]), shown(&set["metadata"]["name"])));
    let new = own.iter().position(|set| template(set) == template(deployment));
    let new: Vec<&Value> = new.map(|index| own.remove(index)).into_iter().collect();
    (own, new)
}

/// The template, without the label that tells its ReplicaSets from each other.
fn template(object: &Value) -> Value {
    let mut template = object["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    template
}

/// Whether one object is controlled by another.
pub(crate) fn is_controlled(object: &Value, by: &Value) -> bool {
    controller(object).is_some_and(|owner| owner["uid"] == by["metadata"]["uid"])
}

fn sets(sets: &[&Value]) -> String {
    let text = |set: &&Value| {
        let (name, made, desired) = (&set["metadata"]["name"], &set["status"]["replicas"], &set["spec"]["replicas"]);
        format!("{} ({}/{} replicas created)", shown(name), number(made), number(desired))
    };
    or_none(sets.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// A ReplicaSet, or a ReplicationController.
pub(super) fn replica_set(page: &mut Page, subject: &Subject) {
    let set = &subject.object;
    let (spec, status) = (&set["spec"], &set["status"]);
    page.head(set);
    let by = match subject.kind.as_str() {
        "ReplicationController" => pairs(&spec["selector"]).join(","),
        _ => selector(&spec["selector"]),
    };
    page.field(0, "Selector", &or_none(by));
    page.notes(set);
    page.controller(set);
    page.field(
        0,
        "Replicas",
        &format!("{} current / {} desired", number(&status["replicas"]), number(&spec["replicas"])),
    );
    match subject.failure("pods") {
        Some(failure) => page.field(0, "Pods Status", &format!("error in fetching pods: {failure}")),
        None => page.field(0, "Pods Status", &phases(subject)),
    }
    pod::template(page, &spec["template"]);
    page.conditions(set);
    page.events(subject.events.as_deref());
}

/// A StatefulSet.
pub(super) fn stateful_set(page: &mut Page, subject: &Subject) {
    let set = &subject.object;
    let (spec, status) = (&set["spec"], &set["status"]);
    page.head(set);
    page.created(set);
    page.field(0, "Selector", &selector(&spec["selector"]));
    page.notes(set);
    page.field(
        0,
        "Replicas",
        &format!("{} desired | {} total", number(&spec["replicas"]), number(&status["replicas"])),
    );
    page.field(0, "Update Strategy", &shown(&spec["updateStrategy"]["type"]));
    let rolling = &spec["updateStrategy"]["rollingUpdate"];
    if !rolling["partition"].is_null() {
        page.field(1, "Partition", &shown(&rolling["partition"]));
        page.field_if(1, "MaxUnavailable", &rolling["maxUnavailable"]);
    }
    page.field(0, "Pods Status", &phases(subject));
    pod::template(page, &spec["template"]);
    claims(page, list(&spec["volumeClaimTemplates"]));
    page.events(subject.events.as_deref());
}

fn claims(page: &mut Page, templates: &[Value]) {
    page.line(0, if templates.is_empty() { "Volume Claims:\t<none>" } else { "Volume Claims:" });
    for template in templates {
        let (meta, spec) = (&template["metadata"], &template["spec"]);
        page.field(1, "Name", &shown(&meta["name"]));
        page.field(1, "StorageClass", &shown(&spec["storageClassName"]));
        for (title, field) in [("Labels", "labels"), ("Annotations", "annotations")] {
            let all = pairs(&meta[field]);
            if all.is_empty() {
                page.field(1, title, "<none>");
            }
            for (index, text) in all.iter().enumerate() {
                page.put(&if index == 0 { format!("  {title}:\t{text}\n") } else { format!("  \t{text}\n") });
            }
        }
        let capacity = shown(&spec["resources"]["requests"]["storage"]);
        page.field(1, "Capacity", if capacity.is_empty() { "<default>" } else { &capacity });
        let modes: Vec<String> = list(&spec["accessModes"]).iter().map(shown).collect();
        page.field(1, "Access Modes", &format!("[{}]", modes.join(" ")));
    }
}

/// A DaemonSet.
pub(super) fn daemon_set(page: &mut Page, subject: &Subject) {
    let set = &subject.object;
    let (spec, status) = (&set["spec"], &set["status"]);
    page.head(set);
    page.field(0, "Selector", &selector(&spec["selector"]));
    page.field(0, "Node-Selector", &or_none(pairs(&spec["template"]["spec"]["nodeSelector"]).join(",")));
    page.notes(set);
    for (title, field) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        page.line(0, &format!("{title}: {}", number(&status[field])));
    }
    page.field(0, "Pods Status", &phases(subject));
    pod::template(page, &spec["template"]);
    page.events(subject.events.as_deref());
}

/// A Job.
pub(super) fn job(page: &mut Page, subject: &Subject) {
    let job = &subject.object;
    let (spec, status) = (&job["spec"], &job["status"]);
    page.head(job);
    page.field(0, "Selector", &selector(&spec["selector"]));
    page.notes(job);
    page.controller(job);
    page.field_if(0, "Parallelism", &spec["parallelism"]);
    page.field(0, "Completions", &or_unset(&spec["completions"]));
    for (title, field) in [
        ("Completion Mode", "completionMode"),
        ("Suspend", "suspend"),
        ("Backoff Limit", "backoffLimit"),
        ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
    ] {
        page.field_if(0, title, &spec[field]);
    }
    let (started, completed) = (&status["startTime"], &status["completionTime"]);
    for (title, time) in [("Start Time", started), ("Completed At", completed)] {
        if !time.is_null() {
            let time = page.clock.time(time);
            page.field(0, title, &time);
        }
    }
    if let (Some(started), Some(completed)) = (super::page::moment(started), super::page::moment(completed)) {
        page.field(0, "Duration", &api::duration::human(completed.duration_since(started).as_secs()));
    }
    if !spec["activeDeadlineSeconds"].is_null() {
        page.field(0, "Active Deadline Seconds", &format!("{}s", shown(&spec["activeDeadlineSeconds"])));
    }
    let of = |field: &str| number(&status[field]);
    let ready = status["ready"].as_i64().map(|ready| format!(" ({ready} Ready)")).unwrap_or_default();
    page.field(
        0,
        "Pods Statuses",
        &format!("{} Active{ready} / {} Succeeded / {} Failed", of("active"), of("succeeded"), of("failed")),
    );
    if spec["completionMode"] == "Indexed" {
        page.field(0, "Completed Indexes", &indexes(&shown(&status["completedIndexes"])));
    }
    pod::template(page, &spec["template"]);
    page.events(subject.events.as_deref());
}

/// Indexes, of which a long list is cut at a comma.
fn indexes(indexes: &str) -> String {
    match indexes.get(50..).and_then(|rest| rest.find(',')) {
        Some(comma) => format!("{}...", &indexes[..=50 + comma]),
        None => or_none(indexes.to_owned()),
    }
}

/// A CronJob.
pub(super) fn cron_job(page: &mut Page, subject: &Subject) {
    let job = &subject.object;
    let (spec, status) = (&job["spec"], &job["status"]);
    page.head(job);
    page.notes(job);
    page.field(0, "Schedule", &shown(&spec["schedule"]));
    page.field(0, "Concurrency Policy", &shown(&spec["concurrencyPolicy"]));
    page.field(0, "Suspend", spec["suspend"].as_bool().map_or("<unset>", truth));
    page.field(0, "Time Zone", &or_unset(&spec["timeZone"]));
    page.field(0, "Successful Job History Limit", &or_unset(&spec["successfulJobsHistoryLimit"]));
    page.field(0, "Failed Job History Limit", &or_unset(&spec["failedJobsHistoryLimit"]));
    let deadline = &spec["startingDeadlineSeconds"];
    let unit = if deadline.is_null() { "" } else { "s" };
    page.field(0, "Starting Deadline Seconds", &format!("{}{unit}", or_unset(deadline)));
    let template = &spec["jobTemplate"]["spec"];
    let by = if template["selector"].is_null() { "<unset>".to_owned() } else { selector(&template["selector"]) };
    page.field(0, "Selector", &by);
    page.field(0, "Parallelism", &or_unset(&template["parallelism"]));
    page.field(0, "Completions", &or_unset(&template["completions"]));
    if !template["activeDeadlineSeconds"].is_null() {
        page.field(0, "Active Deadline Seconds", &format!("{}s", shown(&template["activeDeadlineSeconds"])));
    }
    pod::template(page, &template["template"]);
    let last = &status["lastScheduleTime"];
    let last = if last.is_null() { "<unset>".to_owned() } else { page.clock.time(last) };
    page.field(0, "Last Schedule Time", &last);
    let active: Vec<String> = list(&status["active"]).iter().map(|job| shown(&job["name"])).collect();
    page.field(0, "Active Jobs", &or_none(active.join(", ")));
    page.events(subject.events.as_deref());
}

fn or_unset(value: &Value) -> String {
    if value.is_null() { "<unset>".to_owned() } else { shown(value) }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// How many of a controller's own pods are how far.
fn phases(subject: &Subject) -> String {
    let own = subject.related("pods").iter().filter(|pod| is_controlled(pod, &subject.object));
    let mut counts =
        [("Running", "Running", 0), ("Pending", "Waiting", 0), ("Succeeded", "Succeeded", 0), ("Failed", "Failed", 0)];
    for pod in own {
        for (_, _, count) in counts.iter_mut().filter(|(phase, ..)| pod["status"]["phase"] == *phase) {
            *count += 1;
        }
    }
    counts.map(|(_, title, count)| format!("{count} {title}")).join(" / ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_lists_of_indexes_are_cut() {
        let check = |text: &str, expected: &str| assert_eq!(indexes(text), expected);
        check("", "<none>");
        check("0-3,5", "0-3,5");
        let long = (0..40).map(|index| index.to_string()).collect::<Vec<_>>().join(",");
        check(&long, "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,...");
    }

    #[test]
    fn the_new_replica_set_has_the_same_template() {
        let set = |name: &str, image: &str, uid: &str| {
            json!({"metadata": {"name": name, "creationTimestamp": name,
                    "ownerReferences": [{"controller": true, "uid": uid}]},
                "spec": {"replicas": 2, "template": {"metadata": {"labels": {"pod-template-hash": name}},
                    "spec": {"image": image}}}, "status": {"replicas": 1}})
        };
        let deployment = json!({"metadata": {"uid": "u"},
            "spec": {"template": {"metadata": {"labels": {}}, "spec": {"image": "new"}}}});
        let all = [set("c", "new", "u"), set("b", "old", "u"), set("a", "older", "u"), set("x", "new", "other")];
        let (old, new) = generations(&deployment, &all);
        assert_eq!(sets(&old), "a (1/2 replicas created), b (1/2 replicas created)");
        assert_eq!(sets(&new), "c (1/2 replicas created)");
        assert_eq!(sets(&[]), "<none>");
    }
}
