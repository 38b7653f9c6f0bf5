//! The verbs, and what they have in common.

use clap::{Args, Subcommand};

use crate::commands::{
    api_resources, api_versions, apply, attach, auth, autoscale, certificate, cluster_info, completion, config, cp,
    create, debug, delete, describe, diff, drain, edit, events, exec, explain, expose, get, kustomize, label, logs,
    options, patch, plugin, port_forward, replace, rollout, run, scale, set, taint, token, top, version, wait, why,
};
use crate::{Connection, Error, Session};

/// A verb with what every verb takes.
#[derive(Clone, Debug, Args)]
pub struct Verb<A: Args> {
    #[command(flatten)]
    pub(crate) arguments: A,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// What people and scripts ask of a cluster.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Change annotations of objects.
    Annotate(Box<Verb<label::Arguments>>),
    /// List the resources that the server has.
    ApiResources(Box<Verb<api_resources::Arguments>>),
    /// List the versions of the groups that the server has.
    ApiVersions(Box<Verb<api_versions::Arguments>>),
    /// Make objects what files say.
    Apply(Box<Verb<apply::Arguments>>),
    /// Be with a process that runs in a container: its output, and its input.
    Attach(Box<Verb<attach::Arguments>>),
    /// Ask who one is, and what one may do.
    #[command(subcommand)]
    Auth(auth::Command),
    /// Make an autoscaler for what is there.
    Autoscale(Box<Verb<autoscale::Arguments>>),
    /// Decide whether certificates are made that somebody asks for.
    #[command(subcommand)]
    Certificate(certificate::Command),
    /// Show where the server is.
    ClusterInfo(Box<Verb<cluster_info::Arguments>>),
    /// Write the script by which a shell completes lines: bash, zsh, fish or powershell.
    Completion(Box<Verb<completion::Arguments>>),
    /// Show and change kubeconfigs.
    #[command(subcommand)]
    Config(config::Command),
    /// Have nodes get no more pods.
    Cordon(Box<Verb<drain::Nodes>>),
    /// Copy files and directories to and from containers.
    Cp(Box<Verb<cp::Arguments>>),
    /// Create objects.
    Create(Box<Verb<create::Arguments>>),
    /// Debug pods and nodes, with another container or a copy.
    Debug(Box<Verb<debug::Arguments>>),
    /// Delete objects.
    Delete(Box<Verb<delete::Arguments>>),
    /// Tell all about objects, with their events.
    Describe(Box<Verb<describe::Arguments>>),
    /// Show what apply would change.
    Diff(Box<Verb<diff::Arguments>>),
    /// Have nodes be without pods.
    Drain(Box<Verb<drain::Arguments>>),
    /// Edit objects.
    Edit(Box<Verb<edit::Arguments>>),
    /// Show events.
    Events(Box<Verb<events::Arguments>>),
    /// Run a command in a container.
    Exec(Box<Verb<exec::Arguments>>),
    /// Explain a kind, and its fields.
    Explain(Box<Verb<explain::Arguments>>),
    /// Make a Service for what is there.
    Expose(Box<Verb<expose::Arguments>>),
    /// Show objects.
    Get(Box<Verb<get::Arguments>>),
    /// Show what a kustomization makes.
    Kustomize(Box<Verb<kustomize::Arguments>>),
    /// Change labels of objects.
    Label(Box<Verb<label::Arguments>>),
    /// Show what containers have said.
    Logs(Box<Verb<logs::Arguments>>),
    /// Show the options that every verb takes.
    Options(Box<Verb<options::Arguments>>),
    /// Change fields of objects.
    Patch(Box<Verb<patch::Arguments>>),
    /// List programs on the path that are verbs of this one.
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Make ports of a pod ports of this machine.
    PortForward(Box<Verb<port_forward::Arguments>>),
    /// Put objects of files in the place of others.
    Replace(Box<Verb<replace::Arguments>>),
    /// Follow, repeat and undo rollouts.
    #[command(subcommand)]
    Rollout(rollout::Command),
    /// Run an image in a pod.
    Run(Box<Verb<run::Arguments>>),
    /// Set how many replicas there are to be.
    Scale(Box<Verb<scale::Arguments>>),
    /// Set single things of objects.
    #[command(subcommand)]
    Set(set::Command),
    /// Change taints of nodes.
    Taint(Box<Verb<taint::Arguments>>),
    /// Make, list and revoke the tokens by which machines join.
    #[command(subcommand)]
    Token(token::Command),
    /// Show how much of CPU and memory is used.
    Top(Box<Verb<top::Arguments>>),
    /// Have nodes get pods again.
    Uncordon(Box<Verb<drain::Nodes>>),
    /// Show the versions of this program and of the server.
    Version(Box<Verb<version::Arguments>>),
    /// Wait until something is true of objects.
    Wait(Box<Verb<wait::Arguments>>),
    /// Say why an object is not as it is to be, what shows it, and what to do next.
    Why(Box<Verb<why::Arguments>>),
    // tidy: end
}

