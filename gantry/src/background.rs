//! `gantry up -d`: a cluster in a process of its own, which goes on when the one that started it has ended.
//!
//! The process is this program again, with the same arguments and in a session of its own. What it writes goes to
//! `gantry.log` in its data directory, which begins anew when it is long; the one before is kept. It tells how far it is by
//! its standard input, which is a socket for that long. The end of the socket is the end of the process: nothing is polled.

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::home::{self, HomeError, LOG, Look, Phase, State};
use crate::process::{self, announce};

/// The option by which the process knows what it is.
pub(crate) const OPTION: &str = "in-background";
/// From how many bytes on the log begins anew.
const LOG_BYTES: u64 = 10 << 20;
/// How often it is looked at how long the log is.
const LOG_LOOK: Duration = Duration::from_secs(10);
/// How often it is looked at how far a cluster is that another process has started.
const LOOK: Duration = Duration::from_millis(50);
/// How much of what a process wrote last is shown if it does not say why it ended.
const LAST_WORDS: u64 = 4096;
/// How a process begins to say why it ends.
const WHY: &str = "gantry: ";

/// Who tells how far a start is, if somebody waits for it.
#[derive(Debug, Default)]
pub(crate) struct Teller(Option<UnixStream>);

impl Teller {
    /// Makes this process one in the background: it has no terminal, and tells its starter how far it is.
    pub(crate) fn in_background() -> io::Result<Teller> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!(%error, "this process is in no session of its own");
        }
        Ok(Teller(Some(stream)))
    }

    /// It waits for these.
    pub(crate) fn waiting(&mut self, what: &[String]) {
        self.say(&format!("waiting {}\n", what.join(", ")));
    }

    /// It has started, of which it says `line`. There is nothing to tell any more.
    pub(crate) fn ready(&mut self, line: &str) {
        self.say(&format!("ready {line}\n"));
        self.0 = None;
    }

    fn say(&mut self, line: &str) {
        // Who does not listen any more does not have to know.
        if self.0.as_mut().is_some_and(|stream| stream.write_all(line.as_bytes()).is_err()) {
            self.0 = None;
        }
    }
}

/// Starts a cluster in the background, and returns when it is ready. One that runs in the directory is left alone.
pub(crate) fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match home::look(directory)? {
            Look::Running(state) => already(directory, *state).await,
            Look::Unseen => Err(HomeError::InUse { directory: directory.to_owned(), holder: None }.into()),
            Look::Nobody { .. } => start(directory).await,
        }
    })
}

/// What to say of a cluster that runs, once it is ready.
async fn already(directory: &Path, mut state: State) -> Result<(), Box<dyn Error>> {
    let pid = state.process.pid;
    let mut line = Line::new();
    loop {
        match &state.phase {
            Phase::Ready => break,
            Phase::Ending => {
                return Err(format!(
                    "the cluster in {} (process {pid}) is ending: try again when it has",
                    directory.display()
                )
                .into());
            }
            Phase::Starting { waiting_for } => line.show(&waiting_for.join(", ")),
        }
        tokio::time::sleep(LOOK).await;
        match home::look(directory)? {
            Look::Running(now) if now.process.pid == pid => state = *now,
            _ => {
                line.clear();
                return Err(format!(
                    "the cluster in {} (process {pid}) ended before it was ready",
                    directory.display()
                )
                .into());
            }
        }
    }
    line.clear();
    let (url, kubeconfig) = (state.url.unwrap_or_default(), state.kubeconfig.unwrap_or_default());
    announce(&format!("gantry is running already (process {pid}) at {url}; KUBECONFIG={}", kubeconfig.display()));
    announce(&what_next(directory));
    Ok(())
}

async fn start(directory: &Path) -> Result<(), Box<dyn Error>> {
    let made = home::make(directory)?;
    let path = directory.join(LOG);
    let begun = begin(&path);
    let (mut child, stream, length) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            home::unmake(directory, &made);
            return Err(error);
        }
    };
    let mut line = Line::new();
    let (told, is_asked) = tokio::select! {
        told = listen(stream, &mut line) => (told?, false),
        asked = process::asked_to_end() => {
            asked?;
            (None, true)
        }
    };
    line.clear();
    if let Some(ready) = told {
        announce(&ready);
        announce(&what_next(directory));
        return Ok(());
    }
    let why = end(&mut child, is_asked, &path, length).await?;
    home::unmake(directory, &made);
    Err(why.into())
}

/// Starts the process. Gives it with where it tells how far it is, and how long its log was before.
fn begin(log: &Path) -> Result<(Child, UnixStream, u64), Box<dyn Error>> {
    let problem = |error: io::Error| format!("{}: {error}", log.display());
    bound(log).map_err(problem)?;
    let out = open(log).map_err(problem)?;
    let length = out.metadata().map_err(problem)?.len();
    let (ours, theirs) = UnixStream::pair()?;
    // By its own name, as long as it has one: it is what the process is called.
    let program = std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or_else(|| "/proc/self/exe".into());
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1).filter(|argument| argument != "--")).arg(format!("--{OPTION}"));
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(out.try_clone().map_err(problem)?).stderr(out);
    let child = command.spawn()?;
    Ok((child, ours, length))
}

