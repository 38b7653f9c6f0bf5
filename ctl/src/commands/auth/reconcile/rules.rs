//! Which rules of roles others cover, and how they are shown. All of it is pure.

use k8s_openapi::api::rbac::v1::{PolicyRule, Subject};

const ALL: &str = "*";

/// The rules of `wanted`, taken apart, that `held` does not cover.
pub(super) fn missing(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !held.iter().any(|rule| covers(rule, part))).collect()
}

/// A rule as rules of one verb and one thing each.
fn parts(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| Some(vec![text.clone()]);
    let mut parts = Vec::new();
    for group in list(&rule.api_groups) {
        for resource in list(&rule.resources) {
            for verb in &rule.verbs {
                let part = PolicyRule {
                    api_groups: one(group),
                    resources: one(resource),
                    verbs: vec![verb.clone()],
                    ..PolicyRule::default()
                };
                match list(&rule.resource_names) {
                    [] => parts.push(part),
                    names => {
                        parts.extend(names.iter().map(|name| PolicyRule { resource_names: one(name), ..part.clone() }));
                    }
                }
            }
        }
    }
    for url in list(&rule.non_resource_urls) {
        let of_verb = |verb: &String| PolicyRule {
            non_resource_urls: one(url),
            verbs: vec![verb.clone()],
            ..PolicyRule::default()
        };
        parts.extend(rule.verbs.iter().map(of_verb));
    }
    parts
}

/// Whether a rule allows what a part does.
fn covers(rule: &PolicyRule, part: &PolicyRule) -> bool {
    let (names, wanted) = (list(&rule.resource_names), list(&part.resource_names));
    let has_names = names.is_empty() || (!wanted.is_empty() && has_all(names, wanted, |own, name| own == name));
    has_all(&rule.verbs, &part.verbs, |own, verb| own == ALL || own == verb)
        && has_all(list(&rule.api_groups), list(&part.api_groups), |own, group| own == ALL || own == group)
        && has_all(list(&rule.resources), list(&part.resources), covers_resource)
        && has_all(list(&rule.non_resource_urls), list(&part.non_resource_urls), covers_url)
        && has_names
}

fn has_all(held: &[String], wanted: &[String], covers: impl Fn(&str, &str) -> bool) -> bool {
    wanted.iter().all(|wanted| held.iter().any(|held| covers(held, wanted)))
}

/// `*/scale` is the subresource of all resources.
fn covers_resource(own: &str, resource: &str) -> bool {
    let of_all = || resource.split_once('/').is_some_and(|(_, part)| own.strip_prefix("*/") == Some(part));
    own == ALL || own == resource || of_all()
}

fn covers_url(own: &str, url: &str) -> bool {
    own == url || (own.ends_with('*') && url.starts_with(own.trim_end_matches('*')))
}

fn list(values: &Option<Vec<String>>) -> &[String] {
    values.as_deref().unwrap_or_default()
}

/// As kubectl shows it.
pub(super) fn shown(rule: &PolicyRule) -> String {
    let words = |values: &Option<Vec<String>>| list(values).join(" ");
    format!(
        "{{Verbs:[{}] APIGroups:[{}] Resources:[{}] ResourceNames:[{}] NonResourceURLs:[{}]}}",
        rule.verbs.join(" "),
        words(&rule.api_groups),
        words(&rule.resources),
        words(&rule.resource_names),
        words(&rule.non_resource_urls)
    )
}

/// As kubectl shows it.
pub(super) fn shown_subject(subject: &Subject) -> String {
    format!(
        "{{Kind:{} APIGroup:{} Name:{} Namespace:{}}}",
        subject.kind,
        subject.api_group.as_deref().unwrap_or_default(),
        subject.name,
        subject.namespace.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(value: Value) -> Vec<PolicyRule> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_others_cover_is_not_missing() {
        let check = |held: Value, wanted: Value, expected: &[&str]| {
            let found: Vec<String> = missing(&rules(held), &rules(wanted)).iter().map(shown).collect();
            assert_eq!(found, expected);
        };
        let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
        let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
        let named = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}]);
        let scale = json!([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get"]}]);
        let any_scale = json!([{"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["get"]}]);
        let url = json!([{"nonResourceURLs": ["/healthz/ping"], "verbs": ["get"]}]);
        let urls = json!([{"nonResourceURLs": ["/healthz/*"], "verbs": ["get"]}]);
        let get = "{Verbs:[get] APIGroups:[] Resources:[pods] ResourceNames:[] NonResourceURLs:[]}";
        let list = "{Verbs:[list] APIGroups:[] Resources:[pods] ResourceNames:[] NonResourceURLs:[]}";
        check(json!([]), pods.clone(), &[get, list]);
        check(pods.clone(), pods.clone(), &[]);
        check(all.clone(), pods.clone(), &[]);
        check(named.clone(), pods.clone(), &[get, list]);
        check(pods, named, &[]);
        check(any_scale, scale.clone(), &[]);
        check(urls, url.clone(), &[]);
        // What is no resource is not among all of them.
        let ping = "{Verbs:[get] APIGroups:[] Resources:[] ResourceNames:[] NonResourceURLs:[/healthz/ping]}";
        check(all, url, &[ping]);
        let of_apps =
            "{Verbs:[get] APIGroups:[apps] Resources:[deployments/scale] ResourceNames:[] NonResourceURLs:[]}";
        check(json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}]), scale, &[of_apps]);
    }
}
