//! Which container of a pod is meant.

use api::status::Status;
use k8s_openapi::api::core::v1::Pod;

/// The container that is asked for, if the pod has it; the only one, if none is asked for.
///
/// # Errors
/// In upstream's words, which list the names that there are.
pub(super) fn choose(pod: &Pod, asked: Option<&str>) -> Result<String, Status> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let names = names(pod);
    if let Some(asked) = asked {
        let known = names.contains(&asked);
        let refused = || Status::bad_request(format!("container {asked} is not valid for pod {pod_name}"));
        return known.then(|| asked.to_owned()).ok_or_else(refused);
    }
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    match containers {
        [only] => Ok(only.name.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {pod_name}"))),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {pod_name}, choose one of: [{}]",
            names.join(" ")
        ))),
    }
}

/// The names of all containers: those that run first, those that run then, and those that were added.
fn names(pod: &Pod) -> Vec<&str> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let first = spec.init_containers.iter().flatten().map(|container| container.name.as_str());
    let then = spec.containers.iter().map(|container| container.name.as_str());
    let added = spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str());
    first.chain(then).chain(added).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_is_the_one_that_is_named_or_the_only_one() {
        let named = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let check = |[first, then, added]: [&[&str]; 3], asked: Option<&str>, expected: Result<&str, &str>| {
            let pod = json!({
                "metadata": {"name": "p"},
                "spec": {
                    "initContainers": named(first),
                    "containers": named(then),
                    "ephemeralContainers": named(added),
                },
            });
            let found = choose(&serde_json::from_value(pod).unwrap(), asked);
            let found = found.map_err(|status| (status.code, status.message));
            let expected = expected.map(str::to_owned).map_err(|message| (400, message.to_owned()));
            assert_eq!(found, expected);
        };
        check([&[], &["a"], &[]], None, Ok("a"));
        check([&["i"], &["a"], &["e"]], None, Ok("a"));
        check([&["i"], &["a", "b"], &["e"]], Some("b"), Ok("b"));
        check([&["i"], &["a"], &["e"]], Some("i"), Ok("i"));
        check([&["i"], &["a"], &["e"]], Some("e"), Ok("e"));
        check([&[], &["a"], &[]], Some("x"), Err("container x is not valid for pod p"));
        check(
            [&["i"], &["a", "b"], &["e"]],
            None,
            Err("a container name must be specified for pod p, choose one of: [i a b e]"),
        );
        check([&[], &[], &[]], None, Err("a container name must be specified for pod p"));
    }
}
