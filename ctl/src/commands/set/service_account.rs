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

/// Sets who pods are: the last argument.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let which = &arguments.which;
    let Some((name, what)) = which.what.split_last() else {
        return Err(Error::said("serviceaccount is required"));
    };
    which
        .change(what, "serviceaccount updated", session, |target, object| {
            pod_spec(target, object)?["serviceAccountName"] = json!(name);
            Ok(())
        })
        .await
}
