//! Why there is no image to make a container of, in upstream's words. Pure.

use std::fmt::Write;
use std::time::Duration;

use oci::reference::InvalidReference;
use tonic::{Code, Status};

/// When to look again at what does not get better by itself (upstream's `backOffPeriod`).
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// That there is no image to make a container of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refused {
    /// The word for the container's status: `ErrImagePull`, `ImagePullBackOff`, `ErrImageNeverPull`, `InvalidImageName`,
    /// `ImageInspectError`, `RegistryUnavailable` or `SignatureValidationFailed`.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// When asking again may help.
    pub again: Duration,
}

fn refused(reason: &'static str, message: String) -> Refused {
    Refused { reason, message, again: AGAIN }
}

pub(super) fn misnamed(image: &str, error: &InvalidReference) -> Refused {
    let why = format!("couldn't parse image name {image:?}: {error}");
    refused("InvalidImageName", format!("Failed to apply default image tag {image:?}: {why}"))
}

pub(super) fn not_inspected(image: &str, status: &Status) -> Refused {
    refused("ImageInspectError", format!("Failed to inspect image {image:?}: {}", told(status)))
}

pub(super) fn never_pulled(image: &str) -> Refused {
    refused("ErrImageNeverPull", format!("Container image {image:?} is not present with pull policy of Never"))
}

pub(super) fn not_accessible(image: &str) -> Refused {
    let message = format!(
        "Container image {image:?} is present with pull policy of Never but does not have the proper credentials to access the image"
    );
    refused("ErrImageNeverPull", message)
}

/// What a runtime's error means. Some begin with a word that the interface defines for them.
pub(super) fn not_pulled(image: &str, error: &str) -> Refused {
    let known = [
        ("RegistryUnavailable", "the registry is unavailable"),
        ("SignatureValidationFailed", "the signature validation failed"),
    ];
    for (word, sentence) in known {
        if let Some(rest) = error.strip_prefix(word) {
            return refused(word, format!("image pull failed for {image} because {sentence}{rest}"));
        }
    }
    refused("ErrImagePull", error.to_owned())
}

/// A runtime's error as upstream shows it: with its code, unless that says nothing.
pub(super) fn told(status: &Status) -> String {
    if status.code() == Code::Unknown {
        return status.message().to_owned();
    }
    // As the words are in Go.
    let code = match status.code() {
        Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    };
    format!("rpc error: code = {code} desc = {}", status.message())
}

/// Errors of several attempts as one: what was said twice is said once.
pub(super) fn together(errors: Vec<String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [only] => only.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// A duration as Go writes it, in whole milliseconds: `1m2.5s`, `340ms`, `0s`.
pub(super) fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    if milliseconds < 1000 {
        return format!("{milliseconds}ms");
    }
    let (hours, minutes) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60);
    let mut text = String::new();
    // Writing to a string cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let (seconds, rest) = (milliseconds / 1000 % 60, milliseconds % 1000);
    let fraction = format!(".{rest:03}");
    let fraction = if rest == 0 { "" } else { fraction.trim_end_matches('0') };
    let _ = write!(text, "{seconds}{fraction}s");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        let check = |milliseconds, expected: &str| {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
        };
        check(0, "0s");
        check(7, "7ms");
        check(1_000, "1s");
        check(1_050, "1.05s");
        check(59_999, "59.999s");
        check(60_000, "1m0s");
        check(3_600_000, "1h0m0s");
        check(3_661_500, "1h1m1.5s");
    }

    #[test]
    fn errors_are_told_apart_by_how_they_begin() {
        let check = |error: &str, reason: &str, message: &str| {
            let refused = not_pulled("a.b/c:1", error);
            assert_eq!((refused.reason, refused.message.as_str()), (reason, message));
        };
        check("no such host", "ErrImagePull", "no such host");
        check(
            "RegistryUnavailable: it sleeps",
            "RegistryUnavailable",
            "image pull failed for a.b/c:1 because the registry is unavailable: it sleeps",
        );
        check(
            "SignatureValidationFailed",
            "SignatureValidationFailed",
            "image pull failed for a.b/c:1 because the signature validation failed",
        );
        check("not RegistryUnavailable", "ErrImagePull", "not RegistryUnavailable");
    }

    #[test]
    fn a_code_that_says_nothing_is_left_out() {
        assert_eq!(told(&Status::unknown("why")), "why");
        assert_eq!(told(&Status::not_found("why")), "rpc error: code = NotFound desc = why");
        assert_eq!(told(&Status::cancelled("why")), "rpc error: code = Canceled desc = why");
        assert_eq!(together(vec!["a".into(), "a".into()]), "a");
        assert_eq!(together(vec!["a".into(), "b".into(), "a".into()]), "[a, b]");
    }
}
