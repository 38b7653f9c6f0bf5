//! Lines as people type them to kubectl: [`read`] takes them as kubectl does, where clap would not.
//!
//! - Options stand anywhere before `--`: before the verb, between it and a verb of its own, and behind. An option is the innermost
//!   verb's that has it. Only verbs that ask something of a cluster get any of this: what starts a cluster does not have these options.
//! - A switch can be given a value (`--watch=false`), and what is given twice counts as it was given last.
//! - The word after an option that takes a value is its value, whatever it begins with.
//! - What makes no sense is said in kubectl's words, and the exit code is 1.
//!
//! [`arrange`] is pure: it makes of such a line one that clap understands.

mod mistake;

use std::ffi::{OsStr, OsString};

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Subcommand};

use crate::resources::suggestion;
use crate::{Command, Connection};

pub use mistake::Mistake;

/// What kubectl takes besides, for its own workings. It is taken, and makes no difference: here is no cache, no log of requests, no
/// profile and no file of preferences. A verb may have an option of the same name, which is that verb's.
const UNUSED: [(&str, bool); 8] = [
    ("cache-dir", true),
    ("disable-compression", false),
    ("kuberc", true),
    ("log-flush-frequency", true),
    ("profile", true),
    ("profile-output", true),
    ("v", true),
    ("vmodule", true),
];
/// How deep verbs have verbs.
const DEEPEST: usize = 8;

/// Reads a line, whose first word is the program, for a program that has [`Command`] among its own.
pub fn read(command: clap::Command, words: Vec<OsString>) -> Result<ArgMatches, Mistake> {
    let mut command = lenient(command);
    command.build();
    let words = arrange(&command, words)?;
    command.try_get_matches_from_mut(&words).map_err(|error| mistake::of_clap(error, &command, &words))
}

/// With verbs that take an option twice.
fn lenient(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    names
        .into_iter()
        .filter(|name| Command::has_subcommand(name))
        .fold(command, |command, name| command.mut_subcommand(name, |verb| twice(verb, 0)))
}

fn twice(verb: clap::Command, depth: usize) -> clap::Command {
    let verb = verb.args_override_self(true);
    if depth == DEEPEST { verb } else { verb.mut_subcommands(|inner| twice(inner, depth + 1)) }
}

/// The verbs of a line, outermost first, with the places of their words.
struct Verbs<'a> {
    path: Vec<&'a clap::Command>,
    places: Vec<usize>,
}

/// Puts the options of a line behind the verbs that have them, each with its value in one word.
fn arrange(root: &clap::Command, words: Vec<OsString>) -> Result<Vec<OsString>, Mistake> {
    let unused = unused();
    let connection = Connection::augment_args(unused.clone());
    let Some(verbs) = verbs(root, &connection, &words) else { return without_verb(root, &connection, words) };
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let mut line = Line { path: &verbs.path, unused: &unused, options: vec![Vec::new(); verbs.path.len()] };
    let mut others = Vec::new();
    let mut places = (1..end).filter(|place| !verbs.places.contains(place));
    while let Some(place) = places.next() {
        let word = &words[place];
        let mut next = || places.next().map(|place| words[place].clone());
        match (word.to_str(), is_option(word)) {
            (Some(text), true) => match text.strip_prefix("--") {
                Some(long) => line.long(long, &mut next)?,
                None => line.short(text.trim_start_matches('-'), &mut next)?,
            },
            _ => others.push(word.clone()),
        }
    }
    let mut arranged = vec![words.first().cloned().unwrap_or_default()];
    for (level, options) in line.options.into_iter().enumerate() {
        if let Some(place) = level.checked_sub(1).and_then(|level| verbs.places.get(level)) {
            arranged.push(words[*place].clone());
        }
        arranged.extend(options);
    }
    arranged.extend(others);
    arranged.extend_from_slice(&words[end..]);
    Ok(arranged)
}

