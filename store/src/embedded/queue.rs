//! The way from any number of async callers to the one writer thread: bounded, in order, and taken in batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::backend::Write;
use crate::error::{CompactError, WriteError};
use crate::key::Revision;

/// Something for the writer to do.
#[derive(Debug)]
pub(super) enum Request {
    /// Commit a write.
    Write(WriteRequest),
    /// Compact through a revision.
    Compact(Revision, oneshot::Sender<Result<(), CompactError>>),
    /// Put everything that was acknowledged on stable storage. Answers with why that is impossible.
    Flush(oneshot::Sender<Result<(), String>>),
    /// Do everything before this, then let go of the store. Nothing comes after it.
    Close(oneshot::Sender<()>),
}

/// A write and where its answer goes. It takes up room in the queue until it is dropped.
#[derive(Debug)]
pub(super) struct WriteRequest {
    pub(super) write: Write,
    pub(super) reply: oneshot::Sender<Result<Revision, WriteError>>,
    pub(super) room: OwnedSemaphorePermit,
}

/// Requests on their way to the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    room: Arc<Semaphore>,
    room_kib: u32,
}

#[derive(Debug)]
struct State {
    requests: VecDeque<Request>,
    phase: Phase,
    writer_waits: bool,
}

/// Whether requests are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not yet: there is no writer.
    Waiting,
    /// Yes.
    Running,
    /// No longer: the store is closed.
    Closed,
    /// No longer: the writer ended by itself.
    Failed,
}

/// How many requests to take at once: as many as there are, up to this.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakeLimits {
    /// The largest number.
    pub(super) requests: usize,
    /// The largest sum of bytes, unless a single one is larger.
    pub(super) bytes: usize,
}

impl Queue {
    /// A queue for `room_bytes` of writes, not yet taking any.
    pub(super) fn new(room_bytes: usize) -> Queue {
        let room_kib = u32::try_from(room_bytes / 1024).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Queue {
            state: Mutex::new(State { requests: VecDeque::new(), phase: Phase::Waiting, writer_waits: false }),
            ready: Condvar::new(),
            room: Arc::new(Semaphore::new(room_kib as usize)),
            room_kib,
        }
    }

    /// Whether requests are taken.
    pub(super) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Starts taking requests.
    pub(super) fn run(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Waiting {
            state.phase = Phase::Running;
        }
    }

    /// Takes no more requests, and drops those that no one will handle. A phase that is final stays.
    pub(super) fn end(&self, phase: Phase) {
        let abandoned = {
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Closed | Phase::Failed) {
                state.phase = phase;
            }
            std::mem::take(&mut state.requests)
        };
        drop(abandoned);
        self.room.close();
    }

    /// Waits until there is room for a write of `bytes`; `None` once the queue has ended.
    pub(super) async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(self.room_kib);
        Arc::clone(&self.room).acquire_many_owned(kib).await.ok()
    }

    /// Adds `request` at the end, or says why none are taken.
    pub(super) fn push(&self, request: Request) -> Result<(), Phase> {
        let mut state = self.state.lock();
        if state.phase != Phase::Running {
            return Err(state.phase);
        }
        if matches!(request, Request::Close(_)) {
            state.phase = Phase::Closed;
        }
        state.requests.push_back(request);
        let wake = std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// How many requests wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().requests.len()
    }

    /// Takes what there is. Waits for something until `deadline`, or, without one, for as long as it takes.
    pub(super) fn take(&self, limits: TakeLimits, deadline: Option<Instant>) -> Vec<Request> {
        let mut state = self.state.lock();
        while state.requests.is_empty() {
            state.writer_waits = true;
            match deadline {
                None => self.ready.wait(&mut state),
                Some(deadline) => {
                    if self.ready.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.writer_waits = false;
        let mut bytes = 0;
        let mut count = 0;
        for request in state.requests.iter().take(limits.requests) {
            bytes += request.bytes();
            if count > 0 && bytes > limits.bytes {
                break;
            }
            count += 1;
        }
        state.requests.drain(..count).collect()
    }
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Request::Write(request) => request.write.bytes(),
            _ => 0,
        }
    }
}

impl Write {
    /// About how much storage the write takes.
    pub(super) fn bytes(&self) -> usize {
        let value = match &self.op {
            crate::backend::Op::Put(value) => value.len(),
            crate::backend::Op::Delete => 0,
        };
        self.key.as_str().len() + value
    }
}
