//! Plugins: programs on the path whose names begin with `gantry-` or `kubectl-`, and go on with the words of a verb that this program
//! does not have. `gantry foo bar` runs `gantry-foo-bar`, or else `gantry-foo` with `bar`: the longest name wins.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How plugins are called; those of the first come first.
pub(crate) const PREFIXES: [&str; 2] = ["gantry-", "kubectl-"];
/// The verb that has plugins as its own verbs, too.
const EXTENSIBLE: &str = "create";
/// What is no verb, and never a plugin's.
const RESERVED: [&str; 2] = ["help", "__complete"];

/// A plugin that a line calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where it is.
    pub plugin: PathBuf,
    /// What it is given.
    pub arguments: Vec<OsString>,
}

/// The plugin that a line calls, whose first word is the program, if the program has no such verb and there is one on the path.
#[must_use]
pub fn called(program: &clap::Command, words: &[OsString]) -> Option<Call> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let find = |name: &str| {
        let mut places = directories.iter().filter(|directory| !directory.as_os_str().is_empty());
        places.find_map(|directory| Some(directory.join(name)).filter(|path| is_executable(path)))
    };
    choose(program, words.get(1..)?, find)
}

/// The same by what finds a program by its name.
fn choose(program: &clap::Command, words: &[OsString], find: impl Fn(&str) -> Option<PathBuf>) -> Option<Call> {
    let named: Vec<&str> = words.iter().map_while(|word| word.to_str().filter(|word| !word.starts_with('-'))).collect();
    let first = named.first()?;
    let least = match program.find_subcommand(first) {
        None if RESERVED.contains(first) => return None,
        None => 1,
        Some(verb) if verb.get_name() == EXTENSIBLE && verb.find_subcommand(named.get(1)?).is_none() => 2,
        Some(_) => return None,
    };
    for length in (least..=named.len()).rev() {
        let name = file_name(&named[..length]);
        let found = PREFIXES.iter().find_map(|prefix| find(&format!("{prefix}{name}")));
        if let Some(plugin) = found {
            return Some(Call { plugin, arguments: words[length..].to_vec() });
        }
    }
    None
}

/// The words of a verb in the name of a file, where what is in a word is no end of it.
fn file_name(words: &[&str]) -> String {
    words.iter().map(|word| word.replace('-', "_")).collect::<Vec<_>>().join("-")
}

/// The words of the verb that a file is called for.
pub(crate) fn words(file_name: &str) -> Vec<String> {
    let words = PREFIXES.iter().find_map(|prefix| file_name.strip_prefix(prefix)).unwrap_or_default();
    words.split('-').map(|word| word.replace('_', "-")).collect()
}

/// Whether it is a program that can be run.
pub(crate) fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_is_called() {
        let program = <crate::Command as clap::Subcommand>::augment_subcommands(clap::Command::new("gantry"));
        let check = |line: &str, plugins: &[&str], expected: Option<(&str, &[&str])>| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let find = |name: &str| plugins.contains(&name).then(|| PathBuf::from(name));
            let found = choose(&program, &words, find);
            let expected = expected.map(|(plugin, arguments)| Call {
                plugin: plugin.into(),
                arguments: arguments.iter().map(OsString::from).collect(),
            });
            assert_eq!(found, expected, "{line}");
        };
        let all =
            ["kubectl-foo", "kubectl-foo-bar_baz", "gantry-two", "kubectl-two", "kubectl-create-foo", "kubectl-get"];
        check("foo", &all, Some(("kubectl-foo", &[])));
        check("foo a --b", &all, Some(("kubectl-foo", &["a", "--b"])));
        check("foo bar-baz -x", &all, Some(("kubectl-foo-bar_baz", &["-x"])));
        check("foo --help", &all, Some(("kubectl-foo", &["--help"])));
        check("two", &all, Some(("gantry-two", &[])));
        check("create foo b", &all, Some(("kubectl-create-foo", &["b"])));
        check("create cm b", &["kubectl-create-cm"], None);
        check("create", &["kubectl-create"], None);
        check("get", &all, None);
        check("-n x foo", &all, None);
        check("help", &["kubectl-help"], None);
        check("nothing", &all, None);
    }

    #[test]
    fn names_of_files_are_words() {
        assert_eq!(words("kubectl-foo-bar_baz"), ["foo", "bar-baz"]);
        assert_eq!(words(&format!("gantry-{}", file_name(&["a-b", "c"]))), ["a-b", "c"]);
        assert!(!is_executable(Path::new("/")));
        assert!(is_executable(Path::new("/bin/sh")));
        assert!(!is_executable(Path::new("/etc/passwd")));
    }
}
