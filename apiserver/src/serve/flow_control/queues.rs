//! The queues of one priority level: which request is served next.
//!
//! Fair queuing on a virtual clock, as upstream's design of API priority and fairness has it: the clock goes at the rate at
//! which each queue that has work gets seats, a queue is due by what it was given already, and the one that would be done
//! first is served. Time and identities of requests come in as arguments, so that all of it is replayed in tests.
//!
//! What always holds: the seats in use are those of the requests that were started and did not finish; no more are started
//! than there are seats, but for one that is wider than all of them, which is started alone; and nothing waits while the
//! request that is due fits.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::shuffle::deal;

/// How long a request is taken to need until it is known, in seconds.
const GUESS: f64 = 0.003;

/// What names a request among those of a level.
pub(super) type Id = u64;

/// How requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queuing {
    /// How many queues there are; without any nothing waits.
    pub(super) queues: usize,
    /// How many of them a flow is dealt.
    pub(super) hand: usize,
    /// How many requests may wait in one.
    pub(super) length: usize,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is started.
    Started,
    /// It waits.
    Waits,
    /// It is turned away.
    Refused,
}

#[derive(Debug)]
struct Request {
    /// Where it waits, or waited.
    queue: Option<usize>,
    seats: usize,
    /// What the virtual clock showed when it came.
    came: f64,
    started: Option<Duration>,
}

impl Request {
    /// What it is taken to need, in seats times seconds.
    fn work(&self) -> f64 {
        self.seats as f64 * GUESS
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Id>,
    executing: usize,
    seats_waiting: usize,
    /// When, on the virtual clock, its next request is due.
    due: f64,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.executing == 0
    }
}

/// The queues of a level.
#[derive(Debug)]
pub(super) struct Queues {
    queuing: Option<Queuing>,
    /// How many seats there are; `None` for any number.
    limit: Option<usize>,
    queues: Vec<Queue>,
    requests: HashMap<Id, Request>,
    next: Id,
    /// The virtual clock, in seats times seconds, and when it was read last.
    virtual_time: f64,
    read: Duration,
    /// The queue that was served last.
    last: usize,
    /// How many have come, which varies the order in which a flow's queues are looked at.
    arrivals: usize,
    active: usize,
    in_use: usize,
    seats_waiting: usize,
    executing: usize,
    waiting: usize,
}

impl Queues {
    pub(super) fn new(queuing: Option<Queuing>, limit: Option<usize>) -> Queues {
        let mut queues = Queues {
            queuing: None,
            limit,
            queues: Vec::new(),
            requests: HashMap::new(),
            next: 0,
            virtual_time: 0.0,
            read: Duration::ZERO,
            last: 0,
            arrivals: 0,
            active: 0,
            in_use: 0,
            seats_waiting: 0,
            executing: 0,
            waiting: 0,
        };
        queues.set_queuing(queuing);
        queues
    }

