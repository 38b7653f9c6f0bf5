//! What the kernel is still to be told about one family of packets, and when it may be told after it refused.

use client::queue::Backoff;
use tokio::time::Instant;

use crate::conntrack::Forgetting;

/// What the kernel is still to be told about a family.
#[derive(Default)]
pub(super) struct Open {
    /// Connections that it is to forget.
    pub(super) forgetting: Forgetting,
    /// What was said of why it refuses.
    pub(super) said: Option<String>,
    is_behind: bool,
    looks_anew: bool,
    table: Refused,
    connections: Refused,
}

/// How often something was refused in a row, and until when it is not tried again.
#[derive(Default)]
struct Refused {
    times: u32,
    until: Option<Instant>,
}

impl Refused {
    fn again(&mut self, backoff: &Backoff) {
        self.times = self.times.saturating_add(1);
        self.until = Some(Instant::now() + backoff.after(self.times));
    }

    fn due(&self, now: Instant) -> Instant {
        self.until.unwrap_or(now)
    }
}

impl Open {
    /// When there is something to be told, if there is: `now`, unless it was refused.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.is_behind {
            return Some(self.table.due(now));
        }
        (!self.forgetting.is_empty()).then(|| self.connections.due(now))
    }

    /// Whether the table may be another one than the kernel has.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether nothing is known of what the kernel has.
    pub(super) fn looks_anew(&self) -> bool {
        self.looks_anew
    }

    /// The table has changed.
    pub(super) fn fall_behind(&mut self) {
        self.is_behind = true;
    }

    /// Nothing is known any longer of what the kernel has.
    pub(super) fn look_anew(&mut self) {
        (self.is_behind, self.looks_anew) = (true, true);
    }

    /// The kernel has the table.
    pub(super) fn caught_up(&mut self) {
        (self.is_behind, self.looks_anew) = (false, false);
        self.table = Refused::default();
    }

    /// The kernel did not take the table.
    pub(super) fn failed(&mut self, backoff: &Backoff) {
        self.table.again(backoff);
    }

    /// The kernel has forgotten what it was to forget.
    pub(super) fn forgot(&mut self) {
        self.forgetting = Forgetting::default();
        self.connections = Refused::default();
    }

    /// The kernel did not forget everything.
    pub(super) fn failed_to_forget(&mut self, backoff: &Backoff) {
        self.connections.again(backoff);
    }
}
