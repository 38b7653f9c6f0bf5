//! The resources that a pod was granted, which are not those that its spec asks for while the node has no room for a change of
//! them: until it has, containers that start again get what was granted (upstream's allocated resources).
//!
//! What was granted is kept in the pod's directory for as long as it differs from the spec. An agent that does not find it
//! there goes by the status that the last one wrote.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};
use serde::{Deserialize, Serialize};

use crate::paths::Paths;

/// The resources of a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Granted {
    /// Of its containers, by their names.
    containers: BTreeMap<String, Option<ResourceRequirements>>,
    /// Of all of it.
    pod: Option<ResourceRequirements>,
}

impl Granted {
    /// What its spec asks for.
    pub(super) fn of(pod: &Pod) -> Granted {
        let spec = pod.spec.iter();
        let containers = spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        Granted {
            containers: containers.map(|it| (it.name.clone(), it.resources.clone())).collect(),
            pod: pod.spec.as_ref().and_then(|spec| spec.resources.clone()),
        }
    }

    /// What it was granted by its status: what its spec asks for, but for containers of which the status says that they were
    /// given something else.
    fn by_status(pod: &Pod) -> Granted {
        let mut granted = Granted::of(pod);
        let status = pod.status.iter();
        let said = status.flat_map(|status| {
            status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
        });
        for said in said {
            if let Some(resources) = granted.containers.get_mut(&said.name)
                && let Some(given) = given(resources.as_ref(), said)
            {
                *resources = Some(given);
            }
        }
        granted
    }

    /// What a pod was granted, as far as this agent does not know.
    pub(super) fn find(paths: &Paths, pod: &Pod) -> Granted {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let kept = std::fs::read(file(paths, uid)).ok().and_then(|kept| serde_json::from_slice(&kept).ok());
        kept.unwrap_or_else(|| Granted::by_status(pod))
    }

    /// Keeps it for the next agent.
    pub(super) fn keep(&self, paths: &Paths, uid: &str) -> io::Result<()> {
        let (file, content) = (file(paths, uid), serde_json::to_vec(self)?);
        if std::fs::read(&file).is_ok_and(|kept| kept == content) {
            return Ok(());
        }
        let half = file.with_extension("new");
        std::fs::create_dir_all(paths.pod(uid))?;
        std::fs::write(&half, content)?;
        std::fs::rename(&half, &file)
    }

    /// Has the next agent go by the pod's spec.
    pub(super) fn forget(paths: &Paths, uid: &str) -> io::Result<()> {
        match std::fs::remove_file(file(paths, uid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The pod with these resources.
    pub(super) fn in_place_of(&self, pod: &Pod) -> Pod {
        let mut pod = pod.clone();
        let Some(spec) = &mut pod.spec else { return pod };
        spec.resources = self.pod.clone();
        let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
        containers.for_each(|container: &mut Container| {
            if let Some(resources) = self.containers.get(&container.name) {
                container.resources = resources.clone();
            }
        });
        pod
    }
}

/// What a container was given that asks for something else; `None` if it was given what it asks for, or nothing is said.
fn given(asked: Option<&ResourceRequirements>, said: &ContainerStatus) -> Option<ResourceRequirements> {
    let requests = said.allocated_resources.clone().filter(|requests| !requests.is_empty())?;
    if asked.and_then(|asked| asked.requests.as_ref()) == Some(&requests) {
        return None;
    }
    let has = said.resources.clone().unwrap_or_default();
    let claims = asked.and_then(|asked| asked.claims.clone());
    Some(ResourceRequirements { requests: Some(requests), limits: has.limits, claims })
}

fn file(paths: &Paths, uid: &str) -> PathBuf {
    paths.pod(uid).join("allocated_resources.json")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(requested: &str, status: Value) -> Pod {
        let resources = json!({"requests": {"cpu": requested}, "limits": {"cpu": "4"}});
        let spec = json!({"containers": [{"name": "c", "resources": resources}, {"name": "d"}]});
        serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec, "status": status})).unwrap()
    }

    fn said(allocated: Option<&str>) -> Value {
        let allocated = allocated.map(|cpu| json!({"cpu": cpu}));
        let status = json!({
            "name": "c", "ready": true, "restartCount": 0, "image": "", "imageID": "", "allocatedResources": allocated,
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
        });
        json!({"containerStatuses": [status]})
    }

    #[test]
    fn what_was_granted_is_known_by_the_status() {
        let check = |requested: &str, allocated: Option<&str>, expected: Value| {
            let pod = pod(requested, said(allocated));
            let granted = Granted::by_status(&pod).in_place_of(&pod).spec.unwrap();
            assert_eq!(json!(granted.containers[0].resources), expected);
            assert_eq!(granted.containers[1].resources, None);
        };
        let asks = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": "4"}});
        check("1", None, asks("1"));
        check("1", Some("1"), asks("1"));
        check("2", Some("1"), json!({"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}));
    }

    #[test]
    fn what_was_granted_is_kept_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::new(directory.path());
        let (before, after) = (pod("1", Value::Null), pod("2", Value::Null));
        assert_eq!(Granted::find(&paths, &after), Granted::of(&after));
        for _ in 0..2 {
            Granted::of(&before).keep(&paths, "u").unwrap();
            assert_eq!(Granted::find(&paths, &after), Granted::of(&before));
        }
        assert_eq!(Granted::find(&paths, &after).in_place_of(&after), before);
        Granted::forget(&paths, "u").unwrap();
        Granted::forget(&paths, "u").unwrap();
        assert_eq!(Granted::find(&paths, &after), Granted::of(&after));
    }
}