/// A line without a verb that asks something. Options for such a verb do not hide what is wrong with the rest, unless that is a
/// verb that does not have them.
fn without_verb(
    root: &clap::Command,
    connection: &clap::Command,
    words: Vec<OsString>,
) -> Result<Vec<OsString>, Mistake> {
    let mut place = 1;
    while let Some(word) = words.get(place).filter(|word| is_option(word) && known(root, word).is_none()) {
        let Some(option) = known(connection, word) else { return Ok(words) };
        let has_value =
            !takes_next(option) || word.to_string_lossy().contains('=') || (!is_long(word) && word.len() > 2);
        if !has_value && place + 1 == words.len() {
            let name = word.to_string_lossy();
            let letter = name.chars().nth(1).filter(|_| !is_long(word));
            let words = letter.map_or_else(|| name.to_string(), |letter| format!("{letter:?} in {name}"));
            return Err(mistake::with_usage(format!("flag needs an argument: {words}"), &[root]));
        }
        place += if has_value { 1 } else { 2 };
    }
    match words.get(place) {
        Some(verb) if root.find_subcommand(verb).is_some() => Ok(words),
        None if place > 1 => Err(Mistake::Help(root.clone().render_help().to_string())),
        _ => {
            Ok(words.into_iter().enumerate().filter(|(at, _)| *at == 0 || *at >= place).map(|(_, word)| word).collect())
        }
    }
}

fn unused() -> clap::Command {
    let switch = [ArgAction::SetTrue, ArgAction::Set];
    let options = UNUSED.map(|(name, has_value)| {
        let option = Arg::new(name).long(name).action(switch[usize::from(has_value)].clone());
        if name == "v" { option.short('v').value_parser(clap::value_parser!(i32)) } else { option }
    });
    clap::Command::new("unused").args(options)
}

/// The verbs of a line; none if it asks nothing of a cluster.
fn verbs<'a>(root: &'a clap::Command, connection: &clap::Command, words: &[OsString]) -> Option<Verbs<'a>> {
    let mut verbs = Verbs { path: vec![root], places: Vec::new() };
    let mut place = 1;
    while let Some(word) = words.get(place).filter(|word| *word != "--") {
        let command = *verbs.path.last()?;
        if is_option(word) {
            let known = |command| known(command, word).map(takes_next);
            let takes_next = known(command).or_else(|| known(connection)).unwrap_or(true);
            // The value of a single letter may follow it at once.
            let has_value = word.to_string_lossy().contains('=') || (!is_long(word) && word.len() > 2);
            place += if takes_next && !has_value { 2 } else { 1 };
            continue;
        }
        let Some(inner) = command.find_subcommand(word) else { break };
        if verbs.places.is_empty() && !Command::has_subcommand(inner.get_name()) {
            return None;
        }
        verbs.path.push(inner);
        verbs.places.push(place);
        place += 1;
    }
    (!verbs.places.is_empty()).then_some(verbs)
}

fn is_option(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"-") && word.len() > 1
}

fn is_long(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
}

/// The option that a word begins with, if the command has it.
fn known<'a>(command: &'a clap::Command, word: &OsStr) -> Option<&'a Arg> {
    let word = word.to_str()?;
    match word.strip_prefix("--") {
        Some(long) => find(command, |arg| is_named(arg, long.split_once('=').map_or(long, |(name, _)| name))),
        None => word.chars().nth(1).and_then(|letter| find(command, |arg| has_letter(arg, letter))),
    }
}

fn find(command: &clap::Command, is_it: impl Fn(&Arg) -> bool) -> Option<&Arg> {
    command.get_arguments().find(|arg| !arg.is_positional() && is_it(arg))
}

fn is_named(arg: &Arg, name: &str) -> bool {
    arg.get_long_and_visible_aliases()
        .into_iter()
        .flatten()
        .chain(arg.get_all_aliases().into_iter().flatten())
        .any(|own| own == name)
}

fn has_letter(arg: &Arg, letter: char) -> bool {
    let mut letters = arg.get_short_and_visible_aliases().into_iter().flatten();
    letters.any(|own| own == letter) || arg.get_all_short_aliases().into_iter().flatten().any(|own| own == letter)
}

/// Whether the next word is its value.
fn takes_next(arg: &Arg) -> bool {
    arg.get_action().takes_values() && arg.get_num_args().is_none_or(|values| values.min_values() > 0)
}

