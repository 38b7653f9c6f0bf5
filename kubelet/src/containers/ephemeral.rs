//! A pod's containers, in whatever list of its spec they stand.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::pod_plan::{Role, as_container};

/// The container of a name, and where it stands.
#[must_use]
pub fn find<'a>(pod: &'a Pod, name: &str) -> Option<(Role, Cow<'a, Container>)> {
    let spec = pod.spec.as_ref()?;
    let among = |containers: &'a [Container]| containers.iter().find(|container| container.name == name);
    if let Some(container) = among(spec.init_containers.as_deref().unwrap_or_default()) {
        return Some((Role::Init, Cow::Borrowed(container)));
    }
    if let Some(container) = among(&spec.containers) {
        return Some((Role::Regular, Cow::Borrowed(container)));
    }
    let container = spec.ephemeral_containers.iter().flatten().find(|container| container.name == name)?;
    Some((Role::Ephemeral, Cow::Owned(as_container(container))))
}
