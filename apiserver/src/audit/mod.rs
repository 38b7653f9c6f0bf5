//! The audit log: who asked for what, and what came of it, as far as a policy says that it is to be written down.
//!
//! What always holds: a request is judged by who sent it, before any impersonation; one event of each stage is written, or counted
//! as lost; and nothing here waits for a disk, unless it was asked for that requests do. Events pass a bounded queue to a thread
//! that writes them.

mod event;
mod file;
mod kept;
mod log;
mod policy;
#[cfg(test)]
mod tests;
mod trail;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::metrics::Metrics;
pub use file::Rotation;
pub use log::{Batch, Format, LogError, LogOptions, Mode, Throttle, Truncate};
use log::{Fate, Log};
pub use policy::{Level, Policy, PolicyError, Stage};
pub(crate) use trail::{Arrival, Panicked, Trail};

/// How often the process's log says at most that events are lost.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What is to be written down, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The policy, YAML; nothing is written without.
    pub policy_file: Option<PathBuf>,
    /// Where to; nowhere without.
    pub log: Option<LogOptions>,
}

/// Why there can be no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy is none.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLevel {
    level: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPlugin {
    plugin: &'static str,
}

/// What others have to say of a request, in the extensions of its answer: annotations of its events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations(pub(crate) BTreeMap<String, String>);

/// What the log counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    events: Counter,
    levels: Family<OfLevel, Counter>,
    lost: Family<OfPlugin, Counter>,
    rejected: Counter,
    unsaid: Arc<Mutex<Unsaid>>,
}

/// What the process's log has not said yet.
#[derive(Debug, Default)]
struct Unsaid {
    events: u64,
    said: Option<Instant>,
}

impl Figures {
    /// Counts events that are lost, as upstream's plugin of that name would, and says so, but not for each of them.
    fn lost(&self, plugin: &'static str, events: u64, why: &dyn fmt::Display) {
        self.lost.get_or_create(&OfPlugin { plugin }).inc_by(events);
        let mut unsaid = self.unsaid.lock();
        unsaid.events += events;
        if unsaid.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            let events = std::mem::take(&mut unsaid.events);
            unsaid.said = Some(Instant::now());
            drop(unsaid);
            tracing::error!(plugin, events, "audit events are lost: {why}");
        }
    }

    /// Shows them.
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let help = "Counter of audit events generated and sent to the audit backend";
            registry.register("apiserver_audit_event", help, self.events.clone());
            let help = "Counter of policy levels for audit events (1 per request)";
            registry.register("apiserver_audit_level", help, self.levels.clone());
            let help = "Counter of audit events that failed to be audited properly";
            registry.register("apiserver_audit_error", help, self.lost.clone());
            let help = "Counter of apiserver requests rejected due to an error in audit logging backend";
            registry.register("apiserver_audit_requests_rejected", help, self.rejected.clone());
        });
    }
}

/// The audit log of a server.
pub struct Audit {
    policy: Policy,
    log: Log,
    format: Format,
    truncate: Option<Truncate>,
    figures: Figures,
}

impl Audit {
    /// The log that `options` ask for, if they do.
    ///
    /// # Errors
    /// Fails if the policy or the log is of no use.
    pub fn open(options: &Options) -> Result<Option<Arc<Audit>>, AuditError> {
        let policy = options.policy_file.as_ref().map(|file| Policy::read(file)).transpose()?;
        let Some(log) = &options.log else { return Ok(None) };
        let Some(policy) = policy else {
            tracing::warn!("there is an audit log and no audit policy: nothing will be written");
            return Ok(None);
        };
        let figures = Figures::default();
        let (format, truncate) = (log.format, log.truncate);
        let log = Log::open(log, figures.clone())?;
        Ok(Some(Arc::new(Audit { policy, log, format, truncate, figures })))
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    fn write(&self, mut event: event::Event<'_>) -> Fate {
        self.figures.events.inc();
        match self.line(&mut event) {
            Ok(line) => self.log.push(line),
            Err((plugin, why)) => {
                self.figures.lost(plugin, 1, &why);
                // It is no fault of the file's, which is what is asked.
                Fate::Known(true)
            }
        }
    }

    /// What is written of an event, or which plugin cannot, and why.
    fn line(&self, event: &mut event::Event<'_>) -> Result<Vec<u8>, (&'static str, String)> {
        let failed = |error: serde_json::Error| ("log", error.to_string());
        let mut json = None;
        if let Some(Truncate { max_event_size, .. }) = self.truncate {
            let mut line = event.json().map_err(failed)?;
            if line.len() > max_event_size && event.level >= Level::Request {
                event.truncate();
                line = event.json().map_err(failed)?;
            }
            if line.len() > max_event_size {
                return Err(("truncate", "event is too large even after truncating".to_owned()));
            }
            json = Some(line);
        }
        match (self.format, json) {
            (Format::Legacy, _) => Ok(event.text()),
            (Format::Json, Some(line)) => Ok(line),
            (Format::Json, None) => event.json().map_err(failed),
        }
    }
}
