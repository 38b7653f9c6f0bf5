//! PodCertificateRequests: a kubelet asks a signer for a certificate for one of its node's pods.
//!
//! A request ends once, issued, denied or failed, and then stays as it is.

mod issuance;
mod status;
#[cfg(test)]
mod tests;
mod validation;

use api::field::ErrorList;
use k8s_openapi::api::certificates::v1::{PodCertificateRequest, PodCertificateRequestStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::status_meta;
use crate::strategy::{Column, Context, NAME_COLUMN, Names, SelectableField, Strategy, UpdateSubresource};

/// A day.
const DEFAULT_MAX_EXPIRATION_SECONDS: i32 = 86_400;

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("PodName", "podName is the name of the pod into which the certificate will be mounted."),
    Column::new("ServiceAccountName", "serviceAccountName is the name of the service account the pod is running as."),
    Column::new("NodeName", "nodeName is the name of the node the pod is assigned to."),
    Column::new(
        "SignerName",
        "signerName indicates the requested signer.\n\nAll signer names beginning with `kubernetes.io` are reserved for \
         use by the Kubernetes project.  There is currently one well-known signer documented by the Kubernetes project, \
         `kubernetes.io/kube-apiserver-client-pod`, which will issue client certificates understood by kube-apiserver.  \
         It is currently unimplemented.",
    ),
    Column::new("State", "Is the request Pending, Issued, Denied, or Failed?"),
];

pub(crate) struct PodCertificateRequests;

impl Strategy for PodCertificateRequests {
    type Object = PodCertificateRequest;

    fn names(&self) -> Names {
        Names::of::<PodCertificateRequest>("podcertificaterequest", true)
    }

    fn default(&self, object: &mut PodCertificateRequest) {
        object.spec.max_expiration_seconds.get_or_insert(DEFAULT_MAX_EXPIRATION_SECONDS);
    }

    fn prepare_create(&self, object: &mut PodCertificateRequest, _: Context<'_>) {
        object.status = Some(PodCertificateRequestStatus::default());
    }

    fn prepare_update(&self, new: &mut PodCertificateRequest, old: &PodCertificateRequest, _: Context<'_>) {
        new.status = old.status.clone();
    }

    fn validate(&self, object: &PodCertificateRequest) -> ErrorList {
        validation::validate(object)
    }

    fn validate_update(&self, new: &PodCertificateRequest, old: &PodCertificateRequest) -> ErrorList {
        validation::validate_update(new, old)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &PodCertificateRequest, _: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        vec![
            object.metadata.name.clone().into(),
            spec.pod_name.clone().into(),
            spec.service_account_name.clone().into(),
            spec.node_name.clone().into(),
            spec.signer_name.clone().into(),
            status::end(object).unwrap_or("Pending").into(),
        ]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const {
            &[
                SelectableField::at("spec.signerName"),
                SelectableField::at("spec.podName"),
                SelectableField::at("spec.nodeName"),
            ]
        }
    }

    fn updates(&self) -> Vec<UpdateSubresource<PodCertificateRequest>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec = old.spec.clone();
                status_meta::reset(&mut new.metadata, &old.metadata);
            },
            validate: status::validate_update,
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}
