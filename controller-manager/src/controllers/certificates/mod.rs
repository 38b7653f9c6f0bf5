//! What becomes of CertificateSigningRequests: they are approved, signed and cleaned away, by a controller each.
//!
//! A request is only signed after somebody approved it and if it keeps the rules of the signer that it names, and its
//! certificate says nothing that it did not ask for. The requests that kubelets make for pods are only cleaned away here:
//! others sign them.

pub mod approve;
pub mod approve_serving;
pub mod clean;
pub mod clean_pod_requests;
pub(crate) mod request;
mod rules;
#[cfg(test)]
pub(crate) mod samples;
pub mod sign;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

/// The signers that are built in.
mod signer {
    /// Certificates by which users are known to the API server.
    pub(super) const API_SERVER_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
    /// Certificates by which kubelets are known to the API server.
    pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
    /// Certificates by which kubelets are known to who asks them.
    pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
    /// Certificates for anything, as they were before signers had names.
    pub(super) const LEGACY_UNKNOWN: &str = "kubernetes.io/legacy-unknown";
}

fn conditions(object: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    object.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

/// Whether there is a condition of a type, whatever its status, which only `Failed` may have other than `True`.
fn has_condition(object: &CertificateSigningRequest, kind: &str) -> bool {
    conditions(object).iter().any(|condition| condition.type_ == kind)
}

/// The certificate, if there is one.
fn certificate(object: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = object.status.as_ref().and_then(|status| status.certificate.as_ref());
    certificate.map(|certificate| certificate.0.as_slice()).filter(|certificate| !certificate.is_empty())
}
