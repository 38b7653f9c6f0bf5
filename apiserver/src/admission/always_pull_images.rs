//! Images are pulled at every start of a container (upstream's AlwaysPullImages, which is not enabled by default): on nodes that
//! several tenants share, only who may pull an image runs it, and not everybody who knows that it is there.
//!
//! What always holds: a change of a pod that names no other image is left alone, as the policy of a pod cannot be changed.
//! Containers that are added for debugging are held to it too, which upstream's plugin does not see.

use std::collections::BTreeSet;

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{Operation, Plugin, Review, typed, typed_mut};
use crate::object::Object;

const ALWAYS: &str = "Always";
/// Where containers are added to a pod.
const ADDED: &str = "ephemeralcontainers";

pub(super) struct AlwaysPullImages;

impl Plugin for AlwaysPullImages {
    fn handles(&self, review: &Review<'_>) -> bool {
        let of_pod = &*review.call.resource.storage.path == "core/pods" && matches!(review.subresource, "" | ADDED);
        of_pod && matches!(review.operation, Operation::Create | Operation::Update)
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let old = old.and_then(typed::<Pod>).and_then(|pod| pod.spec.as_ref());
        if let Some(spec) = typed_mut::<Pod>(object).and_then(|pod| pod.spec.as_mut()) {
            if review.subresource == ADDED {
                always_pull_added(spec, old);
            } else if old.is_none_or(|old| !images(spec).is_subset(&images(old))) {
                always_pull(spec);
            }
        }
        async { Ok(()) }.boxed()
    }
}

fn images(spec: &PodSpec) -> BTreeSet<&str> {
    let init = spec.init_containers.iter().flatten();
    let containers = spec.containers.iter().chain(init).map(|container| &container.image);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| &container.image);
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
    let volumes = volumes.map(|image| &image.reference);
    containers.chain(ephemeral).chain(volumes).flatten().map(String::as_str).collect()
}

fn always_pull(spec: &mut PodSpec) {
    let always = || Some(ALWAYS.to_owned());
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        container.image_pull_policy = always();
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        container.image_pull_policy = always();
    }
    for image in spec.volumes.iter_mut().flatten().filter_map(|volume| volume.image.as_mut()) {
        image.pull_policy = always();
    }
}

fn always_pull_added(spec: &mut PodSpec, old: Option<&PodSpec>) {
    let there = |name: &str| {
        let mut there = old.into_iter().flat_map(|old| old.ephemeral_containers.iter().flatten());
        there.any(|container| container.name == name)
    };
    for container in spec.ephemeral_containers.iter_mut().flatten().filter(|container| !there(&container.name)) {
        container.image_pull_policy = Some(ALWAYS.to_owned());
    }
}
