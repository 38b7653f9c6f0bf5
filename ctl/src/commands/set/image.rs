//! `gantry set image`.

use clap::Args;
use serde_json::json;

use super::{Which, containers, pod_spec, split};
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
}

/// Sets images: `CONTAINER=IMAGE`, in which `*` is every container.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let which = &arguments.which;
    let (what, pairs) = split(&which.what, |argument| argument.contains('='));
    if what.is_empty() && pairs.is_empty() && which.files.is_empty() {
        return Err(crate::select::nothing_named());
    }
    if pairs.is_empty() {
        return Err(Error::said("at least one image update is required"));
    }
    let mut images = Vec::new();
    for pair in pairs {
        match pair.split_once('=') {
            Some((name, image)) if !name.is_empty() && !image.is_empty() => images.push((name, image)),
            _ => return Err(Error::said(format!("all resources must be specified before image changes: {pair}"))),
        }
    }
    which
        .change(what, "image updated", session, |target, object| {
            let spec = pod_spec(target, object)?;
            for (name, image) in &images {
                let found = containers(spec, name);
                if found.is_empty() && *name != "*" {
                    return Err(format!("unable to find container named {name:?}"));
                }
                for container in found {
                    container["image"] = json!(image);
                }
            }
            Ok(())
        })
        .await
}
