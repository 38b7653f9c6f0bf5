//! Taints of nodes and tolerations of pods, as scheduling compares them.

use k8s_openapi::api::core::v1::{Taint as ApiTaint, Toleration as ApiToleration};

/// What keeps pods off a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value, which may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl Taint {
    /// Whether pods that do not tolerate the taint must not come to the node.
    #[must_use]
    pub fn forbids(&self) -> bool {
        matches!(self.effect.as_str(), "NoSchedule" | "NoExecute")
    }

    /// Whether pods that do not tolerate the taint had better be elsewhere.
    #[must_use]
    pub fn discourages(&self) -> bool {
        self.effect == "PreferNoSchedule"
    }
}

impl From<&ApiTaint> for Taint {
    fn from(taint: &ApiTaint) -> Self {
        let value = taint.value.clone().unwrap_or_default();
        Self { key: taint.key.clone(), value, effect: taint.effect.clone() }
    }
}

/// How a toleration's value relates to a taint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Equal,
    Exists,
    Less,
    Greater,
    Unknown,
}

/// What lets a pod onto nodes with certain taints. Empty keys and effects are any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    key: String,
    operator: Operator,
    value: String,
    effect: String,
}

impl From<&ApiToleration> for Toleration {
    fn from(toleration: &ApiToleration) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let operator = match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => Operator::Equal,
            "Exists" => Operator::Exists,
            "Lt" => Operator::Less,
            "Gt" => Operator::Greater,
            _ => Operator::Unknown,
        };
        let (key, value, effect) = (text(&toleration.key), text(&toleration.value), text(&toleration.effect));
        Self { key, operator, value, effect }
    }
}

impl Toleration {
    /// Whether the toleration is of taints of this effect.
    #[must_use]
    pub fn is_of_effect(&self, effect: &str) -> bool {
        self.effect.is_empty() || self.effect == effect
    }

    /// Whether the toleration is of this taint.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let numbers = || Some((taint.value.parse::<i64>().ok()?, self.value.parse::<i64>().ok()?));
        self.is_of_effect(&taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator {
                Operator::Equal => self.value == taint.value,
                Operator::Exists => true,
                Operator::Less => numbers().is_some_and(|(value, limit)| value < limit),
                Operator::Greater => numbers().is_some_and(|(value, limit)| value > limit),
                Operator::Unknown => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_are_of_keys_values_and_effects() {
        let check = |[key, operator, value, effect]: [&str; 4], taint_value: &str, expected: bool| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let toleration = Toleration::from(&ApiToleration {
                key: text(key),
                operator: text(operator),
                value: text(value),
                effect: text(effect),
                toleration_seconds: None,
            });
            let taint = Taint { key: "a".to_owned(), value: taint_value.to_owned(), effect: "NoSchedule".to_owned() };
            assert_eq!(toleration.tolerates(&taint), expected, "{toleration:?} of {taint:?}");
        };
        check(["a", "", "1", ""], "1", true);
        check(["a", "Equal", "1", "NoSchedule"], "1", true);
        check(["a", "Equal", "1", "NoExecute"], "1", false);
        check(["a", "Equal", "1", ""], "2", false);
        check(["b", "Exists", "", ""], "", false);
        check(["", "Exists", "", ""], "2", true);
        check(["a", "Lt", "10", ""], "9", true);
        check(["a", "Gt", "10", ""], "9", false);
        check(["a", "Gt", "10", ""], "many", false);
        check(["a", "Like", "1", ""], "1", false);
    }
}
