//! `gantry auth can-i`.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::whoami::bracketed;
use crate::output::table::Printer;
use crate::session::Ask;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// What: VERB TYPE, VERB TYPE/NAME or VERB /PATH.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Of which subresource, such as log or scale.
    #[arg(long, value_name = "NAME", default_value = "")]
    subresource: String,
    /// Say it by the exit code alone.
    #[arg(short, long)]
    quiet: bool,
    /// Show all that may be done in the namespace.
    #[arg(long)]
    list: bool,
    /// Without the header.
    #[arg(long)]
    no_headers: bool,
}

/// Asks whether something may be done: no is exit code 1.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.list {
        return list(&arguments, session).await;
    }
    let [verb, what] = &arguments.what[..] else {
        return Err(Error::said(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'gantry auth can-i -h' for \
             help and examples.",
        ));
    };
    let spec = if what.starts_with('/') {
        if !arguments.subresource.is_empty() {
            return Err(Error::said("--subresource can not be used with NonResourceURL"));
        }
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        json!({"resourceAttributes": attributes(&arguments, verb, what, session).await?})
    };
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let ask = Ask::with(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review);
    let status = session.json(ask).await?["status"].clone();
    let is_allowed = status["allowed"] == true;
    if !arguments.quiet {
        session.say(&answer(&status))?;
    }
    if is_allowed { Ok(()) } else { Err(Error::Exit(1)) }
}

fn answer(status: &Value) -> String {
    if status["allowed"] == true {
        return "yes".to_owned();
    }
    let why = |field: &str| status[field].as_str().filter(|text| !text.is_empty()).map(|text| format!(" - {text}"));
    format!("no{}{}", why("reason").unwrap_or_default(), why("evaluationError").unwrap_or_default())
}

async fn attributes(arguments: &Arguments, verb: &str, what: &str, session: &mut Session<'_>) -> Result<Value, Error> {
    let (name, object) = what.split_once('/').unwrap_or((what, ""));
    let found = match name {
        "*" => None,
        name => session.catalog().await?.find(name).ok().and_then(|found| found.first().map(|it| (*it).clone())),
    };
    let (group, plural) = match &found {
        Some(resource) => (resource.group.clone(), resource.plural.clone()),
        None if name == "*" => ("*".to_owned(), "*".to_owned()),
        None => {
            let (plural, group) = name.split_once('.').unwrap_or((name, ""));
            (group.to_owned(), plural.to_owned())
        }
    };
    if !arguments.quiet {
        match &found {
            None if name != "*" => {
                let (plural, group) = name.split_once('.').unwrap_or((name, ""));
                let of = if group.is_empty() { String::new() } else { format!(" in group '{group}'") };
                session.remark(&format!("Warning: the server doesn't have a resource type '{plural}'{of}\n"))?;
            }
            Some(resource) if !resource.namespaced && !arguments.all_namespaces => {
                let of =
                    if resource.group.is_empty() { String::new() } else { format!(" in group '{}'", resource.group) };
                session.remark(&format!("Warning: resource '{plural}' is not namespace scoped{of}\n"))?;
            }
            _ => {}
        }
    }
    let namespace = if arguments.all_namespaces { String::new() } else { session.namespace().await? };
    Ok(json!({
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": arguments.subresource,
        "name": object,
    }))
}

async fn list(arguments: &Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let namespace = session.namespace().await?;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    });
    let ask = Ask::with(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review);
    let status = session.json(ask).await?["status"].clone();
    if status["incomplete"] == true {
        let why = status["evaluationError"].as_str().unwrap_or_default();
        session.remark(&format!("warning: the list may be incomplete: {why}"))?;
    }
    let mut lines = Vec::new();
    if !arguments.no_headers {
        lines.push(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec());
    }
    lines.extend(rules(&status));
    session.write(&Printer::plain(&lines))
}

/// The rules, a line for each resource, in kubectl's order: that of what they are written as.
fn rules(status: &Value) -> Vec<Vec<String>> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    // Of each: group, resource, names, paths, verbs.
    let mut all: Vec<(String, String, Value, Value, Vec<String>)> = Vec::new();
    for rule in status["resourceRules"].as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let names = rule["resourceNames"].clone();
                let verbs = texts(&rule["verbs"]);
                match all.iter_mut().find(|it| it.0 == group && it.1 == resource && it.2 == names) {
                    Some(known) => known.4.extend(verbs),
                    None => all.push((group.clone(), resource, names, Value::Null, verbs)),
                }
            }
        }
    }
    for rule in status["nonResourceRules"].as_array().into_iter().flatten() {
        for path in texts(&rule["nonResourceURLs"]) {
            all.push((String::new(), String::new(), Value::Null, json!([path]), texts(&rule["verbs"])));
        }
    }
    let key = |it: &(String, String, Value, Value, Vec<String>)| {
        let in_brackets = |text: &str| format!("[{text}]");
        let paths = bracketed(&it.3);
        let group = if it.1.is_empty() { "[]".to_owned() } else { in_brackets(&it.0) };
        format!("[{}],{group},{},{},{paths}", it.4.join(" "), in_brackets(&it.1), bracketed(&it.2))
    };
    all.sort_by_key(key);
    let line = |(group, resource, names, paths, verbs): (String, String, Value, Value, Vec<String>)| {
        let resource = if group.is_empty() { resource } else { format!("{resource}.{group}") };
        vec![resource, bracketed(&paths), bracketed(&names), format!("[{}]", verbs.join(" "))]
    };
    all.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_why_not() {
        assert_eq!(answer(&json!({"allowed": true, "reason": "so"})), "yes");
        assert_eq!(answer(&json!({"allowed": false})), "no");
        assert_eq!(answer(&json!({"reason": "a", "evaluationError": "b"})), "no - a - b");
    }

    #[test]
    fn rules_have_a_line_for_each_resource() {
        let status = json!({
            "resourceRules": [{"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
            "nonResourceRules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}],
        });
        let line = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let expected = [
            line(["pods", "[]", "[]", "[get list]"]),
            line(["", "[/x]", "[]", "[get]"]),
            line(["pods.apps", "[]", "[]", "[get]"]),
        ];
        assert_eq!(rules(&status), expected);
    }
}
