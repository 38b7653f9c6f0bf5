//! The table of kinds that upstream has no printer of their own for: the name, and when the object was made.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN};

/// Its columns.
pub(super) const COLUMNS: &[Column] = &[NAME_COLUMN, Column { name: "Created At", ..AGE_COLUMN.of_type("date") }];

/// Its cells. What was never made was made in the year one, as Go's zero time says.
pub(super) fn row(meta: &ObjectMeta) -> Vec<Value> {
    let created = meta.creation_timestamp.as_ref().and_then(|time| serde_json::to_value(time).ok());
    vec![meta.name.clone().into(), created.unwrap_or_else(|| "0001-01-01T00:00:00Z".into())]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows() {
        let check = |meta: Value, expected: Value| {
            let meta: ObjectMeta = serde_json::from_value(meta).unwrap();
            assert_eq!(json!(row(&meta)), expected);
        };
        let created = json!({"name": "a", "creationTimestamp": "2026-03-01T10:00:00Z"});
        check(created, json!(["a", "2026-03-01T10:00:00Z"]));
        check(json!({"name": "a"}), json!(["a", "0001-01-01T00:00:00Z"]));
        assert_eq!((COLUMNS[1].name, COLUMNS[1].kind), ("Created At", "date"));
    }
}
