//! An engine over a store in memory, in which time stands still and chance follows from a seed, and requests to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::status::Status;
use apiserver::Admission;
use apiserver::authn::{Authenticators, DEFAULT_ISSUER, Identity, Issuer, ServiceAccountTokens};
use apiserver::authz::{Masters, Rbac};
use apiserver::discovery::verbs;
use apiserver::encryption::Encryption;
use apiserver::engine::{Access, Body, Call, Engine, Location, Payload, Surroundings, dispatch};
use apiserver::entry::{Entry, Objects, ROOT};
use apiserver::registry::{Registry, Resource};
use apiserver::request::{Query, Target, Verb};
use apiserver::resources::{Config, register_all, service};
use apiserver::strategy::Names;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use bytes::Bytes;
use futures::stream::BoxStream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use store::{At, Backend, Key, MemoryBackend, Revision, Store, StoreOptions, Stored};

/// 2026-03-01T12:00:00Z.
pub(crate) const NOW: i64 = 1_772_366_400;

/// What examples are asked for as, and sent as, unless a test says otherwise.
pub(crate) const JSON: &str = "application/json";
pub(crate) const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
pub(crate) const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Annotations of an audit event.
pub(crate) type Noted = BTreeMap<String, String>;

struct StandingStill(AtomicU64);

impl Surroundings for StandingStill {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        let mut bits = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// What every server serves.
pub(crate) fn registry() -> Arc<Registry> {
    let registry = Arc::new(Registry::new());
    register_all(&registry, Config::default());
    registry
}

/// The directory of the examples.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples")
}

/// One registered resource and its example.
pub(crate) struct Subject {
    pub(crate) resource: Resource,
    /// The example as JSON.
    pub(crate) example: Value,
    /// The path of the example's collection, such as `/api/v1/namespaces/default/pods`.
    pub(crate) collection: String,
    /// The example's name.
    pub(crate) name: String,
}

impl Subject {
    /// Every registered resource. Fails if one has no example.
    pub(crate) fn every() -> Vec<Subject> {
        registry().resources().iter().cloned().map(Subject::read).collect()
    }

    /// Those that are stored.
    pub(crate) fn all() -> Vec<Subject> {
        Subject::every().into_iter().filter(|subject| subject.resource.kind.is_stored()).collect()
    }

    /// Those that are not, and have `verb`.
    pub(crate) fn unstored(verb: Verb) -> Vec<Subject> {
        let unstored = Subject::every().into_iter().filter(|subject| !subject.resource.kind.is_stored());
        let has = |subject: &Subject| verbs(&subject.names().group, &subject.names().plural).contains(&verb);
        unstored.filter(has).collect()
    }

    /// The file of a resource's example: by its singular, and for a further version of a resource by its group, too, and by
    /// the version if the group is the same.
    pub(crate) fn file(resource: &Resource) -> String {
        let names = resource.kind.names();
        match resource.storage.conversion {
            None => format!("{}.yaml", names.singular),
            Some(_) => format!("{}{}.{}.yaml", names.singular, Subject::version(resource), names.group),
        }
    }

    /// What tells a further version apart from the stored one when both are of one group, such as `.v1`; otherwise nothing.
    fn version(resource: &Resource) -> String {
        let names = resource.kind.names();
        let stored = resource.storage.path.split('/').next();
        let further = resource.storage.conversion.is_some() && stored == Some(&names.group);
        if further { format!(".{}", names.version) } else { String::new() }
    }

