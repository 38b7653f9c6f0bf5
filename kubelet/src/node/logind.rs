//! systemd's logind, over D-Bus: it says when the machine is about to shut down, and waits as long as a lock is held.
//!
//! How long it waits at most is a setting of logind's, which is raised by a file of ours, upstream's, if pods are given
//! more. A lock is held from the beginning: it is handed on when the machine is about to shut down, and another one is
//! taken if that is called off. As logind gives none while a shutdown is held up, one that it gave says that the machine
//! goes on. Whatever fails (no bus, no logind, either gone) is said once and tried again; meanwhile the machine shuts down
//! as if there were no pods.

use std::path::PathBuf;
use std::time::Duration;

use client::queue::Backoff;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use zbus::proxy::{CacheProperties, OwnerChangedStream};
use zbus::{Connection, OwnedFd};

use super::shutdown::{Hold, News};

/// The waits until it is tried again (upstream's is the first).
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
/// How long it may take to get to the point where only signals are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The waits until logind has read its files again (upstream's).
const RELOADS: [u64; 5] = [0, 100, 200, 400, 800];
/// Where logind reads settings, and the file that is ours.
const DROP_INS: &str = "/etc/systemd/logind.conf.d";
const DROP_IN: &str = "99-kubelet.conf";
/// Who holds the lock, and why, for those who ask (`systemd-inhibit`).
const WHO: &str = "kubelet";
const WHY: &str = "Pods are given time to end before the machine shuts down";
/// How processes are told to read their files again.
const SIGHUP: i32 = 1;

/// Where logind is, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address of its bus; that of the system (`DBUS_SYSTEM_BUS_ADDRESS`, or the usual place) without it.
    pub bus: Option<String>,
    /// Where it reads settings.
    pub drop_ins: PathBuf,
    /// For how long a shutdown has to be held up.
    pub delay: Duration,
}

impl Options {
    /// That of this machine.
    #[must_use]
    pub fn of_machine(delay: Duration) -> Options {
        Options { bus: None, drop_ins: DROP_INS.into(), delay }
    }
}

/// Why nothing is heard of shutdowns.
#[derive(Debug, thiserror::Error)]
enum LogindError {
    #[error("the system's bus cannot be used: {0}")]
    Bus(zbus::Error),
    #[error("logind's {what}: {error}")]
    Logind { what: &'static str, error: zbus::Error },
    #[error("{}: {error}", path.display())]
    DropIn { path: PathBuf, error: std::io::Error },
    #[error(
        "logind holds up shutdowns for {allowed:?} at most, and pods are given {wanted:?}: its InhibitDelayMaxSec stays so \
         in spite of {}, perhaps for another file", path.display()
    )]
    TooShort { wanted: Duration, allowed: Duration, path: PathBuf },
    #[error("logind does not answer")]
    Silent,
    #[error("the connection to the bus has ended")]
    Closed,
    #[error("logind has gone, or is another")]
    Gone,
}

/// logind, as far as it is used.
#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Manager {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    #[zbus(property, name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max(&self) -> zbus::Result<u64>;
    #[zbus(signal)]
    fn prepare_for_shutdown(&self, begins: bool) -> zbus::Result<()>;
}

/// systemd, as far as it is used.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Systemd {
    fn kill_unit(&self, unit: &str, whom: &str, signal: i32) -> zbus::Result<()>;
}

/// Says what it does that fails.
fn logind(what: &'static str) -> impl FnOnce(zbus::Error) -> LogindError {
    move |error| LogindError::Logind { what, error }
}

/// Tells what logind says, until nobody listens any more.
pub async fn watch(options: Options, news: mpsc::Sender<News>) {
    let watching = Watch { options, news: news.clone(), lock: None }.keep();
    tokio::select! {
        () = watching => {}
        () = news.closed() => {}
    }
}

struct Watch {
    options: Options,
    news: mpsc::Sender<News>,
    /// It stays when logind or the bus goes, until there is another: logind may come back and still know it.
    lock: Option<OwnedFd>,
}

/// What there is to listen to.
struct Session {
    /// The bus ends it when nobody has it any more.
    connection: Connection,
    manager: ManagerProxy<'static>,
    signals: PrepareForShutdownStream,
    owners: OwnerChangedStream<'static>,
}

impl Watch {
    async fn keep(mut self) {
        let (mut failures, mut said) = (0, String::new());
        loop {
            let problem = match timeout(PATIENCE, self.begin()).await {
                Ok(Ok(session)) => {
                    tracing::info!(delay = ?self.options.delay, "holds up the machine's shutdown until pods have ended");
                    (failures, said) = (0, String::new());
                    self.listen(session).await
                }
                Ok(Err(error)) => error,
                Err(_) => LogindError::Silent,
            };
            let problem = problem.to_string();
            if said == problem {
                tracing::debug!(problem, "pods are not given time to end when the machine shuts down");
            } else {
                tracing::error!(problem, "pods are not given time to end when the machine shuts down");
                said = problem;
            }
            failures += 1;
            sleep(BACKOFF.after(failures)).await;
        }
    }

