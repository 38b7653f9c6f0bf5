//! `gantry auth`: who one is to the server, what one may do, and roles that allow what they are to.

mod can_i;
mod reconcile;
mod whoami;

use clap::Subcommand;

use crate::command::Verb;
use crate::{Connection, Error, Session};

/// What can be asked or done.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Ask whether something may be done.
    CanI(Box<Verb<can_i::Arguments>>),
    /// Have roles and bindings allow what files say.
    Reconcile(Box<Verb<reconcile::Arguments>>),
    /// Ask who one is.
    #[command(name = "whoami")]
    WhoAmI(Box<Verb<whoami::Arguments>>),
    // tidy: end
}

impl Command {
    /// Which server it is for.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Command::CanI(verb) => &verb.connection,
            Command::Reconcile(verb) => &verb.connection,
            Command::WhoAmI(verb) => &verb.connection,
        }
    }
}

/// Does it.
pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    match command {
        Command::CanI(verb) => can_i::run(verb.arguments, session).await,
        Command::Reconcile(verb) => reconcile::run(verb.arguments, session).await,
        Command::WhoAmI(verb) => whoami::run(verb.arguments, session).await,
    }
}
