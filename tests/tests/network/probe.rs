//! Those who ask: somebody in a pod on each node, who is told by HTTP what to ask; a node; somebody outside.

use std::time::Duration;

use serde_json::Value;
use tests::asking::{self, Answer, escaped};
use tests::host::Host;
use tests::node::User;
use tests::place::Place;
use tests::site::Site;

use crate::stage::{at, server};

/// How long a pod may take to ask, and to try again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The namespace of those who are there for all subjects.
pub(crate) const NAMESPACE: &str = "probes";

/// Somebody who can ask.
pub(crate) trait Asks: Sync {
    /// Who that is.
    fn called(&self) -> String;
    /// Asks a server of HTTP.
    fn get(&self, at: &str, path: &str) -> Result<Answer, String>;
    /// Sends a datagram, and returns what comes back.
    fn send(&self, at: &str, text: &str) -> Result<String, String>;
}

impl Asks for Host {
    fn called(&self) -> String {
        self.name().to_owned()
    }

    fn get(&self, at: &str, path: &str) -> Result<Answer, String> {
        self.machine().within(|| asking::get(at, path)).map_err(|error| error.to_string())
    }

    fn send(&self, at: &str, text: &str) -> Result<String, String> {
        self.machine().within(|| asking::send(at, text)).map_err(|error| error.to_string())
    }
}

impl Asks for Place {
    fn called(&self) -> String {
        "the outside".to_owned()
    }

    fn get(&self, at: &str, path: &str) -> Result<Answer, String> {
        self.within(|| asking::get(at, path)).map_err(|error| error.to_string())
    }

    fn send(&self, at: &str, text: &str) -> Result<String, String> {
        self.within(|| asking::send(at, text)).map_err(|error| error.to_string())
    }
}

/// A pod that asks what it is told to. It is told from its own node, which always reaches it.
pub(crate) struct Probe<'a> {
    host: &'a Host,
    name: String,
    /// The pod's addresses.
    pub(crate) ips: Vec<String>,
}

impl<'a> Probe<'a> {
    /// A pod of a user's that runs the image of tests on a machine.
    pub(crate) fn of(user: &User<'_, Site>, pod: &str, host: &'a Host) -> Probe<'a> {
        let ips = user.get(&format!("pod/{pod}"), ".status.podIPs[*].ip");
        let name = format!("pod {pod} on {}", host.name());
        Probe { host, name, ips: ips.split_whitespace().map(str::to_owned).collect() }
    }

    /// The pod's first address.
    pub(crate) fn ip(&self) -> &str {
        &self.ips[0]
    }

    /// What its server answers to its node.
    pub(crate) fn told(&self, path: &str) -> Answer {
        let server = at(self.ip(), 8080);
        let told = self.host.machine().within(|| asking::get_within(&server, path, PATIENCE));
        told.unwrap_or_else(|error| panic!("{} does not do {path}: {error}", self.name))
    }

    /// What it has found out, or why it could not.
    fn found(&self, path: &str) -> Result<Value, String> {
        let answer = self.told(path);
        let mut value: Value = serde_json::from_str(&answer.body).map_err(|_| answer.body.clone())?;
        match value["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(value["ok"].take()),
        }
    }

    /// What a name stands for.
    pub(crate) fn resolve(&self, name: &str, record: &str) -> Result<Vec<String>, String> {
        let found = self.found(&format!("/resolve?name={}&type={record}", escaped(name)))?;
        let texts = found.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned));
        let mut texts: Vec<String> = texts.collect();
        texts.sort();
        Ok(texts)
    }

    /// A file of its own.
    pub(crate) fn file(&self, path: &str) -> String {
        self.told(&format!("/file?path={}", escaped(path))).body
    }
}

impl Asks for Probe<'_> {
    fn called(&self) -> String {
        self.name.clone()
    }

    fn get(&self, at: &str, path: &str) -> Result<Answer, String> {
        let found = self.found(&format!("/get?url={}", escaped(&format!("http://{at}{path}"))))?;
        let status = found["status"].as_u64().and_then(|status| status.try_into().ok()).ok_or("no status")?;
        Ok(Answer { status, body: found["body"].as_str().unwrap_or_default().to_owned() })
    }

    fn send(&self, at: &str, text: &str) -> Result<String, String> {
        let found = self.found(&format!("/dial?udp={}&send={}", escaped(at), escaped(text)))?;
        Ok(found["answer"].as_str().unwrap_or_default().to_owned())
    }
}

/// Somebody in a pod on every node.
pub(crate) fn on_every_node(site: &Site) -> Vec<Probe<'_>> {
    let user = User::of(site, NAMESPACE);
    // With the reasons of those that are not.
    let ready = r#"{.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}"#;
    let nodes = format!("get nodes -o 'jsonpath={{range .items[*]}}{{.metadata.name}} {ready};{{end}}'");
    let is_ready = |node: &str| node.split(' ').nth(1) == Some("True");
    user.until(&nodes, |said| said.split_terminator(';').filter(|node| is_ready(node)).count() == site.hosts().len());
    let names: Vec<String> = (1..=site.hosts().len()).map(|number| format!("probe-{number}")).collect();
    for (name, number) in names.iter().zip(1..) {
        user.apply(&server(name, name, number));
    }
    names.iter().for_each(|name| user.wait(&format!("pod/{name}"), "condition=Ready"));
    names.iter().zip(site.hosts()).map(|(name, host)| Probe::of(&user, name, host)).collect()
}
