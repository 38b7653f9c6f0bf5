//! `gantry reset`: ends the pods of a node that is not there any more, and removes what they left on the machine.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use kubelet::paths::Paths;
use kubelet::runtime::{Requirements, ResetError, ResetOptions, reset};

use crate::process;

/// The options of `gantry reset`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the node's own containerd keeps its files [default: /var/lib/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the node's agent keeps its files [default: kubelet in the data directory].
    #[arg(long, value_name = "DIR")]
    root_dir: Option<PathBuf>,
    /// The cgroup that the pods' cgroups are in.
    #[arg(long, value_name = "NAME", default_value = "/")]
    cgroup_root: String,
}

/// Ends and removes all of it, and says what that was.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let data_dir = process::data_directory_or(arguments.data_dir)?;
    let root = arguments.root_dir.unwrap_or_else(|| data_dir.join("kubelet"));
    if !end_pods(data_dir, root, arguments.cgroup_root)? {
        process::announce("there was nothing to do");
    }
    Ok(())
}

/// Ends the pods of a node that is not there any more, removes what they left, and says what that was. `false` if there was
/// nothing to do.
pub(crate) fn end_pods(data_dir: PathBuf, root: PathBuf, cgroup_root: String) -> Result<bool, Box<dyn Error>> {
    let options = ResetOptions {
        paths: Paths::new(root),
        cgroup_root,
        // What is missing is gone without as far as possible: by force.
        found: Requirements::find().ok(),
        data_dir,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let mut done = reset(options).await?;
        match network::remove_all().await {
            Ok(did) => done.did.extend(did),
            Err(error) => done.failed.push(error.to_string()),
        }
        match proxy::cleanup().await {
            Ok(did) => done.did.extend(did),
            Err(error) => done.failed.push(error.to_string()),
        }
        Ok::<_, ResetError>(done)
    })?;
    for line in &done.did {
        process::announce(line);
    }
    if done.failed.is_empty() { Ok(!done.did.is_empty()) } else { Err(done.failed.join("; ").into()) }
}
