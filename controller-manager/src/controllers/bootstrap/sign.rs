//! Signs what the cluster tells strangers, with each token that is for signing: so whoever has the token, and nobody else, can
//! tell it from what somebody says who is in between.
//!
//! Each signature is a JWS with HS256 under the token's ID. There is one for each token that is good now and none else; what
//! is signed is the kubeconfig, as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::bootstrap_token::{Expiry, KUBECONFIG, NAMESPACE, SIGNATURE_PREFIX, expiry, for_signing, sign};
use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use super::{cluster_info, is_token};
use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

/// The most signatures that there are, because a ConfigMap takes no more than a mebibyte. The first tokens by name count.
const MOST: usize = 2000;

/// The controller.
pub struct BootstrapSigning;

/// What is signed, and the Secrets of the tokens.
pub struct Observed {
    config_map: Arc<ConfigMap>,
    tokens: Vec<Arc<Secret>>,
}

impl Controller for BootstrapSigning {
    const NAME: &'static str = "bootstrap-signer-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        Watches::on::<ConfigMap>().mapped::<Secret>(|_, pair| {
            let concerns = pair.both().any(|secret| is_token(secret));
            concerns.then(cluster_info).into_iter().collect()
        })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        if *key != cluster_info() {
            return None;
        }
        let config_map = cache.get::<ConfigMap>(&key.namespace, &key.name)?;
        let mut tokens = cache.list::<Secret>(Some(NAMESPACE));
        tokens.retain(|secret| is_token(secret));
        tokens.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        Some(Observed { config_map, tokens })
    }

    fn reconcile(&self, observed: &Observed, moment: &Moment) -> Plan {
        let mut plan = Plan::new();
        let data = observed.config_map.data.clone().unwrap_or_default();
        let Some(content) = data.get(KUBECONFIG) else { return plan };
        let (mut signed, now) = (BTreeMap::new(), moment.now);
        for secret in &observed.tokens {
            if let Some((id, key)) = for_signing(secret, now).filter(|_| signed.len() < MOST) {
                signed.insert(format!("{SIGNATURE_PREFIX}{id}"), sign(content, id, key));
                if let Expiry::In(left) = expiry(secret, now) {
                    plan.look_again(left);
                }
            }
        }
        signed.extend(data.into_iter().filter(|(key, _)| !key.starts_with(SIGNATURE_PREFIX)));
        let right = ConfigMap { data: Some(signed), ..ConfigMap::clone(&observed.config_map) };
        plan.update(&*observed.config_map, &right);
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::bootstrap_token::is_signed;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn token(id: &str, more: &Value) -> Secret {
        let bytes = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
        let mut data = json!({
            "token-id": bytes(id), "token-secret": bytes("0123456789abcdef"), "usage-bootstrap-signing": bytes("true"),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            data[key] = bytes(value.as_str().unwrap());
        }
        let secret = json!({
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token", "data": data,
        });
        serde_json::from_value(secret).unwrap()
    }

    fn config_map(namespace: &str, data: Value) -> ConfigMap {
        let object = json!({"metadata": {"name": "cluster-info", "namespace": namespace}, "data": data});
        serde_json::from_value(object).unwrap()
    }

    fn setup() -> World<BootstrapSigning> {
        let mut world = World::new(BootstrapSigning);
        let data =
            json!({"kubeconfig": "told", "other": "stays", "jws-kubeconfig-gone00": "x", "jws-kubeconfig-aaaaaa": "x"});
        world.add(config_map("kube-public", data));
        world.add(config_map("default", json!({"kubeconfig": "told"})));
        world.add(token("aaaaaa", &json!({})));
        world.add(token("bbbbbb", &json!({"expiration": "2026-03-01T12:00:10Z"})));
        world.add(token("cccccc", &json!({"usage-bootstrap-signing": "false"})));
        world.add(token("dddddd", &json!({"expiration": "2026-03-01T11:59:59Z"})));
        world.add(token("eeeeee", &json!({"token-id": "ffffff"})));
        world
    }

    /// What is signed for whom; and that the signatures are good.
    fn signed(world: &World<BootstrapSigning>) -> Vec<String> {
        let config_map = world.get::<ConfigMap>("kube-public", "cluster-info").unwrap();
        let data = config_map.data.clone().unwrap();
        assert_eq!(data["other"], "stays");
        let ids = data.iter().filter_map(|(key, value)| Some((key.strip_prefix(SIGNATURE_PREFIX)?, value)));
        ids.map(|(id, signature)| {
            let token = format!("{id}.0123456789abcdef").parse().unwrap();
            assert!(is_signed(signature, &data["kubeconfig"], &token), "{id}: {signature}");
            id.to_owned()
        })
        .collect()
    }

    #[test]
    fn each_good_token_signs() {
        let mut world = check_converges(setup, nobody_else);
        assert_eq!(signed(&world), ["aaaaaa", "bbbbbb"]);
        let elsewhere = world.get::<ConfigMap>("default", "cluster-info").unwrap();
        assert_eq!(elsewhere.data.clone().unwrap().len(), 1);
        world.pass(Duration::from_secs(10));
        world.settle();
        assert_eq!(signed(&world), ["aaaaaa"]);
    }

    #[test]
    fn signatures_follow_what_is_told_and_the_tokens() {
        let mut world = setup();
        world.settle();
        world.change::<ConfigMap>("kube-public", "cluster-info", |config_map| {
            config_map.data.as_mut().unwrap().insert(KUBECONFIG.to_owned(), "told anew".to_owned());
        });
        world.settle();
        assert_eq!(signed(&world), ["aaaaaa", "bbbbbb"]);
        world.delete::<Secret>("kube-system", "bootstrap-token-aaaaaa");
        world.add(token("gggggg", &json!({})));
        world.settle();
        assert_eq!(signed(&world), ["bbbbbb", "gggggg"]);
    }

    #[test]
    fn where_nothing_is_told_nothing_is_signed() {
        let mut world = World::new(BootstrapSigning);
        world.add(token("aaaaaa", &json!({})));
        assert!(world.settle().is_empty());
        world.add(config_map("kube-public", json!({"other": "x"})));
        assert!(world.settle().is_empty());
    }

    #[test]
    fn there_are_no_more_signatures_than_a_config_map_takes() {
        let mut world = World::new(BootstrapSigning);
        world.add(config_map("kube-public", json!({"kubeconfig": "told", "other": "stays"})));
        for number in 0..=MOST {
            world.add(token(&format!("{number:06}"), &json!({})));
        }
        world.settle();
        assert_eq!(signed(&world).len(), MOST);
    }
}
