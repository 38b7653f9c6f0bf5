//! Generates the committed tables of public API facts from the published descriptions.

use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "codegen")]
mod descriptions;
#[cfg(feature = "codegen")]
mod omissions;
mod protobuf;
#[cfg(feature = "codegen")]
mod roots;
#[cfg(feature = "codegen")]
mod schema;

const USAGE: &str = "usage: cargo xtask codegen [--facts DIR]";

/// Regenerates every table. `--facts DIR` names the directory of published facts (default: `../shared/facts` beside
/// the repository).
pub(crate) fn run() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let facts = facts_directory(&arguments)?;
    if !cfg!(feature = "codegen") {
        return run_with_every_type(&arguments);
    }
    protobuf::generate(&facts, &repository())?;
    generate(&facts)
}

#[cfg(feature = "codegen")]
fn generate(facts: &Path) -> Result<(), String> {
    schema::generate(facts, &repository())
}

#[cfg(not(feature = "codegen"))]
fn generate(_facts: &Path) -> Result<(), String> {
    Err("xtask was built without the feature `codegen`".to_owned())
}

/// Runs this command again, built with the feature that compiles every API type.
fn run_with_every_type(arguments: &[String]) -> Result<(), String> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--package", "xtask", "--features", "codegen", "--", "codegen"])
        .args(arguments)
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("code generation failed".to_owned()) }
}

fn facts_directory(arguments: &[String]) -> Result<PathBuf, String> {
    match arguments {
        [] => Ok(repository().join("../shared/facts")),
        [flag, directory] if flag == "--facts" => Ok(PathBuf::from(directory)),
        _ => Err(USAGE.to_owned()),
    }
}

/// The root of the workspace.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
