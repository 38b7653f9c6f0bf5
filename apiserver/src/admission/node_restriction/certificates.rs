//! Certificates that nodes ask for: for themselves, and on behalf of their pods.

use api::field::go_quote;
use api::status::Status;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, PodCertificateRequest};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};

use super::{Operation, Write};
use crate::authz::Attributes;
use crate::authz::node::MIRROR;
use crate::resources::common_name;

/// The signers whose certificates say that their owner is a node.
const OF_NODES: [&str; 2] = ["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"];

/// What a node must be allowed to do with a signer to ask it for pods that do not use it.
const REQUEST_SIGNER: &str = "request-serviceaccounts-podcertificate-signer";

/// A node asks for certificates in no other node's name.
pub(super) fn admit_signing_request(write: Write<'_>) -> Result<(), Status> {
    let request: &CertificateSigningRequest = write.object()?;
    if !OF_NODES.contains(&request.spec.signer_name.as_str()) {
        return Ok(());
    }
    let name = common_name(&request.spec.request.0);
    let name = name.map_err(|why| write.refused(format!("unable to parse csr: {why}")))?;
    let wanted = format!("system:node:{}", write.node);
    if name.as_ref() != Some(&wanted) {
        return Err(write.refused(format!("can only create a node CSR with CN={wanted}")));
    }
    Ok(())
}

/// A pod's certificate is asked for by the pod's node, and says of the pod what is true. What may be true in a moment, because
/// this process does not know everything yet, is no refusal.
pub(super) async fn admit_pod_request(write: Write<'_>) -> Result<(), Status> {
    if write.operation() != Operation::Create {
        return Err(write.refused(format!("unexpected operation {}", write.operation().as_str())));
    }
    if !write.review.subresource.is_empty() {
        return Err(write.refused(format!("unexpected subresource {}", write.review.subresource)));
    }
    let spec = &write.object::<PodCertificateRequest>()?.spec;
    let namespace = write.review.call.namespace();
    let this = go_quote(&format!("{namespace}/{}", spec.pod_name));
    let stated = go_quote(&spec.node_name);
    if spec.node_name != write.node {
        let node = go_quote(write.node);
        let why = format!("PodCertificateRequest.Spec.NodeName={stated}, which is not the requesting node {node}");
        return Err(write.refused(why));
    }
    let node: Option<Node> = write.stored("core/nodes", "", &spec.node_name).await?;
    let absent = || {
        let what = format!("node {stated} named in the PodCertificateRequest");
        Status::internal_error(format!("while retrieving {what}: node {stated} not found"))
    };
    let uid = node.ok_or_else(absent)?.metadata.uid.unwrap_or_default();
    if spec.node_uid != uid {
        return Err(Status::internal_error(format!(
            "PodCertificateRequest for pod {this} names node UID {}, inconsistent with the running node ({})",
            go_quote(&spec.node_uid),
            go_quote(&uid)
        )));
    }
    let pod: Option<Pod> = write.stored("core/pods", namespace, &spec.pod_name).await?;
    let absent = || {
        let name = go_quote(&spec.pod_name);
        Status::internal_error(format!(
            "while retrieving pod {this} named in the PodCertificateRequest: pod {name} not found"
        ))
    };
    admit_pod(write, &pod.ok_or_else(absent)?, &this).await
}

async fn admit_pod(write: Write<'_>, pod: &Pod, this: &str) -> Result<(), Status> {
    let spec = &write.object::<PodCertificateRequest>()?.spec;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if spec.pod_uid != uid {
        return Err(Status::internal_error(format!(
            "PodCertificateRequest for pod {this} contains pod UID ({}) which differs from running pod {}",
            go_quote(&spec.pod_uid),
            go_quote(uid)
        )));
    }
    let of_pod = pod.spec.as_ref();
    if of_pod.and_then(|spec| spec.node_name.as_deref()) != Some(write.node) {
        let node = go_quote(write.node);
        let why = format!("pod {this} is not running on node {node} named in the PodCertificateRequest");
        return Err(write.refused(why));
    }
    if pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR)) {
        return Err(write.refused(format!("pod {this} is a mirror pod")));
    }
    let account = of_pod.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or_default();
    if spec.service_account_name != account {
        return Err(write.refused(format!(
            "PodCertificateRequest for pod {this} contains serviceAccountName ({}) that differs from running pod ({})",
            go_quote(&spec.service_account_name),
            go_quote(account)
        )));
    }
    admit_account(write, this).await?;
    admit_signer(write, pod, this)
}

async fn admit_account(write: Write<'_>, this: &str) -> Result<(), Status> {
    let spec = &write.object::<PodCertificateRequest>()?.spec;
    let namespace = write.review.call.namespace();
    let name = &spec.service_account_name;
    let account: Option<ServiceAccount> = write.stored("core/serviceaccounts", namespace, name).await?;
    let account = account.ok_or_else(|| {
        let place = go_quote(&format!("{namespace}/{name}"));
        Status::internal_error(format!(
            "while retrieving service account {place} named in the PodCertificateRequest: serviceaccount {} not found",
            go_quote(name)
        ))
    })?;
    let uid = account.metadata.uid.unwrap_or_default();
    if spec.service_account_uid != uid {
        return Err(Status::internal_error(format!(
            "PodCertificateRequest for pod {this} names service account UID {}, which differs from the running service \
             account ({})",
            go_quote(&spec.service_account_uid),
            go_quote(&uid)
        )));
    }
    Ok(())
}

/// Only a signer that the pod names in one of its volumes, unless the node may ask others.
fn admit_signer(write: Write<'_>, pod: &Pod, this: &str) -> Result<(), Status> {
    let spec = &write.object::<PodCertificateRequest>()?.spec;
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let sources = volumes.flat_map(|volume| volume.projected.iter()).flat_map(|of| of.sources.iter().flatten());
    let mut certificates = sources.filter_map(|source| source.pod_certificate.as_ref());
    if certificates.any(|certificate| certificate.signer_name == spec.signer_name) {
        return Ok(());
    }
    let attributes = Attributes {
        verb: REQUEST_SIGNER.to_owned(),
        group: "certificates.k8s.io".to_owned(),
        version: "*".to_owned(),
        // A resource has no slash in its name.
        resource: spec.signer_name.replace('/', ":"),
        namespace: write.review.call.namespace().to_owned(),
        name: spec.service_account_name.clone(),
        ..Attributes::default()
    };
    if write.may(&attributes) {
        return Ok(());
    }
    let signer = go_quote(&spec.signer_name);
    Err(write.refused(format!("pod {this} does not mount a podCertificate projected volume for signer {signer}")))
}
