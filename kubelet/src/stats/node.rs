//! What the node as a whole uses.

use std::path::Path;

use jiff::Timestamp;

use super::{Cpu, Memory, NodeFigures, Processes, proc};

/// Reads `/proc` below `root` (`/`, unless in tests). The node's file systems are not its subject. What cannot be read is
/// left out.
pub(super) fn read(root: &Path, at: Timestamp) -> NodeFigures {
    let text = |path: &str| std::fs::read_to_string(root.join("proc").join(path)).unwrap_or_default();
    let stat = text("stat");
    let booted = proc::boot_second(&stat).and_then(|second| Timestamp::from_second(second).ok());
    NodeFigures {
        started: booted.unwrap_or_default(),
        cpu: cpu(&stat, procfs::ticks_per_second(), at),
        memory: memory(&text("meminfo"), &text("vmstat"), at),
        network: proc::interfaces(&text("net/dev")),
        filesystem: None,
        images: None,
        dedicated_images: false,
        processes: processes(&text("loadavg"), &text("sys/kernel/pid_max"), &text("sys/kernel/threads-max"), at),
    }
}

fn cpu(stat: &str, ticks_per_second: u64, at: Timestamp) -> Option<Cpu> {
    let ticks = proc::busy_ticks(stat)?;
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second.max(1));
    Some(Cpu { at, total_nanoseconds: u64::try_from(nanoseconds).ok()?, rate: None })
}

/// As upstream reckons: what is not free is in use, and what of it is not inactive pages of files cannot be had at once.
fn memory(meminfo: &str, vmstat: &str, at: Timestamp) -> Option<Memory> {
    let bytes = |field| proc::kilobytes(meminfo, field).map(|kilobytes| kilobytes.saturating_mul(1024));
    let (total, free) = (bytes("MemTotal")?, bytes("MemFree")?);
    let usage = total.saturating_sub(free);
    let working_set = usage.saturating_sub(bytes("Inactive(file)").unwrap_or_default());
    let counter = |name| proc::counter(vmstat, name).unwrap_or_default();
    Some(Memory {
        at,
        available: Some(total.saturating_sub(working_set)),
        usage,
        working_set,
        rss: bytes("AnonPages").unwrap_or_default(),
        page_faults: counter("pgfault"),
        major_page_faults: counter("pgmajfault"),
        swap: bytes("SwapTotal").zip(bytes("SwapFree")).map(|(total, free)| total.saturating_sub(free)),
    })
}

/// The kernel has a limit for numbers of processes and one for threads; the lower one counts.
fn processes(loadavg: &str, pid_max: &str, threads_max: &str, at: Timestamp) -> Option<Processes> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let most = [number(pid_max), number(threads_max)].into_iter().flatten().min()?;
    Some(Processes { at, most, running: proc::tasks(loadavg)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join("proc").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("stat", "cpu  100 0 50 4000 50 0 0 0 0 0\nbtime 1772366400\n");
        write("meminfo", "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 100 kB\nAnonPages: 50 kB\n");
        write("vmstat", "pgfault 7\npgmajfault 2\n");
        write("loadavg", "0.0 0.0 0.0 1/42 99\n");
        write("sys/kernel/pid_max", "32768\n");
        write("sys/kernel/threads-max", "1000\n");
        let at = Timestamp::from_second(1_772_366_500).unwrap();
        let expected = NodeFigures {
            started: Timestamp::from_second(1_772_366_400).unwrap(),
            cpu: Some(Cpu { at, total_nanoseconds: 150 * 1_000_000_000 / procfs::ticks_per_second(), rate: None }),
            memory: Some(Memory {
                at,
                available: Some(400 << 10),
                usage: 700 << 10,
                working_set: 600 << 10,
                rss: 50 << 10,
                page_faults: 7,
                major_page_faults: 2,
                swap: None,
            }),
            processes: Some(Processes { at, most: 1000, running: 42 }),
            ..NodeFigures::default()
        };
        assert_eq!(read(root.path(), at), expected);
        assert_eq!(read(Path::new("/nowhere"), at), NodeFigures::default());
    }
}
