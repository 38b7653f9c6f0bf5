//! `gantry status`: how the cluster of this machine is.
//!
//! What is said follows from three sources: what the process says of itself (`gantry.json`), what the kernel says of the
//! process, and what the API says, which is asked as the administrator and not for long. The cluster is ready if it has
//! started, its API says that it is ready, and this machine is a node that is, if it is one. Other nodes are counted.

mod ask;
mod files;
mod page;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use procfs::{Current, Uptime};
use serde::Serialize;

use crate::home::{self, Look, Phase, State};
use crate::process;

/// The exit codes, as service managers have them.
const NOT_READY: u8 = 1;
const NONE_RUNS: u8 = 3;
const UNKNOWN: u8 = 4;

/// The options of `gantry status`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the cluster keeps its files [default: /var/lib/gantry, and for others than root ~/.local/share/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How it is written [default: for people].
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
}

/// How a cluster is, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Word {
    Ready,
    NotReady,
    Starting,
    Ending,
    #[default]
    Stopped,
}

/// How a cluster is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    status: Word,
    /// What it is not ready for.
    problems: Vec<String>,
    version: Option<String>,
    pid: Option<i32>,
    started_at: Option<String>,
    uptime_seconds: Option<u64>,
    memory_bytes: Option<u64>,
    url: Option<String>,
    kubeconfig: Option<PathBuf>,
    data_directory: PathBuf,
    data_bytes: Option<files::Size>,
    store: Option<String>,
    nodes: Option<Nodes>,
    pods: Option<Pods>,
    certificate: Option<files::Certificate>,
    log: Option<PathBuf>,
}

/// The cluster's nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Nodes {
    ready: usize,
    total: usize,
}

/// The cluster's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Pods {
    running: usize,
    total: usize,
}

impl Word {
    fn exit_code(self) -> u8 {
        match self {
            Word::Ready => 0,
            Word::NotReady | Word::Starting | Word::Ending => NOT_READY,
            Word::Stopped => NONE_RUNS,
        }
    }
}

/// Says how it is.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let report = process::data_directory_or(arguments.data_dir).and_then(|directory| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(report(&directory))
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            process::report(&format!("gantry: {error}"));
            return ExitCode::from(UNKNOWN);
        }
    };
    let text = match arguments.output {
        None => page::text(&report),
        // It has string keys only.
        Some(Format::Json) => serde_json::to_string_pretty(&report).unwrap_or_default(),
    };
    process::announce(text.trim_end());
    ExitCode::from(report.status.exit_code())
}

async fn report(directory: &Path) -> Result<Report, String> {
    let look = home::look(directory).map_err(|error| error.to_string())?;
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let state = match look {
        Look::Running(state) => *state,
        Look::Nobody { left } => return Ok(stopped(directory, left)),
        Look::Unseen => {
            return Err(format!("{} is in use by a process that cannot be seen from here", directory.display()));
        }
    };
    let mut report = Report { status: Word::Ready, ..of_process(&state) };
    match &state.phase {
        Phase::Starting { waiting_for } => {
            report.status = Word::Starting;
            report.problems = waiting_for.iter().map(|what| format!("it waits for {what}")).collect();
        }
        Phase::Ending => report.status = Word::Ending,
        Phase::Ready => {
            if let Some(kubeconfig) = &state.kubeconfig {
                let found = ask::ask(kubeconfig, state.node.as_ref().map(|node| node.name.as_str())).await;
                (report.problems, report.nodes, report.pods) = (found.problems, found.nodes, found.pods);
            }
            if !report.problems.is_empty() {
                report.status = Word::NotReady;
            }
        }
    }
    report.data_bytes = Some(files::size(&directory));
    report.certificate = files::soonest(&directory);
    if state.store == "embedded" {
        let store = directory.join(store::STORE_FILE);
        let bytes = std::fs::metadata(&store).map_or(0, |metadata| metadata.len());
        report.store = Some(format!("embedded: {}, {}", store.display(), page::bytes(bytes)));
    }
    report.data_directory = directory;
    Ok(report)
}

/// What there is to say when no cluster runs.
fn stopped(data_directory: PathBuf, left: Option<Box<State>>) -> Report {
    let ended = |state: &State| format!("process {} has ended without an orderly end", state.process.pid);
    Report {
        problems: left.as_deref().map(ended).into_iter().collect(),
        log: left.and_then(|state| state.log),
        data_directory,
        ..Report::default()
    }
}

/// What the process and the kernel say of the process.
fn of_process(state: &State) -> Report {
    let stat = procfs::process::Process::new(state.process.pid).and_then(|process| process.stat()).ok();
    let up = Uptime::current().map(|uptime| uptime.uptime_duration().as_secs()).ok();
    let started = state.process.start_ticks / procfs::ticks_per_second();
    Report {
        version: Some(state.version.clone()),
        pid: Some(state.process.pid),
        started_at: Some(state.started_at.clone()),
        uptime_seconds: up.map(|up| up.saturating_sub(started)),
        memory_bytes: stat.map(|stat| stat.rss * procfs::page_size()),
        url: state.url.clone(),
        kubeconfig: state.kubeconfig.clone(),
        store: Some(state.store.clone()),
        log: state.log.clone(),
        ..Report::default()
    }
}
