//! What a cgroup's files say of what is used.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{Hierarchies, Version};
use crate::stats::{Cpu, DiskTraffic, Memory, Throttling};

/// Limits from here on are none: the greatest number of pages that the kernel of version 1 can say.
const UNLIMITED: u64 = 1 << 62;

/// What a cgroup, and all below it, uses. What there is no controller for is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time; without a rate, which takes two readings: see [`rate`].
    pub cpu: Option<Cpu>,
    /// How often its limit on CPU time held it up; `None` without such a limit.
    pub throttling: Option<Throttling>,
    /// What it read from block devices and wrote to them, by device.
    pub disks: Vec<DiskTraffic>,
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
    // -1 is no number here, and no limit.
    let is_limited = read("cpu", "cpu.cfs_quota_us").and_then(|text| number(&text)).is_some_and(|quota| quota > 0);
    let throttling = || throttling(&read("cpu", "cpu.stat")?, "throttled_time", 1);
    Usage {
        cpu: cpu.map(|total_nanoseconds| Cpu { at, total_nanoseconds, rate: None }),
        throttling: is_limited.then(throttling).flatten(),
        disks: disks_of_v1(read),
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
    let stat = read("cpu", "cpu.stat");
    let cpu = stat.as_ref().and_then(|text| table(text).get("usage_usec").copied());
    let is_limited = read("cpu", "cpu.max").is_some_and(|text| text.split(' ').next().and_then(number).is_some());
    Usage {
        cpu: cpu.map(|usec| Cpu { at, total_nanoseconds: usec.saturating_mul(1000), rate: None }),
        throttling: stat.filter(|_| is_limited).and_then(|stat| throttling(&stat, "throttled_usec", 1000)),
        disks: read("io", "io.stat").map(|text| disks_of_v2(&text)).unwrap_or_default(),
        memory: memory(),
        processes: read("pids", "pids.current").and_then(|text| number(&text)),
        oom_kills: read("memory", "memory.events").and_then(|text| table(&text).get("oom_kill").copied()),
    }
}

/// What a cgroup's `cpu.stat` says of its limit; `nanoseconds` is what one of what `time` counts is.
fn throttling(stat: &str, time: &str, nanoseconds: u64) -> Option<Throttling> {
    let stat = table(stat);
    Some(Throttling {
        periods: *stat.get("nr_periods")?,
        throttled_periods: *stat.get("nr_throttled")?,
        nanoseconds: stat.get(time)?.saturating_mul(nanoseconds),
    })
}

/// Who counts what goes to block devices, in version 1: the schedulers that may be at work, and what limits it. The first
/// that counted anything is believed, for the others do not see all of it.
const COUNTERS_OF_V1: [&str; 4] =
    ["blkio.bfq.io_%_recursive", "blkio.io_%_recursive", "blkio.throttle.io_%_recursive", "blkio.throttle.io_%"];

