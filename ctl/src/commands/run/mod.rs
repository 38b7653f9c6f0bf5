//! `gantry run`: a pod of one container, and a Service for it. What is made is pure; `attached` is with it.

pub(crate) mod attached;
mod overrides;

use clap::Args;
use serde_json::{Value, json};

use crate::commands::attach::How;
use crate::create::{labels, make};
use crate::dry_run::DryRun;
use crate::last_applied;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::session::duration;
use crate::streams::dialogue::keys;
use crate::{Error, Session};
use attached::Attached;
use overrides::OverrideType;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The pod's name.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// What the container runs, or its arguments: behind `--` if they begin with a dash.
    #[arg(value_name = "ARGUMENT")]
    arguments: Vec<String>,
    /// The container's image.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// When the image is pulled: Always, IfNotPresent or Never.
    #[arg(long, value_name = "POLICY", default_value = "")]
    image_pull_policy: String,
    /// What follows is the command, and not its arguments.
    #[arg(long)]
    command: bool,
    /// A variable of its environment, as KEY=VALUE; can be given more than once.
    #[arg(long, value_name = "PAIR")]
    env: Vec<String>,
    /// The port on which it listens.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Make a Service for the port, too.
    #[arg(long)]
    expose: bool,
    /// Labels of the pod.
    #[arg(short, long, value_name = "LABELS", default_value = "")]
    labels: String,
    /// An annotation of the pod, as KEY=VALUE; can be given more than once.
    #[arg(long, value_name = "PAIR")]
    annotations: Vec<String>,
    /// When it is started again: Always, OnFailure or Never.
    #[arg(long, value_name = "POLICY", default_value = "Always")]
    restart: String,
    /// With all rights.
    #[arg(long)]
    privileged: bool,
    /// Be with it until it ends [default: if --stdin is given]. With --restart=Never its exit code is that of this program.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    attach: Option<bool>,
    /// Give it what comes in here.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// With a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// Delete it afterwards. Only if somebody is with it.
    #[arg(long)]
    rm: bool,
    /// Let its input stay open once nobody is with it any more.
    #[arg(long)]
    leave_stdin_open: bool,
    /// Say nothing besides.
    #[arg(short, long)]
    quiet: bool,
    /// The keys by which to leave.
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: String,
    /// How long to wait for it to run.
    #[arg(long, value_name = "DURATION", default_value = "1m0s")]
    pod_running_timeout: String,
    /// What the pod is to have that no option says: JSON, which --override-type explains.
    #[arg(long, value_name = "JSON", default_value = "", hide_default_value = true)]
    overrides: String,
    /// What --overrides is: an object that is merged (merge), the same with lists told apart by their keys (strategic), or a
    /// list of operations (json).
    #[arg(long, value_name = "TYPE", default_value = "merge")]
    override_type: OverrideType,
    /// Have objects remember what they are created with, for `gantry apply`.
    #[arg(long)]
    save_config: bool,
    /// Do not do it: show only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = "kubectl-run")]
    field_manager: String,
    #[command(flatten)]
    output: Printing,
}

/// Runs an image in a pod.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let (name, image) = arguments.check().map_err(Error::said)?;
    let mut outcome = Outcome::new(&arguments.output, arguments.dry_run)?;
    let labels = match arguments.labels.as_str() {
        "" => json!({"run": name}),
        text => labels(text).map_err(Error::said)?,
    };
    let mut pod = arguments.pod(name, image, &labels).map_err(Error::said)?;
    if !arguments.overrides.is_empty() {
        pod = overrides::apply(arguments.override_type, &pod, &arguments.overrides).map_err(Error::said)?;
    }
    let service = arguments
        .port
        .filter(|_| arguments.expose)
        .map(|port| service(name, port, &labels, !arguments.labels.is_empty()));
    let attached = arguments.attached()?;
    let how = (arguments.dry_run, arguments.field_manager.as_str());
    let mut made = Vec::new();
    for mut object in std::iter::once(pod).chain(service) {
        if session.namespace_is_demanded() && object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = session.namespace().await?.into();
        }
        if arguments.save_config {
            last_applied::annotate(&mut object);
        }
        made.push(make(session, object, how).await?);
        if let [_, (resource, service)] = &made[..] {
            outcome.show(session, resource, service, "created")?;
            // As kubectl has it: one more than documents need.
            if arguments.output.as_str() == "yaml" {
                session.say("---")?;
            }
        }
    }
    let Some((resource, pod)) = made.first() else { return Ok(()) };
    let Some(attached) = attached else { return outcome.show(session, resource, pod, "created") };
    session.flush()?;
    let result = attached.hold(session, resource, pod).await;
    if arguments.rm {
        for made in &made {
            // What went wrong before matters more.
            if let Err(error) = attached::remove(session, made, arguments.quiet).await {
                return Err(result.err().unwrap_or(error));
            }
        }
    }
    let Some((code, why)) = result? else { return Ok(()) };
    session.flush()?;
    session.remark(&why)?;
    Err(Error::Exit(code))
}

/// A Service for a port of the pod.
fn service(name: &str, port: u16, labels: &Value, is_labelled: bool) -> Value {
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": labels},
        "status": {"loadBalancer": {}},
    });
    if is_labelled {
        service["metadata"]["labels"] = labels.clone();
    }
    service
}

