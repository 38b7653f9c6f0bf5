//! The tokens of ServiceAccounts: what they claim, and whether that still holds.
//!
//! What always holds: a token is as good as the objects that it is bound to. The ServiceAccount and the Pod, Secret or
//! Node that it names are looked up at each use, and must be those of its making.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use store::{At, Key, Store};

use super::issuer::Issuer;
use super::{CREDENTIAL_ID, Identity};
use crate::entry::{Objects, ROOT};

/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);

const INVALIDATED: &str = "service account token has been invalidated";

/// An object that a token names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reference {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

impl Reference {
    pub(crate) fn to(meta: &ObjectMeta) -> Reference {
        Reference { name: meta.name.clone().unwrap_or_default(), uid: meta.uid.clone().unwrap_or_default() }
    }
}

/// What a token says of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Binding {
    pub(crate) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    #[serde(rename = "serviceaccount")]
    pub(crate) service_account: Reference,
    /// When the client should have had a newer one, in seconds since 1970.
    #[serde(rename = "warnafter", skip_serializing_if = "Option::is_none")]
    pub(crate) warn_after: Option<i64>,
}

/// What a token says, in the order in which it says so. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    #[serde(default)]
    jti: String,
    #[serde(rename = "kubernetes.io")]
    binding: Binding,
    nbf: i64,
    sub: String,
}

/// Whose a token is, and for which of the wanted audiences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOwner {
    /// Whose.
    pub identity: Arc<Identity>,
    /// The audiences that were wanted and that the token is for.
    pub audiences: Vec<String>,
}

/// Issues tokens of ServiceAccounts, and knows them again. Cloning gives another handle.
#[derive(Clone)]
pub struct ServiceAccountTokens {
    issuer: Arc<Issuer>,
    store: Store<Objects>,
}

impl ServiceAccountTokens {
    /// Tokens of `issuer` for the ServiceAccounts in `store`.
    #[must_use]
    pub fn new(issuer: Arc<Issuer>, store: Store<Objects>) -> Self {
        ServiceAccountTokens { issuer, store }
    }

    /// Who signs.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// A token that is good from `now` on, for `seconds`.
    pub(crate) fn issue(
        &self,
        binding: Binding,
        audiences: Vec<String>,
        id: String,
        now: i64,
        seconds: i64,
    ) -> Result<String, String> {
        let sub = user_name(&binding.namespace, &binding.service_account.name);
        let exp = now.saturating_add(seconds);
        let iss = self.issuer.url().to_owned();
        self.issuer.sign(&Claims { aud: audiences, exp, iat: now, iss, jti: id, binding, nbf: now, sub })
    }

    /// Whose `token` is, if it is one of these, and is for one of `audiences`. The error says why it is no longer, or not
    /// yet, or not for them.
    pub(super) async fn owner(
        &self,
        token: &str,
        audiences: &[String],
        now: SystemTime,
    ) -> Result<Option<TokenOwner>, String> {
        let Some(claims) = self.issuer.read::<Claims>(token)? else { return Ok(None) };
        let own = vec![self.issuer.url().to_owned()];
        let stated = if claims.aud.is_empty() { &own } else { &claims.aud };
        let shared: Vec<String> = stated.iter().filter(|audience| audiences.contains(audience)).cloned().collect();
        if shared.is_empty() {
            let list =
                |list: &[String]| list.iter().map(|text| api::field::go_quote(text)).collect::<Vec<_>>().join(" ");
            return Err(format!(
                "token audiences [{}] is invalid for the target audiences [{}]",
                list(stated),
                list(audiences)
            ));
        }
        let seconds = seconds_of(now);
        let leeway = LEEWAY.as_secs().cast_signed();
        if seconds - leeway > claims.exp {
            return Err("service account token has expired".to_owned());
        }
        if seconds + leeway < claims.nbf {
            return Err("service account token is not valid yet".to_owned());
        }
        self.check(&claims.binding, seconds - leeway).await?;
        let identity = Arc::new(identity(&claims));
        Ok(Some(TokenOwner { identity, audiences: shared }))
    }

    /// Whether everything that a token names is there still. What is being deleted counts as gone from `gone_since` on.
    async fn check(&self, binding: &Binding, gone_since: i64) -> Result<(), String> {
        let Binding { namespace, service_account, .. } = binding;
        let name = &service_account.name;
        let found = self.meta("serviceaccounts", namespace, name).await;
        let Some(meta) = found else { return Err(format!("serviceaccounts {} not found", api::field::go_quote(name))) };
        if is_gone(&meta, gone_since) {
            return Err(format!("service account {namespace}/{name} has been deleted"));
        }
        let uid = meta.uid.unwrap_or_default();
        if uid != service_account.uid {
            return Err(format!("service account UID ({uid}) does not match claim ({})", service_account.uid));
        }
        let bound = [
            ("secret", "secrets", &**namespace, binding.secret.as_ref()),
            ("pod", "pods", &**namespace, binding.pod.as_ref()),
            // With a pod, the node is only told of.
            ("node", "nodes", "", binding.node.as_ref().filter(|_| binding.pod.is_none())),
        ];
        for (word, resource, namespace, reference) in bound {
            let Some(reference) = reference else { continue };
            let found = self.meta(resource, namespace, &reference.name).await;
            let Some(meta) = found.filter(|meta| !is_gone(meta, gone_since)) else {
                return Err(INVALIDATED.to_owned());
            };
            let uid = meta.uid.unwrap_or_default();
            if uid != reference.uid {
                let claimed = &reference.uid;
                return Err(format!("{word} UID ({uid}) does not match service account {word} ref claim ({claimed})"));
            }
        }
        Ok(())
    }

    async fn meta(&self, resource: &str, namespace: &str, name: &str) -> Option<ObjectMeta> {
        #[derive(Deserialize)]
        struct Object {
            metadata: ObjectMeta,
        }
        if name.contains('/') || namespace.contains('/') {
            return None;
        }
        let place = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let key = Key::new(&format!("{ROOT}core/{resource}/{place}")).ok()?;
        let stored = self.store.get(&key, At::Known).await.ok().flatten()?;
        serde_json::from_slice::<Object>(stored.entry.bytes()).ok().map(|object| object.metadata)
    }
}

fn is_gone(meta: &ObjectMeta, since: i64) -> bool {
    meta.deletion_timestamp.as_ref().is_some_and(|at| at.0.as_second() < since)
}

fn seconds_of(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The user that a ServiceAccount is.
fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn identity(claims: &Claims) -> Identity {
    let Binding { namespace, service_account, pod, node, .. } = &claims.binding;
    let mut extra = BTreeMap::new();
    let mut state = |name: &str, value: &str| {
        extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]);
    };
    if let Some(pod) = pod {
        state("pod-name", &pod.name);
        state("pod-uid", &pod.uid);
    }
    if let Some(node) = node {
        state("node-name", &node.name);
        if !node.uid.is_empty() {
            state("node-uid", &node.uid);
        }
    }
    if !claims.jti.is_empty() {
        extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", claims.jti)]);
    }
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    let user = user_name(namespace, &service_account.name);
    Identity { user, uid: service_account.uid.clone(), groups, extra }.authenticated()
}
