//! Keeps what is known of roles and bindings true to the store.

use std::sync::Arc;

use api::status::Status;
use store::{Event, EventKind, Key, Prefix, Snapshot, Store};
use tokio_util::sync::CancellationToken;

use super::Rbac;
use super::policy::Policy;
use crate::entry::{Entry, Objects, ROOT};
use crate::follow::{Follower, follow};

const GROUP: &str = "rbac.authorization.k8s.io/";

impl Rbac {
    /// Knows what is in the store, and from then on follows it until `stopping`.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn follow(store: Store<Objects>, stopping: CancellationToken) -> Result<Rbac, Status> {
        let rbac = Rbac::default();
        follow(rbac.clone(), store, stopping).await?;
        Ok(rbac)
    }
}

impl Follower for Rbac {
    fn path(&self) -> &str {
        GROUP
    }

    fn replace(&self, snapshot: &Snapshot<Entry>, prefix: &Prefix) {
        let mut policy = Policy::default();
        for (key, stored) in snapshot.range(prefix, None) {
            put(&mut policy, key, stored.entry.bytes());
        }
        *self.0.write() = policy;
    }

    fn take(&self, events: &[Arc<Event<Entry>>]) -> bool {
        let mut policy = self.0.write();
        events.iter().for_each(|event| take(&mut policy, event));
        true
    }
}

fn take(policy: &mut Policy, event: &Event<Entry>) {
    match event.kind {
        EventKind::Deleted => remove(policy, &event.key),
        _ => put(policy, &event.key, event.entry.bytes()),
    }
}

/// Which resource a key is of, and the namespace (empty without) and the name of the object.
fn place(key: &Key) -> Option<(&str, &str, &str)> {
    let (resource, path) = key.as_str().strip_prefix(ROOT)?.strip_prefix(GROUP)?.split_once('/')?;
    let (namespace, name) = path.split_once('/').unwrap_or(("", path));
    Some((resource, namespace, name))
}

fn put(policy: &mut Policy, key: &Key, json: &[u8]) {
    let Some((resource, namespace, _)) = place(key) else { return };
    let taken = match resource {
        "clusterroles" => serde_json::from_slice(json).map(|role| policy.put_cluster_role(role)),
        "clusterrolebindings" => serde_json::from_slice(json).map(|binding| policy.put_cluster_role_binding(binding)),
        "roles" => serde_json::from_slice(json).map(|role| policy.put_role(namespace, role)),
        "rolebindings" => serde_json::from_slice(json).map(|binding| policy.put_role_binding(namespace, binding)),
        _ => Ok(()),
    };
    if let Err(error) = taken {
        // This program wrote it. What cannot be read gives nobody anything.
        tracing::error!(key = key.as_str(), %error, "what is stored cannot be read");
        remove(policy, key);
    }
}

fn remove(policy: &mut Policy, key: &Key) {
    match place(key) {
        Some(("clusterroles", _, name)) => policy.remove_cluster_role(name),
        Some(("clusterrolebindings", _, name)) => policy.remove_cluster_role_binding(name),
        Some(("roles", namespace, name)) => policy.remove_role(namespace, name),
        Some(("rolebindings", namespace, name)) => policy.remove_role_binding(namespace, name),
        _ => {}
    }
}
