//! `gantry expose`.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::create::{create, labels};
use crate::dry_run::DryRun;
use crate::manifest::Files;
use crate::outcome::Outcome;
use crate::output::Printing;
use crate::target::{Found, Target, Wanted, find, finish};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: TYPE NAME or TYPE/NAME.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The Service's name; unless it is said, that of what it exposes.
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// The Service's ports; unless it is said, those of what it exposes.
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    port: Vec<u16>,
    /// The number or name of the port of the pods.
    #[arg(long, value_name = "PORT", default_value = "")]
    target_port: String,
    /// The protocol of the ports.
    #[arg(long, value_name = "NAME", default_value = "")]
    protocol: String,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    kind: String,
    /// Which pods it has; unless it is said, those of what it exposes.
    #[arg(long, value_name = "LABELS", default_value = "")]
    selector: String,
    /// The Service's labels; unless it is said, those of what it exposes.
    #[arg(short, long, value_name = "LABELS", default_value = "")]
    labels: String,
    /// Another address by which it can be reached.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    external_ip: String,
    /// The address that a load balancer is to have.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    load_balancer_ip: String,
    /// The address in the cluster, or None.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    cluster_ip: String,
    /// None or ClientIP.
    #[arg(long, value_name = "AFFINITY", default_value = "")]
    session_affinity: String,
    /// Do not do it: show only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = "kubectl-expose")]
    field_manager: String,
    #[command(flatten)]
    output: Printing,
}

/// Makes a Service for what is there.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let mut outcome = Outcome::new(&arguments.output, arguments.dry_run)?;
    let wanted = Wanted {
        what: &arguments.what,
        files: &arguments.files,
        selector: "",
        field_selector: "",
        all: false,
        all_namespaces: false,
        local: false,
    };
    let Found { targets, mut errors } = find(session, wanted).await?;
    for target in &targets {
        let service = match service(&arguments, target) {
            Ok(service) => service,
            Err(why) => {
                errors.push(Error::said(why));
                continue;
            }
        };
        let how = (arguments.dry_run, arguments.field_manager.as_str());
        match create(session, service, how, &mut outcome, "exposed").await {
            Ok(()) => {}
            Err(error @ Error::Server(_)) => errors.push(error),
            Err(error) => return Err(error),
        }
    }
    finish(session, errors)
}

fn service(arguments: &Arguments, target: &Target) -> Result<Value, String> {
    let object = &target.object;
    if !matches!(
        target.resource.kind.as_str(),
        "Deployment" | "Pod" | "ReplicaSet" | "ReplicationController" | "Service"
    ) {
        return Err(format!("cannot expose a {}", target.resource.kind));
    }
    let selector = match arguments.selector.as_str() {
        "" => selector(&target.resource.kind, object)
            .map_err(|why| format!("couldn't retrieve selectors via --selector flag or introspection: {why}"))?,
        text => labels(text)?,
    };
    let mut spec = json!({"ports": ports(arguments, target)?, "selector": selector});
    let fields = [
        ("clusterIP", &arguments.cluster_ip),
        ("sessionAffinity", &arguments.session_affinity),
        ("type", &arguments.kind),
    ];
    for (field, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        spec[field] = json!(value);
    }
    if !arguments.external_ip.is_empty() {
        spec["externalIPs"] = json!([arguments.external_ip]);
    }
    if arguments.kind == "LoadBalancer" && !arguments.load_balancer_ip.is_empty() {
        spec["loadBalancerIP"] = json!(arguments.load_balancer_ip);
    }
    let labels =
        if arguments.labels.is_empty() { object["metadata"]["labels"].clone() } else { labels(&arguments.labels)? };
    let name = if arguments.name.is_empty() { &target.name } else { &arguments.name };
    let mut metadata = json!({"name": name});
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        metadata["labels"] = labels;
    }
    Ok(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}),
    )
}

fn selector(kind: &str, object: &Value) -> Result<Value, String> {
    let (found, why) = match kind {
        "Pod" => (&object["metadata"]["labels"], "the pod has no labels and cannot be exposed"),
        "Service" => (&object["spec"]["selector"], "the service has no pod selector set"),
        "ReplicationController" => (&object["spec"]["selector"], "the object has no selector"),
        _ => {
            let selector = &object["spec"]["selector"];
            if selector["matchExpressions"].as_array().is_some_and(|all| !all.is_empty()) {
                return Err(format!(
                    "couldn't convert expressions - \"{}\" to map-based selector format",
                    selector["matchExpressions"]
                ));
            }
            (&selector["matchLabels"], "the object has no selector")
        }
    };
    if found.as_object().is_some_and(|labels| !labels.is_empty()) { Ok(found.clone()) } else { Err(why.to_owned()) }
}

/// The ports that are said, or those of what is exposed, each with its protocol.
fn ports(arguments: &Arguments, target: &Target) -> Result<Vec<Value>, String> {
    let own = own_ports(target);
    let mut ports: Vec<u64> = arguments.port.iter().map(|port| u64::from(*port)).collect();
    if ports.is_empty() {
        ports = own.iter().map(|(port, _)| *port).collect();
    }
    if ports.is_empty() {
        return Err("couldn't find port via --port flag or introspection".to_owned());
    }
    let is_one = ports.len() == 1;
    let one = |(index, port): (usize, &u64)| {
        let known = own.iter().find(|(other, _)| other == port).map(|(_, protocol)| protocol.as_str());
        let protocol = match arguments.protocol.as_str() {
            "" => known.unwrap_or("TCP"),
            protocol => protocol,
        };
        let to = match arguments.target_port.as_str() {
            "" => json!(port),
            text => text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number)),
        };
        let mut fields = Map::new();
        if !is_one {
            fields.insert("name".to_owned(), json!(format!("port-{}", index + 1)));
        }
        fields.insert("port".to_owned(), json!(port));
        fields.insert("protocol".to_owned(), json!(protocol));
        fields.insert("targetPort".to_owned(), to);
        Value::Object(fields)
    };
    Ok(ports.iter().enumerate().map(one).collect())
}

fn own_ports(target: &Target) -> Vec<(u64, String)> {
    let spec = &target.object["spec"];
    let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
    if target.resource.kind == "Service" {
        let ports = spec["ports"].as_array().into_iter().flatten();
        return ports.filter_map(|port| Some((port["port"].as_u64()?, protocol(port)))).collect();
    }
    let pod = if target.resource.kind == "Pod" { spec } else { &spec["template"]["spec"] };
    let containers = pod["containers"].as_array().into_iter().flatten();
    let ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.filter_map(|port| Some((port["containerPort"].as_u64()?, protocol(port)))).collect()
}
