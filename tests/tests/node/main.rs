//! What users are promised of a node: pods are real processes, started, probed, restarted, logged, entered and ended as
//! Kubernetes does it. With the real containerd, and kubectl as the client.
//!
//! Each test has a namespace of its own on one node; those that end parts of the node have a node of their own.

mod background;
mod ctl;
mod environment;
mod faults;
mod hostile;
mod join;
mod lifecycle;
mod network;
mod security;
mod shutdown;
mod sources;
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use tests::machine::Machine;
use tests::node::{Node, User};

/// An image with a shell.
pub(crate) const BUSYBOX: &str = "gantry.local/busybox:1";

/// Whether there can be nodes here. Where containers are promised to run, they have to.
fn is_possible() -> bool {
    match Machine::possible() {
        Ok(()) => true,
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{why}");
            #[allow(clippy::print_stdout)]
            {
                println!("skipped: {why}");
            }
            false
        }
    }
}

/// A pod of one container with a shell. `container` and `spec` say what else it has.
pub(crate) fn pod(name: &str, script: &str, container: Value, spec: Value) -> Value {
    let mut only = json!({"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script]});
    merge(&mut only, container);
    let mut all = json!({"terminationGracePeriodSeconds": 1, "containers": [only]});
    merge(&mut all, spec);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": all})
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// Asks until the answer is yes. Each time takes as long as what it asks does: a kubectl, or a program on the machine.
///
/// # Panics
/// If it is no for long.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    assert!((0..500).any(|_| is_so()), "it is never so: {what}");
}

/// What is shown, and what it is called.
type Case = (&'static str, fn(&User<'_>));

/// Runs all of these on one node, each in a namespace of its own, at once.
fn run_all(node: &Node, cases: &[Case]) {
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let begin = |&(name, case): &Case| {
            let run = move || case(&User::of(node, name));
            (name, scope.spawn(move || catch_unwind(AssertUnwindSafe(run)).is_ok()))
        };
        let running: Vec<_> = cases.iter().map(begin).collect();
        let ended = running.into_iter().map(|(name, thread)| (name, thread.join().unwrap_or(false)));
        ended.filter(|(_, well)| !well).map(|(name, _)| name).collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[test]
fn pods_are_real_processes() {
    if !is_possible() {
        return;
    }
    let node = Node::up();
    run_all(
        &node,
        &[
            ("runs-and-ends", lifecycle::runs_and_ends),
            ("restarts", lifecycle::restarts),
            ("init-and-sidecars", lifecycle::init_and_sidecars),
            ("hooks", lifecycle::hooks),
            ("probes", lifecycle::probes),
            ("readiness-gates", lifecycle::readiness_gates),
            ("runtime-classes", lifecycle::runtime_classes),
            ("variables", environment::variables),
            ("volumes", environment::volumes),
            ("contexts", security::contexts),
            ("resources", security::resources),
            ("reach", network::reach),
            ("names", network::names),
            ("logs", streams::logs),
            ("exec", streams::exec),
            ("terminals", streams::terminals),
            ("port-forward", streams::port_forward),
            ("debug-and-top", streams::debug_and_top),
            ("ctl-logs", ctl::logs),
            ("ctl-exec", ctl::exec),
            ("ctl-terminals", ctl::terminals),
            ("ctl-port-forward", ctl::port_forward),
            ("ctl-cp", ctl::cp),
            ("ctl-run", ctl::run_and_debug),
        ],
    );
}
