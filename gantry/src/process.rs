//! What a process has to do with its surroundings: signals, limits, and its two or three lines of output.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use kube::Client;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Says something on standard output. Whoever does not read it does not need it.
pub(crate) fn announce(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Shows a text on standard output, as it is.
pub(crate) fn print(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}

/// Says why the process ends.
pub(crate) fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether what is written there may have colours and be redrawn: a terminal that can, of somebody who wants it
/// (no-color.org, and what terminals say of themselves).
pub(crate) fn is_rich(stream: &impl std::io::IsTerminal) -> bool {
    let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
    stream.is_terminal() && wants_colour(no_color.as_deref(), term.as_deref())
}

/// Does something that takes its time, and says on a terminal for how long it has been at it. Nothing is left of that.
pub(crate) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut err = std::io::stderr();
    if !is_rich(&err) {
        return work.await;
    }
    let mut work = std::pin::pin!(work);
    let mut seconds = tokio::time::interval(std::time::Duration::from_secs(1));
    let mut passed = 0;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                let _ = write!(err, "\r\x1b[2K");
                return done;
            }
            _ = seconds.tick() => {
                let _ = write!(err, "\r\x1b[2K{what} ({passed}s)");
                let _ = err.flush();
                passed += 1;
            }
        }
    }
}

fn wants_colour(no_color: Option<&std::ffi::OsStr>, term: Option<&std::ffi::OsStr>) -> bool {
    no_color.is_none_or(std::ffi::OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// Resolves when the process is asked to end: by SIGTERM, or by SIGINT from a terminal. A second signal ends it at once.
pub(crate) async fn asked_to_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending in an orderly way; a second signal ends at once");
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        report("gantry: ended by a second signal");
        std::process::exit(1);
    });
    Ok(())
}

/// Allows as many open files as the system lets this process have: every connection is one.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// What this machine calls itself.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The name of this machine as a node: the one that was `told`, or the machine's own.
pub(crate) fn node_name(told: Option<&str>) -> Result<String, String> {
    let name = told.map_or_else(|| host_name().to_lowercase(), str::to_owned);
    let wrong = api::names::dns1123_subdomain(&name);
    if wrong.is_empty() { Ok(name) } else { Err(format!("--node-name {name}: {}", wrong.join("; "))) }
}

/// Where a cluster keeps its files if nobody says where.
pub(crate) fn data_directory() -> Result<PathBuf, String> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/gantry".into());
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let home = home.ok_or("there is no home directory to keep files in: say where with --data-dir")?;
    Ok(PathBuf::from(home).join(".local/share/gantry"))
}

/// Where a cluster keeps its files: where somebody `told`, from wherever that is seen. Runtimes and mounts take no path that is
/// relative to a directory in which somebody happened to be.
pub(crate) fn data_directory_or(told: Option<PathBuf>) -> Result<PathBuf, String> {
    let directory = told.map_or_else(data_directory, Ok)?;
    std::path::absolute(&directory).map_err(|error| format!("{}: {error}", directory.display()))
}

/// A client by a kubeconfig.
pub(crate) async fn connect(kubeconfig: &Path) -> Result<Client, Box<dyn Error>> {
    let problem = |error: &dyn Error| format!("--kubeconfig {}: {error}", kubeconfig.display());
    let config = kube::config::Kubeconfig::read_from(kubeconfig).map_err(|error| problem(&error))?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await.map_err(|error| problem(&error))?;
    Ok(client::connection::connect(config).map_err(|error| problem(&error))?)
}

/// The authority by which a kubeconfig trusts its API server, in PEM, if it names one.
pub(crate) fn authority_of(kubeconfig: &Path) -> Result<Option<String>, Box<dyn Error>> {
    let problem = |error: &dyn Error| format!("--kubeconfig {}: {error}", kubeconfig.display());
    let config = kube::config::Kubeconfig::read_from(kubeconfig).map_err(|error| problem(&error))?;
    let context = config.contexts.iter().find(|context| Some(&context.name) == config.current_context.as_ref());
    let name = context.and_then(|context| context.context.as_ref()).map(|context| &context.cluster);
    let cluster = config.clusters.iter().find(|cluster| Some(&cluster.name) == name);
    let Some(cluster) = cluster.and_then(|cluster| cluster.cluster.as_ref()) else { return Ok(None) };
    if let Some(data) = &cluster.certificate_authority_data {
        let bytes = BASE64_STANDARD.decode(data).map_err(|error| problem(&error))?;
        return Ok(Some(String::from_utf8(bytes).map_err(|error| problem(&error))?));
    }
    let Some(path) = &cluster.certificate_authority else { return Ok(None) };
    Ok(Some(std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?))
}

/// How the machine resolves names. Where systemd does it, its own file leads to an address that pods do not reach.
pub(crate) fn resolver_file() -> &'static str {
    const BEHIND_SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";
    if Path::new(BEHIND_SYSTEMD).exists() { BEHIND_SYSTEMD } else { "/etc/resolv.conf" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_those_who_want_it() {
        let check = |no_color: Option<&str>, term: Option<&str>, expected: bool| {
            let found = wants_colour(no_color.map(AsRef::as_ref), term.map(AsRef::as_ref));
            assert_eq!(found, expected, "{no_color:?} {term:?}");
        };
        check(None, Some("xterm"), true);
        check(Some(""), Some("xterm"), true);
        check(None, None, true);
        check(Some("1"), Some("xterm"), false);
        check(None, Some("dumb"), false);
    }

    #[tokio::test]
    async fn what_takes_its_time_is_done() {
        assert_eq!(patiently("counting", async { 7 }).await, 7);
    }

    #[test]
    fn a_file_is_no_terminal() {
        assert!(!is_rich(&std::fs::File::open("/dev/null").unwrap()));
    }
}
