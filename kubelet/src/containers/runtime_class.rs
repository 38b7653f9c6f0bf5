//! Which of the runtime's handlers runs a pod.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::node::v1::RuntimeClass;

use super::Invalid;

/// What the runtime calls the handler that runs the pod (`RunPodSandboxRequest.runtime_handler`); empty for its own choice.
/// `class` is the RuntimeClass that the pod names, if there is one.
///
/// # Errors
/// If the pod names a RuntimeClass that there is not.
pub fn runtime_handler(pod: &Pod, class: Option<&RuntimeClass>) -> Result<String, Invalid> {
    let name = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref()).unwrap_or_default();
    if name.is_empty() {
        return Ok(String::new());
    }
    let class = class.filter(|class| class.metadata.name.as_deref() == Some(name));
    let class = class.ok_or_else(|| Invalid::sandbox(format!("runtimeclass.node.k8s.io {name:?} not found")))?;
    Ok(class.handler.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_class_names_the_handler() {
        let class: RuntimeClass =
            serde_json::from_value(json!({"metadata": {"name": "kata"}, "handler": "kata-qemu"})).unwrap();
        let check = |name: Option<&str>, class: Option<&RuntimeClass>, expected: Result<&str, &str>| {
            let pod = json!({"spec": {"containers": [], "runtimeClassName": name}});
            let found = runtime_handler(&serde_json::from_value(pod).unwrap(), class);
            let found = found.map_err(|invalid| invalid.message);
            assert_eq!(found.as_ref().map(String::as_str).map_err(String::as_str), expected);
        };
        check(None, None, Ok(""));
        check(Some(""), Some(&class), Ok(""));
        check(Some("kata"), Some(&class), Ok("kata-qemu"));
        check(Some("kata"), None, Err("runtimeclass.node.k8s.io \"kata\" not found"));
    }
}