/// The options of a line, by the verb that gets them.
struct Line<'a> {
    path: &'a [&'a clap::Command],
    unused: &'a clap::Command,
    options: Vec<Vec<OsString>>,
}

impl<'a> Line<'a> {
    /// `--name`, `--name=value` and `--name value`.
    fn long(&mut self, text: &str, next: &mut dyn FnMut() -> Option<OsString>) -> Result<(), Mistake> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.into())));
        let Some((level, arg)) = self.own(|arg| is_named(arg, name)) else {
            let near = self.near(name).map(|near| format!("; did you mean \"--{near}\"?")).unwrap_or_default();
            return Err(self.mistake(format!("unknown flag: --{name}{near}")));
        };
        let value = if value.is_none() && takes_next(arg) {
            Some(next().ok_or_else(|| self.mistake(format!("flag needs an argument: --{name}")))?)
        } else {
            value
        };
        self.push(level, format!("--{name}"), arg, value)
    }

    /// `-abc`, where the first that takes a value has all that follows: `-ovalue`, `-o=value` and `-o value`.
    fn short(&mut self, letters: &str, next: &mut dyn FnMut() -> Option<OsString>) -> Result<(), Mistake> {
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            let Some((level, arg)) = self.own(|arg| has_letter(arg, letter)) else {
                return Err(self.mistake(format!("unknown shorthand flag: {letter:?} in -{rest}")));
            };
            let whole = rest;
            rest = &rest[letter.len_utf8()..];
            let value = if let Some(value) = rest.strip_prefix('=') {
                rest = "";
                Some(value.into())
            } else if !takes_next(arg) {
                None
            } else if rest.is_empty() {
                let missing = || self.mistake(format!("flag needs an argument: {letter:?} in -{whole}"));
                Some(next().ok_or_else(missing)?)
            } else {
                Some(std::mem::take(&mut rest).into())
            };
            self.push(level, format!("-{letter}"), arg, value)?;
        }
        Ok(())
    }

    /// The innermost verb's option.
    fn own(&self, is_it: impl Fn(&Arg) -> bool) -> Option<(Option<usize>, &'a Arg)> {
        let (path, unused): (&'a [&'a clap::Command], &'a clap::Command) = (self.path, self.unused);
        let of_verbs = path.iter().enumerate().rev();
        let found = of_verbs.into_iter().find_map(|(level, command)| Some((Some(level), find(command, &is_it)?)));
        found.or_else(|| Some((None, find(unused, &is_it)?)))
    }

    fn push(
        &mut self,
        level: Option<usize>,
        option: String,
        arg: &Arg,
        value: Option<OsString>,
    ) -> Result<(), Mistake> {
        let mut option = OsString::from(option);
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let value = match value {
            Some(value) if is_switch || arg.get_value_parser().type_id() == ValueParser::bool().type_id() => {
                let truth = truth(&value).ok_or_else(|| {
                    let why = format!("strconv.ParseBool: parsing {value:?}: invalid syntax");
                    self.mistake(format!("invalid argument {value:?} for {:?} flag: {why}", shown(arg)))
                })?;
                if is_switch && !truth {
                    return Ok(());
                }
                (!is_switch).then(|| OsString::from(truth.to_string()))
            }
            value => value,
        };
        if let Some(value) = value {
            option.push("=");
            option.push(value);
        }
        if let Some(level) = level {
            self.options[level].push(option);
        }
        Ok(())
    }

    /// The option that somebody probably meant who wrote this one.
    fn near(&self, name: &str) -> Option<&'a str> {
        let path: &'a [&'a clap::Command] = self.path;
        let options = path.iter().flat_map(|command| command.get_arguments()).filter(|arg| !arg.is_hide_set());
        suggestion(name, options.filter_map(Arg::get_long))
    }

    fn mistake(&self, words: String) -> Mistake {
        mistake::with_usage(words, self.path)
    }
}

/// What Go takes for a truth value.
fn truth(value: &OsStr) -> Option<bool> {
    match value.to_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// An option as kubectl names it: `-w, --watch`.
fn shown(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, long) => format!("--{}", long.unwrap_or(arg.get_id().as_str())),
    }
}

#[cfg(test)]
mod tests;
