//! Cases of policies.

use std::path::Path;

use super::super::policy::{Level, Policy, Stage, Stages};
use crate::authn::Identity;
use crate::authz::Attributes;

fn policy(rules: &str) -> String {
    format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n{rules}")
}

fn asked(verb: &str, what: &str, namespace: &str, name: &str) -> Attributes {
    let (group, rest) = what.split_once(':').unwrap_or_default();
    let (resource, subresource) = rest.split_once('/').unwrap_or((rest, ""));
    let [verb, group, resource, subresource, namespace, name] =
        [verb, group, resource, subresource, namespace, name].map(str::to_owned);
    Attributes { verb, group, resource, subresource, namespace, name, ..Attributes::default() }
}

fn path(path: &str) -> Attributes {
    Attributes { verb: "get".to_owned(), path: path.to_owned(), ..Attributes::default() }
}

fn somebody(user: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Identity { user: user.to_owned(), groups, ..Identity::default() }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let (policy, warnings) = Policy::parse(&policy(
        "
- {level: None, users: [probe], verbs: [get, list]}
- {level: RequestResponse, userGroups: [ops], omitStages: [ResponseStarted], omitManagedFields: true}
- {level: None, nonResourceURLs: ['/healthz*', /version]}
- {level: Request, resources: [{resources: ['pods/*']}, {group: apps, resources: [deployments], resourceNames: [web]}]}
- {level: RequestResponse, resources: [{resources: ['*/status', secrets]}], namespaces: [a, '']}
- {level: Metadata, resources: [{group: batch}]}
- {level: Metadata, nonResourceURLs: ['*']}
",
    ))
    .unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let check = |user: &str, groups: &[&str], asked: Attributes, expected: Level| {
        assert_eq!(policy.wanted(Some(&somebody(user, groups)), &asked).level, expected, "{user} {asked:?}");
    };
    check("probe", &["ops"], asked("get", ":secrets", "a", "s"), Level::None);
    check("probe", &["ops"], asked("delete", ":secrets", "a", "s"), Level::RequestResponse);
    check("ann", &[], path("/healthz/etcd"), Level::None);
    check("ann", &[], path("/version"), Level::None);
    check("ann", &[], path("/version/"), Level::Metadata);
    check("ann", &[], asked("get", ":pods", "a", "p"), Level::Request);
    check("ann", &[], asked("create", ":pods/exec", "a", "p"), Level::Request);
    check("ann", &[], asked("get", "apps:deployments", "a", "web"), Level::Request);
    check("ann", &[], asked("get", "apps:deployments", "a", "other"), Level::None);
    check("ann", &[], asked("update", ":nodes/status", "", "n"), Level::RequestResponse);
    check("ann", &[], asked("get", ":nodes", "", "n"), Level::None);
    check("ann", &[], asked("get", ":secrets", "b", "s"), Level::None);
    check("ann", &[], asked("get", "batch:jobs/status", "b", "j"), Level::Metadata);
    // Nobody in particular is in no group and has no name.
    assert_eq!(policy.wanted(None, &path("/metrics")).level, Level::Metadata);
}

#[test]
fn each_part_of_a_rule_has_upstreams_meaning() {
    let ann = somebody("ann", &["dev"]);
    let check = |rule: &str, identity: Option<&Identity>, asked: &Attributes, is_about: bool| {
        let (policy, _) = Policy::parse(&policy(&format!("- {{level: Request{rule}}}"))).unwrap();
        let expected = if is_about { Level::Request } else { Level::None };
        assert_eq!(policy.wanted(identity, asked).level, expected, "{rule} {asked:?}");
    };
    let rule = |rule: &str, asked: &Attributes, is_about: bool| check(rule, Some(&ann), asked, is_about);
    let pod = asked("get", ":pods", "a", "p");
    let log = asked("get", ":pods/log", "a", "p");
    let scale = asked("update", "apps:deployments/scale", "a", "d");
    let node = asked("get", ":nodes", "", "n");

    rule("", &pod, true);
    rule("", &path("/x"), true);
    check(", users: ['']", None, &pod, false);
    check(", userGroups: [dev]", None, &pod, false);
    rule(", users: [ann], userGroups: [dev], verbs: [list, get]", &pod, true);
    rule(", users: [ann], userGroups: [ops], verbs: [get]", &pod, false);
    rule(", users: [ann], verbs: ['*']", &pod, false);
    rule(", users: null, verbs: []", &pod, true);

    rule(", resources: [{resources: [pods]}]", &pod, true);
    rule(", resources: [{resources: [pods]}]", &log, false);
    rule(", resources: [{resources: [pods/log]}]", &log, true);
    rule(", resources: [{resources: [pods/log]}]", &pod, false);
    rule(", resources: [{resources: ['pods/*']}]", &log, true);
    rule(", resources: [{resources: ['pods/*']}]", &pod, true);
    rule(", resources: [{resources: ['*']}]", &log, true);
    rule(", resources: [{resources: ['*/*']}]", &log, false);
    rule(", resources: [{resources: ['*/*']}]", &pod, false);
    rule(", resources: [{resources: ['*/log']}]", &log, true);
    rule(", resources: [{resources: ['*/']}]", &pod, false);
    rule(", resources: [{resources: ['*/scale']}]", &scale, false);
    rule(", resources: [{group: apps, resources: ['*/scale']}]", &scale, true);
    rule(", resources: [{group: apps}]", &scale, true);
    rule(", resources: [{}]", &pod, true);
    rule(", resources: [{}]", &scale, false);
    rule(", resources: [{resources: [pods], resourceNames: [p]}]", &pod, true);
    rule(", resources: [{resources: [pods], resourceNames: [q, r]}]", &pod, false);
    rule(", resources: [{resources: ['*'], resourceNames: [p]}]", &log, true);
    rule(", resources: [{resources: [pods]}]", &path("/x"), false);

    rule(", namespaces: [a]", &pod, true);
    rule(", namespaces: [a]", &node, false);
    rule(", namespaces: ['']", &node, true);
    rule(", namespaces: ['']", &pod, false);
    rule(", namespaces: ['']", &path("/x"), false);
    rule(", namespaces: [a], resources: [{resources: [nodes]}]", &pod, false);

    rule(", nonResourceURLs: ['*']", &path("/x/y"), true);
    rule(", nonResourceURLs: ['*']", &pod, false);
    rule(", nonResourceURLs: ['/x*']", &path("/x/y"), true);
    rule(", nonResourceURLs: ['/x/*']", &path("/x"), false);
    rule(", nonResourceURLs: [/x]", &path("/x/y"), false);
}

