//! Keeps what is known of roles and bindings true to the store.

use std::time::Duration;

use api::status::Status;
use store::{At, Event, EventKind, Key, Prefix, Scope, Store, Watch, WatchClosed, WatchOptions};
use tokio_util::sync::CancellationToken;

use super::Rbac;
use super::policy::Policy;
use crate::engine::{read_failed, watch_failed};
use crate::entry::{Entry, Objects, ROOT};

const GROUP: &str = "rbac.authorization.k8s.io/";

/// How many changes may wait. Who cannot keep up begins anew.
const QUEUE: usize = 10_000;

/// How long it takes to begin anew when that failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Rbac {
    /// Knows what is in the store, and from then on follows it until `stopping`.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn follow(store: Store<Objects>, stopping: CancellationToken) -> Result<Rbac, Status> {
        let rbac = Rbac::default();
        let watch = rbac.begin(&store).await?;
        let followed = rbac.clone();
        tokio::spawn(async move { stopping.run_until_cancelled(followed.keep(&store, watch)).await });
        Ok(rbac)
    }

    async fn keep(&self, store: &Store<Objects>, mut watch: Watch<Entry>) {
        let mut events = Vec::new();
        loop {
            match watch.next(&mut events).await {
                Ok(()) => {
                    let mut policy = self.0.write();
                    events.iter().for_each(|event| take(&mut policy, event));
                }
                Err(WatchClosed::Closed) => return,
                Err(_) => watch = self.again(store).await,
            }
        }
    }

    /// Begins anew. What is known until then stays in force: it was true, and nothing newer is known.
    async fn again(&self, store: &Store<Objects>) -> Watch<Entry> {
        loop {
            match self.begin(store).await {
                Ok(begun) => return begun,
                Err(error) => {
                    tracing::warn!(%error, "changes of roles do not show at the moment");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes in what there is, and watches from there.
    async fn begin(&self, store: &Store<Objects>) -> Result<Watch<Entry>, Status> {
        let prefix = Prefix::new(&format!("{ROOT}{GROUP}")).map_err(Status::internal_error)?;
        let snapshot = store.snapshot(&prefix, At::Latest).await.map_err(read_failed)?;
        let scope = Scope::Prefix(prefix.clone());
        let options = WatchOptions { queue: QUEUE, ..WatchOptions::new(scope, snapshot.revision()) };
        let watch = store.watch(options).map_err(watch_failed)?;
        let mut policy = Policy::default();
        for (key, stored) in snapshot.range(&prefix, None) {
            put(&mut policy, key, stored.entry.bytes());
        }
        *self.0.write() = policy;
        Ok(watch)
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
