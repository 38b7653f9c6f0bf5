//! What a process uses, as the kernel counts it.

use std::fs;

/// How many ticks of `/proc/<pid>/stat` a second has. It is part of Linux's interface.
const TICKS: f64 = 100.0;

/// What a process used in a while.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Seconds of a processor, in the kernel and outside it.
    pub cpu: f64,
    /// The most memory that was resident.
    pub peak_mib: f64,
}

/// A while that has begun.
pub struct Meter {
    process: u32,
    before: f64,
}

impl Meter {
    /// Begins now.
    pub fn start(process: u32) -> Meter {
        // Where the kernel does not forget the peak that there was before, that counts.
        let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
        Meter { process, before: cpu(process) }
    }

    /// What was used since then.
    pub fn used(&self) -> Used {
        Used { cpu: cpu(self.process) - self.before, peak_mib: mib(self.process, "VmHWM:") }
    }
}

/// The memory that a process has resident.
pub fn resident_mib(process: u32) -> f64 {
    mib(process, "VmRSS:")
}

fn mib(process: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

/// Seconds since the process began.
fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program is in parentheses and may have spaces; the state, field 3, comes after it.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if ticks.len() == 2 { (ticks[0] + ticks[1]) / TICKS } else { f64::NAN }
}
