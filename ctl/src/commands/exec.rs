//! `gantry exec`.

use clap::Args;

use crate::manifest::Files;
use crate::pods::{self, Preference, metadata};
use crate::session::{Ask, duration};
use crate::streams::dialogue::{Dialogue, can_be_raw};
use crate::streams::remote::Wanted;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Where: a pod, or TYPE/NAME of what has pods.
    #[arg(value_name = "WHERE")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// In which container.
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    container: String,
    /// Give it what comes in here.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give it a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Say nothing besides.
    #[arg(short, long)]
    quiet: bool,
    /// How long to wait for an owner to have a pod.
    #[arg(long, value_name = "DURATION", default_value = "1m0s")]
    pod_running_timeout: String,
    /// The command, with its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs a command, and ends as it ends.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    arguments.check()?;
    let timeout = duration("--pod-running-timeout", &arguments.pod_running_timeout)?;
    let timeout = timeout.ok_or_else(|| Error::said("--pod-running-timeout must be higher than zero"))?;
    let object = if arguments.files.is_empty() {
        pods::object(session, &arguments.what).await?
    } else {
        let placed = arguments.files.place(session).await?;
        let Some(first) = placed.first() else { return Err(Error::said("no objects passed")) };
        session.json(Ask::get(&first.resource.object_path(&first.namespace, first.name()))).await?
    };
    let (pod, _) = pods::of(session, &object, timeout, Preference::Running).await?;
    if pods::is_completed(&pod) {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        return Err(Error::said(format!("cannot exec into a container in a completed pod; current phase is {phase}")));
    }
    let (container, remark) = pods::container(&pod, &arguments.container)?;
    if let Some(remark) = remark.filter(|_| !arguments.quiet) {
        session.remark(&remark)?;
    }
    let tty = can_be_raw(session, arguments.stdin, arguments.tty, arguments.quiet)?;
    let wanted = Wanted { stdin: arguments.stdin, stderr: !tty, tty };
    let uri = uri(metadata(&pod, "namespace"), metadata(&pod, "name"), &container, &arguments.command, wanted);
    Dialogue { uri, wanted, ..Dialogue::default() }.hold(session).await
}

/// What runs a command.
pub(crate) fn uri(namespace: &str, pod: &str, container: &str, command: &[String], wanted: Wanted) -> String {
    let path = format!("{}/exec", pods::path(namespace, pod));
    let mut ask = Ask::get(&path);
    // An empty word is one, too.
    ask.query.extend(command.iter().map(|word| ("command", word.clone())));
    let ask = ask.query("container", container);
    wanted.parameters().into_iter().fold(ask, |ask, (name, value)| ask.query(name, value)).uri()
}

impl Arguments {
    fn check(&self) -> Result<(), Error> {
        let most = if self.files.is_empty() { 1 } else { 0 };
        if self.what.is_empty() && self.files.is_empty() {
            return Err(Error::said("pod, type/name or --filename must be specified"));
        }
        if self.what.len() > most {
            return Err(Error::said(
                "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\nSee 'gantry exec \
                 -h' for help and examples",
            ));
        }
        if self.command.is_empty() {
            return Err(Error::said("you must specify at least one command for the container"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn the_command_is_what_follows_the_dashes() {
        let parsed = |line: &str| {
            let words = ["exec"].into_iter().chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().arguments
        };
        let arguments = parsed("-it pod/a -c b -- sh -c ls");
        assert!(arguments.stdin && arguments.tty && arguments.check().is_ok());
        assert_eq!(
            (arguments.what, arguments.command),
            (vec!["pod/a".to_owned()], ["sh", "-c", "ls"].map(str::to_owned).to_vec())
        );
        let check = |line: &str, expected: &str| {
            let error = parsed(line).check().unwrap_err().to_string();
            assert_eq!(error.lines().next(), Some(expected), "{line}");
        };
        check("", "error: pod, type/name or --filename must be specified");
        check("a", "error: you must specify at least one command for the container");
        check("a ls", "error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead");
    }

    #[test]
    fn every_word_is_a_parameter() {
        let wanted = Wanted { stdin: true, stderr: true, tty: false };
        let uri = uri("n", "p", "c", &["sh".to_owned(), String::new(), "a b&".to_owned()], wanted);
        let expected = "/api/v1/namespaces/n/pods/p/exec?command=sh&command=&command=a+b%26&container=c&stdin=true&\
                        stdout=true&stderr=true";
        assert_eq!(uri, expected);
    }
}
