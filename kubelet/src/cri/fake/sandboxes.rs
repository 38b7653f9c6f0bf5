//! Sandboxes of a runtime in memory: what containerd does with them, in its words.

use tonic::Status;

use super::state::{Moment, Packed, Sandbox, State, hash};
use super::v1;

impl State {
    /// Makes a sandbox, which is ready at once.
    pub(super) fn run_sandbox(&mut self, request: v1::RunPodSandboxRequest, moment: Moment) -> Result<String, Status> {
        let config = request.config.unwrap_or_default();
        let metadata =
            config.metadata.clone().ok_or_else(|| Status::unknown("sandbox config must include metadata"))?;
        let attempt = metadata.attempt.to_string();
        let name = hash(&[&metadata.name, &metadata.namespace, &metadata.uid, &attempt]);
        if let Some((number, _)) = self.sandboxes.iter().find(|(_, sandbox)| sandbox.name == name) {
            let written = format!("{}_{}_{}_{attempt}", metadata.name, metadata.namespace, metadata.uid);
            return Err(Status::unknown(format!(
                "failed to reserve sandbox name {written:?}: name {written:?} is reserved for {:?}",
                self.id(*number)
            )));
        }
        let linux = config.linux.unwrap_or_default().security_context.unwrap_or_default();
        let namespaces = linux.namespace_options.unwrap_or_default();
        let addresses =
            if namespaces.network() == v1::NamespaceMode::Node { Vec::new() } else { self.take_addresses()? };
        let number = self.number();
        let id = self.id(number);
        let created = self.made(moment);
        let fixed = v1::PodSandboxStatus {
            id: id.clone(),
            metadata: Some(metadata),
            created_at: created,
            linux: Some(v1::LinuxPodSandboxStatus { namespaces: Some(v1::Namespace { options: Some(namespaces) }) }),
            labels: config.labels,
            annotations: config.annotations,
            runtime_handler: request.runtime_handler,
            ..v1::PodSandboxStatus::default()
        };
        let sandbox = Sandbox {
            fixed: Packed::of(&fixed),
            name,
            created,
            ready: true,
            addresses: addresses.into(),
            log_directory: config.log_directory.into(),
        };
        self.sandboxes.insert(number, sandbox);
        Ok(id)
    }

    /// One address of each range.
    fn take_addresses(&mut self) -> Result<Vec<std::net::IpAddr>, Status> {
        let mut addresses = Vec::with_capacity(self.pools.len());
        for at in 0..self.pools.len() {
            match self.pools[at].take() {
                Some(address) => addresses.push(address),
                None => {
                    self.put_back(&addresses);
                    return Err(Status::unknown(
                        "failed to setup network for sandbox: plugin type=\"ptp\" failed (add): failed to \
                         allocate for range 0: no IP addresses available in range set",
                    ));
                }
            }
        }
        if addresses.is_empty() {
            return Err(Status::unknown("failed to setup network for sandbox: cni plugin not initialized"));
        }
        Ok(addresses)
    }

    fn put_back(&mut self, addresses: &[std::net::IpAddr]) {
        for pool in &mut self.pools {
            for address in addresses {
                pool.put_back(*address);
            }
        }
    }

    /// Stops a sandbox, if it is there, and kills what runs in it.
    pub(super) fn stop_sandbox(&mut self, id: &str, moment: Moment) {
        let Some(number) = self.number_of(id) else { return };
        let Some(sandbox) = self.sandboxes.get_mut(&number) else { return };
        sandbox.ready = false;
        let addresses = std::mem::take(&mut sandbox.addresses);
        self.put_back(&addresses);
        for container in self.containers.values_mut().filter(|container| container.sandbox == number) {
            container.end(moment, 137, false);
        }
    }

    /// Removes a sandbox and its containers, whether they run or not. One that is not there is removed already.
    pub(super) fn remove_sandbox(&mut self, id: &str, moment: Moment) {
        self.stop_sandbox(id, moment);
        let Some(number) = self.number_of(id) else { return };
        self.containers.retain(|_, container| container.sandbox != number);
        self.sandboxes.remove(&number);
    }

    /// How a sandbox is.
    pub(super) fn sandbox_status(&self, id: &str) -> Result<v1::PodSandboxStatus, Status> {
        let (_, sandbox) = self.sandbox(id)?;
        let mut addresses = sandbox.addresses.iter().map(ToString::to_string);
        let network = v1::PodSandboxNetworkStatus {
            ip: addresses.next().unwrap_or_default(),
            additional_ips: addresses.map(|ip| v1::PodIp { ip }).collect(),
        };
        Ok(v1::PodSandboxStatus { state: sandbox.state().into(), network: Some(network), ..sandbox.fixed.open() })
    }

    /// The sandboxes that a filter lets through, in the order in which they were made.
    pub(super) fn list_sandboxes(&self, filter: Option<v1::PodSandboxFilter>) -> Vec<v1::PodSandbox> {
        let filter = filter.unwrap_or_default();
        let wanted = |number: u64, sandbox: &Sandbox| {
            (filter.id.is_empty() || self.id(number).starts_with(&filter.id))
                && filter.state.is_none_or(|value| value.state == i32::from(sandbox.state()))
        };
        let found = self.sandboxes.iter().filter(|(number, sandbox)| wanted(**number, sandbox));
        let listed = found.map(|(_, sandbox)| {
            let fixed = sandbox.fixed.open();
            v1::PodSandbox {
                id: fixed.id,
                metadata: fixed.metadata,
                state: sandbox.state().into(),
                created_at: sandbox.created,
                labels: fixed.labels,
                annotations: fixed.annotations,
                runtime_handler: fixed.runtime_handler,
            }
        });
        listed.filter(|sandbox| selects(&filter.label_selector, &sandbox.labels)).collect()
    }
}

impl Sandbox {
    /// Its state, as CRI has it.
    fn state(&self) -> v1::PodSandboxState {
        if self.ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready }
    }
}

/// Labels, as CRI has them.
pub(super) type Labels = std::collections::HashMap<String, String>;

/// Whether labels have everything that a selector asks for.
pub(super) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
