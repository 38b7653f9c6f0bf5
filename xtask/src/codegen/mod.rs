//! Generates the committed tables of public API facts from the published descriptions.

/// Regenerates every table.
pub(crate) fn run() -> Result<(), String> {
    Ok(())
}
