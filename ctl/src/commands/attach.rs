//! `gantry attach`.

use clap::Args;
use serde_json::Value;

use crate::pods::{self, Preference, metadata};
use crate::session::{Ask, duration};
use crate::streams::dialogue::{Dialogue, can_be_raw, keys};
use crate::streams::remote::Wanted;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// To what: a pod, TYPE/NAME or TYPE NAME of what has pods.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// To which container.
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    container: String,
    /// Give it what comes in here.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Input is from a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Say nothing besides.
    #[arg(short, long)]
    quiet: bool,
    /// The keys by which to leave.
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// How long to wait for an owner to have a pod.
    #[arg(long, value_name = "DURATION", default_value = "1m0s")]
    pod_running_timeout: String,
}

/// Shows what a process says, and gives it what is typed, until it ends or is left.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let quiet = arguments.quiet;
    match arguments.what.len() {
        0 => return Err(Error::said("at least 1 argument is required for attach")),
        1 | 2 => {}
        count => {
            let what = arguments.what.join(" ");
            return Err(Error::said(format!(
                "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {count}: [{what}]"
            )));
        }
    }
    let timeout = duration("--pod-running-timeout", &arguments.pod_running_timeout)?;
    let timeout = timeout.ok_or_else(|| Error::said("--pod-running-timeout must be higher than zero"))?;
    let object = pods::object(session, &arguments.what).await?;
    let (pod, _) = pods::of(session, &object, timeout, Preference::Running).await?;
    if pods::is_completed(&pod) {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        return Err(Error::said(format!("cannot attach a container in a completed pod; current phase is {phase}")));
    }
    let (container, remark) = pods::container(&pod, &arguments.container).map_err(|error| match error {
        Error::Said(why) => Error::said(format!("cannot attach to the container: {why}")),
        other => other,
    })?;
    if let Some(remark) = remark.filter(|_| !quiet) {
        session.remark(&remark)?;
    }
    let how = How { stdin: arguments.stdin, tty: arguments.tty, quiet, detach: keys(&arguments.detach_keys)? };
    hold(session, &pod, &container, how).await
}

/// How somebody is with a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    pub(crate) stdin: bool,
    pub(crate) tty: bool,
    pub(crate) quiet: bool,
    /// What is typed to leave it.
    pub(crate) detach: Vec<u8>,
}

/// Is with a container's process until it ends or is left.
pub(crate) async fn hold(session: &mut Session<'_>, pod: &Value, container: &str, how: How) -> Result<(), Error> {
    let How { stdin, tty, quiet, detach } = how;
    let found = pods::find(pod, container);
    let has_terminal = found.is_some_and(|(container, _)| container["tty"] == true);
    if tty && !has_terminal && !quiet {
        session.remark(&format!("error: Unable to use a TTY - container {container} did not allocate one"))?;
    }
    // A container's terminal is one, whether it is asked for or not.
    let tty = can_be_raw(session, stdin, has_terminal, quiet)?;
    let wanted = Wanted { stdin, stderr: !tty, tty };
    if !quiet {
        session.remark(
            "All commands and output from this session will be recorded in container logs, including credentials and \
             sensitive information passed through the command prompt.",
        )?;
        session.remark("If you don't see a command prompt, try pressing enter.")?;
    }
    let uri = uri(metadata(pod, "namespace"), metadata(pod, "name"), container, wanted);
    Dialogue { uri, wanted, detach, redraw: true }.hold(session).await?;
    if !quiet && stdin && tty {
        session.say(&farewell(pod, container, found.is_some_and(|(_, is_ephemeral)| is_ephemeral)))?;
    }
    Ok(())
}

fn uri(namespace: &str, pod: &str, container: &str, wanted: Wanted) -> String {
    let path = format!("{}/attach", pods::path(namespace, pod));
    let ask = Ask::get(&path).query("container", container);
    wanted.parameters().into_iter().fold(ask, |ask, (name, value)| ask.query(name, value)).uri()
}

fn farewell(pod: &Value, container: &str, is_ephemeral: bool) -> String {
    let (name, namespace) = (metadata(pod, "name"), metadata(pod, "namespace"));
    let again = format!("'gantry attach {name} -c {container} -n {namespace} -i -t'");
    if is_ephemeral {
        return format!(
            "Session ended, the ephemeral container will not be restarted but may be reattached using {again} if it is \
             still running"
        );
    }
    format!("Session ended, resume using {again} command")
}
