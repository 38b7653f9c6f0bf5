//! What the runtime says of what its containers use, decoded.

use jiff::Timestamp;
use serde::Deserialize;

use super::disk::Used;
use super::{Cpu, Interface, Memory};
use crate::cri::v1;

/// What a container uses, as far as the runtime says it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ContainerUsage {
    pub(super) cpu: Option<Cpu>,
    pub(super) memory: Option<Memory>,
    pub(super) root: Option<Used>,
}

fn value(value: Option<&v1::UInt64Value>) -> u64 {
    value.map_or(0, |value| value.value)
}

fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}

/// What CRI says of a container.
pub(super) fn container(stats: &v1::ContainerStats) -> ContainerUsage {
    let memory = stats.memory.as_ref().map(|memory| Memory {
        swap: stats.swap.as_ref().and_then(|swap| swap.swap_usage_bytes.map(|value| value.value)),
        ..self::memory(memory)
    });
    let root = stats
        .writable_layer
        .as_ref()
        .map(|layer| Used { bytes: value(layer.used_bytes.as_ref()), inodes: value(layer.inodes_used.as_ref()) });
    ContainerUsage { cpu: stats.cpu.as_ref().and_then(cpu), memory, root }
}

pub(super) fn cpu(usage: &v1::CpuUsage) -> Option<Cpu> {
    Some(Cpu {
        at: time(usage.timestamp),
        total_nanoseconds: usage.usage_core_nano_seconds?.value,
        rate: usage.usage_nano_cores.map(|value| value.value),
    })
}

pub(super) fn memory(usage: &v1::MemoryUsage) -> Memory {
    let working_set = value(usage.working_set_bytes.as_ref());
    Memory {
        at: time(usage.timestamp),
        // containerd says 0 where there is no limit.
        available: usage.available_bytes.map(|value| value.value).filter(|available| *available > 0),
        // containerd 1.6 says nothing of it, and it is no less than the working set.
        usage: value(usage.usage_bytes.as_ref()).max(working_set),
        working_set,
        rss: value(usage.rss_bytes.as_ref()),
        page_faults: value(usage.page_faults.as_ref()),
        major_page_faults: value(usage.major_page_faults.as_ref()),
        swap: None,
    }
}

/// What CRI says of a sandbox's network, the default interface first.
pub(super) fn network(usage: &v1::NetworkUsage) -> Vec<Interface> {
    usage.default_interface.iter().chain(&usage.interfaces).map(interface).collect()
}

fn interface(usage: &v1::NetworkInterfaceUsage) -> Interface {
    Interface {
        name: usage.name.clone(),
        received: value(usage.rx_bytes.as_ref()),
        receive_errors: value(usage.rx_errors.as_ref()),
        sent: value(usage.tx_bytes.as_ref()),
        send_errors: value(usage.tx_errors.as_ref()),
    }
}

/// The process of a sandbox, from what the runtime says of it in so many words: containerd and CRI-O both say it so.
pub(super) fn process(answer: &v1::PodSandboxStatusResponse) -> Option<u32> {
    #[derive(Deserialize)]
    struct Info {
        pid: u32,
    }
    let info: Info = serde_json::from_str(answer.info.get("info")?).ok()?;
    (info.pid > 0).then_some(info.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_says_is_understood() {
        let some = |value| Some(v1::UInt64Value { value });
        let stats = v1::ContainerStats {
            cpu: Some(v1::CpuUsage {
                timestamp: 2_000_000_000,
                usage_core_nano_seconds: some(5),
                usage_nano_cores: None,
            }),
            memory: Some(v1::MemoryUsage {
                timestamp: 3_000_000_000,
                working_set_bytes: some(4096),
                available_bytes: some(0),
                ..v1::MemoryUsage::default()
            }),
            writable_layer: Some(v1::FilesystemUsage {
                used_bytes: some(8192),
                inodes_used: some(9),
                ..v1::FilesystemUsage::default()
            }),
            ..v1::ContainerStats::default()
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let expected = ContainerUsage {
            cpu: Some(Cpu { at: at(2), total_nanoseconds: 5, rate: None }),
            memory: Some(Memory { at: at(3), working_set: 4096, usage: 4096, ..Memory::default() }),
            root: Some(Used { bytes: 8192, inodes: 9 }),
        };
        assert_eq!(container(&stats), expected);
        assert_eq!(container(&v1::ContainerStats::default()), ContainerUsage::default());
    }

    #[test]
    fn a_sandboxs_process_is_found() {
        let answer = |text: &str| v1::PodSandboxStatusResponse {
            info: [("info".to_owned(), text.to_owned())].into(),
            ..v1::PodSandboxStatusResponse::default()
        };
        assert_eq!(process(&answer(r#"{"pid":4711,"processStatus":"running"}"#)), Some(4711));
        assert_eq!(process(&answer(r#"{"pid":0}"#)), None);
        assert_eq!(process(&answer("nonsense")), None);
        assert_eq!(process(&v1::PodSandboxStatusResponse::default()), None);
    }
}
