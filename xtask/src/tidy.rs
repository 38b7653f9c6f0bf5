//! House checks that neither the compiler nor clippy makes.

/// Runs every check over the workspace.
pub(crate) fn run() -> Result<(), String> {
    Ok(())
}
