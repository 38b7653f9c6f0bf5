//! `gantry store`: what an operator does with a store that no server has open.

use std::error::Error;
use std::path::PathBuf;

use clap::Subcommand;

use crate::process;

/// The subcommands of `gantry store`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check every record and checksum of a store or a backup, and say what it holds. Changes nothing.
    Verify {
        /// The data directory, or the file itself.
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Write the newest state of a store that is not in use to a new file. The store is verified first and stays as it is. Secrets
    /// are encrypted in it: without the key, which is in pki/encryption.yaml in the data directory, they are lost.
    Backup {
        /// The data directory of the server, which must have ended.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The file to make. There must be none.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Make a store of a backup. The backup is verified first and stays as it is. Its Secrets need the pki/encryption.yaml of their
    /// time in the data directory. Clients that knew the old store have to
    /// list anew, because revisions go on a billion later.
    Restore {
        /// The backup.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The data directory, in which there must be no store. It is made if it does not exist.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// Does what was asked for and says what the store holds.
pub(crate) fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let report = match command {
        Command::Verify { path } => store::verify(&path)?,
        Command::Backup { data_dir, to } => store::backup(&data_dir, &to)?,
        Command::Restore { from, data_dir } => store::restore(&from, &data_dir)?,
    };
    process::announce(&report.to_string());
    Ok(())
}
