//! What a cgroup's files say of what is used.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Hierarchies, Version};
use crate::stats::{Cpu, Memory};

/// Limits from here on are none: the greatest number of pages that the kernel of version 1 can say.
const UNLIMITED: u64 = 1 << 62;

/// What a cgroup, and all below it, uses. What there is no controller for is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time; without a rate, which takes two readings: see [`rate`].
    pub cpu: Option<Cpu>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// How many processes were killed for lack of memory since the cgroup was made.
    pub oom_kills: Option<u64>,
}

/// Nanoseconds of CPU time in a second between two readings; `None` if no time lies between, or the second is of a cgroup
/// that was made anew.
#[must_use]
pub fn rate(before: &Cpu, after: &Cpu) -> Option<u64> {
    let elapsed = u128::try_from(after.at.duration_since(before.at).as_nanos()).ok().filter(|elapsed| *elapsed > 0)?;
    let used = after.total_nanoseconds.checked_sub(before.total_nanoseconds)?;
    u64::try_from(u128::from(used) * 1_000_000_000 / elapsed).ok()
}

/// Reads a cgroup's files; `None` if there is no such cgroup.
pub(super) fn read(hierarchies: &Hierarchies, cgroup: &str, at: Timestamp) -> Option<Usage> {
    let read = |controller: &str, file: &str| {
        std::fs::read_to_string(hierarchies.directory(controller, cgroup)?.join(file)).ok()
    };
    if !hierarchies.controlled(cgroup).iter().any(|directory| directory.is_dir()) {
        return None;
    }
    Some(match hierarchies.version() {
        Version::V1 => of_v1(&read, at),
        Version::V2 => of_v2(&read, at),
    })
}

fn of_v1(read: &impl Fn(&str, &str) -> Option<String>, at: Timestamp) -> Usage {
    let memory = || {
        let usage = number(&read("memory", "memory.usage_in_bytes")?)?;
        let stat = table(&read("memory", "memory.stat")?);
        let limit = read("memory", "memory.limit_in_bytes").and_then(|text| number(&text));
        let of = |key: &str| stat.get(&format!("total_{key}")).copied().unwrap_or(0);
        Some(Memory {
            rss: of("rss"),
            page_faults: of("pgfault"),
            major_page_faults: of("pgmajfault"),
            swap: stat.get("total_swap").copied(),
            ..memory(at, usage, of("inactive_file"), limit)
        })
    };
    let cpu = read("cpuacct", "cpuacct.usage").and_then(|text| number(&text));
    Usage {
        cpu: cpu.map(|total_nanoseconds| Cpu { at, total_nanoseconds, rate: None }),
        memory: memory(),
        processes: read("pids", "pids.current").and_then(|text| number(&text)),
        oom_kills: read("memory", "memory.oom_control").and_then(|text| table(&text).get("oom_kill").copied()),
    }
}

fn of_v2(read: &impl Fn(&str, &str) -> Option<String>, at: Timestamp) -> Usage {
    let memory = || {
        let stat = table(&read("memory", "memory.stat")?);
        let of = |key: &str| stat.get(key).copied().unwrap_or(0);
        // The topmost cgroup counts nothing itself: what it uses is all that is used.
        let usage = match read("memory", "memory.current") {
            Some(text) => number(&text)?,
            None => of("anon") + of("file") + of("kernel"),
        };
        let limit = read("memory", "memory.max").and_then(|text| number(&text));
        Some(Memory {
            rss: of("anon"),
            page_faults: of("pgfault"),
            major_page_faults: of("pgmajfault"),
            swap: read("memory", "memory.swap.current").and_then(|text| number(&text)),
            ..memory(at, usage, of("inactive_file"), limit)
        })
    };
    let cpu = read("cpu", "cpu.stat").and_then(|text| table(&text).get("usage_usec").copied());
    Usage {
        cpu: cpu.map(|usec| Cpu { at, total_nanoseconds: usec.saturating_mul(1000), rate: None }),
        memory: memory(),
        processes: read("pids", "pids.current").and_then(|text| number(&text)),
        oom_kills: read("memory", "memory.events").and_then(|text| table(&text).get("oom_kill").copied()),
    }
}

