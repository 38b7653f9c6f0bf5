//! A container runtime in memory: it implements CRI's services and runs nothing.
//!
//! What it has lives in the [`Fake`] and not in those who ask: an agent that starts again finds everything. Time is
//! tokio's, so that on a paused clock nothing takes any; no sandbox or container needs a task or a timer, and what they
//! take is measured in hundreds of bytes. Answers and errors are containerd's, which a suite of tests shows that asks both.
//!
//! What containers do is written down beforehand in a [`Script`]; calls can be made to fail or wait with a [`Fault`]; and
//! what was asked is recorded.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use client::clock::Clock;
use jiff::SignedDuration;
use k8s_cri::v1::image_service_server::ImageServiceServer;
use k8s_cri::v1::runtime_service_server::RuntimeServiceServer;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::{Response, Status};

use super::{Cri, in_process, v1};

mod addresses;
mod calls;
mod containers;
mod figures;
mod images;
mod sandboxes;
mod script;
mod service;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use calls::{Asked, Call, Fault};
pub use images::Offer;
pub use script::{Commands, End, Exec, Run, Script, Told, Uses, Which};

use calls::Calls;
use images::Images;
use state::{Moment, Phase, State};

/// How a runtime in memory is.
#[derive(Clone, Debug)]
pub struct Options {
    /// What tells it from others: runtimes of different names give different IDs.
    pub name: String,
    /// What time it is.
    pub clock: Clock,
    /// The ranges that sandboxes get an address from each, such as `10.1.2.0/24`. With none it waits to be told one
    /// (`UpdateRuntimeConfig`), and its network is not ready.
    pub ranges: Vec<String>,
    /// The images that are there from the beginning.
    pub images: Vec<Offer>,
    /// Bytes of images that nobody offered, if they can be pulled all the same.
    pub pulls_anything: Option<u64>,
    /// How many calls are recorded, at most: the oldest goes first.
    pub recorded: usize,
    /// Whether it writes logs and termination messages where it is told to.
    pub writes_files: bool,
    /// How long things take.
    pub takes: Takes,
    /// Whether it heeds which further groups users are to be in (`supplementalGroupsPolicy`).
    pub strict_groups: bool,
    /// The URL below which the streams of `Exec`, `Attach` and `PortForward` are; with none, they are not served.
    pub streams: Option<String>,
}

/// How long things take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// Making a sandbox.
    pub sandbox: Duration,
    /// Making a container.
    pub container: Duration,
    /// Starting a container.
    pub start: Duration,
    /// Pulling an image.
    pub pull: Duration,
}

impl Default for Options {
    /// A range, every image, the machine's clock, a record of 1024 calls, no files, and nothing takes any time.
    fn default() -> Options {
        Options {
            name: "fake".to_owned(),
            clock: Clock::Machine,
            ranges: vec!["10.88.0.0/16".to_owned()],
            images: Vec::new(),
            pulls_anything: Some(1 << 20),
            recorded: 1024,
            writes_files: false,
            takes: Takes::default(),
            strict_groups: false,
            streams: None,
        }
    }
}

/// The runtime.
#[derive(Debug)]
pub struct Fake {
    clock: Clock,
    takes: Takes,
    strict_groups: bool,
    writes_files: bool,
    streams: Option<String>,
    state: Mutex<State>,
    ahead: Arc<AtomicI64>,
    calls: Mutex<Calls>,
    /// Rings when something ended that was not asked to.
    rung: Notify,
}

impl Fake {
    /// A runtime with nothing in it but its images. A range that cannot be read is left out.
    #[must_use]
    pub fn new(options: Options) -> Arc<Fake> {
        let pools = options.ranges.iter().filter_map(|range| addresses::Pool::parse(range)).collect();
        let images = Images::new(options.images, options.pulls_anything);
        let state = State::new(&options.name, images, pools);
        Arc::new(Fake {
            ahead: state.ahead(),
            state: Mutex::new(state),
            clock: options.clock,
            takes: options.takes,
            strict_groups: options.strict_groups,
            writes_files: options.writes_files,
            streams: options.streams,
            calls: Mutex::new(Calls::new(options.recorded)),
            rung: Notify::new(),
        })
    }

