//! `gantry set serviceaccount`.

use clap::Args;
use serde_json::json;

use super::{Which, pod_spec};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
}

/// What is said of an object that has one, which is said even if it had it before.
pub(super) const WORDS: &str = "serviceaccount updated";

/// Sets who pods are: the last argument.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let which = &arguments.which;
    let Some((name, what)) = which.what.split_last() else {
        return Err(Error::said("serviceaccount is required"));
    };
    which
        .change(what, WORDS, session, |target, object| {
            pod_spec(target, object)?["serviceAccountName"] = json!(name);
            Ok(())
        })
        .await
}