fn disks_of_v1(read: &impl Fn(&str, &str) -> Option<String>) -> Vec<DiskTraffic> {
    for counter in COUNTERS_OF_V1 {
        let mut disks: BTreeMap<&str, DiskTraffic> = BTreeMap::new();
        let of = |what| read("blkio", &counter.replace('%', what)).unwrap_or_default();
        let (bytes, operations) = (of("service_bytes"), of("serviced"));
        for (text, are_bytes) in [(&bytes, true), (&operations, false)] {
            for line in text.lines() {
                // `8:0 Read 4096`; a line `Total 4096` is of all devices.
                let [device, direction, count] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
                let Some(count) = number(count) else { continue };
                let disk = disks.entry(device).or_insert_with(|| DiskTraffic::of(device));
                match (direction, are_bytes) {
                    ("Read", true) => disk.bytes_read = count,
                    ("Read", false) => disk.reads = count,
                    ("Write", true) => disk.bytes_written = count,
                    ("Write", false) => disk.writes = count,
                    _ => {}
                }
            }
        }
        if !disks.is_empty() {
            return disks.into_values().collect();
        }
    }
    Vec::new()
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0`.
fn disks_of_v2(text: &str) -> Vec<DiskTraffic> {
    let disk = |line: &str| {
        let (device, counts) = line.split_once(' ')?;
        let of = |name: &str| {
            let mut counts = counts.split(' ').filter_map(|count| count.split_once('='));
            counts.find(|(known, _)| *known == name).and_then(|(_, count)| number(count)).unwrap_or(0)
        };
        Some(DiskTraffic {
            bytes_read: of("rbytes"),
            bytes_written: of("wbytes"),
            reads: of("rios"),
            writes: of("wios"),
            ..DiskTraffic::of(device)
        })
    };
    text.lines().filter_map(disk).collect()
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
        let expected =
            Usage { cpu: Some(cpu), memory: Some(memory), processes: Some(12), oom_kills: Some(3), ..Usage::default() };
        assert_eq!(found, expected);
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
        let expected =
            Usage { cpu: Some(cpu), memory: Some(memory), processes: Some(3), oom_kills: Some(2), ..Usage::default() };
        assert_eq!(found, expected);
        let topmost = of_v2(&files(&[("memory.stat", "anon 300\nfile 600\nkernel 50\ninactive_file 250\n")]), at(5));
        assert_eq!(topmost.memory.map(|memory| (memory.usage, memory.working_set)), Some((950, 700)));
    }

    #[test]
    fn throttling_is_told_where_there_is_a_limit() {
        let v1 = |quota| {
            let stat = "nr_periods 10\nnr_throttled 4\nthrottled_time 250000000\n";
            of_v1(&files(&[("cpu.cfs_quota_us", quota), ("cpu.stat", stat)]), at(5)).throttling
        };
        let v2 = |limit| {
            let stat = "usage_usec 7\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250000\nnr_bursts 0\n";
            of_v2(&files(&[("cpu.max", limit), ("cpu.stat", stat)]), at(5)).throttling
        };
        let expected = Throttling { periods: 10, throttled_periods: 4, nanoseconds: 250_000_000 };
        assert_eq!((v1("50000\n"), v1("-1\n")), (Some(expected), None));
        assert_eq!((v2("50000 100000\n"), v2("max 100000\n")), (Some(expected), None));
        assert_eq!(of_v2(&files(&[("cpu.stat", "usage_usec 7\n"), ("cpu.max", "1 2")]), at(5)).throttling, None);
    }

    #[test]
    fn traffic_of_disks_is_read() {
        let disk = |device: &str, [bytes_read, bytes_written, reads, writes]: [u64; 4]| DiskTraffic {
            device: device.to_owned(),
            bytes_read,
            bytes_written,
            reads,
            writes,
        };
        let stat =
            "8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=9 dios=9\n254:16 rbytes=1 wbytes=0 rios=1 wios=0\n7:1 \n";
        let found = of_v2(&files(&[("io.stat", stat)]), at(5)).disks;
        assert_eq!(found, [disk("8:0", [4096, 512, 2, 1]), disk("254:16", [1, 0, 1, 0]), disk("7:1", [0; 4])]);
        let bytes = "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 9\n8:0 Total 4608\nTotal 4608\n";
        let operations = "8:0 Read 2\n8:0 Write 1\nTotal 3\n";
        let check = |names: [&str; 2]| {
            // A scheduler that is not at work has the files, and nothing in them.
            let all = [("blkio.bfq.io_service_bytes_recursive", ""), (names[0], bytes), (names[1], operations)];
            assert_eq!(of_v1(&files(&all), at(5)).disks, [disk("8:0", [4096, 512, 2, 1])], "{names:?}");
        };
        check(["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"]);
        check(["blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"]);
        check(["blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive"]);
        assert_eq!(of_v1(&files(&[("blkio.throttle.io_serviced", "Total 0\n")]), at(5)).disks, []);
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
