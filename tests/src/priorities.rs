//! The PriorityClasses of tests: one for each priority that their pods have.

use serde_json::{Value, json};

/// The name of the class with this priority, for `priorityClassName`.
#[must_use]
pub fn class_of(priority: i32) -> String {
    format!("of-{priority}")
}

/// The class itself.
#[must_use]
pub fn class(priority: i32) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": class_of(priority)},
        "value": priority,
    })
}
