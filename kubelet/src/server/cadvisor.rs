//! `/metrics/cadvisor`: what cgroups use, under the names and labels of cAdvisor, which dashboards are made for.
//!
//! There is a sample for the machine (`id="/"`), each pod's cgroup (without a container) and each container. Throttling and
//! the traffic of block devices are told of pods and containers; what nothing is known of is left out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::View;
use super::exposition::{Kind, Text};
use crate::stats::{Cpu, DiskTraffic, Figures, Filesystem, Interface, Machine, Memory, Throttling};

/// A cgroup with what is known of it.
struct Cgroup<'a> {
    labels: Labels<'a>,
    cpu: Option<Cpu>,
    throttling: Option<Throttling>,
    disks: &'a [DiskTraffic],
    memory: Option<Memory>,
    network: &'a [Interface],
    root: Option<Filesystem>,
    started: Timestamp,
    processes: Option<u64>,
    /// Limits, as the runtime applied them.
    limits: crate::observed::AppliedResources,
}

#[derive(Default)]
struct Labels<'a> {
    container: &'a str,
    id: String,
    image: String,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

impl Labels<'_> {
    /// Them with others, in the order of their names.
    fn with<'b>(&'b self, others: &[(&'b str, &'b str)]) -> Vec<(&'b str, &'b str)> {
        let mut all = vec![
            ("container", self.container),
            ("id", &*self.id),
            ("image", &*self.image),
            ("name", self.name),
            ("namespace", self.namespace),
            ("pod", self.pod),
        ];
        all.extend_from_slice(others);
        all.sort_unstable();
        all
    }
}

/// The metrics of `figures`.
pub(super) fn cadvisor(figures: &Figures, machine: &Machine, view: &dyn View) -> String {
    let cgroups = cgroups(figures, view);
    let mut text = Text::default();
    text.metric("cadvisor_version_info", Kind::Gauge, VERSION_HELP);
    let kernel = machine.kernel_version.as_str();
    let labels = [
        ("cadvisorRevision", ""),
        ("cadvisorVersion", ""),
        ("dockerVersion", ""),
        ("kernelVersion", kernel),
        ("osVersion", &machine.os),
    ];
    text.sample("cadvisor_version_info", &labels, 1.0, None);
    of_cpu(&mut text, &cgroups);
    of_disks(&mut text, &cgroups);
    of_memory(&mut text, &cgroups);
    of_network(&mut text, &cgroups);
    of_rest(&mut text, &cgroups);
    of_limits(&mut text, &cgroups);
    of_machine(&mut text, machine);
    text.finish()
}

const VERSION_HELP: &str = "A metric with a constant '1' value labeled by kernel version, OS version, docker version, \
                            cadvisor version & cadvisor revision.";

fn cgroups<'a>(figures: &'a Figures, view: &dyn View) -> Vec<Cgroup<'a>> {
    let node = &figures.node;
    let mut cgroups = vec![Cgroup {
        labels: Labels { id: "/".to_owned(), ..Labels::default() },
        cpu: node.cpu,
        throttling: None,
        disks: &[],
        memory: node.memory,
        network: &node.network,
        root: node.filesystem,
        started: node.started,
        processes: node.processes.map(|processes| processes.running),
        limits: Default::default(),
    }];
    let classes: BTreeMap<String, String> = view.pods().iter().filter_map(|pod| class_of(pod)).collect();
    for pod in &figures.pods {
        let class = classes.get(&pod.uid).map_or("BestEffort", String::as_str);
        let id = match class {
            "Guaranteed" => format!("/kubepods/pod{}", pod.uid),
            class => format!("/kubepods/{}/pod{}", class.to_ascii_lowercase(), pod.uid),
        };
        let runtime = view.runtime(&pod.uid);
        for container in &pod.containers {
            let seen =
                runtime.as_ref().and_then(|runtime| runtime.containers.iter().find(|seen| seen.id == container.id));
            cgroups.push(Cgroup {
                labels: Labels {
                    container: &container.name,
                    id: format!("{id}/{}", container.id),
                    image: seen.map(|seen| seen.image.clone()).unwrap_or_default(),
                    name: &container.id,
                    namespace: &pod.namespace,
                    pod: &pod.name,
                },
                cpu: container.cpu,
                throttling: container.throttling,
                disks: &container.disks,
                memory: container.memory,
                network: &[],
                root: container.root,
                started: container.started,
                processes: None,
                limits: seen.and_then(|seen| seen.resources).unwrap_or_default(),
            });
        }
        cgroups.push(Cgroup {
            labels: Labels { id, namespace: &pod.namespace, pod: &pod.name, ..Labels::default() },
            cpu: pod.cpu,
            throttling: pod.throttling,
            disks: &pod.disks,
            memory: pod.memory,
            network: &pod.network,
            root: None,
            started: pod.started,
            processes: pod.processes,
            limits: Default::default(),
        });
    }
    cgroups
}