    /// A way to it. There may be several at once.
    #[must_use]
    pub fn cri(self: &Arc<Self>) -> Cri {
        Cri::over(
            in_process(RuntimeServiceServer::from_arc(self.clone())),
            in_process(ImageServiceServer::from_arc(self.clone())),
        )
    }

    /// Has containers that are made from now on follow a script. Of several that concern a container, the last counts.
    pub fn script(&self, which: Which, script: Script) {
        let script = Arc::new(script);
        let mut state = self.state.lock();
        state.scripts.retain(|(other, _)| *other != which);
        state.scripts.push((which, script));
    }

    /// Has an image be there.
    pub fn add_image(&self, offer: &Offer) {
        self.state.lock().images.add(offer);
    }

    /// Has an image be there to be pulled.
    pub fn offer(&self, offer: Offer) {
        self.state.lock().images.offer(offer);
    }

    /// Has pulls of an image be answered with an error, until it is offered.
    pub fn refuse_image(&self, name: &str, status: Status) {
        self.state.lock().images.refuse(name, status);
    }

    /// Has the next so many calls of a kind go wrong.
    pub fn fail(&self, call: Call, times: u64, fault: Fault) {
        self.calls.lock().plan(Some(call), None, times, fault);
    }

    /// Has the next so many calls of a kind go wrong that are about something, which is named as in [`Asked::subject`].
    pub fn fail_about(&self, call: Call, subject: &str, times: u64, fault: Fault) {
        self.calls.lock().plan(Some(call), Some(subject.to_owned()), times, fault);
    }

    /// Has every call be answered as if nobody listened on the runtime's socket, until it is healed.
    pub fn take_away(&self) {
        let status = Status::unavailable("connection error: desc = \"transport: error while dialing\"");
        self.calls.lock().plan(None, None, u64::MAX, Fault::Fails(status));
    }

    /// Has nothing go wrong any more.
    pub fn heal(&self) {
        self.calls.lock().heal();
    }

