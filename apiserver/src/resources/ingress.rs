//! Ingresses: by which host and path which Service, or other backend, is reached from outside.

#[cfg(test)]
mod tests;
mod validation;

use std::collections::BTreeSet;

use api::field::ErrorList;
use k8s_openapi::api::networking::v1::{
    Ingress, IngressLoadBalancerIngress, IngressLoadBalancerStatus, IngressRule, IngressSpec, IngressStatus,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::semantic;
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

/// The annotation that named the class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// How many hosts a table shows.
const MAX_SHOWN: usize = 3;

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("Class", "The name of the IngressClass resource that should be used for additional configuration"),
    Column::new("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
    Column::new("Address", "Address is a list containing ingress points for the load-balancer"),
    Column::new("Ports", "Ports of TLS configurations that open"),
    AGE_COLUMN,
];

pub(crate) struct Ingresses;

impl Strategy for Ingresses {
    type Object = Ingress;

    fn names(&self) -> Names {
        Names::of::<Ingress>("ingress", true).short(&["ing"])
    }

    fn prepare_create(&self, object: &mut Ingress, _: Context<'_>) {
        object.status = Some(IngressStatus { load_balancer: Some(IngressLoadBalancerStatus::default()) });
    }

    fn prepare_update(&self, new: &mut Ingress, old: &Ingress, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn generation(&self) -> Option<fn(new: &Ingress, old: &Ingress) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &Ingress) -> ErrorList {
        validation::create(object)
    }

    fn validate_update(&self, new: &Ingress, old: &Ingress) -> ErrorList {
        validation::update(new, old)
    }

    fn warnings(&self, new: &Ingress, old: Option<&Ingress>) -> Vec<String> {
        if old.is_none() && class_annotation(new).is_some() && class_name(new).is_none() {
            let warning = format!(
                "annotation {} is deprecated, please use 'spec.ingressClassName' instead",
                api::field::go_quote(CLASS_ANNOTATION)
            );
            return vec![warning];
        }
        Vec::new()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Ingress, now: Timestamp) -> Vec<Value> {
        let none = IngressSpec::default();
        let spec = object.spec.as_ref().unwrap_or(&none);
        let has_tls = spec.tls.as_ref().is_some_and(|tls| !tls.is_empty());
        vec![
            object.metadata.name.clone().into(),
            class_name(object).unwrap_or("<none>").into(),
            shown_hosts(spec.rules.as_deref().unwrap_or_default()).into(),
            shown_addresses(points(object)).into(),
            if has_tls { "80, 443" } else { "80" }.into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<Ingress>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| new.spec.clone_from(&old.spec),
            validate: validation::status,
        }]
    }
}

fn class_name(ingress: &Ingress) -> Option<&str> {
    ingress.spec.as_ref()?.ingress_class_name.as_deref()
}

fn class_annotation(ingress: &Ingress) -> Option<&str> {
    ingress.metadata.annotations.as_ref()?.get(CLASS_ANNOTATION).map(String::as_str)
}

/// Where the load balancer is reached.
fn points(ingress: &Ingress) -> &[IngressLoadBalancerIngress] {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

/// The first few hosts. Upstream counts what it leaves out from the rules, of which some have no host.
fn shown_hosts(rules: &[IngressRule]) -> String {
    let hosts = rules.iter().map(|rule| rule.host.as_deref().unwrap_or_default());
    let mut shown = Vec::new();
    let mut more = false;
    for host in hosts {
        more |= shown.len() == MAX_SHOWN;
        if !more && !host.is_empty() {
            shown.push(host);
        }
    }
    match (shown.as_slice(), more) {
        ([], _) => "*".to_owned(),
        (hosts, false) => hosts.join(","),
        (hosts, true) => format!("{} + {} more...", hosts.join(","), rules.len() - MAX_SHOWN),
    }
}

fn shown_addresses(points: &[IngressLoadBalancerIngress]) -> String {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let addresses: BTreeSet<String> =
        points.iter().filter_map(|point| text(&point.ip).or_else(|| text(&point.hostname))).collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}
