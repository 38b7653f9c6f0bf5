//! What scheduling sees of a claim to a persistent volume.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::quantity::Quantity;
use api::selector::label::{self, Selector};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::assumed::Versioned;
use crate::snapshot::pod_volumes::{ClaimKey, PodVolumes};

/// The annotation that names the class, in old objects.
pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// The annotation that says that a claim is bound for good.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The annotation that says on which node a volume is to be made.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A claim to a persistent volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// As the API has it, or will have it.
    pub object: Arc<PersistentVolumeClaim>,
    /// Its name.
    pub key: ClaimKey,
    /// Its identity.
    pub uid: String,
    /// The name of the class, which is empty if there is none.
    pub class: String,
    /// The name of its volume, which is empty if there is none yet.
    pub volume: String,
    /// Whether it is bound for good.
    pub bound: bool,
    /// How much it wants, if it says so.
    pub request: Option<Quantity>,
    /// The node on which its volume is to be made.
    pub selected_node: Option<String>,
    /// Which volumes it wants.
    pub selector: Option<Selector>,
    /// Whether no two pods can use it at once.
    pub single_pod: bool,
    /// Whether its volume is gone.
    pub lost: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The identity of what controls it.
    pub controller: Option<String>,
    /// `Filesystem` or `Block`.
    pub mode: String,
    /// The name of the attributes class, which is empty if there is none.
    pub attributes_class: String,
}

impl Versioned for Claim {
    fn version(&self) -> &str {
        self.object.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

impl Claim {
    /// Reads a claim.
    #[must_use]
    pub fn read(object: &Arc<PersistentVolumeClaim>) -> Claim {
        let empty = PersistentVolumeClaimSpec::default();
        let (meta, spec) = (&object.metadata, object.spec.as_ref().unwrap_or(&empty));
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let annotation = |name: &str| meta.annotations.as_ref().and_then(|annotations| annotations.get(name));
        let controller = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let class = annotation(CLASS_ANNOTATION).or(spec.storage_class_name.as_ref());
        let volume = text(&spec.volume_name);
        // One that no server accepts selects nothing.
        let selector =
            spec.selector.as_ref().map(|selector| label::from_api(Some(selector)).unwrap_or(Selector::Nothing));
        Claim {
            key: ClaimKey { namespace: text(&meta.namespace), name: text(&meta.name) },
            uid: text(&meta.uid),
            class: class.cloned().unwrap_or_default(),
            bound: !volume.is_empty() && annotation(BIND_COMPLETED).is_some(),
            volume,
            request: quantity(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref())),
            selected_node: annotation(SELECTED_NODE).cloned(),
            selector,
            single_pod: spec.access_modes.iter().flatten().any(|mode| mode == "ReadWriteOncePod"),
            lost: object.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost"),
            deleting: meta.deletion_timestamp.is_some(),
            controller: controller.map(|owner| owner.uid.clone()),
            mode: spec.volume_mode.clone().unwrap_or_else(|| "Filesystem".to_owned()),
            attributes_class: text(&spec.volume_attributes_class_name),
            object: Arc::clone(object),
        }
    }

    /// The version in which the API has it.
    #[must_use]
    pub fn version(&self) -> &str {
        Versioned::version(self)
    }

    /// How it wants to use its volume.
    #[must_use]
    pub fn access_modes(&self) -> &[String] {
        self.object.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
    }

    /// Whether it was made for the pod with these volumes.
    ///
    /// # Errors
    /// That it was not, in upstream's words.
    pub fn is_made_for(&self, pod: &PodVolumes) -> Result<(), String> {
        let Some(owner) = &pod.owner else { return Ok(()) };
        if self.controller.as_ref() == Some(&owner.uid) {
            return Ok(());
        }
        let ClaimKey { namespace, name } = &self.key;
        let pod = &owner.name;
        Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"))
    }
}

/// How much storage it is.
pub(super) fn quantity(amounts: Option<&BTreeMap<String, ApiQuantity>>) -> Option<Quantity> {
    Quantity::try_from(amounts?.get("storage")?).ok()
}