    fn read(resource: Resource) -> Subject {
        let path = examples().join(Subject::file(&resource));
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("every kind has an example: {}: {error}", path.display()));
        let example: Value =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let names = resource.kind.names();
        let root = if names.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", names.group) };
        let namespace = example["metadata"]["namespace"].as_str().map(|name| format!("/namespaces/{name}"));
        let namespace = namespace.unwrap_or_default();
        assert_eq!(names.namespaced, !namespace.is_empty(), "{}: metadata.namespace", path.display());
        let collection = format!("{root}/{}{namespace}/{}", names.version, names.plural);
        let name = example["metadata"]["name"].as_str();
        assert!(name.is_some() || !resource.kind.is_stored(), "{}: metadata.name", path.display());
        let name = name.unwrap_or_default().to_owned();
        Subject { resource, example, collection, name }
    }

    pub(crate) fn names(&self) -> &Names {
        self.resource.kind.names()
    }

    /// The path of the example.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.collection, self.name)
    }

    /// How failures and snapshots name it, such as `deployments.apps`.
    pub(crate) fn title(&self) -> String {
        let names = self.names();
        let version = Subject::version(&self.resource);
        if names.group.is_empty() {
            names.plural.to_string()
        } else {
            format!("{}{version}.{}", names.plural, names.group)
        }
    }

    /// Whether the status is written through a subresource.
    pub(crate) fn has_status(&self) -> bool {
        self.resource.kind.update_subresources().contains(&"status")
    }
}

/// One request.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) accept: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Ask { method, path, query: "", accept: JSON, media_type: JSON, body: Vec::new() }
    }

    pub(crate) fn get(path: &'a str) -> Self {
        Ask::new(Method::GET, path)
    }

    pub(crate) fn post(path: &'a str, body: &Value) -> Self {
        Ask { body: body.to_string().into(), ..Ask::new(Method::POST, path) }
    }

    pub(crate) fn put(path: &'a str, body: &Value) -> Self {
        Ask { body: body.to_string().into(), ..Ask::new(Method::PUT, path) }
    }

    pub(crate) fn patch(path: &'a str, body: &Value) -> Self {
        Ask { media_type: MERGE, body: body.to_string().into(), ..Ask::new(Method::PATCH, path) }
    }

    pub(crate) fn delete(path: &'a str) -> Self {
        Ask::new(Method::DELETE, path)
    }

    pub(crate) fn query(self, query: &'a str) -> Self {
        Ask { query, ..self }
    }

    pub(crate) fn accept(self, accept: &'static str) -> Self {
        Ask { accept, ..self }
    }
}

/// An answer that is not a stream.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }
}

/// A server without HTTP.
pub(crate) struct Server {
    engine: Engine,
    identity: Identity,
}

/// Who asks unless a test says otherwise.
fn jane() -> Identity {
    Identity {
        user: "jane".to_owned(),
        uid: "u-1".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        extra: [("example.com/team".to_owned(), vec!["web".to_owned()])].into(),
    }
}

impl Server {
    /// With the namespaces that every cluster has, and nothing else.
    pub(crate) async fn start() -> Server {
        Server::over(Arc::new(MemoryBackend::new()), Encryption::default()).await
    }

    /// The same, over this, which is to be encrypted so.
    pub(crate) async fn over(backend: Arc<dyn Backend>, encryption: Encryption) -> Server {
        let registry = registry();
        let objects = Objects::new(Arc::clone(&registry)).with_encryption(encryption);
        let store = Store::open(backend, objects, StoreOptions::default()).await.unwrap();
        let engine = Engine::new(store, registry, Arc::new(StandingStill(AtomicU64::new(1))));
        engine.bootstrap().await.unwrap();
        Server { engine, identity: jane() }
    }

    /// The same server, with these plugins beside those that decide by default.
    pub(crate) fn enabling(self, plugins: &[&str]) -> Server {
        self.deciding(plugins, None)
    }

    /// The same, whose plugins decide as a file says.
    pub(crate) fn told(self, plugins: &[&str], file: &std::path::Path) -> Server {
        self.deciding(plugins, Some(file))
    }

    fn deciding(self, plugins: &[&str], file: Option<&std::path::Path>) -> Server {
        let plugins: Vec<String> = plugins.iter().map(|name| (*name).to_owned()).collect();
        let admission = Admission::new(&plugins, &[], file).unwrap();
        Server { engine: self.engine.with_admission(admission), ..self }
    }

