//! The verbs, and what they have in common.

use clap::{Args, Subcommand};

use crate::commands::{api_resources, apply, create, delete, diff, edit, get, patch, replace, wait};
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
    /// Make objects what files say.
    Apply(Box<Verb<apply::Arguments>>),
    /// Create objects.
    Create(Box<Verb<create::Arguments>>),
    /// Delete objects.
    Delete(Box<Verb<delete::Arguments>>),
    /// Show what apply would change.
    Diff(Box<Verb<diff::Arguments>>),
    /// Edit objects.
    Edit(Box<Verb<edit::Arguments>>),
    /// Show objects.
    Get(Box<Verb<get::Arguments>>),
    /// Change fields of objects.
    Patch(Box<Verb<patch::Arguments>>),
    /// Put objects of files in the place of others.
    Replace(Box<Verb<replace::Arguments>>),
    /// Wait until something is true of objects.
    Wait(Box<Verb<wait::Arguments>>),
    // tidy: end
}

impl Command {
    /// Which server it is for.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        match self {
            // tidy: sorted
            Command::ApiResources(verb) => &verb.connection,
            Command::Apply(verb) => &verb.connection,
            Command::Create(verb) => &verb.connection,
            Command::Delete(verb) => &verb.connection,
            Command::Diff(verb) => &verb.connection,
            Command::Edit(verb) => &verb.connection,
            Command::Get(verb) => &verb.connection,
            Command::Patch(verb) => &verb.connection,
            Command::Replace(verb) => &verb.connection,
            Command::Wait(verb) => &verb.connection,
            // tidy: end
        }
    }

    /// Does it.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        match self {
            // tidy: sorted
            Command::ApiResources(verb) => api_resources::run(verb.arguments, session).await,
            Command::Apply(verb) => apply::run(verb.arguments, session).await,
            Command::Create(verb) => create::run(verb.arguments, session).await,
            Command::Delete(verb) => delete::run(verb.arguments, session).await,
            Command::Diff(verb) => diff::run(verb.arguments, session).await,
            Command::Edit(verb) => edit::run(verb.arguments, session).await,
            Command::Get(verb) => get::run(verb.arguments, session).await,
            Command::Patch(verb) => patch::run(verb.arguments, session).await,
            Command::Replace(verb) => replace::run(verb.arguments, session).await,
            Command::Wait(verb) => wait::run(verb.arguments, session).await,
            // tidy: end
        }
    }
}
