//! `gantry create`: objects of files, and the objects that people make by a line.
//!
//! What a line makes is pure: `Made` says what is to be made, and only what makes it asks the server. It is written as kubectl
//! writes it, with the empty fields that Go's types have.

mod access;
mod config;
mod network;
mod policy;
mod workloads;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::editing::{Aim, Edited, Editing, Form};
use crate::last_applied;
use crate::manifest::Files;
use crate::output::Printing;
use crate::report::{Failures, Report, Validation, of_source};
use crate::session::Ask;
use crate::{Error, Session, commands};

/// Who is said to own the fields, unless it is said.
const MANAGER: &str = "kubectl-create";

/// The arguments.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    kind: Option<Kind>,
    #[command(flatten)]
    files: Files,
    /// Only objects of the files with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Edit what the files say before it is created.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    edit: bool,
    /// Post what the file has to this path of the server, and show what it answers.
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    #[command(flatten)]
    how: How,
}

/// How it is done, which is the same of all kinds.
#[derive(Clone, Debug, Args)]
struct How {
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// What becomes of fields that the server does not know: strict refuses them, warn says so, ignore drops them.
    #[arg(long, value_name = "HOW", default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validation,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = MANAGER)]
    field_manager: String,
    /// Have objects remember what they are created with, for `gantry apply`.
    #[arg(long)]
    save_config: bool,
    #[command(flatten)]
    output: Printing,
    /// With -o: show who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
}

/// What of a kind is to be made, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct Making<A: Args> {
    #[command(flatten)]
    of: A,
    #[command(flatten)]
    how: How,
}

/// What can be made by a line.
#[derive(Clone, Debug, Subcommand)]
enum Kind {
    // tidy: sorted
    /// Make a cluster role, with a rule.
    #[command(name = "clusterrole")]
    ClusterRole(Box<Making<access::ClusterRole>>),
    /// Make a binding of a cluster role in the whole cluster.
    #[command(name = "clusterrolebinding")]
    ClusterRoleBinding(Box<Making<access::ClusterRoleBinding>>),
    /// Make a config map out of files and texts.
    #[command(name = "configmap", visible_alias = "cm")]
    ConfigMap(Box<Making<config::ConfigMap>>),
    /// Make a cron job.
    #[command(name = "cronjob", visible_alias = "cj")]
    CronJob(Box<Making<workloads::CronJob>>),
    /// Make a deployment.
    #[command(visible_alias = "deploy")]
    Deployment(Box<Making<workloads::Deployment>>),
    /// Make an ingress.
    #[command(visible_alias = "ing")]
    Ingress(Box<Making<network::Ingress>>),
    /// Make a job, or have a cron job make one now.
    Job(Box<Making<workloads::Job>>),
    /// Make a namespace.
    #[command(visible_alias = "ns")]
    Namespace(Box<Making<policy::Namespace>>),
    /// Make a pod disruption budget.
    #[command(name = "poddisruptionbudget", visible_alias = "pdb")]
    PodDisruptionBudget(Box<Making<policy::Budget>>),
    /// Make a priority class.
    #[command(name = "priorityclass", visible_alias = "pc")]
    PriorityClass(Box<Making<policy::PriorityClass>>),
    /// Make a quota.
    #[command(visible_alias = "resourcequota")]
    Quota(Box<Making<policy::Quota>>),
    /// Make a role, with a rule.
    Role(Box<Making<access::Role>>),
    /// Make a binding of a role in a namespace.
    #[command(name = "rolebinding")]
    RoleBinding(Box<Making<access::RoleBinding>>),
    /// Make a secret.
    #[command(subcommand)]
    Secret(config::Secret),
    /// Make a service.
    #[command(subcommand, visible_alias = "svc")]
    Service(network::Service),
    /// Make a service account.
    #[command(name = "serviceaccount", visible_alias = "sa")]
    ServiceAccount(Box<Making<access::ServiceAccount>>),
    /// Request a token of a service account, and show it.
    Token(Box<access::Token>),
    // tidy: end
}

/// Creates what files or a line say.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let Some(kind) = arguments.kind else { return of_files(&arguments, session).await };
    match kind {
        Kind::ClusterRole(making) => {
            let object = making.of.make(session).await?;
            made(session, object, &making.how).await
        }
        Kind::ClusterRoleBinding(making) => made(session, making.of.make()?, &making.how).await,
        Kind::ConfigMap(making) => made(session, making.of.make()?, &making.how).await,
        Kind::CronJob(making) => made(session, making.of.make(), &making.how).await,
        Kind::Deployment(making) => made(session, making.of.make(&mut workloads::random)?, &making.how).await,
        Kind::Ingress(making) => made(session, making.of.make()?, &making.how).await,
        Kind::Job(making) => {
            let object = making.of.make(session).await?;
            made(session, object, &making.how).await
        }
        Kind::Namespace(making) => made(session, making.of.make(), &making.how).await,
        Kind::PodDisruptionBudget(making) => made(session, making.of.make()?, &making.how).await,
        Kind::PriorityClass(making) => made(session, making.of.make()?, &making.how).await,
        Kind::Quota(making) => made(session, making.of.make()?, &making.how).await,
        Kind::Role(making) => {
            let object = making.of.make(session).await?;
            made(session, object, &making.how).await
        }
        Kind::RoleBinding(making) => made(session, making.of.make()?, &making.how).await,
        Kind::Secret(secret) => {
            let (object, how) = secret.make()?;
            made(session, object, how).await
        }
        Kind::Service(service) => {
            let (object, how) = service.make()?;
            made(session, object, how).await
        }
        Kind::ServiceAccount(making) => made(session, making.of.make(), &making.how).await,
        Kind::Token(token) => token.run(session).await,
    }
}

