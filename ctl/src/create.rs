//! Makes an object that a verb has put together, and says so.

use http::Method;
use serde_json::Value;

use crate::dry_run::DryRun;
use crate::outcome::Outcome;
use crate::resources::Resource;
use crate::session::Ask;
use crate::{Error, Session};

/// Makes it in the namespace to work in, unless it is a dry run of the client.
pub(crate) async fn create(
    session: &mut Session<'_>,
    object: Value,
    (dry_run, manager): (DryRun, &str),
    outcome: &mut Outcome,
    words: &str,
) -> Result<(), Error> {
    let (resource, made) = make(session, object, (dry_run, manager)).await?;
    outcome.show(session, &resource, &made, words)
}

/// The same, and says nothing. Gives what has become of it.
pub(crate) async fn make(
    session: &mut Session<'_>,
    object: Value,
    (dry_run, manager): (DryRun, &str),
) -> Result<(Resource, Value), Error> {
    let field = |name: &str| object[name].as_str().unwrap_or_default();
    let resource = resource(session, field("apiVersion"), field("kind")).await?;
    let mut made = object;
    if dry_run != DryRun::Client {
        let namespace = session.namespace().await?;
        let path = resource.path(Some(&namespace));
        let ask = Ask::with(Method::POST, &path, &made).query("fieldManager", manager);
        made = session.json(ask.query("dryRun", dry_run.parameter())).await?;
    }
    Ok((resource, made))
}

async fn resource(session: &mut Session<'_>, api_version: &str, kind: &str) -> Result<Resource, Error> {
    Ok(session.catalog().await?.of_kind(api_version, kind)?.clone())
}

/// `KEY=VALUE,...` as labels.
pub(crate) fn labels(text: &str) -> Result<Value, String> {
    let one = |pair: &str| {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("unexpected label spec: {pair}"))?;
        Ok((key.to_owned(), Value::String(value.to_owned())))
    };
    text.split(',').filter(|pair| !pair.is_empty()).map(one).collect::<Result<_, String>>().map(Value::Object)
}
