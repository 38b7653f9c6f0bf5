//! What is said of a line that makes no sense: what is wrong with it and what was probably meant, in one sentence, and where to
//! read on. The exit code is kubectl's where the verb is: 1, and 2 of `diff`, for which 1 says that there are differences.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// What is printed, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// What is said on standard error; what was asked for on standard output, if the code is 0.
    pub(crate) words: String,
    pub(crate) code: u8,
}

/// Explains why `words`, which are behind the program's name, are no line of the program.
pub(crate) fn explain(program: &Command, words: &[String], error: &Error) -> Mistake {
    let verbs = verbs(program, words);
    let of = ["gantry"].into_iter().chain(verbs.iter().map(|verb| verb.get_name())).collect::<Vec<_>>().join(" ");
    let code = code(verbs.first());
    let said = |sentence: String| Mistake { words: format!("error: {sentence}\nSee '{of} --help' for usage.\n"), code };
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let meant = |what: Option<&str>| what.map_or_else(String::new, |what| format!("; did you mean {what:?}?"));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Mistake { words: error.to_string(), code: 0 },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Mistake { words: error.to_string(), code },
        ErrorKind::InvalidSubcommand => {
            let verb = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let known = verbs.last().copied().unwrap_or(program).get_subcommands().filter(|known| !known.is_hide_set());
            let near = nearest(verb, known.map(Command::get_name));
            let sentence = format!("unknown command {verb:?} for {of:?}{}", meant(near));
            // kubectl says no more of its own verbs.
            if verbs.is_empty() && near.is_none() {
                return Mistake { words: format!("error: {sentence}\n"), code };
            }
            said(sentence)
        }
        ErrorKind::UnknownArgument => match text(ContextKind::InvalidArg).unwrap_or_default() {
            option if option.starts_with('-') => {
                let option = option.split('=').next().unwrap_or_default();
                said(format!("unknown flag: {option}{}", meant(text(ContextKind::SuggestedArg))))
            }
            argument => said(format!("{argument:?} is one argument too many")),
        },
        // The parser says the rest well: its first sentence, without how it is dressed.
        _ => {
            let rendered = error.render().to_string();
            let paragraphs =
                rendered.split("\n\n").filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
            let lines: Vec<&str> = paragraphs.flat_map(str::lines).map(str::trim).collect();
            let sentence = lines.join(" ");
            said(sentence.trim_start_matches("error: ").trim().to_owned())
        }
    }
}

/// The verb of a line, with those that it is a verb of, as far as it is known.
fn verbs<'a>(program: &'a Command, words: &[String]) -> Vec<&'a Command> {
    let mut found: Vec<&Command> = Vec::new();
    for word in words {
        match found.last().copied().unwrap_or(program).find_subcommand(word) {
            Some(verb) => found.push(verb),
            None if word.starts_with('-') => {}
            None => break,
        }
    }
    found
}

/// The exit code of a line with this verb that makes no sense.
fn code(verb: Option<&&Command>) -> u8 {
    let Some(verb) = verb else { return 1 };
    let is_of_ctl = <ctl::Command as clap::Subcommand>::has_subcommand(verb.get_name());
    if is_of_ctl && verb.get_name() != "diff" { 1 } else { 2 }
}

/// What somebody probably meant, if anything is near.
fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|name| (strsim::damerau_levenshtein(text, name), name));
    near.filter(|(distance, _)| *distance <= text.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Arguments;

    #[test]
    fn a_line_that_makes_no_sense_is_told_in_a_sentence() {
        let check = |line: &str, code: u8, sentence: &str, see: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let error = Arguments::command().no_binary_name(true).try_get_matches_from(&words).unwrap_err();
            let expected = Mistake { words: format!("error: {sentence}\nSee '{see} --help' for usage.\n"), code };
            assert_eq!(explain(&Arguments::command(), &words, &error), expected, "{line}");
        };
        check("gte pods", 1, "unknown command \"gte\" for \"gantry\"; did you mean \"get\"?", "gantry");
        let stauts = "unknown command \"stauts\" for \"gantry rollout\"; did you mean \"status\"?";
        check("rollout stauts", 1, stauts, "gantry rollout");
        check("get pods --otput yaml", 1, "unknown flag: --otput; did you mean \"--output\"?", "gantry get");
        check("get pods --otput=yaml", 1, "unknown flag: --otput; did you mean \"--output\"?", "gantry get");
        check("diff --zzzz", 2, "unknown flag: --zzzz", "gantry diff");
        check("up --no-nod", 2, "unknown flag: --no-nod; did you mean \"--no-node\"?", "gantry up");
        check("exec -Z", 1, "unknown flag: -Z", "gantry exec");
        check("config use-context a b", 1, "\"b\" is one argument too many", "gantry config use-context");
        let shells = "invalid value 'zhs' for '<SHELL>' [possible values: bash, fish, powershell, zsh]";
        check("completion zhs", 1, shells, "gantry completion");
        check("certs renew", 2, "the following required arguments were not provided: <NAME>...", "gantry certs renew");
    }

    #[test]
    fn help_is_no_mistake_and_a_missing_verb_is() {
        let check = |line: &str, code: u8, begins: &str| {
            let words: Vec<String> = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
            let error = Arguments::command().no_binary_name(true).try_get_matches_from(&words).unwrap_err();
            let found = explain(&Arguments::command(), &words, &error);
            assert!(found.words.starts_with(begins) && found.code == code, "{line}: {found:?}");
        };
        check("--version", 0, "gantry ");
        check("get --help", 0, "Show objects");
        check("", 1, "A Kubernetes-compatible cluster orchestrator");
        check("xyzzy", 1, "error: unknown command \"xyzzy\" for \"gantry\"\n");
        check("rollout", 1, "Follow, repeat and undo rollouts");
        check("store", 2, "Verify, back up or restore");
    }
}
