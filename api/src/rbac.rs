//! Which rules of roles others cover: what somebody may hand on without more than they have.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// What stands for every verb, group, resource and URL.
pub const ALL: &str = "*";

/// The rules of `wanted`, taken apart into rules of one verb and one thing each, that nobody with the rules `held` has.
#[must_use]
pub fn missing(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !held.iter().any(|rule| covers(rule, part))).collect()
}

/// Whether a rule that has `values` of verbs or groups applies to `value`.
#[must_use]
pub fn has(values: &[String], value: &str) -> bool {
    values.iter().any(|known| known == ALL || known == value)
}

/// Whether a rule's URL covers another, or is that of a request's path. Only at its end is an asterisk one.
#[must_use]
pub fn has_url(url: &str, path: &str) -> bool {
    url == path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
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
                let names = list(&rule.resource_names);
                let named = names.iter().map(|name| PolicyRule { resource_names: one(name), ..part.clone() });
                parts.extend(named);
                if names.is_empty() {
                    parts.push(part);
                }
            }
        }
    }
    for url in list(&rule.non_resource_urls) {
        for verb in &rule.verbs {
            let verbs = vec![verb.clone()];
            parts.push(PolicyRule { non_resource_urls: one(url), verbs, ..PolicyRule::default() });
        }
    }
    parts
}

/// Whether who has `rule` has `part`, which is a rule of one thing.
fn covers(rule: &PolicyRule, part: &PolicyRule) -> bool {
    let (names, wanted) = (list(&rule.resource_names), list(&part.resource_names));
    let has_names = names.is_empty() || (!wanted.is_empty() && has_all(names, wanted, |own, name| own == name));
    part.verbs.iter().all(|verb| has(&rule.verbs, verb))
        && list(&part.api_groups).iter().all(|group| has(list(&rule.api_groups), group))
        && has_all(list(&rule.resources), list(&part.resources), has_resource)
        && has_all(list(&rule.non_resource_urls), list(&part.non_resource_urls), has_url)
        && has_names
}

fn has_all(held: &[String], wanted: &[String], covers: impl Fn(&str, &str) -> bool) -> bool {
    wanted.iter().all(|wanted| held.iter().any(|held| covers(held, wanted)))
}

/// `*/scale` is the subresource of all resources.
fn has_resource(own: &str, resource: &str) -> bool {
    let of_all = || resource.split_once('/').is_some_and(|(_, part)| own.strip_prefix("*/") == Some(part));
    own == ALL || own == resource || of_all()
}

/// The values of a field that may be left out.
#[must_use]
pub fn list(values: &Option<Vec<String>>) -> &[String] {
    values.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verbs groups resources names`, or `verbs /url`; several of one are joined by commas.
    fn rule(text: &str) -> PolicyRule {
        let mut words = text.split(' ');
        let mut next = || {
            let word = words.next()?;
            Some(word.split(',').map(|value| value.replace("core", "")).collect::<Vec<_>>())
        };
        let verbs = next().unwrap();
        let first = next().unwrap();
        if first[0].starts_with('/') || text.split(' ').count() == 2 {
            return PolicyRule { verbs, non_resource_urls: Some(first), ..PolicyRule::default() };
        }
        PolicyRule {
            verbs,
            api_groups: Some(first),
            resources: next(),
            resource_names: next(),
            non_resource_urls: None,
        }
    }

    #[test]
    fn rules_cover_rules() {
        let read = |rules: &[&str]| rules.iter().map(|text| rule(text)).collect::<Vec<_>>();
        for (held, wanted, expected) in [
            (&[] as &[&str], "get,list core pods", &["get core pods", "list core pods"] as &[&str]),
            (&["get core pods", "list core pods"], "get,list core pods", &[]),
            (&["get core pods"], "get,list core pods", &["list core pods"]),
            (&["* * *"], "get,escalate rbac.authorization.k8s.io,core roles,pods/exec a,b", &[]),
            (&["get core pods"], "get core *", &["get core *"]),
            (&["get core pods"], "* core pods", &["* core pods"]),
            (&["* apps deployments"], "get apps deployments/scale", &["get apps deployments/scale"]),
            (&["get core */scale"], "get core a/scale,b/scale", &[]),
            (&["get core */scale"], "get core */scale", &[]),
            (&["get core a/scale"], "get core */scale", &["get core */scale"]),
            (&["get core pods a"], "get core pods a", &[]),
            (&["get core pods a"], "get core pods", &["get core pods"]),
            (&["get core pods a"], "get core pods a,b", &["get core pods b"]),
            (&["get /healthz/*"], "get /healthz/etcd", &[]),
            (&["get /healthz/*"], "get /healthz/*", &[]),
            (&["get *"], "get /healthz/*", &[]),
            (&["get /healthz"], "get /healthz/*", &["get /healthz/*"]),
            // What is no resource is not among all of them.
            (&["* * *"], "get *", &["get *"]),
        ] {
            assert_eq!(missing(&read(held), &[rule(wanted)]), read(expected), "{wanted:?} of {held:?}");
        }
    }
}
