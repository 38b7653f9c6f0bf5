//! Pods that stand in files of the node (static pods), and the mirror pods that stand for them in the API.
//!
//! A file is a Pod in YAML or JSON. Its pod runs whether the API is there or not; its name ends with the node's, and its uid
//! follows from what the file says, so that a file that is changed is another pod, and an agent that starts again knows its
//! pods. A mirror pod cannot change anything: one that differs, or is being deleted, is made anew.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use notify::{RecursiveMode, Watcher};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Agent;
use super::pods::{MIRROR, Origin};
use crate::request::{Failure, ask};

/// How often the directory is read if nobody says that it changed (upstream's `fileCheckFrequency`).
const READ_AGAIN: Duration = Duration::from_secs(20);
/// How long it is waited after a change, as more of it mostly follows.
const SETTLE: Duration = Duration::from_millis(50);
/// How long after mirror pods could not be set right it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// The most bytes of a file and the most files (upstream's limit for a file).
const FILE_BYTES: u64 = 10 << 20;
const FILES: usize = 1000;

const HASH: &str = "kubernetes.io/config.hash";
const SOURCE: &str = "kubernetes.io/config.source";
const SEEN: &str = "kubernetes.io/config.seen";

/// Why a file is no pod.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it has more than {FILE_BYTES} bytes")]
    TooLarge,
    #[error("it is neither YAML nor JSON: {0}")]
    Malformed(String),
    #[error("it is a {kind:?} of {version:?}: only a Pod of v1 can stand in a file")]
    Other { kind: String, version: String },
    #[error("it is no Pod: {0}")]
    NoPod(serde_json::Error),
    #[error("metadata.name: it has none")]
    Nameless,
    #[error("spec.containers: there are none")]
    Empty,
}

impl Agent {
    /// Runs the pods of a directory and keeps their mirrors, until it is dropped.
    pub(super) async fn keep_static_pods(&self, directory: Option<&Path>) {
        let Some(directory) = directory else {
            self.know_files();
            return std::future::pending().await;
        };
        self.state.asked().await;
        let changed = Arc::new(Notify::new());
        // Without one, the directory is read now and then all the same.
        let _watcher = watcher(directory, &changed);
        let mut complained = BTreeMap::new();
        let read = Notify::new();
        let mirrors = self.keep_mirrors(&read);
        let files = async {
            loop {
                self.read_all(directory, &mut complained).await;
                self.know_files();
                read.notify_one();
                if timeout(READ_AGAIN, changed.notified()).await.is_ok() {
                    tokio::time::sleep(SETTLE).await;
                }
            }
        };
        tokio::join!(files, mirrors);
    }

