//! Which changes of a pod are worth another look: those of images and of the old annotations for seccomp, and further
//! containers. Nothing else that is judged can change.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Whether `new` is to be judged again.
pub(super) fn differs(new: &Pod, old: &Pod) -> bool {
    let annotation_differs = |name: &str| {
        let [new, old] = [new, old].map(|pod| pod.metadata.annotations.as_ref().and_then(|all| all.get(name)));
        new.map_or("", String::as_str) != old.map_or("", String::as_str)
    };
    let (new, old) = match (&new.spec, &old.spec) {
        (Some(new), Some(old)) => (new, old),
        (new, old) => return new.is_some() != old.is_some(),
    };
    let container_differs = |name: &str, image: &Option<String>, old: &Option<String>| {
        let [image, old] = [image, old].map(|image| image.as_deref().unwrap_or_default());
        image != old || annotation_differs(&format!("{SECCOMP_OF_CONTAINER}{name}"))
    };
    let containers_differ = |new: &[Container], old: &[Container]| {
        let pairs = || new.iter().zip(old);
        new.len() != old.len() || pairs().any(|(new, old)| container_differs(&new.name, &new.image, &old.image))
    };
    let added_differs = |new: &EphemeralContainer| {
        let old = old.ephemeral_containers.iter().flatten().find(|old| old.name == new.name);
        old.is_none_or(|old| container_differs(&new.name, &new.image, &old.image))
    };
    annotation_differs(SECCOMP_OF_POD)
        || containers_differ(&new.containers, &old.containers)
        || containers_differ(
            new.init_containers.as_deref().unwrap_or_default(),
            old.init_containers.as_deref().unwrap_or_default(),
        )
        || new.ephemeral_containers.iter().flatten().any(added_differs)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_what_is_judged_counts() {
        let old = json!({
            "metadata": {"name": "p"},
            "spec": {
                "initContainers": [{"name": "i", "image": "i"}],
                "containers": [{"name": "c", "image": "c"}],
                "ephemeralContainers": [{"name": "e", "image": "e"}],
            },
        });
        let check = |change: fn(&mut Value), expected: bool| {
            let mut new = old.clone();
            change(&mut new);
            let [new, old] = [new, old.clone()].map(|pod| serde_json::from_value(pod).unwrap());
            assert_eq!(differs(&new, &old), expected, "{new:?}");
        };
        check(|_| {}, false);
        check(|pod| pod["metadata"]["labels"] = json!({"a": "b"}), false);
        check(|pod| pod["spec"]["activeDeadlineSeconds"] = json!(1), false);
        check(|pod| pod["spec"]["containers"][0]["image"] = json!("d"), true);
        check(|pod| pod["spec"]["initContainers"][0]["image"] = json!("d"), true);
        check(|pod| pod["spec"]["ephemeralContainers"][0]["image"] = json!("d"), true);
        check(|pod| pod["spec"]["ephemeralContainers"][0]["name"] = json!("f"), true);
        check(|pod| pod["metadata"]["annotations"] = json!({SECCOMP_OF_POD: "unconfined"}), true);
        check(|pod| pod["metadata"]["annotations"] = json!({format!("{SECCOMP_OF_CONTAINER}c"): "unconfined"}), true);
        check(|pod| pod["metadata"]["annotations"] = json!({format!("{SECCOMP_OF_CONTAINER}x"): "x"}), false);
    }
}
