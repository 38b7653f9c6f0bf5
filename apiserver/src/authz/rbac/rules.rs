//! What rules of roles allow, which of them somebody lacks, and how they are written in messages. All of it is pure.

use api::field::go_quote;
use api::rbac::{self, ALL, has, has_url, list};
use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::authz::Attributes;

/// Whether a rule allows what is asked for (the rules of matching are those of the documentation of `PolicyRule`).
pub(crate) fn allows(rule: &PolicyRule, asked: &Attributes) -> bool {
    if !has(&rule.verbs, &asked.verb) {
        return false;
    }
    if !asked.is_resource() {
        return list(&rule.non_resource_urls).iter().any(|url| has_url(url, &asked.path));
    }
    has(list(&rule.api_groups), &asked.group)
        && list(&rule.resources).iter().any(|resource| resource_matches(resource, asked))
        && name_matches(list(&rule.resource_names), &asked.name)
}

fn resource_matches(pattern: &str, asked: &Attributes) -> bool {
    let Attributes { resource, subresource, .. } = asked;
    if pattern == ALL {
        return true;
    }
    if subresource.is_empty() {
        return pattern == resource;
    }
    let Some((of, part)) = pattern.split_once('/') else { return false };
    part == subresource && (of == ALL || of == resource)
}

fn name_matches(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|known| known == name)
}

/// The rules of `wanted`, taken apart, that nobody with the rules `held` has; as far as possible put together again.
pub(crate) fn missing(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    put_together(rbac::missing(held, wanted))
}

/// Joins rules of one thing that differ in their verbs only.
fn put_together(parts: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut whole: Vec<PolicyRule> = Vec::new();
    for part in parts {
        let same = |rule: &&mut PolicyRule| {
            rule.api_groups == part.api_groups
                && rule.resources == part.resources
                && rule.resource_names == part.resource_names
                && rule.non_resource_urls == part.non_resource_urls
        };
        // Upstream joins those of resources, and leaves those of URLs apart.
        if let Some(rule) = whole.iter_mut().filter(|_| part.resources.is_some()).find(same) {
            let more: Vec<String> = part.verbs.into_iter().filter(|verb| !rule.verbs.contains(verb)).collect();
            rule.verbs.extend(more);
        } else if !whole.contains(&part) {
            whole.push(part);
        }
    }
    whole
}

/// A rule on one line, as messages show it.
pub(super) fn shown(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", list(&rule.api_groups)),
        ("Resources", list(&rule.resources)),
        ("NonResourceURLs", list(&rule.non_resource_urls)),
        ("ResourceNames", list(&rule.resource_names)),
        ("Verbs", &rule.verbs),
    ];
    let parts = parts.iter().filter(|(_, values)| !values.is_empty());
    let parts: Vec<String> = parts.map(|(name, values)| format!("{name}:{}", quoted(values))).collect();
    format!("{{{}}}", parts.join(", "))
}

/// A list of texts as Go quotes it.
pub(super) fn quoted(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| go_quote(value)).collect();
    format!("[{}]", values.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verbs groups resources names`, or `verbs url`; several of one are joined by commas.
    fn rule(text: &str) -> PolicyRule {
        let mut words = text.split(' ');
        let mut next = || {
            let word = words.next()?;
            Some(word.split(',').map(|value| if value == "core" { String::new() } else { value.to_owned() }).collect())
        };
        let verbs: Vec<String> = next().unwrap();
        if text.contains(" /") || verbs.is_empty() || text.ends_with(" url*") {
            let urls: Vec<String> = next().unwrap();
            let urls = urls.into_iter().map(|url| if url == "url*" { ALL.to_owned() } else { url }).collect();
            return PolicyRule { verbs, non_resource_urls: Some(urls), ..PolicyRule::default() };
        }
        PolicyRule { verbs, api_groups: next(), resources: next(), resource_names: next(), non_resource_urls: None }
    }

    fn asked(text: &str) -> Attributes {
        let words: Vec<&str> = text.split(' ').collect();
        if words[1].starts_with('/') {
            return Attributes { verb: words[0].to_owned(), path: words[1].to_owned(), ..Attributes::default() };
        }
        let (resource, subresource) = words[2].split_once('/').unwrap_or((words[2], ""));
        Attributes {
            verb: words[0].to_owned(),
            group: words[1].replace("core", ""),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: words.get(3).copied().unwrap_or_default().to_owned(),
            ..Attributes::default()
        }
    }

    #[test]
    fn rules_allow_what_they_say() {
        let check = |of: &str, wanted: &str, expected: bool| {
            assert_eq!(allows(&rule(of), &asked(wanted)), expected, "{of:?} and {wanted:?}");
        };
        check("get core pods", "get core pods", true);
        check("get core pods", "list core pods", false);
        check("get core pods", "get apps pods", false);
        check("get core pods", "get core pods/log", false);
        check("get core pods/log", "get core pods/log", true);
        check("get core pods/log", "get core pods", false);
        check("get core pods/*", "get core pods/log", false);
        check("get core */log", "get core pods/log", true);
        check("get core */log", "get core pods", false);
        check("get core *", "get core pods/log", true);
        check("* * *", "impersonate authentication.k8s.io userextras/scopes a", true);
        check("get core pods a,b", "get core pods b", true);
        check("get core pods a,b", "get core pods c", false);
        // A list has no name.
        check("list core pods a", "list core pods", false);
        check("get /healthz", "get /healthz", true);
        check("get /healthz", "get /healthz/etcd", false);
        check("get /healthz/*", "get /healthz/etcd", true);
        check("get /healthz*", "get /healthz", true);
        check("get /*/a", "get /x/a", false);
        check("get url*", "get /anything", true);
        check("* * *", "get /healthz", false);
        check("get /healthz", "get core pods", false);
    }

    #[test]
    fn what_is_missing_is_put_together() {
        let check = |held: &[&str], wanted: &[&str], expected: &[&str]| {
            let read = |rules: &[&str]| rules.iter().map(|text| rule(text)).collect::<Vec<_>>();
            let missing: Vec<String> = missing(&read(held), &read(wanted)).iter().map(shown).collect();
            assert_eq!(missing, expected, "{wanted:?} of {held:?}");
        };
        let pods = |verbs: &str| format!(r#"{{APIGroups:[""], Resources:["pods"], Verbs:[{verbs}]}}"#);
        check(&[], &["get,list core pods"], &[&pods(r#""get" "list""#)]);
        check(&[], &["get core pods", "list,get core pods"], &[&pods(r#""get" "list""#)]);
        check(&["get core pods"], &["get,list core pods"], &[&pods(r#""list""#)]);
        check(
            &["get core pods a"],
            &["get core pods a,b"],
            &[r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["b"], Verbs:["get"]}"#],
        );
        check(
            &[],
            &["get,put /healthz"],
            &[r#"{NonResourceURLs:["/healthz"], Verbs:["get"]}"#, r#"{NonResourceURLs:["/healthz"], Verbs:["put"]}"#],
        );
        check(&["* * *"], &["get url*"], &[r#"{NonResourceURLs:["*"], Verbs:["get"]}"#]);
    }
}
