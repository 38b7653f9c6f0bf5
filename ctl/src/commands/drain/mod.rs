//! `gantry cordon`, `uncordon` and `drain`: nodes that are to get no more pods, and to be without those they have.

mod filter;
mod remove;

use clap::Args;
use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::session::{Ask, duration};
use crate::target::{Found, STRATEGIC, Target, Wanted, find, finish};
use crate::{Error, Session};
use filter::{Choice, Verdict, judge};
use remove::{Removal, remove};

/// Which nodes, of all verbs.
#[derive(Clone, Debug, Args)]
pub struct Nodes {
    /// The nodes.
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// All nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
}

/// The arguments of `drain`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    nodes: Nodes,
    /// Go on if there are pods of DaemonSets, and leave them.
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Go on if there are pods with emptyDir volumes, whose data is lost.
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Go on if there are pods that nobody replaces.
    #[arg(long)]
    force: bool,
    /// How long pods have to end, in seconds; -1 is as long as they say themselves.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// For how long to try, such as 30s; 0 is as long as it takes.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    timeout: String,
    /// Only pods with these labels.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    pod_selector: String,
    /// Delete pods, instead of asking for their eviction: then no PodDisruptionBudget is heeded.
    #[arg(long)]
    disable_eviction: bool,
    /// Do not wait for pods that have been going for longer than so many seconds; 0 waits for all.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    skip_wait_for_delete_timeout: u64,
    /// How many pods are asked for at a time; 0 asks for all at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    chunk_size: u32,
}

impl Nodes {
    async fn find(&self, verb: &str, session: &mut Session<'_>) -> Result<Found, Error> {
        match (self.nodes.is_empty(), self.selector.is_empty()) {
            (true, true) => {
                Err(Error::said(format!("USAGE: {verb} NODE [flags]\nSee 'gantry {verb} -h' for help and examples")))
            }
            (false, false) => Err(Error::said(format!(
                "cannot specify both a node name and a --selector option\nSee 'gantry {verb} -h' for help and examples"
            ))),
            _ => {
                let mut what = vec!["nodes".to_owned()];
                what.extend(self.nodes.iter().map(|name| name.trim_start_matches("node/").to_owned()));
                let wanted = Wanted {
                    what: &what,
                    files: &Files::default(),
                    selector: &self.selector,
                    field_selector: "",
                    all: false,
                    all_namespaces: false,
                    local: false,
                };
                find(session, wanted).await
            }
        }
    }
}

/// Has nodes get no more pods, or get some again.
pub(crate) async fn cordon(nodes: Nodes, is_closed: bool, session: &mut Session<'_>) -> Result<(), Error> {
    let Found { targets, mut errors } = nodes.find(if is_closed { "cordon" } else { "uncordon" }, session).await?;
    for target in &targets {
        match close(target, is_closed, nodes.dry_run, session).await {
            Ok(()) => {}
            Err(error @ Error::Server(_)) => errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, errors)
}

async fn close(target: &Target, is_closed: bool, dry_run: DryRun, session: &mut Session<'_>) -> Result<(), Error> {
    let words = if is_closed { "cordoned" } else { "uncordoned" };
    let is_already = (target.object["spec"]["unschedulable"] == true) == is_closed;
    if !is_already && dry_run != DryRun::Client {
        let patch = json!({"spec": {"unschedulable": if is_closed { json!(true) } else { Value::Null }}});
        target.patch(session, (STRATEGIC, &patch), dry_run, "").await?;
    }
    let already = if is_already { "already " } else { "" };
    session.say(&format!("{} {already}{words}{}", target.resource.object(&target.name), dry_run.remark()))
}

/// Has nodes get no more pods, and be without those they have: one node after the other, and one that cannot be is no reason
/// to leave the others.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let timeout = duration("--timeout", &arguments.timeout)?;
    if api::selector::label::Selector::parse(&arguments.pod_selector).is_err() {
        return Err(Error::said("--pod-selector=<pod_selector> must be a valid label selector"));
    }
    let Found { targets, errors } = arguments.nodes.find("drain", session).await?;
    finish(session, errors)?;
    let dry_run = arguments.nodes.dry_run;
    for target in &targets {
        close(target, true, dry_run, session).await?;
    }
    let (mut pending, mut reasons) = (Vec::new(), Vec::new());
    for target in &targets {
        session.flush()?;
        let all = match drain(&arguments, target, timeout, session).await {
            Ok(()) => {
                session.say(&format!("{} drained{}", target.resource.object(&target.name), dry_run.remark()))?;
                continue;
            }
            Err(Refused(all)) => all,
        };
        session.remark(&format!(
            "error: unable to drain node {:?} due to error: {}, continuing command...",
            target.name,
            shown(&all)
        ))?;
        pending.push(format!(" {}", target.name));
        reasons.extend(all);
    }
    if pending.is_empty() {
        return Ok(());
    }
    session.remark("There are pending nodes to be drained:")?;
    for line in pending.iter().chain(&reasons) {
        session.remark(line)?;
    }
    Err(Error::Exit(1))
}

