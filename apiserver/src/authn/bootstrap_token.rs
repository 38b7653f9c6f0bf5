//! Bootstrap tokens, by which machines join: what the Secrets in `kube-system` say of them.
//!
//! What always holds: a token is as good as its Secret is now. The Secret is read at each use, and before anybody is let in
//! the newest there is, so that a token that was deleted, or whose time has passed, is refused at once, whichever server
//! that happened at. Those who have one are in no groups but those of bootstrappers.

use std::sync::Arc;
use std::time::SystemTime;

use api::bootstrap_token::{
    AUTHENTICATION, Expiry, ID, NAME_PREFIX, NAMESPACE, SECRET, SECRET_TYPE, Token, USER_PREFIX, data, expiry, groups,
    is_for,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use store::{At, Key, Store};

use super::Identity;
use crate::entry::{Objects, ROOT};

/// Knows the bootstrap tokens of a cluster. Cloning gives another handle.
#[derive(Clone)]
pub struct BootstrapTokens {
    store: Store<Objects>,
}

impl BootstrapTokens {
    /// The tokens of the Secrets in `store`.
    #[must_use]
    pub fn new(store: Store<Objects>) -> Self {
        BootstrapTokens { store }
    }

    /// Whose `token` is, if it is one of these, and good now.
    pub(super) async fn owner(&self, token: &str, now: SystemTime) -> Option<Arc<Identity>> {
        let token: Token = token.parse().ok()?;
        let now = Timestamp::try_from(now).ok()?;
        // Who guesses costs the store nothing: what is known here is enough to refuse most.
        let known = self.secret(&token, At::Known).await;
        known.and_then(|secret| judge(&secret, &token, now))?;
        let newest = self.secret(&token, At::Latest).await?;
        judge(&newest, &token, now).map(Arc::new)
    }

    async fn secret(&self, token: &Token, at: At) -> Option<Secret> {
        let key = Key::new(&format!("{ROOT}core/secrets/{NAMESPACE}/{NAME_PREFIX}{}", token.id())).ok()?;
        let stored = self.store.get(&key, at).await.ok().flatten()?;
        serde_json::from_slice(stored.entry.bytes()).ok()
    }
}

/// Who has the token of a Secret, if it is this one, and may be used to say who one is.
fn judge(secret: &Secret, token: &Token, now: Timestamp) -> Option<Identity> {
    let id = token.id();
    let refuse = |why: &str| {
        tracing::debug!(id, why, "a bootstrap token is refused");
        None
    };
    if secret.metadata.deletion_timestamp.is_some() {
        return refuse("it is being deleted");
    }
    if secret.type_.as_deref() != Some(SECRET_TYPE) {
        return refuse("its Secret is of another type");
    }
    if verify_slices_are_equal(data(secret, SECRET), token.secret().as_bytes()).is_err() {
        return refuse("its secret is another one");
    }
    if data(secret, ID) != id.as_bytes() {
        return refuse("its Secret is of another token");
    }
    if expiry(secret, now) == Expiry::Passed {
        return refuse("its time has passed");
    }
    if !is_for(secret, AUTHENTICATION) {
        return refuse("it is not for authentication");
    }
    let Some(groups) = groups(secret) else { return refuse("it names a group that is none of bootstrappers") };
    Some(Identity { user: format!("{USER_PREFIX}{id}"), groups, ..Identity::default() }.authenticated())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_772_366_400, 0);

    fn secret() -> Value {
        json!({
            "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token",
            "data": {
                "token-id": "YWJjZGVm", "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg==",
                "usage-bootstrap-authentication": "dHJ1ZQ==",
            },
        })
    }

    /// The groups of who has a token, if anybody.
    fn judged(secret: &Value, token: &str) -> Option<Vec<String>> {
        let secret: Secret = serde_json::from_value(secret.clone()).unwrap();
        let identity = judge(&secret, &token.parse().unwrap(), NOON)?;
        assert_eq!((identity.user.as_str(), identity.uid.as_str()), ("system:bootstrap:abcdef", ""));
        assert!(identity.extra.is_empty());
        Some(identity.groups)
    }

    const TOKEN: &str = "abcdef.0123456789abcdef";

    #[test]
    fn who_has_a_token_is_a_bootstrapper() {
        assert_eq!(judged(&secret(), TOKEN).unwrap(), ["system:bootstrappers", "system:authenticated"]);
        let mut joining = secret();
        // system:bootstrappers:kubeadm:default-node-token,system:bootstrappers:a
        joining["data"]["auth-extra-groups"] =
            json!("c3lzdGVtOmJvb3RzdHJhcHBlcnM6a3ViZWFkbTpkZWZhdWx0LW5vZGUtdG9rZW4sc3lzdGVtOmJvb3RzdHJhcHBlcnM6YQ==");
        let expected = [
            "system:bootstrappers",
            "system:bootstrappers:a",
            "system:bootstrappers:kubeadm:default-node-token",
            "system:authenticated",
        ];
        assert_eq!(judged(&joining, TOKEN).unwrap(), expected);
        let mut for_a_while = secret();
        // 2026-03-01T12:00:01Z
        for_a_while["data"]["expiration"] = json!("MjAyNi0wMy0wMVQxMjowMDowMVo=");
        assert!(judged(&for_a_while, TOKEN).is_some());
    }

    #[test]
    fn what_is_not_right_in_every_part_is_refused() {
        assert_eq!(judged(&secret(), "abcdef.0123456789abcdeg"), None);
        let check = |pointer: &str, value: Value| {
            let mut bad = secret();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            bad.pointer_mut(parent).unwrap()[field] = value;
            assert_eq!(judged(&bad, TOKEN), None, "{pointer}");
        };
        check("/type", json!("Opaque"));
        check("/type", json!(null));
        check("/data", json!(null));
        check("/data/token-id", json!("YWJjZGVn"));
        check("/data/token-id", json!(null));
        check("/data/token-secret", json!(""));
        check("/data/token-secret", json!("MDEyMzQ1Njc4OWFiY2RlZgo="));
        check("/data/usage-bootstrap-authentication", json!("VHJ1ZQ=="));
        check("/data/usage-bootstrap-authentication", json!(""));
        // 2026-03-01T12:00:00Z, which is now; and "soon".
        check("/data/expiration", json!("MjAyNi0wMy0wMVQxMjowMDowMFo="));
        check("/data/expiration", json!("c29vbg=="));
        // system:masters
        check("/data/auth-extra-groups", json!("c3lzdGVtOm1hc3RlcnM="));
        check("/metadata/deletionTimestamp", json!("2026-03-01T12:30:00Z"));
    }
}
