//! `gantry run`.

use clap::Args;
use serde_json::{Value, json};

use crate::create::{create, labels};
use crate::dry_run::DryRun;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::{Error, Session};

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
    /// Be connected with it.
    #[arg(long)]
    attach: bool,
    /// Give it what is typed.
    #[arg(short = 'i', long)]
    stdin: bool,
    /// With a terminal.
    #[arg(short = 't', long)]
    tty: bool,
    /// Delete it when it has ended.
    #[arg(long)]
    rm: bool,
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
    let pod = arguments.pod(name, image, &labels).map_err(Error::said)?;
    let how = (arguments.dry_run, arguments.field_manager.as_str());
    if let Some(port) = arguments.port.filter(|_| arguments.expose) {
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": labels},
            "spec": {"ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": labels},
            "status": {"loadBalancer": {}},
        });
        create(session, service, how, &mut outcome, "created").await?;
        if arguments.output.as_str() == "yaml" {
            session.say("---")?;
        }
    }
    create(session, pod, how, &mut outcome, "created").await
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
        let is_attached = self.attach || self.stdin || self.tty;
        if self.rm && !is_attached {
            return Err(usage("--rm should only be used for attached containers"));
        }
        if is_attached && self.dry_run != DryRun::None {
            return Err(usage(
                "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
            ));
        }
        if is_attached {
            return Err("--attach, --stdin, --tty and --rm need a stream to the container, which this verb cannot open: run it \
                        without them"
                .to_owned());
        }
        if self.expose && self.port.is_none() {
            return Err(usage("--port must be set when exposing a service"));
        }
        if !matches!(self.restart.as_str(), "Always" | "OnFailure" | "Never") {
            return Err(usage(&format!("invalid restart policy: {}", self.restart)));
        }
        Ok((name, image))
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
