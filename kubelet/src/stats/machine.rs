//! What the machine is and has, which does not change while it runs.

use std::path::Path;

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// How many CPUs run.
    pub cpus: u64,
    /// Its memory, in bytes.
    pub memory: u64,
    /// Its swap, in bytes.
    pub swap: u64,
    /// What tells this start of it from others.
    pub boot_id: String,
    /// What tells it from other installations.
    pub machine_id: String,
    /// What tells it from other machines, if the firmware says so.
    pub system_uuid: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// The operating system's name.
    pub os: String,
}

impl Machine {
    /// Reads what the kernel says, below `root` (`/`, unless in tests). What cannot be read is empty.
    #[must_use]
    pub fn read(root: &Path) -> Machine {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let line = |path: &str| text(path).trim().to_owned();
        let first = |paths: &[&str]| paths.iter().map(|path| line(path)).find(|text| !text.is_empty());
        let memory = text("proc/meminfo");
        let kilobytes = |field| super::proc::kilobytes(&memory, field).unwrap_or_default();
        let os = text("etc/os-release");
        let os = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Machine {
            cpus: text("proc/stat").lines().filter(|line| is_cpu(line)).count() as u64,
            memory: kilobytes("MemTotal").saturating_mul(1024),
            swap: kilobytes("SwapTotal").saturating_mul(1024),
            boot_id: line("proc/sys/kernel/random/boot_id"),
            machine_id: first(&["etc/machine-id", "var/lib/dbus/machine-id"]).unwrap_or_default(),
            system_uuid: first(&["sys/class/dmi/id/product_uuid", "etc/machine-id"]).unwrap_or_default(),
            kernel_version: line("proc/sys/kernel/osrelease"),
            os: os.unwrap_or_default().trim_matches('"').to_owned(),
        }
    }
}

/// Whether a line of `/proc/stat` is about one CPU.
fn is_cpu(line: &str) -> bool {
    line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cpus_and_memory() {
        let machine = Machine::read(Path::new("/"));
        assert!(machine.cpus >= 1 && machine.memory > 1 << 20, "{machine:?}");
        assert!(!machine.kernel_version.is_empty());
        assert_eq!(Machine::read(Path::new("/nowhere")), Machine::default());
    }
}
