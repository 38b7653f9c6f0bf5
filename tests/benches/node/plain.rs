//! A plain client of the node's runtime, which asks for a sandbox and a container like a pod's and for nothing else.

use kubelet::cri::{Cri, v1};
use kubelet::runtime::Layout;
use tests::node::Node;

use crate::{COMMAND, IMAGE};

/// The namespace of its sandboxes.
const NAMESPACE: &str = "plain";

/// The client.
pub(crate) struct Plain {
    cri: Cri,
    cgroup: String,
}

impl Plain {
    /// A client of the runtime that the node has for itself.
    pub(crate) fn of(node: &Node) -> Plain {
        let cri = Cri::at(&Layout::of(&node.data()).endpoint()).expect("a socket");
        Plain { cri, cgroup: node.machine().cgroup().to_owned() }
    }

    /// Runs a container in a sandbox of its own, and returns the sandbox's ID.
    pub(crate) async fn run(&self, name: String) -> String {
        let sandbox = self.sandbox(name);
        let request = v1::RunPodSandboxRequest { config: Some(sandbox.clone()), ..Default::default() };
        let pod_sandbox_id = self.cri.run_pod_sandbox(request).await.expect("a sandbox").pod_sandbox_id;
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: pod_sandbox_id.clone(),
            config: Some(container()),
            sandbox_config: Some(sandbox),
        };
        let container_id = self.cri.create_container(request).await.expect("a container").container_id;
        self.cri.start_container(v1::StartContainerRequest { container_id }).await.expect("it starts");
        pod_sandbox_id
    }

    /// Removes a sandbox, and what runs in it.
    pub(crate) async fn end(&self, pod_sandbox_id: String) {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
        self.cri.stop_pod_sandbox(request).await.expect("it stops");
        self.cri.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id }).await.expect("it is removed");
    }

    fn sandbox(&self, name: String) -> v1::PodSandboxConfig {
        let linux = v1::LinuxPodSandboxConfig {
            cgroup_parent: format!("/{}/plain-{name}", self.cgroup),
            security_context: Some(v1::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces()),
                ..Default::default()
            }),
            ..Default::default()
        };
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                uid: name.clone(),
                namespace: NAMESPACE.to_owned(),
                attempt: 0,
                name: name.clone(),
            }),
            log_directory: format!("/var/log/pods/{name}"),
            hostname: name,
            linux: Some(linux),
            ..Default::default()
        }
    }
}

fn container() -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "c".to_owned(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: IMAGE.to_owned(), ..Default::default() }),
        command: COMMAND.map(str::to_owned).to_vec(),
        log_path: "c.log".to_owned(),
        linux: Some(v1::LinuxContainerConfig {
            security_context: Some(v1::LinuxContainerSecurityContext {
                namespace_options: Some(namespaces()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A network of the sandbox's own, and processes of the container's own.
fn namespaces() -> v1::NamespaceOption {
    v1::NamespaceOption {
        network: v1::NamespaceMode::Pod as i32,
        pid: v1::NamespaceMode::Container as i32,
        ipc: v1::NamespaceMode::Pod as i32,
        ..Default::default()
    }
}
