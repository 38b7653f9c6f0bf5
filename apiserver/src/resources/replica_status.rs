//! What the statuses of kinds that count pods have in common: numbers that cannot be negative, parts that cannot be more
//! than the whole, and a counter of collisions that only grows.

use api::field::{Error, ErrorList, Path};

use super::replica_template::validate_non_negative;

/// What is wrong with fields below `path` that may not be negative.
pub(super) fn non_negative(fields: &[(&str, i64)], path: &Path) -> ErrorList {
    fields.iter().filter_map(|(field, value)| validate_non_negative(*value, &path.child(field))).collect()
}

/// What is wrong with fields below `path` that may not exceed `limit`, which messages call `name`.
pub(super) fn at_most(fields: &[(&str, i64)], limit: i64, name: &str, path: &Path) -> ErrorList {
    let detail = format!("cannot be greater than {name}");
    let exceeding = fields.iter().filter(|(_, value)| *value > limit);
    exceeding.map(|(field, value)| Error::invalid(&path.child(field), *value, &*detail)).collect()
}

/// What is wrong with `collisionCount` below `path`, which names of new revisions and ReplicaSets follow from.
pub(super) fn not_decremented(new: Option<i32>, old: Option<i32>, path: &Path) -> Option<Error> {
    let decremented = old.is_some_and(|old| new.is_none_or(|new| new < old));
    let path = path.child("collisionCount");
    decremented.then(|| Error::invalid(&path, new.unwrap_or(0), "cannot be decremented"))
}
