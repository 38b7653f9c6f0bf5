//! `gantry rollout status`.

use clap::Args;
use serde_json::Value;

use super::Workloads;
use crate::follow::Follow;
use crate::session::duration;
use crate::target::finish;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    workloads: Workloads,
    /// Go on until it is done.
    #[arg(short, long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    watch: bool,
    /// Fail if it is not this revision that is rolled out; 0 is any.
    #[arg(long, value_name = "REVISION", default_value_t = 0, allow_negative_numbers = true)]
    revision: i64,
    /// For how long to wait, such as 30s; 0 is as long as it takes.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    timeout: String,
}

/// Shows how a rollout goes on, until it is done.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.revision < 0 {
        return Err(Error::said(format!("revision must be a positive integer: {}", arguments.revision)));
    }
    let timeout = duration("--timeout", &arguments.timeout)?;
    let found = arguments.workloads.find(session).await?;
    finish(session, found.errors)?;
    for target in found.targets {
        if sentence(&target.resource.kind, &target.object, 0).is_none() {
            let group = &target.resource.group;
            let kind = &target.resource.kind;
            let name = if group.is_empty() { kind.clone() } else { format!("{kind}.{group}") };
            return Err(Error::said(format!("no status viewer has been implemented for {name}")));
        }
        let watch = arguments.watch;
        let see = |object: &Value| {
            let said = sentence(&target.resource.kind, object, arguments.revision);
            let (line, is_done) = said.transpose().map_err(Error::said)?.unwrap_or_default();
            Ok((line, is_done || !watch))
        };
        let mut follow = Follow::new(target.resource.clone(), target.namespace.clone(), target.name.clone());
        let all = follow.show(session, see);
        match timeout {
            None => all.await?,
            Some(timeout) => tokio::time::timeout(timeout, all)
                .await
                .unwrap_or_else(|_| Err(Error::said("timed out waiting for the condition")))?,
        }
    }
    Ok(())
}

