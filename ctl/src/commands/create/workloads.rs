//! Deployments, jobs and cron jobs.

use std::hash::{BuildHasher, RandomState};

use api::names::{RandomBits, random_suffix};
use clap::Args;
use serde_json::{Value, json};

use super::Made;
use crate::session::Ask;
use crate::{Error, Session};

/// How many random characters tell names of containers apart.
const SUFFIX: usize = 5;

/// Random bits of this machine: names that are hard to guess are nowhere needed here.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Deployment {
    /// Its name.
    name: String,
    /// The image of its container; more than once for several containers.
    #[arg(long, value_name = "IMAGE", value_delimiter = ',', required = true)]
    image: Vec<String>,
    /// The port that the first container listens on.
    #[arg(long, value_name = "PORT", default_value_t = -1, allow_negative_numbers = true)]
    port: i32,
    /// How many pods there are to be.
    #[arg(short, long, value_name = "NUMBER", default_value_t = 1)]
    replicas: u32,
    /// What the container runs, instead of what its image says.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Deployment {
    pub(super) fn make(&self, random: &mut impl RandomBits) -> Result<Made, Error> {
        if self.image.len() > 1 && !self.command.is_empty() {
            return Err(Error::said("cannot specify multiple --image options and command"));
        }
        let mut containers: Vec<Value> =
            self.image.iter().map(|image| container(&container_name(image, random), image, &self.command)).collect();
        if self.port >= 0
            && let Some(first) = containers.first_mut()
        {
            first["ports"] = json!([{"containerPort": self.port}]);
        }
        let labels = json!({"app": self.name});
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"labels": labels, "name": self.name},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "strategy": {},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            },
            "status": {},
        });
        Ok(Made::new(object, "failed to create deployment:"))
    }
}

/// The name of a container after its image: without registry, tag and digest.
fn container_name(image: &str, random: &mut impl RandomBits) -> String {
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split([':', '@']).next().unwrap_or_default();
    if !name.contains(['_', '.']) {
        return name.to_owned();
    }
    // What no name may have is replaced, and two images may then be alike.
    format!("{}-{}", name.replace(['_', '.'], "-"), random_suffix(SUFFIX, random))
}

fn container(name: &str, image: &str, command: &[String]) -> Value {
    let mut container = json!({"image": image, "name": name, "resources": {}});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    container
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Job {
    /// Its name.
    name: String,
    /// The image of its container.
    #[arg(long, value_name = "IMAGE", default_value = "")]
    image: String,
    /// The cron job that is to run once now: cronjob/NAME.
    #[arg(long, value_name = "CRONJOB", default_value = "")]
    from: String,
    /// What the container runs, instead of what its image says.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Job {
    pub(super) async fn make(&self, session: &mut Session<'_>) -> Result<Made, Error> {
        const FAILURE: &str = "failed to create job:";
        match (self.image.as_str(), self.from.as_str()) {
            ("", "") => return Err(Error::said("either --image or --from must be specified")),
            (_, "") => return Ok(Made::new(self.of_image(), FAILURE)),
            ("", _) if self.command.is_empty() => {}
            ("", _) => return Err(Error::said("cannot specify --from and command")),
            _ => return Err(Error::said("either --image or --from must be specified")),
        }
        let selected = crate::select::select_named(session, std::slice::from_ref(&self.from)).await?;
        let [one] = &selected[..] else {
            return Err(Error::said("from must be an existing cronjob"));
        };
        if one.resource.kind != "CronJob" {
            return Err(Error::said(format!("unknown object type {}: --from must be cronjob/NAME", one.resource.kind)));
        }
        let namespace = session.namespace().await?;
        let name = one.names.first().map(String::as_str).unwrap_or_default();
        let path = one.resource.object_path(&namespace, name);
        let cron_job = session.json(Ask::get(&path)).await?;
        Ok(Made::new(self.of_cron_job(&cron_job), FAILURE))
    }

    fn of_image(&self) -> Value {
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name},
            "spec": {"template": {"metadata": {}, "spec": {
                "containers": [container(&self.name, &self.image, &self.command)],
                "restartPolicy": "Never",
            }}},
            "status": {},
        })
    }

    /// What the cron job would make at its time.
    fn of_cron_job(&self, cron_job: &Value) -> Value {
        let template = &cron_job["spec"]["jobTemplate"];
        let mut annotations = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        annotations.insert("cronjob.kubernetes.io/instantiate".to_owned(), json!("manual"));
        let mut metadata = json!({
            "annotations": annotations,
            "name": self.name,
            "ownerReferences": [{
                "apiVersion": "batch/v1",
                "controller": true,
                "kind": "CronJob",
                "name": cron_job["metadata"]["name"],
                "uid": cron_job["metadata"]["uid"],
            }],
        });
        if template["metadata"]["labels"].is_object() {
            metadata["labels"] = template["metadata"]["labels"].clone();
        }
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": template["spec"],
            "status": {},
        })
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct CronJob {
    /// Its name.
    name: String,
    /// The image of its container.
    #[arg(long, value_name = "IMAGE", required = true)]
    image: String,
    /// When it runs, as cron has it.
    #[arg(long, value_name = "SCHEDULE", required = true)]
    schedule: String,
    /// Whether a container is started again: OnFailure or Never.
    #[arg(long, value_name = "POLICY", default_value = "OnFailure")]
    restart: String,
    /// What the container runs, instead of what its image says.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl CronJob {
    pub(super) fn make(&self) -> Made {
        let object = json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": self.name},
            "spec": {
                "jobTemplate": {"metadata": {"name": self.name}, "spec": {"template": {"metadata": {}, "spec": {
                    "containers": [container(&self.name, &self.image, &self.command)],
                    "restartPolicy": self.restart,
                }}}},
                "schedule": self.schedule,
            },
            "status": {},
        });
        Made::new(object, "failed to create cronjob:")
    }
}
