//! What an update of a status may not change of the metadata: what is the owner's to say.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Takes from the old metadata what only updates of the object itself change (upstream's `ResetObjectMetaForStatus`).
pub(super) fn reset(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.deletion_timestamp.clone_from(&old.deletion_timestamp);
    new.generation = old.generation;
    new.labels.clone_from(&old.labels);
    new.annotations.clone_from(&old.annotations);
    new.finalizers.clone_from(&old.finalizers);
    new.owner_references.clone_from(&old.owner_references);
}
