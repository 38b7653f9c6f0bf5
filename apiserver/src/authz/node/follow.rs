//! Keeps what is known of nodes' objects true to the store, one watch a kind.

use std::sync::Arc;

use api::status::Status;
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use k8s_openapi::api::resource::v1::ResourceSlice;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use store::{Event, EventKind, Key, Prefix, Snapshot, Store};
use tokio_util::sync::CancellationToken;

use super::graph::{Kind, Place};
use super::references::{of_persistent_volume, of_pod};
use super::{Known, NodeAuthorizer};
use crate::entry::{Entry, Objects, ROOT};
use crate::follow::{Follower, follow};

/// What is followed, and where it is stored.
const FOLLOWED: [(Kind, &str); 5] = [
    (Kind::Pod, "core/pods/"),
    (Kind::Volume, "core/persistentvolumes/"),
    (Kind::Attachment, "storage.k8s.io/volumeattachments/"),
    (Kind::Slice, "resource.k8s.io/resourceslices/"),
    (Kind::CertificateRequest, "certificates.k8s.io/podcertificaterequests/"),
];

impl NodeAuthorizer {
    /// Knows what is in the store, and from then on follows it until `stopping`.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn follow(store: Store<Objects>, stopping: CancellationToken) -> Result<NodeAuthorizer, Status> {
        let authorizer = NodeAuthorizer::default();
        for (kind, path) in FOLLOWED {
            follow(OfKind { authorizer: authorizer.clone(), kind, path }, store.clone(), stopping.clone()).await?;
        }
        Ok(authorizer)
    }
}

/// Follows one kind.
struct OfKind {
    authorizer: NodeAuthorizer,
    kind: Kind,
    path: &'static str,
}

impl Follower for OfKind {
    fn path(&self) -> &str {
        self.path
    }

    fn replace(&self, snapshot: &Snapshot<Entry>, prefix: &Prefix) {
        let mut known = self.authorizer.0.write();
        known.forget(self.kind);
        for (key, stored) in snapshot.range(prefix, None) {
            if let Some(place) = place(self.kind, self.path, key) {
                known.put(place, key, stored.entry.bytes());
            }
        }
    }

    fn take(&self, events: &[Arc<Event<Entry>>]) -> bool {
        let mut known = self.authorizer.0.write();
        events.iter().for_each(|event| take(&mut known, self.kind, self.path, event));
        true
    }
}

fn take(known: &mut Known, kind: Kind, path: &str, event: &Event<Entry>) {
    let Some(place) = place(kind, path, &event.key) else { return };
    match event.kind {
        EventKind::Deleted => known.remove(&place),
        _ => known.put(place, &event.key, event.entry.bytes()),
    }
}

fn place(kind: Kind, path: &str, key: &Key) -> Option<Place> {
    let path = key.as_str().strip_prefix(ROOT)?.strip_prefix(path)?;
    let (namespace, name) = path.split_once('/').unwrap_or(("", path));
    Some(Place::new(kind, namespace, name))
}

/// What of a pod makes a difference to its node. All else that it refers to cannot change once it has a node, so that the
/// many changes of its status cost little.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Sight {
    metadata: SightOfMeta,
    spec: SightOfSpec,
    status: SightOfStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct SightOfMeta {
    uid: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SightOfSpec {
    node_name: String,
    ephemeral_containers: Vec<IgnoredAny>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SightOfStatus {
    resource_claim_statuses: Option<Value>,
    extended_resource_claim_status: Option<Value>,
}

impl Known {
    fn put(&mut self, place: Place, key: &Key, json: &[u8]) {
        if let Err(error) = self.try_put(&place, json) {
            // This program wrote it. What cannot be read gives nobody anything.
            tracing::error!(key = key.as_str(), %error, "what is stored cannot be read");
            self.remove(&place);
        }
    }

    fn try_put(&mut self, place: &Place, json: &[u8]) -> Result<(), serde_json::Error> {
        let node = match place.kind {
            Kind::Pod => return self.put_pod(place, json),
            Kind::Volume => {
                let volume: PersistentVolume = serde_json::from_slice(json)?;
                self.graph.bind(place, of_persistent_volume(&volume));
                return Ok(());
            }
            Kind::Attachment => serde_json::from_slice::<VolumeAttachment>(json)?.spec.node_name,
            Kind::Slice => serde_json::from_slice::<ResourceSlice>(json)?.spec.node_name.unwrap_or_default(),
            _ => serde_json::from_slice::<PodCertificateRequest>(json)?.spec.node_name,
        };
        self.graph.hold(place.clone(), &node, vec![place.clone()]);
        Ok(())
    }

    fn put_pod(&mut self, place: &Place, json: &[u8]) -> Result<(), serde_json::Error> {
        let sight: Sight = serde_json::from_slice(json)?;
        if sight.spec.node_name.is_empty() {
            self.remove(place);
            return Ok(());
        }
        if self.pods.get(place) == Some(&sight) {
            return Ok(());
        }
        let pod: Pod = serde_json::from_slice(json)?;
        self.graph.hold(place.clone(), &sight.spec.node_name, of_pod(&pod));
        self.pods.insert(place.clone(), sight);
        Ok(())
    }

    fn remove(&mut self, place: &Place) {
        match place.kind {
            Kind::Volume => self.graph.bind(place, None),
            _ => self.graph.release(place),
        }
        self.pods.remove(place);
    }

    pub(super) fn forget(&mut self, kind: Kind) {
        self.graph.forget(kind);
        if kind == Kind::Pod {
            self.pods.clear();
        }
    }

    /// Takes in an object as it is stored.
    #[cfg(test)]
    pub(super) fn store(&mut self, path: &str, object: &Value) {
        let (kind, prefix) = FOLLOWED.into_iter().find(|(_, prefix)| path.starts_with(prefix)).unwrap();
        let key = Key::new(&format!("{ROOT}{path}")).unwrap();
        let place = place(kind, prefix, &key).unwrap();
        match object {
            Value::Null => self.remove(&place),
            object => self.put(place, &key, object.to_string().as_bytes()),
        }
    }
}
