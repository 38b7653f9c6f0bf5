//! `gantry debug`: a container beside those of a pod, a copy of a pod, or a pod that has all that a node has.
//!
//! What is made is pure (`plan`, `profile`); here it is asked for, and somebody is with it.

mod plan;
mod profile;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use clap::{ArgAction, Args};
use http::Method;
use serde_json::{Value, json};

use crate::commands::attach::How;
use crate::commands::run::attached::{attach_or_logs, show_logs, wait};
use crate::follow::Follow;
use crate::manifest::{Files, parse};
use crate::pods::{self, metadata};
use crate::resources::Resource;
use crate::select::select;
use crate::session::Ask;
use crate::streams::dialogue::keys;
use crate::target::STRATEGIC;
use crate::{Error, Session, changes};
use plan::{Plan, Wanted};
use profile::Profile;

/// The letters of names that are made up: those of Kubernetes, which make no words.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: a pod, or TYPE/NAME of a pod or node.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The command, with its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// What follows the dashes are arguments, and not a command.
    #[arg(long)]
    arguments_only: bool,
    /// Be with it until it ends [default: if --stdin is given].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    attach: Option<bool>,
    /// The container's name.
    #[arg(short, long, value_name = "NAME", default_value = "", hide_default_value = true)]
    container: String,
    /// Make a copy of the pod with this name, and debug that.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    copy_to: String,
    /// A file with part of a container, which is merged into the one that debugs.
    #[arg(long, value_name = "FILE")]
    custom: Option<String>,
    /// A variable of its environment, as KEY=VALUE; can be given more than once.
    #[arg(long, value_name = "PAIR", value_delimiter = ',')]
    env: Vec<String>,
    /// The container's image.
    #[arg(long, value_name = "IMAGE", default_value = "", hide_default_value = true)]
    image: String,
    /// When the image is pulled: Always, IfNotPresent or Never.
    #[arg(long, value_name = "POLICY", default_value = "", hide_default_value = true)]
    image_pull_policy: String,
    /// With --copy-to: keep the annotations.
    #[arg(long)]
    keep_annotations: bool,
    /// With --copy-to: keep the containers that run before the others.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    keep_init_containers: bool,
    /// With --copy-to: keep the labels.
    #[arg(long)]
    keep_labels: bool,
    /// With --copy-to: keep the probes of whether containers live.
    #[arg(long)]
    keep_liveness: bool,
    /// With --copy-to: keep the probes of whether containers are ready.
    #[arg(long)]
    keep_readiness: bool,
    /// With --copy-to: keep the probes of whether containers have started.
    #[arg(long)]
    keep_startup: bool,
    /// What the container may do: general, baseline, restricted, netadmin or sysadmin.
    #[arg(long, value_name = "PROFILE", default_value = "general")]
    profile: String,
    /// Say nothing besides.
    #[arg(short, long)]
    quiet: bool,
    /// With --copy-to: delete the pod once the copy is there.
    #[arg(long)]
    replace: bool,
    /// With --copy-to: have the copy on the same node.
    #[arg(long)]
    same_node: bool,
    /// With --copy-to: other images of containers, as CONTAINER=IMAGE; * is all of them.
    #[arg(long, value_name = "PAIRS", value_delimiter = ',')]
    set_image: Vec<String>,
    /// With --copy-to: have containers see each other's processes [default: true].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    share_processes: Option<bool>,
    /// Give it what comes in here.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// The container whose processes are to be seen.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    target: String,
    /// With a terminal.
    #[arg(short = 't', long)]
    tty: bool,
}

