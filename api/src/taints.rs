//! Which taints of nodes a pod tolerates.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether the toleration is of this taint: of its key and effect, or of any if it names none, and of its value as the
/// operator says. An operator that nobody knows is of no value.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is_or_any = |stated: &Option<String>, wanted: &str| {
        stated.as_deref().is_none_or(|stated| stated.is_empty() || stated == wanted)
    };
    if !is_or_any(&toleration.effect, &taint.effect) || !is_or_any(&toleration.key, &taint.key) {
        return false;
    }
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let value = taint.value.as_deref().unwrap_or_default();
    let numbers = || Some((value.parse::<i64>().ok()?, wanted.parse::<i64>().ok()?));
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => value == wanted,
        "Exists" => true,
        "Lt" => numbers().is_some_and(|(value, limit)| value < limit),
        "Gt" => numbers().is_some_and(|(value, limit)| value > limit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }

    fn toleration(key: &str, operator: &str, value: &str) -> Toleration {
        let (key, operator, value) = (text(key), text(operator), text(value));
        Toleration { key, operator, value, ..Toleration::default() }
    }

    #[test]
    fn tolerations_are_of_keys_values_and_effects() {
        let check = |toleration: Toleration, value: &str, expected: bool| {
            let taint =
                Taint { key: "a".to_owned(), value: text(value), effect: "NoExecute".to_owned(), time_added: None };
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration:?} of {value}");
        };
        check(toleration("a", "", "1"), "1", true);
        check(toleration("a", "Equal", "1"), "2", false);
        check(toleration("a", "Exists", ""), "2", true);
        check(toleration("b", "Exists", ""), "2", false);
        check(toleration("", "Exists", ""), "2", true);
        check(toleration("a", "Lt", "10"), "9", true);
        check(toleration("a", "Lt", "10"), "10", false);
        check(toleration("a", "Gt", "10"), "11", true);
        check(toleration("a", "Gt", "10"), "many", false);
        check(toleration("a", "Like", "1"), "1", false);
        let with = |effect: &str| Toleration { effect: text(effect), ..toleration("a", "Exists", "") };
        check(with("NoExecute"), "", true);
        check(with("NoSchedule"), "", false);
    }
}
