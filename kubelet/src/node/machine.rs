//! What a machine has and is: read from `/proc`, `/sys` and `/etc`, and said as a Node says it.
//!
//! What pods may have of it, its allocatable resources, is what it has without what is reserved for the system, for the
//! agent and its runtime, and without what eviction keeps free; of memory, without huge pages as well.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use api::quantity::{Format, Quantity as Amount};
use k8s_openapi::api::core::v1::{NodeAddress, NodeSwapStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::object::Facts;

/// The version of Kubernetes whose kubelet this is one of, with our own as build metadata.
pub const VERSION: &str = concat!("v1.37.0+gantry.", env!("CARGO_PKG_VERSION"));

/// Where a machine is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The directory that has `proc`, `sys` and `etc`: `/`.
    pub root: PathBuf,
    /// A directory on the file system that pods share: the agent's own.
    pub storage: PathBuf,
}

/// Why a machine, or what is said of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file is not there, or may not be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file does not say what it says on Linux.
    #[error("{}: it does not say {what}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it is read for.
        what: &'static str,
    },
    /// An option is written in another way than it is read.
    #[error("{text:?} is no {what}: write it as {example}")]
    Option {
        /// What was written.
        text: String,
        /// What it should be.
        what: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// The machine has no address at which it could be found.
    #[error("the machine has no address but its own loopback's: say which one it has with --node-ip")]
    NoAddress,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// How many processors are in use.
    pub processors: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of swap space.
    pub swap: u64,
    /// Bytes of memory that are set aside in huge pages, by the size of a page.
    pub huge_pages: BTreeMap<u64, u64>,
    /// Bytes of the file system that pods share.
    pub storage: u64,
    /// Which installation it is (`/etc/machine-id`); empty if it has no ID.
    pub machine_id: String,
    /// Which hardware it is, or the machine ID if that is not known.
    pub system_uuid: String,
    /// Which time it is that it runs.
    pub boot_id: String,
    /// The kernel's version.
    pub kernel: String,
    /// The distribution's name.
    pub os_image: String,
}

/// What a Node is to say beside what the machine itself is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// Where the node is found, the preferred address first, and its host name.
    pub addresses: Vec<NodeAddress>,
    /// The runtime's name and version: `containerd://1.6.20`.
    pub runtime_version: String,
    /// How many pods it takes at most.
    pub max_pods: u32,
    /// What pods do not get.
    pub reserved: Reserved,
}

/// What pods do not get of a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// What the agent and the runtime need (`--kube-reserved`), by resource.
    pub kube: BTreeMap<String, Amount>,
    /// What everything else needs (`--system-reserved`), by resource.
    pub system: BTreeMap<String, Amount>,
    /// What eviction keeps free (`--eviction-hard`), by signal.
    pub eviction: BTreeMap<String, Threshold>,
}

/// How much eviction keeps free.
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    /// An amount.
    Amount(Amount),
    /// A part of what there is: 0.1 is ten percent.
    Share(f32),
}

impl Threshold {
    /// The amount that it stands for, of something of which there is `capacity`.
    #[must_use]
    pub fn of(&self, capacity: &Amount) -> Amount {
        match self {
            Threshold::Amount(amount) => amount.clone(),
            // Upstream multiplies with the same precision, and cuts off as well.
            Threshold::Share(share) => {
                Amount::new((capacity.value() as f64 * f64::from(*share)) as i64, Format::BinarySi)
            }
        }
    }
}

/// Upstream's thresholds, if none are given.
pub const EVICTION_HARD: &str =
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%";

/// Reads amounts of resources: `cpu=100m,memory=1Gi`.
pub fn amounts(text: &str) -> Result<BTreeMap<String, Amount>, MachineError> {
    let wrong = || MachineError::Option {
        text: text.to_owned(),
        what: "list of resources",
        example: "cpu=100m,memory=1Gi,ephemeral-storage=1Gi",
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, amount) = part.split_once('=').ok_or_else(wrong)?;
            let amount = Amount::parse(amount.trim()).ok().filter(|amount| amount.signum() >= 0).ok_or_else(wrong)?;
            Ok((name.trim().to_owned(), amount))
        })
        .collect()
}

