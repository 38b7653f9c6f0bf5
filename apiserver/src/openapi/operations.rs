//! What can be done at which path: the same for both versions of OpenAPI.

use api::schema::Schema;

use super::definitions::{DELETE_OPTIONS, PATCH, RESOURCE_LIST, STATUS, type_name};
use super::parameters::{self, Parameter};
use crate::discovery::order::Version;
use crate::discovery::{Subresource, subresources, verbs};
use crate::registry::Resource;
use crate::request::Verb;
use crate::strategy::Names;

/// A path with its operations.
pub(super) struct PathItem {
    pub(super) path: String,
    /// Of every operation.
    pub(super) parameters: Vec<Parameter>,
    pub(super) operations: Vec<Operation>,
}

/// One method at a path.
pub(super) struct Operation {
    /// In lower case.
    pub(super) method: &'static str,
    pub(super) id: String,
    pub(super) description: String,
    pub(super) tag: String,
    /// `x-kubernetes-action` and the kind that it is about; `None` for discovery.
    pub(super) about: Option<(&'static str, [String; 3])>,
    pub(super) parameters: Vec<Parameter>,
    /// The media types and the schema of the body, and whether it must be there.
    pub(super) body: Option<(&'static [&'static str], String, bool)>,
    /// The codes of success.
    pub(super) codes: &'static [(&'static str, &'static str)],
    pub(super) response: String,
    /// Whether the answer may be a stream of changes.
    pub(super) watchable: bool,
}