/// Why a node cannot be without its pods.
struct Refused(Vec<String>);

/// Several reasons in one line.
fn shown(reasons: &[String]) -> String {
    match reasons {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Refused {
        Refused(vec![error.to_string()])
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused(vec![error.to_string().trim_start_matches("error: ").to_owned()])
    }
}

async fn drain(
    arguments: &Arguments,
    node: &Target,
    timeout: Option<std::time::Duration>,
    session: &mut Session<'_>,
) -> Result<(), Refused> {
    let choice = Choice {
        force: arguments.force,
        ignore_daemonsets: arguments.ignore_daemonsets,
        delete_emptydir_data: arguments.delete_emptydir_data,
        skips_going_for: arguments.skip_wait_for_delete_timeout,
        now: k8s_openapi::jiff::Timestamp::now().as_second(),
    };
    let mut verdicts = Vec::new();
    for pod in pods(arguments, &node.name, session).await? {
        let owner = controller(&pod).filter(|owner| owner["kind"] == "DaemonSet").cloned();
        let is_orphan = match owner {
            Some(owner) => !is_there(session, &pod, &owner).await?,
            None => false,
        };
        let verdict = judge(&pod, is_orphan, choice);
        verdicts.push((pod, verdict));
    }
    let of = |wanted: fn(&Verdict) -> Option<&str>| {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for (pod, verdict) in &verdicts {
            let Some(reason) = wanted(verdict) else { continue };
            let name = place(pod);
            match groups.iter_mut().find(|(known, _)| known == reason) {
                Some((_, names)) => names.push(name),
                None => groups.push((reason.to_owned(), vec![name])),
            }
        }
        let lines = groups.into_iter().map(|(reason, names)| format!("{reason}: {}", names.join(", ")));
        lines.collect::<Vec<String>>()
    };
    let refused = of(Verdict::refusal);
    if !refused.is_empty() {
        return Err(Refused(refused));
    }
    let warnings = of(Verdict::warning);
    if !warnings.is_empty() {
        session.remark(&format!("Warning: {}", warnings.join("; ")))?;
    }
    let doomed: Vec<Value> =
        verdicts.into_iter().filter(|(_, verdict)| verdict.is_removed()).map(|(pod, _)| pod).collect();
    let removal = Removal {
        evicts: !arguments.disable_eviction,
        grace: (arguments.grace_period >= 0).then_some(arguments.grace_period),
        dry_run: arguments.nodes.dry_run,
        timeout,
    };
    remove(session, &node.name, doomed, removal).await
}

/// The pods of a node, page after page.
async fn pods(arguments: &Arguments, node: &str, session: &mut Session<'_>) -> Result<Vec<Value>, Error> {
    let mut pods = Vec::new();
    let mut next = String::new();
    loop {
        let limit = (arguments.chunk_size > 0).then(|| arguments.chunk_size.to_string());
        let ask = Ask::get("/api/v1/pods")
            .query("fieldSelector", format!("spec.nodeName={node}"))
            .query("labelSelector", arguments.pod_selector.as_str())
            .query("limit", limit.unwrap_or_default())
            .query("continue", next);
        let page = session.json(ask).await?;
        pods.extend(page["items"].as_array().into_iter().flatten().cloned());
        next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok(pods);
        }
    }
}

async fn is_there(session: &mut Session<'_>, pod: &Value, owner: &Value) -> Result<bool, Error> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&pod["metadata"]["namespace"]);
    let (kind, version) = (text(&owner["kind"]), text(&owner["apiVersion"]));
    let resource = session.catalog().await?.of_kind(&version, &kind)?.clone();
    match session.json(Ask::get(&resource.object_path(&namespace, &text(&owner["name"])))).await {
        Ok(_) => Ok(true),
        Err(error) if error.reason() == Some("NotFound") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Who replaces a pod.
fn controller(pod: &Value) -> Option<&Value> {
    let mut owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.find(|owner| owner["controller"] == true)
}

/// `NAMESPACE/NAME`.
fn place(pod: &Value) -> String {
    let field = |name: &str| pod["metadata"][name].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", field("namespace"), field("name"))
}
