//! The audit log: who asked for what, and what came of it, as far as a policy says that it is to be written down.
//!
//! What always holds: a request is judged by who sent it, before any impersonation; one event of each stage is written, or counted
//! as lost; and nothing here waits for a disk. Events pass a bounded queue to a thread that writes them.

mod event;
mod log;
mod policy;
#[cfg(test)]
mod tests;
mod trail;

use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::metrics::Metrics;
use log::Log;
pub use log::{LogError, LogOptions, Rotation};
pub use policy::{Level, Policy, PolicyError, Stage};
pub(crate) use trail::{Panicked, Trail};

/// What is to be written down, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// What the log counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    events: Counter,
    levels: Family<OfLevel, Counter>,
    lost: Family<OfPlugin, Counter>,
}

impl Figures {
    fn lost(&self) {
        self.lost.get_or_create(&OfPlugin { plugin: "log" }).inc();
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
        });
    }
}

/// The audit log of a server.
pub struct Audit {
    policy: Policy,
    log: Log,
    figures: Figures,
}

impl Audit {
    /// The log that `options` ask for, if they do.
    ///
    /// # Errors
    /// Fails if the policy or the log is of no use.
    pub fn open(options: &Options) -> Result<Option<Arc<Audit>>, AuditError> {
        let Some(log) = &options.log else { return Ok(None) };
        let Some(policy) = &options.policy_file else {
            tracing::warn!("there is an audit log and no audit policy: nothing will be written");
            return Ok(None);
        };
        let policy = Policy::read(policy)?;
        let figures = Figures::default();
        let log = Log::open(log, figures.clone())?;
        Ok(Some(Arc::new(Audit { policy, log, figures })))
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    fn write(&self, event: &event::Event<'_>) {
        self.figures.events.inc();
        match serde_json::to_vec(event) {
            Ok(mut line) => {
                line.push(b'\n');
                self.log.write(line);
            }
            Err(_) => self.figures.lost(),
        }
    }
}
