//! What becomes of requests that a level cannot take: whether they queue, and how their queues are dealt.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::flowcontrol::v1::{LimitResponse, QueuingConfiguration};

const DEFAULT_QUEUES: i32 = 64;
const DEFAULT_HAND_SIZE: i32 = 8;
const DEFAULT_LENGTH: i32 = 50;
const MAX_QUEUES: i32 = 10_000_000;
/// So many bits of a flow's hash are there to deal its hand of queues with.
const MAX_HASH_BITS: f64 = 60.0;

/// States the numbers that go without saying. Zero is none.
pub(super) fn set_defaults(queuing: &mut QueuingConfiguration) {
    for (field, default) in [
        (&mut queuing.hand_size, DEFAULT_HAND_SIZE),
        (&mut queuing.queues, DEFAULT_QUEUES),
        (&mut queuing.queue_length_limit, DEFAULT_LENGTH),
    ] {
        if field.unwrap_or(0) == 0 {
            *field = Some(default);
        }
    }
}

/// What is wrong with a response at `path`.
pub(super) fn validate(response: &LimitResponse, path: &Path) -> ErrorList {
    let queuing_path = path.child("queuing");
    match (&*response.type_, &response.queuing) {
        ("Reject", None) => ErrorList::new(),
        ("Reject", Some(_)) => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            Error::forbidden(&queuing_path, detail).into()
        }
        ("Queue", None) => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            Error::required(&queuing_path, detail).into()
        }
        ("Queue", Some(queuing)) => validate_queuing(queuing, &queuing_path),
        (other, _) => Error::not_supported(&path.child("type"), other, &["Queue", "Reject"]).into(),
    }
}

fn validate_queuing(queuing: &QueuingConfiguration, path: &Path) -> ErrorList {
    const NOT_POSITIVE: &str = "must be positive";
    let number = |field: Option<i32>| field.unwrap_or(0);
    let (queues, hand) = (number(queuing.queues), number(queuing.hand_size));
    let (queues_path, hand_path) = (path.child("queues"), path.child("handSize"));
    let mut errors = ErrorList::new();
    let length = number(queuing.queue_length_limit);
    if length <= 0 {
        errors.push(Error::invalid(&path.child("queueLengthLimit"), length, NOT_POSITIVE));
    }
    if queues <= 0 {
        errors.push(Error::invalid(&queues_path, queues, NOT_POSITIVE));
    } else if queues > MAX_QUEUES {
        errors.push(Error::invalid(&queues_path, queues, format!("must not be greater than {MAX_QUEUES}")));
    }
    if hand <= 0 {
        errors.push(Error::invalid(&hand_path, hand, NOT_POSITIVE));
    } else if hand > queues {
        errors.push(Error::invalid(&hand_path, hand, format!("should not be greater than queues ({queues})")));
    } else if (f64::from(queues).log2() * f64::from(hand)).ceil() > MAX_HASH_BITS {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {MAX_HASH_BITS}"
        );
        errors.push(Error::invalid(&hand_path, hand, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(response: Value, expected: &[&str]) {
        let parsed: LimitResponse = serde_json::from_value(response.clone()).unwrap();
        let errors = validate(&parsed, &Path::new("r"));
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{response}");
    }

    #[test]
    fn responses() {
        check(json!({"type": "Reject"}), &[]);
        let supported = "supported values: \"Queue\", \"Reject\"";
        check(json!({}), &[&format!("r.type: Unsupported value: \"\": {supported}")]);
        check(json!({"type": "Wait"}), &[&format!("r.type: Unsupported value: \"Wait\": {supported}")]);
        check(
            json!({"type": "Reject", "queuing": {}}),
            &["r.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited"],
        );
        check(
            json!({"type": "Queue"}),
            &["r.queuing: Required value: must not be empty if limited.limitResponse.type is Limited"],
        );
    }

    #[test]
    fn queues() {
        let check = |queues: i32, hand: i32, length: i32, expected: &[&str]| {
            let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": length});
            check(json!({"type": "Queue", "queuing": queuing}), expected);
        };
        check(512, 4, 100, &[]);
        check(10_000_000, 2, 100, &[]);
        check(1, 1, 1, &[]);
        check(7, 8, 1, &["r.queuing.handSize: Invalid value: 8: should not be greater than queues (7)"]);
        check(
            0,
            0,
            -1,
            &[
                "r.queuing.queueLengthLimit: Invalid value: -1: must be positive",
                "r.queuing.queues: Invalid value: 0: must be positive",
                "r.queuing.handSize: Invalid value: 0: must be positive",
            ],
        );
        let bits = |queues: i32, hand: i32| {
            format!(
                "r.queuing.handSize: Invalid value: {hand}: required entropy bits of deckSize {queues} and handSize {hand} \
                 should not be greater than 60"
            )
        };
        check(512, 8, 100, &[&bits(512, 8)]);
        check(128, 10, 100, &[&bits(128, 10)]);
        check(
            i32::MAX,
            3,
            100,
            &["r.queuing.queues: Invalid value: 2147483647: must not be greater than 10000000", &bits(i32::MAX, 3)],
        );
    }

    #[test]
    fn defaults() {
        let check = |queuing: Value, expected: Value| {
            let mut queuing: QueuingConfiguration = serde_json::from_value(queuing).unwrap();
            set_defaults(&mut queuing);
            assert_eq!(json!(queuing), expected);
        };
        check(json!({}), json!({"queues": 64, "handSize": 8, "queueLengthLimit": 50}));
        let stated = json!({"queues": 16, "handSize": -1, "queueLengthLimit": 1});
        check(stated.clone(), stated);
        check(json!({"queues": 0, "handSize": 4}), json!({"queues": 64, "handSize": 4, "queueLengthLimit": 50}));
    }
}
