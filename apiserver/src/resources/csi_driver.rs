//! CSIDrivers: what the cluster has to know of a storage driver to use it.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::meta::{FIELD_IMMUTABLE, immutable};
use k8s_openapi::api::storage::v1::{CSIDriver, CSIDriverSpec, TokenRequest};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::pod_spec::absent::{is_true, list};
use super::pod_spec::rules::supported;
use super::semantic;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, SpecChanged, Strategy};

const GROUP_POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
const LIFECYCLES: &[&str] = &["Persistent", "Ephemeral"];
const MIN_TOKEN_SECONDS: i64 = 10 * 60;
const MAX_TOKEN_SECONDS: i64 = 1 << 32;
const MIN_PERIOD_SECONDS: i64 = 10;

pub(crate) struct CsiDrivers;

impl Strategy for CsiDrivers {
    type Object = CSIDriver;

    fn names(&self) -> Names {
        Names::of::<CSIDriver>("csidriver", false)
    }

    fn default(&self, object: &mut CSIDriver) {
        let spec = &mut object.spec;
        spec.attach_required.get_or_insert(true);
        spec.fs_group_policy.get_or_insert_with(|| "ReadWriteOnceWithFSType".to_owned());
        let modes = spec.volume_lifecycle_modes.get_or_insert_default();
        if modes.is_empty() {
            modes.push("Persistent".to_owned());
        }
        let switches = [
            &mut spec.pod_info_on_mount,
            &mut spec.prevent_pod_scheduling_if_missing,
            &mut spec.requires_republish,
            &mut spec.se_linux_mount,
            &mut spec.storage_capacity,
        ];
        for switch in switches {
            switch.get_or_insert(false);
        }
    }

