//! What hollow nodes are to be like. What has been checked once is right from then on ([`Valid`]).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;

use api::names::{dns1123_subdomain, label_key, label_value};
use api::quantity::{Format, Quantity};
use tokio::time::Duration;

/// The most nodes, so that each has addresses of its own ([`Valid::pod_range`]).
pub const MOST_NODES: u32 = 16_384;
/// How many addresses there are for pods whose node was given no range: those of 100.64.0.0/10.
const POD_ADDRESSES: u64 = 1 << 22;
/// The fewest addresses of such a node.
const LEAST_RANGE: u64 = 256;
/// The longest of any delay or interval.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What hollow nodes are to be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: u32,
    /// The number of the first, so that several processes can have nodes in one cluster.
    pub first: u32,
    /// What their names begin with; the number follows.
    pub prefix: String,
    /// Labels of every node, besides those that each kubelet sets.
    pub labels: BTreeMap<String, String>,
    /// Zones, in which the nodes are in turn. None if it is empty.
    pub zones: Vec<String>,
    /// What each node has.
    pub capacity: Capacity,
    /// How long pods take.
    pub delays: Delays,
    /// How long a Lease lasts.
    pub lease_duration: Duration,
    /// How often it is renewed.
    pub renew_interval: Duration,
    /// How often the status of a node is written when nothing changes.
    pub report_interval: Duration,
    /// What everything random is made from, together with the names of nodes and the uids of pods.
    pub seed: u64,
    /// Whether Events are recorded as kubelets record them.
    pub events: bool,
}

/// What a node has for its pods.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// Processors.
    pub cpu: Quantity,
    /// Memory, in bytes.
    pub memory: Quantity,
    /// Disk for what pods write, in bytes.
    pub ephemeral_storage: Quantity,
    /// How many pods it takes.
    pub pods: u32,
}

/// How long pods take, each time a random time between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Until a pod has its network.
    pub sandbox: Between,
    /// Until a container runs, with the pull of its image.
    pub start: Between,
    /// Until an init container has done its work.
    pub init: Between,
    /// Until containers that are told to stop have stopped. They never take longer than the pod's grace period.
    pub stop: Between,
}

/// Two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

impl Between {
    /// From so many milliseconds to so many.
    #[must_use]
    pub const fn millis(least: u64, most: u64) -> Between {
        Between { least: Duration::from_millis(least), most: Duration::from_millis(most) }
    }
}

impl Default for Delays {
    /// A pod with one container runs after 0.3 to 2 seconds.
    fn default() -> Self {
        Delays {
            sandbox: Between::millis(200, 800),
            start: Between::millis(100, 1_200),
            init: Between::millis(100, 1_000),
            stop: Between::millis(100, 1_500),
        }
    }
}

impl Default for Capacity {
    fn default() -> Self {
        const GIB: i64 = 1 << 30;
        Capacity {
            cpu: Quantity::new(8, Format::DecimalSi),
            memory: Quantity::new(32 * GIB, Format::BinarySi),
            ephemeral_storage: Quantity::new(100 * GIB, Format::BinarySi),
            pods: 110,
        }
    }
}

impl Default for Options {
    /// One node, with the times of upstream's kubelet.
    fn default() -> Self {
        Options {
            nodes: 1,
            first: 0,
            prefix: "hollow-".to_owned(),
            labels: BTreeMap::new(),
            zones: Vec::new(),
            capacity: Capacity::default(),
            delays: Delays::default(),
            lease_duration: Duration::from_secs(40),
            renew_interval: Duration::from_secs(10),
            report_interval: Duration::from_secs(300),
            seed: 0,
            events: false,
        }
    }
}

/// Why options are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {message}")]
pub struct Invalid {
    /// The field.
    pub option: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// Options that have been checked.
#[derive(Clone, Debug)]
pub struct Valid(Options);

impl Deref for Valid {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.0
    }
}

impl Options {
    /// Checks everything.
    ///
    /// # Errors
    /// What is wrong, in the order of the fields.
    pub fn validated(self) -> Result<Valid, Vec<Invalid>> {
        let mut wrong = Vec::new();
        let mut refuse = |option, message: String| wrong.push(Invalid { option, message });
        let end = u64::from(self.first) + u64::from(self.nodes);
        let range = range(self.capacity.pods);
        if self.nodes == 0 || end > u64::from(MOST_NODES) {
            refuse("nodes", format!("must be at least 1, and no node's number above {}", MOST_NODES - 1));
        } else if end.saturating_mul(range) > POD_ADDRESSES {
            refuse("nodes", format!("there are addresses for {} nodes of so many pods", POD_ADDRESSES / range));
        }
        for message in dns1123_subdomain(&name(&self.prefix, u64::from(MOST_NODES))) {
            refuse("prefix", message.to_string());
        }
        for (key, value) in &self.labels {
            let messages = label_key(key).into_iter().chain(label_value(value));
            messages.for_each(|message| refuse("labels", format!("{key}={value}: {message}")));
        }
        for zone in &self.zones {
            label_value(zone).into_iter().for_each(|message| refuse("zones", format!("{zone}: {message}")));
        }
        let Capacity { cpu, memory, ephemeral_storage, pods } = &self.capacity;
        if [cpu, memory, ephemeral_storage].iter().any(|quantity| quantity.signum() < 0) || *pods == 0 {
            refuse("capacity", "must be positive".to_owned());
        }
        let Delays { sandbox, start, init, stop } = self.delays;
        if [sandbox, start, init, stop].iter().any(|delay| delay.least > delay.most || delay.most > LONGEST) {
            refuse("delays", "the least must not be above the most, nor that above a day".to_owned());
        }
        if self.renew_interval.is_zero() || self.renew_interval >= self.lease_duration {
            refuse("renew_interval", "must be positive, and shorter than a Lease lasts".to_owned());
        }
        let whole = self.lease_duration.subsec_nanos() == 0;
        if !whole || self.lease_duration > LONGEST {
            refuse("lease_duration", "must be whole seconds, and at most a day".to_owned());
        }
        if self.report_interval < Duration::from_secs(1) || self.report_interval > LONGEST {
            refuse("report_interval", "must be from a second to a day".to_owned());
        }
        if wrong.is_empty() { Ok(Valid(self)) } else { Err(wrong) }
    }
}

