//! Objects that every cluster is born with. They stand in `manifests/born`, as users would write them.

use serde::de::DeserializeOwned;

/// Reads a manifest with one object a document.
///
/// # Panics
/// If the manifest is not one of such objects, which the tests of each kind rule out.
pub(super) fn read<T: DeserializeOwned>(manifest: &str) -> Vec<T> {
    serde_saphyr::from_multiple(manifest).expect("what is built in is well formed")
}
