//! What lets machines join that know no more than an address, a token and a hash: what the cluster tells strangers of itself,
//! its signatures by the tokens, and the end of the tokens. A controller each.
//!
//! Strangers read the ConfigMap `kube-public/cluster-info`. Its kubeconfig says where the API server is and by which authority
//! to know it; whoever has a token for signing finds the signature by it there, too.

pub mod clean;
pub mod cluster_info;
pub mod sign;

use api::bootstrap_token::{CLUSTER_INFO, CLUSTER_INFO_NAMESPACE, NAMESPACE, SECRET_TYPE};
use client::resource::Key;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

/// The key of the ConfigMap that strangers read.
fn cluster_info() -> Key {
    Key::of::<ConfigMap>(CLUSTER_INFO_NAMESPACE, CLUSTER_INFO)
}

/// Whether a Secret keeps a token.
fn is_token(secret: &Secret) -> bool {
    secret.metadata.namespace.as_deref() == Some(NAMESPACE) && secret.type_.as_deref() == Some(SECRET_TYPE)
}