    /// The same server as somebody else sees it.
    pub(crate) fn by(&self, user: &str, groups: &[&str]) -> Server {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let identity = Identity { user: user.to_owned(), groups, ..Identity::default() };
        Server { engine: self.engine.clone(), identity }
    }

    /// Another server, on the same store.
    pub(crate) fn beside(&self) -> Server {
        let (store, registry) = (self.engine.store().clone(), Arc::clone(&self.engine.registry));
        let engine = Engine::new(store, registry, Arc::new(StandingStill(AtomicU64::new(1 << 32))));
        Server { engine, identity: jane() }
    }

    /// Makes the APIServices that a server makes at start.
    pub(crate) async fn register_api_services(&self) {
        self.engine.register_api_services().await.unwrap();
    }

    /// One that issues tokens to ServiceAccounts.
    pub(crate) async fn with_tokens() -> Server {
        Server::with_tokens_that_last(true).await
    }

    /// One that issues tokens to ServiceAccounts, of which kubelets' last, or do not.
    pub(crate) async fn with_tokens_that_last(extends: bool) -> Server {
        let Server { engine, identity } = Server::start().await;
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let issuer = Arc::new(Issuer::new(DEFAULT_ISSUER, key.as_ref()).unwrap().extending(extends));
        let tokens = ServiceAccountTokens::new(issuer, engine.store().clone());
        let authenticators = Authenticators::new(None).with_service_accounts(tokens.clone());
        let authorizer = Arc::new(Masters);
        let access = Access { authenticators, authorizer, rbac: Rbac::default(), service_accounts: Some(tokens) };
        Server { engine: engine.with_access(access), identity }
    }

    /// The means by which it knows tokens.
    pub(crate) fn authenticators(&self) -> &Authenticators {
        &self.engine.access().authenticators
    }

    /// With what the example of `subject` names.
    pub(crate) async fn ready_for(subject: &Subject) -> Server {
        let server = Server::start().await;
        if subject.title().ends_with("pods") {
            let class = json!({
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": "high"},
                "value": 1000,
            });
            server.ask(Ask::post("/apis/scheduling.k8s.io/v1/priorityclasses", &class)).await.unwrap();
            server.add_account("web").await;
        }
        server
    }

    /// Makes a ServiceAccount, as which pods can run.
    pub(crate) async fn add_account(&self, name: &str) {
        self.add_account_in("default", name).await;
    }

    pub(crate) async fn add_account_in(&self, namespace: &str, name: &str) {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.ask(Ask::post(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account)).await.unwrap();
    }

    /// With the example of `subject`, as the server answered to its creation.
    pub(crate) async fn with(subject: &Subject) -> (Server, Value) {
        let server = Server::ready_for(subject).await;
        let created = server.ask(Ask::post(&subject.collection, &subject.example)).await;
        let created = created.unwrap_or_else(|status| panic!("{}: {}", subject.title(), status.message));
        (server, created.json())
    }

    /// What is served; it may change.
    pub(crate) fn registry(&self) -> &Registry {
        &self.engine.registry
    }

    /// Makes what lets pods find the server.
    pub(crate) async fn locate(&self, config: &service::Config, location: Location) {
        self.engine.bootstrap_kubernetes_service(config, location).await.unwrap();
    }

    /// Looks after that, as a server does that has a store to itself or not.
    pub(crate) async fn keep(&self, config: &service::Config, location: Location, alone: bool) {
        self.engine.keep_kubernetes_service(config, location, alone).await.unwrap();
    }

    /// Makes the Service of the cluster's DNS.
    pub(crate) async fn name(&self, config: &service::Config) {
        self.engine.bootstrap_cluster_dns(config).await.unwrap();
    }

    /// Makes what every cluster is born with besides.
    pub(crate) async fn bear(&self) {
        self.engine.bootstrap_born().await.unwrap();
    }

    async fn answer(&self, ask: Ask<'_>) -> Result<(u16, Payload), Status> {
        self.answer_and_say(ask).await.0
    }