/// Reads thresholds of eviction: `memory.available<100Mi,nodefs.available<10%`.
pub fn thresholds(text: &str) -> Result<BTreeMap<String, Threshold>, MachineError> {
    let wrong = || MachineError::Option {
        text: text.to_owned(),
        what: "list of thresholds",
        example: "memory.available<100Mi,nodefs.available<10%",
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (signal, threshold) = part.split_once('<').ok_or_else(wrong)?;
            let threshold = match threshold.trim().strip_suffix('%') {
                Some(percent) => {
                    let percent = percent.parse::<f32>().ok().filter(|percent| (0.0..=100.0).contains(percent));
                    Threshold::Share(percent.ok_or_else(wrong)? / 100.0)
                }
                None => {
                    let amount = Amount::parse(threshold.trim()).ok().filter(|amount| amount.signum() >= 0);
                    Threshold::Amount(amount.ok_or_else(wrong)?)
                }
            };
            Ok((signal.trim().to_owned(), threshold))
        })
        .collect()
}

impl Roots {
    /// This machine, with pods' storage in `storage`.
    #[must_use]
    pub fn of_machine(storage: impl Into<PathBuf>) -> Roots {
        Roots { root: "/".into(), storage: storage.into() }
    }

    pub(super) fn text(&self, path: &str) -> Result<String, MachineError> {
        let path = self.root.join(path);
        std::fs::read_to_string(&path).map_err(|error| MachineError::Unreadable { path, error })
    }

    /// The first of these files that says anything, without spaces around; nothing if none does.
    fn first(&self, paths: &[&str]) -> String {
        let texts = paths.iter().filter_map(|path| self.text(path).ok());
        texts
            .map(|text| text.trim().trim_end_matches('\0').to_owned())
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }

    fn malformed(&self, path: &str, what: &'static str) -> MachineError {
        MachineError::Malformed { path: self.root.join(path), what }
    }
}

impl Machine {
    /// Reads what the machine has and is. What only says which one it is may be missing.
    pub fn read(roots: &Roots) -> Result<Machine, MachineError> {
        let meminfo = roots.text("proc/meminfo")?;
        let memory = of_meminfo(&meminfo, "MemTotal")
            .ok_or_else(|| roots.malformed("proc/meminfo", "how much memory there is"))?;
        let machine_id = roots.first(&["etc/machine-id", "var/lib/dbus/machine-id"]);
        let system_uuid =
            roots.first(&["sys/class/dmi/id/product_uuid", "proc/device-tree/system-id", "proc/device-tree/vm,uuid"]);
        Ok(Machine {
            processors: processors(roots)?,
            memory,
            swap: of_meminfo(&meminfo, "SwapTotal").unwrap_or(0),
            huge_pages: huge_pages(roots)?,
            storage: capacity_of(&roots.storage)?,
            system_uuid: if system_uuid.is_empty() { machine_id.clone() } else { system_uuid },
            machine_id,
            boot_id: roots.first(&["proc/sys/kernel/random/boot_id"]),
            kernel: roots.text("proc/sys/kernel/osrelease")?.trim().to_owned(),
            os_image: os_image(&roots.first(&["etc/os-release", "usr/lib/os-release"])),
        })
    }

    /// What a Node says of it.
    #[must_use]
    pub fn facts(&self, setting: &Setting) -> Facts {
        let capacity = self.capacity(setting.max_pods);
        let allocatable = allocatable(&capacity, &setting.reserved);
        let quantities = |amounts: &BTreeMap<String, Amount>| {
            amounts.iter().map(|(name, amount)| (name.clone(), Quantity(amount.canonical()))).collect()
        };
        Facts {
            addresses: setting.addresses.clone(),
            capacity: quantities(&capacity),
            allocatable: quantities(&allocatable),
            system: self.system(&setting.runtime_version),
        }
    }

    /// What it has, by resource.
    #[must_use]
    pub fn capacity(&self, max_pods: u32) -> BTreeMap<String, Amount> {
        let bytes = |bytes: u64| Amount::new(whole(bytes), Format::BinarySi);
        let mut capacity = BTreeMap::from([
            ("cpu".to_owned(), Amount::new(whole(self.processors), Format::DecimalSi)),
            ("memory".to_owned(), bytes(self.memory)),
            ("ephemeral-storage".to_owned(), bytes(self.storage)),
            ("pods".to_owned(), Amount::new(max_pods.into(), Format::DecimalSi)),
        ]);
        for (size, reserved) in &self.huge_pages {
            capacity.insert(format!("{HUGE_PAGES}{}", bytes(*size).canonical()), bytes(*reserved));
        }
        capacity
    }