    /// How many seats are taken, and how many those want who wait.
    pub(super) fn demand(&self) -> usize {
        self.in_use + self.seats_waiting
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Requests of the queues that are no more are served where they are.
    fn set_queuing(&mut self, queuing: Option<Queuing>) {
        let wanted = queuing.map_or(0, |queuing| queuing.queues);
        if wanted > self.queues.len() {
            self.queues.resize_with(wanted, Queue::default);
        }
        self.queuing = queuing;
        self.drop_surplus();
    }

    fn drop_surplus(&mut self) {
        let wanted = self.queuing.map_or(0, |queuing| queuing.queues);
        while self.queues.len() > wanted && self.queues.last().is_some_and(Queue::is_idle) {
            self.queues.pop();
        }
    }

    /// Changes how requests wait and how many are served. Returns whom that lets start.
    pub(super) fn configure(&mut self, now: Duration, queuing: Option<Queuing>, limit: Option<usize>) -> Vec<Id> {
        self.advance(now);
        self.set_queuing(queuing);
        self.limit = limit;
        self.start_due(now)
    }

    /// Changes how many seats there are. Returns whom that lets start.
    pub(super) fn set_limit(&mut self, now: Duration, limit: Option<usize>) -> Vec<Id> {
        self.configure(now, self.queuing, limit)
    }

    /// A request of the flow with this hash comes. Returns it, and what becomes of it. It starts nobody else: whoever waits
    /// would have been started before.
    pub(super) fn come(&mut self, now: Duration, hash: u64, seats: usize) -> (Id, Fate) {
        self.advance(now);
        let id = self.next;
        let Some(queuing) = self.queuing else {
            if !self.fits(seats) {
                return (id, Fate::Refused);
            }
            self.next += 1;
            let came = self.virtual_time;
            self.requests.insert(id, Request { queue: None, seats, came, started: Some(now) });
            self.take(seats);
            return (id, Fate::Started);
        };
        let at = self.choose(hash, queuing);
        let full = self.limit.is_some_and(|limit| self.in_use >= limit);
        if full && self.queues[at].waiting.len() >= queuing.length {
            return (id, Fate::Refused);
        }
        self.next += 1;
        let came = self.virtual_time;
        self.requests.insert(id, Request { queue: Some(at), seats, came, started: None });
        let queue = &mut self.queues[at];
        if queue.is_idle() {
            queue.due = came;
            self.active += 1;
        }
        queue.waiting.push_back(id);
        queue.seats_waiting += seats;
        self.seats_waiting += seats;
        self.waiting += 1;
        self.bound(at);
        // Who finds nobody waiting is the one that is due.
        let due = if self.waiting == 1 { Some((at, id)) } else { self.next_due() };
        let room = self.limit.is_none_or(|limit| self.in_use < limit) && self.fits(seats);
        if due == Some((at, id)) && room {
            self.start(now, at, id);
            return (id, Fate::Started);
        }
        (id, Fate::Waits)
    }

    /// A request that waits is given up.
    pub(super) fn give_up(&mut self, now: Duration, id: Id) -> Vec<Id> {
        self.advance(now);
        if self.requests.get(&id).is_none_or(|request| request.started.is_some()) {
            return Vec::new();
        }
        let Some(request) = self.requests.remove(&id) else { return Vec::new() };
        if let Some(at) = request.queue {
            self.queues[at].waiting.retain(|other| *other != id);
            self.leave(at, request.seats);
            self.bound(at);
            self.settle(at);
        }
        self.start_due(now)
    }

    /// A request that was started has been served. Returns whom that lets start.
    pub(super) fn finish(&mut self, now: Duration, id: Id) -> Vec<Id> {
        self.advance(now);
        let Some(request) = self.requests.remove(&id) else { return Vec::new() };
        let Some(started) = request.started else { return Vec::new() };
        self.in_use -= request.seats;
        self.executing -= 1;
        if let Some(at) = request.queue {
            let queue = &mut self.queues[at];
            queue.executing -= 1;
            // It was charged what was guessed; now it is known.
            let took = now.saturating_sub(started).as_secs_f64();
            queue.due += request.seats as f64 * (took - GUESS);
            self.bound(at);
            self.settle(at);
        }
        self.start_due(now)
    }

    /// Moves the virtual clock on. Nothing has changed since it was read last.
    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.read).as_secs_f64();
        self.read = self.read.max(now);
        if self.active == 0 {
            return;
        }
        let wanted = self.demand().min(self.limit.unwrap_or(usize::MAX)) as f64;
        self.virtual_time += passed * wanted / self.active as f64;
    }

    /// Of the queues that the flow was dealt, the one with the least work waiting.
    fn choose(&mut self, hash: u64, queuing: Queuing) -> usize {
        let hand: Vec<usize> = deal(hash, queuing.queues, queuing.hand).collect();
        let first = self.arrivals % hand.len().max(1);
        self.arrivals = self.arrivals.wrapping_add(1);
        let turned = hand.iter().cycle().skip(first).take(hand.len()).copied();
        turned.min_by_key(|at| self.queues[*at].seats_waiting).unwrap_or_default()
    }

    fn fits(&self, seats: usize) -> bool {
        let Some(limit) = self.limit else { return true };
        if seats > limit { self.executing == 0 } else { self.in_use + seats <= limit }
    }

    fn take(&mut self, seats: usize) {
        self.in_use += seats;
        self.executing += 1;
    }

    fn leave(&mut self, at: usize, seats: usize) {
        self.queues[at].seats_waiting -= seats;
        self.seats_waiting -= seats;
        self.waiting -= 1;
    }

    /// Starts what is due, as long as there are seats.
    fn start_due(&mut self, now: Duration) -> Vec<Id> {
        let mut started = Vec::new();
        while self.waiting > 0 && self.limit.is_none_or(|limit| self.in_use < limit) {
            let Some((at, id)) = self.next_due() else { break };
            if !self.requests.get(&id).is_some_and(|request| self.fits(request.seats)) {
                break;
            }
            self.start(now, at, id);
            started.push(id);
        }
        started
    }

    /// Starts the first request of a queue.
    fn start(&mut self, now: Duration, at: usize, id: Id) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.started = Some(now);
        let (seats, work) = (request.seats, request.work());
        self.last = at;
        let queue = &mut self.queues[at];
        queue.waiting.pop_front();
        queue.executing += 1;
        queue.due += work;
        self.leave(at, seats);
        self.take(seats);
        self.bound(at);
    }

    /// The first request of the queue whose first request would be done first. Of equal ones it is the next after the one that
    /// was served last.
    fn next_due(&self) -> Option<(usize, Id)> {
        let count = self.queues.len();
        let mut best: Option<(f64, usize, Id)> = None;
        for at in (1..=count).map(|step| (self.last + step) % count) {
            let queue = &self.queues[at];
            let Some(id) = queue.waiting.front() else { continue };
            let done = queue.due + self.requests.get(id).map_or(0.0, Request::work);
            if best.is_none_or(|(least, ..)| done < least) {
                best = Some((done, at, *id));
            }
        }
        best.map(|(_, at, id)| (at, id))
    }

    /// A queue that did not use what it could have had is not given it later: nothing is due before it came.
    fn bound(&mut self, at: usize) {
        let queue = &mut self.queues[at];
        if let Some(first) = queue.waiting.front().and_then(|id| self.requests.get(id)) {
            queue.due = queue.due.max(first.came);
        }
    }

    /// Counts a queue that has become idle, and starts the virtual clock anew when nothing is left, so that it stays exact.
    fn settle(&mut self, at: usize) {
        if !self.queues[at].is_idle() {
            return;
        }
        self.active -= 1;
        if self.active == 0 {
            self.virtual_time = 0.0;
        }
        self.drop_surplus();
        self.last = self.last.min(self.queues.len().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
