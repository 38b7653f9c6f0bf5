//! Being with a pod that was made just now: waiting for it, its output and its input, and what it ends with.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::commands::attach;
use crate::follow::{Change, Follow};
use crate::pods::{self, metadata};
use crate::resources::Resource;
use crate::session::Ask;
use crate::{Error, Session};

/// What to do with a pod.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    pub(super) how: attach::How,
    /// For how long to wait for the pod to run, and to end.
    pub(super) timeout: Duration,
    pub(super) restart: String,
    /// Whether the container goes on without whoever was with it.
    pub(super) goes_on: bool,
}

impl Attached {
    /// Is with it. Gives its exit code and what is to be said, if it has failed.
    pub(super) async fn hold(
        self,
        session: &mut Session<'_>,
        resource: &Resource,
        pod: &Value,
    ) -> Result<Option<(u8, String)>, Error> {
        let (namespace, name) = (metadata(pod, "namespace").to_owned(), metadata(pod, "name").to_owned());
        let mut follow = Follow::new(resource.clone(), namespace, name);
        let running = until(session, &mut follow, self.timeout, |pod| pods::is_completed(pod) || is_ready(pod)).await?;
        attach_or_show(session, &running, self.how).await?;
        if self.goes_on || self.restart == "Always" {
            return Ok(None);
        }
        let only_success = self.restart == "OnFailure";
        let has_ended =
            |pod: &Value| pods::is_completed(pod) && !(only_success && pod["status"]["phase"] != "Succeeded");
        let ended = until(session, &mut follow, self.timeout, has_ended).await?;
        failure(&ended)
    }
}

/// Is with it; shows what it has said if it has ended already, or if nobody can be with it.
async fn attach_or_show(session: &mut Session<'_>, pod: &Value, how: attach::How) -> Result<(), Error> {
    let (container, remark) = pods::container(pod, "")?;
    if let Some(remark) = remark.filter(|_| !how.quiet) {
        session.remark(&remark)?;
    }
    if pods::is_completed(pod) {
        return show_logs(session, pod, &container).await;
    }
    // What it said before somebody was with it is not lost.
    if let Err(error) = show_logs(session, pod, &container).await {
        session.remark(&format!("warning: couldn't fetch pre-attach logs: {}", plain(&error)))?;
    }
    session.flush()?;
    attach_or_logs(session, pod, &container, how).await
}

/// Is with a container's process; shows what it has said if nobody can be.
pub(crate) async fn attach_or_logs(
    session: &mut Session<'_>,
    pod: &Value,
    container: &str,
    how: attach::How,
) -> Result<(), Error> {
    match attach::hold(session, pod, container, how).await {
        Err(error @ (Error::Said(_) | Error::Server(_))) => {
            let (name, why) = (metadata(pod, "name"), plain(&error));
            session
                .remark(&format!("warning: couldn't attach to pod/{name}, falling back to streaming logs: {why}"))?;
            show_logs(session, pod, container).await
        }
        other => other,
    }
}

/// Without what is said before an error that stands alone.
fn plain(error: &Error) -> String {
    match error {
        Error::Server(status) => status["message"].as_str().unwrap_or_default().to_owned(),
        Error::Said(why) => why.clone(),
        other => other.to_string(),
    }
}

/// Shows what a container has said so far.
pub(crate) async fn show_logs(session: &mut Session<'_>, pod: &Value, container: &str) -> Result<(), Error> {
    let path = format!("{}/log", pods::path(metadata(pod, "namespace"), metadata(pod, "name")));
    let said = session.ask(Ask { accept: "*/*", ..Ask::get(&path) }.query("container", container)).await?;
    session.write_bytes(&said)
}