impl Command {
    /// Which server it is for.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        match self {
            // tidy: sorted
            Command::Annotate(verb) => &verb.connection,
            Command::ApiResources(verb) => &verb.connection,
            Command::ApiVersions(verb) => &verb.connection,
            Command::Apply(verb) => &verb.connection,
            Command::Attach(verb) => &verb.connection,
            Command::Auth(command) => command.connection(),
            Command::Autoscale(verb) => &verb.connection,
            Command::Certificate(command) => command.connection(),
            Command::ClusterInfo(verb) => &verb.connection,
            Command::Completion(verb) => &verb.connection,
            Command::Config(command) => command.connection(),
            Command::Cordon(verb) => &verb.connection,
            Command::Cp(verb) => &verb.connection,
            Command::Create(verb) => &verb.connection,
            Command::Debug(verb) => &verb.connection,
            Command::Delete(verb) => &verb.connection,
            Command::Describe(verb) => &verb.connection,
            Command::Diff(verb) => &verb.connection,
            Command::Drain(verb) => &verb.connection,
            Command::Edit(verb) => &verb.connection,
            Command::Events(verb) => &verb.connection,
            Command::Exec(verb) => &verb.connection,
            Command::Explain(verb) => &verb.connection,
            Command::Expose(verb) => &verb.connection,
            Command::Get(verb) => &verb.connection,
            Command::Kustomize(verb) => &verb.connection,
            Command::Label(verb) => &verb.connection,
            Command::Logs(verb) => &verb.connection,
            Command::Options(verb) => &verb.connection,
            Command::Patch(verb) => &verb.connection,
            Command::Plugin(command) => command.connection(),
            Command::PortForward(verb) => &verb.connection,
            Command::Replace(verb) => &verb.connection,
            Command::Rollout(command) => command.connection(),
            Command::Run(verb) => &verb.connection,
            Command::Scale(verb) => &verb.connection,
            Command::Set(command) => command.connection(),
            Command::Taint(verb) => &verb.connection,
            Command::Token(command) => command.connection(),
            Command::Top(verb) => &verb.connection,
            Command::Uncordon(verb) => &verb.connection,
            Command::Version(verb) => &verb.connection,
            Command::Wait(verb) => &verb.connection,
            Command::Why(verb) => &verb.connection,
            // tidy: end
        }
    }

    /// Does it.
    pub async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        // Who only changes kubeconfigs asks no server.
        if !matches!(self, Command::Config(_)) {
            session.match_version().await?;
        }
        self.perform(session).await?;
        session.heed_warnings()
    }

    async fn perform(self, session: &mut Session<'_>) -> Result<(), Error> {
        match self {
            // tidy: sorted
            Command::Annotate(verb) => label::run(verb.arguments, label::Which::Annotations, session).await,
            Command::ApiResources(verb) => api_resources::run(verb.arguments, session).await,
            Command::ApiVersions(verb) => api_versions::run(verb.arguments, session).await,
            Command::Apply(verb) => apply::run(verb.arguments, session).await,
            Command::Attach(verb) => attach::run(verb.arguments, session).await,
            Command::Auth(command) => auth::run(command, session).await,
            Command::Autoscale(verb) => autoscale::run(verb.arguments, session).await,
            Command::Certificate(command) => certificate::run(command, session).await,
            Command::ClusterInfo(verb) => cluster_info::run(verb.arguments, session).await,
            Command::Completion(verb) => completion::run(&verb.arguments, session),
            Command::Config(command) => config::run(command, session),
            Command::Cordon(verb) => drain::cordon(verb.arguments, true, session).await,
            Command::Cp(verb) => cp::run(verb.arguments, session).await,
            Command::Create(verb) => create::run(verb.arguments, session).await,
            Command::Debug(verb) => debug::run(verb.arguments, session).await,
            Command::Delete(verb) => delete::run(verb.arguments, session).await,
            Command::Describe(verb) => describe::run(verb.arguments, session).await,
            Command::Diff(verb) => diff::run(verb.arguments, session).await,
            Command::Drain(verb) => drain::run(verb.arguments, session).await,
            Command::Edit(verb) => edit::run(verb.arguments, session).await,
            Command::Events(verb) => events::run(verb.arguments, session).await,
            Command::Exec(verb) => exec::run(verb.arguments, session).await,
            Command::Explain(verb) => explain::run(verb.arguments, session).await,
            Command::Expose(verb) => expose::run(verb.arguments, session).await,
            Command::Get(verb) => get::run(verb.arguments, session).await,
            Command::Kustomize(verb) => kustomize::run(verb.arguments, session),
            Command::Label(verb) => label::run(verb.arguments, label::Which::Labels, session).await,
            Command::Logs(verb) => logs::run(verb.arguments, session).await,
            Command::Options(_) => options::run(session),
            Command::Patch(verb) => patch::run(verb.arguments, session).await,
            Command::Plugin(command) => plugin::run(command, session),
            Command::PortForward(verb) => port_forward::run(verb.arguments, session).await,
            Command::Replace(verb) => replace::run(verb.arguments, session).await,
            Command::Rollout(command) => rollout::run(command, session).await,
            Command::Run(verb) => run::run(verb.arguments, session).await,
            Command::Scale(verb) => scale::run(verb.arguments, session).await,
            Command::Set(command) => set::run(command, session).await,
            Command::Taint(verb) => taint::run(verb.arguments, session).await,
            Command::Token(command) => token::run(command, session).await,
            Command::Top(verb) => top::run(verb.arguments, session).await,
            Command::Uncordon(verb) => drain::cordon(verb.arguments, false, session).await,
            Command::Version(verb) => version::run(verb.arguments, session).await,
            Command::Wait(verb) => wait::run(verb.arguments, session).await,
            Command::Why(verb) => why::run(verb.arguments, session).await,
            // tidy: end
        }
    }
}
