//! What the containers of a runtime in memory use, as their scripts have it.

use std::time::Duration;

use tonic::Status;

use super::containers::running_nanoseconds;
use super::sandboxes::selects;
use super::state::{Moment, Phase, State, nanoseconds};
use super::v1;

impl State {
    /// What a container uses.
    pub(super) fn container_stats(&mut self, id: &str, moment: Moment) -> Result<v1::ContainerStats, Status> {
        let (number, _) = self.container(id, moment)?;
        Ok(self.stats(number, moment))
    }

    /// What the running containers use that a filter lets through.
    pub(super) fn list_container_stats(
        &mut self,
        filter: Option<v1::ContainerStatsFilter>,
        moment: Moment,
    ) -> Vec<v1::ContainerStats> {
        self.settle(moment);
        let filter = filter.unwrap_or_default();
        let found = self.containers.iter().filter(|(number, container)| {
            container.runs()
                && (filter.id.is_empty() || self.id(**number).starts_with(&filter.id))
                && (filter.pod_sandbox_id.is_empty() || self.id(container.sandbox).starts_with(&filter.pod_sandbox_id))
        });
        let stats = found.map(|(number, _)| self.stats(*number, moment));
        stats.filter(|stats| selects(&filter.label_selector, &labels(stats.attributes.as_ref()))).collect()
    }

    /// What a sandbox's containers use.
    pub(super) fn sandbox_stats(&mut self, id: &str, moment: Moment) -> Result<v1::PodSandboxStats, Status> {
        let (number, sandbox) = self.sandbox(id)?;
        let fixed = sandbox.fixed.open();
        self.settle(moment);
        let running = self.containers.iter().filter(|(_, container)| container.sandbox == number && container.runs());
        let containers: Vec<_> = running.map(|(number, _)| self.stats(*number, moment)).collect();
        let sum = |of: fn(&v1::ContainerStats) -> u64| containers.iter().map(of).sum::<u64>();
        let memory = sum(|stats| value(stats.memory.and_then(|memory| memory.working_set_bytes)));
        let cpu = sum(|stats| value(stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds)));
        let rate = sum(|stats| value(stats.cpu.and_then(|cpu| cpu.usage_nano_cores)));
        let timestamp = nanoseconds(moment.at);
        let processes = u64::try_from(containers.len()).unwrap_or(u64::MAX).saturating_add(1);
        Ok(v1::PodSandboxStats {
            attributes: Some(v1::PodSandboxAttributes {
                id: fixed.id,
                metadata: fixed.metadata,
                labels: fixed.labels,
                annotations: fixed.annotations,
            }),
            linux: Some(v1::LinuxPodSandboxStats {
                cpu: Some(cpu_usage(timestamp, cpu, rate)),
                memory: Some(memory_usage(timestamp, memory)),
                network: None,
                process: Some(v1::ProcessUsage { timestamp, process_count: some(processes) }),
                containers,
            }),
            windows: None,
        })
    }

    /// What the containers of the ready sandboxes use that a filter lets through.
    pub(super) fn list_sandbox_stats(
        &mut self,
        filter: Option<v1::PodSandboxStatsFilter>,
        moment: Moment,
    ) -> Result<Vec<v1::PodSandboxStats>, Status> {
        let filter = filter.unwrap_or_default();
        let wanted = v1::PodSandboxFilter {
            id: filter.id,
            state: Some(v1::PodSandboxStateValue { state: v1::PodSandboxState::SandboxReady.into() }),
            label_selector: filter.label_selector,
        };
        let sandboxes = self.list_sandboxes(Some(wanted));
        sandboxes.iter().map(|sandbox| self.sandbox_stats(&sandbox.id, moment)).collect()
    }

    fn stats(&self, number: u64, moment: Moment) -> v1::ContainerStats {
        let container = &self.containers[&number];
        let fixed = container.fixed.open();
        let uses = container.script.uses;
        let timestamp = nanoseconds(moment.at);
        let ran = Duration::from_nanos(running_nanoseconds(&container.phase, moment)).as_millis();
        let total = u64::try_from(u128::from(uses.cpu) * ran / 1000).unwrap_or(u64::MAX);
        let runs = matches!(container.phase, Phase::Running { .. });
        v1::ContainerStats {
            attributes: Some(v1::ContainerAttributes {
                id: fixed.id,
                metadata: fixed.metadata,
                labels: fixed.labels,
                annotations: fixed.annotations,
            }),
            cpu: runs.then(|| cpu_usage(timestamp, total, uses.cpu)),
            memory: runs.then(|| memory_usage(timestamp, uses.memory)),
            writable_layer: Some(v1::FilesystemUsage {
                timestamp,
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: super::service::IMAGES.to_owned() }),
                used_bytes: some(uses.disk),
                inodes_used: some(1),
            }),
            swap: None,
        }
    }
}

fn cpu_usage(timestamp: i64, total: u64, rate: u64) -> v1::CpuUsage {
    v1::CpuUsage { timestamp, usage_core_nano_seconds: some(total), usage_nano_cores: some(rate) }
}

fn memory_usage(timestamp: i64, bytes: u64) -> v1::MemoryUsage {
    v1::MemoryUsage {
        timestamp,
        working_set_bytes: some(bytes),
        usage_bytes: some(bytes),
        rss_bytes: some(bytes),
        page_faults: some(0),
        major_page_faults: some(0),
        ..v1::MemoryUsage::default()
    }
}

fn some(value: u64) -> Option<v1::UInt64Value> {
    Some(v1::UInt64Value { value })
}

fn value(of: Option<v1::UInt64Value>) -> u64 {
    of.unwrap_or_default().value
}

fn labels(attributes: Option<&v1::ContainerAttributes>) -> super::sandboxes::Labels {
    attributes.map(|attributes| attributes.labels.clone()).unwrap_or_default()
}
