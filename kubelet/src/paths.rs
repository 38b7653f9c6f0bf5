//! Where things are on a node: the same places as upstream's, below a directory of the agent's own.

use std::path::{Path, PathBuf};

/// The directories of a node's agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What is the agent's own (`--root-dir`; upstream's is `/var/lib/kubelet`).
    pub root: PathBuf,
    /// Where the runtime writes what containers write (`/var/log/pods`).
    pub pod_logs: PathBuf,
    /// Links to those files, by the names that log collectors know (`/var/log/containers`).
    pub container_logs: PathBuf,
}

impl Paths {
    /// With `root`, and logs where collectors look for them.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Paths {
        Paths { root: root.into(), pod_logs: "/var/log/pods".into(), container_logs: "/var/log/containers".into() }
    }

    /// Where pods have their directories, one each, by uid.
    #[must_use]
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// A pod's directory.
    #[must_use]
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// Where a pod's volumes are, below a directory for each plugin.
    #[must_use]
    pub fn volumes(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volumes")
    }

    /// A volume's directory. A slash in the plugin's name is written as a tilde.
    #[must_use]
    pub fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.volumes(uid).join(plugin.replace('/', "~")).join(name)
    }

    /// Where parts of volumes are bound that containers get (`subPath`).
    #[must_use]
    pub fn subpaths(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volume-subpaths")
    }

    /// What a pod's containers see as `/etc/hosts`.
    #[must_use]
    pub fn etc_hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// Where a container's termination messages are, a file for each time that it was started.
    #[must_use]
    pub fn container(&self, uid: &str, container: &str) -> PathBuf {
        self.pod(uid).join("containers").join(container)
    }

    /// Where local seccomp profiles are.
    #[must_use]
    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// Where a pod's containers' logs are.
    #[must_use]
    pub fn logs_of(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.pod_logs.join(format!("{namespace}_{name}_{uid}"))
    }

    /// A container's log, within its pod's directory of logs.
    #[must_use]
    pub fn log_of(container: &str, attempt: u32) -> PathBuf {
        Path::new(container).join(format!("{attempt}.log"))
    }
}
