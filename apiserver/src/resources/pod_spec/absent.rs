//! Reads optional fields as Go's structs hold them: absent and empty are the same.

/// The text, or the empty one.
pub(in crate::resources) fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

/// The elements, or none.
pub(in crate::resources) fn list<T>(field: &Option<Vec<T>>) -> &[T] {
    field.as_deref().unwrap_or_default()
}

/// The number, or 0.
pub(in crate::resources) fn number(field: Option<i32>) -> i32 {
    field.unwrap_or_default()
}

/// Whether it says `true`.
pub(in crate::resources) fn is_true(field: Option<bool>) -> bool {
    field == Some(true)
}
