//! What belongs where a line is typed. Pure.

use clap::{Arg, Command, ValueHint};

use super::line::{At, Line, by_long, name};

/// What belongs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// These words, each with what it means.
    Words(Vec<(String, String)>),
    Files,
    Directories,
    /// Names that have to be asked for.
    Live(Live),
}

/// Names that a cluster or a kubeconfig has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Live {
    /// Kinds of objects, as people call them.
    Kinds,
    /// API groups.
    Groups,
    /// Objects of what people call so; those that the line has already are left out.
    Objects(String),
    /// Pods, as `cp` takes them: a colon and a path follow.
    Copied,
    /// The containers of the pods of what people call so.
    Containers(String),
    /// Ports of a pod or of what has pods.
    Ports(String),
    /// Entries of a kubeconfig: `contexts`, `clusters` or `users`.
    Entries(&'static str),
}

/// What has pods, and verbs for pods take.
const WITH_PODS: [&str; 7] = ["daemonsets", "deployments", "jobs", "pods", "replicasets", "services", "statefulsets"];
const SCALABLE: [&str; 4] = ["deployments", "replicasets", "replicationcontrollers", "statefulsets"];
const ROLLED_OUT: [&str; 3] = ["daemonsets", "deployments", "statefulsets"];
const WITH_TEMPLATE: [&str; 7] =
    ["cronjobs", "daemonsets", "deployments", "jobs", "pods", "replicasets", "statefulsets"];
const EXPOSABLE: [&str; 5] = ["deployments", "pods", "replicasets", "replicationcontrollers", "services"];

/// What belongs where the line is typed.
pub(super) fn wants(line: &mut Line, command: &Command) -> Vec<Want> {
    match line.at.clone() {
        At::Option => options(command),
        At::Value(long) => value(line, command, &long),
        At::Argument if line.is_behind_dashes => vec![Want::Files],
        At::Argument => {
            let verbs = verbs(command, line.verb.is_empty());
            if !verbs.is_empty() && line.arguments.is_empty() {
                return vec![Want::Words(verbs)];
            }
            arguments(line, command)
        }
    }
}

fn words(texts: &[&str]) -> Want {
    Want::Words(texts.iter().map(|text| ((*text).to_owned(), String::new())).collect())
}

/// The same of kinds, which names follow.
fn before_names(kinds: &[&str]) -> Want {
    Want::Words(kinds.iter().map(|kind| (format!("{kind}/"), String::new())).collect())
}

fn objects(of: &str) -> Want {
    Want::Live(Live::Objects(of.to_owned()))
}

/// The verbs of a command, with what they do. Everywhere but at the beginning `--help` is shorter than `help`.
fn verbs(command: &Command, is_first: bool) -> Vec<(String, String)> {
    let is_shown = |verb: &&Command| !verb.is_hide_set() && (is_first || verb.get_name() != "help");
    let shown = command.get_subcommands().filter(is_shown);
    shown.map(|verb| (verb.get_name().to_owned(), verb.get_about().map(first_line).unwrap_or_default())).collect()
}

/// The options of a command, with what they are.
fn options(command: &Command) -> Vec<Want> {
    let mut found = Vec::new();
    for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
        let meaning = option.get_help().map(first_line).unwrap_or_default();
        found.extend(option.get_long().map(|long| (format!("--{long}"), meaning.clone())));
        found.extend(option.get_short().map(|short| (format!("-{short}"), meaning)));
    }
    vec![Want::Words(found)]
}