fn memory(at: Timestamp, usage: u64, inactive_file: u64, limit: Option<u64>) -> Memory {
    let working_set = usage.saturating_sub(inactive_file);
    let limit = limit.filter(|limit| *limit < UNLIMITED);
    let available = limit.map(|limit| limit.saturating_sub(working_set));
    Memory { at, available, usage, working_set, ..Memory::default() }
}

/// A number; `None` for `max`.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Lines of a name and a number each.
fn table(text: &str) -> HashMap<String, u64> {
    let entry = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), number(value)?))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn files<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str, &str) -> Option<String> + 'a {
        |_, file| files.iter().find(|(name, _)| *name == file).map(|(_, content)| (*content).to_owned())
    }

    #[test]
    fn version_1_is_read() {
        let found = of_v1(
            &files(&[
                ("cpuacct.usage", "1234567\n"),
                ("memory.usage_in_bytes", "1000\n"),
                ("memory.limit_in_bytes", "5000\n"),
                (
                    "memory.stat",
                    "rss 1\ntotal_rss 300\ntotal_inactive_file 250\ntotal_pgfault 7\ntotal_pgmajfault 2\ntotal_swap 9\n",
                ),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
                ("pids.current", "12\n"),
            ]),
            at(5),
        );
        let memory = Memory {
            at: at(5),
            available: Some(4250),
            usage: 1000,
            working_set: 750,
            rss: 300,
            page_faults: 7,
            major_page_faults: 2,
            swap: Some(9),
        };
        let cpu = Cpu { at: at(5), total_nanoseconds: 1_234_567, rate: None };
        assert_eq!(found, Usage { cpu: Some(cpu), memory: Some(memory), processes: Some(12), oom_kills: Some(3) });
        let unlimited = of_v1(
            &files(&[
                ("memory.usage_in_bytes", "10"),
                ("memory.limit_in_bytes", "9223372036854771712"),
                ("memory.stat", "total_inactive_file 20"),
            ]),
            at(5),
        );
        let memory = unlimited.memory.unwrap();
        assert_eq!((memory.available, memory.working_set, unlimited.cpu), (None, 0, None));
    }

    #[test]
    fn version_2_is_read() {
        let found = of_v2(
            &files(&[
                ("cpu.stat", "usage_usec 77\nuser_usec 70\n"),
                ("memory.current", "1000\n"),
                ("memory.max", "max\n"),
                ("memory.stat", "anon 300\nfile 600\ninactive_file 250\npgfault 7\npgmajfault 2\n"),
                ("memory.swap.current", "9\n"),
                ("memory.events", "oom 1\noom_kill 2\n"),
                ("pids.current", "3\n"),
            ]),
            at(5),
        );
        let memory = Memory {
            at: at(5),
            available: None,
            usage: 1000,
            working_set: 750,
            rss: 300,
            page_faults: 7,
            major_page_faults: 2,
            swap: Some(9),
        };
        let cpu = Cpu { at: at(5), total_nanoseconds: 77_000, rate: None };
        assert_eq!(found, Usage { cpu: Some(cpu), memory: Some(memory), processes: Some(3), oom_kills: Some(2) });
        let topmost = of_v2(&files(&[("memory.stat", "anon 300\nfile 600\nkernel 50\ninactive_file 250\n")]), at(5));
        assert_eq!(topmost.memory.map(|memory| (memory.usage, memory.working_set)), Some((950, 700)));
    }

    #[test]
    fn rates_take_two_readings() {
        let cpu = |seconds, total_nanoseconds| Cpu { at: at(seconds), total_nanoseconds, rate: None };
        assert_eq!(rate(&cpu(1, 1000), &cpu(3, 5000)), Some(2000));
        assert_eq!(rate(&cpu(1, 1000), &cpu(1, 5000)), None);
        assert_eq!(rate(&cpu(3, 1000), &cpu(1, 5000)), None);
        assert_eq!(rate(&cpu(1, 5000), &cpu(3, 1000)), None);
    }
}