/// Debugs one thing after the other.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let wanted = arguments.wanted().map_err(Error::said)?;
    if !arguments.target.is_empty() && !arguments.quiet {
        let target = &arguments.target;
        session.say(&format!(
            "Targeting container {target:?}. If you don't see processes from this container it may be because the container \
             runtime doesn't support this feature."
        ))?;
    }
    for (resource, namespace, name) in arguments.objects(session).await? {
        let object = session.json(Ask::get(&resource.object_path(&namespace, &name))).await?;
        let (pod, container) = match (resource.group.as_str(), resource.kind.as_str()) {
            ("", "Pod") if !arguments.copy_to.is_empty() => arguments.copy(session, &wanted, &object).await?,
            ("", "Pod") => arguments.add(session, &wanted, &object).await?,
            ("", "Node") => arguments.visit(session, &wanted, &name).await?,
            _ => {
                let (group, version, kind) = (&resource.group, &resource.version, &resource.kind);
                let why = format!("\"{group}/{version}, Kind={kind}\" not supported by debug");
                return Err(Error::said(why));
            }
        };
        if arguments.is_attached() && !container.is_empty() {
            session.flush()?;
            arguments.hold(session, &pod, &container).await?;
        }
    }
    Ok(())
}

impl Arguments {
    fn is_attached(&self) -> bool {
        self.attach.unwrap_or(self.stdin)
    }

