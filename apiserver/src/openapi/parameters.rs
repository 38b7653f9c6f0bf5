//! The parameters of operations.

use std::borrow::Cow;

use crate::request::Verb;

/// A parameter in a path or in a query.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Whether it is a part of the path, and so always there.
    pub(super) in_path: bool,
    /// `string`, `integer` or `boolean`.
    pub(super) kind: &'static str,
    pub(super) description: Cow<'static, str>,
}

pub(super) const NAMESPACE: Parameter = Parameter {
    name: "namespace",
    in_path: true,
    kind: "string",
    description: Cow::Borrowed("object name and auth scope, such as for teams and projects"),
};

pub(super) const PRETTY: Parameter =
    query("pretty", "string", "If 'true', then the output is pretty printed. Defaults to 'false'.");

const DRY_RUN: Parameter = query(
    "dryRun",
    "string",
    "When present, nothing is persisted. The valid value is All: every stage is processed except storage.",
);
const FIELD_MANAGER: Parameter = query(
    "fieldManager",
    "string",
    "The name of the actor that makes these changes: at most 128 printable characters. Apply requests must have it.",
);
const FIELD_VALIDATION: Parameter = query(
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields: Ignore drops them, Warn (the default) answers with a warning for \
     each, Strict fails the request with all of them.",
);

const LIST: [Parameter; 10] = [
    query("allowWatchBookmarks", "boolean", "Asks a watch for events of type BOOKMARK."),
    query(
        "continue",
        "string",
        "The token of an earlier answer that had more to give; everything else about the request must be as it was then. \
         410 ResourceExpired means that the list must be started again.",
    ),
    query("fieldSelector", "string", "Restricts the list by the fields of objects. Defaults to everything."),
    query("labelSelector", "string", "Restricts the list by the labels of objects. Defaults to everything."),
    query(
        "limit",
        "integer",
        "The most objects to answer with. If there are more, the list's metadata has a continue token.",
    ),
    query(
        "resourceVersion",
        "string",
        "Which version of the data may be served. See \
         https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions for details.",
    ),
    query("resourceVersionMatch", "string", "How resourceVersion applies to a list: Exact or NotOlderThan."),
    query(
        "sendInitialEvents",
        "boolean",
        "Has a watch begin with the objects as they are, followed by a bookmark; needs resourceVersionMatch.",
    ),
    query("timeoutSeconds", "integer", "Ends the list or watch after this time."),
    query("watch", "boolean", "Answers with a stream of changes. Specify resourceVersion."),
];

const DELETE: [Parameter; 5] = [
    DRY_RUN,
    query(
        "gracePeriodSeconds",
        "integer",
        "The seconds before the object goes; zero means at once. Defaults to what the object states.",
    ),
    query(
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Deletes an object of which what is stored cannot be read, whatever depends on it; refused for others.",
    ),
    query("orphanDependents", "boolean", "Deprecated: use propagationPolicy. Whether dependents are orphaned."),
    query(
        "propagationPolicy",
        "string",
        "What happens to dependents: Orphan leaves them, Background deletes them afterwards, Foreground deletes them \
         first.",
    ),
];

/// The query parameters of a verb.
pub(super) fn of(verb: Verb) -> Vec<Parameter> {
    match verb {
        Verb::Get => Vec::new(),
        Verb::List | Verb::Watch => LIST.to_vec(),
        Verb::Create | Verb::Update => vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
        Verb::Patch => {
            let force = "Takes over conflicting fields of others. Only for apply requests.";
            vec![DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, query("force", "boolean", force)]
        }
        Verb::Delete => DELETE.to_vec(),
        Verb::DeleteCollection => {
            let selecting = LIST.into_iter().filter(|list| !["allowWatchBookmarks", "watch"].contains(&list.name));
            DELETE.into_iter().chain(selecting).collect()
        }
    }
}

/// The name in a path.
pub(super) fn name_of(kind: &str) -> Parameter {
    Parameter { name: "name", in_path: true, kind: "string", description: format!("name of the {kind}").into() }
}

const fn query(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter { name, in_path: false, kind, description: Cow::Borrowed(description) }
}
