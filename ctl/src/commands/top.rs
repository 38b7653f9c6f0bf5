//! `gantry top`: what a metrics server (`metrics.k8s.io`) says that pods and nodes use.

use std::cmp::Ordering;

use api::quantity::Quantity;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::describe::list_all;
use super::describe::page::{Clock, list, moment, shown};
use crate::output::table::Printer;
use crate::resources::escape;
use crate::session::Ask;
use crate::{Error, Session};

/// How many objects are asked for at a time.
const CHUNK: u32 = 500;
/// How old a pod is, in seconds, from which on it should have been measured.
const GRACE: i64 = 120;
const MIB: i64 = 1024 * 1024;
const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Of what: pod or node.
    #[arg(value_name = "KIND")]
    of: Of,
    /// Of which one.
    name: Option<String>,
    /// Pods in all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Only pods with these fields.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    field_selector: String,
    /// In the order of: cpu or memory.
    #[arg(long, value_name = "RESOURCE", default_value = "")]
    sort_by: String,
    /// Of pods, with a line for each container.
    #[arg(long)]
    containers: bool,
    /// Of pods, with the sum of all.
    #[arg(long)]
    sum: bool,
    /// Without the header.
    #[arg(long)]
    no_headers: bool,
    /// Of nodes, in hundredths of all that one has, and not of what pods may use.
    #[arg(long)]
    show_capacity: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    #[value(alias = "nodes", alias = "no")]
    Node,
    #[value(alias = "pods", alias = "po")]
    Pod,
}

impl Arguments {
    /// An option that says nothing of what is asked for.
    fn out_of_place(&self) -> Option<&'static str> {
        let of_pods = [
            (self.all_namespaces, "--all-namespaces"),
            (!self.field_selector.is_empty(), "--field-selector"),
            (self.containers, "--containers"),
            (self.sum, "--sum"),
        ];
        let of_nodes = [(self.show_capacity, "--show-capacity")];
        let foreign = if self.of == Of::Pod { &of_nodes[..] } else { &of_pods[..] };
        foreign.iter().find(|(is_given, _)| *is_given).map(|(_, option)| *option)
    }
}

/// Shows what is used.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if let Some(option) = arguments.out_of_place() {
        return Err(Error::said(format!("unknown flag: {option}")));
    }
    if arguments.name.is_some() && !arguments.selector.is_empty() {
        return Err(Error::said("only one of NAME or selector can be provided"));
    }
    if !matches!(arguments.sort_by.as_str(), "" | "cpu" | "memory") {
        return Err(Error::said("--sort-by accepts only cpu or memory"));
    }
    let group = session.json(Ask::get("/apis/metrics.k8s.io")).await;
    if group.is_err_and(|error| matches!(error, Error::Server(_))) {
        return Err(Error::said("Metrics API not available"));
    }
    match arguments.of {
        Of::Node => of_nodes(&arguments, session).await,
        Of::Pod => of_pods(&arguments, session).await,
    }
}

/// What is measured, or named.
async fn measured(
    session: &mut Session<'_>,
    path: &str,
    name: Option<&str>,
    (labels, fields): (&str, &str),
) -> Result<Vec<Value>, Error> {
    match name {
        Some(name) => Ok(vec![session.json(Ask::get(&format!("{path}/{}", escape(name)))).await?]),
        None => list_all(session, path, labels, fields, CHUNK).await,
    }
}

async fn of_pods(pods: &Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let namespace = session.namespace().await?;
    let place = |root: &str| match pods.all_namespaces {
        true => root.to_owned(),
        false => root.replace("/pods", &format!("/namespaces/{}/pods", escape(&namespace))),
    };
    let selectors = (pods.selector.as_str(), pods.field_selector.as_str());
    let mut metrics = measured(session, &place(PODS), pods.name.as_deref(), selectors).await?;
    if metrics.is_empty() {
        let there = measured(session, &place("/api/v1/pods"), pods.name.as_deref(), selectors).await?;
        if !there.is_empty() {
            return Err(unmeasured(&there, &Clock::here()));
        }
        let place = if pods.all_namespaces { String::new() } else { format!(" in {namespace} namespace.") };
        return session.remark(&format!("No resources found{place}"));
    }
    metrics.sort_by(|left, right| {
        let name = |of: &Value| {
            let namespace = if pods.all_namespaces { shown(&of["metadata"]["namespace"]) } else { String::new() };
            (namespace, shown(&of["metadata"]["name"]))
        };
        by(&pods.sort_by, usage(left), usage(right)).then_with(|| name(left).cmp(&name(right)))
    });
    session.write(&Printer::plain(&pod_lines(pods, &metrics)))
}

