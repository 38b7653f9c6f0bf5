//! `gantry apply`: makes objects what files say.
//!
//! By the client, with an annotation that remembers what was applied, so that what is no longer said goes; or by the server,
//! which knows of each field whose it is. In both ways, what others say of an object stays.

mod client;
mod prune;
mod server;
mod wait;

use clap::Args;
use serde_json::Value;

use crate::deletion::{self, Cascade};
use crate::dry_run::DryRun;
use crate::manifest::{Files, Placed};
use crate::output::Printing;
use crate::report::{Failures, Report, Validation};
use crate::{Error, Session, commands};

/// Who is said to own the fields, unless it is said: the same as of kubectl, so that either can go on for the other.
const CLIENT_SIDE: &str = "kubectl-client-side-apply";
const SERVER_SIDE: &str = "kubectl";

/// The arguments.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<commands::last_applied::Verb>,
    #[command(flatten)]
    files: Files,
    /// Let the server do it, which knows whose each field is.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    server_side: bool,
    /// With --server-side: take fields from whoever else owns them.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    force_conflicts: bool,
    /// Who is to own the fields [default: kubectl-client-side-apply, or kubectl with --server-side].
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
    /// Do not do it: say only what would be done (client), or have the server check it too (server).
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// What becomes of fields that the server does not know: strict refuses them, warn says so, ignore drops them.
    #[arg(long, value_name = "HOW", default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validation,
    /// Only objects of the files with these labels; and with --prune, of those at the server.
    #[arg(short = 'l', long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// If an object cannot be changed to what is wanted, delete it and create it anew.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: Printing,
    /// With -o: show who owns which field.
    #[arg(long)]
    show_managed_fields: bool,
    /// Delete what was applied once and is not in the files: in their namespaces, and of kinds without a namespace. It needs -l or
    /// --all.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    prune: bool,
    /// With --prune: whatever labels it has.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    all: bool,
    /// With --prune: only objects of this kind, such as core/v1/ConfigMap; can be given more than once.
    #[arg(long, value_name = "GROUP/VERSION/KIND")]
    prune_allowlist: Vec<String>,
    /// With --prune and --force: what becomes of what they own: deleted afterwards, deleted before, or left alone.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_value = "background", default_missing_value = "background")]
    cascade: Cascade,
    /// With --prune and --force: how long they have to end, in seconds; -1 is as long as they say themselves.
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Wait until what was applied is ready: Deployments, StatefulSets, DaemonSets, Jobs and Pods.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// For how long to wait, such as 30s or 5m; 0 is as long as it takes.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    timeout: String,
}

/// Applies objects, one after the other. One that fails is no reason to leave the others.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    if let Some(verb) = arguments.verb {
        return commands::last_applied::run(verb, session).await;
    }
    let allowed = match arguments.prune_allowlist.is_empty() || !arguments.prune || arguments.files.is_empty() {
        true => Vec::new(),
        false => prune::allowed(session.catalog().await?.all(), &arguments.prune_allowlist)?,
    };
    arguments.check()?;
    arguments.cascade.warn(session)?;
    let timeout = crate::session::duration("--timeout", &arguments.timeout)?;
    let mut report =
        Report::new(&arguments.output, arguments.dry_run)?.with_managed_fields(arguments.show_managed_fields);
    let wanted = arguments.wanted(session).await?;
    let (mut failures, mut applied, mut done) = (Failures::default(), Vec::new(), Vec::new());
    let mut kept = prune::Kept::default();
    if session.namespace_is_demanded() {
        kept.namespaces.insert(session.namespace().await?);
    }
    for placed in wanted {
        let result = one(&arguments, session, &placed).await;
        let (object, word) = match result {
            Ok(result) => result,
            Err(error) => {
                failures.note(Err(error))?;
                continue;
            }
        };
        kept.note(&placed, &object);
        if report.shows_objects() {
            done.push(object);
        } else {
            report.done(session, &placed.resource, &object, word)?;
        }
        applied.push(placed);
    }
    report.together(session, &done)?;
    if arguments.prune && failures.is_empty() {
        failures.note(prune::prune(&arguments, session, allowed, &kept, &mut report).await)?;
    }
    if arguments.wait && arguments.dry_run == DryRun::None {
        session.flush()?;
        failures.note(wait::until_ready(session, &applied, timeout).await)?;
    }
    failures.finish(session)
}

