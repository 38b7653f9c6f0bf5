//! The cgroups of pods: limits that are set there, and figures that are read there. Version 1 and version 2.
//!
//! The kernel's files are all the state that there is: whatever is asked is read from them, and an agent that starts again
//! finds its pods' cgroups there. With the driver `systemd` the names are systemd's, and directories are made all the same:
//! systemd leaves slices alone that it did not make.

pub mod cpu;
mod driver;
mod figures;
mod hierarchies;
mod layout;
mod limits;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::pod_resources::List;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

pub use figures::{Usage, rate};
pub use hierarchies::{Hierarchies, Version};
pub use layout::{Class, Driver, Layout};
pub use limits::Limits;

use crate::containers::resources::{QUOTA_PERIOD, size_name};
use crate::containers::{Node, Swap};

/// How often removing a cgroup is tried: the kernel takes a while until killed processes are gone.
const REMOVALS: u32 = 10;
/// How long the first wait between two tries is; each is twice the one before, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// How long a wait between two tries is at the most.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why something could not be done with a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The machine has none.
    #[error("no cgroups are mounted on this machine: mount cgroup2 at /sys/fs/cgroup")]
    NotMounted,
    /// A controller is missing without which pods cannot be held to what they may use.
    #[error("the cgroup controllers {0} are missing: enable them in the kernel")]
    Missing(String),
    /// A pod has no uid that could be part of a path.
    #[error("{0:?} is no pod's uid")]
    Uid(String),
    /// A pod or container uses more memory than it is to have.
    #[error("attempting to set {whose} memory limit ({limit}) below current usage ({usage})")]
    InUse {
        /// `pod`, or which container.
        whose: String,
        /// Bytes that it is to have.
        limit: u64,
        /// Bytes that it has.
        usage: u64,
    },
    /// The kernel refused.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl CgroupError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> CgroupError {
        CgroupError::Io { action, path: path.to_owned(), source }
    }
}

/// How pods are held.
#[derive(Clone, Debug)]
pub struct Options {
    /// What their cgroups are called.
    pub layout: Layout,
    /// Microseconds in which CPU limits are counted; `None` if they are not enforced.
    pub quota_period: Option<i64>,
    /// The most processes and threads of a pod (`podPidsLimit`); `None` for no limit.
    pub pids: Option<i64>,
}

impl Default for Options {
    fn default() -> Options {
        Options { layout: Layout::default(), quota_period: Some(QUOTA_PERIOD), pids: None }
    }
}

/// The cgroups of a machine's pods.
#[derive(Clone, Debug)]
pub struct Cgroups {
    hierarchies: Hierarchies,
    options: Options,
    /// The sizes of huge pages, as cgroups' files name them.
    hugepages: Vec<String>,
}

impl Cgroups {
    /// The cgroups of this machine.
    ///
    /// # Errors
    /// If it has none, or not the controllers of CPU and memory.
    pub fn open(options: Options) -> Result<Cgroups, CgroupError> {
        Cgroups::over(Hierarchies::find()?, options)
    }

    /// The cgroups in these trees.
    ///
    /// # Errors
    /// If they have not the controllers of CPU and memory.
    pub fn over(hierarchies: Hierarchies, options: Options) -> Result<Cgroups, CgroupError> {
        let missing: Vec<_> = ["cpu", "memory"].into_iter().filter(|controller| !hierarchies.has(controller)).collect();
        if !missing.is_empty() {
            return Err(CgroupError::Missing(missing.join(", ")));
        }
        let hugepages = if hierarchies.has("hugetlb") { hugepage_sizes() } else { Vec::new() };
        Ok(Cgroups { hierarchies, options, hugepages })
    }

    /// None at all, for a runtime that runs nothing: nothing is limited, and nothing is counted.
    #[must_use]
    pub fn none() -> Cgroups {
        Cgroups { hierarchies: Hierarchies::none(), options: Options::default(), hugepages: Vec::new() }
    }

    /// Which version the machine has.
    #[must_use]
    pub fn version(&self) -> Version {
        self.hierarchies.version()
    }

