//! The command line against an API server of this process: what people type, and what they see.

mod apply;
mod config;
mod describe;
mod every_verb;
mod keeping;
mod making;
mod output;
mod reading;
mod terminal;
mod tokens;
mod verbs;

use std::fmt::Write;

use clap::{Command as Parser, FromArgMatches};
use ctl::{Command, Connection, Output, Session};
use kube::Client;
use tests::in_process::Server;
use tests::kubectl::stable;

/// A user of a server, in a directory of files.
pub(crate) struct User {
    client: Client,
    files: tempfile::TempDir,
}

pub(crate) fn parser() -> Parser {
    <Command as clap::Subcommand>::augment_subcommands(Parser::new("gantry").no_binary_name(true))
}

impl User {
    pub(crate) fn of(server: &Server) -> User {
        let client = Client::new(server.local("admin", &["system:masters"]), "default");
        User { client, files: tempfile::tempdir().expect("a directory") }
    }

    /// Writes a file, which lines name as `@name`.
    pub(crate) fn file(&self, name: &str, content: &str) {
        std::fs::write(self.files.path().join(name), content).expect("a file can be written");
    }

    /// What is seen of each line, with everything replaced that differs from run to run.
    pub(crate) async fn session(&self, lines: &[&str]) -> String {
        let mut shown = String::new();
        for line in lines {
            let seen = self.run(line, "").await;
            let _ = write!(shown, "$ {line}\n{seen}");
        }
        shown
    }

    /// What is seen of a line, with what it reads.
    pub(crate) async fn run(&self, line: &str, input: &str) -> String {
        let directory = self.files.path().display().to_string();
        let words = line.split(' ').map(|word| word.replace('@', &format!("{directory}/")));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let matches = parser().try_get_matches_from(words).expect("a line that makes sense");
        let command = Command::from_arg_matches(&matches).expect("a line that makes sense");
        let connection: Connection = command.connection().clone();
        let mut input = input.as_bytes();
        let output = Output { out: &mut out, err: &mut err, input: &mut input, is_terminal: false };
        let mut session = Session::with(self.client.clone(), "default", connection, output);
        let result = command.run(&mut session).await;
        drop(session);
        let mut seen = format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        if let Err(error) = result {
            let words = error.to_string();
            if !words.is_empty() {
                let _ = writeln!(seen, "{words}");
            }
            let _ = writeln!(seen, "[exit code {}]", error.exit_code());
        }
        stable(&seen.replace(&format!("{directory}/"), "@"))
    }
}

#[test]
fn the_command_line_is_consistent() {
    parser().debug_assert();
}
