//! `gantry auth reconcile`: roles and bindings that allow at least what files say, and nothing more if that is asked for.
//!
//! Unlike `apply` it knows what rules mean: a rule that is covered by others is there already. What is to be done to an object is
//! found in `plan`, which is pure.

mod plan;
mod rules;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::manifest::{Files, Placed, place};
use crate::output::Printing;
use crate::report::{Failures, Report};
use crate::session::Ask;
use crate::{Error, Session};
use plan::{Operation, Plan};

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "v1";
/// How often it is begun anew for an object that others make or delete meanwhile.
const MOST_ATTEMPTS: usize = 3;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[arg(hide = true)]
    others: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Take from roles what the files do not allow.
    #[arg(long)]
    remove_extra_permissions: bool,
    /// Take from bindings whom the files do not name.
    #[arg(long)]
    remove_extra_subjects: bool,
    /// Do not do it: say only what would be done (client).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    #[command(flatten)]
    output: Printing,
    /// With -o: show who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
}

/// Reconciles objects, one after the other. One that fails is no reason to leave the others.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if arguments.files.is_empty() {
        return Err(Error::said("must specify one of -f and -k"));
    }
    if !arguments.others.is_empty() {
        return Err(Error::said("no arguments are allowed"));
    }
    if arguments.dry_run == DryRun::Server {
        return Err(Error::said("--dry-run=server for command reconcile is not supported yet"));
    }
    let mut report =
        Report::new(&arguments.output, arguments.dry_run)?.with_managed_fields(arguments.show_managed_fields);
    let mut failures = Failures::default();
    for document in arguments.files.read(session).await? {
        let placed = match supported(&document.object) {
            Ok(()) => place(session, document).await,
            Err(error) => Err(error),
        };
        let done = match placed {
            Ok(placed) => arguments.one(session, &placed, &mut report).await,
            Err(error) => Err(error),
        };
        failures.note(done)?;
    }
    failures.finish(session)
}

/// Fails for roles and bindings of versions that are gone.
fn supported(object: &Value) -> Result<(), Error> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    match text("apiVersion").split_once('/') {
        Some((GROUP, version)) if version != VERSION => {
            Err(Error::said(format!("only {GROUP}/{VERSION} is supported: not *{version}.{}", text("kind"))))
        }
        _ => Ok(()),
    }
}

impl Arguments {
    /// Reconciles an object, and says what of it was needed. Others than roles and bindings are left.
    async fn one(&self, session: &mut Session<'_>, placed: &Placed, report: &mut Report) -> Result<(), Error> {
        let is_binding = match (placed.resource.group.as_str(), placed.resource.kind.as_str()) {
            (GROUP, "ClusterRole" | "Role") => false,
            (GROUP, "ClusterRoleBinding" | "RoleBinding") => true,
            _ => return Ok(()),
        };
        let removes = if is_binding { self.remove_extra_subjects } else { self.remove_extra_permissions };
        for _ in 0..MOST_ATTEMPTS {
            let existing = found(session, &placed.resource.object_path(&placed.namespace, placed.name())).await?;
            let mut plan = if is_binding {
                plan::binding(existing.as_ref(), &placed.object, removes)
            } else {
                plan::role(existing.as_ref(), &placed.object, removes)?
            };
            if self.dry_run == DryRun::None && !plan.is_protected {
                match perform(session, placed, &plan, existing.as_ref()).await {
                    Ok(object) => plan.object = object,
                    Err(error) if is_outdated(&error, plan.operation) => continue,
                    Err(error) => return Err(error),
                }
            }
            report.done(session, &placed.resource, &plan.object, "reconciled")?;
            session.flush()?;
            for line in plan.lines(is_binding, removes) {
                session.remark(&line)?;
            }
            return Ok(());
        }
        Err(Error::said("exceeded maximum attempts"))
    }
}

/// An object of the server, if it is there.
async fn found(session: &mut Session<'_>, path: &str) -> Result<Option<Value>, Error> {
    match session.json(Ask::get(path)).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.reason() == Some("NotFound") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether what was planned is for an object that is another one by now.
fn is_outdated(error: &Error, operation: Operation) -> bool {
    matches!(
        (operation, error.reason()),
        (Operation::Create, Some("AlreadyExists"))
            | (Operation::Update, Some("NotFound"))
            | (Operation::Recreate, Some("AlreadyExists" | "Conflict"))
    )
}

/// Does what is planned, and gives what has become of the object.
async fn perform(
    session: &mut Session<'_>,
    placed: &Placed,
    plan: &Plan,
    existing: Option<&Value>,
) -> Result<Value, Error> {
    let path = placed.resource.object_path(&placed.namespace, placed.name());
    match plan.operation {
        Operation::None => return Ok(plan.object.clone()),
        Operation::Update => return session.json(Ask::with(Method::PUT, &path, &plan.object)).await,
        Operation::Recreate => {
            // Only the one that was looked at is deleted.
            let uid = existing.map_or(&Value::Null, |existing| &existing["metadata"]["uid"]);
            let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
            match session.ask(Ask::with(Method::DELETE, &path, &options)).await {
                Ok(_) => {}
                Err(error) if error.reason() == Some("NotFound") => {}
                Err(error) => return Err(error),
            }
        }
        Operation::Create => {}
    }
    if placed.resource.namespaced {
        ensure_namespace(session, &placed.namespace).await?;
    }
    let path = placed.resource.path(Some(&placed.namespace));
    session.json(Ask::with(Method::POST, &path, &plan.object)).await
}

/// Makes the namespace if it is not there. Who may not see or make it may still write what is in it.
async fn ensure_namespace(session: &mut Session<'_>, name: &str) -> Result<(), Error> {
    match session.ask(Ask::get(&format!("/api/v1/namespaces/{}", crate::resources::escape(name)))).await {
        Ok(_) => return Ok(()),
        Err(error) if matches!(error.reason(), Some("NotFound" | "Forbidden")) => {}
        Err(error) => return Err(error),
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    match session.ask(Ask::with(Method::POST, "/api/v1/namespaces", &namespace)).await {
        Err(error) if !matches!(error.reason(), Some("AlreadyExists" | "Forbidden")) => Err(error),
        _ => Ok(()),
    }
}