    /// The answer to a request, what the client is warned of, and what is noted for the audit log.
    async fn answer_and_say(&self, ask: Ask<'_>) -> (Result<(u16, Payload), Status>, Vec<String>, Noted) {
        let query = Query::parse(ask.query);
        let watch = query.flag("watch") == Some(true);
        let target = Target::parse(&ask.method, ask.path, watch).expect("the path of a resource");
        let resources = self.engine.registry.resources();
        let resource = resources.find(&target.group, &target.version, &target.resource).expect("a served resource");
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ask.accept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(ask.media_type));
        let call = Call::new(&self.engine, &target, resource, &query, &headers).by(Some(&self.identity));
        let answer = dispatch(&call, &Body::new(&headers, ask.body.into())).await;
        let answer = answer.map(|answer| (answer.code.as_u16(), answer.payload));
        (answer, call.take_warnings(), call.take_annotations())
    }

    /// What is noted for the audit log of a request, whether it succeeds or not.
    pub(crate) async fn noted(&self, ask: Ask<'_>) -> Noted {
        self.answer_and_say(ask).await.2
    }

    /// The answer to a request that succeeds, as JSON, and what the client is warned of.
    pub(crate) async fn with_warnings(&self, ask: Ask<'_>) -> (Value, Vec<String>) {
        let (answer, warnings, _) = self.answer_and_say(ask).await;
        let (_, payload) = answer.unwrap_or_else(|status| panic!("{}", status.message));
        (Reply { code: 200, bytes: whole(payload) }.json(), warnings)
    }

    /// The answer to a request.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Reply, Status> {
        let (code, payload) = self.answer(ask).await?;
        Ok(Reply { code, bytes: whole(payload) })
    }

    /// The answer to a request that succeeds, as JSON.
    pub(crate) async fn json(&self, ask: Ask<'_>) -> Value {
        let what = format!("{} {}?{}", ask.method, ask.path, ask.query);
        self.ask(ask).await.unwrap_or_else(|status| panic!("{what}: {}", status.message)).json()
    }

    /// What a request that fails is told.
    pub(crate) async fn refusal(&self, ask: Ask<'_>) -> Status {
        let what = format!("{} {}?{}", ask.method, ask.path, ask.query);
        let answer = self.ask(ask).await;
        answer.map(|reply| panic!("{what} was answered with {reply:?}")).unwrap_err()
    }

    /// The frames of a watch.
    pub(crate) async fn watch(&self, path: &str, query: &str) -> BoxStream<'static, Bytes> {
        let query = format!("watch=1&{query}");
        match self.answer(Ask::get(path).query(&query)).await {
            Ok((200, Payload::Stream(frames))) => frames,
            Ok((code, _)) => panic!("{path}: {code}"),
            Err(status) => panic!("{path}: {}", status.message),
        }
    }

    /// What it keeps objects in.
    pub(crate) fn store(&self) -> &Store<Objects> {
        self.engine.store()
    }

    /// Lets go of the store.
    pub(crate) async fn close(&self) {
        self.engine.store().close().await;
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> Revision {
        self.engine.store().stats().revision
    }

    /// The example of `subject` as the store has it.
    pub(crate) async fn stored(&self, subject: &Subject) -> Stored<Entry> {
        let namespace = subject.example["metadata"]["namespace"].as_str().map(|name| format!("{name}/"));
        let (path, namespace) = (&subject.resource.storage.path, namespace.unwrap_or_default());
        let key = Key::new(&format!("{ROOT}{path}/{namespace}{}", subject.name)).unwrap();
        self.engine.store().get(&key, At::Latest).await.unwrap().expect("it is stored")
    }
}

fn whole(payload: Payload) -> Bytes {
    match payload {
        Payload::Whole(bytes) => bytes,
        Payload::Pieces(pieces) => pieces.concat().into(),
        Payload::Stream(_) => panic!("not a stream"),
    }
}
