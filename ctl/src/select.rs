//! Which objects arguments mean: `pods`, `pods,services`, `pod a b`, `pod/a service/b`.

use crate::resources::Resource;
use crate::{Error, Session};

/// Objects of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) resource: Resource,
    /// Their names; all of them, if there is none.
    pub(crate) names: Vec<String>,
    /// The namespace that they are in, if it is not the one to work in.
    pub(crate) namespace: Option<String>,
}

/// What arguments mean, in their order.
pub(crate) async fn select(session: &mut Session<'_>, arguments: &[String]) -> Result<Vec<Selected>, Error> {
    let wanted = parse(arguments)?;
    let catalog = session.catalog().await?;
    let mut selected = Vec::new();
    for (name, names) in wanted {
        let resources = catalog.find(&name)?;
        if !names.is_empty() && resources.len() > 1 {
            return Err(Error::said(format!("{name:?} stands for several resources, which no name can be of")));
        }
        selected.extend(resources.into_iter().map(|resource| Selected {
            resource: resource.clone(),
            names: names.clone(),
            namespace: None,
        }));
    }
    Ok(selected)
}

/// What is said if neither arguments nor files name anything.
pub(crate) fn nothing_named() -> Error {
    Error::said(
        "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   \
         '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
    )
}

/// A server's refusal to list, with what was to be listed, as kubectl tells it.
pub(crate) fn of_list(error: Error, resource: &Resource, labels: &str, fields: &str) -> Error {
    let Error::Server(mut status) = error else { return error };
    if matches!(status["reason"].as_str(), Some("BadRequest" | "NotFound")) {
        let what = format!("{}/{}, Resource={}", resource.group, resource.version, resource.plural);
        let message = status["message"].as_str().unwrap_or_default();
        let message = match labels.is_empty() && fields.is_empty() {
            true => format!("Unable to list {what:?}: {message}"),
            false => {
                format!(
                    "Unable to find {what:?} that match label selector {labels:?}, field selector {fields:?}: {message}"
                )
            }
        };
        status["message"] = serde_json::json!(message);
    }
    Error::Server(status)
}

/// What arguments mean that must name objects.
pub(crate) async fn select_named(session: &mut Session<'_>, arguments: &[String]) -> Result<Vec<Selected>, Error> {
    let selected = select(session, arguments).await?;
    if selected.iter().any(|selected| selected.names.is_empty()) {
        return Err(Error::said("resource(s) were provided, but no name was specified"));
    }
    Ok(selected)
}

/// Types with names, as they are written.
fn parse(arguments: &[String]) -> Result<Vec<(String, Vec<String>)>, Error> {
    let with_slash = arguments.iter().filter(|argument| argument.contains('/')).count();
    if with_slash > 0 {
        if with_slash < arguments.len() {
            return Err(Error::said(
                "there is no need to specify a resource type as a separate argument when passing arguments in \
                 resource/name form (e.g. 'gantry get resource/<resource_name>' instead of 'gantry get resource \
                 resource/<resource_name>'",
            ));
        }
        return arguments.iter().map(|argument| pair(argument)).collect();
    }
    let Some((types, names)) = arguments.split_first() else { return Ok(Vec::new()) };
    for name in names {
        check(name)?;
    }
    let types: Vec<&str> = types.split(',').filter(|name| !name.is_empty()).collect();
    if types.is_empty() {
        return Err(Error::said("you must name at least one type of resource"));
    }
    Ok(types.into_iter().map(|name| (name.to_owned(), names.to_vec())).collect())
}

fn pair(argument: &str) -> Result<(String, Vec<String>), Error> {
    match argument.split('/').collect::<Vec<_>>()[..] {
        [resource, name] if !resource.is_empty() && !name.is_empty() => {
            check(name)?;
            Ok((resource.to_owned(), vec![name.to_owned()]))
        }
        _ => Err(Error::said("arguments in resource/name form must have a single resource and name")),
    }
}

/// Refuses names that would lead elsewhere in a path.
fn check(name: &str) -> Result<(), Error> {
    let why = match name {
        "." => "may not be '.'",
        ".." => "may not be '..'",
        _ if name.contains('%') => "may not contain '%'",
        _ => return Ok(()),
    };
    Err(Error::said(format!("invalid resource name {name:?}: [{why}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn arguments_are_types_and_names() {
        let check = |line: &str, expected: &[(&str, &[&str])]| {
            let found = parse(&words(line)).unwrap();
            let found: Vec<(&str, Vec<&str>)> =
                found.iter().map(|(name, names)| (name.as_str(), names.iter().map(String::as_str).collect())).collect();
            let expected: Vec<(&str, Vec<&str>)> =
                expected.iter().map(|(name, names)| (*name, names.to_vec())).collect();
            assert_eq!(found, expected, "{line}");
        };
        check("", &[]);
        check("pods", &[("pods", &[])]);
        check("pods,svc", &[("pods", &[]), ("svc", &[])]);
        check("pod a b", &[("pod", &["a", "b"])]);
        check("pod/a svc/b", &[("pod", &["a"]), ("svc", &["b"])]);
        let error = |line: &str| parse(&words(line)).unwrap_err().to_string();
        assert!(error("pod pod/a").contains("there is no need to specify a resource type"));
        assert!(error("pod/a/b").contains("must have a single resource and name"));
        assert!(error("pod/").contains("must have a single resource and name"));
        assert!(error("pod ..").contains("invalid resource name \"..\": [may not be '..']"));
        assert!(error("pod a%2Fb").contains("may not contain '%'"));
    }
}
