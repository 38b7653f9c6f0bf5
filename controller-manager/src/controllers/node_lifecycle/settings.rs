//! How long nodes may be silent, and how fast their pods go: the options of the process, with upstream's defaults.

use std::time::Duration;

/// The options.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `--node-monitor-grace-period`: how long a node may be silent.
    pub monitor_grace: Duration,
    /// `--node-startup-grace-period`: how long a node may be silent that has never spoken.
    pub startup_grace: Duration,
    /// `--node-monitor-period`: how long a node must not have been ready before its pods are driven out, so that others that
    /// fall silent at the same time are known of by then.
    pub monitor_period: Duration,
    /// `--node-eviction-rate`: from how many nodes of a zone pods are driven out, in a second.
    pub eviction_rate: f64,
    /// `--secondary-node-eviction-rate`: the same, if the zone is large and many of its nodes are not ready.
    pub secondary_eviction_rate: f64,
    /// `--large-cluster-size-threshold`: a zone with more nodes is large. In smaller ones nothing is driven out while many
    /// nodes are not ready.
    pub large_zone: usize,
    /// `--unhealthy-zone-threshold`: which part of the nodes of a zone is many.
    pub unhealthy_part: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            monitor_grace: Duration::from_secs(50),
            startup_grace: Duration::from_secs(60),
            monitor_period: Duration::from_secs(5),
            eviction_rate: 0.1,
            secondary_eviction_rate: 0.01,
            large_zone: 50,
            unhealthy_part: 0.55,
        }
    }
}
