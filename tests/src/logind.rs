//! A bus of a test's own (a real `dbus-daemon`), and on it who says when a machine shuts down: a logind and a systemd as far as
//! nodes use them.
//!
//! Locks are what they are with logind: one end of a pipe, which is released when nobody has it open any more.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use client::told::Told;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, fdo};

/// Where logind is on its bus.
const PATH: &str = "/org/freedesktop/login1";
/// The setting of how long it holds up shutdowns.
const SETTING: &str = "InhibitDelayMaxSec=";

/// A bus. Dropping it ends it.
pub struct Bus {
    daemon: Child,
    socket: PathBuf,
}

impl Bus {
    /// Starts one whose socket is `bus` in this directory, and waits until it can be connected to.
    ///
    /// # Panics
    /// If there is no `dbus-daemon` on the path (`make deps` installs it), or it does not start.
    #[must_use]
    pub fn start(directory: &Path) -> Bus {
        let (socket, config) = (directory.join("bus"), directory.join("bus.conf"));
        // As on a session's bus: everybody may do everything.
        let policy = "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>";
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\">{policy}</policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).expect("a file");
        // What is left of one before it would be in its way.
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", "--print-address=1"]).arg("--config-file").arg(config);
        let mut daemon = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("there is a dbus-daemon");
        let mut address = String::new();
        let said = daemon.stdout.take().expect("it was piped");
        BufReader::new(said).read_line(&mut address).expect("it can be read");
        assert!(address.starts_with("unix:"), "the bus does not start: {address}");
        Bus { daemon, socket }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A lock that somebody took.
pub struct Lock {
    /// What for, by whom, and in which way.
    pub taken: [String; 3],
    end: pipe::Receiver,
}

impl Lock {
    /// Waits until it is let go of.
    ///
    /// # Panics
    /// If it cannot be told.
    pub async fn released(&mut self) {
        assert_eq!(self.end.read(&mut [0]).await.expect("a pipe can be read"), 0, "nothing is written to a lock");
    }

    /// Whether it is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let nothing = self.end.try_read(&mut [0]);
        matches!(nothing, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[derive(Default)]
struct State {
    delay: Duration,
    /// Those that were taken and not looked at yet.
    locks: Vec<Lock>,
    /// Whether it gives no locks, and how often it has not.
    refuses: bool,
    refused: usize,
    /// Where its settings are read again, if they are.
    settings: Option<PathBuf>,
    /// What was asked of systemd.
    signals: Vec<(String, String, i32)>,
}

/// A logind, with a systemd beside it.
pub struct Logind {
    connection: Connection,
    state: Arc<Told<State>>,
}

impl Logind {
    /// One that holds up shutdowns for so long at most. When it is told to, it reads its settings again from the files in
    /// `settings`.
    ///
    /// # Panics
    /// If the bus cannot be used.
    pub async fn start(bus: &Bus, delay: Duration, settings: Option<&Path>) -> Logind {
        let settings = settings.map(Path::to_owned);
        let state = Arc::new(Told::new(State { delay, settings, ..State::default() }));
        let connection = zbus::connection::Builder::address(bus.address().as_str())
            .serve_at(PATH, Manager(Arc::clone(&state)))
            .serve_at("/org/freedesktop/systemd1", Systemd(Arc::clone(&state)))
            .name("org.freedesktop.systemd1")
            .name("org.freedesktop.login1")
            .build()
            .await
            .expect("a logind is on the bus");
        Logind { connection, state }
    }

    /// The next lock that somebody takes, or has taken.
    pub async fn lock(&self) -> Lock {
        self.state.wait(|state| (!state.locks.is_empty()).then_some(())).await;
        let mut first = None;
        self.state.change(|state| first = Some(state.locks.remove(0)));
        first.expect("nobody else takes them away")
    }

    /// Gives no locks any more, or does again.
    pub fn refuse(&self, refuses: bool) {
        self.state.change(|state| state.refuses = refuses);
    }

    /// Waits until it has refused a lock.
    pub async fn refused(&self) {
        self.state.wait(|state| (state.refused > 0).then_some(())).await;
    }

    /// Says that the machine is about to shut down, or that it is not after all.
    ///
    /// # Panics
    /// If the bus cannot be used.
    pub async fn say(&self, begins: bool) {
        let emitter = SignalEmitter::new(&self.connection, PATH).expect("it is a path");
        Manager::prepare_for_shutdown(&emitter, begins).await.expect("it is said");
    }

    /// The units that were sent a signal: which, which of their processes, and the signal's number.
    #[must_use]
    pub fn signals(&self) -> Vec<(String, String, i32)> {
        self.state.look(|state| state.signals.clone())
    }

    /// Leaves the bus.
    ///
    /// # Panics
    /// If it cannot.
    pub async fn stop(self) {
        self.connection.close().await.expect("it is closed");
    }
}

struct Manager(Arc<Told<State>>);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(&self, what: String, who: String, why: &str, mode: String) -> fdo::Result<zbus::OwnedFd> {
        let failed = |error: std::io::Error| fdo::Error::Failed(error.to_string());
        if self.0.look(|state| state.refuses) || why.is_empty() {
            self.0.change(|state| state.refused += 1);
            return Err(fdo::Error::Failed(
                "The operation inhibition has been requested for is already running".to_owned(),
            ));
        }
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let end = pipe::Receiver::from_file(File::from(OwnedFd::from(reader))).map_err(failed)?;
        self.0.change(|state| state.locks.push(Lock { taken: [what, who, mode], end }));
        let writer = writer.as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(writer.into())
    }

    #[zbus(property(emits_changed_signal = "false"), name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max(&self) -> u64 {
        self.0.look(|state| u64::try_from(state.delay.as_micros()).unwrap_or(u64::MAX))
    }

    #[zbus(signal)]
    async fn prepare_for_shutdown(emitter: &SignalEmitter<'_>, begins: bool) -> zbus::Result<()>;
}

struct Systemd(Arc<Told<State>>);

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Systemd {
    fn kill_unit(&self, unit: String, whom: String, signal: i32) {
        self.0.change(|state| {
            state.signals.push((unit, whom, signal));
            let files = state.settings.iter().flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten());
            let texts = files.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
            let said = texts.filter_map(|text| text.lines().find_map(|line| line.strip_prefix(SETTING)?.parse().ok()));
            if let Some(seconds) = said.last() {
                state.delay = Duration::from_secs(seconds);
            }
        });
    }
}
