//! What went wrong, in a sentence, and the exit code that says so.

use serde_json::Value;

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused. In kubectl's words.
    #[error("{}", server_words(.0))]
    Server(Box<Value>),
    /// No server answered.
    #[error("{0}")]
    Unreachable(String),
    /// The arguments make no sense, or what was asked for is not there.
    #[error("error: {0}")]
    Said(String),
    /// Output or input failed.
    #[error("error: {0}")]
    Io(#[from] std::io::Error),
    /// All has been said already, and this is the exit code.
    #[error("")]
    Exit(u8),
}

impl Error {
    /// In a sentence that says what to do.
    pub fn said(sentence: impl Into<String>) -> Error {
        Error::Said(sentence.into())
    }

    /// The exit code of a process that ends with it: 1, or what another command ended with that it ran.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Exit(code) => *code,
            _ => 1,
        }
    }

    /// Why the server refused, in one word, if it did.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Error::Server(status) => status["reason"].as_str(),
            _ => None,
        }
    }
}

fn server_words(status: &Value) -> String {
    let message = status["message"].as_str().unwrap_or("unknown");
    match status["reason"].as_str() {
        Some(reason) if !reason.is_empty() && reason != "Unknown" => format!("Error from server ({reason}): {message}"),
        _ => format!("Error from server: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_servers_words_are_passed_on() {
        let check = |status: Value, expected: &str| {
            assert_eq!(Error::Server(Box::new(status)).to_string(), expected);
        };
        let message = "pods \"a\" not found";
        check(json!({"reason": "NotFound", "message": message}), "Error from server (NotFound): pods \"a\" not found");
        check(json!({"message": "boom"}), "Error from server: boom");
        check(json!({}), "Error from server: unknown");
    }
}
