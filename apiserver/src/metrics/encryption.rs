//! What is stored encrypted, and by which keys.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use store::Store;

use crate::encryption::{Count, Encryption};
use crate::entry::Objects;

/// The figures of an [`Encryption`].
pub struct EncryptionFigures {
    /// The hash of the configuration by which alone is written; empty without one.
    loaded: String,
    /// Whether other servers may have the same store.
    shared: bool,
    reloads: (u64, u64),
    counts: Vec<Count>,
}

impl EncryptionFigures {
    /// As they are now, of a store that no other server has if it is `alone`.
    #[must_use]
    pub fn of(encryption: &Encryption, store: &Store<Objects>, alone: bool) -> EncryptionFigures {
        // First: what is counted is at least as new as what is loaded.
        let loaded = encryption.loaded();
        let counts = encryption.census(store, false);
        EncryptionFigures { loaded, shared: !alone, reloads: encryption.reloads(), counts }
    }
}

pub(super) struct Collected(pub(super) Box<dyn Fn() -> EncryptionFigures + Send + Sync>);

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionFigures")
    }
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let EncryptionFigures { loaded, shared, reloads, counts } = (self.0)();
        if loaded.is_empty() {
            return Ok(());
        }
        let name = "apiserver_encryption_config_controller_last_config_info";
        let help = "Information about the last applied encryption configuration with hash as label";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(metric.encode_family(&[("hash", loaded.as_str())])?)?;

        let name = "apiserver_encryption_config_controller_automatic_reloads";
        let help = "Total number of reload successes and failures of encryption configuration";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (status, count) in [("success", reloads.0), ("failure", reloads.1)] {
            ConstCounter::new(count).encode(metric.encode_family(&[("status", status)])?)?;
        }

        let (name, help) = ("gantry_encryption_shared_store", "Whether several servers may have the store");
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(shared)).encode(metric)?;

        let name = "gantry_encryption_objects";
        let help =
            "Number of objects of the resources that the encryption configuration names, by what they are stored by";
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for Count { resource, provider, key, state, objects } in &counts {
            let labels = [
                ("resource", resource.as_str()),
                ("provider", provider.as_str()),
                ("key", key.as_str()),
                ("state", state.name()),
            ];
            let objects = i64::try_from(*objects).unwrap_or(i64::MAX);
            ConstGauge::new(objects).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
