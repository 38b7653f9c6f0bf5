//! Services and ingresses.

use std::sync::LazyLock;

use clap::{Args, Subcommand};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::{How, Made, Making};
use crate::Error;

/// Which kind of service.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Service {
    // tidy: sorted
    /// Make a service with an address in the cluster.
    #[command(name = "clusterip")]
    ClusterIp(Box<Making<ClusterIp>>),
    /// Make a service that stands for a name of DNS.
    #[command(name = "externalname")]
    ExternalName(Box<Making<ExternalName>>),
    /// Make a service with an address from outside the cluster.
    #[command(name = "loadbalancer")]
    LoadBalancer(Box<Making<LoadBalancer>>),
    /// Make a service with a port of every node.
    #[command(name = "nodeport")]
    NodePort(Box<Making<NodePort>>),
    // tidy: end
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterIp {
    /// Its name.
    name: String,
    /// A port, and that of the pods: 80 or 80:8080; can be given more than once.
    #[arg(long, value_name = "PORT[:TARGET]", value_delimiter = ',')]
    tcp: Vec<String>,
    /// Its address; None for a service without one.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    clusterip: String,
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExternalName {
    /// Its name.
    name: String,
    /// The name of DNS that it stands for.
    #[arg(long, value_name = "NAME", required = true)]
    external_name: String,
    /// A port, and that of the pods: 80 or 80:8080; can be given more than once.
    #[arg(long, value_name = "PORT[:TARGET]", value_delimiter = ',')]
    tcp: Vec<String>,
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadBalancer {
    /// Its name.
    name: String,
    /// A port, and that of the pods: 80 or 80:8080; can be given more than once.
    #[arg(long, value_name = "PORT[:TARGET]", value_delimiter = ',')]
    tcp: Vec<String>,
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodePort {
    /// Its name.
    name: String,
    /// A port, and that of the pods: 80 or 80:8080; can be given more than once.
    #[arg(long, value_name = "PORT[:TARGET]", value_delimiter = ',')]
    tcp: Vec<String>,
    /// The port of every node; 0 leaves it to the server.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    node_port: u16,
}

impl Service {
    pub(super) fn make(&self) -> Result<(Made, &How), Error> {
        match self {
            Service::ClusterIp(making) => Ok((making.of.make()?, &making.how)),
            Service::ExternalName(making) => {
                let of = &making.of;
                let spec = json!({"externalName": of.external_name});
                let object = service(&of.name, "ExternalName", spec, &of.tcp, 0)?;
                Ok((Made::new(object, "failed to create ExternalName service:"), &making.how))
            }
            Service::LoadBalancer(making) => {
                needs_ports(&making.of.tcp)?;
                let object = service(&making.of.name, "LoadBalancer", json!({}), &making.of.tcp, 0)?;
                Ok((Made::new(object, "failed to create LoadBalancer service:"), &making.how))
            }
            Service::NodePort(making) => {
                needs_ports(&making.of.tcp)?;
                let object = service(&making.of.name, "NodePort", json!({}), &making.of.tcp, making.of.node_port)?;
                Ok((Made::new(object, "failed to create NodePort service:"), &making.how))
            }
        }
    }
}

impl ClusterIp {
    fn make(&self) -> Result<Made, Error> {
        let mut spec = json!({});
        if self.clusterip == "None" {
            spec["clusterIP"] = json!("None");
        } else {
            needs_ports(&self.tcp)?;
            if !self.clusterip.is_empty() {
                spec["clusterIP"] = json!(self.clusterip);
            }
        }
        let object = service(&self.name, "ClusterIP", spec, &self.tcp, 0)?;
        Ok(Made::new(object, "failed to create ClusterIP service:"))
    }
}

fn needs_ports(ports: &[String]) -> Result<(), Error> {
    match ports {
        [] => Err(Error::said("at least one tcp port specifier must be provided")),
        _ => Ok(()),
    }
}

fn service(name: &str, kind: &str, mut spec: Value, ports: &[String], node_port: u16) -> Result<Value, Error> {
    let mut made = Vec::new();
    for text in ports {
        let (port, target) = ports_of(text)?;
        let mut port = json!({"name": text.replace(':', "-"), "port": port, "protocol": "TCP", "targetPort": target});
        if node_port > 0 {
            port["nodePort"] = json!(node_port);
        }
        made.push(port);
    }
    if !made.is_empty() {
        spec["ports"] = json!(made);
    }
    let labels = json!({"app": name});
    spec["selector"] = labels.clone();
    spec["type"] = json!(kind);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"labels": labels, "name": name},
        "spec": spec,
        "status": {"loadBalancer": {}},
    }))
}

