//! Taking down the network of sandboxes whose runtime cannot do it: the plugins are run as the runtime would, with what
//! the library that it uses wrote down when it set the network up.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Found;

/// Where that library writes down what it has set up.
const RECORDS: &str = "/var/lib/cni/results";
/// How long one plugin may take.
const PLUGIN: Duration = Duration::from_secs(30);

/// A plugin to be run.
#[derive(Debug, PartialEq)]
struct Step {
    plugin: String,
    input: Value,
}

/// What was set up for a sandbox.
#[derive(Debug, PartialEq)]
struct Record {
    sandbox: String,
    interface: String,
    namespace: String,
    /// The plugins in the order in which they take it down: the last one first.
    steps: Vec<Step>,
}

/// Takes down what was set up of a network for these sandboxes. Says why what could not be done was not.
pub(super) async fn take_down(found: &Found, network: &str, sandboxes: &BTreeSet<String>) -> Vec<String> {
    let mut failed = Vec::new();
    for sandbox in sandboxes {
        let path = Path::new(RECORDS).join(format!("{network}-{sandbox}-eth0"));
        let Ok(written) = std::fs::read(&path) else { continue };
        let Some(record) = Record::read(&written) else {
            failed.push(format!("{} makes no sense", path.display()));
            continue;
        };
        for step in &record.steps {
            if let Err(error) = run(found, &record, step).await {
                failed.push(format!("network plugin {} for sandbox {sandbox}: {error}", step.plugin));
            }
        }
    }
    failed
}

/// Removes what that library has written down of sandboxes.
pub(super) fn remove_records(network: &str, sandboxes: &BTreeSet<String>) -> io::Result<()> {
    let of = |sandbox: &String| [format!("{network}-{sandbox}-eth0"), format!("cni-loopback-{sandbox}-lo")];
    let records: Vec<PathBuf> = sandboxes.iter().flat_map(of).map(|name| Path::new(RECORDS).join(name)).collect();
    for record in records {
        match std::fs::remove_file(record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl Record {
    /// As it is written: JSON, with the configuration in it as base64.
    fn read(written: &[u8]) -> Option<Record> {
        let record: Value = serde_json::from_slice(written).ok()?;
        let configuration = STANDARD.decode(record.get("config")?.as_str()?).ok()?;
        let configuration: Value = serde_json::from_slice(&configuration).ok()?;
        let result = record.get("result")?;
        let interfaces = result.get("interfaces")?.as_array()?;
        let namespace = interfaces.iter().find_map(|interface| interface.get("sandbox")?.as_str());
        let text = |field: &str| Some(record.get(field)?.as_str()?.to_owned());
        let mut steps = Vec::new();
        for plugin in configuration.get("plugins")?.as_array()?.iter().rev() {
            let mut input = plugin.clone();
            input["name"] = configuration.get("name")?.clone();
            input["cniVersion"] = configuration.get("cniVersion")?.clone();
            input["prevResult"] = result.clone();
            if let Some(ports) = record.pointer("/capabilityArgs/portMappings") {
                input["runtimeConfig"] = json!({ "portMappings": ports });
            }
            steps.push(Step { plugin: plugin.get("type")?.as_str()?.to_owned(), input });
        }
        Some(Record {
            sandbox: text("containerId")?,
            interface: text("ifName")?,
            namespace: namespace.unwrap_or_default().to_owned(),
            steps,
        })
    }
}

async fn run(found: &Found, record: &Record, step: &Step) -> Result<(), String> {
    if step.plugin.contains('/') {
        return Err("is no name of a plugin".to_owned());
    }
    let mut command = Command::new(found.plugins.join(&step.plugin));
    command.env_clear().env("PATH", &found.path).env("CNI_PATH", &found.plugins);
    command.env("CNI_COMMAND", "DEL").env("CNI_CONTAINERID", &record.sandbox);
    command.env("CNI_NETNS", &record.namespace).env("CNI_IFNAME", &record.interface);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ran = async {
        let mut plugin = command.spawn()?;
        let input = step.input.to_string();
        if let Some(mut stdin) = plugin.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        plugin.wait_with_output().await
    };
    let output = tokio::time::timeout(PLUGIN, ran).await.map_err(|_| format!("not within {PLUGIN:?}"))?;
    let output = output.map_err(|error| error.to_string())?;
    // What went wrong, a plugin writes to its standard output.
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stdout).trim().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_get_what_they_had_and_what_came_of_it() {
        let configuration = json!({
            "cniVersion": "1.0.0",
            "name": "net",
            "plugins": [{ "type": "bridge", "bridge": "b" }, { "type": "portmap" }],
        });
        let result = json!({ "interfaces": [{ "name": "b" }, { "name": "eth0", "sandbox": "/netns/1" }] });
        let written = json!({
            "containerId": "c",
            "ifName": "eth0",
            "config": STANDARD.encode(configuration.to_string()),
            "capabilityArgs": { "portMappings": [{ "hostPort": 80 }] },
            "result": result,
        });
        let record = Record::read(written.to_string().as_bytes()).unwrap();
        assert_eq!((record.sandbox.as_str(), record.namespace.as_str()), ("c", "/netns/1"));
        let plugins: Vec<_> = record.steps.iter().map(|step| step.plugin.as_str()).collect();
        assert_eq!(plugins, ["portmap", "bridge"]);
        let expected = json!({
            "type": "bridge",
            "bridge": "b",
            "name": "net",
            "cniVersion": "1.0.0",
            "prevResult": result,
            "runtimeConfig": { "portMappings": [{ "hostPort": 80 }] },
        });
        assert_eq!(record.steps[1].input, expected);
        assert_eq!(Record::read(b"{}"), None);
    }
}
