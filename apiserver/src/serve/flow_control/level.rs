//! A priority level: its queues, and those who wait in them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::flowcontrol::v1::PriorityLevelConfigurationSpec;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::allocation::{Bounds, Demand, Shares};
use super::queues::{Fate, Id, Queues, Queuing};
use super::shuffle::LARGEST_HAND;
use crate::metrics::FlowCounted;

/// The most seats that any request takes (upstream's limit).
const WIDEST: usize = 10;

/// What a PriorityLevelConfiguration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) shares: Shares,
    pub(super) exempt: bool,
    pub(super) queuing: Option<Queuing>,
}

impl Setting {
    /// `None` for what is not what the API lets pass.
    pub(super) fn of(spec: &PriorityLevelConfigurationSpec) -> Option<Setting> {
        let number = |number: Option<i32>, otherwise: usize| {
            number.map_or(Some(otherwise), |number| usize::try_from(number).ok())
        };
        if spec.type_ == "Exempt" {
            let exempt = spec.exempt.clone().unwrap_or_default();
            let shares = number(exempt.nominal_concurrency_shares, 0)?;
            let lends = number(exempt.lendable_percent, 0)?;
            return Some(Setting { shares: Shares { shares, lends, borrows: None }, exempt: true, queuing: None });
        }
        let limited = spec.limited.as_ref()?;
        let shares = Shares {
            shares: number(limited.nominal_concurrency_shares, 30)?,
            lends: number(limited.lendable_percent, 0)?,
            borrows: limited.borrowing_limit_percent.map(|percent| usize::try_from(percent).unwrap_or(0)),
        };
        let response = &limited.limit_response;
        let queuing = response.queuing.as_ref().filter(|_| response.type_ == "Queue");
        let queuing = match queuing {
            None => None,
            Some(queuing) => Some(Queuing {
                queues: number(queuing.queues, 64)?.max(1),
                hand: number(queuing.hand_size, 8)?.clamp(1, LARGEST_HAND),
                length: number(queuing.queue_length_limit, 50)?,
            }),
        };
        Some(Setting { shares, exempt: false, queuing })
    }

    /// The most seats that one request takes of so many.
    fn widest(&self, nominal: usize) -> usize {
        match self.queuing {
            Some(queuing) => (nominal * 15).div_ceil(100).min(nominal / queuing.hand).clamp(1, WIDEST),
            None => WIDEST,
        }
    }
}

/// A level. Those who are served hold on to it.
#[derive(Default)]
pub(super) struct Level(Mutex<State>);

struct State {
    queues: Queues,
    /// How those are told who wait.
    turns: HashMap<Id, oneshot::Sender<()>>,
    demand: Demand,
    setting: Option<Setting>,
    bounds: Bounds,
    limit: usize,
}

impl Default for State {
    fn default() -> State {
        State {
            queues: Queues::new(None, Some(0)),
            turns: HashMap::new(),
            demand: Demand::default(),
            setting: None,
            bounds: Bounds::default(),
            limit: 0,
        }
    }
}

impl State {
    /// Tells those whose turn it is.
    fn call(&mut self, now: Duration, started: Vec<Id>) {
        for id in started {
            if let Some(turn) = self.turns.remove(&id) {
                // Who does not listen any more gives the seats back when it is dropped.
                let _ = turn.send(());
            }
        }
        self.demand.set(now, self.queues.demand());
    }

    /// How many seats there are to be given. A level that has any by its shares never lends the last one, so that nobody waits
    /// for what nobody uses.
    fn seats(&self) -> Option<usize> {
        let exempt = self.setting.is_some_and(|setting| setting.exempt);
        (!exempt).then_some(self.limit.max(usize::from(self.bounds.nominal > 0)))
    }
}

/// What becomes of a request that comes to a level.
pub(super) enum Entry {
    /// It is served.
    Started(Seats),
    /// It waits.
    Waits(Turn),
}

impl Level {
    pub(super) fn configure(&self, now: Duration, setting: Setting, bounds: Bounds) {
        let mut state = self.0.lock();
        state.limit = match state.setting {
            Some(_) => state.limit.clamp(bounds.least, bounds.most),
            // Half of what it lends is lent from the beginning, as by upstream.
            None => bounds.nominal - (bounds.nominal - bounds.least) / 2,
        };
        (state.setting, state.bounds) = (Some(setting), bounds);
        let limit = state.seats();
        let started = state.queues.configure(now, setting.queuing, limit);
        state.call(now, started);
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.0.lock().bounds
    }

    #[cfg(test)]
    pub(super) fn demand(&self) -> usize {
        self.0.lock().queues.demand()
    }

    pub(super) fn limit(&self) -> usize {
        self.0.lock().limit
    }

    pub(super) fn widest(&self) -> usize {
        let state = self.0.lock();
        state.setting.map_or(1, |setting| setting.widest(state.bounds.nominal))
    }

    pub(super) fn end_period(&self, now: Duration) -> (f64, f64) {
        self.0.lock().demand.end_period(now)
    }

    pub(super) fn set_limit(&self, now: Duration, seats: usize) {
        let mut state = self.0.lock();
        state.limit = seats;
        let limit = state.seats();
        let started = state.queues.set_limit(now, limit);
        state.call(now, started);
    }

    /// A request comes. The error is why it is turned away, as the metrics call it.
    pub(super) fn enter(self: &Arc<Self>, began: Instant, hash: u64, seats: usize) -> Result<Entry, &'static str> {
        let mut state = self.0.lock();
        let now = began.elapsed();
        let (id, fate) = state.queues.come(now, hash, seats);
        let demand = state.queues.demand();
        state.demand.set(now, demand);
        let seats = || Seats { level: Arc::clone(self), id, began, _counted: None };
        match fate {
            Fate::Started => Ok(Entry::Started(seats())),
            Fate::Waits => {
                let (turn, is_turn) = oneshot::channel();
                state.turns.insert(id, turn);
                Ok(Entry::Waits(Turn { is_turn, seats: seats() }))
            }
            Fate::Refused => {
                let queues = state.setting.is_some_and(|setting| setting.queuing.is_some());
                Err(if queues { "queue-full" } else { "concurrency-limit" })
            }
        }
    }
}

/// The seats of a request, or its place in a queue. Dropping it gives them to others.
pub(super) struct Seats {
    level: Arc<Level>,
    id: Id,
    began: Instant,
    _counted: Option<FlowCounted>,
}

impl Seats {
    /// Counted as long as it holds them.
    pub(super) fn counted(mut self, counted: FlowCounted) -> Seats {
        self._counted = Some(counted);
        self
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let mut state = self.level.0.lock();
        let now = self.began.elapsed();
        // Its turn may have come in the moment in which it gave up.
        let started = match state.turns.remove(&self.id) {
            Some(_) => state.queues.give_up(now, self.id),
            None => state.queues.finish(now, self.id),
        };
        state.call(now, started);
    }
}

/// A place in a queue.
pub(super) struct Turn {
    is_turn: oneshot::Receiver<()>,
    seats: Seats,
}

impl Turn {
    /// Waits until it is served.
    pub(super) async fn came(self) -> Seats {
        let Turn { is_turn, seats } = self;
        // Who calls is dropped only after it called.
        let _ = is_turn.await;
        seats
    }
}