    /// What is wanted, if all goes together.
    fn wanted(&self) -> Result<Wanted, String> {
        let env = self.env.iter().map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok(json!({"name": key, "value": value})),
            None => Err(format!("invalid argument {pair:?} for \"--env\" flag: {pair} must be formatted as key=value")),
        });
        let env = env.collect::<Result<Vec<Value>, String>>()?;
        let profile = <Profile as clap::ValueEnum>::from_str(&self.profile, false)
            .map_err(|_| format!("unknown profile: {}", self.profile))?;
        self.check()?;
        let pair = |pair: &String| {
            let (name, image) = pair.split_once('=').ok_or_else(|| format!("{pair} must be formatted as key=value"))?;
            if !is_image(image) {
                return Err(format!("invalid image name {image:?} for container {name:?}: invalid reference format"));
            }
            Ok((name.to_owned(), image.to_owned()))
        };
        let copy = plan::Copy {
            name: self.copy_to.clone(),
            images: self.set_image.iter().map(pair).collect::<Result<BTreeMap<_, _>, String>>()?,
            same_node: self.same_node,
            share_processes: self.share_processes,
            keep_annotations: self.keep_annotations,
            keep_labels: self.keep_labels,
            keep_init_containers: self.keep_init_containers,
            keep_liveness: self.keep_liveness,
            keep_readiness: self.keep_readiness,
            keep_startup: self.keep_startup,
        };
        Ok(Wanted {
            container: self.container.clone(),
            image: self.image.clone(),
            pull_policy: self.image_pull_policy.clone(),
            env,
            words: self.command.clone(),
            are_arguments: self.arguments_only,
            stdin: self.stdin,
            tty: self.tty,
            target: self.target.clone(),
            profile: Some(profile),
            custom: self.custom.as_deref().map(custom).transpose()?,
            copy,
        })
    }

    fn check(&self) -> Result<(), String> {
        let copies = !self.copy_to.is_empty();
        let has_nothing = self.image.is_empty() && self.set_image.is_empty() && self.command.is_empty();
        let why = match () {
            () if copies && has_nothing => "you must specify --image, --set-image or command arguments.",
            () if copies && !self.target.is_empty() => {
                "--target is incompatible with --copy-to. Use --share-processes instead."
            }
            () if !copies && self.replace => "--replace may only be used with --copy-to.",
            () if !copies && self.same_node => "--same-node may only be used with --copy-to.",
            () if !copies && !self.set_image.is_empty() => "--set-image may only be used with --copy-to.",
            () if !copies && self.image.is_empty() => "you must specify --image when not using --copy-to.",
            () if !self.image.is_empty() && !is_image(&self.image) => {
                return Err(format!("invalid image name {:?}: invalid reference format", self.image));
            }
            () if self.what.is_empty() && self.files.is_empty() => "NAME or filename is required for debug",
            () if !matches!(self.image_pull_policy.as_str(), "" | "Always" | "IfNotPresent" | "Never") => {
                return Err(format!("invalid image pull policy: {}", self.image_pull_policy));
            }
            () if self.tty && !self.stdin => "-i/--stdin is required for containers with -t/--tty=true",
            () => return Ok(()),
        };
        Err(why.to_owned())
    }

    /// What is to be debugged: pods, unless it is said.
    async fn objects(&self, session: &mut Session<'_>) -> Result<Vec<(Resource, String, String)>, Error> {
        if !self.files.is_empty() {
            let placed = self.files.place(session).await?;
            let object = |placed: crate::manifest::Placed| {
                let name = placed.name().to_owned();
                (placed.resource, placed.namespace, name)
            };
            return Ok(placed.into_iter().map(object).collect());
        }
        let namespace = session.namespace().await?;
        let typed = |name: &String| if name.contains('/') { name.clone() } else { format!("pods/{name}") };
        let names: Vec<String> = self.what.iter().map(typed).collect();
        let selected = select(session, &names).await?;
        let each = selected.into_iter().flat_map(|selected| {
            let of = |name| (selected.resource.clone(), namespace.clone(), name);
            selected.names.into_iter().map(of).collect::<Vec<_>>()
        });
        Ok(each.collect())
    }

    fn name(&self, session: &mut Session<'_>, wanted: &Wanted, pod: &Value) -> Result<String, Error> {
        let (name, is_new) = wanted.name(pod, &mut suffix);
        if is_new && !self.quiet {
            session.say(&format!("Defaulting debug container name to {name}."))?;
        }
        Ok(name)
    }

    /// Adds a container to a pod.
    async fn add(&self, session: &mut Session<'_>, wanted: &Wanted, pod: &Value) -> Result<(Value, String), Error> {
        let name = self.name(session, wanted, pod)?;
        let plan = wanted.ephemeral(pod, &name).map_err(Error::said)?;
        warn(session, &plan)?;
        let path = format!("{}/ephemeralcontainers", pods::path(metadata(pod, "namespace"), metadata(pod, "name")));
        let patch = changes::strategic(pod, &plan.pod).unwrap_or_else(|| json!({}));
        let ask = Ask { content_type: Some(STRATEGIC), ..Ask::with(Method::PATCH, &path, &patch) };
        Ok((session.json(ask).await?, plan.container))
    }

    /// Makes a copy of a pod.
    async fn copy(&self, session: &mut Session<'_>, wanted: &Wanted, pod: &Value) -> Result<(Value, String), Error> {
        let names_none = self.container.is_empty() && self.image.is_empty();
        let name = if names_none { String::new() } else { self.name(session, wanted, pod)? };
        let plan = wanted.copied(pod, &name).map_err(Error::said)?;
        warn(session, &plan)?;
        let namespace = metadata(pod, "namespace");
        let created = self.create(session, namespace, &plan.pod).await?;
        if self.replace {
            let path = pods::path(namespace, metadata(pod, "name"));
            let now = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
            session.json(Ask::with(Method::DELETE, &path, &now)).await?;
        }
        Ok((created, plan.container))
    }

    /// Makes a pod on a node.
    async fn visit(&self, session: &mut Session<'_>, wanted: &Wanted, node: &str) -> Result<(Value, String), Error> {
        let plan = wanted.on_node(node, &suffix()).map_err(Error::said)?;
        if !self.quiet {
            let (pod, container) = (metadata(&plan.pod, "name"), &plan.container);
            session.say(&format!("Creating debugging pod {pod} with container {container} on node {node}."))?;
        }
        let namespace = session.namespace().await?;
        Ok((self.create(session, &namespace, &plan.pod).await?, plan.container))
    }

    async fn create(&self, session: &mut Session<'_>, namespace: &str, pod: &Value) -> Result<Value, Error> {
        let path = format!("/api/v1/namespaces/{}/pods", crate::resources::escape(namespace));
        session.json(Ask::with(Method::POST, &path, pod)).await
    }

    /// Is with the container, once it runs.
    async fn hold(&self, session: &mut Session<'_>, pod: &Value, container: &str) -> Result<(), Error> {
        let resource = session.catalog().await?.of_kind("v1", "Pod")?.clone();
        let (namespace, name) = (metadata(pod, "namespace").to_owned(), metadata(pod, "name").to_owned());
        let mut follow = Follow::new(resource, namespace, name);
        let state = |pod: &Value, which: &str| !status(pod, container)["state"][which].is_null();
        let pod = wait(session, &mut follow, |pod| state(pod, "running") || state(pod, "terminated")).await?;
        if state(&pod, "terminated") {
            return show_logs(session, &pod, container).await;
        }
        let detach = keys("ctrl-p,ctrl-q")?;
        let how = How { stdin: self.stdin, tty: self.tty, quiet: self.quiet, detach };
        attach_or_logs(session, &pod, container, how).await
    }
}