fn first_line(text: &clap::builder::StyledStr) -> String {
    text.to_string().lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// Values that the program lists itself.
fn possible(argument: &Arg) -> Vec<(String, String)> {
    let shown = argument.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    shown.map(|value| (value.get_name().to_owned(), value.get_help().map(first_line).unwrap_or_default())).collect()
}

/// What an option takes.
fn value(line: &mut Line, command: &Command, long: &str) -> Vec<Want> {
    let Some(option) = by_long(command, long).or_else(|| command.get_arguments().find(|option| name(option) == long))
    else {
        return Vec::new();
    };
    let listed = possible(option);
    if !listed.is_empty() {
        return vec![Want::Words(listed)];
    }
    let verb = |at: usize| line.verb.get(at).cloned().unwrap_or_default();
    let (first, second) = (verb(0), verb(1));
    match (long, first.as_str()) {
        ("namespace", _) => vec![objects("namespaces")],
        ("context", _) => vec![Want::Live(Live::Entries("contexts"))],
        ("cluster", _) => vec![Want::Live(Live::Entries("clusters"))],
        ("user", "create" | "set") => Vec::new(),
        ("user", _) => vec![Want::Live(Live::Entries("users"))],
        ("container", _) => of_container(line),
        ("output", _) => formats(&first, &second),
        ("subresource", _) => vec![words(&["scale", "status"])],
        ("for", "wait") => vec![words(&["condition=", "create", "delete", "jsonpath="])],
        ("for", "events") | ("resource", "create") => vec![Want::Live(Live::Kinds)],
        ("verb", "create") => {
            vec![words(&["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch", "*"])]
        }
        ("role", _) => vec![objects("roles")],
        ("clusterrole", _) => vec![objects("clusterroles")],
        ("class", _) => vec![objects("ingressclasses")],
        ("from", "create") => of_type(line, &["cronjob"]),
        ("from", "set") => of_type(line, &["configmap", "secret"]),
        ("api-group", _) => vec![Want::Live(Live::Groups)],
        ("restart", _) => vec![words(&["Always", "Never", "OnFailure"])],
        ("image-pull-policy", _) => vec![words(&["Always", "IfNotPresent", "Never"])],
        ("type", "expose") => vec![words(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])],
        ("log-level", _) => vec![words(&["debug", "error", "info", "trace", "warn"])],
        ("sort-by", "top") => vec![words(&["cpu", "memory"])],
        _ => of_hint(option),
    }
}

/// Files and directories, where the program wants some.
fn of_hint(argument: &Arg) -> Vec<Want> {
    let is_called = |end: &str| {
        let mut names = argument.get_value_names().unwrap_or_default().iter();
        names.any(|name| name.as_str().ends_with(end))
    };
    match argument.get_value_hint() {
        _ if is_called("DIR") => vec![Want::Directories],
        ValueHint::DirPath => vec![Want::Directories],
        ValueHint::FilePath | ValueHint::AnyPath => vec![Want::Files],
        _ if is_called("FILE") => vec![Want::Files],
        _ => Vec::new(),
    }
}

fn of_container(line: &Line) -> Vec<Want> {
    let what = match (line.arguments.first(), line.arguments.get(1)) {
        (None, _) => return Vec::new(),
        // `set image deployment a -c x`.
        (Some(kind), Some(name)) if line.verb.first().is_some_and(|verb| verb == "set") && !kind.contains('/') => {
            format!("{kind}/{name}")
        }
        (Some(what), _) => what.clone(),
    };
    vec![Want::Live(Live::Containers(what))]
}

/// TYPE/NAME of one of these types.
fn of_type(line: &mut Line, kinds: &[&str]) -> Vec<Want> {
    vec![of_slash(line).map_or_else(|| before_names(kinds), |kind| objects(&kind))]
}

/// The formats of `-o`.
fn formats(verb: &str, second: &str) -> Vec<Want> {
    match (verb, second) {
        ("api-resources", _) => vec![words(&["json", "name", "wide", "yaml"])],
        ("certs" | "version", _) => vec![words(&["json", "yaml"])],
        ("apply", "view-last-applied") => vec![words(&["json", "yaml"])],
        ("delete", _) => vec![words(&["name"])],
        ("config", "get-contexts") => vec![words(&["name"])],
        ("get" | "events", _) => {
            let plain = words(&["json", "name", "wide", "yaml"]);
            vec![plain, words(&["custom-columns-file=", "custom-columns=", "jsonpath-file=", "jsonpath="])]
        }
        _ => vec![words(&["json", "name", "yaml"]), words(&["jsonpath-file=", "jsonpath="])],
    }
}

