//! What can stand where a line is typed: what a shell offers for it.
//!
//! - `line` (pure) reads the words of a line by the program's own arguments: the verb, its options, and what is typed now.
//! - `wants` (pure) says what belongs there: words, files, or names of a cluster.
//! - `live` asks a cluster, or a kubeconfig, for the names.
//!
//! What always holds: nothing is said of errors, and a server that does not answer is waited for no longer than
//! [`PATIENCE`]; what is known without it is offered all the same.
//!
//! Candidates are told to shells as the commands of Go that are made with cobra do, kubectl among them: a line each, with a
//! tab before what it means, and at last a colon and a sum of what the shell has to know ([`Offers::directive`]).

mod line;
mod live;
mod wants;

use std::fmt;
use std::time::Duration;

use crate::{Connection, Session};
use line::Line;
use wants::{Want, wants};

/// For how long a server may keep a shell waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// A line as far as it is typed.
pub struct Completion {
    line: Line,
    wants: Vec<Want>,
}

impl Completion {
    /// Of the words behind the program's name, by the program's arguments. The last one is what is typed now; it is empty if
    /// there is nothing of it yet.
    #[must_use]
    pub fn of(mut program: clap::Command, words: &[String]) -> Completion {
        program.build();
        let (mut line, command) = Line::read(&program, words);
        let wants = wants(&mut line, command);
        Completion { line, wants }
    }

    /// The server that the line names.
    #[must_use]
    pub fn connection(&self) -> Connection {
        let value = |name: &str| self.line.option(name).map(str::to_owned);
        Connection {
            kubeconfig: value("kubeconfig").map(expanded),
            context: value("context"),
            cluster: value("cluster"),
            user: value("user"),
            namespace: value("namespace"),
            server: value("server"),
            token: value("token"),
            impersonate: value("as"),
            impersonate_groups: value("as-group").into_iter().collect(),
            certificate_authority: value("certificate-authority").map(expanded),
            client_certificate: value("client-certificate").map(expanded),
            client_key: value("client-key").map(expanded),
            insecure_skip_tls_verify: value("insecure-skip-tls-verify").is_some_and(|value| value != "false"),
            tls_server_name: value("tls-server-name"),
            // How long it takes altogether is bounded elsewhere.
            request_timeout: "0".to_owned(),
            ..Connection::default()
        }
    }

    /// What can stand there, in the order of names.
    pub async fn offers(&self, session: &mut Session<'_>) -> Offers {
        let mut offers = Offers::default();
        for want in &self.wants {
            match want {
                Want::Words(words) => offers.words.extend(words.iter().cloned()),
                Want::Files => offers.files = true,
                Want::Directories => offers.directories = true,
                Want::Live(live) => {
                    // An error, or silence, is as good as no names.
                    let names = tokio::time::timeout(PATIENCE, live::names(live, &self.line, session)).await;
                    let names = names.ok().and_then(Result::ok).unwrap_or_default();
                    offers.words.extend(names.into_iter().map(|name| (name, String::new())));
                }
            }
        }
        let typed = self.line.typed();
        // In lists, and in TYPE/NAME, what stands before is kept.
        offers.words.retain(|(word, _)| word.starts_with(typed));
        let before = self.line.before();
        for (word, _) in &mut offers.words {
            word.insert_str(0, before);
        }
        offers.words.sort();
        offers.words.dedup_by(|one, other| one.0 == other.0);
        offers.words.truncate(live::MOST);
        offers.goes_on =
            !offers.words.is_empty() && offers.words.iter().all(|(word, _)| word.ends_with(['/', '=', ':']));
        offers
    }
}

/// `~/x`, which a shell has not replaced yet.
fn expanded(path: String) -> std::path::PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => std::path::Path::new(&home).join(rest),
        _ => path.into(),
    }
}

/// What a shell is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Words, each with what it means; that may be empty.
    pub words: Vec<(String, String)>,
    /// Files can stand there, too.
    pub files: bool,
    /// Directories can.
    pub directories: bool,
    /// Something follows the word in place, without a space.
    pub goes_on: bool,
}

impl Offers {
    /// The sum of cobra's directives: 2 for no space behind the word, 4 for no files, 16 for directories only.
    #[must_use]
    pub const fn directive(&self) -> u8 {
        let space = if self.goes_on { 2 } else { 0 };
        match (self.files, self.directories) {
            (true, _) => space,
            (false, true) => space | 16,
            (false, false) => space | 4,
        }
    }
}

impl fmt::Display for Offers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, meaning) in &self.words {
            // A name of a file of somebody's could have more lines than one.
            if word.contains(['\n', '\t']) {
                continue;
            }
            match meaning.is_empty() {
                true => writeln!(formatter, "{word}")?,
                false => writeln!(formatter, "{word}\t{meaning}")?,
            }
        }
        writeln!(formatter, ":{}", self.directive())
    }
}

#[cfg(test)]
mod tests;