    /// What was asked lately, the oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.calls.lock().record()
    }

    /// What calls of a kind were about, the oldest first.
    #[must_use]
    pub fn subjects(&self, call: Call) -> Vec<String> {
        self.asked().into_iter().filter(|asked| asked.call == call).map(|asked| asked.subject).collect()
    }

    /// Forgets what was asked.
    pub fn forget_asked(&self) {
        self.calls.lock().forget();
    }

    /// Ends every running container of a name (`namespace/pod/container`), and says how many there were.
    pub fn end(&self, container: &str, end: &End) -> usize {
        let moment = self.moment();
        let mut state = self.state.lock();
        state.settle(moment);
        let named = |state: &State, number: u64| state.subject(&state.id(number)) == container;
        let running: Vec<u64> =
            state.containers.iter().filter(|(_, one)| one.runs()).map(|(number, _)| *number).collect();
        let mut ended = 0;
        for number in running {
            if named(&state, number)
                && let Some(one) = state.containers.get_mut(&number)
            {
                one.end(moment, end.exit_code, end.out_of_memory);
                ended += 1;
            }
        }
        drop(state);
        self.rung.notify_waiters();
        ended
    }

    /// Ends every sandbox of a pod (`namespace/pod`) and what runs in it, as if its first process had been killed; says
    /// how many there were.
    pub fn end_sandbox(&self, pod: &str) -> usize {
        let moment = self.moment();
        let mut state = self.state.lock();
        let ready = state.sandboxes.iter().filter(|(_, sandbox)| sandbox.ready);
        let ids: Vec<String> =
            ready.map(|(number, _)| state.id(*number)).filter(|id| state.subject(id) == pod).collect();
        for id in &ids {
            state.stop_sandbox(id, moment);
        }
        drop(state);
        self.rung.notify_waiters();
        ids.len()
    }

    /// Ends everything that runs, as a restart of the machine does.
    pub fn restart_machine(&self) {
        let moment = self.moment();
        let mut state = self.state.lock();
        let ids: Vec<String> = state.sandboxes.keys().map(|number| state.id(*number)).collect();
        for id in &ids {
            state.stop_sandbox(id, moment);
        }
        drop(state);
        self.rung.notify_waiters();
    }

    /// How many sandboxes and containers there are, and how many of each are ready or running.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let moment = self.moment();
        let mut state = self.state.lock();
        state.settle(moment);
        Counts {
            sandboxes: state.sandboxes.len(),
            ready: state.sandboxes.values().filter(|sandbox| sandbox.ready).count(),
            containers: state.containers.len(),
            running: state
                .containers
                .values()
                .filter(|container| matches!(container.phase, Phase::Running { .. }))
                .count(),
        }
    }

    fn moment(&self) -> Moment {
        let ahead = SignedDuration::from_nanos(self.ahead.load(Ordering::Relaxed));
        let now = self.clock.now();
        Moment { at: now.checked_add(ahead).unwrap_or(now), instant: Instant::now() }
    }

    /// Notes a call and lets happen to it what is to happen before anything is done. Gives what its answer is to be
    /// replaced by.
    async fn begin(&self, call: Call, about: &str) -> Result<Option<Status>, Status> {
        let looked_at = self.calls.lock().are_looked_at();
        let subject = if looked_at { self.state.lock().subject(about) } else { String::new() };
        let faults = self.calls.lock().note(Asked { at: self.clock.now(), call, subject });
        let mut lost = None;
        for fault in faults {
            match fault {
                Fault::Fails(status) => return Err(status),
                Fault::Lost(status) => lost = Some(status),
                Fault::Waits(time) => tokio::time::sleep(time).await,
                Fault::Hangs => std::future::pending().await,
            }
        }
        Ok(lost)
    }

    /// Answers a call that takes no time.
    async fn answer<T>(
        &self,
        call: Call,
        about: &str,
        act: impl FnOnce(&mut State, Moment) -> Result<T, Status> + Send,
    ) -> Result<Response<T>, Status> {
        self.answer_after(Duration::ZERO, call, about, act).await
    }

    /// Answers a call that takes a time, at the end of which everything is done at once.
    async fn answer_after<T>(
        &self,
        takes: Duration,
        call: Call,
        about: &str,
        act: impl FnOnce(&mut State, Moment) -> Result<T, Status> + Send,
    ) -> Result<Response<T>, Status> {
        let lost = self.begin(call, about).await?;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let moment = self.moment();
        let answer = act(&mut self.state.lock(), moment);
        lost.map_or_else(|| answer.map(Response::new), Err)
    }

    /// Writes a container's files, if this runtime writes files.
    fn write(&self, files: &containers::Files) {
        if !self.writes_files {
            return;
        }
        let written = self.append(files).and_then(|()| match &files.termination {
            Some((path, message)) => std::fs::write(path, message),
            None => Ok(()),
        });
        if let Err(error) = written {
            tracing::warn!(%error, log = files.log, "a container's file cannot be written");
        }
    }

    /// Appends lines to a container's log, as CRI has them.
    fn append(&self, files: &containers::Files) -> std::io::Result<()> {
        if files.log.is_empty() {
            return Ok(());
        }
        let path = std::path::Path::new(&files.log);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        let mut log = std::fs::File::options().create(true).append(true).open(path)?;
        let now = self.clock.now();
        for line in &files.says {
            writeln!(log, "{now:.9} stdout F {line}")?;
        }
        Ok(())
    }
}

/// How much a runtime has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sandboxes.
    pub sandboxes: usize,
    /// Sandboxes that are ready.
    pub ready: usize,
    /// Containers.
    pub containers: usize,
    /// Containers that run.
    pub running: usize,
}
