//! What is made to debug something: a container in a pod, a copy of a pod, or a pod on a node. All of it is pure: names that
//! must be new come in as an argument.

use std::collections::BTreeMap;

use api::patch::strategic;
use api::schema::Schema;
use serde_json::{Value, json};

use super::profile::{Profile, Style};

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) container: String,
    pub(super) image: String,
    pub(super) pull_policy: String,
    pub(super) env: Vec<Value>,
    pub(super) words: Vec<String>,
    pub(super) are_arguments: bool,
    pub(super) stdin: bool,
    pub(super) tty: bool,
    pub(super) target: String,
    pub(super) profile: Option<Profile>,
    /// Part of a container that is merged into the one that debugs.
    pub(super) custom: Option<Value>,
    pub(super) copy: Copy,
}

/// How a copy differs from its pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Copy {
    pub(super) name: String,
    pub(super) images: BTreeMap<String, String>,
    pub(super) same_node: bool,
    /// Said only if somebody says it.
    pub(super) share_processes: Option<bool>,
    pub(super) keep_annotations: bool,
    pub(super) keep_labels: bool,
    pub(super) keep_init_containers: bool,
    pub(super) keep_liveness: bool,
    pub(super) keep_readiness: bool,
    pub(super) keep_startup: bool,
}

/// A pod, and the container in it that debugs; empty if there is none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) pod: Value,
    pub(super) container: String,
}

const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Whether a pod has a container of this name.
pub(super) fn has_container(pod: &Value, name: &str) -> bool {
    let containers = LISTS.iter().flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    containers.into_iter().any(|container| container["name"] == name)
}

impl Wanted {
    /// The container's name, and whether it had to be made up.
    pub(super) fn name(&self, pod: &Value, random: &mut dyn FnMut() -> String) -> (String, bool) {
        if !self.container.is_empty() {
            return (self.container.clone(), false);
        }
        loop {
            let name = format!("debugger-{}", random());
            if !has_container(pod, &name) {
                return (name, true);
            }
        }
    }

    fn container(&self, name: &str) -> Value {
        let mut container = json!({
            "name": name, "image": self.image, "resources": {}, "terminationMessagePolicy": "File",
        });
        let mut set = |field: &str, value: Value, is_set: bool| {
            if is_set {
                container[field] = value;
            }
        };
        set("env", json!(self.env), !self.env.is_empty());
        set("imagePullPolicy", json!(self.pull_policy), !self.pull_policy.is_empty());
        set("stdin", json!(true), self.stdin);
        set("tty", json!(true), self.tty);
        set(if self.are_arguments { "args" } else { "command" }, json!(self.words), !self.words.is_empty());
        container
    }

    /// The pod with another container that comes and goes.
    pub(super) fn ephemeral(&self, pod: &Value, name: &str) -> Result<Plan, String> {
        let mut container = self.container(name);
        if let Some(fields) = container.as_object_mut() {
            fields.remove("resources");
        }
        if !self.target.is_empty() {
            container["targetContainerName"] = json!(self.target);
        }
        let mut pod = pod.clone();
        let list = "ephemeralContainers";
        let mut all = pod["spec"][list].as_array().cloned().unwrap_or_default();
        all.push(container);
        let index = all.len() - 1;
        pod["spec"][list] = Value::Array(all);
        self.finish(pod, Style::Ephemeral, list, index)
    }

    /// A copy of the pod. `name` is that of a container that is in it or not.
    pub(super) fn copied(&self, pod: &Value, name: &str) -> Result<Plan, String> {
        let mut copied = self.copy_of(pod);
        let containers = copied["spec"]["containers"].as_array().cloned().unwrap_or_default();
        let known = containers.iter().position(|container| container["name"] == name);
        if known.is_none() && self.image.is_empty() {
            if self.copy.images.is_empty() {
                return Err("you must specify image when creating new container".to_owned());
            }
            return Ok(Plan { pod: copied, container: String::new() });
        }
        let index = known.unwrap_or(containers.len());
        let mut container = known.map_or_else(
            || json!({"name": name, "resources": {}, "terminationMessagePolicy": "File"}),
            |index| containers[index].clone(),
        );
        if let (Value::Object(container), Value::Object(mut wanted)) = (&mut container, self.container(name)) {
            if wanted.contains_key("command") {
                container.remove("args");
            }
            for field in ["stdin", "tty"] {
                container.remove(field);
            }
            wanted.retain(|field, value| {
                !matches!(field.as_str(), "resources" | "terminationMessagePolicy") && *value != ""
            });
            container.append(&mut wanted);
        }
        let mut all = containers;
        all.splice(index..all.len().min(index + 1), [container]);
        copied["spec"]["containers"] = Value::Array(all);
        self.finish(copied, Style::Copy, "containers", index)
    }