/// Applies an object. Gives what has become of it, and what to say.
async fn one(
    arguments: &Arguments,
    session: &mut Session<'_>,
    placed: &Placed,
) -> Result<(Value, &'static str), Error> {
    if placed.name().is_empty() {
        if placed.object["metadata"]["generateName"].is_string() {
            return Err(Error::said(format!(
                "from {}: cannot use generate name with apply",
                placed.object["metadata"]["generateName"].as_str().unwrap_or_default()
            )));
        }
        return Err(Error::said(format!("error when applying {:?}: resource name may not be empty", placed.source)));
    }
    let applied = match arguments.server_side {
        true => server::apply(arguments, session, placed).await.map(|object| (object, "serverside-applied")),
        false => client::apply(arguments, session, placed).await,
    };
    if let Err(error) = &applied {
        placed.show(session, error)?;
    }
    applied
}

impl Arguments {
    fn check(&self) -> Result<(), Error> {
        let wrong = |sentence: &str| Err(Error::said(sentence));
        if self.files.is_empty() {
            return wrong("must specify one of -f and -k");
        }
        if self.force_conflicts && !self.server_side {
            return wrong("--force-conflicts only works with --server-side");
        }
        if self.dry_run == DryRun::Client && self.server_side {
            return wrong("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)");
        }
        if self.force && self.server_side {
            return wrong("--force cannot be used with --server-side");
        }
        if self.dry_run == DryRun::Server && self.force {
            return wrong("--dry-run=server cannot be used with --force");
        }
        if self.all && !self.selector.is_empty() {
            return wrong("cannot set --all and --selector at the same time");
        }
        if !self.prune {
            return Ok(());
        }
        // Those that are made anew would be taken for others.
        if self.force {
            return wrong("--force cannot be used with --prune");
        }
        if !self.all && self.selector.is_empty() {
            return wrong(
                "all resources selected for prune without explicitly passing --all. To prune all resources, pass the \
                 --all flag. If you did not mean to prune all resources, specify a label selector",
            );
        }
        // What the server applied does not remember it.
        if self.server_side {
            return wrong("--prune is in alpha and doesn't currently work on objects created by server-side apply");
        }
        Ok(())
    }

    /// How objects are deleted.
    fn deletion(&self) -> Value {
        deletion::options(self.cascade, (self.grace_period >= 0).then_some(self.grace_period))
    }

    fn manager(&self) -> &str {
        let default = if self.server_side { SERVER_SIDE } else { CLIENT_SIDE };
        self.field_manager.as_deref().unwrap_or(default)
    }

    /// The objects of the files that have the labels.
    async fn wanted(&self, session: &mut Session<'_>) -> Result<Vec<Placed>, Error> {
        let wanted =
            self.files.place_selected(session, &self.selector).await.map_err(|error| error.passed_to("apply"))?;
        if wanted.is_empty() {
            return Err(Error::said("no objects passed to apply"));
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        let check = |line: &str, expected: &str| {
            let arguments = Line::try_parse_from(line.split(' ')).unwrap().arguments;
            let found = arguments.check().map_or_else(|error| error.to_string(), |()| arguments.manager().to_owned());
            assert!(found.starts_with(expected), "{line}: {found}");
        };
        check("apply -f a", "kubectl-client-side-apply");
        check("apply -f a --server-side", "kubectl");
        check("apply -f a --server-side=true --field-manager me", "me");
        check("apply", "error: must specify one of -f and -k");
        check("apply -f a --prune -l a=b", "kubectl-client-side-apply");
        check("apply -f a --prune=true --all", "kubectl-client-side-apply");
        check("apply -f a --all", "kubectl-client-side-apply");
        check("apply -f a --prune", "error: all resources selected for prune without");
        check("apply -f a --prune --all -l a=b", "error: cannot set --all and --selector");
        check("apply -f a --prune --all --force", "error: --force cannot be used with --prune");
        check("apply -f a --prune --all --server-side", "error: --prune is in alpha");
        check("apply --prune", "error: must specify one of -f and -k");
        check("apply -f a --force-conflicts", "error: --force-conflicts only works with --server-side");
        check("apply -f a --force --server-side", "error: --force cannot be used");
        check("apply -f a --dry-run=client --server-side", "error: --dry-run=client doesn't work with --server-side");
        check("apply -f a --dry-run=server --force", "error: --dry-run=server cannot be used with --force");
    }
}
