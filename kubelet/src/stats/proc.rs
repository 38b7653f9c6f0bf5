//! What `/proc` says, read purely: text in, figures out.

use super::Interface;

/// A field of `/proc/meminfo`, in kilobytes.
pub(super) fn kilobytes(meminfo: &str, field: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPU time in use, in clock ticks, from the first line of `/proc/stat`: all but idling and waiting for disks. What guests
/// use is counted under `user` already.
pub(super) fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|number| number.parse().ok()).collect();
    let &[user, nice, system, _idle, _iowait, ..] = ticks.as_slice() else { return None };
    let interrupts: u64 = ticks.iter().skip(5).take(3).sum();
    Some(user + nice + system + interrupts)
}

/// When the machine was started, in seconds since 1970, from `/proc/stat`.
pub(super) fn boot_second(stat: &str) -> Option<i64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// A counter of `/proc/vmstat`.
pub(super) fn counter(vmstat: &str, name: &str) -> Option<u64> {
    let line = vmstat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// How many processes there are, from `/proc/loadavg`, which counts threads, too, as limits do.
pub(super) fn tasks(loadavg: &str) -> Option<u64> {
    let (_, all) = loadavg.split_whitespace().nth(3)?.split_once('/')?;
    all.parse().ok()
}

/// The interfaces of `/proc/net/dev`. The loopback interface is none of them, nor are those that only join others: bridges
/// and the host's ends of pods' links.
pub(super) fn interfaces(dev: &str) -> Vec<Interface> {
    const IGNORED: [&str; 6] = ["lo", "veth", "docker", "cbr", "cni", "nodelocaldns"];
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let name = name.trim();
        if IGNORED.iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        let numbers: Vec<u64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let &[received, _, receive_errors, _, _, _, _, _, sent, _, send_errors, ..] = numbers.as_slice() else {
            return None;
        };
        Some(Interface { name: name.to_owned(), received, receive_errors, sent, send_errors })
    };
    dev.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 100 20 30 4000 50 6 7 8 9 10\nintr 1\nbtime 1772366400\n";
    const DEV: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
        lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0:1000 10 1 0 0 0 0 0 2000 20 2 0 0 0 0 0\nveth1: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n\
        broken: 1 2\n";

    #[test]
    fn cpu_time_in_use_is_without_idling() {
        assert_eq!(busy_ticks(STAT), Some(100 + 20 + 30 + 6 + 7 + 8));
        assert_eq!(busy_ticks("cpu  1 2 3\n"), None);
        assert_eq!(boot_second(STAT), Some(1_772_366_400));
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let meminfo = "MemTotal:       16384 kB\nMemTotalExtra: 1 kB\nInactive(file):  12 kB\nInactive: 99 kB\n";
        assert_eq!(kilobytes(meminfo, "MemTotal"), Some(16384));
        assert_eq!(kilobytes(meminfo, "Inactive(file)"), Some(12));
        assert_eq!(kilobytes(meminfo, "Mem"), None);
        assert_eq!(counter("pgfault 17\npgfaultx 3\n", "pgfault"), Some(17));
        assert_eq!(tasks("0.00 0.01 0.05 2/731 12345\n"), Some(731));
        assert_eq!(tasks("0.00"), None);
    }

    #[test]
    fn interfaces_are_those_that_lead_somewhere() {
        let eth0 = Interface { name: "eth0".into(), received: 1000, receive_errors: 1, sent: 2000, send_errors: 2 };
        assert_eq!(interfaces(DEV), [eth0]);
    }
}