    fn copy_of(&self, pod: &Value) -> Value {
        let copy = &self.copy;
        let mut metadata = json!({"name": copy.name, "namespace": pod["metadata"]["namespace"]});
        for (field, keeps) in [("annotations", copy.keep_annotations), ("labels", copy.keep_labels)] {
            if keeps && !pod["metadata"][field].is_null() {
                metadata[field] = pod["metadata"][field].clone();
            }
        }
        let mut spec = pod["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("ephemeralContainers");
            if !copy.same_node {
                fields.remove("nodeName");
            }
            if !copy.keep_init_containers {
                fields.remove("initContainers");
            }
        }
        if let Some(shares) = copy.share_processes {
            spec["shareProcessNamespace"] = json!(shares);
        }
        let probes = [
            ("livenessProbe", copy.keep_liveness),
            ("readinessProbe", copy.keep_readiness),
            ("startupProbe", copy.keep_startup),
        ];
        for container in spec["containers"].as_array_mut().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            if let Some(image) = copy.images.get(name).or_else(|| copy.images.get("*")) {
                container["image"] = json!(image);
            }
            for (probe, _) in probes.iter().filter(|(_, keeps)| !keeps) {
                container.as_object_mut().and_then(|fields| fields.remove(*probe));
            }
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    }

    /// A pod on a node, with all that the node has.
    pub(super) fn on_node(&self, node: &str, suffix: &str) -> Result<Plan, String> {
        let name = if self.container.is_empty() { "debugger" } else { &self.container };
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": format!("node-debugger-{node}-{suffix}"),
                "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"},
            },
            "spec": {
                "containers": [self.container(name)],
                "nodeName": node,
                "restartPolicy": "Never",
                "tolerations": [{"operator": "Exists"}],
            },
        });
        self.finish(pod, Style::Node, "containers", 0)
    }

    fn finish(&self, mut pod: Value, style: Style, list: &str, index: usize) -> Result<Plan, String> {
        self.profile.unwrap_or(Profile::General).apply(&mut pod, style, list, index);
        let container = &mut pod["spec"][list][index];
        let name = container["name"].as_str().unwrap_or_default().to_owned();
        if let (Some(Value::Object(custom)), Value::Object(fields)) = (&self.custom, &container) {
            let of = Schema::named("io.k8s.api.core.v1.Container").ok_or("containers have no schema")?;
            let merged = strategic::apply(fields, custom.clone(), of)
                .map_err(|error| format!("error creating three way patch to add debug container: {error}"))?;
            *container = Value::Object(merged);
        }
        Ok(Plan { pod, container: name })
    }
}