/// Creates the objects of files, one after the other. One that fails is no reason to leave the others.
async fn of_files(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if let Some(path) = &arguments.raw {
        if arguments.edit {
            let help = "See 'gantry create -h' for help and examples";
            return Err(Error::said(format!("--raw and --edit are mutually exclusive\n{help}")));
        }
        let output = (arguments.how.output.as_str(), !arguments.selector.is_empty());
        return commands::raw::run(session, (Method::POST, path), Some(&arguments.files), output).await;
    }
    if arguments.files.is_empty() {
        return Err(Error::said("must specify one of -f and -k"));
    }
    if arguments.edit {
        return edited(arguments, session).await;
    }
    let how = &arguments.how;
    let mut report = Report::new(&how.output, how.dry_run)?.with_managed_fields(how.show_managed_fields);
    let mut failures = Failures::default();
    let placed = arguments.files.place_selected(session, &arguments.selector).await;
    let placed = placed.map_err(|error| error.passed_to("create"))?;
    if placed.is_empty() {
        return Err(Error::said("no objects passed to create"));
    }
    for mut placed in placed {
        if how.save_config || last_applied::of(&placed.object).is_some() {
            last_applied::annotate(&mut placed.object);
        }
        let path = placed.resource.path(Some(&placed.namespace));
        let created = how.create(session, &path, &placed.object).await;
        let created = match created.map_err(|error| of_source(error, "creating", &placed.source)) {
            Ok(created) => report.done(session, &placed.resource, &created, "created"),
            Err(error) => placed.show(session, &error).and(Err(error)),
        };
        failures.note(created)?;
    }
    failures.finish(session)
}

/// Has the objects of files edited, one after the other, and creates what has become of them.
async fn edited(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let how = &arguments.how;
    let editing = Editing {
        aim: Aim::Create,
        form: Form::of(how.output.as_str())?,
        save_config: how.save_config,
        validate: &how.validate,
        field_manager: &how.field_manager,
    };
    let mut report = Report::new(&how.output, DryRun::None)?.with_managed_fields(how.show_managed_fields);
    for placed in arguments.files.place_selected(session, &arguments.selector).await? {
        let path = placed.resource.path(Some(&placed.namespace));
        let edited = Edited { resource: placed.resource, path, object: placed.object };
        editing.edit(session, &edited, &mut report).await?;
    }
    Ok(())
}

impl How {
    async fn create(&self, session: &mut Session<'_>, path: &str, object: &Value) -> Result<Value, Error> {
        if self.dry_run == DryRun::Client {
            return Ok(object.clone());
        }
        let ask = Ask::with(Method::POST, path, object).query("fieldManager", self.field_manager.as_str());
        let ask = ask.query("fieldValidation", self.validate.parameter());
        session.json(ask.query("dryRun", self.dry_run.parameter())).await
    }
}

/// What a line is to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    object: Value,
    /// What is said before the reason if it cannot be made; nothing if the reason says enough.
    failure: &'static str,
}

impl Made {
    fn new(object: Value, failure: &'static str) -> Made {
        Made { object, failure }
    }
}

/// Creates what a line says.
async fn made(session: &mut Session<'_>, made: Made, how: &How) -> Result<(), Error> {
    let Made { mut object, failure } = made;
    let mut report = Report::new(&how.output, how.dry_run)?.with_managed_fields(how.show_managed_fields);
    let (api_version, kind) = (object["apiVersion"].clone(), object["kind"].clone());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = session.catalog().await?.of_kind(&text(&api_version), &text(&kind))?.clone();
    let namespace = session.namespace().await?;
    if resource.namespaced && session.namespace_is_demanded() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if how.save_config {
        last_applied::annotate(&mut object);
    }
    let created = how.create(session, &resource.path(Some(&namespace)), &object).await;
    let created = created.map_err(|error| match &error {
        Error::Server(status) if !failure.is_empty() => {
            Error::said(format!("{failure} {}", status["message"].as_str().unwrap_or_default()))
        }
        _ => error,
    })?;
    report.done(session, &resource, &created, "created")
}

/// Labels, as `key=value,key=value` and other selectors that name one value each have them.
fn match_labels(text: &str) -> Result<Value, Error> {
    use api::selector::label::{Operator, Selector};
    let selector = Selector::parse(text).map_err(|error| Error::said(error.to_string()))?;
    let (mut labels, mut expressions) = (serde_json::Map::new(), Vec::new());
    for requirement in selector.requirements() {
        let (key, values) = (requirement.key(), requirement.values());
        let operator = match requirement.operator() {
            Operator::Equals | Operator::DoubleEquals => {
                labels.insert(key.to_owned(), json!(values.first()));
                continue;
            }
            Operator::In => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            _ => return Err(Error::said(format!("{text:?}: numbers cannot be compared in the selector of an object"))),
        };
        let mut expression = json!({"key": key, "operator": operator});
        if !values.is_empty() {
            expression["values"] = json!(values);
        }
        expressions.push(expression);
    }
    let mut selector = json!({});
    if !labels.is_empty() {
        selector["matchLabels"] = Value::Object(labels);
    }
    if !expressions.is_empty() {
        selector["matchExpressions"] = json!(expressions);
    }
    Ok(selector)
}

#[cfg(test)]
mod tests;