    async fn read_all(&self, directory: &Path, complained: &mut BTreeMap<PathBuf, String>) {
        let paths = match files_of(directory).await {
            Ok(paths) => paths,
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "the directory of static pods cannot be read");
                return;
            }
        };
        let mut found: HashMap<String, Pod> = HashMap::new();
        let mut said = BTreeMap::new();
        for path in paths {
            match self.read(&path).await {
                Ok(pod) => {
                    found.insert(pod.metadata.uid.clone().unwrap_or_default(), pod);
                }
                Err(error) => {
                    let error = error.to_string();
                    // Once for each fault, and not every time.
                    if complained.get(&path) != Some(&error) {
                        tracing::warn!(file = %path.display(), error, "a file among the static pods is not used");
                    }
                    said.insert(path, error);
                }
            }
        }
        *complained = said;
        for entry in self.pods.all().into_iter().filter(|entry| entry.origin == Origin::File) {
            if !found.contains_key(&*entry.uid) {
                self.pods.forget(&entry.uid);
            }
        }
        for (uid, pod) in found {
            // One that is still ending comes back when it has ended: at the next reading.
            if self.pods.get(&uid).is_none() {
                self.pods.take(pod, Origin::File);
            }
        }
    }

    async fn read(&self, path: &Path) -> Result<Pod, FileError> {
        let length = tokio::fs::metadata(path).await?.len();
        if length > FILE_BYTES {
            return Err(FileError::TooLarge);
        }
        let text = tokio::fs::read_to_string(path).await?;
        static_pod(&text, &path.display().to_string(), &self.node_name, self.clock.now())
    }

    /// Keeps a mirror pod for each pod of a file, and none other. `read` says that the files were read.
    async fn keep_mirrors(&self, read: &Notify) {
        self.pods.listed().await;
        loop {
            let before = self.pods.mirrors().look(Clone::clone);
            let files: Vec<_> = self.pods.all().into_iter().filter(|entry| entry.origin == Origin::File).collect();
            let wanted: Vec<Arc<Pod>> =
                files.iter().filter(|entry| !entry.want.look(|want| want.forgotten)).map(|entry| entry.pod()).collect();
            let mut failed = false;
            for (key, mirror) in &before {
                let pod = wanted.iter().find(|pod| (&namespace(pod), &name(pod)) == (&key.0, &key.1));
                if !pod.is_some_and(|pod| is_faithful(mirror, pod)) {
                    failed |= self.remove_mirror(mirror).await.is_err();
                }
            }
            for pod in &wanted {
                if !before.contains_key(&(namespace(pod), name(pod))) {
                    failed |= self.make_mirror(pod).await.is_err();
                } else if let Some(entry) = pod.metadata.uid.as_deref().and_then(|uid| self.pods.get(uid)) {
                    // Its status is written to a mirror that may be new.
                    entry.poke();
                }
            }
            let wait = if failed { TRY_AGAIN } else { READ_AGAIN };
            let changed = async {
                tokio::select! {
                    () = self.pods.mirrors().wait(|now| (!same(now, &before)).then_some(())) => {}
                    () = read.notified() => {}
                }
            };
            // That nothing changed for so long is no reason not to look.
            let _ = timeout(wait, changed).await;
        }
    }

    async fn remove_mirror(&self, mirror: &Pod) -> Result<(), Failure> {
        let preconditions = Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::default().grace_period(0).preconditions(preconditions);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace(mirror));
        match ask(pods.delete(&name(mirror), &params)).await {
            Err(failure) if !failure.is(404) && !failure.is(409) => {
                tracing::debug!(pod = name(mirror), error = %failure, "a mirror pod is not removed yet");
                Err(failure)
            }
            _ => Ok(()),
        }
    }

    async fn make_mirror(&self, pod: &Pod) -> Result<(), Failure> {
        let owner = self.keeper.get().await.ok().map(|node| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.node_name.clone(),
            uid: node.metadata.uid.unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: None,
        });
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace(pod));
        match ask(pods.create(&PostParams::default(), &mirror_of(pod, owner))).await {
            Err(failure) if !failure.is(409) => {
                tracing::warn!(pod = name(pod), error = %failure, "a static pod has no mirror pod yet");
                Err(failure)
            }
            _ => Ok(()),
        }
    }
}

