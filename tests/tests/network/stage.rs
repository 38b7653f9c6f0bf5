//! Where a subject is shown: a cluster, a user with a namespace, somebody in a pod on every node; and the objects that they use.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::asking;
use tests::node::User;
use tests::site::Site;

use crate::probe::{Asks, Probe};

/// The image of servers.
pub(crate) const IMAGE: &str = "gantry.local/test:1";
/// How often a Service is asked to find out who answers: of two that answer, one is missed once in a million times.
const ROUND: usize = 20;

/// Where a subject is shown.
pub(crate) struct Stage<'a> {
    /// The user.
    pub(crate) user: User<'a, Site>,
    /// The machines.
    pub(crate) site: &'a Site,
    /// A pod on each of them, in their order.
    pub(crate) probes: &'a [Probe<'a>],
}

impl<'a> Stage<'a> {
    /// A new namespace in a cluster.
    pub(crate) fn new(site: &'a Site, namespace: &str, probes: &'a [Probe<'a>]) -> Stage<'a> {
        Stage { user: User::of(site, namespace), site, probes }
    }

    /// Servers, each on the node with this number (from 1), all with the label `app`, and waits until they are ready.
    pub(crate) fn serve(&self, app: &str, servers: &[(&str, usize)]) {
        for (name, node) in servers {
            self.user.apply(&server(name, app, *node));
        }
        for (name, _) in servers {
            self.user.wait(&format!("pod/{name}"), "condition=Ready");
        }
    }

    /// A Service `name` for `app`, and where it is found: its address in the cluster.
    pub(crate) fn service(&self, name: &str, app: &str, spec: Value) -> String {
        self.user.apply(&service(name, app, spec));
        self.user.get(&format!("service/{name}"), ".spec.clusterIP")
    }

    /// The node port of a Service's port.
    pub(crate) fn node_port(&self, service: &str, port: &str) -> u16 {
        let path = format!(".spec.ports[?(@.name==\"{port}\")].nodePort");
        self.user.get(&format!("service/{service}"), &path).parse().expect("a port")
    }

    /// Everybody who can ask from within: in pods, and on nodes.
    pub(crate) fn inside(&self) -> Vec<&dyn Asks> {
        let pods = self.probes.iter().map(|probe| probe as &dyn Asks);
        pods.chain(self.site.hosts().iter().map(|host| host as &dyn Asks)).collect()
    }

    /// The first address of the node with this number (from 1).
    pub(crate) fn node(&self, number: usize) -> String {
        self.site.hosts()[number - 1].addresses()[0].to_string()
    }
}

/// A server of HTTP and of an echo, on the node with this number (from 1).
pub(crate) fn server(name: &str, app: &str, node: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {
            "nodeName": format!("node-{node}"),
            "terminationGracePeriodSeconds": 1,
            // It stays where it is while its node is away.
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            "containers": [container()],
        },
    })
}

/// The container of a server.
pub(crate) fn container() -> Value {
    json!({
        "name": "c",
        "image": IMAGE,
        "args": ["listen=8080", "udp=8081"],
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "echo", "containerPort": 8081, "protocol": "UDP"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
    })
}

/// A Service with the two ports of servers, `http` at 80 and `echo` at 81, and with what else `spec` says.
pub(crate) fn service(name: &str, app: &str, spec: Value) -> Value {
    let mut all = json!({
        "selector": {"app": app},
        "ports": [
            {"name": "http", "port": 80, "targetPort": "http"},
            {"name": "echo", "port": 81, "targetPort": "echo", "protocol": "UDP"},
        ],
    });
    if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
        all.extend(spec);
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": all})
}

/// An address and a port, of whatever family.
pub(crate) fn at(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Who answers at an address: all of those whom a number of requests came to, or why one of them was not answered.
pub(crate) fn answering(who: &dyn Asks, at: &str) -> Result<BTreeSet<String>, String> {
    (0..ROUND).map(|_| name(who, at)).collect()
}

/// Who answers one request.
pub(crate) fn name(who: &dyn Asks, at: &str) -> Result<String, String> {
    let answer = who.get(at, "/name")?;
    if answer.status == 200 { Ok(answer.body) } else { Err(format!("status {}", answer.status)) }
}

/// Waits until these, and nobody else, answer at an address.
pub(crate) fn are_answered(who: &dyn Asks, at: &str, by: &[&str]) {
    let expected: BTreeSet<String> = by.iter().map(|name| (*name).to_owned()).collect();
    let what = format!("{by:?} answer {} at {at}", who.called());
    asking::wait_until(&what, || answering(who, at), |found| found.as_ref() == Ok(&expected));
}

/// Waits until a datagram comes back from an address.
pub(crate) fn is_echoed(who: &dyn Asks, at: &str) {
    let what = format!("a datagram of {} comes back from {at}", who.called());
    asking::wait_until(&what, || who.send(at, "hello"), |answer| answer.as_deref() == Ok("hello"));
}

/// Waits until whoever asks at an address is told, in these words, that there is nobody.
pub(crate) fn is_in_vain(who: &dyn Asks, at: &str, why: &str) {
    let what = format!("{} is told \"{why}\" at {at}", who.called());
    asking::wait_until(
        &what,
        || who.get(at, "/name"),
        |answer| answer.as_ref().is_err_and(|error| error.contains(why)),
    );
}

/// From where a request comes, as the one sees it who answers it.
pub(crate) fn seen_from(who: &dyn Asks, at: &str) -> String {
    let what = format!("{} is answered at {at}", who.called());
    let answer = asking::until(&what, || who.get(at, "/"), |answer| answer.as_ref().is_ok_and(|it| it.status == 200));
    let body: Value = serde_json::from_str(&answer.expect("it was waited for").body).expect("JSON");
    let from = body["request"]["from"].as_str().expect("an address").to_owned();
    from.parse::<std::net::SocketAddr>().expect("an address and a port").ip().to_string()
}