/// How far a rollout is, in kubectl's words, and whether it is done; or why it never will be. `None` for other kinds.
fn sentence(kind: &str, object: &Value, revision: i64) -> Option<Result<(String, bool), String>> {
    match kind {
        "Deployment" => Some(deployment(object, revision)),
        "DaemonSet" => Some(daemon_set(object)),
        "StatefulSet" => Some(stateful_set(object)),
        _ => None,
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn is_observed(object: &Value) -> bool {
    number(&object["metadata"]["generation"]) <= number(&object["status"]["observedGeneration"])
}

fn deployment(object: &Value, revision: i64) -> Result<(String, bool), String> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if revision > 0 {
        let annotation = object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
        let running: i64 = match annotation {
            None => 0,
            Some(text) => {
                text.parse().map_err(|error| format!("cannot get the revision of deployment {name:?}: {error}"))?
            }
        };
        if running != revision {
            return Err(format!("desired revision ({revision}) is different from the running revision ({running})"));
        }
    }
    if !is_observed(object) {
        return Ok(("Waiting for deployment spec update to be observed...".to_owned(), false));
    }
    let status = &object["status"];
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    if conditions.any(|it| it["type"] == "Progressing" && it["reason"] == "ProgressDeadlineExceeded") {
        return Err(format!("deployment {name:?} exceeded its progress deadline"));
    }
    let waiting = |what: String| Ok((format!("Waiting for deployment {name:?} rollout to finish: {what}..."), false));
    let (updated, replicas) = (number(&status["updatedReplicas"]), number(&status["replicas"]));
    let available = number(&status["availableReplicas"]);
    if let Some(wanted) = object["spec"]["replicas"].as_i64().filter(|wanted| updated < *wanted) {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if replicas > updated {
        return waiting(format!("{} old replicas are pending termination", replicas - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Ok((format!("deployment {name:?} successfully rolled out"), true))
}

fn only_rolling(object: &Value) -> Result<(), String> {
    match object["spec"]["updateStrategy"]["type"].as_str() {
        Some("RollingUpdate") => Ok(()),
        _ => Err("rollout status is only available for RollingUpdate strategy type".to_owned()),
    }
}

fn daemon_set(object: &Value) -> Result<(String, bool), String> {
    only_rolling(object)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if !is_observed(object) {
        return Ok(("Waiting for daemon set spec update to be observed...".to_owned(), false));
    }
    let status = &object["status"];
    let wanted = number(&status["desiredNumberScheduled"]);
    let (updated, available) = (number(&status["updatedNumberScheduled"]), number(&status["numberAvailable"]));
    let waiting = |what: String| Ok((format!("Waiting for daemon set {name:?} rollout to finish: {what}..."), false));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new pods have been updated"));
    }
    if available < wanted {
        return waiting(format!("{available} of {wanted} updated pods are available"));
    }
    Ok((format!("daemon set {name:?} successfully rolled out"), true))
}

fn stateful_set(object: &Value) -> Result<(String, bool), String> {
    only_rolling(object)?;
    let (spec, status) = (&object["spec"], &object["status"]);
    if number(&status["observedGeneration"]) == 0 || !is_observed(object) {
        return Ok(("Waiting for statefulset spec update to be observed...".to_owned(), false));
    }
    let (ready, updated) = (number(&status["readyReplicas"]), number(&status["updatedReplicas"]));
    if let Some(wanted) = spec["replicas"].as_i64().filter(|wanted| ready < *wanted) {
        return Ok((format!("Waiting for {} pods to be ready...", wanted - ready), false));
    }
    let rolling = &spec["updateStrategy"]["rollingUpdate"];
    if rolling.is_object() {
        if let (Some(wanted), Some(partition)) = (spec["replicas"].as_i64(), rolling["partition"].as_i64())
            && updated < wanted - partition
        {
            let of = wanted - partition;
            let line = format!(
                "Waiting for partitioned roll out to finish: {updated} out of {of} new pods have been updated..."
            );
            return Ok((line, false));
        }
        return Ok((format!("partitioned roll out complete: {updated} new pods have been updated..."), true));
    }
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    let (current, update) = (text("currentRevision"), text("updateRevision"));
    if update != current {
        let line = format!("waiting for statefulset rolling update to complete {updated} pods at revision {update}...");
        return Ok((line, false));
    }
    let count = number(&status["currentReplicas"]);
    Ok((format!("statefulset rolling update complete {count} pods at revision {current}..."), true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rollouts_are_told_in_kubectls_words() {
        let check = |kind: &str, spec: Value, status: Value, expected: (&str, bool)| {
            let object = json!({"metadata": {"name": "a", "generation": 2}, "spec": spec, "status": status});
            let (line, is_done) = sentence(kind, &object, 0).unwrap().unwrap();
            assert_eq!((line.as_str(), is_done), expected);
        };
        let three = || json!({"replicas": 3});
        let seen = |fields: Value| {
            let mut status = json!({"observedGeneration": 2});
            status.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            status
        };
        let waiting = |what: &str| format!("Waiting for deployment \"a\" rollout to finish: {what}...");
        check("Deployment", three(), json!({}), ("Waiting for deployment spec update to be observed...", false));
        let line = waiting("1 out of 3 new replicas have been updated");
        check("Deployment", three(), seen(json!({"updatedReplicas": 1})), (&line, false));
        let line = waiting("1 old replicas are pending termination");
        check("Deployment", three(), seen(json!({"updatedReplicas": 3, "replicas": 4})), (&line, false));
        let line = waiting("2 of 3 updated replicas are available");
        let status = seen(json!({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}));
        check("Deployment", three(), status, (&line, false));
        let status = seen(json!({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}));
        check("Deployment", three(), status, ("deployment \"a\" successfully rolled out", true));
        let rolling = || json!({"updateStrategy": {"type": "RollingUpdate"}});
        let status = seen(json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}));
        check("DaemonSet", rolling(), status, ("daemon set \"a\" successfully rolled out", true));
        let status = seen(json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}));
        let line = "Waiting for daemon set \"a\" rollout to finish: 1 of 2 updated pods are available...";
        check("DaemonSet", rolling(), status, (line, false));
        let strategy =
            || json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}});
        check(
            "StatefulSet",
            strategy(),
            seen(json!({"readyReplicas": 1})),
            ("Waiting for 2 pods to be ready...", false),
        );
        let line = "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...";
        check("StatefulSet", strategy(), seen(json!({"readyReplicas": 3, "updatedReplicas": 1})), (line, false));
        let line = "partitioned roll out complete: 2 new pods have been updated...";
        check("StatefulSet", strategy(), seen(json!({"readyReplicas": 3, "updatedReplicas": 2})), (line, true));
    }

    #[test]
    fn what_never_will_be_done_is_an_error() {
        let late = json!({"metadata": {"name": "a"}, "status": {"conditions": [
            {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}});
        let error = sentence("Deployment", &late, 0).unwrap().unwrap_err();
        assert_eq!(error, "deployment \"a\" exceeded its progress deadline");
        let error = sentence("Deployment", &late, 2).unwrap().unwrap_err();
        assert_eq!(error, "desired revision (2) is different from the running revision (0)");
        assert!(sentence("DaemonSet", &late, 0).unwrap().unwrap_err().contains("only available for RollingUpdate"));
        assert!(sentence("Service", &late, 0).is_none());
    }
}