/// A port, and that of the pods, which may have a name.
fn ports_of(text: &str) -> Result<(u16, Value), Error> {
    let (port, target) = text.split_once(':').unwrap_or((text, text));
    let wrong = |why: &str| Error::said(format!("invalid port specifier {text:?}: {why}"));
    let port: u16 = port.parse().map_err(|_| wrong("a port is a number up to 65535"))?;
    let target = match target.parse::<u16>() {
        Ok(number) => json!(number),
        Err(_) if target.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(wrong("a port is a number up to 65535"));
        }
        Err(_) => json!(target),
    };
    Ok((port, target))
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ingress {
    /// Its name.
    name: String,
    /// Where requests for a host and a path go: HOST/PATH=SERVICE:PORT[,tls[=SECRET]]; can be given more than once. A path that
    /// ends with an asterisk stands for all below it.
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Where all other requests go: SERVICE:PORT.
    #[arg(long, value_name = "SERVICE:PORT", default_value = "")]
    default_backend: String,
    /// Which controller is to serve it.
    #[arg(long, value_name = "NAME", default_value = "")]
    class: String,
    /// An annotation; can be given more than once.
    #[arg(long, value_name = "NAME=TEXT")]
    annotation: Vec<String>,
}

/// A rule: host, path, service, port, whether TLS, and the secret. The pattern is fixed and tested.
static RULE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([\w*\-.]*)(/[^=]*)=([\w\-]+:[\w\-]+)(?:,(tls)(?:=(.*))?)?$").ok());

impl Ingress {
    pub(super) fn make(&self) -> Result<Made, Error> {
        if self.rule.is_empty() && self.default_backend.is_empty() {
            return Err(Error::said(
                "not enough information provided: every ingress has to either specify a default-backend (which catches \
                 all traffic) or a list of rules (which catch specific paths)",
            ));
        }
        let mut spec = json!({});
        if !self.class.is_empty() {
            spec["ingressClassName"] = json!(self.class);
        }
        if !self.default_backend.is_empty() {
            let wrong = || {
                Error::said(format!(
                    "default-backend {:?} should be in format servicename:serviceport",
                    self.default_backend
                ))
            };
            spec["defaultBackend"] = backend(&self.default_backend).ok_or_else(wrong)?;
        }
        let (mut rules, mut secrets): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        for text in &self.rule {
            add_rule(text, &mut rules, &mut secrets).ok_or_else(|| {
                Error::said(format!(
                    "rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
                ))
            })?;
        }
        for (field, list) in [("rules", rules), ("tls", secrets)] {
            if !list.is_empty() {
                spec[field] = json!(list);
            }
        }
        let mut metadata = json!({"name": self.name});
        let mut annotations = Map::new();
        for annotation in &self.annotation {
            let (name, text) = annotation.split_once('=').ok_or_else(|| {
                Error::said(format!("annotation {annotation} is invalid and should be in format key=[value]"))
            })?;
            annotations.insert(name.to_owned(), json!(text));
        }
        if !annotations.is_empty() {
            metadata["annotations"] = Value::Object(annotations);
        }
        let object = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata,
            "spec": spec,
            "status": {"loadBalancer": {}},
        });
        Ok(Made::new(object, "failed to create ingress:"))
    }
}

/// Adds a rule to those of its host, and its host to those of its secret.
fn add_rule(text: &str, rules: &mut Vec<Value>, secrets: &mut Vec<Value>) -> Option<()> {
    let found = RULE.as_ref()?.captures(text)?;
    let group = |at: usize| found.get(at).map_or("", |group| group.as_str());
    let (host, path) = (group(1), group(2));
    let (path, kind) = path.strip_suffix('*').map_or((path, "Exact"), |path| (path, "Prefix"));
    let path = json!({"backend": backend(group(3))?, "path": path, "pathType": kind});
    let of_host = |rule: &&mut Value| rule["host"].as_str().unwrap_or_default() == host;
    match rules.iter_mut().find(of_host).and_then(|rule| rule["http"]["paths"].as_array_mut()) {
        Some(paths) => paths.push(path),
        None => {
            let mut rule = json!({"http": {"paths": [path]}});
            if !host.is_empty() {
                rule["host"] = json!(host);
            }
            rules.push(rule);
        }
    }
    if group(4).is_empty() {
        return Some(());
    }
    let name = group(5);
    let of_secret = |secret: &Value| secret["secretName"].as_str().unwrap_or_default() == name;
    let at = secrets.iter().position(of_secret).unwrap_or_else(|| {
        secrets.push(if name.is_empty() { json!({}) } else { json!({"secretName": name}) });
        secrets.len() - 1
    });
    if !host.is_empty() {
        match secrets[at]["hosts"].as_array_mut() {
            Some(hosts) if hosts.iter().any(|other| other == host) => {}
            Some(hosts) => hosts.push(json!(host)),
            None => secrets[at]["hosts"] = json!([host]),
        }
    }
    Some(())
}

/// A service and its port, by number or by name.
fn backend(text: &str) -> Option<Value> {
    let (name, port) = text.split_once(':').filter(|(name, port)| !name.is_empty() && !port.is_empty())?;
    let port = port.parse::<u16>().map_or_else(|_| json!({"name": port}), |number| json!({"number": number}));
    Some(json!({"service": {"name": name, "port": port}}))
}
