//! What is written of figures, word for word.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::super::{View, cadvisor, resource, summary};
use crate::observed::{AppliedResources, RuntimeContainer, RuntimePod};
use crate::stats::{
    ContainerFigures, Cpu, DiskTraffic, Figures, Filesystem, Interface, Machine, Memory, NodeFigures, PodFigures,
    Processes, Throttling, VolumeFigures,
};

fn at() -> Timestamp {
    "2026-03-01T12:00:00.25Z".parse().unwrap()
}

fn cpu(seconds: u64) -> Option<Cpu> {
    Some(Cpu { at: at(), total_nanoseconds: seconds * 1_000_000_000 + 500_000_000, rate: Some(seconds * 1000) })
}

fn memory(bytes: u64) -> Option<Memory> {
    Some(Memory {
        at: at(),
        available: None,
        usage: bytes + 20,
        working_set: bytes + 10,
        rss: bytes,
        page_faults: 7,
        major_page_faults: 1,
        swap: None,
    })
}

fn filesystem(used: u64) -> Filesystem {
    Filesystem { at: at(), available: 600, capacity: 1000, used, inodes_free: 90, inodes: 100, inodes_used: 10 }
}

fn interface(name: &str) -> Interface {
    Interface { name: name.to_owned(), received: 11, receive_errors: 1, sent: 22, send_errors: 2 }
}

fn disk(device: &str) -> DiskTraffic {
    DiskTraffic { device: device.to_owned(), bytes_read: 4096, bytes_written: 512, reads: 2, writes: 1 }
}

fn figures() -> Figures {
    let node = NodeFigures {
        started: "2026-03-01T00:00:00Z".parse().unwrap(),
        cpu: cpu(100),
        memory: memory(5000).map(|memory| Memory { available: Some(3000), swap: Some(40), ..memory }),
        network: vec![interface("ens3")],
        filesystem: Some(filesystem(400)),
        images: Some(filesystem(300)),
        dedicated_images: false,
        processes: Some(Processes { at: at(), most: 32_768, running: 120 }),
    };
    let container = ContainerFigures {
        name: "app".to_owned(),
        id: "c0ffee".to_owned(),
        started: "2026-03-01T11:00:00.5Z".parse().unwrap(),
        cpu: cpu(3),
        throttling: Some(Throttling { periods: 40, throttled_periods: 7, nanoseconds: 1_500_000_000 }),
        disks: ["/dev/sda", "/dev/sdb"].map(disk).into(),
        memory: memory(200).map(|memory| Memory { available: Some(90), ..memory }),
        root: Some(filesystem(30)),
        logs: Some(filesystem(4)),
    };
    let volumes = [("data", Some("claim"), false), ("scratch", None, true)].map(|(name, claim, ephemeral)| {
        VolumeFigures { name: name.to_owned(), claim: claim.map(str::to_owned), filesystem: filesystem(5), ephemeral }
    });
    let pod = PodFigures {
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        uid: "u1".to_owned(),
        started: "2026-03-01T10:59:00Z".parse().unwrap(),
        containers: vec![container],
        cpu: cpu(4),
        throttling: None,
        disks: vec![disk("/dev/sda")],
        memory: memory(300),
        network: vec![interface("eth0")],
        volumes: volumes.into(),
        ephemeral: Some(filesystem(39)),
        processes: Some(6),
    };
    // Nothing is known of it but that it is there.
    let new = PodFigures {
        namespace: "kube-system".to_owned(),
        name: "new".to_owned(),
        uid: "u2".to_owned(),
        containers: vec![ContainerFigures { name: "starts".to_owned(), ..ContainerFigures::default() }],
        ..PodFigures::default()
    };
    Figures { node_name: "one".to_owned(), node, pods: vec![pod, new] }
}

struct Seen;

impl View for Seen {
    fn pods(&self) -> Vec<Arc<Pod>> {
        let pod = |uid: &str, class: &str| {
            let pod = json!({"metadata": {"uid": uid}, "spec": {"containers": [{"name": "app"}]}, "status": {"qosClass": class}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        vec![pod("u1", "Burstable"), pod("u2", "Guaranteed")]
    }

    fn runtime(&self, uid: &str) -> Option<Arc<RuntimePod>> {
        let resources = AppliedResources {
            cpu_shares: Some(512),
            cpu_quota: Some(-1),
            cpu_period: Some(100_000),
            memory_limit: Some(1 << 20),
        };
        let container = RuntimeContainer {
            id: "c0ffee".to_owned(),
            image: "img:1".to_owned(),
            resources: Some(resources),
            ..RuntimeContainer::default()
        };
        (uid == "u1").then(|| Arc::new(RuntimePod { containers: vec![container], ..RuntimePod::default() }))
    }
}

/// Compares line by line, so that what differs is seen.
fn check(name: &str, text: &str, expected: &str) {
    for (found, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "{name}\n{text}");
}

#[test]
fn a_summary_is_upstreams() {
    let figures = figures();
    let all = serde_json::to_string_pretty(&summary::summary(&figures, false)).unwrap();
    check("summary.json", &all, include_str!("summary.json"));
    let some = serde_json::to_string_pretty(&summary::summary(&figures, true)).unwrap();
    check("summary_cpu_and_memory.json", &some, include_str!("summary_cpu_and_memory.json"));
}

#[test]
fn resources_are_told_as_by_upstream() {
    check("resource.txt", &resource::resource(&figures()), include_str!("resource.txt"));
}

#[test]
fn cgroups_are_told_as_by_cadvisor() {
    let machine = Machine {
        cpus: 2,
        memory: 4 << 30,
        swap: 0,
        boot_id: "b".to_owned(),
        machine_id: "m".to_owned(),
        system_uuid: "s".to_owned(),
        kernel_version: "6.1".to_owned(),
        os: "Debian".to_owned(),
    };
    let text = cadvisor::cadvisor(&figures(), &machine, &Seen);
    check("cadvisor.txt", &text, include_str!("cadvisor.txt"));
}