/// What a verb takes next that is no option.
fn arguments(line: &mut Line, command: &Command) -> Vec<Want> {
    let so_far = line.arguments.clone();
    let verbs: Vec<String> = line.verb.clone();
    let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
    let next = so_far.len();
    match verbs.as_slice() {
        ["get" | "describe" | "delete" | "edit" | "label" | "annotate" | "patch" | "wait" | "why"] => {
            type_and_names(line, None)
        }
        ["apply", "edit-last-applied" | "view-last-applied"] => type_and_names(line, None),
        ["explain"] if next == 0 => vec![Want::Live(Live::Kinds)],
        ["expose"] => type_and_names(line, Some(&EXPOSABLE)),
        ["scale" | "autoscale"] => type_and_names(line, Some(&SCALABLE)),
        ["rollout", _] => type_and_names(line, Some(&ROLLED_OUT)),
        ["set", "selector"] => type_and_names(line, Some(&["services"])),
        ["set", "subject"] => type_and_names(line, Some(&["clusterrolebindings", "rolebindings"])),
        ["set", _] => type_and_names(line, Some(&WITH_TEMPLATE)),
        ["logs" | "exec" | "attach" | "port-forward"] if next == 0 => pod_or_owner(line),
        ["logs"] if next == 1 => vec![Want::Live(Live::Containers(so_far.concat()))],
        ["port-forward"] => vec![Want::Live(Live::Ports(so_far.first().cloned().unwrap_or_default()))],
        ["cp"] if next < 2 && line.typed().contains(':') => Vec::new(),
        ["cp"] if next < 2 => vec![Want::Files, Want::Live(Live::Copied)],
        ["top"] if next == 0 => vec![words(&["node", "pod"])],
        ["top"] if next == 1 => vec![objects(&so_far.concat())],
        ["cordon" | "uncordon" | "drain"] => vec![objects("nodes")],
        ["taint"] if next == 0 => vec![words(&["nodes"])],
        ["taint"] => vec![objects("nodes")],
        ["certificate", _] => vec![objects("certificatesigningrequests")],
        ["auth", "can-i"] if next == 0 => vec![words(&["create", "delete", "get", "list", "patch", "update", "watch"])],
        ["auth", "can-i"] if next == 1 => vec![Want::Live(Live::Kinds)],
        ["create", "token"] if next == 0 => vec![objects("serviceaccounts")],
        ["config", "delete-cluster" | "set-cluster"] if next == 0 => vec![Want::Live(Live::Entries("clusters"))],
        ["config", "delete-user" | "set-credentials"] if next == 0 => vec![Want::Live(Live::Entries("users"))],
        ["config", "use-context" | "delete-context" | "set-context" | "rename-context"] if next == 0 => {
            vec![Want::Live(Live::Entries("contexts"))]
        }
        ["config", "get-contexts"] => vec![Want::Live(Live::Entries("contexts"))],
        _ => of_position(command, next),
    }
}

/// What the program says of an argument that is told by its position.
fn of_position(command: &Command, next: usize) -> Vec<Want> {
    let positions: Vec<&Arg> = command.get_positionals().filter(|argument| !argument.is_last_set()).collect();
    let is_many = |argument: &&&Arg| argument.get_num_args().is_some_and(|range| range.max_values() > 1);
    let Some(argument) = positions.get(next).or_else(|| positions.last().filter(is_many)) else { return Vec::new() };
    let listed = possible(argument);
    if listed.is_empty() { of_hint(argument) } else { vec![Want::Words(listed)] }
}

/// TYPE, then names; or TYPE/NAME.
fn type_and_names(line: &mut Line, only: Option<&[&str]>) -> Vec<Want> {
    if let Some(kind) = of_slash(line) {
        return vec![objects(&kind)];
    }
    match line.arguments.first() {
        None => {
            line.keep_until_last(',');
            vec![only.map_or(Want::Live(Live::Kinds), words)]
        }
        Some(first) if first.contains('/') => match only {
            Some(only) => vec![before_names(only)],
            None => vec![Want::Live(Live::Kinds)],
        },
        Some(kinds) => kinds.split(',').map(objects).collect(),
    }
}

/// A pod, or TYPE/NAME of what has some.
fn pod_or_owner(line: &mut Line) -> Vec<Want> {
    if let Some(kind) = of_slash(line) {
        return vec![objects(&kind)];
    }
    vec![objects("pods"), before_names(&WITH_PODS)]
}

/// The type, if the name behind it is typed now.
fn of_slash(line: &mut Line) -> Option<String> {
    let kind = line.typed().split_once('/').map(|(kind, _)| kind.to_owned())?;
    line.keep_until_last('/');
    Some(kind)
}