impl Arguments {
    /// The name and the image, if all goes together.
    fn check(&self) -> Result<(&str, &str), String> {
        let image = self.image.as_deref().ok_or("required flag(s) \"image\" not set")?;
        let usage = |why: &str| format!("{why}\nSee 'gantry run -h' for help and examples");
        let name = self.name.as_deref().ok_or_else(|| usage("NAME is required for run"))?;
        if image.is_empty() || image.contains(char::is_whitespace) {
            return Err(format!("Invalid image name {image:?}: invalid reference format"));
        }
        if self.tty && !self.stdin {
            return Err(usage("-i/--stdin is required for containers with -t/--tty=true"));
        }
        if self.expose && self.port.is_none() {
            return Err(usage("--port must be set when exposing a service"));
        }
        if !matches!(self.restart.as_str(), "Always" | "OnFailure" | "Never") {
            return Err(usage(&format!("invalid restart policy: {}", self.restart)));
        }
        if self.rm && !self.is_attached() {
            return Err(usage("--rm should only be used for attached containers"));
        }
        if self.is_attached() && self.dry_run != DryRun::None {
            return Err(usage(
                "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
            ));
        }
        if !matches!(self.image_pull_policy.as_str(), "" | "Always" | "IfNotPresent" | "Never") {
            return Err(usage(&format!("invalid image pull policy: {}", self.image_pull_policy)));
        }
        Ok((name, image))
    }

    /// Whether somebody is to be with it.
    fn is_attached(&self) -> bool {
        self.attach.unwrap_or(self.stdin)
    }

    /// How to be with it, if somebody is to be.
    fn attached(&self) -> Result<Option<Attached>, Error> {
        if !self.is_attached() {
            return Ok(None);
        }
        let timeout = duration("--pod-running-timeout", &self.pod_running_timeout)?;
        let timeout = timeout.ok_or_else(|| Error::said("--pod-running-timeout must be higher than zero"))?;
        let detach = keys(&self.detach_keys)?;
        let how = How { stdin: self.stdin, tty: self.tty, quiet: self.quiet, detach };
        Ok(Some(Attached { how, timeout, restart: self.restart.clone(), goes_on: self.leave_stdin_open }))
    }

    fn pod(&self, name: &str, image: &str, labels: &Value) -> Result<Value, String> {
        let mut container = json!({"name": name, "image": image, "resources": {}});
        if !self.arguments.is_empty() {
            container[if self.command { "command" } else { "args" }] = json!(self.arguments);
        }
        let mut variables = Vec::new();
        for pair in &self.env {
            match pair.split_once('=').filter(|(key, _)| !key.is_empty()) {
                Some((key, "")) => variables.push(json!({"name": key})),
                Some((key, value)) => variables.push(json!({"name": key, "value": value})),
                None => return Err(format!("invalid env: {pair}")),
            }
        }
        if !variables.is_empty() {
            container["env"] = json!(variables);
        }
        if let Some(port) = self.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        if !self.image_pull_policy.is_empty() {
            container["imagePullPolicy"] = json!(self.image_pull_policy);
        }
        if self.stdin {
            container["stdin"] = json!(true);
            if !self.leave_stdin_open {
                container["stdinOnce"] = json!(true);
            }
        }
        if self.tty {
            container["tty"] = json!(true);
        }
        if self.privileged {
            container["securityContext"] = json!({"privileged": true});
        }
        let mut metadata = json!({"name": name, "labels": labels});
        for pair in &self.annotations {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("unexpected annotation spec: {pair}"))?;
            metadata["annotations"][key] = json!(value);
        }
        let spec = json!({"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": self.restart});
        Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {}}))
    }
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

    fn arguments(line: &str) -> Arguments {
        let words = ["run"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().arguments
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        let check = |line: &str, expected: &str| {
            let why = arguments(line).check().map_or_else(|why| why, |_| String::new());
            assert_eq!(why.lines().next().unwrap_or_default(), expected, "{line}");
        };
        check("a --image=b", "");
        check("a --image=b -it --rm", "");
        check("a --image=b --attach --rm", "");
        check("--image=b", "NAME is required for run");
        check("a", "required flag(s) \"image\" not set");
        check("a --image=b -t", "-i/--stdin is required for containers with -t/--tty=true");
        check("a --image=b --rm", "--rm should only be used for attached containers");
        check("a --image=b -i --attach=false --rm", "--rm should only be used for attached containers");
        check("a --image=b --restart=x", "invalid restart policy: x");
        check("a --image=b --image-pull-policy=x", "invalid image pull policy: x");
        check("a --image=b --expose", "--port must be set when exposing a service");
        let dry =
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)";
        check("a --image=b -i --dry-run=client", dry);
    }

    #[test]
    fn input_is_of_the_first_who_is_with_it() {
        let check = |line: &str, expected: Value| {
            let pod = arguments(line).pod("a", "b", &json!({"run": "a"})).unwrap();
            let mut container = pod["spec"]["containers"][0].clone();
            for given in ["name", "image", "resources"] {
                container.as_object_mut().unwrap().remove(given);
            }
            assert_eq!(container, expected, "{line}");
        };
        check("a --image=b", json!({}));
        check("a --image=b -it", json!({"stdin": true, "stdinOnce": true, "tty": true}));
        check("a --image=b -i --leave-stdin-open", json!({"stdin": true}));
        check(
            "a --image=b --command --port=80 -- sh -c x",
            json!({"command": ["sh", "-c", "x"], "ports": [{"containerPort": 80}]}),
        );
    }
}
