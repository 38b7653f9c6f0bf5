//! Specs as messages show them, which is by the names of their Go fields and in their order.

use k8s_openapi::api::flowcontrol::v1::{
    FlowSchemaSpec, PolicyRulesWithSubjects, PriorityLevelConfigurationSpec, Subject,
};
use serde_json::{Value, json};

use api::field::BadValue;

/// Fields in the order in which they are shown. A map would sort them.
struct Fields<'a>(&'a [(&'a str, Shown<'a>)]);

enum Shown<'a> {
    Plain(Value),
    Fields(Vec<(&'a str, Shown<'a>)>),
    List(Vec<Shown<'a>>),
}

impl serde::Serialize for Fields<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl serde::Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Shown::Plain(value) => value.serialize(serializer),
            Shown::Fields(fields) => Fields(fields).serialize(serializer),
            Shown::List(items) => items.serialize(serializer),
        }
    }
}

/// A pointer: shown as what it points to, or `null`.
fn pointer<'a, T>(value: Option<&T>, show: impl FnOnce(&T) -> Vec<(&'a str, Shown<'a>)>) -> Shown<'a> {
    value.map_or(Shown::Plain(Value::Null), |value| Shown::Fields(show(value)))
}

/// A list, `null` when there is none.
fn list<'a, T>(items: Option<&Vec<T>>, show: impl Fn(&T) -> Vec<(&'a str, Shown<'a>)>) -> Shown<'a> {
    items.map_or(Shown::Plain(Value::Null), |items| {
        Shown::List(items.iter().map(|item| Shown::Fields(show(item))).collect())
    })
}

fn plain(value: impl serde::Serialize) -> Shown<'static> {
    Shown::Plain(json!(value))
}

/// A method by which flows are told apart.
pub(super) fn method(kind: &str) -> BadValue {
    BadValue::json(&Shown::Fields(vec![("Type", plain(kind))]))
}

/// The spec of a schema.
pub(super) fn schema(spec: &FlowSchemaSpec) -> BadValue {
    let level = vec![("Name", plain(&spec.priority_level_configuration.name))];
    BadValue::json(&Shown::Fields(vec![
        ("PriorityLevelConfiguration", Shown::Fields(level)),
        ("MatchingPrecedence", plain(spec.matching_precedence.unwrap_or(0))),
        (
            "DistinguisherMethod",
            pointer(spec.distinguisher_method.as_ref(), |method| vec![("Type", plain(&method.type_))]),
        ),
        ("Rules", list(spec.rules.as_ref(), rules)),
    ]))
}

fn rules(rules: &PolicyRulesWithSubjects) -> Vec<(&'static str, Shown<'static>)> {
    vec![
        ("Subjects", list(Some(&rules.subjects), subject)),
        (
            "ResourceRules",
            list(rules.resource_rules.as_ref(), |rule| {
                vec![
                    ("Verbs", plain(&rule.verbs)),
                    ("APIGroups", plain(&rule.api_groups)),
                    ("Resources", plain(&rule.resources)),
                    ("ClusterScope", plain(rule.cluster_scope.unwrap_or(false))),
                    ("Namespaces", plain(&rule.namespaces)),
                ]
            }),
        ),
        (
            "NonResourceRules",
            list(rules.non_resource_rules.as_ref(), |rule| {
                vec![("Verbs", plain(&rule.verbs)), ("NonResourceURLs", plain(&rule.non_resource_urls))]
            }),
        ),
    ]
}

fn subject(subject: &Subject) -> Vec<(&'static str, Shown<'static>)> {
    vec![
        ("Kind", plain(&subject.kind)),
        ("User", pointer(subject.user.as_ref(), |user| vec![("Name", plain(&user.name))])),
        ("Group", pointer(subject.group.as_ref(), |group| vec![("Name", plain(&group.name))])),
        (
            "ServiceAccount",
            pointer(subject.service_account.as_ref(), |account| {
                vec![("Namespace", plain(&account.namespace)), ("Name", plain(&account.name))]
            }),
        ),
    ]
}

/// The spec of a level.
pub(super) fn level(spec: &PriorityLevelConfigurationSpec) -> BadValue {
    let limited = pointer(spec.limited.as_ref(), |limited| {
        let response = &limited.limit_response;
        let queuing = pointer(response.queuing.as_ref(), |queuing| {
            vec![
                ("Queues", plain(queuing.queues.unwrap_or(0))),
                ("HandSize", plain(queuing.hand_size.unwrap_or(0))),
                ("QueueLengthLimit", plain(queuing.queue_length_limit.unwrap_or(0))),
            ]
        });
        vec![
            ("NominalConcurrencyShares", plain(limited.nominal_concurrency_shares.unwrap_or(0))),
            ("LimitResponse", Shown::Fields(vec![("Type", plain(&response.type_)), ("Queuing", queuing)])),
            ("LendablePercent", plain(limited.lendable_percent)),
            ("BorrowingLimitPercent", plain(limited.borrowing_limit_percent)),
        ]
    });
    let exempt = pointer(spec.exempt.as_ref(), |exempt| {
        vec![
            ("NominalConcurrencyShares", plain(exempt.nominal_concurrency_shares)),
            ("LendablePercent", plain(exempt.lendable_percent)),
        ]
    });
    BadValue::json(&Shown::Fields(vec![("Type", plain(&spec.type_)), ("Limited", limited), ("Exempt", exempt)]))
}
