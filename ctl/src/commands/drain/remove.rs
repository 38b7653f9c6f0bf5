//! Has pods go, and waits until they have gone. Evictions that a PodDisruptionBudget forbids are asked for again.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Refused, place, shown};
use crate::dry_run::DryRun;
use crate::progress::Progress;
use crate::session::Ask;
use crate::{Error, Session};

/// How long it takes until an eviction is asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long it takes until the next look which pods are gone.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How pods are removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removal {
    pub(super) evicts: bool,
    pub(super) grace: Option<i64>,
    pub(super) dry_run: DryRun,
    pub(super) timeout: Option<Duration>,
}

/// A pod that is to go.
struct Doomed {
    namespace: String,
    name: String,
    uid: Value,
    place: String,
    path: String,
    /// When it is asked for next; it is going already if there is nothing more to ask for.
    next: Option<Instant>,
}

impl Doomed {
    fn new(pod: &Value, now: Instant) -> Doomed {
        let field = |name: &str| pod["metadata"][name].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (field("namespace"), field("name"));
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            crate::resources::escape(&namespace),
            crate::resources::escape(&name)
        );
        Doomed { namespace, name, uid: pod["metadata"]["uid"].clone(), place: place(pod), path, next: Some(now) }
    }
}

/// Removes pods of a node.
pub(super) async fn remove(
    session: &mut Session<'_>,
    node: &str,
    pods: Vec<Value>,
    removal: Removal,
) -> Result<(), Refused> {
    let mut progress = Progress::new(session);
    let removed = until_gone(session, node, &pods, removal, &mut progress).await;
    progress.clear(session)?;
    let (failures, pending) = removed?;
    if failures.is_empty() {
        return Ok(());
    }
    let why = shown(&failures);
    session.remark(&format!("There are pending pods in node {node:?} when an error occurred: {why}"))?;
    for name in &pending {
        session.remark(&format!("pod/{name}"))?;
    }
    Err(Refused(failures))
}