fn namespace(pod: &Pod) -> String {
    pod.metadata.namespace.clone().unwrap_or_default()
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn same(one: &BTreeMap<(String, String), Arc<Pod>>, other: &BTreeMap<(String, String), Arc<Pod>>) -> bool {
    let of = |pods: &BTreeMap<(String, String), Arc<Pod>>| -> Vec<_> {
        pods.values().map(|pod| (pod.metadata.uid.clone(), pod.metadata.deletion_timestamp.clone())).collect()
    };
    of(one) == of(other)
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a String> {
    pod.metadata.annotations.as_ref()?.get(key)
}

/// Whether a mirror pod stands for this version of a pod, and is there to stay.
fn is_faithful(mirror: &Pod, pod: &Pod) -> bool {
    mirror.metadata.deletion_timestamp.is_none() && annotation(mirror, MIRROR) == annotation(pod, HASH)
}

fn mirror_of(pod: &Pod, owner: Option<OwnerReference>) -> Pod {
    let mut annotations = pod.metadata.annotations.clone().unwrap_or_default();
    let hash = annotations.get(HASH).cloned().unwrap_or_default();
    annotations.insert(MIRROR.to_owned(), hash);
    let metadata = ObjectMeta {
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        labels: pod.metadata.labels.clone(),
        annotations: Some(annotations),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: pod.spec.clone(), status: None }
}

/// The files that may be pods: those whose names do not begin with a dot.
async fn files_of(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    let mut paths = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && tokio::fs::metadata(entry.path()).await.is_ok_and(|metadata| metadata.is_file()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    paths.truncate(FILES);
    Ok(paths)
}

fn watcher(directory: &Path, changed: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let tell = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    watcher.watch(directory, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

/// The pod that a file says.
fn static_pod(text: &str, path: &str, node: &str, now: Timestamp) -> Result<Pod, FileError> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| FileError::Malformed(error.to_string()))?;
    let of = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, version) = (of("kind"), of("apiVersion"));
    if (kind.as_str(), version.as_str()) != ("Pod", "v1") {
        return Err(FileError::Other { kind, version });
    }
    let mut pod: Pod = serde_json::from_value(value).map_err(FileError::NoPod)?;
    let name = pod.metadata.name.take().filter(|name| !name.is_empty()).ok_or(FileError::Nameless)?;
    let hash = hash_of(node, path, text);
    let meta = &mut pod.metadata;
    meta.name = Some(format!("{name}-{}", node.to_lowercase()));
    meta.namespace = Some(meta.namespace.take().filter(|it| !it.is_empty()).unwrap_or_else(|| "default".to_owned()));
    meta.uid = Some(hash.clone());
    meta.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(HASH.to_owned(), hash);
    annotations.insert(SEEN.to_owned(), now.to_string());
    annotations.insert(SOURCE.to_owned(), "file".to_owned());
    let spec = pod.spec.as_mut().filter(|spec| !spec.containers.is_empty()).ok_or(FileError::Empty)?;
    spec.node_name = Some(node.to_owned());
    spec.restart_policy.get_or_insert_with(|| "Always".to_owned());
    spec.dns_policy.get_or_insert_with(|| "ClusterFirst".to_owned());
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.enable_service_links.get_or_insert(true);
    // Nothing that happens to the node makes it leave.
    let stays = Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    };
    let tolerations = spec.tolerations.get_or_insert_default();
    if !tolerations.contains(&stays) {
        tolerations.push(stays);
    }
    pod.status = None;
    Ok(pod)
}

/// What tells one version of a file from another, as 32 hexadecimal digits.
fn hash_of(node: &str, path: &str, text: &str) -> String {
    let mut hash = Sha256::new();
    for part in [node, path, text] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: i}]}\n";

    fn read(text: &str) -> Result<Pod, String> {
        static_pod(text, "f", "n1", Timestamp::UNIX_EPOCH).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_a_pod_of_its_own() {
        let pod = read(WEB).unwrap();
        assert_eq!((name(&pod).as_str(), namespace(&pod).as_str()), ("web-n1", "default"));
        assert_eq!(pod.metadata.uid.as_ref().map(String::len), Some(32));
        assert_eq!(annotation(&pod, HASH), pod.metadata.uid.as_ref());
        let spec = pod.spec.clone().unwrap();
        assert_eq!(spec.node_name.as_deref(), Some("n1"));
        assert_eq!(spec.tolerations.unwrap().len(), 1);
        let again = read(WEB).unwrap();
        assert_eq!(pod.metadata.uid, again.metadata.uid);
        let other = read(&WEB.replace("image: i", "image: j")).unwrap();
        assert_ne!(pod.metadata.uid, other.metadata.uid);
    }

    #[test]
    fn what_is_no_pod_is_refused_with_the_reason() {
        let check = |text: &str, expected: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("{", "neither YAML nor JSON");
        check("kind: Service\napiVersion: v1\n", "it is a \"Service\" of \"v1\"");
        check("apiVersion: v1\nkind: Pod\nmetadata: {}\n", "metadata.name");
        check("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n", "spec.containers");
        check("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: 7}\n", "it is no Pod");
    }

    #[test]
    fn a_mirror_is_known_by_the_version_that_it_stands_for() {
        let pod = read(WEB).unwrap();
        let mirror = mirror_of(&pod, None);
        assert!(is_faithful(&mirror, &pod));
        assert!(!is_faithful(&mirror, &read(&WEB.replace("image: i", "image: j")).unwrap()));
        let mut ending = mirror.clone();
        ending.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert!(!is_faithful(&ending, &pod));
    }
}
