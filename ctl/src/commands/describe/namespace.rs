//! Namespaces, with their quotas and limits.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Subject;
use super::page::{Page, list, shown, texts};

/// A namespace.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let namespace = &subject.object;
    page.field(0, "Name", &shown(&namespace["metadata"]["name"]));
    page.notes(namespace);
    page.field(0, "Status", &shown(&namespace["status"]["phase"]));
    page.transitions(namespace);
    page.put("\n");
    quotas(page, subject.related("resourcequotas"));
    page.put("\n");
    let ranges = subject.related("limitranges");
    if ranges.is_empty() {
        return page.line(0, "No LimitRange resource.");
    }
    page.put("Resource Limits\n ");
    limits_head(page, " ");
    ranges.iter().for_each(|range| limits(page, " ", range));
}

/// Each scope of a quota, in words.
fn scope(scope: &str) -> Option<&'static str> {
    Some(match scope {
        "Terminating" => {
            "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being \
             actively terminated by the system."
        }
        "NotTerminating" => {
            "Matches all pods that do not have an active deadline. These pods usually include long running pods whose \
             container command is not expected to terminate."
        }
        "BestEffort" => {
            "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service."
        }
        "NotBestEffort" => {
            "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed \
             quality of service."
        }
        _ => return None,
    })
}

fn scopes(page: &mut Page, level: usize, mark: &str, quota: &Value) {
    let mut scopes = texts(&quota["spec"]["scopes"]);
    scopes.sort();
    if !scopes.is_empty() {
        page.field(level, "Scopes", &scopes.join(", "));
    }
    for text in scopes.iter().filter_map(|name| scope(name)) {
        page.line(level, &format!("{mark}* {text}"));
    }
}

fn usage(page: &mut Page, level: usize, quota: &Value) {
    let status = &quota["status"];
    let mut hard: Vec<_> = status["hard"].as_object().into_iter().flatten().collect();
    hard.sort_by_key(|(name, _)| *name);
    for (name, hard) in hard {
        let used = shown(&status["used"][name]);
        let used = if used.is_empty() { "0" } else { &used };
        page.line(level, &format!("{name}\t{used}\t{}", shown(hard)));
    }
}

fn quotas(page: &mut Page, quotas: &[Value]) {
    if quotas.is_empty() {
        return page.line(0, "No resource quota.");
    }
    let mut quotas: Vec<&Value> = quotas.iter().collect();
    quotas.sort_by_key(|quota| shown(&quota["metadata"]["name"]));
    page.line(0, "Resource Quotas");
    for quota in quotas {
        page.field(1, "Name", &shown(&quota["metadata"]["name"]));
        scopes(page, 1, "", quota);
        page.line(1, "Resource\tUsed\tHard");
        page.line(1, "--------\t---\t---");
        usage(page, 1, quota);
    }
}

/// A quota by itself.
pub(super) fn quota(page: &mut Page, subject: &Subject) {
    page.head(&subject.object);
    scopes(page, 0, " ", &subject.object);
    page.line(0, "Resource\tUsed\tHard");
    page.line(0, "--------\t----\t----");
    usage(page, 0, &subject.object);
}

fn limits_head(page: &mut Page, indent: &str) {
    page.line(0, "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio");
    page.line(0, &format!("{indent}----\t--------\t---\t---\t---------------\t-------------\t-----------------------"));
}

fn limits(page: &mut Page, indent: &str, range: &Value) {
    const FIELDS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    for limit in list(&range["spec"]["limits"]) {
        let names: BTreeSet<&String> = FIELDS
            .iter()
            .flat_map(|field| limit[field].as_object().into_iter().flatten())
            .map(|(name, _)| name)
            .collect();
        for name in names {
            let cell = |field: &str| limit[field].get(name).map_or_else(|| "-".to_owned(), shown);
            page.line(0, &format!("{indent}{}\t{name}\t{}", shown(&limit["type"]), FIELDS.map(cell).join("\t")));
        }
    }
}

/// A LimitRange by itself.
pub(super) fn limit_range(page: &mut Page, subject: &Subject) {
    page.head(&subject.object);
    limits_head(page, "");
    limits(page, "", &subject.object);
}
