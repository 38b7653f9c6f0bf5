//! What it was told about itself.

use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::hammer::Hammer;

/// How it answers probes and signals.
pub(crate) struct State {
    /// Whether startup probes succeed.
    pub(crate) started: AtomicBool,
    /// Whether liveness probes succeed.
    pub(crate) live: AtomicBool,
    /// Whether readiness probes succeed.
    pub(crate) ready: AtomicBool,
    /// Whether SIGTERM is ignored.
    pub(crate) ignores_term: AtomicBool,
    /// How many seconds it takes to end once it is told to.
    pub(crate) term_takes: AtomicU64,
    /// What it asks again and again.
    pub(crate) hammer: Hammer,
}

impl Default for State {
    fn default() -> State {
        State {
            started: AtomicBool::new(true),
            live: AtomicBool::new(true),
            ready: AtomicBool::new(true),
            ignores_term: AtomicBool::new(false),
            term_takes: AtomicU64::new(0),
            hammer: Hammer::default(),
        }
    }
}
