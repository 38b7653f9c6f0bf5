//! How objects are deleted: what becomes of those that they own, and how long they have to end.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{Error, Session};

/// What becomes of what an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cascade {
    Background,
    Foreground,
    Orphan,
    /// As background, in the words of long ago.
    #[value(hide = true)]
    True,
    /// As orphan, in the words of long ago.
    #[value(hide = true)]
    False,
}

impl Cascade {
    /// The words of long ago, and today's.
    const fn replaced(self) -> Option<(&'static str, &'static str)> {
        match self {
            Cascade::True => Some(("true", "background")),
            Cascade::False => Some(("false", "orphan")),
            _ => None,
        }
    }

    /// Says what to write today in the place of words of long ago.
    pub(crate) fn warn(self, session: &mut Session<'_>) -> Result<(), Error> {
        let Some((old, new)) = self.replaced() else { return Ok(()) };
        session.remark(&format!(
            "warning: --cascade={old} is deprecated (boolean value) and can be replaced with --cascade={new}."
        ))
    }

    /// The API's word for it.
    const fn propagation(self) -> &'static str {
        match self {
            Cascade::Background | Cascade::True => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan | Cascade::False => "Orphan",
        }
    }
}

/// What the server is told. Without seconds, objects have as long as they say themselves.
pub(crate) fn options(cascade: Cascade, grace: Option<i64>) -> Value {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": cascade.propagation()});
    if let Some(seconds) = grace {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_told_how() {
        let check = |cascade: Cascade, grace: Option<i64>, expected: Value| {
            let found = options(cascade, grace);
            assert_eq!(json!([found["propagationPolicy"], found["gracePeriodSeconds"]]), expected);
        };
        check(Cascade::Background, None, json!(["Background", null]));
        check(Cascade::True, Some(0), json!(["Background", 0]));
        check(Cascade::Foreground, Some(5), json!(["Foreground", 5]));
        check(Cascade::Orphan, None, json!(["Orphan", null]));
        check(Cascade::False, None, json!(["Orphan", null]));
    }
}