fn name(prefix: &str, number: u64) -> String {
    format!("{prefix}{number}")
}

/// How many addresses a node of so many pods gets. Two at the beginning and the last of a range are nobody's.
fn range(pods: u32) -> u64 {
    (u64::from(pods) + 3).next_power_of_two().max(LEAST_RANGE)
}

impl Valid {
    /// The numbers of the nodes.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        self.first..self.first + self.nodes
    }

    /// The name of a node.
    #[must_use]
    pub fn name(&self, number: u32) -> String {
        name(&self.prefix, u64::from(number))
    }

    /// The zone of a node.
    #[must_use]
    pub fn zone(&self, number: u32) -> Option<&str> {
        let count = u32::try_from(self.zones.len()).ok().filter(|count| *count > 0)?;
        self.zones.get(usize::try_from(number % count).ok()?).map(String::as_str)
    }

    /// The address of a node, in 172.16.0.0/12.
    #[must_use]
    pub fn address(&self, number: u32) -> IpAddr {
        let base = u32::from(Ipv4Addr::new(172, 16, 0, 0));
        // None ends in 0 or 255, which some take for special.
        Ipv4Addr::from_bits(base + number / 250 * 256 + number % 250 + 1).into()
    }

    /// The range of the addresses of pods on a node whose Node object states none.
    #[must_use]
    pub fn pod_range(&self, number: u32) -> String {
        // Both are below 2^22, since the options were checked.
        let size = u32::try_from(range(self.capacity.pods)).unwrap_or(u32::MAX);
        let base = u32::from(Ipv4Addr::new(100, 64, 0, 0));
        format!("{}/{}", Ipv4Addr::from_bits(base + number * size), 32 - size.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        let valid = Options::default().validated().unwrap();
        assert_eq!(valid.numbers().map(|number| valid.name(number)).collect::<Vec<_>>(), ["hollow-0"]);
        assert_eq!(valid.zone(0), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |change: fn(&mut Options), expected: &[&str]| {
            let mut options = Options::default();
            change(&mut options);
            let wrong = options.validated().err().unwrap_or_default();
            assert_eq!(wrong.iter().map(|invalid| invalid.option).collect::<Vec<_>>(), expected, "{wrong:?}");
        };
        check(|options| options.nodes = MOST_NODES, &[]);
        check(|options| options.nodes = 0, &["nodes"]);
        check(|options| options.nodes = MOST_NODES + 1, &["nodes"]);
        check(|options| (options.nodes, options.first) = (2, MOST_NODES - 1), &["nodes"]);
        check(|options| (options.nodes, options.capacity.pods) = (MOST_NODES, 254), &["nodes"]);
        check(|options| (options.nodes, options.capacity.pods) = (1, u32::MAX), &["nodes"]);
        check(|options| options.prefix = "Node_".to_owned(), &["prefix"]);
        check(|options| _ = options.labels.insert("a b".to_owned(), "c d".to_owned()), &["labels", "labels"]);
        check(|options| options.zones = vec!["a b".to_owned()], &["zones"]);
        check(|options| options.capacity.cpu = Quantity::new(-1, Format::DecimalSi), &["capacity"]);
        check(|options| options.capacity.pods = 0, &["capacity"]);
        check(|options| options.delays.start = Between::millis(2, 1), &["delays"]);
        check(|options| options.renew_interval = Duration::from_secs(40), &["renew_interval"]);
        check(|options| options.lease_duration = Duration::from_millis(40_500), &["lease_duration"]);
        check(|options| options.report_interval = Duration::ZERO, &["report_interval"]);
    }

    #[test]
    fn nodes_have_addresses_and_zones() {
        let zones = vec!["a".to_owned(), "b".to_owned()];
        let check = |pods, number, address: &str, range: &str, zone: &str| {
            let capacity = Capacity { pods, ..Capacity::default() };
            let options = Options { capacity, zones: zones.clone(), ..Options::default() }.validated().unwrap();
            assert_eq!(options.address(number).to_string(), address);
            assert_eq!(options.pod_range(number), range);
            assert_eq!(options.zone(number), Some(zone));
        };
        check(110, 0, "172.16.0.1", "100.64.0.0/24", "a");
        check(110, 249, "172.16.0.250", "100.64.249.0/24", "b");
        check(110, 250, "172.16.1.1", "100.64.250.0/24", "a");
        check(110, 16_383, "172.16.65.134", "100.127.255.0/24", "b");
        check(500, 3, "172.16.0.4", "100.64.6.0/23", "b");
    }
}
