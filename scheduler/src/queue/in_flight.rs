//! What happens while pods are being scheduled, so that a pod that is refused has missed none of it.
//!
//! An event is kept as long as a pod is in flight whose attempt began before it. If one attempt takes so long that there
//! would be more than [`MOST_EVENTS`], the oldest are dropped, and the pods that were in flight at that time count as
//! concerned by them. So memory is bounded, and the price is at worst an attempt in vain.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::entry::Id;
use super::event::Event;

/// The most events that are kept.
pub const MOST_EVENTS: usize = 16_384;

/// The pods in flight, and the events since the first of their attempts.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    events: VecDeque<Kept>,
    /// The number of the first event that is kept, or of the next if there is none.
    first: u64,
    /// Events before this one were dropped although somebody could still have asked for them.
    lost: u64,
    began: HashMap<Id, u64>,
    order: BTreeSet<(u64, Id)>,
}

#[derive(Debug)]
struct Kept {
    /// The only pod that it concerns, if it does not concern all.
    only: Option<Id>,
    event: Event,
}

impl InFlight {
    /// Notes that an attempt begins.
    pub(super) fn begin(&mut self, id: Id) {
        let next = self.next();
        self.began.insert(id, next);
        self.order.insert((next, id));
    }

    /// Notes that an attempt has ended, and lets go of the events that no other pod needs.
    pub(super) fn end(&mut self, id: Id) {
        if let Some(began) = self.began.remove(&id) {
            self.order.remove(&(began, id));
        }
        let needed = self.order.first().map_or(self.next(), |(began, _)| *began);
        while self.first < needed && self.events.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Notes an event, for one pod or for all.
    pub(super) fn record(&mut self, only: Option<Id>, event: &Event) {
        if self.began.is_empty() {
            return;
        }
        self.events.push_back(Kept { only, event: event.clone() });
        if self.events.len() > MOST_EVENTS {
            self.events.pop_front();
            self.first += 1;
            self.lost = self.first;
        }
    }

    /// What happened since a pod's attempt began, or nothing if not all of it is known any more.
    pub(super) fn since(&self, id: Id) -> Option<impl Iterator<Item = &Event>> {
        let began = *self.began.get(&id)?;
        if began < self.lost {
            return None;
        }
        let skipped = usize::try_from(began.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let concerns = move |kept: &&Kept| kept.only.is_none_or(|only| only == id);
        Some(self.events.iter().skip(skipped).filter(concerns).map(|kept| &kept.event))
    }

    /// How many pods are in flight.
    pub(super) fn len(&self) -> usize {
        self.began.len()
    }

    /// How many events are kept.
    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{ActionType, ClusterEvent, EventResource};
    use super::*;

    fn node(action: ActionType) -> Event {
        Event { kind: ClusterEvent::new(EventResource::Node, action), old: None, new: None }
    }

    fn since(in_flight: &InFlight, id: Id) -> Option<Vec<ActionType>> {
        in_flight.since(id).map(|events| events.map(|event| event.kind.action).collect())
    }

    #[test]
    fn pods_see_what_happened_after_they_began() {
        let mut flight = InFlight::default();
        flight.record(None, &node(ActionType::ALL));
        flight.begin(1);
        flight.record(None, &node(ActionType::ADD));
        flight.begin(2);
        flight.record(Some(1), &node(ActionType::UPDATE));
        flight.record(None, &node(ActionType::DELETE));
        assert_eq!(since(&flight, 1), Some(vec![ActionType::ADD, ActionType::UPDATE, ActionType::DELETE]));
        assert_eq!(since(&flight, 2), Some(vec![ActionType::DELETE]));
        flight.end(1);
        assert_eq!((flight.events(), flight.len()), (2, 1), "what only the first pod had to see has gone");
        assert_eq!(since(&flight, 2), Some(vec![ActionType::DELETE]));
        flight.end(2);
        assert_eq!((flight.events(), flight.len()), (0, 0));
    }

    #[test]
    fn a_long_attempt_does_not_keep_everything() {
        let mut flight = InFlight::default();
        flight.begin(1);
        for _ in 0..=MOST_EVENTS {
            flight.record(None, &node(ActionType::ADD));
        }
        flight.begin(2);
        flight.record(None, &node(ActionType::DELETE));
        assert_eq!(flight.events(), MOST_EVENTS);
        assert_eq!(since(&flight, 1), None, "it may have missed something");
        assert_eq!(since(&flight, 2), Some(vec![ActionType::DELETE]));
        flight.end(1);
        assert_eq!(flight.events(), 1);
    }
}
