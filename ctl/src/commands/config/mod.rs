//! `gantry config`: kubeconfigs, without asking any server.

mod change;
mod file;
mod property;
mod show;

use clap::{Args, Subcommand};

use crate::command::Verb;
use crate::{Connection, Error, Session};
use file::Files;

/// What can be done with kubeconfigs.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Show which context is used.
    CurrentContext(Box<Verb<Nothing>>),
    /// Forget a cluster.
    DeleteCluster(Box<Verb<Name>>),
    /// Forget a context.
    DeleteContext(Box<Verb<Name>>),
    /// Forget a user.
    DeleteUser(Box<Verb<Name>>),
    /// List the clusters.
    GetClusters(Box<Verb<Nothing>>),
    /// List the contexts.
    GetContexts(Box<Verb<show::Contexts>>),
    /// List the users.
    GetUsers(Box<Verb<Nothing>>),
    /// Give a context another name.
    RenameContext(Box<Verb<change::Rename>>),
    /// Set a value, by its path.
    Set(Box<Verb<property::Set>>),
    /// Set what a cluster is: --server, --certificate-authority and others.
    SetCluster(Box<Verb<change::Cluster>>),
    /// Set what a context is: --cluster, --user and --namespace.
    SetContext(Box<Verb<change::Context>>),
    /// Set how a user is known: --token, --client-certificate and others.
    SetCredentials(Box<Verb<change::Credentials>>),
    /// Have a value be nothing.
    Unset(Box<Verb<property::Unset>>),
    /// Use a context from now on.
    #[command(alias = "use")]
    UseContext(Box<Verb<Name>>),
    /// Show all of it.
    View(Box<Verb<show::View>>),
    // tidy: end
}

/// No arguments.
#[derive(Clone, Debug, Args)]
pub struct Nothing {}

/// The name of an entry.
#[derive(Clone, Debug, Args)]
pub struct Name {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
}

impl Command {
    /// The options, which say which files, and what entries are to have.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            // tidy: sorted
            Command::CurrentContext(verb) => &verb.connection,
            Command::DeleteCluster(verb) => &verb.connection,
            Command::DeleteContext(verb) => &verb.connection,
            Command::DeleteUser(verb) => &verb.connection,
            Command::GetClusters(verb) => &verb.connection,
            Command::GetContexts(verb) => &verb.connection,
            Command::GetUsers(verb) => &verb.connection,
            Command::RenameContext(verb) => &verb.connection,
            Command::Set(verb) => &verb.connection,
            Command::SetCluster(verb) => &verb.connection,
            Command::SetContext(verb) => &verb.connection,
            Command::SetCredentials(verb) => &verb.connection,
            Command::Unset(verb) => &verb.connection,
            Command::UseContext(verb) => &verb.connection,
            Command::View(verb) => &verb.connection,
            // tidy: end
        }
    }
}

/// Does it.
pub(crate) fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    let connection = session.connection().clone();
    let mut files = Files::read(connection.files())?;
    match command {
        // tidy: sorted
        Command::CurrentContext(_) => session.say(files.current().ok_or_else(no_context)?.as_str()),
        Command::DeleteCluster(verb) => change::delete(&mut files, file::CLUSTERS, &verb.arguments.name, session),
        Command::DeleteContext(verb) => change::delete(&mut files, file::CONTEXTS, &verb.arguments.name, session),
        Command::DeleteUser(verb) => change::delete(&mut files, file::USERS, &verb.arguments.name, session),
        Command::GetClusters(_) => show::names(&files, file::CLUSTERS, session),
        Command::GetContexts(verb) => show::contexts(&files, &verb.arguments, session),
        Command::GetUsers(_) => show::names(&files, file::USERS, session),
        Command::RenameContext(verb) => change::rename(&mut files, &verb.arguments, session),
        Command::Set(verb) => property::set(&mut files, &verb.arguments, session),
        Command::SetCluster(verb) => change::cluster(&mut files, &verb.arguments, &connection, session),
        Command::SetContext(verb) => change::context(&mut files, &verb.arguments, &connection, session),
        Command::SetCredentials(verb) => change::credentials(&mut files, &verb.arguments, &connection, session),
        Command::Unset(verb) => property::unset(&mut files, &verb.arguments, session),
        Command::UseContext(verb) => change::use_context(&mut files, &verb.arguments.name, session),
        Command::View(verb) => show::view(&files, &verb.arguments, &connection, session),
        // tidy: end
    }
}

fn no_context() -> Error {
    Error::said("current-context is not set")
}
