//! `gantry kustomize`: what a kustomization makes, without a server. The building is the crate `kustomize`'s.

use std::path::{Path, PathBuf};

use clap::Args;
use kustomize::{Disk, build, file_names};
use serde_json::Value;

use crate::output::yaml::document;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The directory with the kustomization; if there is none, the one that this runs in.
    #[arg(value_name = "DIR")]
    directory: Vec<String>,
    /// Which files a kustomization may name: those in or below its directory (LoadRestrictionsRootOnly), or any
    /// (LoadRestrictionsNone).
    #[arg(long, value_name = "HOW", default_value = "LoadRestrictionsRootOnly")]
    load_restrictor: String,
    /// Write it into this file; or, if it is a directory, a file for each object into that.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// Shows what a kustomization makes.
pub(crate) fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let directory = match &arguments.directory[..] {
        [] => ".",
        [directory] => directory,
        _ => return Err(Error::said("specify one path to kustomization.yaml")),
    };
    let restricted = match arguments.load_restrictor.as_str() {
        "LoadRestrictionsRootOnly" => true,
        "LoadRestrictionsNone" => false,
        other => {
            return Err(Error::said(format!(
                "illegal flag value --load-restrictor {other}; legal values: [LoadRestrictionsRootOnly \
                 LoadRestrictionsNone]"
            )));
        }
    };
    let objects = objects(directory, restricted, session)?;
    let documents: Vec<String> = objects.iter().map(document).collect();
    match &arguments.output {
        None => session.write(&documents.join("---\n")),
        Some(path) if path.is_dir() => {
            for (name, document) in file_names(&objects).iter().zip(documents) {
                std::fs::write(path.join(name), document)?;
            }
            Ok(())
        }
        Some(path) => Ok(std::fs::write(path, documents.join("---\n"))?),
    }
}

/// The objects that a directory's kustomization makes. What it warns of is said.
pub(crate) fn objects(directory: &str, restricted: bool, session: &mut Session<'_>) -> Result<Vec<Value>, Error> {
    let built = build(&Disk, Path::new(directory), restricted);
    for warning in &built.warnings {
        session.remark(warning)?;
    }
    built.objects.map_err(|error| Error::said(error.to_string()))
}
