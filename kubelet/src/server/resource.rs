//! `/metrics/resource`: what the node, its containers and pods use of CPU and memory, for `metrics.k8s.io` and autoscalers.

use jiff::Timestamp;

use super::exposition::{Kind, Text};
use crate::stats::{ContainerFigures, Cpu, Figures, Memory, PodFigures};

/// The metrics of `figures`, by upstream's names, in the order of their names.
pub(super) fn resource(figures: &Figures) -> String {
    let mut text = Text::default();
    containers(&mut text, figures);
    node(&mut text, figures);
    pods(&mut text, figures);
    let help = "1 if there was an error while getting container metrics, 0 otherwise";
    for name in ["resource_scrape_error", "scrape_error"] {
        text.metric(name, Kind::Gauge, help);
        text.sample(name, &[], 0.0, None);
    }
    text.finish()
}

/// Where a sample's value comes from, and when it was read.
type Sample = (f64, Option<Timestamp>);

fn cpu(cpu: Option<Cpu>) -> Option<Sample> {
    cpu.map(|cpu| (seconds(cpu.total_nanoseconds), Some(cpu.at)))
}

fn working_set(memory: Option<Memory>) -> Option<Sample> {
    memory.map(|memory| (memory.working_set as f64, Some(memory.at)))
}

fn swap(memory: Option<Memory>) -> Option<Sample> {
    memory.and_then(|memory| Some((memory.swap? as f64, Some(memory.at))))
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn containers(text: &mut Text, figures: &Figures) {
    let started = |container: &ContainerFigures| {
        let nanoseconds = container.started.as_nanosecond();
        (nanoseconds > 0).then(|| (nanoseconds as f64 / 1e9, None))
    };
    let mut metric = |name: &str, kind, help: &str, read: &dyn Fn(&ContainerFigures) -> Option<Sample>| {
        let samples = figures.pods.iter().flat_map(|pod| {
            pod.containers.iter().filter_map(move |container| Some((pod, container, read(container)?)))
        });
        let mut described = false;
        for (pod, container, (value, at)) in samples {
            if !std::mem::replace(&mut described, true) {
                text.metric(name, kind, help);
            }
            let labels = [("container", &*container.name), ("namespace", &*pod.namespace), ("pod", &*pod.name)];
            text.sample(name, &labels, value, at);
        }
    };
    let help = "Cumulative cpu time consumed by the container in core-seconds";
    metric("container_cpu_usage_seconds_total", Kind::Counter, help, &|container| cpu(container.cpu));
    let help = "Current working set of the container in bytes";
    metric("container_memory_working_set_bytes", Kind::Gauge, help, &|container| working_set(container.memory));
    let help = "Start time of the container since unix epoch in seconds";
    metric("container_start_time_seconds", Kind::Gauge, help, &started);
    let help = "Current amount of the container swap usage in bytes. Reported only on non-windows systems";
    metric("container_swap_usage_bytes", Kind::Gauge, help, &|container| swap(container.memory));
}

fn node(text: &mut Text, figures: &Figures) {
    let mut metric = |name: &str, kind, help: &str, sample: Option<Sample>| {
        if let Some((value, at)) = sample {
            text.metric(name, kind, help);
            text.sample(name, &[], value, at);
        }
    };
    let node = &figures.node;
    let help = "Cumulative cpu time consumed by the node in core-seconds";
    metric("node_cpu_usage_seconds_total", Kind::Counter, help, cpu(node.cpu));
    let help = "Current working set of the node in bytes";
    metric("node_memory_working_set_bytes", Kind::Gauge, help, working_set(node.memory));
    let help = "Current swap usage of the node in bytes. Reported only on non-windows systems";
    metric("node_swap_usage_bytes", Kind::Gauge, help, swap(node.memory));
}

fn pods(text: &mut Text, figures: &Figures) {
    let mut metric = |name: &str, kind, help: &str, read: &dyn Fn(&PodFigures) -> Option<Sample>| {
        let mut described = false;
        for (pod, (value, at)) in figures.pods.iter().filter_map(|pod| Some((pod, read(pod)?))) {
            if !std::mem::replace(&mut described, true) {
                text.metric(name, kind, help);
            }
            text.sample(name, &[("namespace", &*pod.namespace), ("pod", &*pod.name)], value, at);
        }
    };
    let help = "Cumulative cpu time consumed by the pod in core-seconds";
    metric("pod_cpu_usage_seconds_total", Kind::Counter, help, &|pod| cpu(pod.cpu));
    let help = "Current working set of the pod in bytes";
    metric("pod_memory_working_set_bytes", Kind::Gauge, help, &|pod| working_set(pod.memory));
    let help = "Current amount of the pod swap usage in bytes. Reported only on non-windows systems";
    metric("pod_swap_usage_bytes", Kind::Gauge, help, &|pod| swap(pod.memory));
}
