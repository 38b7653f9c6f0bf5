//! What requests are taken for, and how long answers count.

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use parking_lot::Mutex;

use super::*;

#[test]
fn requests_are_mapped_as_by_upstream() {
    let cases: &[(Method, &str, &str, &[&str])] = &[
        (Method::GET, "/healthz", "get", &["healthz", "proxy"]),
        (Method::GET, "/healthz/ping", "get", &["healthz", "proxy"]),
        (Method::GET, "/healthzz", "get", &["proxy"]),
        (Method::GET, "/pods", "get", &["pods", "proxy"]),
        (Method::GET, "/pods/", "get", &["pods", "proxy"]),
        (Method::GET, "/runningpods/", "get", &["pods", "proxy"]),
        (Method::GET, "/configz", "get", &["configz", "proxy"]),
        (Method::GET, "/statusz", "get", &["statusz", "proxy"]),
        (Method::GET, "/metrics", "get", &["metrics"]),
        (Method::GET, "/metrics/cadvisor", "get", &["metrics"]),
        (Method::GET, "/metricsx", "get", &["proxy"]),
        (Method::GET, "/stats/summary", "get", &["stats"]),
        (Method::POST, "/stats/summary", "create", &["stats"]),
        (Method::GET, "/logs/", "get", &["log"]),
        (Method::GET, "/logs", "get", &["log"]),
        (Method::GET, "/logs/pods/a", "get", &["log"]),
        (Method::POST, "/checkpoint/a/b/c", "create", &["checkpoint"]),
        (Method::GET, "/containerLogs/a/b/c", "get", &["proxy"]),
        (Method::POST, "/exec/a/b/c", "create", &["proxy"]),
        (Method::GET, "/exec/a/b/c", "get", &["proxy"]),
        (Method::PUT, "/x", "update", &["proxy"]),
        (Method::PATCH, "/x", "patch", &["proxy"]),
        (Method::DELETE, "/x", "delete", &["proxy"]),
        (Method::HEAD, "/", "", &["proxy"]),
        (Method::OPTIONS, "/pods", "", &["pods", "proxy"]),
        // What is not a path of ours is nobody's fine-grained business.
        (Method::GET, "//pods", "get", &["proxy"]),
        (Method::GET, "/x/../pods", "get", &["proxy"]),
    ];
    for (method, path, verb, subresources) in cases {
        assert_eq!(Attributes::of(method, path), Attributes { verb, subresources }, "{method} {path}");
    }
}

/// Allows one subresource to everybody, and writes down what it is asked.
struct Only {
    subresource: &'static str,
    asked: Mutex<Vec<SubjectAccessReviewSpec>>,
    away: Mutex<bool>,
}

impl Only {
    fn new(subresource: &'static str) -> Arc<Only> {
        Arc::new(Only { subresource, asked: Mutex::default(), away: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock());
        asked.into_iter().filter_map(|spec| spec.resource_attributes?.subresource).collect()
    }
}

impl Reviews for Only {
    fn token<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>> {
        async { Err(ReviewError::Empty) }.boxed()
    }

    fn access(&self, spec: SubjectAccessReviewSpec) -> BoxFuture<'_, Result<SubjectAccessReviewStatus, ReviewError>> {
        let subresource = spec.resource_attributes.as_ref().and_then(|attributes| attributes.subresource.clone());
        let allowed = subresource.as_deref() == Some(self.subresource);
        self.asked.lock().push(spec);
        let away = *self.away.lock();
        async move {
            if away {
                return Err(ReviewError::Late);
            }
            Ok(SubjectAccessReviewStatus { allowed, ..SubjectAccessReviewStatus::default() })
        }
        .boxed()
    }
}

fn somebody(name: &str) -> Arc<Identity> {
    Arc::new(Identity { user: name.into(), groups: vec!["friends".into()], ..Identity::default() })
}

#[tokio::test(start_paused = true)]
async fn answers_count_for_a_time() {
    let only = Only::new("proxy");
    let authorization = Authorization::new("one".into(), Arc::<Only>::clone(&only));
    let (pods, metrics) = (Attributes::of(&Method::GET, "/pods"), Attributes::of(&Method::GET, "/metrics"));
    let who = somebody("a");
    assert_eq!(authorization.authorize(&who, &pods).await, Ok(()));
    assert_eq!(only.asked(), ["pods", "proxy"], "the fine-grained one first");
    assert_eq!(authorization.authorize(&who, &pods).await, Ok(()));
    assert!(only.asked().is_empty());
    assert_eq!(authorization.authorize(&somebody("b"), &pods).await, Ok(()));
    assert_eq!(only.asked(), ["pods", "proxy"], "somebody else");
    let refused = authorization.authorize(&who, &metrics).await.unwrap_err();
    assert_eq!(refused.to_string(), "Forbidden (user=a, verb=get, resource=nodes, subresource(s)=[metrics])\n");
    only.asked();
    tokio::time::advance(REFUSED).await;
    assert_eq!(authorization.authorize(&who, &pods).await, Ok(()));
    assert_eq!(only.asked(), ["pods"], "the refusal counts no more, the permission does");
    tokio::time::advance(ALLOWED - REFUSED).await;
    assert_eq!(authorization.authorize(&who, &pods).await, Ok(()));
    assert_eq!(only.asked(), ["pods", "proxy"]);

    *only.away.lock() = true;
    let unknown = authorization.authorize(&somebody("c"), &pods).await.unwrap_err();
    assert_eq!(unknown.to_string(), "Authorization error (user=c, verb=get, resource=nodes, subresource=pods)");
}

#[tokio::test]
async fn who_asks_is_told_as_it_is() {
    let only = Only::new("stats");
    let authorization = Authorization::new("one".into(), Arc::<Only>::clone(&only));
    let identity =
        Identity { uid: "7".into(), extra: [("k".into(), vec!["v".into()])].into(), ..(*somebody("a")).clone() };
    let wanted = Attributes::of(&Method::GET, "/stats/summary");
    authorization.authorize(&Arc::new(identity), &wanted).await.unwrap();
    let asked = serde_json::to_value(&only.asked.lock()[0]).unwrap();
    let expected = serde_json::json!({
        "user": "a", "uid": "7", "groups": ["friends"], "extra": {"k": ["v"]},
        "resourceAttributes": {"verb": "get", "version": "v1", "resource": "nodes", "subresource": "stats", "name": "one"},
    });
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_is_too_long_is_not_remembered() {
    let only = Only::new("stats");
    let authorization = Authorization::new("one".into(), Arc::<Only>::clone(&only));
    let identity = Arc::new(Identity { groups: vec!["g".repeat(KEPT + 1)], ..Identity::default() });
    let wanted = Attributes::of(&Method::GET, "/stats/summary");
    for _ in 0..2 {
        authorization.authorize(&identity, &wanted).await.unwrap();
    }
    assert_eq!(only.asked().len(), 2);
}