    /// Takes a lock, and gets to where signals can be waited for.
    async fn begin(&mut self) -> Result<Session, LogindError> {
        let connection = match &self.options.bus {
            Some(address) => zbus::connection::Builder::address(address.as_str()).build().await,
            None => Connection::system().await,
        };
        let connection = connection.map_err(LogindError::Bus)?;
        let manager = ManagerProxy::builder(&connection).cache_properties(CacheProperties::No).build().await;
        let manager = manager.map_err(LogindError::Bus)?;
        self.allow_delay(&connection, &manager).await?;
        // Listened to before there is a lock, so that none is held without it being heard what for.
        let signals = manager.receive_prepare_for_shutdown().await.map_err(logind("PrepareForShutdown"))?;
        let owners = manager.inner().receive_owner_changed().await.map_err(LogindError::Bus)?;
        self.take_lock(&manager).await?;
        self.tell(News::GoesOn).await;
        Ok(Session { connection, manager, signals, owners })
    }

    /// Sees to it that logind waits for long enough.
    async fn allow_delay(&self, connection: &Connection, manager: &ManagerProxy<'_>) -> Result<(), LogindError> {
        let wanted = self.options.delay;
        let read = async || {
            let delay = manager.inhibit_delay_max().await.map_err(logind("InhibitDelayMaxUSec"))?;
            Ok(Duration::from_micros(delay))
        };
        let mut allowed = read().await?;
        if allowed >= wanted {
            return Ok(());
        }
        let path = self.write_drop_in().await?;
        let systemd = SystemdProxy::new(connection).await.map_err(LogindError::Bus)?;
        let told = systemd.kill_unit("systemd-logind.service", "all", SIGHUP).await;
        told.map_err(|error| LogindError::Logind { what: "files are not read again by it", error })?;
        for wait in RELOADS {
            sleep(Duration::from_millis(wait)).await;
            allowed = read().await?;
            if allowed >= wanted {
                return Ok(());
            }
        }
        Err(LogindError::TooShort { wanted, allowed, path })
    }

    async fn write_drop_in(&self) -> Result<PathBuf, LogindError> {
        let Options { drop_ins, delay, .. } = &self.options;
        let path = drop_ins.join(DROP_IN);
        // It counts whole seconds.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let text = format!(
            "# Written by a Kubernetes node, which needs so long to end its pods.\n[Login]\nInhibitDelayMaxSec={seconds}\n"
        );
        let written = async {
            tokio::fs::create_dir_all(drop_ins).await?;
            tokio::fs::write(&path, text).await
        };
        match written.await {
            Ok(()) => Ok(path),
            Err(error) => Err(LogindError::DropIn { path, error }),
        }
    }

    /// Takes a lock, and lets go of the one before.
    async fn take_lock(&mut self, manager: &ManagerProxy<'_>) -> Result<(), LogindError> {
        let lock = manager.inhibit("shutdown", WHO, WHY, "delay").await;
        self.lock = Some(lock.map_err(logind("Inhibit"))?);
        Ok(())
    }

    /// Tells what is heard. Returns when nothing can be heard any more, with the reason.
    async fn listen(&mut self, session: Session) -> LogindError {
        let Session { connection, manager, mut signals, mut owners } = session;
        loop {
            let signal = tokio::select! {
                biased;
                signal = signals.next() => signal,
                owner = owners.next() => return if owner.is_some() { LogindError::Gone } else { LogindError::Closed },
                () = connection.closed() => return LogindError::Closed,
            };
            let Some(signal) = signal else { return LogindError::Closed };
            let begins = match signal.args() {
                Ok(args) => args.begins,
                Err(error) => {
                    tracing::warn!(%error, "logind's PrepareForShutdown is not understood");
                    continue;
                }
            };
            if begins {
                // Without a lock the machine is not held up, and it was told before that it shuts down.
                if let Some(lock) = self.lock.take() {
                    self.tell(News::ShutsDown(Hold::new(lock))).await;
                }
            } else {
                self.tell(News::GoesOn).await;
                if let Err(error) = self.take_lock(&manager).await {
                    return error;
                }
            }
        }
    }

    async fn tell(&self, news: News) {
        // Fails only if nobody listens any more, in which case all of this ends.
        let _ = self.news.send(news).await;
    }
}
