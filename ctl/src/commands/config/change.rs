//! Changes of kubeconfigs.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use serde_json::{Value, json};

use super::file::{CLUSTERS, CONTEXTS, Files, List, USERS};
use crate::{Connection, Error, Session};

/// The arguments of `rename-context`.
#[derive(Clone, Debug, Args)]
pub struct Rename {
    /// The name that it has.
    #[arg(value_name = "NAME")]
    name: String,
    /// The name that it gets.
    #[arg(value_name = "NEW_NAME")]
    new_name: String,
}

/// The arguments of `set-context`.
#[derive(Clone, Debug, Args)]
pub struct Context {
    /// Which one.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The one that is used.
    #[arg(long)]
    current: bool,
}

/// The arguments of `set-cluster`.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// Which one.
    #[arg(value_name = "NAME")]
    name: String,
    /// Put the certificate itself into the kubeconfig, and not its path.
    #[arg(long)]
    embed_certs: bool,
    /// By which proxy the server is reached.
    #[arg(long, value_name = "URL")]
    proxy_url: Option<String>,
}

/// The arguments of `set-credentials`.
#[derive(Clone, Debug, Args)]
pub struct Credentials {
    /// Which user.
    #[arg(value_name = "NAME")]
    name: String,
    /// Put certificate and key themselves into the kubeconfig, and not their paths.
    #[arg(long)]
    embed_certs: bool,
}

/// Uses a context from now on.
pub(super) fn use_context(files: &mut Files, name: &str, session: &mut Session<'_>) -> Result<(), Error> {
    if files.entry(CONTEXTS, name).is_none() {
        return Err(Error::said(format!("no context exists with the name: {name:?}")));
    }
    files.set_current(name)?;
    session.say(&format!("Switched to context {name:?}."))
}

/// Forgets an entry.
pub(super) fn delete(files: &mut Files, list: List, name: &str, session: &mut Session<'_>) -> Result<(), Error> {
    let path = files.path();
    let Some(from) = files.take(list, name)? else {
        return Err(Error::said(format!("cannot delete {} {name}, not in {path}", list.inner)));
    };
    if list == CONTEXTS && files.current().as_deref() == Some(name) {
        session.remark(
            "warning: this removed your active context, use \"gantry config use-context\" to select a different one",
        )?;
    }
    session.say(&format!("deleted {} {name} from {from}", list.inner))
}

/// Gives a context another name.
pub(super) fn rename(files: &mut Files, arguments: &Rename, session: &mut Session<'_>) -> Result<(), Error> {
    let Rename { name, new_name } = arguments;
    let path = files.path();
    let Some(entry) = files.entry(CONTEXTS, name) else {
        return Err(Error::said(format!("cannot rename the context {name:?}, it's not in {path}")));
    };
    if files.entry(CONTEXTS, new_name).is_some() {
        return Err(Error::said(format!(
            "cannot rename the context {name:?}, the context {new_name:?} already exists in {path}"
        )));
    }
    let is_current = files.current().as_ref() == Some(name);
    files.put(CONTEXTS, new_name, entry["context"].clone())?;
    files.take(CONTEXTS, name)?;
    if is_current {
        files.set_current(new_name)?;
    }
    session.say(&format!("Context {name:?} renamed to {new_name:?}."))
}

/// Sets what a context is.
pub(super) fn context(
    files: &mut Files,
    arguments: &Context,
    connection: &Connection,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let name = match (&arguments.name, arguments.current) {
        (Some(_), true) => return Err(Error::said("you cannot specify both a context name and --current")),
        (None, false) => return Err(Error::said("you must specify a non-empty context name or --current")),
        (Some(name), false) => name.clone(),
        (None, true) => files.current().ok_or_else(|| Error::said("no current context is set"))?,
    };
    let known = files.entry(CONTEXTS, &name);
    let words = if known.is_some() { "modified" } else { "created" };
    let mut inner = known.map_or(Value::Null, |entry| entry["context"].clone());
    if inner.is_null() {
        inner = json!({"cluster": "", "user": ""});
    }
    let said = [("cluster", &connection.cluster), ("user", &connection.user), ("namespace", &connection.namespace)];
    for (field, value) in said {
        if let Some(value) = value {
            inner[field] = json!(value);
        }
    }
    files.put(CONTEXTS, &name, inner)?;
    session.say(&format!("Context {name:?} {words}."))
}

/// Sets what a cluster is.
pub(super) fn cluster(
    files: &mut Files,
    arguments: &Cluster,
    connection: &Connection,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let known = files.entry(CLUSTERS, &arguments.name);
    let mut inner = known.map_or_else(|| json!({"server": ""}), |entry| entry["cluster"].clone());
    let said = [
        ("server", &connection.server),
        ("tls-server-name", &connection.tls_server_name),
        ("proxy-url", &arguments.proxy_url),
    ];
    for (field, value) in said {
        if let Some(value) = value {
            inner[field] = json!(value);
        }
    }
    if connection.insecure_skip_tls_verify {
        inner["insecure-skip-tls-verify"] = json!(true);
        forget(&mut inner, &["certificate-authority", "certificate-authority-data"]);
    }
    if let Some(path) = &connection.certificate_authority {
        forget(&mut inner, &["insecure-skip-tls-verify"]);
        set_file(&mut inner, "certificate-authority", path, arguments.embed_certs)?;
    }
    files.put(CLUSTERS, &arguments.name, inner)?;
    session.say(&format!("Cluster {:?} set.", arguments.name))
}

/// Sets how a user is known. There is one way: who gets a token has no password any more.
pub(super) fn credentials(
    files: &mut Files,
    arguments: &Credentials,
    connection: &Connection,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let has_password = connection.username.is_some() || connection.password.is_some();
    if has_password && connection.token.is_some() {
        return Err(Error::said(
            "you cannot specify more than one authentication method at the same time: --token or --username/--password",
        ));
    }
    let known = files.entry(USERS, &arguments.name);
    let mut inner = known.map_or(Value::Null, |entry| entry["user"].clone());
    if inner.is_null() {
        inner = json!({});
    }
    if let Some(token) = &connection.token {
        forget(&mut inner, &["username", "password"]);
        inner["token"] = json!(token);
    }
    if has_password {
        forget(&mut inner, &["token", "tokenFile"]);
    }
    for (field, value) in [("username", &connection.username), ("password", &connection.password)] {
        if let Some(value) = value {
            inner[field] = json!(value);
        }
    }
    let paths = [("client-certificate", &connection.client_certificate), ("client-key", &connection.client_key)];
    for (field, path) in paths {
        if let Some(path) = path {
            set_file(&mut inner, field, path, arguments.embed_certs)?;
        }
    }
    files.put(USERS, &arguments.name, inner)?;
    session.say(&format!("User {:?} set.", arguments.name))
}

fn forget(inner: &mut Value, fields: &[&str]) {
    if let Some(inner) = inner.as_object_mut() {
        inner.retain(|field, _| !fields.contains(&field.as_str()));
    }
}

/// A file by its path, which is that from the root, or with what is in it.
fn set_file(inner: &mut Value, field: &str, path: &Path, embeds: bool) -> Result<(), Error> {
    let data = format!("{field}-data");
    if embeds {
        let content = std::fs::read(path)
            .map_err(|error| Error::said(format!("could not read {field} data from {}: {error}", path.display())))?;
        inner[data] = json!(BASE64_STANDARD.encode(content));
        forget(inner, &[field]);
    } else {
        inner[field] = json!(std::path::absolute(path)?.display().to_string());
        forget(inner, &[&data]);
    }
    Ok(())
}
