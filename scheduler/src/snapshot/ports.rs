//! Ports of nodes that pods take for themselves.
//!
//! The same port may be taken with different addresses and protocols, but a port at every address (`0.0.0.0`) excludes
//! the same port at any.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;

const EVERY_ADDRESS: &str = "0.0.0.0";

/// A port of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    protocol: String,
    port: i32,
    address: String,
}

impl HostPort {
    fn conflicts(&self, other: &Self) -> bool {
        let overlap = self.address == other.address || [self, other].iter().any(|port| port.address == EVERY_ADDRESS);
        self.port == other.port && self.protocol == other.protocol && overlap
    }
}

/// The ports that a pod takes: those of its containers and of its sidecars, in order, each once.
pub(crate) fn of_pod(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let ports = ports.filter_map(|port| {
        let or = |text: &Option<String>, default: &str| {
            text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let number = port.host_port.filter(|number| *number > 0)?;
        let (protocol, address) = (or(&port.protocol, "TCP"), or(&port.host_ip, EVERY_ADDRESS));
        Some(HostPort { protocol, port: number, address })
    });
    let mut ports: Vec<HostPort> = ports.collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The ports that pods on a node have taken, and how many pods each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenPorts(BTreeMap<HostPort, u32>);

impl TakenPorts {
    /// Whether one of the ports cannot be taken any more.
    #[must_use]
    pub fn conflict(&self, wanted: &[HostPort]) -> bool {
        let taken = |wanted: &HostPort| self.0.keys().any(|taken| taken.conflicts(wanted));
        !self.0.is_empty() && wanted.iter().any(taken)
    }

    pub(crate) fn take(&mut self, ports: &[HostPort]) {
        for port in ports {
            *self.0.entry(port.clone()).or_default() += 1;
        }
    }

    pub(crate) fn release(&mut self, ports: &[HostPort]) {
        for port in ports {
            if let Some(count) = self.0.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(port);
                }
            }
        }
    }
}
