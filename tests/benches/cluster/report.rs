//! The table: a line for each measurement as soon as it is made.

use std::cell::Cell;
use std::time::Duration;

use tests::usage::Used;

/// What was measured of work on pods.
pub(crate) struct Work {
    /// What was done.
    pub(crate) what: String,
    /// How many pods it was done to.
    pub(crate) pods: usize,
    /// How long it took; `None` if it was not done in the time that there is for it.
    pub(crate) took: Option<Duration>,
    /// What the cluster used, in the order of its processes.
    pub(crate) cluster: Vec<Used>,
    /// What this process used.
    pub(crate) load: Used,
    /// How many writes the cluster's store took.
    pub(crate) writes: u64,
}

/// Prints to standard output.
#[derive(Default)]
pub(crate) struct Report {
    /// Whether the head of the table stands there.
    begun: Cell<bool>,
}

impl Report {
    /// A figure with words of its own.
    #[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
    pub(crate) fn say(&self, name: &str, shown: &str) {
        println!("{name:<52} {shown}");
    }

    /// A line of the table of work.
    pub(crate) fn work(&self, work: &Work) {
        if !self.begun.replace(true) {
            let head = format!(
                "{:>9} {:>8} {:>8} {:>9} {:>11} {:>9}",
                "seconds", "pods/s", "CPU s", "peak MiB", "writes/pod", "load CPU"
            );
            self.say("", &head);
        }
        let pods = count(work.pods);
        let (seconds, rate) = work.took.map_or(("not done".to_owned(), "-".to_owned()), |took| {
            (format!("{:.2}", took.as_secs_f64()), format!("{:.0}", pods / took.as_secs_f64()))
        });
        let cpu: f64 = work.cluster.iter().map(|used| used.cpu).sum();
        let peak: f64 = work.cluster.iter().map(|used| used.peak_mib).sum();
        let writes = exact(work.writes) / pods;
        let load = work.load.cpu;
        let mut shown = format!("{seconds:>9} {rate:>8} {cpu:>8.2} {peak:>9.0} {writes:>11.1} {load:>9.2}");
        if work.cluster.len() > 1 {
            let each = work.cluster.iter().map(|used| format!("{:.2}", used.cpu));
            shown.push_str(&format!(
                "   of controllers, scheduler, hollow, API server: {}",
                each.collect::<Vec<_>>().join(", ")
            ));
        }
        self.say(&work.what, &shown);
    }
}

/// A count as a figure.
pub(crate) fn count(number: usize) -> f64 {
    exact(u64::try_from(number).unwrap_or(u64::MAX))
}

#[allow(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
fn exact(number: u64) -> f64 {
    number as f64
}