/// Why pods that are there are not measured.
fn unmeasured(pods: &[Value], clock: &Clock) -> Error {
    let age = |pod: &Value| {
        let created = moment(&pod["metadata"]["creationTimestamp"]);
        created.map_or(0, |created| clock.now.duration_since(created).as_secs())
    };
    match pods.iter().find(|pod| age(pod) > GRACE) {
        Some(pod) => {
            let meta = &pod["metadata"];
            let (namespace, name) = (shown(&meta["namespace"]), shown(&meta["name"]));
            let age = api::duration::human(age(pod));
            Error::said(format!("Metrics not available for pod {namespace}/{name}, age: {age}"))
        }
        None => Error::said("metrics not available yet"),
    }
}

/// Thousandths of CPUs, and bytes.
type Usage = (i64, i64);

fn amounts(quantities: &Value) -> Usage {
    let of = |name: &str| Quantity::parse(quantities[name].as_str().unwrap_or("0")).ok();
    (of("cpu").map_or(0, |cpu| cpu.milli_value()), of("memory").map_or(0, |memory| memory.value()))
}

/// What is measured of a pod: the sum of its containers.
fn usage(pod: &Value) -> Usage {
    let all = list(&pod["containers"]).iter().map(|container| amounts(&container["usage"]));
    all.fold((0, 0), |sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)))
}

/// Greatest first, if an order is asked for.
fn by(resource: &str, left: Usage, right: Usage) -> Ordering {
    match resource {
        "cpu" => right.0.cmp(&left.0),
        "memory" => right.1.cmp(&left.1),
        _ => Ordering::Equal,
    }
}

/// The cells of an amount. As with kubectl, a line has an empty cell at its end.
fn cells(usage: Usage) -> [String; 3] {
    [format!("{}m", usage.0), format!("{}Mi", usage.1 / MIB), String::new()]
}

fn pod_lines(pods: &Arguments, metrics: &[Value]) -> Vec<Vec<String>> {
    let mut head: Vec<&str> = Vec::new();
    head.extend(pods.all_namespaces.then_some("NAMESPACE"));
    head.extend(pods.containers.then_some("POD"));
    head.extend(["NAME", "CPU(cores)", "MEMORY(bytes)", ""]);
    let width = head.len();
    let mut lines: Vec<Vec<String>> = Vec::new();
    if !pods.no_headers {
        lines.push(head.into_iter().map(str::to_owned).collect());
    }
    let mut sum = (0, 0);
    for pod in metrics {
        let meta = &pod["metadata"];
        let mut begin: Vec<String> = Vec::new();
        begin.extend(pods.all_namespaces.then(|| shown(&meta["namespace"])));
        begin.push(shown(&meta["name"]));
        let all = usage(pod);
        sum = (sum.0 + all.0, sum.1 + all.1);
        if !pods.containers {
            lines.push(begin.into_iter().chain(cells(all)).collect());
            continue;
        }
        let mut containers: Vec<(String, Usage)> =
            list(&pod["containers"]).iter().map(|one| (shown(&one["name"]), amounts(&one["usage"]))).collect();
        containers.sort_by(|left, right| by(&pods.sort_by, left.1, right.1).then_with(|| left.0.cmp(&right.0)));
        for (name, usage) in containers {
            lines.push(begin.iter().cloned().chain([name]).chain(cells(usage)).collect());
        }
    }
    if pods.sum {
        let empty = vec![String::new(); width - 3];
        let rule = "________".to_owned();
        lines.push(empty.iter().cloned().chain([rule.clone(), rule, String::new()]).collect());
        lines.push(empty.into_iter().chain(cells(sum)).collect());
    }
    lines
}

async fn of_nodes(nodes: &Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let metrics = measured(session, NODES, nodes.name.as_deref(), (&nodes.selector, "")).await?;
    if metrics.is_empty() {
        return Err(Error::said("metrics not available yet"));
    }
    let there = measured(session, "/api/v1/nodes", nodes.name.as_deref(), (&nodes.selector, "")).await?;
    session.write(&Printer::plain(&node_lines(nodes, metrics, &there)))
}

