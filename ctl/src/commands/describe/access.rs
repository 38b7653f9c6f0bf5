//! Roles, with what each resource of theirs may be used for, and their bindings.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Subject;
use super::page::{Page, list, shown, texts};

/// A rule of one resource, or of one path and one verb.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    paths: Vec<String>,
}

/// A Role, or a ClusterRole.
pub(super) fn role(page: &mut Page, subject: &Subject) {
    let role = &subject.object;
    page.field(0, "Name", &shown(&role["metadata"]["name"]));
    page.notes(role);
    page.line(0, "PolicyRule:");
    page.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    page.line(1, "---------\t-----------------\t--------------\t-----");
    for rule in compact(list(&role["rules"])) {
        let (paths, names, verbs) = (words(&rule.paths), words(&rule.names), words(&rule.verbs));
        page.line(1, &format!("{}\t{paths}\t{names}\t{verbs}", resource(&rule)));
    }
}

/// A RoleBinding, or a ClusterRoleBinding.
pub(super) fn binding(page: &mut Page, subject: &Subject) {
    let binding = &subject.object;
    page.field(0, "Name", &shown(&binding["metadata"]["name"]));
    page.notes(binding);
    page.line(0, "Role:");
    page.field(1, "Kind", &shown(&binding["roleRef"]["kind"]));
    page.field(1, "Name", &shown(&binding["roleRef"]["name"]));
    page.line(0, "Subjects:");
    page.line(1, "Kind\tName\tNamespace");
    page.line(1, "----\t----\t---------");
    for subject in list(&binding["subjects"]) {
        let of = |field: &str| shown(&subject[field]);
        page.line(1, &format!("{}\t{}\t{}", of("kind"), of("name"), of("namespace")));
    }
}

/// Rules taken apart, and put together again so that each resource, or each name of one, has one rule; in the order of what
/// kubectl writes of a rule for its programmers.
fn compact(rules: &[Value]) -> Vec<Rule> {
    let mut all = Vec::new();
    let mut of_resources: BTreeMap<(String, String, Option<String>), Vec<String>> = BTreeMap::new();
    for rule in rules {
        let verbs = texts(&rule["verbs"]);
        let names: Vec<Option<String>> = match texts(&rule["resourceNames"]) {
            names if names.is_empty() => vec![None],
            names => names.into_iter().map(Some).collect(),
        };
        let resources = texts(&rule["resources"]);
        let each = texts(&rule["apiGroups"]).into_iter().flat_map(|group| {
            let names = &names;
            resources.iter().flat_map(move |resource| {
                let group = group.clone();
                names.iter().map(move |name| (group.clone(), resource.clone(), name.clone()))
            })
        });
        for key in each {
            let known = of_resources.entry(key).or_default();
            for verb in &verbs {
                if !known.contains(verb) {
                    known.push(verb.clone());
                }
            }
        }
        for path in texts(&rule["nonResourceURLs"]) {
            let one = |verb: &String| Rule { verbs: vec![verb.clone()], paths: vec![path.clone()], ..Rule::default() };
            all.extend(verbs.iter().map(one));
        }
    }
    // A rule without verbs is none.
    of_resources.retain(|_, verbs| !verbs.is_empty());
    all.extend(of_resources.into_iter().map(|((group, resource, name), verbs)| Rule {
        verbs,
        groups: vec![group],
        resources: vec![resource],
        names: name.into_iter().collect(),
        paths: Vec::new(),
    }));
    all.sort_by_cached_key(text);
    all
}

/// A rule as it is compared with others.
fn text(rule: &Rule) -> String {
    format!(
        "Verbs:{},APIGroups:{},Resources:{},ResourceNames:{},NonResourceURLs:{},",
        words(&rule.verbs),
        words(&rule.groups),
        words(&rule.resources),
        words(&rule.names),
        words(&rule.paths)
    )
}

fn words(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// A resource with its group between it and its subresource, as `deployments.apps/scale`.
fn resource(rule: &Rule) -> String {
    let Some(resource) = rule.resources.first() else { return String::new() };
    let group = rule.groups.first().filter(|group| !group.is_empty());
    let group = group.map(|group| format!(".{group}")).unwrap_or_default();
    match resource.split_once('/') {
        Some((resource, sub)) => format!("{resource}{group}/{sub}"),
        None => format!("{resource}{group}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_of_one_resource() {
        let check = |rules: Value, expected: &[&str]| {
            let found: Vec<String> = compact(list(&rules))
                .iter()
                .map(|rule| {
                    format!("{} {} {} {}", resource(rule), words(&rule.paths), words(&rule.names), words(&rule.verbs))
                })
                .collect();
            assert_eq!(found, expected, "{rules}");
        };
        check(json!(null), &[]);
        check(
            json!([
                {"apiGroups": ["", "apps"], "resources": ["pods", "deployments/scale"], "verbs": ["get", "list"]},
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["b", "a"], "verbs": ["get"]},
                {"nonResourceURLs": ["/healthz", "/metrics"], "verbs": ["post", "get"]}
            ]),
            &[
                "pods [] [] [get list watch]",
                "deployments/scale [] [] [get list]",
                "deployments.apps/scale [] [] [get list]",
                "pods.apps [] [] [get list]",
                " [/healthz] [] [get]",
                " [/metrics] [] [get]",
                "secrets [] [a] [get]",
                "secrets [] [b] [get]",
                " [/healthz] [] [post]",
                " [/metrics] [] [post]",
            ],
        );
        check(json!([{"apiGroups": [""], "resources": ["pods"], "verbs": []}]), &[]);
    }
}
