//! The real kubectl, as a user runs it, and what it prints with everything replaced that differs from run to run.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::server::{Backing, Server};

/// Where kubectl finds a cluster.
pub trait Reachable {
    /// The address of the API server.
    fn url(&self) -> &str;
    /// The administrator's kubeconfig.
    fn kubeconfig(&self) -> &Path;
    /// A program that can reach it.
    fn command(&self, program: &str) -> Command {
        Command::new(program)
    }
}

/// A user with a kubectl, a home directory and a directory of files, all private.
pub struct Kubectl<S = Server> {
    program: &'static str,
    /// The cluster that it talks to.
    pub server: S,
    home: TempDir,
}

impl Kubectl {
    /// A user of a new, empty cluster, whose objects are kept in `backing`.
    ///
    /// # Panics
    /// If there is no kubectl, or the cluster does not start.
    #[must_use]
    pub fn over(backing: Backing) -> Kubectl {
        Kubectl::of("kubectl", backing)
    }

    /// The same with a kubectl 1.20, of the year 2020.
    ///
    /// # Panics
    /// If there is no such kubectl, or the cluster does not start.
    #[must_use]
    pub fn old_over(backing: Backing) -> Kubectl {
        Kubectl::of("kubectl-1.20", backing)
    }

    fn of(program: &'static str, backing: Backing) -> Kubectl {
        Kubectl::with(program, Server::start(backing))
    }
}

impl<S: Reachable> Kubectl<S> {
    /// A user of a cluster.
    ///
    /// # Panics
    /// If there is no kubectl.
    #[must_use]
    pub fn to(server: S) -> Kubectl<S> {
        Kubectl::with("kubectl", server)
    }

    fn with(program: &'static str, server: S) -> Kubectl<S> {
        let found = Command::new(program).args(["version", "--client"]).stdout(Stdio::null()).status();
        assert!(found.is_ok_and(|status| status.success()), "there is no {program}: run `make deps`");
        Kubectl { program, server, home: tempfile::tempdir().expect("a temporary directory") }
    }

    /// Writes a file into the directory that kubectl runs in.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, content: &str) {
        std::fs::write(self.home.path().join(name), content).expect("a file can be written");
    }

    /// The directory that kubectl runs in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// A kubectl that has not been started, with arguments as one would type them: words, with quotes of both kinds.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        let mut command = self.server.command(self.program);
        command
            .args(words(line))
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path())
            .env("KUBECONFIG", self.server.kubeconfig())
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl and returns what it printed, as it was.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn output(&self, line: &str) -> Output {
        self.command(line).output().expect("kubectl can be run")
    }

    /// Runs kubectl with `input` on its standard input, and returns what it printed, as it was.
    ///
    /// # Panics
    /// If it cannot be run.
    #[must_use]
    pub fn with_input(&self, line: &str, input: &str) -> Output {
        let mut command = self.command(line);
        let mut child: Child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl can be run");
        // A kubectl that ends without reading says why in what it prints.
        let _ = child.stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes()));
        child.wait_with_output().expect("kubectl ends")
    }

    /// What kubectl prints, for a snapshot: standard output, then standard error, then the exit code unless it is 0.
    #[must_use]
    pub fn run(&self, line: &str) -> String {
        self.shown(&self.output(line))
    }

    /// A session: every line that is not blank is a command; the result is the commands and what they print.
    #[must_use]
    pub fn session(&self, lines: &str) -> String {
        let mut shown = String::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let _ = write!(shown, "$ kubectl {line}\n{}", self.run(line));
        }
        shown
    }

    /// What kubectl printed, with everything replaced that differs from run to run.
    #[must_use]
    pub fn shown(&self, output: &Output) -> String {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        if let Some(code @ 1..) = output.status.code() {
            let _ = writeln!(text, "[exit code {code}]");
        }
        let home = self.home.path().to_string_lossy();
        let text =
            text.lines().filter(|line| !tells_of_timing(line)).fold(String::new(), |text, line| text + line + "\n");
        stable(&text.replace(self.server.url(), "https://SERVER").replace(&*home, "HOME"))
    }
}

/// Splits a line into words as a shell does, without its expansions.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, open @ ('\'' | '"')) => {
                quote = Some(open);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, character) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// Whether a line is what kubectl's client library logs when a watch ends sooner than it thinks right: a watch that kubectl
