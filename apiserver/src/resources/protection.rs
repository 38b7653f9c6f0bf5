//! What is in use stays: new volumes, claims and attribute classes get a finalizer that a controller takes away when nothing
//! uses them any more (upstream's admission plugin `StorageObjectInUseProtection`, which is on by default).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Adds `finalizer` to a new object that does not have it.
pub(super) fn protect(meta: &mut ObjectMeta, finalizer: &str) {
    let finalizers = meta.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|stated| stated == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
}
