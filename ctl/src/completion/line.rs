//! A line as far as it is typed, read by the arguments of the program. Nothing that is typed is wrong: it is not finished.

use clap::{Arg, Command};

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The verb, with what it is a verb of: `rollout`, `status`.
    pub(super) verb: Vec<String>,
    /// What stands behind it that is no option.
    pub(super) arguments: Vec<String>,
    /// Whether it is behind `--`.
    pub(super) is_behind_dashes: bool,
    /// What is typed now.
    pub(super) at: At,
    /// Options by their long names, with their values.
    options: Vec<(String, String)>,
    /// The word that is typed now, whole.
    word: String,
    /// How much of the word stands before what is asked for.
    kept: usize,
}

/// What is typed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum At {
    /// A verb, or an argument.
    #[default]
    Argument,
    /// The name of an option.
    Option,
    /// The value of the option of this name.
    Value(String),
}

impl Line {
    /// Reads the words behind the program's name. Also gives the arguments of the verb.
    pub(super) fn read<'a>(program: &'a Command, words: &[String]) -> (Line, &'a Command) {
        let mut line = Line::default();
        let mut command = program;
        let mut open: Option<&Arg> = None;
        let (last, before) = words.split_last().map_or((String::new(), words), |(last, before)| (last.clone(), before));
        for word in before {
            if let Some(option) = open.take() {
                line.options.push((name(option), word.clone()));
            } else if line.is_behind_dashes {
                line.arguments.push(word.clone());
            } else if word == "--" {
                line.is_behind_dashes = true;
            } else if word.starts_with('-') && word.len() > 1 {
                open = line.take_option(command, word);
            } else if let Some(verb) = command.find_subcommand(word).filter(|_| line.arguments.is_empty()) {
                line.verb.push(verb.get_name().to_owned());
                command = verb;
            } else {
                line.arguments.push(word.clone());
            }
        }
        line.word = last;
        line.locate(open, command);
        (line, command)
    }

    /// Takes an option, and gives it back if its value is the next word.
    fn take_option<'a>(&mut self, command: &'a Command, word: &str) -> Option<&'a Arg> {
        if let Some(long) = word.strip_prefix("--") {
            if let Some((long, value)) = long.split_once('=') {
                self.options.push((long.to_owned(), value.to_owned()));
                return None;
            }
            let option = by_long(command, long)?;
            if needs_value(option) {
                return Some(option);
            }
            self.options.push((name(option), "true".to_owned()));
            return None;
        }
        for (at, letter) in word.char_indices().skip(1) {
            let option = command.get_arguments().find(|option| option.get_short() == Some(letter))?;
            if needs_value(option) {
                let rest = word.get(at + letter.len_utf8()..).unwrap_or_default();
                if rest.is_empty() {
                    return Some(option);
                }
                self.options.push((name(option), rest.strip_prefix('=').unwrap_or(rest).to_owned()));
                return None;
            }
            self.options.push((name(option), "true".to_owned()));
        }
        None
    }

    fn locate(&mut self, open: Option<&Arg>, command: &Command) {
        if let Some(option) = open {
            self.at = At::Value(name(option));
        } else if self.is_behind_dashes {
            self.at = At::Argument;
        } else if let Some((long, _)) = self.word.strip_prefix("--").and_then(|long| long.split_once('=')) {
            self.kept = long.len() + 3;
            self.at = At::Value(by_long(command, long).map_or_else(|| long.to_owned(), name));
        } else if self.word.starts_with('-') {
            self.at = At::Option;
        }
    }

    /// The value of an option; the last one counts.
    pub(super) fn option(&self, long: &str) -> Option<&str> {
        self.options.iter().rev().find(|(name, _)| name == long).map(|(_, value)| value.as_str())
    }

    /// As much of what is typed as what is asked for begins with.
    pub(super) fn typed(&self) -> &str {
        self.word.get(self.kept..).unwrap_or_default()
    }

    /// What of the word stands before that.
    pub(super) fn before(&self) -> &str {
        self.word.get(..self.kept).unwrap_or_default()
    }

    /// Keeps what stands before the last one of this character, with it.
    pub(super) fn keep_until_last(&mut self, end: char) {
        if let Some(at) = self.typed().rfind(end) {
            self.kept += at + 1;
        }
    }
}

/// An option's long name, or what the program calls it.
pub(super) fn name(option: &Arg) -> String {
    option.get_long().map_or_else(|| option.get_id().to_string(), str::to_owned)
}

/// An option by its long name, or by an alias of that.
pub(super) fn by_long<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    let has = |option: &&Arg| {
        option.get_long() == Some(long) || option.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
    };
    command.get_arguments().find(has)
}

/// Whether the next word is its value, if it is not behind `=`.
fn needs_value(option: &Arg) -> bool {
    let least = option.get_num_args().map_or(0, |range| range.min_values());
    option.get_action().takes_values() && !option.is_require_equals_set() && least > 0
}
