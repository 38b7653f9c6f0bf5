//! The verbs, and what they have in common.

use clap::{Args, Subcommand};

use crate::commands::{api_resources, delete, get, patch};
use crate::{Connection, Error, Session};

/// A verb with what every verb takes.
#[derive(Clone, Debug, Args)]
pub struct Verb<A: Args> {
    #[command(flatten)]
    arguments: A,
    #[command(flatten)]
    connection: Connection,
}

/// What people and scripts ask of a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// List the resources that the server has.
    ApiResources(Box<Verb<api_resources::Arguments>>),
    /// Delete objects.
    Delete(Box<Verb<delete::Arguments>>),
    /// Show objects.
    Get(Box<Verb<get::Arguments>>),
    /// Change fields of objects.
    Patch(Box<Verb<patch::Arguments>>),
    // tidy: end
}

impl Command {
    /// Which server it is for.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        match self {
            // tidy: sorted
            Command::ApiResources(verb) => &verb.connection,
            Command::Delete(verb) => &verb.connection,
            Command::Get(verb) => &verb.connection,
            Command::Patch(verb) => &verb.connection,
            // tidy: end
        }
    }

    /// Does it.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        match self {
            // tidy: sorted
            Command::ApiResources(verb) => api_resources::run(verb.arguments, session).await,
            Command::Delete(verb) => delete::run(verb.arguments, session).await,
            Command::Get(verb) => get::run(verb.arguments, session).await,
            Command::Patch(verb) => patch::run(verb.arguments, session).await,
            // tidy: end
        }
    }
}