    fn system(&self, runtime_version: &str) -> NodeSystemInfo {
        NodeSystemInfo {
            architecture: architecture().to_owned(),
            boot_id: self.boot_id.clone(),
            container_runtime_version: runtime_version.to_owned(),
            kernel_version: self.kernel.clone(),
            // Nodes have not said it since there were kube-proxies of other versions than their kubelets.
            kube_proxy_version: String::new(),
            kubelet_version: VERSION.to_owned(),
            machine_id: self.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: self.os_image.clone(),
            running_in_user_namespace: None,
            swap: (self.swap > 0).then(|| NodeSwapStatus { capacity: Some(whole(self.swap)) }),
            system_uuid: self.system_uuid.clone(),
        }
    }
}

/// How resources are called that are huge pages, before their size.
const HUGE_PAGES: &str = "hugepages-";

/// What pods may have of a machine (upstream's `GetNodeAllocatableReservation`).
#[must_use]
pub fn allocatable(capacity: &BTreeMap<String, Amount>, reserved: &Reserved) -> BTreeMap<String, Amount> {
    let mut allocatable = capacity.clone();
    for (name, amount) in &mut allocatable {
        for kept in [&reserved.kube, &reserved.system] {
            if let Some(kept) = kept.get(name) {
                amount.sub(kept);
            }
        }
        let signal = match name.as_str() {
            "memory" => "memory.available",
            "ephemeral-storage" => "nodefs.available",
            _ => continue,
        };
        if let Some(threshold) = reserved.eviction.get(signal) {
            amount.sub(&threshold.of(&capacity[name]));
        }
    }
    let huge: Vec<Amount> =
        allocatable.iter().filter(|(name, _)| name.starts_with(HUGE_PAGES)).map(|(_, amount)| amount.clone()).collect();
    if let Some(memory) = allocatable.get_mut("memory") {
        huge.iter().for_each(|pages| memory.sub(pages));
    }
    for amount in allocatable.values_mut().filter(|amount| amount.signum() < 0) {
        *amount = Amount::new(0, amount.format());
    }
    allocatable
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The processor, in Go's words, which images are labelled with.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A line of `/proc/meminfo`, in bytes.
fn of_meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// How many processors are online: `0-3,5`.
fn processors(roots: &Roots) -> Result<u64, MachineError> {
    const ONLINE: &str = "sys/devices/system/cpu/online";
    let text = roots.text(ONLINE)?;
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    let all: Option<u64> = text.trim().split(',').map(count).sum();
    all.filter(|count| *count > 0).ok_or_else(|| roots.malformed(ONLINE, "which processors are online"))
}

fn huge_pages(roots: &Roots) -> Result<BTreeMap<u64, u64>, MachineError> {
    const SIZES: &str = "sys/kernel/mm/hugepages";
    let path = roots.root.join(SIZES);
    let entries = match std::fs::read_dir(&path) {
        // A kernel without them.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(|error| MachineError::Unreadable { path: path.clone(), error })?,
    };
    let mut pages = BTreeMap::new();
    for entry in entries {
        let name = entry.map_err(|error| MachineError::Unreadable { path: path.clone(), error })?.file_name();
        let Some(name) = name.to_str() else { continue };
        let size = name.strip_prefix("hugepages-").and_then(|size| size.strip_suffix("kB"));
        let Some(size) = size.and_then(|size| size.parse::<u64>().ok()?.checked_mul(1024)) else { continue };
        let file = format!("{SIZES}/{name}/nr_hugepages");
        let count = roots.text(&file)?.trim().parse::<u64>();
        let count = count.map_err(|_| roots.malformed(&file, "how many huge pages there are"))?;
        pages.insert(size, count.saturating_mul(size));
    }
    Ok(pages)
}

fn capacity_of(directory: &Path) -> Result<u64, MachineError> {
    let stat = rustix::fs::statvfs(directory)
        .map_err(|error| MachineError::Unreadable { path: directory.to_owned(), error: error.into() })?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

/// The distribution's name, as `os-release` has it.
fn os_image(text: &str) -> String {
    let value = text.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="));
    value.map_or_else(|| "Linux".to_owned(), |value| value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests;