#[test]
fn rules_add_stages_to_those_of_the_policy_and_override_the_rest() {
    let check = |of_policy: &str, of_rule: &str, stages: &[Stage], omits_managed_fields: bool| {
        let text = format!(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\n{of_policy}\nrules: [{{level: Metadata, users: [ann]{of_rule}}}]"
        );
        let wanted = Policy::parse(&text).unwrap().0.wanted(Some(&somebody("ann", &[])), &path("/x"));
        let stages: Stages = stages.iter().copied().collect();
        assert_eq!((wanted.omit_stages, wanted.omit_managed_fields), (stages, omits_managed_fields), "{text}");
    };
    check("", "", &[], false);
    check("omitStages: [RequestReceived]", ", omitStages: [Panic]", &[Stage::Panic, Stage::RequestReceived], false);
    check("omitManagedFields: true", "", &[], true);
    check("omitManagedFields: true", ", omitManagedFields: false", &[], false);
    check("", ", omitManagedFields: true", &[], true);
}

#[test]
fn what_is_wrong_with_a_policy_is_told_by_its_place() {
    let check = |text: &str, expected: &str| {
        let told = Policy::parse(text).unwrap_err();
        assert!(told.contains(expected), "{told}");
    };
    let v1beta1 = "kind: Policy\napiVersion: audit.k8s.io/v1beta1\nrules: [{level: None}]";
    check(v1beta1, "apiVersion: must be audit.k8s.io/v1, not \"audit.k8s.io/v1beta1\"");
    check("kind: Event\napiVersion: audit.k8s.io/v1\nrules: [{level: None}]", "kind: must be Policy, not \"Event\"");
    check("kind: Policy\napiVersion: audit.k8s.io/v1", "rules: loaded illegal policy with 0 rules");
    check("", "");
    check("- no", "");
    check("{", "");
    let rules = |rules: &str, expected: &str| check(&policy(rules), expected);
    rules("- {level: None}\n- {level: None, users: 5}", "rules[1]: ");
    rules(
        "- {level: Some}",
        "rules[0].level: Unsupported value: \"Some\": supported values: \"None\", \"Metadata\", \"Request\", \
         \"RequestResponse\"",
    );
    rules("- {verbs: [get]}", "rules[0].level: Required value");
    rules(
        "- {level: None, omitStages: [RequestReceived, Never]}",
        "rules[0].omitStages[1]: Invalid value: \"Never\": allowed stages are \
         RequestReceived,ResponseStarted,ResponseComplete,Panic",
    );
    rules(
        "- {level: None, nonResourceURLs: [healthz]}",
        "rules[0].nonResourceURLs[0]: Invalid value: \"healthz\": non-resource URL rules must begin with a '/' character",
    );
    let final_character = "non-resource URL wildcards '*' must be the final character of the rule";
    rules("- {level: None, nonResourceURLs: ['/a*b']}", final_character);
    rules("- {level: None, nonResourceURLs: ['/a**']}", final_character);
    rules(
        "- {level: None, nonResourceURLs: [/a], namespaces: [b]}",
        "rules[0].nonResourceURLs: Invalid value: \"/a\": rules cannot apply to both regular resources and non-resource URLs",
    );
    rules(
        "- {level: None, resources: [{resourceNames: [a]}]}",
        "rules[0].resources[0].resourceNames: Invalid value: \"a\": using resourceNames requires at least one resource",
    );
    rules(
        "- {level: None, resources: [{group: apps/v1}]}",
        "rules[0].resources[0].group: Invalid value: \"apps/v1\": a lowercase RFC 1123 subdomain must consist of",
    );
    rules("- {level: None, resources: [{group: '*'}]}", "rules[0].resources[0].group: Invalid value: \"*\"");
    // All of it is told at once.
    rules("- {level: None, nonResourceURLs: [a]}\n- {verbs: [get]}", ", rules[1].level: Required value]");
    let missing = Policy::read(Path::new("/nowhere/policy.yaml")).unwrap_err();
    assert!(missing.to_string().starts_with("the audit policy /nowhere/policy.yaml cannot be read: "), "{missing}");
}

#[test]
fn what_is_not_known_is_warned_of() {
    let check = |text: &str, expected: &[&str]| {
        let (_, warnings) = Policy::parse(text).unwrap();
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        warnings.iter().zip(expected).for_each(|(warning, expected)| assert!(warning.contains(expected), "{warning}"));
    };
    check(&policy("- {level: None}"), &[]);
    check(
        &policy("- {level: None}\n- {level: None, user: [a], resources: [{resource: [b]}]}")
            .replace("kind", "king: x\nkind"),
        &["\"king\" is passed over", "\"rules[1].user\"", "\"rules[1].resources[0].resource\""],
    );
    check(&policy("- {level: None, level: Request}"), &["duplicate"]);
}
