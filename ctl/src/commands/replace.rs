//! `gantry replace`.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::follow::{Change, Follow};
use crate::last_applied;
use crate::manifest::{Files, Placed};
use crate::output::Printing;
use crate::report::{Failures, Report, Validation, of_source};
use crate::session::Ask;
use crate::{Error, Session, commands};

/// Who is said to own the fields, unless it is said.
const MANAGER: &str = "kubectl-replace";

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Delete each first, and create it anew.
    #[arg(long)]
    force: bool,
    /// With --force: how long they have to end, in seconds; -1 is no time at all.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// With --force: for how long to wait until they are gone, such as 30s; 0 is as long as it takes.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    timeout: String,
    /// Have objects remember what the files say, for `gantry apply`.
    #[arg(long)]
    save_config: bool,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// What becomes of fields that the server does not know: strict refuses them, warn says so, ignore drops them.
    #[arg(long, value_name = "HOW", default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validation,
    /// Who is to own the fields.
    #[arg(long, value_name = "NAME", default_value = MANAGER)]
    field_manager: String,
    /// Of which subresource: status or scale.
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Put what the file has to this path of the server, and show what it answers.
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    #[command(flatten)]
    output: Printing,
    /// With -o: show who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
}

/// Replaces objects, one after the other. One that fails is no reason to leave the others.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if let Some(path) = &arguments.raw {
        let output = (arguments.output.as_str(), false);
        return commands::raw::run(session, (Method::PUT, path), Some(&arguments.files), output).await;
    }
    if arguments.files.is_empty() {
        return Err(Error::said("must specify one of -f and -k"));
    }
    if arguments.grace_period >= 0 && !arguments.force {
        return Err(Error::said("--grace-period must have --force specified"));
    }
    let timeout = crate::session::duration("--timeout", &arguments.timeout)?;
    if timeout.is_some() && !arguments.force {
        return Err(Error::said("--timeout must have --force specified"));
    }
    if arguments.force && arguments.dry_run != DryRun::None {
        return Err(Error::said("--dry-run can not be used when --force is set"));
    }
    let mut report =
        Report::new(&arguments.output, arguments.dry_run)?.with_managed_fields(arguments.show_managed_fields);
    let mut failures = Failures::default();
    let mut placed = arguments.files.place(session).await?;
    for placed in &mut placed {
        if arguments.save_config || last_applied::of(&placed.object).is_some() {
            last_applied::annotate(&mut placed.object);
        }
    }
    if arguments.force {
        // All are gone before the first one is there again.
        for placed in &placed {
            let seconds = arguments.grace_period.max(0);
            let options = json!({"propagationPolicy": "Background", "gracePeriodSeconds": seconds});
            if remove(session, placed, options, timeout).await? {
                let (kind, name) = (placed.resource.object(""), placed.name());
                let place = match placed.resource.namespaced {
                    true => format!(" from {} namespace", placed.namespace),
                    false => String::new(),
                };
                session.say(&match arguments.output.as_str() {
                    "name" => placed.resource.object(name),
                    _ => format!("{} {name:?} deleted{place}", kind.trim_end_matches('/')),
                })?;
            }
        }
    }
    for placed in &placed {
        let replaced = arguments.replace(session, placed).await;
        let replaced = match replaced.map_err(|error| of_source(error, "replacing", &placed.source)) {
            Ok(replaced) => report.done(session, &placed.resource, &replaced, "replaced"),
            Err(error) => placed.show(session, &error).and(Err(error)),
        };
        failures.note(replaced)?;
    }
    failures.finish(session)
}

impl Arguments {
    async fn replace(&self, session: &mut Session<'_>, placed: &Placed) -> Result<Value, Error> {
        if self.dry_run == DryRun::Client {
            return Ok(placed.object.clone());
        }
        let collection = placed.resource.path(Some(&placed.namespace));
        let path = placed.resource.object_path(&placed.namespace, placed.name());
        if self.force {
            return session.json(self.adorned(Ask::with(Method::POST, &collection, &placed.object))).await;
        }
        let mut object = placed.object.clone();
        // Whoever does not say which state it follows, replaces whatever is there.
        if !object["metadata"]["resourceVersion"].is_string() {
            match session.json(Ask::get(&path)).await {
                Ok(current) => object["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone(),
                // Of some kinds the server makes what it is to replace.
                Err(error) if error.reason() == Some("NotFound") => {}
                Err(error) => return Err(error),
            }
        }
        let subresource = self.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let path = format!("{path}{subresource}");
        session.json(self.adorned(Ask::with(Method::PUT, &path, &object))).await
    }

    fn adorned<'a>(&'a self, ask: Ask<'a>) -> Ask<'a> {
        let ask = ask.query("fieldManager", self.field_manager.as_str());
        ask.query("fieldValidation", self.validate.parameter()).query("dryRun", self.dry_run.parameter())
    }
}

/// Deletes an object, and waits until it is gone. Says whether it was there.
pub(crate) async fn remove(
    session: &mut Session<'_>,
    placed: &Placed,
    mut options: Value,
    timeout: Option<Duration>,
) -> Result<bool, Error> {
    options["apiVersion"] = json!("v1");
    options["kind"] = json!("DeleteOptions");
    let path = placed.resource.object_path(&placed.namespace, placed.name());
    let uid = match session.json(Ask::get(&path)).await {
        Ok(object) => object["metadata"]["uid"].clone(),
        Err(error) if error.reason() == Some("NotFound") => return Ok(false),
        Err(error) => return Err(error),
    };
    match session.json(Ask::with(Method::DELETE, &path, &options)).await {
        Err(error) if error.reason() != Some("NotFound") => return Err(error),
        _ => {}
    }
    let mut follow = Follow::new(placed.resource.clone(), placed.namespace.clone(), placed.name().to_owned());
    let gone = async {
        loop {
            match follow.open(session).await? {
                Some(object) if object["metadata"]["uid"] == uid => {}
                _ => return Ok(()),
            }
            loop {
                match follow.change().await {
                    Change::Gone => return Ok(()),
                    Change::Now(_) => {}
                    Change::Unknown => break,
                }
            }
        }
    };
    match timeout {
        None => gone.await?,
        Some(timeout) => tokio::time::timeout(timeout, gone)
            .await
            .unwrap_or_else(|_| Err(Error::said(format!("timed out waiting until {} is gone", placed.name()))))?,
    }
    Ok(true)
}
