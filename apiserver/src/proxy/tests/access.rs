//! Who may have a connection to a container.

use std::sync::Arc;

use http::Request;
use store::{MemoryBackend, Store, StoreOptions};

use crate::authn::Identity;
use crate::authz::{Attributes, Authorizer, Decision, Rules};
use crate::engine::{Access, Engine, Surroundings};
use crate::entry::Objects;
use crate::proxy::{Options, Proxy, Way};
use crate::registry::Registry;
use crate::request::Target;
use crate::resources::{Config, register_all};
use crate::serve::full_body;

/// Allows one verb.
struct Only(&'static str);

impl Authorizer for Only {
    fn authorize(&self, _: &Identity, attributes: &Attributes) -> Decision {
        if attributes.verb == self.0 { Decision::allow() } else { Decision::NoOpinion("no rule".to_owned()) }
    }

    fn rules(&self, _: &Identity, _: &str) -> Rules {
        Rules::default()
    }
}

struct Nothing;

impl Surroundings for Nothing {
    fn now(&self) -> k8s_openapi::jiff::Timestamp {
        k8s_openapi::jiff::Timestamp::UNIX_EPOCH
    }

    fn random(&self) -> u64 {
        0
    }
}

async fn proxy(authorizer: Only) -> Proxy {
    let registry = Arc::new(Registry::new());
    register_all(&registry, Config::default());
    let objects = Objects::new(Arc::clone(&registry));
    let store = Store::open(Arc::new(MemoryBackend::new()), objects, StoreOptions::default()).await.unwrap();
    let access = Access { authorizer: Arc::new(authorizer), ..Access::default() };
    Proxy::new(Arc::new(Engine::new(store, registry, Arc::new(Nothing)).with_access(access)), Options::default())
}

#[tokio::test]
async fn whoever_may_only_get_gets_no_connection() {
    let check = async |allowed: &'static str, method: &str, subresource: &str, expected: (u16, &str)| {
        let path = format!("/api/v1/namespaces/a/pods/p/{subresource}");
        let (mut parts, ()) = Request::builder().method(method).uri(&path).body(()).unwrap().into_parts();
        let target = Target::parse(&parts.method, &path, false).unwrap();
        let attributes = Attributes::of_request(&parts);
        parts.extensions.insert(Arc::new(Identity { user: "x".to_owned(), ..Identity::default() }));
        parts.extensions.insert(Arc::new(attributes));
        let way = Way::of(&target).unwrap();
        let answer = proxy(Only(allowed)).await.pass(way, &target, parts, full_body("")).await;
        let status = answer.err().unwrap();
        assert_eq!((status.code, status.message.as_str()), expected, "{method} {subresource}");
    };
    // Who may go on is told that there is no such pod.
    let missing = (404, "pods \"p\" not found");
    check("create", "POST", "exec", missing).await;
    check("create", "GET", "exec", missing).await;
    check("get", "GET", "log", missing).await;
    check("get", "GET", "proxy/x", missing).await;
    for subresource in ["exec", "attach", "portforward"] {
        let refused = format!(
            "pods \"p\" is forbidden: User \"x\" cannot create resource \"pods/{subresource}\" in API group \"\" in the \
             namespace \"a\": no rule"
        );
        check("get", "GET", subresource, (403, &refused)).await;
    }
}
