//! What the API says of a cluster. Each question is given a few seconds; what is not answered is a problem.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::client::Body;
use kube::{Api, Client};

use super::{Nodes, Pods};
use crate::{node, process};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// For how long, and how often, this machine's node may say again whether it is ready.
const OWN_NODE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(200);
/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<String>,
    pub(super) nodes: Option<Nodes>,
    pub(super) pods: Option<Pods>,
    /// Whether nothing is wrong but that this machine's node is not ready.
    only_own_node: bool,
}

/// Asks as the administrator, for whom there is a kubeconfig. `own` is this machine's node. It may say for a moment that it is
/// not ready, when its runtime reads anew how its network is configured: then it is asked again.
pub(super) async fn ask(kubeconfig: &Path, own: Option<&str>) -> Found {
    let client = match process::connect(kubeconfig).await {
        Ok(client) => client,
        Err(error) => return Found { problems: vec![error.to_string()], ..Found::default() },
    };
    let began = Instant::now();
    loop {
        let found = ask_once(&client, own).await;
        if !found.only_own_node || began.elapsed() > OWN_NODE {
            return found;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn ask_once(client: &Client, own: Option<&str>) -> Found {
    let mut problems: Vec<String> = match in_time(ready(client)).await {
        Ok(failed) => failed.into_iter().map(|check| format!("the API is not ready: {check}")).collect(),
        // Then nothing else is answered.
        Err(why) => return Found { problems: vec![format!("the API does not answer: {why}")], ..Found::default() },
    };
    let (nodes, pods) = tokio::join!(in_time(nodes(client)), in_time(pods(client)));
    let nodes = nodes.map_err(|why| problems.push(format!("nodes cannot be listed: {why}"))).ok();
    let pods = pods.map_err(|why| problems.push(format!("pods cannot be listed: {why}"))).ok();
    let of_own = own.zip(nodes.as_deref()).and_then(|(own, nodes)| problem_of(own, nodes));
    let only_own_node = problems.is_empty() && of_own.is_some();
    problems.extend(of_own);
    let nodes = nodes
        .map(|nodes| Nodes { ready: nodes.iter().filter(|known| node::is_ready(known)).count(), total: nodes.len() });
    Found { problems, nodes, pods, only_own_node }
}

async fn in_time<T>(question: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => answer.map_err(|error| said(&*error)),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

/// An error with what it comes from, which is where the reason is.
fn said(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}

/// Which checks of the API's readiness fail.
async fn ready(client: &Client) -> Result<Vec<String>, Box<dyn Error>> {
    let response = client.send(Request::get("/readyz?verbose").body(Body::empty())?).await?;
    let status = response.status();
    let body = response.into_body().collect_bytes().await?;
    Ok(failed(status, &String::from_utf8_lossy(&body)))
}

/// The checks that fail, by their lines: `[-]name failed: reason withheld`.
fn failed(status: StatusCode, body: &str) -> Vec<String> {
    let checks = body.lines().filter_map(|line| line.strip_prefix("[-]"));
    let mut checks: Vec<String> = checks.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    if checks.is_empty() && !status.is_success() {
        checks.push(format!("it answers {status}"));
    }
    checks
}

/// Why this machine's node is not ready, if it is not.
fn problem_of(own: &str, nodes: &[Node]) -> Option<String> {
    let Some(known) = nodes.iter().find(|known| known.metadata.name.as_deref() == Some(own)) else {
        return Some(format!("there is no node {own}"));
    };
    if node::is_ready(known) {
        return None;
    }
    let conditions = known.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let message =
        conditions.into_iter().find(|condition| condition.type_ == "Ready").and_then(|it| it.message.as_deref());
    Some(format!("node {own} is not ready: {}", message.unwrap_or("it does not say why")))
}

async fn nodes(client: &Client) -> Result<Vec<Node>, Box<dyn Error>> {
    let mut found = Vec::new();
    let api: Api<Node> = Api::all(client.clone());
    each_page(&api, |page| found.extend(page)).await?;
    Ok(found)
}

async fn pods(client: &Client) -> Result<Pods, Box<dyn Error>> {
    let mut counted = Pods::default();
    let runs = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    let api: Api<Pod> = Api::all(client.clone());
    let count = |page: Vec<Pod>| {
        counted.total += page.len();
        counted.running += page.iter().filter(|pod| runs(pod)).count();
    };
    each_page(&api, count).await?;
    Ok(counted)
}

/// Lists all of a kind, not more than a page of it at once.
async fn each_page<K>(api: &Api<K>, mut take: impl FnMut(Vec<K>)) -> Result<(), Box<dyn Error>>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&parameters).await?;
        take(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn failing_checks_are_named() {
        let check = |status: u16, body: &str, expected: &[&str]| {
            assert_eq!(failed(StatusCode::from_u16(status).unwrap(), body), expected, "{body}");
        };
        check(200, "[+]ping ok\nreadyz check passed\n", &[]);
        check(500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n", &["etcd"]);
        check(500, "[-]a/b failed: reason withheld\n[-]c failed: reason withheld\n", &["a/b", "c"]);
        check(503, "busy", &["it answers 503 Service Unavailable"]);
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let node = |name: &str, conditions: Value| -> Node {
            let node = json!({"metadata": {"name": name}, "status": {"conditions": conditions}});
            serde_json::from_value(node).unwrap()
        };
        let nodes = [
            node("good", json!([{"type": "Ready", "status": "True"}])),
            node("bad", json!([{"type": "Ready", "status": "False", "message": "no network"}])),
            node("new", json!([])),
        ];
        let check = |name: &str, expected: Option<&str>| assert_eq!(problem_of(name, &nodes).as_deref(), expected);
        check("good", None);
        check("bad", Some("node bad is not ready: no network"));
        check("new", Some("node new is not ready: it does not say why"));
        check("none", Some("there is no node none"));
    }
}
