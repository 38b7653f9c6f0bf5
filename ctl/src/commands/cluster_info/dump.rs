//! `gantry cluster-info dump`: what somebody needs who looks for what is wrong, in files or all in one: objects of namespaces,
//! and what their containers have said.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::output::{Format, Printing, json};
use crate::pods::{self, metadata};
use crate::resources::escape;
use crate::session::{Ask, duration};
use crate::{Error, Session};

/// The lists of a namespace: what their files are called, and where they are at the server.
const LISTS: &[(&str, &str, &str)] = &[
    ("events", "/api/v1", "events"),
    ("replication-controllers", "/api/v1", "replicationcontrollers"),
    ("services", "/api/v1", "services"),
    ("daemonsets", "/apis/apps/v1", "daemonsets"),
    ("deployments", "/apis/apps/v1", "deployments"),
    ("replicasets", "/apis/apps/v1", "replicasets"),
    ("pods", "/api/v1", "pods"),
];

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Dump {
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Of these namespaces [default: kube-system and the one to work in].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Where files are to be written, in directories of namespaces; - writes all to standard output.
    #[arg(long, value_name = "DIRECTORY", default_value = "", hide_default_value = true)]
    output_directory: String,
    /// How long to wait for pods.
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pod_running_timeout: String,
    /// With who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
    #[command(flatten)]
    output: Printing,
}

/// Where it goes.
struct Sink<'a, 'b> {
    session: &'a mut Session<'b>,
    /// The directory of files, if there are to be some.
    directory: Option<PathBuf>,
    format: Option<Format>,
    shows_managed_fields: bool,
}

impl Dump {
    /// Dumps it.
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Error> {
        duration("--pod-running-timeout", &self.pod_running_timeout)?
            .ok_or_else(|| Error::said("--pod-running-timeout must be higher than zero"))?;
        let format = self.output.of_objects()?;
        let extension = match self.output.as_str() {
            "" | "json" => "json",
            "yaml" | "kyaml" => "yaml",
            _ => "txt",
        };
        let directory = Some(self.output_directory.as_str()).filter(|name| !matches!(*name, "" | "-"));
        let namespaces = self.wanted(session).await?;
        let directory = directory.map(PathBuf::from);
        let mut sink = Sink { session, directory, format, shows_managed_fields: self.show_managed_fields };
        let nodes = sink.session.json(Ask::get("/api/v1/nodes")).await?;
        sink.object(Path::new(&format!("nodes.{extension}")), nodes)?;
        for namespace in namespaces {
            let mut pods = Value::Null;
            for (name, group, plural) in LISTS {
                let path = format!("{group}/namespaces/{}/{plural}", escape(&namespace));
                let list = sink.session.json(Ask::get(&path)).await?;
                if *name == "pods" {
                    pods = list.clone();
                }
                sink.object(&Path::new(&namespace).join(format!("{name}.{extension}")), list)?;
            }
            for pod in pods["items"].as_array().into_iter().flatten() {
                sink.logs(&namespace, pod).await?;
            }
        }
        if let Some(directory) = sink.directory {
            session.say(&format!("Cluster info dumped to {}", directory.display()))?;
        }
        Ok(())
    }

    async fn wanted(&self, session: &mut Session<'_>) -> Result<Vec<String>, Error> {
        if self.all_namespaces {
            let list = session.json(Ask::get("/api/v1/namespaces")).await?;
            let all = list["items"].as_array().into_iter().flatten();
            return Ok(all.map(|namespace| metadata(namespace, "name").to_owned()).collect());
        }
        if !self.namespaces.is_empty() {
            return Ok(self.namespaces.clone());
        }
        Ok(vec!["kube-system".to_owned(), session.namespace().await?])
    }
}

impl Sink<'_, '_> {
    fn object(&mut self, file: &Path, mut list: Value) -> Result<(), Error> {
        if !self.shows_managed_fields {
            for item in list["items"].as_array_mut().into_iter().flatten() {
                item["metadata"].as_object_mut().and_then(|fields| fields.remove("managedFields"));
            }
        }
        let text = match &self.format {
            Some(Format::Name) => return Err(nameless(&list)),
            Some(format) => format.show(&list, &|object| metadata(object, "name").to_owned())?,
            None => json(&list),
        };
        self.text(file, text.as_bytes())
    }

    fn text(&mut self, file: &Path, text: &[u8]) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return self.session.write_bytes(text) };
        let path = directory.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, text)?)
    }

    /// What the containers of a pod have said. One that cannot be asked is no reason to leave the others.
    async fn logs(&mut self, namespace: &str, pod: &Value) -> Result<(), Error> {
        let name = metadata(pod, "name");
        let mut text = Vec::new();
        for list in ["initContainers", "containers"] {
            for container in pod["spec"][list].as_array().into_iter().flatten() {
                let container = container["name"].as_str().unwrap_or_default();
                let of = format!("logs for container {container} of pod {namespace}/{name} ====\n");
                text.extend_from_slice(format!("==== START {of}").as_bytes());
                let path = format!("{}/log", pods::path(namespace, name));
                let ask = Ask { accept: "*/*", ..Ask::get(&path) }.query("container", container);
                match self.session.ask(ask).await {
                    Ok(said) => text.extend_from_slice(&said),
                    Err(Error::Server(status)) => {
                        let why = status["message"].as_str().unwrap_or_default();
                        text.extend_from_slice(format!("Request log error: {why}\n").as_bytes());
                    }
                    Err(error) => return Err(error),
                }
                text.extend_from_slice(format!("==== END {of}").as_bytes());
            }
        }
        self.text(&Path::new(namespace).join(name).join("logs.txt"), &text)
    }
}

/// Lists have no names that could be shown.
fn nameless(list: &Value) -> Error {
    let text = |field: &str| list[field].as_str().unwrap_or_default();
    let version = text("apiVersion").rsplit('/').next().unwrap_or_default();
    Error::said(format!("list types are not supported by name printing: *{version}.{}", text("kind")))
}
