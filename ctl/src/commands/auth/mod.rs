//! `gantry auth`: who one is to the server, and what one may do.

mod can_i;
mod whoami;

use clap::Subcommand;

use crate::command::Verb;
use crate::{Connection, Error, Session};

/// What can be asked.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Ask whether something may be done.
    CanI(Box<Verb<can_i::Arguments>>),
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
            Command::WhoAmI(verb) => &verb.connection,
        }
    }
}

/// Asks it.
pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    match command {
        Command::CanI(verb) => can_i::run(verb.arguments, session).await,
        Command::WhoAmI(verb) => whoami::run(verb.arguments, session).await,
    }
}