/// Waits until something is true of the pod.
async fn until(
    session: &mut Session<'_>,
    follow: &mut Follow,
    timeout: Duration,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Value, Error> {
    let waited = tokio::time::timeout(timeout, wait(session, follow, is_it)).await;
    waited.map_err(|_| Error::said("timed out waiting for the condition"))?
}

/// Waits for it for as long as it takes.
pub(crate) async fn wait(
    session: &mut Session<'_>,
    follow: &mut Follow,
    is_it: impl Fn(&Value) -> bool,
) -> Result<Value, Error> {
    let name = follow.name.clone();
    let gone = || {
        let message = format!("pods {name:?} not found");
        Error::Server(Box::new(json!({"reason": "NotFound", "message": message})))
    };
    loop {
        let mut pod = follow.open(session).await?.ok_or_else(gone)?;
        loop {
            if is_it(&pod) {
                return Ok(pod);
            }
            pod = match follow.change().await {
                Change::Now(pod) => pod,
                Change::Gone => return Err(gone()),
                Change::Unknown => break,
            };
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let is_ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    pod["status"]["phase"] == "Running" && is_ready
}

/// The exit code of a pod that has failed, and what is said of it. Such a pod has one container.
fn failure(pod: &Value) -> Result<Option<(u8, String)>, Error> {
    if pod["status"]["phase"] != "Failed" {
        return Ok(None);
    }
    let (namespace, name) = (metadata(pod, "namespace"), metadata(pod, "name"));
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    let code = terminated["exitCode"].as_u64().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    let Some(code) = code else {
        return Err(Error::said(format!("pod {namespace}/{name} failed with unknown exit code")));
    };
    let text = |field: &str| terminated[field].as_str().unwrap_or_default();
    let why = format!("pod {namespace}/{name} terminated ({})\n{}", text("reason"), text("message"));
    Ok(Some((code, why.strip_suffix('\n').unwrap_or(&why).to_owned())))
}

/// Deletes an object that was made for this, and says so. Others are not kept by one that has gone already.
pub(super) async fn remove(
    session: &mut Session<'_>,
    (resource, object): &(Resource, Value),
    quiet: bool,
) -> Result<(), Error> {
    let (namespace, name) = (metadata(object, "namespace"), metadata(object, "name"));
    let path = resource.object_path(namespace, name);
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    match session.json(Ask::with(Method::DELETE, &path, &options)).await {
        Err(error) if error.reason() == Some("NotFound") => return Ok(()),
        answer => answer?,
    };
    if quiet {
        return Ok(());
    }
    let kind = resource.object("");
    session.say(&format!("{} {name:?} deleted from {namespace} namespace", kind.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, terminated: Value) -> Value {
        let statuses = json!([{"state": {"terminated": terminated}}]);
        json!({"metadata": {"namespace": "n", "name": "p"}, "status": {"phase": phase, "containerStatuses": statuses}})
    }

    #[test]
    fn a_failed_pod_has_an_exit_code() {
        let ended = |phase: &str, terminated| failure(&pod(phase, terminated));
        assert!(matches!(ended("Succeeded", json!({"exitCode": 0})), Ok(None)));
        let (code, why) = ended("Failed", json!({"exitCode": 3, "reason": "Error"})).unwrap().unwrap();
        assert_eq!((code, why.as_str()), (3, "pod n/p terminated (Error)"));
        let (_, why) = ended("Failed", json!({"exitCode": 3, "reason": "Error", "message": "why"})).unwrap().unwrap();
        assert_eq!(why, "pod n/p terminated (Error)\nwhy");
        for unknown in [json!({"exitCode": 0}), json!(null)] {
            let error = ended("Failed", unknown).unwrap_err().to_string();
            assert_eq!(error, "error: pod n/p failed with unknown exit code");
        }
    }

    #[test]
    fn a_pod_is_there_once_it_runs_and_is_ready() {
        let with = |phase: &str, ready: &str| {
            is_ready(&json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}}))
        };
        assert!(with("Running", "True") && !with("Running", "False") && !with("Pending", "True"));
    }
}