    /// What cgroups are called.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.options.layout
    }

    /// Whether the kernel accounts for swap.
    #[must_use]
    pub fn accounts_for_swap(&self) -> bool {
        let (cgroup, file) = match self.version() {
            Version::V1 => ("/".to_owned(), "memory.memsw.limit_in_bytes"),
            // The topmost cgroup has no limits.
            Version::V2 => (self.options.layout.pods(), "memory.swap.max"),
        };
        self.hierarchies.directory("memory", &cgroup).is_some_and(|directory| directory.join(file).exists())
    }

    /// What containers are asked for with, as far as cgroups decide: to be asked after [`Cgroups::prepare_node`].
    #[must_use]
    pub fn describe(&self, node: Node) -> Node {
        Node {
            cgroups: self.options.layout.clone(),
            unified: self.version() == Version::V2,
            quota_period: self.options.quota_period,
            hugepage_sizes: self.hugepages.clone(),
            swap: if self.accounts_for_swap() { Swap::None } else { Swap::Unaccounted },
            ..node
        }
    }

    /// Makes the cgroups of all pods and of their classes, and limits all pods together to what the node has for them.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn prepare_node(&self, allocatable: &List) -> Result<(), CgroupError> {
        let layout = &self.options.layout;
        self.apply(&layout.pods(), &Limits::of_node(allocatable))?;
        self.update_classes(&[] as &[Pod])
    }

    /// Gives the classes what their pods request; to be called as pods come and go. `pods` are all that have not ended.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn update_classes<'a>(&self, pods: impl IntoIterator<Item = &'a Pod> + Clone) -> Result<(), CgroupError> {
        for class in [Class::Burstable, Class::BestEffort] {
            self.apply(&self.options.layout.class(class), &Limits::of_class(class, pods.clone()))?;
        }
        Ok(())
    }

    /// The cgroup that the runtime makes a pod's containers' in (`cgroup_parent`).
    #[must_use]
    pub fn pod_parent(&self, pod: &Pod) -> String {
        self.options.layout.pod_parent(pod)
    }

    /// Makes a pod's cgroup and limits it. One that containers are in already is left as it is: what they have changes by
    /// resizes alone.
    ///
    /// # Errors
    /// If the pod has no uid, or the kernel refuses.
    pub fn make(&self, pod: &Pod) -> Result<(), CgroupError> {
        checked(pod.metadata.uid.as_deref().unwrap_or_default())?;
        if self.containers(pod).is_empty() {
            return self.apply(&self.pod_parent(pod), &self.limits_of(pod));
        }
        tree::make(&self.hierarchies, &self.pod_parent(pod))
    }

    /// Gives a pod's cgroup what its resources are to be where that is more than it has, and takes nothing away: what comes
    /// before its containers are resized. A cgroup's limit on CPU time must not be below those in it.
    ///
    /// # Errors
    /// If the pod has no uid, or the kernel refuses.
    pub fn widen(&self, pod: &Pod) -> Result<(), CgroupError> {
        checked(pod.metadata.uid.as_deref().unwrap_or_default())?;
        let cgroup = self.pod_parent(pod);
        let wanted = self.limits_of(pod);
        match self.limits(&cgroup) {
            Some(now) => self.apply(&cgroup, &wanted.wider(&now)),
            None => self.apply(&cgroup, &wanted),
        }
    }

    /// Gives a pod's cgroup exactly what its resources are to be: what comes after its containers are resized.
    ///
    /// # Errors
    /// If the pod has no uid, it uses more memory than it is to have, or the kernel refuses.
    pub fn resize(&self, pod: &Pod) -> Result<(), CgroupError> {
        checked(pod.metadata.uid.as_deref().unwrap_or_default())?;
        let (cgroup, limits) = (self.pod_parent(pod), self.limits_of(pod));
        self.check_memory(&cgroup, limits.memory, || "pod".to_owned())?;
        self.apply(&cgroup, &limits)
    }

    /// Whether a container, by the runtime's ID, can be limited to so many bytes of memory (0 for no limit).
    ///
    /// # Errors
    /// If it uses more: the kernel would kill processes until the rest fits.
    pub fn check_container(&self, pod: &Pod, name: &str, id: &str, bytes: i64) -> Result<(), CgroupError> {
        match self.containers(pod).get(id) {
            Some(cgroup) => self.check_memory(cgroup, Some(bytes), || format!("container {name:?}")),
            None => Ok(()),
        }
    }

    fn check_memory(&self, cgroup: &str, limit: Option<i64>, whose: impl Fn() -> String) -> Result<(), CgroupError> {
        let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
        let usage = self.usage(cgroup, Timestamp::UNIX_EPOCH).and_then(|usage| usage.memory);
        match (limit, usage.map(|memory| memory.usage)) {
            (Some(limit), Some(usage)) if usage > limit => Err(CgroupError::InUse { whose: whose(), limit, usage }),
            _ => Ok(()),
        }
    }

    /// What a pod is limited to.
    #[must_use]
    pub fn limits_of(&self, pod: &Pod) -> Limits {
        let mut limits = Limits::of_pod(pod, self.options.quota_period, self.options.pids);
        // Who is not promised huge pages gets none.
        for size in &self.hugepages {
            limits.hugepages.entry(size.clone()).or_insert(0);
        }
        limits.hugepages.retain(|size, _| self.hugepages.contains(size));
        limits
    }

    /// What a cgroup is limited to, as the kernel has it; `None` if there is no such cgroup.
    #[must_use]
    pub fn limits(&self, cgroup: &str) -> Option<Limits> {
        tree::limits(&self.hierarchies, cgroup)
    }

    /// Removes a pod's cgroup, of whatever class it was, and all below it. Processes that are still there are killed.
    ///
    /// # Errors
    /// If that is no uid, or something stays although it was tried several times.
    pub async fn remove(&self, uid: &str) -> Result<(), CgroupError> {
        checked(uid)?;
        let of_class = |class| self.hierarchies.all(&self.options.layout.pod(class, uid));
        let directories: Vec<PathBuf> = Class::ALL.into_iter().flat_map(of_class).collect();
        self.remove_directories(&directories).await
    }

    async fn remove_directories(&self, directories: &[PathBuf]) -> Result<(), CgroupError> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            match tree::remove(directories) {
                Err(error) if attempt == REMOVALS => return Err(error),
                Err(_) => tokio::time::sleep(wait).await,
                Ok(()) => break,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Ok(())
    }

    /// Removes the cgroups of all pods and of their classes, and what they are in if nothing else is there: what is left of a
    /// node that is none any more. Processes that are still in pods' cgroups are killed.
    ///
    /// # Errors
    /// If something stays although it was tried several times.
    pub async fn remove_all(&self) -> Result<(), CgroupError> {
        let layout = &self.options.layout;
        self.remove_directories(&self.hierarchies.all(&layout.pods())).await?;
        if layout.root() != "/" {
            for directory in self.hierarchies.all(&layout.root()) {
                // Who else has something there keeps it.
                let _ = std::fs::remove_dir(directory);
            }
        }
        Ok(())
    }

    /// The uids of all pods that have a cgroup.
    #[must_use]
    pub fn pods(&self) -> BTreeSet<String> {
        let layout = &self.options.layout;
        let of_class = |class| {
            let directories = self.hierarchies.all(&layout.class(class));
            let names = directories.into_iter().flat_map(|directory| tree::children(&directory));
            names.filter_map(move |name| layout.uid(class, &name))
        };
        Class::ALL.into_iter().flat_map(of_class).collect()
    }

    /// What a cgroup and all below it use, such as [`Layout::pod_parent`], or `/` for the machine; `None` if there is no
    /// such cgroup.
    #[must_use]
    pub fn usage(&self, cgroup: &str, at: Timestamp) -> Option<Usage> {
        figures::read(&self.hierarchies, cgroup, at)
    }

    /// The cgroups of a pod's containers and its sandbox, by the runtime's IDs, which their names end in, but for a suffix.
    #[must_use]
    pub fn containers(&self, pod: &Pod) -> BTreeMap<String, String> {
        let parent = self.pod_parent(pod);
        let Some(directory) = self.hierarchies.directory("memory", &parent) else { return BTreeMap::new() };
        let id = |name: &str| name.trim_end_matches(".scope").rsplit('-').next().unwrap_or_default().to_owned();
        tree::children(&directory).into_iter().map(|name| (id(&name), format!("{parent}/{name}"))).collect()
    }

    fn apply(&self, cgroup: &str, limits: &Limits) -> Result<(), CgroupError> {
        tree::make(&self.hierarchies, cgroup)?;
        tree::write(&self.hierarchies, cgroup, limits)
    }
}

/// The sizes of huge pages that the machine has, as cgroups' files name them: `2MB`.
fn hugepage_sizes() -> Vec<String> {
    let sizes = tree::children(Path::new("/sys/kernel/mm/hugepages"));
    let sizes = sizes.iter().filter_map(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok());
    let mut sizes: Vec<i64> = sizes.collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|kilobytes| size_name(kilobytes << 10)).collect()
}

/// Refuses what must not become part of a path.
fn checked(uid: &str) -> Result<(), CgroupError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if uid.is_empty() || !uid.bytes().all(is_plain) {
        return Err(CgroupError::Uid(uid.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