/// Hears how far a start is. `None` if it ended before it was ready.
async fn listen(stream: UnixStream, line: &mut Line) -> io::Result<Option<String>> {
    stream.set_nonblocking(true)?;
    let mut told = BufReader::new(tokio::net::UnixStream::from_std(stream)?).lines();
    while let Some(said) = told.next_line().await? {
        match said.split_once(' ') {
            Some(("ready", words)) => return Ok(Some(words.to_owned())),
            Some((_, what)) => line.show(what),
            None => {}
        }
    }
    Ok(None)
}

/// Waits for the end of a process that is not to be ready any more, and says why it ended. It is asked to if this one `is_asked`.
async fn end(child: &mut Child, is_asked: bool, log: &Path, length: u64) -> Result<String, Box<dyn Error>> {
    if is_asked {
        ask_to_end(child);
    }
    let status = tokio::select! {
        status = child.wait() => status?,
        asked = process::asked_to_end(), if !is_asked => {
            asked?;
            ask_to_end(child);
            child.wait().await?
        }
    };
    Ok(words(&said_since(log, length)?).unwrap_or_else(|| format!("the cluster ended before it was ready ({status})")))
}

fn ask_to_end(child: &Child) {
    if let Some(id) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        // It may have ended by itself, and its number is its own until it was waited for.
        let _ = kill_process(id, Signal::TERM);
    }
}

/// Why a process ended, in its own words, or else the last that it said.
fn words(said: &str) -> Option<String> {
    let why = said.lines().rev().find_map(|line| line.strip_prefix(WHY));
    let last = said.trim();
    why.map(str::to_owned)
        .or_else(|| (!last.is_empty()).then(|| format!("the cluster ended before it was ready; it said last:\n{last}")))
}

fn said_since(log: &Path, length: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let from = length.max(file.metadata()?.len().saturating_sub(LAST_WORDS));
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn open(log: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(log)
}

/// Has a log begin anew if it is long. Whoever has it open goes on with the one before.
fn bound(log: &Path) -> io::Result<bool> {
    match std::fs::metadata(log) {
        Ok(metadata) if metadata.len() > LOG_BYTES => {
            std::fs::rename(log, log.with_added_extension("1"))?;
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps the log of this process bounded for as long as it is polled.
pub(crate) async fn keep_log(log: PathBuf) {
    let anew = || {
        if bound(&log)? {
            let file = open(&log)?;
            rustix::stdio::dup2_stdout(&file)?;
            rustix::stdio::dup2_stderr(&file)?;
        }
        Ok::<_, io::Error>(())
    };
    loop {
        tokio::time::sleep(LOG_LOOK).await;
        if let Err(error) = anew() {
            tracing::warn!(%error, log = %log.display(), "the log does not begin anew");
        }
    }
}

/// What can be done with a cluster. Where it is has to be said if it is not where it would be looked for.
fn what_next(directory: &Path) -> String {
    let usual = process::data_directory().is_ok_and(|usual| usual == directory);
    if usual {
        return "try: gantry get nodes; gantry status; gantry down".to_owned();
    }
    let (data, kubeconfig) = (directory.display(), directory.join("admin.kubeconfig"));
    format!(
        "try: gantry get nodes --kubeconfig {}; gantry status --data-dir {data}; gantry down --data-dir {data}",
        kubeconfig.display()
    )
}

/// A line on a terminal that says for what it is waited. Where there is no terminal nothing is said.
pub(crate) struct Line {
    is_terminal: bool,
}

impl Line {
    pub(crate) fn new() -> Line {
        Line { is_terminal: io::stderr().is_terminal() }
    }

    /// Waits for this.
    pub(crate) fn show(&mut self, what: &str) {
        if self.is_terminal && !what.is_empty() {
            let _ = write!(io::stderr(), "\r\x1b[Kwaiting for {what} ...");
        }
    }

    /// Makes room for what is said next.
    pub(crate) fn clear(&mut self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_why_it_ended() {
        let check = |said: &str, expected: Option<&str>| assert_eq!(words(said).as_deref(), expected, "{said:?}");
        check("INFO it starts\ngantry: cannot listen at a: b\n", Some("cannot listen at a: b"));
        check("gantry: first\ngantry: second\nmore\n", Some("second"));
        check(
            "thread 'main' panicked\n",
            Some("the cluster ended before it was ready; it said last:\nthread 'main' panicked"),
        );
        check("\n", None);
    }

    #[test]
    fn a_long_log_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join(LOG);
        assert!(!bound(&log).unwrap());
        open(&log).unwrap().write_all(b"short").unwrap();
        assert!(!bound(&log).unwrap());
        open(&log).unwrap().set_len(LOG_BYTES + 1).unwrap();
        assert!(bound(&log).unwrap() && !log.exists());
        assert_eq!(std::fs::metadata(directory.path().join("gantry.log.1")).unwrap().len(), LOG_BYTES + 1);
    }

    #[test]
    fn what_was_said_before_is_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join(LOG);
        std::fs::write(&log, "before\nafter\n").unwrap();
        assert_eq!(said_since(&log, 7).unwrap(), "after\n");
        std::fs::write(&log, "x".repeat(10000)).unwrap();
        assert_eq!(said_since(&log, 7).unwrap().len() as u64, LAST_WORDS);
    }
}
