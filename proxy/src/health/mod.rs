//! Tells load balancers and operators whether the proxy works, as upstream's does: `/healthz` also says no while the node is
//! about to go, `/livez` does not. It works as long as nothing that changed has been waiting too long for the kernel.

mod services;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::clock::Clock;
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use nft::Family;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::{Duration, Instant};

pub use services::{Check, Checks, check_of};

use crate::http::{Answer, json, nothing};
use crate::metrics::Metrics;
use crate::node::is_eligible;

/// How long a change may wait for the kernel (twice the time after which upstream's looks again in any case).
const TIMEOUT: Duration = Duration::from_secs(60);

/// Whether the proxy works. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
    clock: Clock,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    families: BTreeMap<Family, OfFamily>,
    node: Option<Arc<Node>>,
}

#[derive(Clone, Copy, Default)]
struct OfFamily {
    /// When the kernel was told all there was.
    updated: Option<Timestamp>,
    /// Since when something waits to be told.
    waiting: Option<Instant>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    last_updated: String,
    current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<&'static str, OneTold>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneTold {
    last_updated: String,
    healthy: bool,
}

impl Health {
    /// Of a proxy that begins.
    #[must_use]
    pub fn new(clock: Clock, metrics: Metrics) -> Health {
        Health { state: Arc::default(), clock, metrics }
    }

    /// Something changed that the kernel is to be told.
    pub fn waits(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        for family in [Family::Ip, Family::Ip6] {
            state.families.entry(family).or_default().waiting.get_or_insert(now);
        }
    }

    /// The kernel knows everything that had changed when it was begun to be told, at `began`, of this family. What has changed
    /// since may have waited no longer.
    pub fn updated(&self, family: Family, began: Instant, is_more: bool) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let of_family = state.families.entry(family).or_default();
        *of_family = OfFamily { updated: Some(now), waiting: is_more.then_some(began) };
    }

    /// The Node is this now; or there is none.
    pub fn node(&self, node: Option<Arc<Node>>) {
        self.state.lock().node = node;
    }

    /// Whether the proxy works, whatever becomes of the node.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state.lock().families.values().all(OfFamily::is_healthy)
    }

    /// What is told to those who ask at a path.
    pub(crate) fn answer(&self, path: &str) -> Answer {
        let of_node = match path {
            "/healthz" => true,
            "/livez" => false,
            _ => return nothing(),
        };
        let told = self.told(of_node);
        let is_well = told.healthy && told.node_eligible != Some(false);
        let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if of_node {
            self.metrics.probed_health(status)
        } else {
            self.metrics.probed_life(status)
        }
        // There is nothing in it that cannot be written.
        json(status, serde_json::to_vec(&told).unwrap_or_default())
    }

    fn told(&self, of_node: bool) -> Told {
        let now = self.clock.now();
        let state = self.state.lock();
        let told = state.families.iter().filter(|(_, of_family)| of_family.updated.is_some());
        let status: BTreeMap<_, _> = told
            .map(|(family, of_family)| {
                let name = if *family == Family::Ip { "IPv4" } else { "IPv6" };
                (name, OneTold { last_updated: written(of_family.updated), healthy: of_family.is_healthy() })
            })
            .collect();
        let healthy = state.families.values().all(OfFamily::is_healthy);
        let node_eligible = of_node.then(|| state.node.as_ref().is_some_and(|node| is_eligible(node)));
        let last = state.families.values().filter_map(|of_family| of_family.updated).max();
        // Those who watch this time take an old one for a sign that nothing works, though nothing may have changed.
        let last_updated = if healthy && node_eligible != Some(false) { Some(now) } else { last };
        let (last_updated, current_time) = (written(last_updated), written(Some(now)));
        Told { last_updated, current_time, node_eligible, healthy, status }
    }
}

impl OfFamily {
    /// One that was never told anything is about to begin.
    fn is_healthy(&self) -> bool {
        self.updated.is_none() || self.waiting.is_none_or(|since| since.elapsed() < TIMEOUT)
    }
}

/// A time as Go writes it; there, a time that never was is in the year 1.
fn written(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tokio::time::advance;

    use super::*;

    fn node(json: Value) -> Option<Arc<Node>> {
        Some(Arc::new(serde_json::from_value(json).unwrap()))
    }

    async fn asked(health: &Health, path: &str) -> (u16, Value) {
        let answer = health.answer(path);
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn at_noon() -> Health {
        let noon: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        Health::new(Clock::simulated(noon), Metrics::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_is_healthy_until_something_waits_too_long() {
        let health = at_noon();
        health.node(node(json!({"metadata": {"name": "n"}})));
        health.waits();
        advance(TIMEOUT * 2).await;
        let (status, told) = asked(&health, "/healthz").await;
        assert_eq!(status, 200, "it may take a while to begin: {told}");
        for family in [Family::Ip, Family::Ip6] {
            health.updated(family, Instant::now(), false);
        }
        advance(Duration::from_millis(1_500)).await;
        let (status, told) = asked(&health, "/healthz").await;
        let one = json!({"lastUpdated": "2026-03-01T12:02:00Z", "healthy": true});
        let expected = json!({
            "lastUpdated": "2026-03-01T12:02:01.5Z", "currentTime": "2026-03-01T12:02:01.5Z", "nodeEligible": true,
            "healthy": true, "status": {"IPv4": one, "IPv6": one},
        });
        assert_eq!((status, told), (200, expected));
        health.waits();
        advance(TIMEOUT / 2).await;
        health.waits();
        health.updated(Family::Ip, Instant::now(), false);
        assert!(health.is_healthy());
        advance(TIMEOUT / 2).await;
        assert!(!health.is_healthy(), "the first that waits counts");
        let (status, told) = asked(&health, "/livez").await;
        assert_eq!((status, &told["healthy"], &told["nodeEligible"]), (503, &json!(false), &Value::Null));
        assert_eq!(told["status"]["IPv6"], json!({"lastUpdated": "2026-03-01T12:02:00Z", "healthy": false}));
        assert_eq!(told["status"]["IPv4"]["healthy"], json!(true));
        assert_eq!(told["lastUpdated"], json!("2026-03-01T12:02:31.5Z"));
        health.updated(Family::Ip6, Instant::now(), true);
        assert!(health.is_healthy());
        advance(TIMEOUT).await;
        assert!(!health.is_healthy(), "more waited when it was told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_about_to_go_gets_nothing_more() {
        let health = at_noon();
        let check = async |given: Option<Arc<Node>>, status: u16, eligible: bool| {
            health.node(given);
            let (answered, told) = asked(&health, "/healthz").await;
            assert_eq!((answered, &told["nodeEligible"]), (status, &json!(eligible)));
            assert_eq!(asked(&health, "/livez").await.0, 200);
        };
        check(None, 503, false).await;
        check(node(json!({"metadata": {}})), 200, true).await;
        let taints = json!([{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]);
        check(node(json!({"metadata": {}, "spec": {"taints": taints}})), 503, false).await;
        assert_eq!(asked(&health, "/elsewhere").await.0, 404);
    }
}