/// The status of a container, or nothing.
fn status<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let all = lists.iter().flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    all.into_iter().find(|status| status["name"] == container).unwrap_or(&Value::Null)
}

fn warn(session: &mut Session<'_>, plan: &Plan) -> Result<(), Error> {
    if !plan.may_lack_rights() {
        return Ok(());
    }
    session.remark(
        "Warning: Non-root user is configured for the entire target Pod, and some capabilities granted by debug profile may \
         not work. Please consider using \"--custom\" with a custom profile that specifies \"securityContext.runAsUser: 0\".",
    )
}

fn is_image(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

/// What a file says of the container.
fn custom(file: &str) -> Result<Value, String> {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("must pass a valid partial container: {error}"))?;
    let documents = parse(file, &text).map_err(|error| error.to_string())?;
    let container = documents.into_iter().next().map_or(Value::Null, |document| document.object);
    let fixed = ["name", "command", "image", "lifecycle", "volumeDevices"];
    if fixed.iter().any(|field| !container[field].is_null()) {
        return Err(
            "name, command, image, lifecycle and volume devices are not modifiable via custom profile".to_owned()
        );
    }
    Ok(container)
}

/// Five letters that nobody can know before.
fn suffix() -> String {
    let mut random = RandomState::new().hash_one(());
    let letters = u64::try_from(LETTERS.len()).unwrap_or(1);
    let letter = |_| {
        let at = usize::try_from(random % letters).unwrap_or_default();
        random /= letters;
        char::from(LETTERS[at])
    };
    (0..5).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        let check = |line: &str, expected: &str| {
            let words = ["debug"].into_iter().chain(line.split_whitespace());
            let arguments = Line::try_parse_from(words).unwrap().arguments;
            assert_eq!(arguments.wanted().err().unwrap_or_default(), expected, "{line}");
        };
        for fine in ["p --image=b", "node/a -it --image=b", "p --copy-to=q --set-image=*=b", "p --copy-to=q -- sh"] {
            check(fine, "");
        }
        check("p", "you must specify --image when not using --copy-to.");
        check("", "you must specify --image when not using --copy-to.");
        check("--image=b", "NAME or filename is required for debug");
        check("p --image=b --replace", "--replace may only be used with --copy-to.");
        check("p --image=b --same-node", "--same-node may only be used with --copy-to.");
        check("p --set-image=a=b", "--set-image may only be used with --copy-to.");
        let target = "--target is incompatible with --copy-to. Use --share-processes instead.";
        check("p --image=b --target=c --copy-to=d", target);
        check("p --image=b -t", "-i/--stdin is required for containers with -t/--tty=true");
        check("p --image=b --image-pull-policy=x", "invalid image pull policy: x");
        check("p --copy-to=z", "you must specify --image, --set-image or command arguments.");
        check("p --image=b --profile=nope", "unknown profile: nope");
        check("p --image=b --env=A", "invalid argument \"A\" for \"--env\" flag: A must be formatted as key=value");
    }

    #[test]
    fn suffixes_are_names() {
        let suffix = suffix();
        assert!(suffix.len() == 5 && suffix.bytes().all(|letter| LETTERS.contains(&letter)), "{suffix}");
    }
}