const OK: (&str, &str) = ("200", "OK");
const CREATED: (&str, &str) = ("201", "Created");
const ACCEPTED: (&str, &str) = ("202", "Accepted");
const ANY_BODY: &[&str] = &["*/*"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Every path of a version of a group.
pub(super) fn paths(group: &str, version: &Version<'_>) -> Vec<PathItem> {
    let api = Api::new(group, version.name);
    let mut items = vec![api.discovery()];
    for resource in &version.resources {
        api.add_resource(resource, &mut items);
    }
    items.sort_by(|one, other| one.path.cmp(&other.path));
    items
}

/// A group and version, in the ways in which operations are named after it.
struct Api {
    root: String,
    tag: String,
    camel: String,
}

impl Api {
    fn new(group: &str, version: &str) -> Api {
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let short = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
        let camel = format!("{}{}", camel_case(short, true), camel_case(version, true));
        Api { root, tag: format!("{}_{}", camel_case(short, false), camel_case(version, false)), camel }
    }

    fn discovery(&self) -> PathItem {
        let get = Operation {
            method: "get",
            id: format!("get{}APIResources", self.camel),
            description: "get available resources".to_owned(),
            tag: self.tag.clone(),
            about: None,
            parameters: Vec::new(),
            body: None,
            codes: &[OK],
            response: RESOURCE_LIST.to_owned(),
            watchable: false,
        };
        PathItem { path: format!("{}/", self.root), parameters: Vec::new(), operations: vec![get] }
    }

    fn add_resource(&self, resource: &Resource, items: &mut Vec<PathItem>) {
        let names = resource.kind.names();
        let verbs = verbs(&names.group, &names.plural);
        let scope = if names.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{}{scope}/{}", self.root, names.plural);
        let one = format!("{collection}/{{name}}");
        let operations = |wanted: &[Verb]| {
            let wanted = wanted.iter().filter(|verb| verbs.contains(verb));
            wanted.map(|verb| self.operation(*verb, names, None)).collect::<Vec<_>>()
        };
        let mut add = |path: &str, parameters: Vec<Parameter>, operations: Vec<Operation>| {
            if !operations.is_empty() {
                items.push(PathItem { path: path.to_owned(), parameters, operations });
            }
        };
        add(&collection, scoped(names, false), operations(&[Verb::DeleteCollection, Verb::List, Verb::Create]));
        if names.namespaced && verbs.contains(&Verb::List) {
            let mut list = self.operation(Verb::List, names, None);
            list.id = format!("list{}{}ForAllNamespaces", self.camel, names.kind);
            add(&format!("{}/{}", self.root, names.plural), vec![parameters::PRETTY], vec![list]);
        }
        add(&one, scoped(names, true), operations(&[Verb::Delete, Verb::Get, Verb::Patch, Verb::Update]));
        for part in subresources(&*resource.kind).into_iter().filter(|part| !part.is_passed_on()) {
            let of = part.verbs.iter().map(|verb| self.operation(*verb, names, Some(&part))).collect();
            add(&format!("{one}/{}", part.name), scoped(names, true), of);
        }
    }

    fn operation(&self, verb: Verb, names: &Names, part: Option<&Subresource>) -> Operation {
        let (group, version, kind) =
            part.map_or((&*names.group, &*names.version, &*names.kind), |part| part.kind(names));
        let object = type_name(group, version, kind);
        let (method, action, word) = match verb {
            Verb::Get => ("get", "get", "read"),
            Verb::List | Verb::Watch => ("get", "list", "list"),
            Verb::Create => ("post", "post", "create"),
            Verb::Update => ("put", "put", "replace"),
            Verb::Patch => ("patch", "patch", "patch"),
            Verb::Delete => ("delete", "delete", "delete"),
            Verb::DeleteCollection => ("delete", "deletecollection", "delete"),
        };
        let collection = if verb == Verb::DeleteCollection { "Collection" } else { "" };
        let namespaced = if names.namespaced { "Namespaced" } else { "" };
        let suffix = part.map(|part| camel_case(part.name, true)).unwrap_or_default();
        let id = format!("{word}{}{collection}{namespaced}{}{suffix}", self.camel, names.kind);
        let (codes, response): (&'static [_], String) = match verb {
            Verb::Get => (&[OK], object.clone()),
            Verb::List | Verb::Watch => (&[OK], list_name(names)),
            Verb::Create => (&[OK, CREATED, ACCEPTED], object.clone()),
            Verb::Update | Verb::Patch => (&[OK, CREATED], object.clone()),
            Verb::Delete => (&[OK, ACCEPTED], STATUS.to_owned()),
            Verb::DeleteCollection => (&[OK], STATUS.to_owned()),
        };
        let body = match verb {
            Verb::Create | Verb::Update => Some((ANY_BODY, object, true)),
            Verb::Patch => Some((PATCHES, PATCH.to_owned(), true)),
            Verb::Delete | Verb::DeleteCollection => Some((ANY_BODY, DELETE_OPTIONS.to_owned(), false)),
            Verb::Get | Verb::List | Verb::Watch => None,
        };
        Operation {
            method,
            id,
            description: description(verb, &names.kind, part),
            tag: self.tag.clone(),
            about: Some((action, [group.to_owned(), version.to_owned(), kind.to_owned()])),
            parameters: parameters::of(verb),
            body,
            codes,
            response,
            watchable: verb == Verb::List,
        }
    }
}

/// Turns words with punctuation between them into one, as upstream makes names of operations.
fn camel_case(words: &str, mut capital: bool) -> String {
    let mut out = String::new();
    for (at, letter) in words.char_indices() {
        if !(letter.is_alphabetic() || letter == '_' || (at != 0 && letter.is_numeric())) {
            capital = true;
        } else if std::mem::take(&mut capital) {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
    }
    out
}

fn list_name(names: &Names) -> String {
    let list = format!("{}List", names.kind);
    match Schema::of(&names.group, &names.version, &list) {
        Some(of) => of.name().to_owned(),
        None => format!("{}List", type_name(&names.group, &names.version, &names.kind)),
    }
}

fn scoped(names: &Names, named: bool) -> Vec<Parameter> {
    let mut found = Vec::new();
    if named {
        found.push(parameters::name_of(&names.kind));
    }
    if names.namespaced {
        found.push(parameters::NAMESPACE);
    }
    found.push(parameters::PRETTY);
    found
}

fn description(verb: Verb, kind: &str, part: Option<&Subresource>) -> String {
    let of = part.map(|part| format!("{} of ", part.name)).unwrap_or_default();
    match verb {
        Verb::Get => format!("read {of}the specified {kind}"),
        Verb::List | Verb::Watch => format!("list or watch objects of kind {kind}"),
        Verb::Create => format!("create {of}a {kind}"),
        Verb::Update => format!("replace {of}the specified {kind}"),
        Verb::Patch => format!("partially update {of}the specified {kind}"),
        Verb::Delete => format!("delete {of}a {kind}"),
        Verb::DeleteCollection => format!("delete collection of {kind}"),
    }
}