impl Plan {
    /// Whether the container may not have what its profile gives it, as the pod is somebody's.
    pub(super) fn may_lack_rights(&self) -> bool {
        let containers = LISTS.iter().flat_map(|list| self.pod["spec"][list].as_array().into_iter().flatten());
        let Some(container) = containers.into_iter().find(|container| container["name"] == self.container.as_str())
        else {
            return false;
        };
        let is_user = |context: &Value| context["runAsUser"].as_i64().is_some_and(|user| user != 0);
        let context = &container["securityContext"];
        let adds = context["capabilities"]["add"].as_array().is_some_and(|added| !added.is_empty());
        is_user(&self.pod["spec"]["securityContext"])
            && context["runAsUser"].as_i64() != Some(0)
            && (context["privileged"] == true || adds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}, "annotations": {"x": "y"}},
            "spec": {
                "nodeName": "one",
                "securityContext": {"runAsUser": 1000},
                "initContainers": [{"name": "i"}],
                "containers": [{"name": "c", "image": "old", "args": ["z"], "livenessProbe": {}, "startupProbe": {}}],
                "ephemeralContainers": [{"name": "e"}],
            },
        })
    }

    fn wanted() -> Wanted {
        let copy = Copy { name: "q".to_owned(), keep_init_containers: true, ..Copy::default() };
        Wanted { image: "new".to_owned(), words: vec!["sh".to_owned()], copy, ..Wanted::default() }
    }

    #[test]
    fn a_container_is_added_to_the_pod() {
        let wanted = Wanted { stdin: true, target: "c".to_owned(), ..wanted() };
        let plan = wanted.ephemeral(&pod(), "d").unwrap();
        let expected = json!({"name": "d", "image": "new", "command": ["sh"], "stdin": true, "targetContainerName": "c",
            "terminationMessagePolicy": "File", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}});
        assert_eq!(plan.pod["spec"]["ephemeralContainers"], json!([{"name": "e"}, expected]));
        assert_eq!(plan.container, "d");
        assert!(plan.may_lack_rights());
    }

    #[test]
    fn names_are_new() {
        let mut names = ["x", "y"].into_iter();
        let mut pod = pod();
        pod["spec"]["containers"][0]["name"] = json!("debugger-x");
        let mut random = || names.next().unwrap().to_owned();
        assert_eq!(wanted().name(&pod, &mut random), ("debugger-y".to_owned(), true));
        let named = Wanted { container: "c".to_owned(), ..wanted() };
        assert_eq!(named.name(&pod, &mut random), ("c".to_owned(), false));
    }

    #[test]
    fn a_copy_has_what_it_is_to_keep() {
        let plan = wanted().copied(&pod(), "d").unwrap();
        let spec = &plan.pod["spec"];
        assert_eq!(plan.pod["metadata"], json!({"name": "q", "namespace": "n"}));
        assert_eq!(spec["containers"][0], json!({"name": "c", "image": "old", "args": ["z"]}));
        assert_eq!(spec["containers"][1]["command"], json!(["sh"]));
        assert!(spec["ephemeralContainers"].is_null() && spec["nodeName"].is_null());
        assert!(spec["shareProcessNamespace"] == true && spec["initContainers"].is_array());
        let mut keeps = wanted();
        keeps.are_arguments = true;
        keeps.copy = Copy {
            name: "q".to_owned(),
            images: BTreeMap::from([("c".to_owned(), "zz".to_owned())]),
            same_node: true,
            share_processes: Some(false),
            keep_annotations: true,
            keep_labels: true,
            keep_liveness: true,
            ..Copy::default()
        };
        let plan = keeps.copied(&pod(), "d").unwrap();
        let (spec, metadata) = (&plan.pod["spec"], &plan.pod["metadata"]);
        assert_eq!(spec["containers"][0], json!({"name": "c", "image": "zz", "args": ["z"], "livenessProbe": {}}));
        assert_eq!(spec["containers"][1]["args"], json!(["sh"]));
        assert!(
            spec["nodeName"] == "one" && spec["shareProcessNamespace"] == false && spec["initContainers"].is_null()
        );
        assert_eq!((&metadata["labels"], &metadata["annotations"]), (&json!({"a": "b"}), &json!({"x": "y"})));
    }

    #[test]
    fn a_container_of_a_copy_may_be_another() {
        let plan = wanted().copied(&pod(), "c").unwrap();
        let expected = json!([{"name": "c", "image": "new", "command": ["sh"],
            "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}]);
        assert_eq!(plan.pod["spec"]["containers"], expected);
        let mut only_images = Wanted { image: String::new(), words: Vec::new(), ..wanted() };
        let error = only_images.copied(&pod(), "d").unwrap_err();
        assert_eq!(error, "you must specify image when creating new container");
        only_images.copy.images.insert("*".to_owned(), "zz".to_owned());
        let plan = only_images.copied(&pod(), "d").unwrap();
        assert_eq!((plan.container.as_str(), &plan.pod["spec"]["containers"][0]["image"]), ("", &json!("zz")));
    }

    #[test]
    fn a_custom_container_is_merged() {
        let custom = Some(json!({"env": [{"name": "A", "value": "b"}], "securityContext": {"runAsUser": 0}}));
        let plan = Wanted { custom, ..wanted() }.on_node("one", "abcde").unwrap();
        let container = &plan.pod["spec"]["containers"][0];
        assert_eq!(plan.pod["metadata"]["name"], "node-debugger-one-abcde");
        assert_eq!(
            (&container["securityContext"], &container["env"][0]["name"]),
            (&json!({"runAsUser": 0}), &json!("A"))
        );
        assert!(!plan.may_lack_rights() && plan.container == "debugger");
    }
}
