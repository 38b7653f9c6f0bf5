//! Ingresses, with where they lead to, and IngressClasses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::page::{Page, list, shown, texts};
use super::{Subject, service};

/// An Ingress.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let ingress = &subject.object;
    let (meta, spec) = (&ingress["metadata"], &ingress["spec"]);
    page.field(0, "Name", &shown(&meta["name"]));
    page.labels("Labels", &meta["labels"]);
    page.field(0, "Namespace", &shown(&meta["namespace"]));
    page.field(0, "Address", &addresses(&ingress["status"]["loadBalancer"]["ingress"]));
    page.field(0, "Ingress Class", spec["ingressClassName"].as_str().unwrap_or("<none>"));
    let default = &spec["defaultBackend"];
    let default = if default.is_null() { "<default>".to_owned() } else { backend(subject, default) };
    page.field(0, "Default backend", &default);
    secured(page, list(&spec["tls"]));
    page.put("Rules:\n  Host\tPath\tBackends\n  ----\t----\t--------\n");
    let mut rules = list(&spec["rules"]).iter().filter(|rule| !rule["http"].is_null()).peekable();
    if rules.peek().is_none() {
        page.line(1, &format!("*\t*\t{default}"));
    }
    for rule in rules {
        let host = shown(&rule["host"]);
        page.line(1, &format!("{}\t", if host.is_empty() { "*" } else { &host }));
        for path in list(&rule["http"]["paths"]) {
            page.line(2, &format!("\t{} \t{}", shown(&path["path"]), backend(subject, &path["backend"])));
        }
    }
    page.annotations("Annotations", &meta["annotations"]);
    page.events(subject.events.as_deref());
}

/// The Services that an Ingress leads to.
pub(super) fn services(ingress: &Value) -> BTreeSet<String> {
    let spec = &ingress["spec"];
    let paths = list(&spec["rules"]).iter().flat_map(|rule| list(&rule["http"]["paths"])).map(|path| &path["backend"]);
    let names = paths.chain([&spec["defaultBackend"]]).filter_map(|backend| backend["service"]["name"].as_str());
    names.map(str::to_owned).collect()
}

/// Under which name a Service, and what it leads to, are found.
pub(super) fn found_as(service: &str) -> [String; 2] {
    [format!("services/{service}"), format!("endpointslices/{service}")]
}

/// Where the Ingress can be reached.
fn addresses(points: &Value) -> String {
    let address =
        |point: &Value| Some(&point["ip"]).filter(|ip| !shown(ip).is_empty()).map_or(shown(&point["hostname"]), shown);
    let addresses: BTreeSet<String> = list(points).iter().map(address).filter(|address| !address.is_empty()).collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

fn secured(page: &mut Page, all: &[Value]) {
    if !all.is_empty() {
        page.line(0, "TLS:");
    }
    for tls in all {
        let (hosts, secret) = (texts(&tls["hosts"]).join(","), shown(&tls["secretName"]));
        page.line(
            1,
            &if secret.is_empty() { format!("SNI routes {hosts}") } else { format!("{secret} terminates {hosts}") },
        );
    }
}

/// What requests get to: a port of a Service, with its endpoints, or an object of another kind.
fn backend(subject: &Subject, backend: &Value) -> String {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    if !service.is_null() {
        let (name, port) = (shown(&service["name"]), &service["port"]);
        let number = port["number"].as_i64().filter(|number| *number != 0);
        let shown_port = number.map_or_else(|| shown(&port["name"]), |number| number.to_string());
        let [as_service, as_slices] = found_as(&name);
        let failure = subject.failure(&as_slices).or_else(|| subject.failure(&as_service));
        if let Some(failure) = failure {
            return format!("{name}:{shown_port} (<error: {failure}>)");
        }
        let mut ports = subject.related(&as_service).iter().flat_map(|service| list(&service["spec"]["ports"]));
        let is_meant = |of: &&Value| match number {
            Some(number) => of["port"] == number,
            None => !shown_port.is_empty() && of["name"] == shown_port.as_str(),
        };
        let port_name = ports.rfind(is_meant).map(|port| shown(&port["name"])).unwrap_or_default();
        return format!("{name}:{shown_port} ({})", service::endpoints(subject.related(&as_slices), &port_name));
    }
    if resource.is_null() {
        return String::new();
    }
    let group = resource["apiGroup"].as_str().unwrap_or("<none>");
    format!("APIGroup: {group}, Kind: {}, Name: {}", shown(&resource["kind"]), shown(&resource["name"]))
}

/// An IngressClass.
pub(super) fn class(page: &mut Page, subject: &Subject) {
    let class = &subject.object;
    page.field(0, "Name", &shown(&class["metadata"]["name"]));
    page.notes(class);
    page.field(0, "Controller", &shown(&class["spec"]["controller"]));
    let parameters = &class["spec"]["parameters"];
    if !parameters.is_null() {
        page.line(0, "Parameters:");
        if !parameters["apiGroup"].is_null() {
            page.field(1, "APIGroup", &shown(&parameters["apiGroup"]));
        }
        page.field(1, "Kind", &shown(&parameters["kind"]));
        page.field(1, "Name", &shown(&parameters["name"]));
    }
    page.events(subject.events.as_deref());
}