fn class_of(pod: &k8s_openapi::api::core::v1::Pod) -> Option<(String, String)> {
    Some((pod.metadata.uid.clone()?, pod.status.as_ref()?.qos_class.clone()?))
}

/// A metric with at most one sample a cgroup, and labels besides the cgroup's.
fn metric<'a>(
    text: &mut Text,
    cgroups: &[Cgroup<'a>],
    (name, kind, help): (&str, Kind, &str),
    others: &[(&str, &str)],
    read: impl Fn(&Cgroup<'a>) -> Option<(f64, Option<Timestamp>)>,
) {
    let mut described = false;
    for (cgroup, (value, at)) in cgroups.iter().filter_map(|cgroup| Some((cgroup, read(cgroup)?))) {
        if !std::mem::replace(&mut described, true) {
            text.metric(name, kind, help);
        }
        text.sample(name, &cgroup.labels.with(others), value, at);
    }
}

fn of_cpu(text: &mut Text, cgroups: &[Cgroup<'_>]) {
    let total = ("container_cpu_usage_seconds_total", Kind::Counter, "Cumulative cpu time consumed in seconds.");
    metric(text, cgroups, total, &[("cpu", "total")], |cgroup| {
        cgroup.cpu.map(|cpu| (cpu.total_nanoseconds as f64 / 1e9, Some(cpu.at)))
    });
    type Read = fn(&Throttling) -> f64;
    let of_limit: [(&str, &str, Read); 3] = [
        ("periods", "Number of elapsed enforcement period intervals.", |it| it.periods as f64),
        ("throttled_periods", "Number of throttled period intervals.", |it| it.throttled_periods as f64),
        ("throttled_seconds", "Total time duration the container has been throttled.", |it| {
            it.nanoseconds as f64 / 1e9
        }),
    ];
    for (name, help, read) in of_limit {
        let name = format!("container_cpu_cfs_{name}_total");
        metric(text, cgroups, (&name, Kind::Counter, help), &[], |cgroup| {
            Some((read(&cgroup.throttling?), cgroup.cpu.map(|cpu| cpu.at)))
        });
    }
}

/// What was read from block devices and written to them, by the devices' names.
fn of_disks(text: &mut Text, cgroups: &[Cgroup<'_>]) {
    type Read = fn(&DiskTraffic) -> u64;
    let metrics: [(&str, &str, Read); 4] = [
        ("reads_bytes", "Cumulative count of bytes read", |disk| disk.bytes_read),
        ("reads", "Cumulative count of reads completed", |disk| disk.reads),
        ("writes_bytes", "Cumulative count of bytes written", |disk| disk.bytes_written),
        ("writes", "Cumulative count of writes completed", |disk| disk.writes),
    ];
    for (name, help, read) in metrics {
        let name = format!("container_fs_{name}_total");
        let disks = || cgroups.iter().flat_map(|cgroup| cgroup.disks.iter().map(move |disk| (cgroup, disk)));
        if disks().next().is_some() {
            text.metric(&name, Kind::Counter, help);
        }
        for (cgroup, disk) in disks() {
            let labels = cgroup.labels.with(&[("device", &disk.device)]);
            text.sample(&name, &labels, read(disk) as f64, cgroup.cpu.map(|cpu| cpu.at));
        }
    }
}

fn of_memory(text: &mut Text, cgroups: &[Cgroup<'_>]) {
    type Read = fn(&Memory) -> Option<u64>;
    let gauges: [(&str, &str, Read); 4] = [
        ("container_memory_rss", "Size of RSS in bytes.", |memory| Some(memory.rss)),
        ("container_memory_swap", "Container swap usage in bytes.", |memory| memory.swap),
        (
            "container_memory_usage_bytes",
            "Current memory usage in bytes, including all memory regardless of when it was accessed",
            |memory| Some(memory.usage),
        ),
        ("container_memory_working_set_bytes", "Current working set in bytes.", |memory| Some(memory.working_set)),
    ];
    // A metric's samples stand together, so both kinds of faults are written at once.
    let failures = "container_memory_failures_total";
    text.metric(failures, Kind::Counter, "Cumulative count of memory allocation failures.");
    for cgroup in cgroups {
        let Some(memory) = cgroup.memory else { continue };
        for (kind, count) in [("pgfault", memory.page_faults), ("pgmajfault", memory.major_page_faults)] {
            let labels = cgroup.labels.with(&[("failure_type", kind), ("scope", "container")]);
            text.sample(failures, &labels, count as f64, Some(memory.at));
        }
    }
    for (name, help, read) in gauges {
        metric(text, cgroups, (name, Kind::Gauge, help), &[], |cgroup| {
            let memory = cgroup.memory?;
            Some((read(&memory)? as f64, Some(memory.at)))
        });
    }
}

fn of_network(text: &mut Text, cgroups: &[Cgroup<'_>]) {
    type Read = fn(&Interface) -> u64;
    let metrics: [(&str, &str, Read); 4] = [
        ("receive_bytes", "bytes received", |interface| interface.received),
        ("receive_errors", "errors encountered while receiving", |interface| interface.receive_errors),
        ("transmit_bytes", "bytes transmitted", |interface| interface.sent),
        ("transmit_errors", "errors encountered while transmitting", |interface| interface.send_errors),
    ];
    for (name, help, read) in metrics {
        let name = format!("container_network_{name}_total");
        let interfaces = || {
            let all = cgroups.iter().flat_map(|cgroup| cgroup.network.iter().map(move |interface| (cgroup, interface)));
            // What a machine says to itself is nobody's traffic.
            all.filter(|(_, interface)| interface.name != "lo")
        };
        if interfaces().next().is_some() {
            text.metric(&name, Kind::Counter, &format!("Cumulative count of {help}"));
        }
        for (cgroup, interface) in interfaces() {
            let at = cgroup.cpu.map(|cpu| cpu.at);
            let labels = cgroup.labels.with(&[("interface", &interface.name)]);
            text.sample(&name, &labels, read(interface) as f64, at);
        }
    }
}

fn of_rest(text: &mut Text, cgroups: &[Cgroup<'_>]) {
    let usage = (
        "container_fs_usage_bytes",
        Kind::Gauge,
        "Number of bytes that are consumed by the container on this filesystem.",
    );
    metric(text, cgroups, usage, &[("device", "")], |cgroup| cgroup.root.map(|root| (root.used as f64, Some(root.at))));
    let inodes = ("container_fs_inodes_total", Kind::Gauge, "Number of Inodes");
    metric(text, cgroups, inodes, &[("device", "")], |cgroup| {
        cgroup.root.map(|root| (root.inodes as f64, Some(root.at)))
    });
    let seen = ("container_last_seen", Kind::Gauge, "Last time a container was seen by the exporter");
    metric(text, cgroups, seen, &[], |cgroup| cgroup.cpu.map(|cpu| (cpu.at.as_second() as f64, Some(cpu.at))));
    let processes = ("container_processes", Kind::Gauge, "Number of processes running inside the container.");
    metric(text, cgroups, processes, &[], |cgroup| Some((cgroup.processes? as f64, cgroup.cpu.map(|cpu| cpu.at))));
    let start =
        ("container_start_time_seconds", Kind::Gauge, "Start time of the container since unix epoch in seconds.");
    metric(text, cgroups, start, &[], |cgroup| {
        (cgroup.started.as_second() > 0).then(|| (cgroup.started.as_second() as f64, cgroup.cpu.map(|cpu| cpu.at)))
    });
}

fn of_limits(text: &mut Text, cgroups: &[Cgroup<'_>]) {
    let some = |value: Option<i64>| value.filter(|value| *value > 0).map(|value| (value as f64, None));
    let period = ("container_spec_cpu_period", Kind::Gauge, "CPU period of the container.");
    metric(text, cgroups, period, &[], |cgroup| some(cgroup.limits.cpu_period));
    let quota = ("container_spec_cpu_quota", Kind::Gauge, "CPU quota of the container.");
    metric(text, cgroups, quota, &[], |cgroup| some(cgroup.limits.cpu_quota));
    let shares = ("container_spec_cpu_shares", Kind::Gauge, "CPU share of the container.");
    metric(text, cgroups, shares, &[], |cgroup| some(cgroup.limits.cpu_shares));
    let limit = ("container_spec_memory_limit_bytes", Kind::Gauge, "Memory limit for the container.");
    metric(text, cgroups, limit, &[], |cgroup| some(cgroup.limits.memory_limit));
}

fn of_machine(text: &mut Text, machine: &Machine) {
    let labels =
        [("boot_id", &*machine.boot_id), ("machine_id", &*machine.machine_id), ("system_uuid", &*machine.system_uuid)];
    let mut gauge = |name: &str, help: &str, value: u64| {
        text.metric(name, Kind::Gauge, help);
        text.sample(name, &labels, value as f64, None);
    };
    gauge("machine_cpu_cores", "Number of logical CPU cores.", machine.cpus);
    gauge("machine_memory_bytes", "Amount of memory installed on the machine.", machine.memory);
    gauge("machine_scrape_error", "1 if there was an error while getting machine metrics, 0 otherwise.", 0);
    gauge("machine_swap_bytes", "Amount of swap memory available on the machine.", machine.swap);
}
