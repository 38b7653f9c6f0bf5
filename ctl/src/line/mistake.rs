//! What is said of lines that make no sense.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::shown;
use crate::Command;

/// Why a line cannot be run.
#[derive(Debug)]
pub enum Mistake {
    /// In kubectl's words. The exit code is 1.
    Said(String),
    /// The help that is shown of a verb that is nothing without a verb of its own. The exit code is 0.
    Help(String),
    /// It is not about a verb that asks something of a cluster, or asks for help.
    Other(Box<clap::Error>),
}

/// With where help is.
pub(super) fn with_usage(words: String, path: &[&clap::Command]) -> Mistake {
    let names: Vec<&str> = path.iter().map(|command| command.get_name()).collect();
    Mistake::Said(format!("error: {words}\nSee '{} --help' for usage.", names.join(" ")))
}

/// What clap says of an arranged line.
pub(super) fn of_clap(error: clap::Error, root: &clap::Command, words: &[OsString]) -> Mistake {
    let mut path = vec![root];
    for word in words.iter().skip(1) {
        match path.last().and_then(|command| command.find_subcommand(word)) {
            Some(inner) => path.push(inner),
            None if word.as_encoded_bytes().starts_with(b"-") => {}
            None => break,
        }
    }
    match path.get(1) {
        None => return of_program(error, root),
        Some(verb) if !<Command as clap::Subcommand>::has_subcommand(verb.get_name()) => {
            return Mistake::Other(Box::new(error));
        }
        Some(_) => {}
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    if path.get(1).is_some_and(|verb| verb.get_name() == "completion")
        && let Some(words) = of_shell(error.kind(), &text(ContextKind::InvalidValue))
    {
        let help = format!("See '{} completion -h' for help and examples", root.get_name());
        return Mistake::Said(format!("error: {words}\n{help}"));
    }
    let words = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Mistake::Other(Box::new(error)),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return Mistake::Help(error.render().to_string()),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let (option, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
            let name = option.split([' ', '[', '=']).next().unwrap_or_default().trim_start_matches('-').to_owned();
            let arg = path.last().and_then(|command| super::find(command, |arg| super::is_named(arg, &name)));
            let option = arg.map_or(option, shown);
            if let Some(words) = chosen(&name, &value) {
                return Mistake::Said(format!("error: {words}"));
            }
            format!("invalid argument {value:?} for {option:?} flag: {}", why(&error, &value))
        }
        ErrorKind::MissingRequiredArgument => match required(&text(ContextKind::InvalidArg)) {
            Some(flags) => return Mistake::Said(format!("error: required flag(s) {flags} not set")),
            None if path.iter().any(|verb| verb.get_name() == "create") => {
                let names: Vec<&str> = path.iter().map(|command| command.get_name()).collect();
                let help = format!("See '{} -h' for help and examples", names.join(" "));
                return Mistake::Said(format!("error: exactly one NAME is required, got 0\n{help}"));
            }
            None => first_line(&error),
        },
        _ => first_line(&error),
    };
    with_usage(words, &path)
}

/// What is said of a program's own verbs.
fn of_program(error: clap::Error, root: &clap::Command) -> Mistake {
    let unknown = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(verb))) => verb.clone(),
        _ => return Mistake::Other(Box::new(error)),
    };
    // clap knows a verb that is close.
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return Mistake::Other(Box::new(error));
    }
    Mistake::Said(format!("error: unknown command {unknown:?} for {:?}", root.get_name()))
}

/// Why a value is none.
fn why(error: &clap::Error, value: &str) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    let numeric = ["invalid digit", "cannot parse integer", "not in"];
    match source {
        Some(source) if numeric.iter().any(|start| source.starts_with(start) || source.contains(" is not in ")) => {
            format!("strconv.ParseInt: parsing {value:?}: invalid syntax")
        }
        Some(source) => source,
        None => {
            let valid = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => valid.join(", "),
                _ => String::new(),
            };
            format!("it is one of: {valid}")
        }
    }
}

/// What kubectl says of a value that is none of those that an option knows.
fn chosen(option: &str, value: &str) -> Option<String> {
    match option {
        "cascade" => {
            Some(format!("invalid cascade value ({value}). Must be \"background\", \"foreground\", or \"orphan\""))
        }
        "dry-run" => Some(format!("Invalid dry-run value ({value}). Must be \"none\", \"server\", or \"client\".")),
        "sort-by" => Some("--sort-by accepts only name or kind".to_owned()),
        "type" => Some(format!("--type must be one of [json merge strategic], not {value:?}")),
        _ => None,
    }
}

/// What kubectl says where the name of a shell is to be.
fn of_shell(kind: ErrorKind, value: &str) -> Option<String> {
    match kind {
        ErrorKind::MissingRequiredArgument => Some("Shell not specified.".to_owned()),
        ErrorKind::InvalidValue => Some(format!("Unsupported shell type {value:?}.")),
        ErrorKind::UnknownArgument => Some("Too many arguments. Expected only the shell type.".to_owned()),
        _ => None,
    }
}

/// `"image", "schedule"` of `--image <IMAGE>, --schedule <SCHEDULE>`; none if what is missing is no option.
fn required(missing: &str) -> Option<String> {
    let names: Vec<&str> = missing.split(", ").filter_map(|arg| arg.strip_prefix("--")?.split(' ').next()).collect();
    let names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
