//! What is stored by others than this API is not taken away from who uses it (upstream's StorageObjectInUseProtection): volume
//! claims, volumes and attributes classes begin with a finalizer, which a controller takes off when nobody uses them.
//!
//! What always holds: each has its finalizer once, behind those that it was given.

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Operation, Plugin, Review};
use crate::object::Object;

/// What is protected, and by which finalizer.
const PROTECTED: [(&str, &str); 3] = [
    ("core/persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("core/persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io/volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub(super) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation == Operation::Create && finalizer(review).is_some()
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        if let Some(finalizer) = finalizer(review) {
            protect(object.meta_mut(), finalizer);
        }
        async { Ok(()) }.boxed()
    }
}

/// The finalizer of what is written, if it is protected.
fn finalizer(review: &Review<'_>) -> Option<&'static str> {
    PROTECTED.iter().find(|(path, _)| review.is_of(path)).map(|(_, finalizer)| *finalizer)
}

fn protect(meta: &mut ObjectMeta, finalizer: &str) {
    let finalizers = meta.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|known| known == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_is_there_once() {
        let check = |given: Option<&[&str]>, expected: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let mut meta = ObjectMeta { finalizers: given.map(owned), ..ObjectMeta::default() };
            protect(&mut meta, "kubernetes.io/pvc-protection");
            assert_eq!(meta.finalizers, Some(owned(expected)), "{given:?}");
        };
        let own = "kubernetes.io/pvc-protection";
        check(None, &[own]);
        check(Some(&[]), &[own]);
        check(Some(&["example.com/mine"]), &["example.com/mine", own]);
        check(Some(&[own, "example.com/mine"]), &[own, "example.com/mine"]);
    }
}