/// Removes them until none is left that could be. Gives why others could not, and their names.
async fn until_gone(
    session: &mut Session<'_>,
    node: &str,
    pods: &[Value],
    removal: Removal,
    progress: &mut Progress,
) -> Result<(Vec<String>, Vec<String>), Refused> {
    let start = Instant::now();
    let mut doomed: Vec<Doomed> = pods.iter().map(|pod| Doomed::new(pod, start)).collect();
    let (mut failures, mut pending) = (Vec::new(), Vec::new());
    while !doomed.is_empty() {
        let mut rest = Vec::new();
        for mut pod in doomed {
            if pod.next.is_some_and(|at| at <= Instant::now()) {
                progress.clear(session)?;
                match ask(session, &pod, removal).await {
                    Ok(Asked::Going) => pod.next = None,
                    Ok(Asked::Gone) => continue,
                    Ok(Asked::Refused) => pod.next = Some(Instant::now() + AGAIN_AFTER),
                    Err(error @ Error::Server(_)) => {
                        failures.push(failed(&pod, removal, &error));
                        pending.push(pod.name);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if pod.next.is_none() && is_gone(session, &pod).await? {
                progress.clear(session)?;
                let words = if removal.evicts { "evicted" } else { "deleted" };
                session.say(&format!("pod/{} {words}", pod.name))?;
                continue;
            }
            rest.push(pod);
        }
        session.flush()?;
        doomed = rest;
        if let Some(timeout) = removal.timeout.filter(|timeout| start.elapsed() >= *timeout) {
            failures.extend(doomed.iter().map(|pod| late(pod, timeout)));
            pending.extend(doomed.into_iter().map(|pod| pod.name));
            break;
        }
        if !doomed.is_empty() {
            progress.redraw(session, [line(node, &doomed, pods.len())].into_iter())?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok((failures, pending))
}

/// What is seen on a terminal while pods are to go.
fn line(node: &str, doomed: &[Doomed], all: usize) -> String {
    let held = doomed.iter().filter(|pod| pod.next.is_some()).count();
    let held = if held == 0 { String::new() } else { format!(", {held} of them held by a budget") };
    let places: Vec<&str> = doomed.iter().map(|pod| pod.place.as_str()).collect();
    format!("node/{node}: {} of {all} pods still to go{held}: {}", doomed.len(), places.join(", "))
}

fn late(pod: &Doomed, timeout: Duration) -> String {
    let shown = format!("global timeout reached: {}", go_duration(timeout));
    match pod.next {
        Some(_) => format!("error when evicting pods/{:?} -n {:?}: {shown}", pod.name, pod.namespace),
        None => {
            format!("error when waiting for pod {:?} in namespace {:?} to terminate: {shown}", pod.name, pod.namespace)
        }
    }
}

/// A duration as Go writes it.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{}s", duration.as_secs_f64()),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn failed(pod: &Doomed, removal: Removal, error: &Error) -> String {
    let why = match error {
        Error::Server(status) => status["message"].as_str().unwrap_or_default().to_owned(),
        other => other.to_string(),
    };
    let doing = if removal.evicts { "evicting" } else { "deleting" };
    format!("error when {doing} pods/{:?} -n {:?}: {why}", pod.name, pod.namespace)
}

/// What has come of asking.
enum Asked {
    Going,
    Gone,
    /// A budget forbids it now.
    Refused,
}

async fn ask(session: &mut Session<'_>, pod: &Doomed, removal: Removal) -> Result<Asked, Error> {
    if removal.evicts || removal.dry_run != DryRun::None {
        let doing = if removal.evicts { "evicting" } else { "deleting" };
        session.say(&format!("{doing} pod {}{}", pod.place, removal.dry_run.remark()))?;
    }
    if removal.dry_run == DryRun::Client {
        return Ok(Asked::Gone);
    }
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    if let Some(seconds) = removal.grace {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    if removal.dry_run == DryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    let answer = if removal.evicts {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": options,
        });
        session.ask(Ask::with(Method::POST, &format!("{}/eviction", pod.path), &eviction)).await
    } else {
        session.ask(Ask::with(Method::DELETE, &pod.path, &options)).await
    };
    match answer {
        Ok(_) if removal.dry_run == DryRun::Server => Ok(Asked::Gone),
        Ok(_) => Ok(Asked::Going),
        Err(Error::Server(status)) if status["code"] == 404 => Ok(Asked::Gone),
        Err(Error::Server(status)) if removal.evicts && status["code"] == 429 => {
            session.remark(&format!(
                "error when evicting pods/{:?} -n {:?} (will retry after 5s): {}",
                pod.name,
                pod.namespace,
                status["message"].as_str().unwrap_or_default()
            ))?;
            Ok(Asked::Refused)
        }
        Err(error) => Err(error),
    }
}

/// Whether it has gone, or another one of its name is there.
async fn is_gone(session: &mut Session<'_>, pod: &Doomed) -> Result<bool, Error> {
    match session.json(Ask::get(&pod.path)).await {
        Ok(now) => Ok(now["metadata"]["uid"] != pod.uid),
        Err(error) if error.reason() == Some("NotFound") => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_go_is_told() {
        let pod = |name: &str, next: Option<Instant>| {
            let pod = json!({"metadata": {"namespace": "a", "name": name}});
            Doomed { next, ..Doomed::new(&pod, Instant::now()) }
        };
        let going = [pod("b", None), pod("c", None)];
        assert_eq!(line("n", &going, 5), "node/n: 2 of 5 pods still to go: a/b, a/c");
        let held = [pod("b", Some(Instant::now()))];
        assert_eq!(line("n", &held, 5), "node/n: 1 of 5 pods still to go, 1 of them held by a budget: a/b");
    }

    #[test]
    fn durations_are_written_as_go_does_it() {
        let check = |seconds: u64, expected: &str| assert_eq!(go_duration(Duration::from_secs(seconds)), expected);
        check(5, "5s");
        check(90, "1m30s");
        check(3600, "1h0m0s");
        assert_eq!(go_duration(Duration::from_millis(1500)), "1.5s");
    }
}
