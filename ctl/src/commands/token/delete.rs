//! `gantry token delete`.

use api::bootstrap_token::{NAME_PREFIX, Token, is_id};
use clap::Args;
use http::Method;

use super::SECRETS;
use crate::session::Ask;
use crate::{Error, Session};

/// The arguments.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The tokens: their IDs, which are what stands before the dot, or the whole of them.
    #[arg(value_name = "ID", required = true)]
    tokens: Vec<String>,
}

/// Deletes the Secrets of tokens, one after the other. Nothing is deleted if one of them is no token.
pub(crate) async fn run(arguments: Arguments, session: &mut Session<'_>) -> Result<(), Error> {
    let ids = arguments.tokens.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>().map_err(Error::said)?;
    for id in ids {
        let path = format!("{SECRETS}/{NAME_PREFIX}{id}");
        session.ask(Ask { method: Method::DELETE, ..Ask::get(&path) }).await.map_err(|error| match error.reason() {
            Some("NotFound") => {
                Error::said(format!("there is no token {id}: `gantry token list` shows those there are"))
            }
            _ => error,
        })?;
        session.say(&format!("bootstrap token \"{id}\" deleted"))?;
    }
    Ok(())
}

fn id(text: &str) -> Result<String, String> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let token: Result<Token, _> = text.parse();
    // What is no token may be a mistyped one, which is nobody's business either.
    token.map(|token| token.id().to_owned()).map_err(|_| {
        "ID: one of them is neither a token nor the ID of one: give six lower-case letters or digits, as `gantry token list` \
         shows them before the dot"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_by_their_ids() {
        assert_eq!(id("abcdef").as_deref(), Ok("abcdef"));
        assert_eq!(id("abcdef.0123456789abcdef").as_deref(), Ok("abcdef"));
        for bad in ["", "abc", "abcdef.", "abcdef.0", "ABCDEF", "../abc"] {
            assert!(id(bad).is_err(), "{bad}");
        }
        assert!(!id("abcdef.0123456789secret0").unwrap_err().contains("secret0"));
    }
}
