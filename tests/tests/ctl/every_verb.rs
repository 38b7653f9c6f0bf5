//! That no verb is without a snapshot: each is seen when it does what it is for, when it cannot, and with `--dry-run` and `-o` where
//! it has them. What needs more than a server, or cannot fail, is said here with the reason.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Command as Parser;

/// What is to be seen of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sight {
    /// It does what it is for.
    Usual,
    /// It cannot, and says why.
    Error,
    /// `--dry-run`.
    DryRun,
    /// `-o`.
    Output,
}
use Sight::{DryRun, Error, Output, Usual};

/// What is not seen here, and why, or where else.
const EXCEPTIONS: &[(&str, Sight, &str)] = &[
    // tidy: sorted
    ("api-resources", Error, "what it cannot do is seen before it begins, and nothing found is no error"),
    ("api-versions", Error, "it takes no arguments, and every server has versions"),
    ("apply edit-last-applied", Output, "it needs an editor: terminal.rs"),
    ("apply edit-last-applied", Usual, "it needs an editor: terminal.rs"),
    ("attach", Usual, "it needs a container: node/ctl.rs"),
    ("cluster-info", Error, "it takes no arguments, and every server has a place"),
    ("completion", Error, "what is no shell makes no line: gantry/src/mistake.rs"),
    ("completion", Usual, "a script is long, and shells understand it: gantry/tests/completion.rs"),
    ("config get-clusters", Error, "no clusters are no error"),
    ("config get-users", Error, "no users are no error"),
    ("config set-cluster", Error, "a cluster that is not there is made"),
    ("config set-credentials", Error, "a user that is not there is made"),
    ("cp", Usual, "it needs a container: node/ctl.rs"),
    ("create token", Output, "it needs a server with a key: terminal.rs"),
    ("create token", Usual, "it needs a server with a key: terminal.rs"),
    ("edit", Output, "it needs an editor: terminal.rs"),
    ("edit", Usual, "it needs an editor: terminal.rs"),
    ("exec", Usual, "it needs a container: node/ctl.rs"),
    ("options", Error, "it only shows what it knows"),
    ("plugin list", Error, "what it finds is on the path: ctl/src/commands/plugin.rs"),
    ("plugin list", Usual, "what it finds is on the path: ctl/src/commands/plugin.rs"),
    ("port-forward", Usual, "it needs a container: node/ctl.rs"),
    ("token generate", Error, "it takes no arguments, and asks nobody"),
    ("token generate", Usual, "it is another one each time: tokens.rs"),
    ("version", Error, "it fails only where no server answers"),
    // tidy: end
];

/// The verb of a line's words: as many of them as name verbs of verbs.
fn verb(parser: &Parser, line: &str) -> String {
    let (mut at, mut path) = (parser, Vec::new());
    for word in line.split(' ') {
        let Some(next) = at.find_subcommand(word) else { break };
        path.push(next.get_name());
        at = next;
    }
    path.join(" ")
}

/// Every verb that does something by itself, with what is to be seen of it.
fn wanted(parser: &Parser, path: &str, found: &mut Vec<(String, Sight)>) {
    for command in parser.get_subcommands().filter(|command| command.get_name() != "help") {
        let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
        wanted(command, &path, found);
        if command.is_subcommand_required_set() {
            continue;
        }
        let has = |name: &str| command.get_arguments().any(|argument| argument.get_long() == Some(name));
        let sights = [(Usual, true), (Error, true), (DryRun, has("dry-run")), (Output, has("output"))];
        found.extend(sights.into_iter().filter(|(_, wanted)| *wanted).map(|(sight, _)| (path.clone(), sight)));
    }
}

/// What is seen in a snapshot, by its text.
fn seen(parser: &Parser, text: &str, found: &mut BTreeMap<(String, Sight), String>) {
    // Output need not end with a line.
    for block in text.split("$ ").skip(1) {
        let line = block.lines().next().unwrap_or_default();
        let path = verb(parser, line);
        if path.is_empty() {
            continue;
        }
        let mut see = |sight| found.insert((path.clone(), sight), line.to_owned());
        if block.lines().any(|line| line.starts_with("[exit code ")) {
            see(Error);
            continue;
        }
        see(Usual);
        let words = || line.split(' ');
        if words().any(|word| word.starts_with("--dry-run")) {
            see(DryRun);
        }
        if words().any(|word| word.starts_with("-o") || word.starts_with("--output")) {
            see(Output);
        }
    }
}

#[test]
fn every_verb_has_a_snapshot() {
    let parser = crate::parser();
    let mut found = BTreeMap::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl/snapshots");
    for entry in std::fs::read_dir(directory).expect("snapshots") {
        let text = std::fs::read_to_string(entry.expect("a snapshot").path()).expect("text");
        seen(&parser, &text, &mut found);
    }
    let mut all = Vec::new();
    wanted(&parser, "", &mut all);
    let is_exception = |(path, sight): &(String, Sight)| {
        EXCEPTIONS.iter().any(|(excepted, of, _)| (excepted, of) == (&path.as_str(), sight))
    };
    let missing: Vec<_> = all.iter().filter(|wanted| !found.contains_key(*wanted) && !is_exception(wanted)).collect();
    assert!(missing.is_empty(), "not in any snapshot: {missing:#?}");
    let is_needed = |(path, sight, _): &&(&str, Sight, &str)| {
        let key = ((*path).to_owned(), *sight);
        all.contains(&key) && !found.contains_key(&key)
    };
    let needless: Vec<_> = EXCEPTIONS.iter().filter(|exception| !is_needed(exception)).collect();
    assert!(needless.is_empty(), "exceptions for what is there: {needless:#?}");
}

#[test]
fn lines_belong_to_the_verb_that_is_named_last() {
    let parser = crate::parser();
    let check = |line: &str, expected: &str| assert_eq!(verb(&parser, line), expected, "{line}");
    check("get pods", "get");
    check("rollout status deploy/web", "rollout status");
    check("apply view-last-applied configmap x", "apply view-last-applied");
    check("apply -f x", "apply");
    check("create cm x", "create configmap");
    check("nonsense", "");
}
