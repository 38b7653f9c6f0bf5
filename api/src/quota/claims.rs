//! What a PersistentVolumeClaim takes of a quota, in all and of its storage class.

use std::collections::BTreeSet;

use crate::pod_resources::List;
use crate::quantity::Quantity;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::names::number;

const COUNT: &str = "count/persistentvolumeclaims";
const CLAIMS: &str = "persistentvolumeclaims";
const STORAGE: &str = "requests.storage";
/// Between the name of a storage class and what is taken of it.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// Whether claims take what the name says.
#[must_use]
pub fn measures(name: &str) -> bool {
    let of_class = |what: &str| name.strip_suffix(what).is_some_and(|rest| rest.ends_with(OF_CLASS));
    matches!(name, COUNT | CLAIMS | STORAGE) || of_class(CLAIMS) || of_class(STORAGE)
}

/// What a claim takes.
#[must_use]
pub fn usage(claim: &PersistentVolumeClaim) -> List {
    let mut usage = List::from([(COUNT.to_owned(), number(1)), (CLAIMS.to_owned(), number(1))]);
    let class = storage_class(claim);
    let of_class = |what: &str| format!("{class}{OF_CLASS}{what}");
    if !class.is_empty() {
        usage.insert(of_class(CLAIMS), number(1));
    }
    if let Some(storage) = storage(claim) {
        if !class.is_empty() {
            usage.insert(of_class(STORAGE), storage.clone());
        }
        usage.insert(STORAGE.to_owned(), storage);
    }
    usage
}

fn storage_class(claim: &PersistentVolumeClaim) -> &str {
    let annotated = claim.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS_ANNOTATION));
    let stated = || claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
    annotated.map_or_else(stated, String::as_str)
}

/// What a claim requests, or was given while it is being resized, if that is more; in whole bytes.
fn storage(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    let mut storage = Quantity::try_from(resources.requests.as_ref()?.get("storage")?).ok()?;
    let given = claim.status.as_ref().and_then(|status| status.allocated_resources.as_ref()?.get("storage"));
    if let Some(given) = given.and_then(|given| Quantity::try_from(given).ok()).filter(|given| *given > storage) {
        storage = given;
    }
    storage.round_up(0);
    Some(storage)
}

/// The VolumeAttributesClasses that a claim wants, has, or is on its way to.
#[must_use]
pub fn attributes_classes(claim: &PersistentVolumeClaim) -> BTreeSet<&str> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let status = claim.status.as_ref();
    let has = status.and_then(|status| status.current_volume_attributes_class_name.as_deref());
    let modifying = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = modifying.and_then(|modifying| modifying.target_volume_attributes_class_name.as_deref());
    [wanted, has, target].into_iter().flatten().filter(|name| !name.is_empty()).collect()
}
