//! `gantry token`: the tokens by which machines join the cluster. As `kubeadm token`, against any cluster that knows bootstrap
//! tokens.

mod create;
mod delete;
mod join_line;
mod list;

use api::bootstrap_token::Token;
use clap::{Args, Subcommand};

use crate::command::Verb;
use crate::{Connection, Error, Session};

/// Where the Secrets are that keep tokens.
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";

/// What can be done with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Make a token by which machines can join.
    Create(Box<Verb<create::Arguments>>),
    /// Have nobody join by these tokens any more. Nodes that have joined stay.
    #[command(visible_alias = "revoke")]
    Delete(Box<Verb<delete::Arguments>>),
    /// Show a token that could be made. Nothing is made.
    Generate(Box<Verb<Nothing>>),
    /// List the tokens.
    List(Box<Verb<list::Arguments>>),
    // tidy: end
}

/// No arguments.
#[derive(Clone, Debug, Args)]
pub struct Nothing {}

impl Command {
    /// Which server it is for.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Command::Create(verb) => &verb.connection,
            Command::Delete(verb) => &verb.connection,
            Command::Generate(verb) => &verb.connection,
            Command::List(verb) => &verb.connection,
        }
    }
}

/// Does it.
pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    match command {
        Command::Create(verb) => create::run(verb.arguments, session).await,
        Command::Delete(verb) => delete::run(verb.arguments, session).await,
        Command::Generate(_) => session.say(&generated().reveal()),
        Command::List(verb) => list::run(verb.arguments, session).await,
    }
}

/// A token that nobody can guess.
fn generated() -> Token {
    Token::from_random(rand::random)
}