/// itself ended, after the second that it was given.
fn tells_of_timing(line: &str) -> bool {
    line.contains("] \"Warning: watch ended with error\"") && line.contains("very short watch")
}

/// Replaces times, identities, versions and ages.
#[must_use]
pub fn stable(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(stable_line).collect();
    let end = if text.ends_with('\n') { "\n" } else { "" };
    lines.join("\n") + end
}

fn stable_line(line: &str) -> String {
    // As `describe` writes it, in words.
    const CREATED: &str = "CreationTimestamp:";
    if let Some((indent, _)) = line.split_once(CREATED).filter(|(before, _)| before.trim().is_empty()) {
        return format!("{indent}{CREATED}  TIME");
    }
    let mut shown = String::new();
    let mut word = String::new();
    for character in line.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | ':' | '.') {
            word.push(character);
            continue;
        }
        push_word(&mut shown, &word);
        word.clear();
        shown.push(character);
    }
    push_word(&mut shown, &word);
    shown = without_digest(&shown);
    for before in ["in record (", "resource version: 999999, current: "] {
        shown = without_number_after(&shown, before);
    }
    // A longer age takes the room of the spaces after it.
    while let Some(at) = shown.find("AGE    ") {
        shown.remove(at + "AGE".len());
    }
    shown
}

/// Replaces the digest of a client's certificate, which is made anew for each server.
fn without_digest(line: &str) -> String {
    const BEFORE: &str = "X509SHA256=";
    match line.split_once(BEFORE) {
        Some((start, end)) => {
            format!("{start}{BEFORE}DIGEST{}", end.trim_start_matches(|c: char| c.is_ascii_hexdigit()))
        }
        None => line.to_owned(),
    }
}

/// Replaces the version that stands in a message after `before`.
fn without_number_after(line: &str, before: &str) -> String {
    match line.split_once(before) {
        Some((start, end)) => format!("{start}{before}VERSION{}", end.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => line.to_owned(),
    }
}

fn push_word(shown: &mut String, word: &str) {
    let before = shown.trim_end_matches(['"', ' ', ':', '\\']);
    let version = before.ends_with("resourceVersion") && word.bytes().all(|byte| byte.is_ascii_digit());
    shown.push_str(match word {
        word if is_uid(word) => "UID",
        word if is_time(word) => "TIME",
        word if version && !word.is_empty() => "VERSION",
        word if is_age(word) && shown.ends_with(' ') => "AGE",
        word => word,
    });
}

fn is_uid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_time(word: &str) -> bool {
    word.len() == 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T' && word.starts_with("20")
}

/// `5s` and the like. Tests take no longer than minutes.
fn is_age(word: &str) -> bool {
    let digits = word.trim_end_matches(['s', 'm']);
    digits.len() < word.len() && !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == 'm')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_into_words() {
        let check = |line: &str, expected: &[&str]| assert_eq!(words(line), expected, "{line}");
        check("get pods -o wide", &["get", "pods", "-o", "wide"]);
        check(r#"patch x -p '{"a": "b"}'"#, &["patch", "x", "-p", r#"{"a": "b"}"#]);
        check(r#"a "b c"d  ''"#, &["a", "b cd", ""]);
    }

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let check = |text: &str, expected: &str| assert_eq!(stable(text), expected);
        check("web   0/2     0            3s\n", "web   0/2     0            AGE\n");
        check("CreationTimestamp:      Mon, 23 Nov 2026 01:00:30 +0000\n", "CreationTimestamp:  TIME\n");
        check("  resourceVersion: \"17\"", "  resourceVersion: \"VERSION\"");
        check(r#"{"resourceVersion":"17","replicas":"17"}"#, r#"{"resourceVersion":"VERSION","replicas":"17"}"#);
        check("uid: a97b592e-2efa-4de7-a53a-4f47da4bfc3e", "uid: UID");
        check("at \"2026-11-23T00:38:58Z\" v1.36.4", "at \"TIME\" v1.36.4");
        check("100m cpu", "100m cpu");
        check("[X509SHA256=466b5932a99a8097]", "[X509SHA256=DIGEST]");
        check("version in record (17). The", "version in record (VERSION). The");
        check(
            "Too large resource version: 999999, current: 17",
            "Too large resource version: 999999, current: VERSION",
        );
    }
}
