//! House checks that neither the compiler nor clippy makes.
//!
//! Every check is a pure function from the text of the workspace to findings, one check a file; reading the
//! workspace is the only I/O and happens once, in `workspace`. A finding names a line and says what to do there.

use std::fmt;

mod dependencies;
mod docs;
mod names;
mod purity;
mod registries;
mod sizes;
mod syntax;
mod test_code;
mod workspace;

use workspace::Workspace;

/// Runs every check over the workspace that this crate belongs to.
///
/// # Errors
///
/// All findings, one `path:line: message` a line, followed by their number; or why the workspace cannot be read.
pub(crate) fn run() -> Result<(), String> {
    let workspace = Workspace::read(&workspace::root())?;
    let mut findings = workspace.unreadable.clone();
    findings.extend(dependencies::check(&workspace.files));
    findings.extend(docs::check(&workspace.sources));
    findings.extend(names::check(&workspace));
    findings.extend(purity::check(&workspace.sources));
    findings.extend(registries::check(&workspace.files));
    findings.extend(sizes::check(&workspace));
    findings.extend(test_code::check(&workspace.sources));
    findings.sort();
    findings.dedup();
    if findings.is_empty() {
        return Ok(());
    }
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    Err(format!("{lines}tidy: {} to put right", findings.len()))
}

/// One departure from a house rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the workspace's root, with `/` between its parts.
    pub(crate) path: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong and what to do about it.
    pub(crate) message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}