    fn generation(&self) -> Option<SpecChanged<CSIDriver>> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &CSIDriver) -> ErrorList {
        validate_spec(&object.spec, &Path::new("spec"))
    }

    fn validate_update(&self, new: &CSIDriver, old: &CSIDriver) -> ErrorList {
        let path = Path::new("spec");
        let mut errors = validate_spec(&new.spec, &path);
        errors.extend(immutable(&new.spec.attach_required, &old.spec.attach_required, &path.child("attachRequired")));
        let modes = |driver: &CSIDriver| list(&driver.spec.volume_lifecycle_modes).to_vec();
        if modes(new) != modes(old) {
            let path = path.child("volumeLifecycleModes");
            errors.push(Error::invalid(&path, BadValue::json(&modes(new)), FIELD_IMMUTABLE));
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &CSIDriver, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let audiences = |tokens: &Vec<TokenRequest>| {
            tokens.iter().map(|token| token.audience.as_str()).collect::<Vec<_>>().join(",")
        };
        let modes = list(&spec.volume_lifecycle_modes).join(",");
        vec![
            object.metadata.name.clone().into(),
            spec.attach_required.unwrap_or(true).into(),
            is_true(spec.pod_info_on_mount).into(),
            is_true(spec.storage_capacity).into(),
            spec.token_requests.as_ref().map_or_else(|| "<unset>".to_owned(), audiences).into(),
            is_true(spec.requires_republish).into(),
            if modes.is_empty() { "<none>".into() } else { modes.into() },
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "AttachRequired",
        "attachRequired indicates this CSI volume driver requires an attach operation (because it implements the CSI \
         ControllerPublishVolume() method), and that the Kubernetes attach detach controller should call the attach volume \
         interface which checks the volumeattachment status and waits until the volume is attached before proceeding to \
         mounting. The CSI external-attacher coordinates with CSI volume driver and updates the volumeattachment status when \
         the attach operation is complete. If the value is specified to false, the attach operation will be skipped. \
         Otherwise the attach operation will be called.\n\nThis field is immutable.",
    )
    .of_type("boolean"),
    Column::new(
        "PodInfoOnMount",
        "podInfoOnMount indicates this CSI volume driver requires additional pod information (like podName, podUID, etc.) \
         during mount operations, if set to true. If set to false, pod information will not be passed on mount. Default is \
         false.\n\nThe CSI driver specifies podInfoOnMount as part of driver deployment. If true, Kubelet will pass pod \
         information as VolumeContext in the CSI NodePublishVolume() calls. The CSI driver is responsible for parsing and \
         validating the information passed in as VolumeContext.\n\nThe following VolumeContext will be passed if \
         podInfoOnMount is set to true. This list might grow, but the prefix will be used. \"csi.storage.k8s.io/pod.name\": \
         pod.Name \"csi.storage.k8s.io/pod.namespace\": pod.Namespace \"csi.storage.k8s.io/pod.uid\": string(pod.UID) \
         \"csi.storage.k8s.io/ephemeral\": \"true\" if the volume is an ephemeral inline volume\n                                \
         defined by a CSIVolumeSource, otherwise \"false\"\n\n\"csi.storage.k8s.io/ephemeral\" is a new feature in Kubernetes \
         1.16. It is only required for drivers which support both the \"Persistent\" and \"Ephemeral\" VolumeLifecycleMode. \
         Other drivers can leave pod info disabled and/or ignore this field. As Kubernetes 1.15 doesn't support this field, \
         drivers can only support one mode when deployed on such a cluster and the deployment determines which mode that is, \
         for example via a command line parameter of the driver.\n\nThis field was immutable in Kubernetes < 1.29 and now is \
         mutable.",
    )
    .of_type("boolean"),
    Column::new(
        "StorageCapacity",
        "storageCapacity indicates that the CSI volume driver wants pod scheduling to consider the storage capacity that the \
         driver deployment will report by creating CSIStorageCapacity objects with capacity information, if set to \
         true.\n\nThe check can be enabled immediately when deploying a driver. In that case, provisioning new volumes with \
         late binding will pause until the driver deployment has published some suitable CSIStorageCapacity \
         object.\n\nAlternatively, the driver can be deployed with the field unset or false and it can be flipped later when \
         storage capacity information has been published.\n\nThis field was immutable in Kubernetes <= 1.22 and now is \
         mutable.",
    )
    .of_type("boolean"),
    Column::new(
        "TokenRequests",
        "tokenRequests indicates the CSI driver needs pods' service account tokens it is mounting volume for to do necessary \
         authentication. Kubelet will pass the tokens in VolumeContext in the CSI NodePublishVolume calls. The CSI driver \
         should parse and validate the following VolumeContext: \"csi.storage.k8s.io/serviceAccount.tokens\": {\n  \
         \"<audience>\": {\n    \"token\": <token>,\n    \"expirationTimestamp\": <expiration timestamp in RFC3339>,\n  \
         },\n  ...\n}\n\nNote: Audience in each TokenRequest should be different and at most one token is empty string. To \
         receive a new token after expiry, RequiresRepublish can be used to trigger NodePublishVolume periodically.",
    ),
    Column::new(
        "RequiresRepublish",
        "requiresRepublish indicates the CSI driver wants `NodePublishVolume` being periodically called to reflect any \
         possible change in the mounted volume. This field defaults to false.\n\nNote: After a successful initial \
         NodePublishVolume call, subsequent calls to NodePublishVolume should only update the contents of the volume. New \
         mount points will not be seen by a running container.",
    )
    .of_type("boolean"),
    Column::new(
        "Modes",
        "volumeLifecycleModes defines what kind of volumes this CSI volume driver supports. The default if the list is empty \
         is \"Persistent\", which is the usage defined by the CSI specification and implemented in Kubernetes via the usual \
         PV/PVC mechanism.\n\nThe other mode is \"Ephemeral\". In this mode, volumes are defined inline inside the pod spec \
         with CSIVolumeSource and their lifecycle is tied to the lifecycle of that pod. A driver has to be aware of this \
         because it is only going to get a NodePublishVolume call for such a volume.\n\nFor more information about \
         implementing this mode, see https://kubernetes-csi.github.io/docs/ephemeral-local-volumes.html A driver can support \
         one or more of these modes and more modes may be added in the future.\n\nThis field is beta. This field is \
         immutable.",
    ),
    AGE_COLUMN,
];

fn validate_spec(spec: &CSIDriverSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(policy) = &spec.fs_group_policy {
        errors.extend(supported(policy, GROUP_POLICIES, &path.child("fsGroupPolicy")));
    }
    let tokens = list(&spec.token_requests);
    errors.extend(validate_tokens(tokens, &path.child("tokenRequests")));
    let modes = list(&spec.volume_lifecycle_modes).iter();
    errors.extend(modes.filter_map(|mode| supported(mode, LIFECYCLES, &path.child("volumeLifecycleModes"))));
    if let Some(period) = spec.node_allocatable_update_period_seconds.filter(|period| *period < MIN_PERIOD_SECONDS) {
        let detail = "must be greater than or equal to 10 seconds";
        errors.push(Error::invalid(&path.child("nodeAllocatableUpdatePeriodSeconds"), period, detail));
    }
    if let Some(stated) = spec.service_account_token_in_secrets.filter(|_| tokens.is_empty()) {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(Error::invalid(&path.child("serviceAccountTokenInSecrets"), stated, detail));
    }
    errors
}

fn validate_tokens(tokens: &[TokenRequest], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut audiences = HashSet::new();
    for (i, token) in tokens.iter().enumerate() {
        let path = path.index(i);
        if !audiences.insert(&token.audience) {
            errors.push(Error::duplicate(&path.child("audience"), &token.audience));
            continue;
        }
        let Some(seconds) = token.expiration_seconds else { continue };
        let path = path.child("expirationSeconds");
        if seconds < MIN_TOKEN_SECONDS {
            errors.push(Error::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > MAX_TOKEN_SECONDS {
            errors.push(Error::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
    errors
}
