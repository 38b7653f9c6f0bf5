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
    /// The same, where kubectl does not say that it is an error.
    #[error("{0}")]
    Plain(String),
    /// Files have no objects.
    #[error("error: no objects passed")]
    NoObjects,
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

    /// With what objects were to be passed to, where there were none.
    pub(crate) fn passed_to(self, verb: &str) -> Error {
        match self {
            Error::NoObjects => Error::said(format!("no objects passed to {verb}")),
            other => other,
        }
    }

    /// The same without the word that it is an error.
    pub(crate) fn unadorned(self) -> Error {
        match self {
            Error::Said(sentence) => Error::Plain(sentence),
            other => other,
        }
    }

    /// The exit code of a process that ends with it: 1, or what another command ended with that it ran.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Exit(code) => *code,
            _ => 1,
        }
    }

    /// As it is said beside other errors, which is shorter or all in one line.
    pub(crate) fn among_others(&self) -> String {
        match self {
            Error::Server(status) => with_reason(status),
            Error::Said(sentence) | Error::Plain(sentence) => sentence.clone(),
            other => other.to_string(),
        }
    }

    /// The fields that the server finds fault with, by their paths.
    pub(crate) fn fields(&self) -> Vec<String> {
        let Error::Server(status) = self else { return Vec::new() };
        let causes = status["details"]["causes"].as_array().into_iter().flatten();
        let mut fields: Vec<String> = causes.filter_map(|cause| cause["field"].as_str().map(str::to_owned)).collect();
        // Decoding fails with a sentence that has them in quotes: `unknown field "spec.x", duplicate field "spec.y"`.
        let message = status["message"].as_str().unwrap_or_default();
        for before in ["unknown field \"", "duplicate field \"", "already set field \""] {
            let found = message.split(before).skip(1).filter_map(|behind| behind.split('"').next());
            fields.extend(found.map(str::to_owned));
        }
        // So does Go, without saying which item of a list it is: `Go struct field Pod.spec.nodeName of type string`.
        let found = message.split("Go struct field ").skip(1).filter_map(|behind| behind.split_once(" of type "));
        fields.extend(found.filter_map(|(field, _)| Some(field.split_once('.')?.1.to_owned())));
        // What is wrong with a patch as a whole is no field of it.
        fields.retain(|field| !matches!(field.as_str(), "" | "<nil>" | "patch"));
        fields
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
    if status["reason"] != "Invalid" {
        return with_reason(status);
    }
    // What is wrong with an object, a line each.
    let details = &status["details"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&details["kind"]), text(&details["name"]));
    let mut causes: Vec<String> = Vec::new();
    for cause in details["causes"].as_array().into_iter().flatten() {
        let cause = format!("{}: {}", text(&cause["field"]), text(&cause["message"]));
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    let subject = match (kind.is_empty() && name.is_empty(), &causes[..]) {
        (false, _) => format!("The {kind} {name:?} is invalid"),
        (true, []) => format!("The request is invalid: {}", text(&status["message"])),
        (true, _) => "The request is invalid".to_owned(),
    };
    match &causes[..] {
        [] => subject,
        [one] => format!("{subject}: {one}"),
        many => {
            format!("{subject}: \n{}", many.iter().map(|cause| format!("* {cause}\n")).collect::<String>().trim_end())
        }
    }
}

fn with_reason(status: &Value) -> String {
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

    #[test]
    fn what_is_wrong_with_an_object_is_said_line_by_line() {
        let invalid = |causes: Value| json!({"reason": "Invalid", "message": "m", "details": {"kind": "Pod", "name": "a", "causes": causes}});
        let (one, two) = (json!({"field": "spec", "message": "Required value"}), json!({"field": "x", "message": "y"}));
        let check = |causes: Value, expected: &str| {
            assert_eq!(Error::Server(Box::new(invalid(causes))).to_string(), expected);
        };
        check(json!([]), "The Pod \"a\" is invalid");
        check(json!([one, one]), "The Pod \"a\" is invalid: spec: Required value");
        check(json!([one, two]), "The Pod \"a\" is invalid: \n* spec: Required value\n* x: y");
        let error = Error::Server(Box::new(invalid(json!([one]))));
        assert_eq!(error.among_others(), "Error from server (Invalid): m");
    }
}
