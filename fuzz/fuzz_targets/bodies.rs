//! Bodies of objects in every encoding, through decoding, defaults and validation: nothing panics, nothing is the server's
//! fault, and what is accepted is accepted again as it was answered.

#![no_main]

use std::sync::{Arc, LazyLock};

use api::status::Status;
use apiserver::engine::{Body, Call, Engine, Payload, Surroundings, dispatch};
use apiserver::entry::Objects;
use apiserver::registry::Registry;
use apiserver::request::{Query, Target};
use apiserver::resources::{Config, register_all};
use http::{HeaderMap, HeaderValue, Method, header};
use k8s_openapi::jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use store::{MemoryBackend, Store, StoreOptions};
use tokio::runtime::{Builder, Runtime};

const PATHS: [&str; 3] = [
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/services",
    "/apis/apps/v1/namespaces/default/deployments",
];
const JSON: &str = "application/json";
const MEDIA_TYPES: [&str; 3] = [JSON, "application/yaml", "application/vnd.kubernetes.protobuf"];

struct StandingStill;

impl Surroundings for StandingStill {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn random(&self) -> u64 {
        7
    }
}

static SERVER: LazyLock<(Runtime, Engine)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let engine = runtime.block_on(async {
        let registry = Arc::new(Registry::new());
        register_all(&registry, Config::default());
        let objects = Objects::new(Arc::clone(&registry));
        let store = Store::open(Arc::new(MemoryBackend::new()), objects, StoreOptions::default()).await;
        let engine = Engine::new(store.expect("a store"), registry, Arc::new(StandingStill));
        engine.bootstrap().await.expect("the namespaces");
        engine
    });
    (runtime, engine)
});

/// What a dry run of creating `body` answers.
fn create(path: &str, media_type: &'static str, body: &[u8]) -> Result<Value, Status> {
    let (runtime, engine) = &*SERVER;
    let target = Target::parse(&Method::POST, path, false).expect("the path of a resource");
    let resources = engine.registry.resources();
    let resource = resources.find(&target.group, &target.version, &target.resource).expect("a served resource");
    let query = Query::parse("dryRun=All");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let call = Call::new(engine, &target, resource, &query, &headers);
    let body = Body::new(&headers, body.to_vec().into());
    let answer = runtime.block_on(dispatch(&call, &body))?;
    let Payload::Whole(bytes) = answer.payload else { panic!("an object is answered whole") };
    Ok(serde_json::from_slice(&bytes).expect("an answer is JSON"))
}

fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else { return };
    let (path, media_type) = (PATHS[usize::from(choice / 3) % 3], MEDIA_TYPES[usize::from(choice % 3)]);
    match create(path, media_type, body) {
        Ok(created) => {
            let again = create(path, JSON, created.to_string().as_bytes());
            let again = again.unwrap_or_else(|status| panic!("{created} is refused: {}", status.message));
            assert_eq!(again["spec"], created["spec"], "defaults that are set again");
        }
        Err(status) => assert!(status.code < 500, "{}", status.message),
    }
});
