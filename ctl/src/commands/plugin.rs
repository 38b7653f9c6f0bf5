//! `gantry plugin`: programs on the path that are verbs of this one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::command::Verb;
use crate::plugins::{PREFIXES, is_executable, words};
use crate::{Connection, Error, Session};

/// What can be done with them.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the programs on the path that are verbs of this one, and say of those that cannot be run why.
    List(Box<Verb<List>>),
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct List {
    /// Only their names, without where they are.
    #[arg(long)]
    name_only: bool,
}

impl Command {
    /// Which server it is for.
    pub(crate) fn connection(&self) -> &Connection {
        let Command::List(verb) = self;
        &verb.connection
    }
}

/// Does it.
pub(crate) fn run(command: Command, session: &mut Session<'_>) -> Result<(), Error> {
    let Command::List(verb) = command;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    list(&directories, verb.arguments.name_only, session)
}

fn list(directories: &[PathBuf], name_only: bool, session: &mut Session<'_>) -> Result<(), Error> {
    let mut plugins = Vec::new();
    for (place, directory) in directories.iter().enumerate() {
        if directory.as_os_str().is_empty() || directories[..place].contains(directory) {
            continue;
        }
        match of_directory(directory) {
            Ok(found) => plugins.extend(found),
            Err(error) => {
                let directory = directory.display().to_string();
                let why = reason(&error);
                session.remark(&format!(
                    "Unable to read directory {directory:?} from your PATH: open {directory}: {why}. Skipping..."
                ))?;
            }
        }
    }
    if plugins.is_empty() {
        return Err(Error::said("unable to find any kubectl plugins in your PATH"));
    }
    session.say("The following compatible plugins are available:\n")?;
    let (mut seen, mut warnings) = (BTreeMap::new(), 0);
    for plugin in &plugins {
        let name = plugin.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = plugin.display().to_string();
        session.say(if name_only { &name } else { &path })?;
        for warning in warnings_of(plugin, &name, &mut seen) {
            session.remark(&format!("  - warning: {warning}"))?;
            warnings += 1;
        }
    }
    match warnings {
        0 => Ok(()),
        1 => Err(Error::said("one plugin warning was found")),
        many => Err(Error::said(format!("{many} plugin warnings were found"))),
    }
}

/// The files of a directory that are called like plugins, by name.
fn of_directory(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_called_so = PREFIXES.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()));
        if is_called_so && !entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// In the words of Go's library, which are the system's.
fn reason(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Why a plugin will not be run. Those seen before are noted by name.
fn warnings_of(plugin: &Path, name: &str, seen: &mut BTreeMap<String, PathBuf>) -> Vec<String> {
    let path = plugin.display();
    let mut warnings = Vec::new();
    if !is_executable(plugin) {
        warnings.push(format!("{path} identified as a kubectl plugin, but it is not executable"));
    }
    if let Some(first) = seen.get(name) {
        warnings.push(format!("{path} is overshadowed by a similarly named plugin: {}", first.display()));
    } else {
        seen.insert(name.to_owned(), plugin.to_owned());
    }
    if let Some(verb) = own(name) {
        warnings.push(format!("{name} overwrites existing command: {verb:?}"));
    }
    warnings
}

/// The verb of this program that is run in a plugin's place.
fn own(name: &str) -> Option<String> {
    let program = <crate::Command as Subcommand>::augment_subcommands(clap::Command::new("gantry"));
    let (mut at, mut path) = (&program, vec!["gantry"]);
    for word in words(name) {
        let Some(verb) = at.find_subcommand(&word) else { break };
        path.push(verb.get_name());
        at = verb;
    }
    (path.len() > 1).then(|| path.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(directories: &[PathBuf], name_only: bool) -> String {
        let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), std::io::empty());
        let output = crate::Output { out: &mut out, err: &mut err, input: &mut input, is_terminal: false };
        let mut session = Session::new(Connection::default(), output);
        let result = list(directories, name_only, &mut session);
        drop(session);
        let text = [out, err].concat();
        let error = result.map_or_else(|error| format!("{error}\n"), |()| String::new());
        String::from_utf8(text).unwrap() + &error
    }

    #[test]
    fn plugins_are_listed_with_what_is_wrong_with_them() {
        let root = tempfile::tempdir().unwrap();
        let (first, second, missing) = (root.path().join("a"), root.path().join("b"), root.path().join("c"));
        let file = |directory: &Path, name: &str, mode: u32| {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(directory.join(name), "").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(directory.join(name), mode).unwrap();
        };
        file(&first, "kubectl-foo", 0o755);
        file(&first, "gantry-bar", 0o755);
        file(&first, "other-foo", 0o755);
        let head = "The following compatible plugins are available:\n\n";
        assert_eq!(
            seen(&[first.clone(), first.clone(), PathBuf::new()], true),
            format!("{head}gantry-bar\nkubectl-foo\n")
        );
        file(&second, "kubectl-foo", 0o755);
        let (a, b, c) = (first.display(), second.display(), missing.display());
        let skipped = format!(
            "Unable to read directory \"{c}\" from your PATH: open {c}: no such file or directory. Skipping...\n"
        );
        let expected = format!(
            "{head}{a}/gantry-bar\n{a}/kubectl-foo\n{b}/kubectl-foo\n{skipped}\
             \u{20} - warning: {b}/kubectl-foo is overshadowed by a similarly named plugin: {a}/kubectl-foo\n\
             error: one plugin warning was found\n"
        );
        assert_eq!(seen(&[first.clone(), missing.clone(), second.clone()], false), expected);
        std::fs::remove_file(second.join("kubectl-foo")).unwrap();
        file(&second, "kubectl-config-foo", 0o644);
        let expected = format!(
            "{head}kubectl-config-foo\n\
             \u{20} - warning: {b}/kubectl-config-foo identified as a kubectl plugin, but it is not executable\n\
             \u{20} - warning: kubectl-config-foo overwrites existing command: \"gantry config\"\n\
             error: 2 plugin warnings were found\n"
        );
        assert_eq!(seen(&[second], true), expected);
        assert_eq!(
            seen(&[missing], true),
            format!("{skipped}error: unable to find any kubectl plugins in your PATH\n")
        );
    }
}
