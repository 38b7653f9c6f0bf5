//! `gantry options`: the options that every verb takes.

use clap::{Arg, Args};

use crate::{Connection, Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {}

/// Shows them.
pub(crate) fn run(session: &mut Session<'_>) -> Result<(), Error> {
    session.say("The following options can be passed to any command:")?;
    let command = Connection::augment_args(clap::Command::new("options"));
    let mut options: Vec<&Arg> = command.get_arguments().filter(|option| !option.is_hide_set()).collect();
    options.sort_by_key(|option| option.get_long());
    for option in options {
        session.say(&format!("\n    {}:\n\t{}", named(option), help(option)))?;
    }
    session.say("")
}

/// An option with its default, as kubectl writes it: `-n, --namespace=''`.
fn named(option: &Arg) -> String {
    let short = option.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let default = option.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
    let default = match (option.get_action(), default) {
        (clap::ArgAction::Append, None) => "[]".to_owned(),
        (clap::ArgAction::SetTrue, _) => "false".to_owned(),
        (_, Some(word)) if word == "true" || word == "false" => word,
        (_, default) => format!("'{}'", default.unwrap_or_default()),
    };
    format!("{short}--{}={default}", option.get_long().unwrap_or(option.get_id().as_str()))
}

fn help(option: &Arg) -> String {
    option.get_help().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    #[test]
    fn options_are_shown_with_their_defaults() {
        let check = |option: Arg, expected: &str| assert_eq!(named(&option), expected);
        let option = || Arg::new("o").long("option");
        check(option().short('o').action(ArgAction::Set), "-o, --option=''");
        check(option().action(ArgAction::Append), "--option=[]");
        check(option().action(ArgAction::SetTrue), "--option=false");
        check(option().action(ArgAction::Set).default_value("0"), "--option='0'");
        check(option().action(ArgAction::Set).default_value("true"), "--option=true");
    }
}
