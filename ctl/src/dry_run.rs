//! `--dry-run`: whether a change is made, or only said or checked.

use clap::ValueEnum;

/// Whether a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    None,
    Client,
    Server,
}

impl DryRun {
    /// What is said behind what was done.
    pub(crate) const fn remark(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }

    /// What the server is told.
    pub(crate) const fn parameter(self) -> &'static str {
        match self {
            DryRun::Server => "All",
            DryRun::None | DryRun::Client => "",
        }
    }
}
