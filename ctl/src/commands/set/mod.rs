//! `gantry set`: single things of objects that people often change.

mod env;
mod image;
mod resources;
mod selector;
mod service_account;
mod subject;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::changes::strategic;
use crate::command::Verb;
use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::target::{Found, STRATEGIC, Target, Wanted, find, finish};
use crate::{Connection, Error, Session};

/// What can be set.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    // tidy: sorted
    /// Set environment variables of containers.
    Env(Box<Verb<env::Arguments>>),
    /// Set images of containers.
    Image(Box<Verb<image::Arguments>>),
    /// Set what containers ask for, and may have.
    Resources(Box<Verb<resources::Arguments>>),
    /// Set which pods a Service has.
    Selector(Box<Verb<selector::Arguments>>),
    /// Set who pods are.
    #[command(name = "serviceaccount", alias = "sa")]
    ServiceAccount(Box<Verb<service_account::Arguments>>),
    /// Add subjects to a RoleBinding or ClusterRoleBinding.
    Subject(Box<subject::Subject>),
    // tidy: end
}

impl Command {
    /// Which server it is for.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            // tidy: sorted
            Command::Env(verb) => &verb.connection,
            Command::Image(verb) => &verb.connection,
            Command::Resources(verb) => &verb.connection,
            Command::Selector(verb) => &verb.connection,
            Command::ServiceAccount(verb) => &verb.connection,
            Command::Subject(verb) => &verb.0.connection,
            // tidy: end
        }
    }
}

/// Does it.
pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    match command {
        // tidy: sorted
        Command::Env(verb) => env::run(verb.arguments, session).await,
        Command::Image(verb) => image::run(verb.arguments, session).await,
        Command::Resources(verb) => resources::run(verb.arguments, session).await,
        Command::Selector(verb) => selector::run(verb.arguments, session).await,
        Command::ServiceAccount(verb) => service_account::run(verb.arguments, session).await,
        Command::Subject(verb) => subject::run(verb.0.arguments, session).await,
        // tidy: end
    }
}

/// What all of them take.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// What, and then what it is to have: TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "WHAT")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// All of the type in the namespace.
    #[arg(long)]
    all: bool,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Change what a file says, and do not ask the server.
    #[arg(long)]
    local: bool,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = "kubectl-set")]
    field_manager: String,
    #[command(flatten)]
    output: Printing,
}

impl Which {
    async fn find(&self, what: &[String], session: &mut Session<'_>) -> Result<Found, Error> {
        let wanted = Wanted {
            what,
            files: &self.files,
            selector: &self.selector,
            field_selector: "",
            all: self.all,
            all_namespaces: false,
            local: self.local,
        };
        find(session, wanted).await
    }

    /// Changes objects, one after the other, and says of those that were changed what has become of them.
    async fn change(
        &self,
        what: &[String],
        words: &str,
        session: &mut Session<'_>,
        mut edit: impl FnMut(&Target, &mut Value) -> Result<(), String>,
    ) -> Result<(), Error> {
        let mut outcome = Outcome::new(&self.output, self.dry_run)?;
        let Found { targets, mut errors } = self.find(what, session).await?;
        for target in &targets {
            let mut object = target.object.clone();
            if let Err(why) = edit(target, &mut object) {
                errors.push(Error::said(why));
                continue;
            }
            let is_sent = !self.local && self.dry_run != DryRun::Client;
            match strategic(&target.object, &object) {
                // Files are shown as they are then, changed or not.
                None if !self.local && words != service_account::WORDS => continue,
                Some(patch) if is_sent => {
                    match target.patch(session, (STRATEGIC, &patch), self.dry_run, &self.field_manager).await {
                        Ok(changed) => object = changed,
                        Err(error @ Error::Server(_)) => {
                            errors.push(error);
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
                _ => {}
            }
            outcome.show(session, &target.resource, &object, words)?;
        }
        finish(session, errors)
    }
}

/// Arguments before the first that changes something, and the others.
fn split(arguments: &[String], is_change: impl Fn(&str) -> bool) -> (&[String], &[String]) {
    let first = arguments.iter().position(|argument| is_change(argument)).unwrap_or(arguments.len());
    arguments.split_at(first)
}

/// The specification of the pods that an object is, or makes.
fn pod_spec<'a>(target: &Target, object: &'a mut Value) -> Result<&'a mut Value, String> {
    let pointer = match target.resource.kind.as_str() {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => {
            "/spec/template/spec"
        }
        "PodTemplate" => "/template/spec",
        _ => "/none",
    };
    object.pointer_mut(pointer).ok_or_else(|| {
        let (resource, kind) = (&target.resource, &target.resource.kind);
        format!(
            "{}/{} the object is not a pod or does not have a pod template: *{}.{kind}",
            kind.to_lowercase(),
            target.name,
            resource.version
        )
    })
}

/// The containers of a pod that a name means, in which `*` stands for anything: those of a pod's work first.
fn containers<'a>(spec: &'a mut Value, name: &str) -> Vec<&'a mut Value> {
    let Some(fields) = spec.as_object_mut() else { return Vec::new() };
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for (field, value) in fields.iter_mut() {
        match field.as_str() {
            "containers" => first.extend(value.as_array_mut().into_iter().flatten()),
            "initContainers" => then.extend(value.as_array_mut().into_iter().flatten()),
            _ => {}
        }
    }
    first.extend(then);
    first.retain(|container| matches(name, container["name"].as_str().unwrap_or_default()));
    first
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).any(|index| name.get(index..).is_some_and(|name| matches(rest, name)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_containers_may_have_stars() {
        let check = |pattern: &str, expected: &[&str]| {
            let mut spec =
                json!({"initContainers": [{"name": "b-init"}], "containers": [{"name": "b"}, {"name": "c"}]});
            let found = containers(&mut spec, pattern);
            let found: Vec<&str> = found.iter().filter_map(|container| container["name"].as_str()).collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check("*", &["b", "c", "b-init"]);
        check("b*", &["b", "b-init"]);
        check("*-i*t", &["b-init"]);
        check("c", &["c"]);
        check("d", &[]);
    }
}
