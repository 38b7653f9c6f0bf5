//! Volume claims and Ingresses that name no class get the default one, if there is one. If several are, the newest counts, and
//! of those that are as new the first by name.

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Operation, Plugin, Review, typed_mut};
use crate::object::Object;
use crate::resources::storage_class;

const INGRESS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// The annotation that `ingressClassName` has succeeded.
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

pub(super) struct DefaultStorageClass;

pub(super) struct DefaultIngressClass;

impl Plugin for DefaultStorageClass {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("core/persistentvolumeclaims") && review.operation == Operation::Create
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let Some(claim) = typed_mut::<PersistentVolumeClaim>(object) else { return Ok(()) };
            let named = claim.spec.as_ref().is_some_and(|spec| spec.storage_class_name.is_some());
            if named || storage_class::annotated_class(&claim.metadata).is_some() {
                return Ok(());
            }
            let classes = review.list::<StorageClass>("storage.k8s.io/storageclasses", "").await?;
            let metas = classes.into_iter().map(|class| class.metadata).filter(storage_class::is_default);
            if let Some(name) = newest(metas) {
                claim.spec.get_or_insert_default().storage_class_name = Some(name);
            }
            Ok(())
        }
        .boxed()
    }
}

impl Plugin for DefaultIngressClass {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("networking.k8s.io/ingresses") && review.operation == Operation::Create
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let Some(ingress) = typed_mut::<Ingress>(object) else { return Ok(()) };
            let named = ingress.spec.as_ref().is_some_and(|spec| spec.ingress_class_name.is_some());
            let annotations = ingress.metadata.annotations.as_ref();
            if named || annotations.is_some_and(|annotations| annotations.contains_key(INGRESS_CLASS)) {
                return Ok(());
            }
            let classes = review.list::<IngressClass>("networking.k8s.io/ingressclasses", "").await?;
            let says_so = |meta: &ObjectMeta| {
                let value = meta.annotations.as_ref().and_then(|annotations| annotations.get(INGRESS_DEFAULT));
                value.is_some_and(|value| value == "true")
            };
            if let Some(name) = newest(classes.into_iter().map(|class| class.metadata).filter(says_so)) {
                ingress.spec.get_or_insert_default().ingress_class_name = Some(name);
            }
            Ok(())
        }
        .boxed()
    }
}

/// The name of the newest.
fn newest(metas: impl Iterator<Item = ObjectMeta>) -> Option<String> {
    let age = |meta: &ObjectMeta| std::cmp::Reverse(meta.creation_timestamp.as_ref().map(|time| time.0));
    metas.min_by(|one, other| (age(one), &one.name).cmp(&(age(other), &other.name)))?.name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_counts() {
        let meta = |name: &str, second: u32| -> ObjectMeta {
            let time = format!("2026-01-01T00:00:{second:02}Z");
            serde_json::from_value(json!({"name": name, "creationTimestamp": time})).unwrap()
        };
        let check = |metas: &[(&str, u32)], expected: Option<&str>| {
            let found = newest(metas.iter().map(|(name, second)| meta(name, *second)));
            assert_eq!(found.as_deref(), expected);
        };
        check(&[], None);
        check(&[("a", 1), ("b", 2)], Some("b"));
        check(&[("c", 2), ("b", 2), ("a", 1)], Some("b"));
    }
}