fn node_lines(nodes: &Arguments, mut metrics: Vec<Value>, there: &[Value]) -> Vec<Vec<String>> {
    let name = |object: &Value| shown(&object["metadata"]["name"]);
    metrics.sort_by(|left, right| {
        by(&nodes.sort_by, amounts(&left["usage"]), amounts(&right["usage"])).then_with(|| name(left).cmp(&name(right)))
    });
    let mut lines: Vec<Vec<String>> = Vec::new();
    if !nodes.no_headers {
        lines.push(["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)", ""].map(str::to_owned).into());
    }
    for measured in &metrics {
        let used = amounts(&measured["usage"]);
        let node = there.iter().find(|node| name(node) == name(measured));
        let field = if nodes.show_capacity { "capacity" } else { "allocatable" };
        let all = node.map(|node| amounts(&node["status"][field])).unwrap_or_default();
        let share = |part: i64, whole: i64| match whole {
            0 => "<unknown>".to_owned(),
            whole => format!("{}%", i128::from(part) * 100 / i128::from(whole)),
        };
        let [cpu, memory, end] = cells(used);
        lines.push(vec![name(measured), cpu, share(used.0, all.0), memory, share(used.1, all.1), end]);
    }
    // Those that are not measured.
    for node in there.iter().filter(|node| !metrics.iter().any(|measured| name(measured) == name(node))) {
        let unknown = || "<unknown>".to_owned();
        lines.push(vec![name(node), unknown(), unknown(), unknown(), unknown(), String::new()]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(of: Of) -> Arguments {
        Arguments {
            of,
            name: None,
            all_namespaces: false,
            selector: String::new(),
            field_selector: String::new(),
            sort_by: String::new(),
            containers: false,
            sum: false,
            no_headers: false,
            show_capacity: false,
        }
    }

    #[test]
    fn options_are_of_pods_or_of_nodes() {
        assert_eq!(Arguments { sum: true, ..of(Of::Pod) }.out_of_place(), None);
        assert_eq!(Arguments { sum: true, ..of(Of::Node) }.out_of_place(), Some("--sum"));
        assert_eq!(Arguments { show_capacity: true, ..of(Of::Pod) }.out_of_place(), Some("--show-capacity"));
    }

    fn metrics() -> Vec<Value> {
        vec![
            json!({"metadata": {"name": "a", "namespace": "n"}, "containers": [
                {"name": "x", "usage": {"cpu": "1500u", "memory": "10Mi"}},
                {"name": "w", "usage": {"cpu": "250m", "memory": "2560Ki"}}]}),
            json!({"metadata": {"name": "b", "namespace": "n"}, "containers": [{"name": "y", "usage": {"cpu": "1", "memory": "1Gi"}}]}),
        ]
    }

    fn rows(lines: &[Vec<String>]) -> Vec<String> {
        lines.iter().map(|line| line.join(" ").trim().to_owned()).collect()
    }

    #[test]
    fn pods_use_what_their_containers_use() {
        let check = |pods: Arguments, expected: &[&str]| assert_eq!(rows(&pod_lines(&pods, &metrics())), expected);
        check(of(Of::Pod), &["NAME CPU(cores) MEMORY(bytes)", "a 252m 12Mi", "b 1000m 1024Mi"]);
        check(
            Arguments { containers: true, all_namespaces: true, ..of(Of::Pod) },
            &["NAMESPACE POD NAME CPU(cores) MEMORY(bytes)", "n a w 250m 2Mi", "n a x 2m 10Mi", "n b y 1000m 1024Mi"],
        );
        check(
            Arguments { sum: true, no_headers: true, ..of(Of::Pod) },
            &["a 252m 12Mi", "b 1000m 1024Mi", "________ ________", "1252m 1036Mi"],
        );
    }

    #[test]
    fn the_greatest_come_first_if_an_order_is_asked_for() {
        assert_eq!(by("cpu", (1, 9), (2, 0)), Ordering::Greater);
        assert_eq!(by("memory", (1, 9), (2, 0)), Ordering::Less);
        assert_eq!(by("", (1, 9), (2, 0)), Ordering::Equal);
    }

    #[test]
    fn nodes_that_are_not_measured_are_unknown() {
        let nodes = Arguments { no_headers: true, ..of(Of::Node) };
        let measured = vec![json!({"metadata": {"name": "m"}, "usage": {"cpu": "1", "memory": "512Mi"}})];
        let there = [
            json!({"metadata": {"name": "l"}}),
            json!({"metadata": {"name": "m"}, "status": {"allocatable": {"cpu": "3", "memory": "1Gi"}}}),
        ];
        let expected = ["m 1000m 33% 512Mi 50%", "l <unknown> <unknown> <unknown> <unknown>"];
        assert_eq!(rows(&node_lines(&nodes, measured, &there)), expected);
    }

    #[test]
    fn pods_that_are_old_should_have_been_measured() {
        let clock = Clock { now: "2026-01-02T00:10:00Z".parse().unwrap(), zone: jiff::tz::TimeZone::UTC };
        let pod = |created: &str| json!({"metadata": {"name": "a", "namespace": "n", "creationTimestamp": created}});
        let said = |created: &str| unmeasured(&[pod(created)], &clock).to_string();
        assert_eq!(said("2026-01-02T00:09:00Z"), "error: metrics not available yet");
        assert_eq!(said("2026-01-02T00:00:00Z"), "error: Metrics not available for pod n/a, age: 10m");
    }
}
