//! `gantry cluster-info`: where the server is; and `dump`, what there is.

mod dump;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::session::Ask;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// What else there is.
#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Write down what there is, for whoever looks for what is wrong.
    Dump(Box<dump::Dump>),
}

/// Shows where the server is, and the Services that are the cluster's own.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if let Some(Verb::Dump(dump)) = arguments.verb {
        return dump.run(session).await;
    }
    let url = session.connection().config().await?.cluster_url.to_string();
    let url = url.trim_end_matches('/');
    let path = "/api/v1/namespaces/kube-system/services";
    let list = session.json(Ask::get(path).query("labelSelector", "kubernetes.io/cluster-service=true")).await?;
    session.say(&format!("Kubernetes control plane is running at {url}"))?;
    for service in list["items"].as_array().into_iter().flatten() {
        let labels = &service["metadata"]["labels"];
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        let shown = labels["kubernetes.io/name"].as_str().unwrap_or(name);
        session.say(&format!("{shown} is running at {}", address(url, path, name, service)))?;
    }
    session.say("\nTo further debug and diagnose cluster problems, use 'gantry cluster-info dump'.")
}

/// Where a Service is: at its load balancer, or else behind the server.
fn address(url: &str, path: &str, name: &str, service: &Value) -> String {
    let ingress = &service["status"]["loadBalancer"]["ingress"][0];
    let host = ingress["ip"].as_str().filter(|ip| !ip.is_empty()).or_else(|| ingress["hostname"].as_str());
    let ports = || service["spec"]["ports"].as_array().into_iter().flatten();
    if let Some(host) = host {
        return ports()
            .map(|port| format!("http://{host}:{} ", port["port"]))
            .collect::<String>()
            .trim_end()
            .to_owned();
    }
    let port = ports().next();
    let port_name = port.and_then(|port| port["name"].as_str()).unwrap_or_default();
    let is_secure = port_name == "https" || port.is_some_and(|port| port["port"] == 443);
    let scheme = if is_secure { "https:" } else { "" };
    let port = if port_name.is_empty() && !is_secure { String::new() } else { format!(":{port_name}") };
    format!("{url}{path}/{scheme}{name}{port}/proxy")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_are_behind_the_server() {
        let check = |service: Value, expected: &str| assert_eq!(address("https://x", "/s", "dns", &service), expected);
        check(json!({"spec": {"ports": [{"name": "dns", "port": 53}]}}), "https://x/s/dns:dns/proxy");
        check(json!({"spec": {"ports": [{"port": 80}]}}), "https://x/s/dns/proxy");
        check(json!({"spec": {"ports": [{"name": "https", "port": 443}]}}), "https://x/s/https:dns:https/proxy");
        let balanced =
            json!({"spec": {"ports": [{"port": 80}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
        check(balanced, "http://1.2.3.4:80");
    }
}
