//! How far the start of a cluster is, told to whoever asks (`gantry.json`) and to whoever waits for it (`gantry up -d`).

use std::cell::RefCell;

use apiserver::Ready;

use crate::background::Teller;
use crate::home::{Home, HomeError, Phase, State};

/// A start, and later the end, of a cluster.
pub(crate) struct Progress {
    home: Home,
    state: RefCell<State>,
    teller: RefCell<Teller>,
}

impl Progress {
    /// Of the process that has this data directory.
    pub(crate) fn new(home: Home, state: State, teller: Teller) -> Progress {
        Progress { home, state: RefCell::new(state), teller: RefCell::new(teller) }
    }

    /// It waits for these from now on.
    pub(crate) fn wait_for(&self, what: &[&str]) -> Result<(), HomeError> {
        self.set(Phase::Starting { waiting_for: what.iter().map(|what| (*what).to_owned()).collect() })
    }

    /// It does not have to wait for this any more.
    pub(crate) fn is_there(&self, what: &str) -> Result<(), HomeError> {
        let Phase::Starting { mut waiting_for } = self.state.borrow().phase.clone() else { return Ok(()) };
        waiting_for.retain(|other| other != what);
        self.set(Phase::Starting { waiting_for })
    }

    /// The API is there.
    pub(crate) fn serves(&self, ready: &Ready) {
        let mut state = self.state.borrow_mut();
        state.url = Some(ready.url.clone());
        // Whoever asks may be in another directory.
        state.kubeconfig = std::path::absolute(&ready.kubeconfig).ok();
    }

    /// It has started, of which it says `line`.
    pub(crate) fn ready(&self, line: &str) -> Result<(), HomeError> {
        self.set(Phase::Ready)?;
        self.teller.borrow_mut().ready(line);
        Ok(())
    }

    /// It was asked to end. It does so whether that can be told or not.
    pub(crate) fn ending(&self) {
        if let Err(error) = self.set(Phase::Ending) {
            tracing::warn!(%error, "it cannot be told that the cluster ends");
        }
    }

    fn set(&self, phase: Phase) -> Result<(), HomeError> {
        if let Phase::Starting { waiting_for } = &phase {
            self.teller.borrow_mut().waiting(waiting_for);
        }
        let mut state = self.state.borrow_mut();
        if state.phase != Phase::Ending {
            state.phase = phase;
        }
        self.home.tell(&state)
    }
}
