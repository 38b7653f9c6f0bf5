//! `gantry rollout`: what Deployments, DaemonSets and StatefulSets have rolled out, and what they roll out next.

mod change;
mod history;
mod revisions;
mod status;
mod template;
mod undo;

use clap::{Args, Subcommand};

use crate::command::Verb;
use crate::manifest::Files;
use crate::target::{Found, Wanted, find};
use crate::{Connection, Error, Session};

/// What can be done with rollouts.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Show what has been rolled out.
    History(Box<Verb<history::Arguments>>),
    /// Have a Deployment wait with what changes.
    Pause(Box<Verb<change::Arguments>>),
    /// Replace all pods, a few at a time.
    Restart(Box<Verb<change::Arguments>>),
    /// Have a paused Deployment go on.
    Resume(Box<Verb<change::Arguments>>),
    /// Follow a rollout until it is done.
    Status(Box<Verb<status::Arguments>>),
    /// Go back to what was rolled out before.
    Undo(Box<Verb<undo::Arguments>>),
    // tidy: end
}

impl Command {
    /// Which server it is for.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Command::History(verb) => &verb.connection,
            Command::Pause(verb) | Command::Restart(verb) | Command::Resume(verb) => &verb.connection,
            Command::Status(verb) => &verb.connection,
            Command::Undo(verb) => &verb.connection,
        }
    }
}

/// Does it.
pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    match command {
        Command::History(verb) => history::run(verb.arguments, session).await,
        Command::Pause(verb) => change::run(verb.arguments, change::Change::Pause, session).await,
        Command::Restart(verb) => change::run(verb.arguments, change::Change::Restart, session).await,
        Command::Resume(verb) => change::run(verb.arguments, change::Change::Resume, session).await,
        Command::Status(verb) => status::run(verb.arguments, session).await,
        Command::Undo(verb) => undo::run(verb.arguments, session).await,
    }
}

/// Of which workloads.
#[derive(Clone, Debug, Args)]
pub(crate) struct Workloads {
    /// What: TYPE NAME..., TYPE/NAME..., or TYPE for all of it.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
}

impl Workloads {
    async fn find(&self, session: &mut Session<'_>) -> Result<Found, Error> {
        if self.what.is_empty() && self.files.is_empty() {
            return Err(Error::said("required resource not specified"));
        }
        let has_type_only = self.selector.is_empty() && !self.what.is_empty() && !has_names(&self.what);
        find(
            session,
            Wanted {
                what: &self.what,
                files: &self.files,
                selector: &self.selector,
                field_selector: "",
                all: has_type_only,
                all_namespaces: false,
                local: false,
            },
        )
        .await
    }
}

fn has_names(what: &[String]) -> bool {
    what.len() > 1 || what.iter().any(|argument| argument.contains('/'))
}
