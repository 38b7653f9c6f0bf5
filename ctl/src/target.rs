//! The objects that a verb changes: found by names, selectors or files, as the server has them now.
//!
//! One that is not there is no reason to leave the others: what went wrong is kept, and said once the others are done.

use serde_json::{Value, json};

use crate::manifest::Files;
use crate::resources::Resource;
use crate::select::{of_list, select};
use crate::session::Ask;
use crate::{Error, Session};

/// An object of the server, or of a file if the server is not to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) object: Value,
    pub(crate) resource: Resource,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Target {
    /// Where it is.
    pub(crate) fn path(&self) -> String {
        self.resource.object_path(&self.namespace, &self.name)
    }

    /// As kubectl names it in what went wrong: `deployments.apps "web"`.
    pub(crate) fn quoted(&self) -> String {
        format!("{} {:?}", self.resource, self.name)
    }
}

/// What a verb is to be done to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) what: &'a [String],
    pub(crate) files: &'a Files,
    pub(crate) selector: &'a str,
    pub(crate) field_selector: &'a str,
    /// All of the types in the namespace.
    pub(crate) all: bool,
    pub(crate) all_namespaces: bool,
    /// The objects of files as they are there: the server is not asked for them.
    pub(crate) local: bool,
}

/// Objects, and why others are not among them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) targets: Vec<Target>,
    pub(crate) errors: Vec<Error>,
}

/// Looks for objects.
pub(crate) async fn find(session: &mut Session<'_>, wanted: Wanted<'_>) -> Result<Found, Error> {
    if !wanted.files.is_empty() {
        if !wanted.what.is_empty() {
            return Err(Error::said(
                "when paths, URLs, or stdin is provided as resource input, you may not specify resource arguments as well",
            ));
        }
        return of_files(session, wanted).await;
    }
    if wanted.what.is_empty() {
        return Err(crate::select::nothing_named());
    }
    let selects = !(wanted.selector.is_empty() && wanted.field_selector.is_empty());
    if wanted.all && selects {
        return Err(Error::said("setting 'all' parameter but found a non empty selector. "));
    }
    let namespace = session.namespace().await?;
    let mut found = Found::default();
    for selected in select(session, wanted.what).await? {
        if selected.names.is_empty() {
            if !wanted.all && !selects {
                return Err(Error::said("resource(s) were provided, but no name was specified"));
            }
            let place = (!wanted.all_namespaces).then_some(namespace.as_str());
            found.targets.extend(list(session, &selected.resource, place, wanted).await?);
            continue;
        }
        if wanted.all || selects {
            return Err(Error::said("name cannot be provided when a selector is specified"));
        }
        if wanted.all_namespaces {
            return Err(Error::said("a resource cannot be retrieved by name across all namespaces"));
        }
        for name in selected.names {
            get(session, &mut found, selected.resource.clone(), namespace.clone(), name).await?;
        }
    }
    Ok(found)
}

async fn get(
    session: &mut Session<'_>,
    found: &mut Found,
    resource: Resource,
    namespace: String,
    name: String,
) -> Result<(), Error> {
    match session.json(Ask::get(&resource.object_path(&namespace, &name))).await {
        Ok(object) => found.targets.push(Target { object, resource, namespace, name }),
        Err(error @ Error::Server(_)) => found.errors.push(error),
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn list(
    session: &mut Session<'_>,
    resource: &Resource,
    namespace: Option<&str>,
    wanted: Wanted<'_>,
) -> Result<Vec<Target>, Error> {
    let path = resource.path(namespace);
    let ask = Ask::get(&path).query("labelSelector", wanted.selector).query("fieldSelector", wanted.field_selector);
    let list = session.json(ask).await;
    let list = list.map_err(|error| of_list(error, resource, wanted.selector, wanted.field_selector))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = |item: &Value| {
        let mut object = item.clone();
        // The items of a list do not say themselves what they are.
        object["apiVersion"] = json!(resource.api_version());
        object["kind"] = json!(resource.kind);
        let (namespace, name) = (text(&item["metadata"]["namespace"]), text(&item["metadata"]["name"]));
        Target { object, resource: resource.clone(), namespace, name }
    };
    Ok(list["items"].as_array().into_iter().flatten().map(target).collect())
}

async fn of_files(session: &mut Session<'_>, wanted: Wanted<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    if wanted.local {
        for document in wanted.files.read(session).await? {
            let object = document.object;
            let field = |name: &str| object[name].as_str().unwrap_or_default();
            let resource = session.catalog().await?.of_kind(field("apiVersion"), field("kind"))?.clone();
            let meta = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
            let (namespace, name) = (meta("namespace"), meta("name"));
            found.targets.push(Target { object, resource, namespace, name });
        }
        return Ok(found);
    }
    for placed in wanted.files.place(session).await? {
        let name = placed.name().to_owned();
        get(session, &mut found, placed.resource, placed.namespace, name).await?;
    }
    Ok(found)
}

/// Ends a verb that may have failed for some of its objects: one error is passed on, and several are all said.
pub(crate) fn finish(session: &mut Session<'_>, mut errors: Vec<Error>) -> Result<(), Error> {
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => {
            for error in &errors {
                // As kubectl has it: several are told without saying that they are errors.
                session.remark(error.to_string().trim_start_matches("error: "))?;
            }
            Err(Error::Exit(1))
        }
    }
}

impl Target {
    /// Changes it by a patch, and returns what has become of it. What custom resources are is not known to the server as well,
    /// so that patches of all kinds of objects are merge patches.
    pub(crate) async fn patch(
        &self,
        session: &mut Session<'_>,
        (content_type, patch): (&str, &Value),
        dry_run: crate::dry_run::DryRun,
        manager: &str,
    ) -> Result<Value, Error> {
        let path = self.path();
        let ask = Ask { content_type: Some(content_type), ..Ask::with(http::Method::PATCH, &path, patch) };
        let ask = ask.query("fieldManager", manager).query("dryRun", dry_run.parameter());
        session.json(ask).await
    }
}

/// A patch whose lists are told apart by their keys.
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// A patch of objects of all kinds.
pub(crate) const MERGE: &str = "application/merge-patch+json";
