//! Requests that try to be somebody else's, or about something else than they seem to be, through everything that a request
//! passes.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use store::MemoryBackend;

use super::*;
use crate::admission::Admission;
use crate::authn::{DEFAULT_ISSUER, Issuer, MASTERS};
use crate::core::{Core, Parts};
use crate::engine::{Location, Surroundings};
use crate::resources::Config;

struct Machine;

impl Surroundings for Machine {
    fn now(&self) -> k8s_openapi::jiff::Timestamp {
        k8s_openapi::jiff::Timestamp::now()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

/// A whole server. `ann` and the ServiceAccount `robot` may do everything in the namespace `a`, and nothing elsewhere; there is
/// a secret `mine` in `a`, and a secret `other` in `b` that no answer may hold.
struct Whole {
    core: Core,
    running: Running,
    authority: Authority,
    /// How far its clock is ahead, in seconds.
    ahead: Arc<AtomicU64>,
    /// What signs the tokens of ServiceAccounts.
    key: Vec<u8>,
    _directory: tempfile::TempDir,
}

/// What stands in the secret `other`, as the API shows it.
const HIDDEN: &str = "aGlkZGVu";

const SECRETS: &str = "/api/v1/namespaces/a/secrets";

fn new_key() -> Vec<u8> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap().as_ref().to_vec()
}

async fn whole() -> Whole {
    let directory = tempfile::tempdir().unwrap();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let names = serving_names(listener.address(), "", &[]);
    let authority = Authority::open(directory.path(), &names, system_clock(), system_random()).unwrap();
    let clients = ClientCertificates::new(authority.roots().unwrap()).unwrap();
    let tls = server_config(authority.serving(), &clients).unwrap();
    let (ahead, key) = (Arc::new(AtomicU64::new(0)), new_key());
    let behind = Arc::clone(&ahead);
    let core = Core::open(Parts {
        backend: Arc::new(MemoryBackend::new()),
        encryption: crate::encryption::Encryption::default(),
        alone: true,
        config: Config::default(),
        location: Location { ip: None, port: 6443 },
        address: listener.address(),
        tokens: Some(TokenFile::parse("of-ann,ann,1\n").unwrap()),
        oidc: None,
        issuer: Some(Issuer::new(DEFAULT_ISSUER, &key).unwrap()),
        proxy: crate::proxy::Options::default(),
        admission: Admission::default(),
        limits: Limits::default(),
        surroundings: Arc::new(Machine),
        audit: None,
        clock: Arc::new(move || SystemTime::now() + Duration::from_secs(behind.load(Ordering::Relaxed))),
        random: system_random(),
    });
    let core = core.await.unwrap();
    let running = listener.start(tls, clients, Arc::clone(core.pipeline()), core.stopping().clone());
    let server = Whole { core, running, authority, ahead, key, _directory: directory };
    for namespace in ["a", "b"] {
        server.make("/api/v1/namespaces", json!({"metadata": {"name": namespace}})).await;
    }
    let secret = |name: &str, data: &str| json!({"metadata": {"name": name}, "data": {"x": data}});
    server.make(SECRETS, secret("mine", "bWluZQ==")).await;
    server.make("/api/v1/namespaces/b/secrets", secret("other", HIDDEN)).await;
    server.make("/api/v1/nodes", json!({"metadata": {"name": "n"}})).await;
    for account in ["default", "robot"] {
        server.make("/api/v1/namespaces/a/serviceaccounts", json!({"metadata": {"name": account}})).await;
    }
    let pod = json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": "robot", "containers": [{"name": "c", "image": "i"}]}});
    server.make("/api/v1/namespaces/a/pods", pod).await;
    let binding = json!({
        "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "robot", "namespace": "a"}],
    });
    server.make("/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings", binding).await;
    // Roles follow the store by a watch.
    while server.send("GET", &format!("{SECRETS}/mine"), &[("authorization", "Bearer of-ann")]).await.0 != 200 {
        tokio::task::yield_now().await;
    }
    server
}

impl Whole {
    /// Asks as the administrator.
    async fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let identity = Identity { user: "admin".to_owned(), groups: vec![MASTERS.to_owned()], ..Identity::default() };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let answer = tower_service::Service::call(&mut self.core.local(identity), request).await.unwrap();
        let code = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(code.is_success(), "{method} {path}: {}", text(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn make(&self, path: &str, object: Value) -> Value {
        self.admin("POST", path, &object).await
    }

    /// Sends the bytes of a request as they are, over HTTP/1.1, and returns the code and the whole answer.
    async fn raw(&self, head: &[u8], body: &str, pair: Option<&PemPair>) -> (u16, String) {
        let roots = self.authority.roots().unwrap();
        let mut stream = connect_tls(self.running.address(), roots, Http::One, pair).await;
        stream.write_all(head).await.unwrap();
        let end = format!("host: k\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(end.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Whoever is refused early may find the connection closed without a goodbye.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.unwrap_or_else(|| panic!("{answer:?}")), answer)
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(head.as_bytes(), "", None).await
    }

    /// Who the server says that one is.
    async fn whoami(&self, headers: &[(&str, &str)], pair: Option<&PemPair>) -> (u16, String) {
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let mut head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let (code, answer) = self.raw(head.as_bytes(), "{}", pair).await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let review: Value = serde_json::from_str(body).unwrap_or_default();
        let told = match code {
            201 => review["status"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned(),
            _ => review["message"].as_str().unwrap_or_default().to_owned(),
        };
        (code, told)
    }

    async fn token(&self, spec: Value) -> String {
        let path = "/api/v1/namespaces/a/serviceaccounts/robot/token";
        self.make(path, json!({"spec": spec})).await["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Whether a token is taken for `robot`'s.
    async fn is_good(&self, token: &str) -> bool {
        match self.whoami(&[("authorization", &format!("Bearer {token}"))], None).await {
            (201, user) => {
                assert_eq!(user, "system:serviceaccount:a:robot");
                true
            }
            (code, _) => {
                assert_eq!(code, 401);
                false
            }
        }
    }
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with this header and these claims, signed with a key on P-256.
fn signed(header: &Value, claims: &Value, key: &[u8]) -> String {
    let what = format!("{}.{}", encoded(header), encoded(claims));
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key).unwrap();
    let signature = key.sign(&SystemRandom::new(), what.as_bytes()).unwrap();
    format!("{what}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn forged_tokens_are_nobodys() {
    let server = whole().await;
    let token = server.token(json!({})).await;
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims, signature) = (decoded(parts[0]), decoded(parts[1]), parts[2]);
    assert!(server.is_good(&token).await);
    assert!(server.is_good(&signed(&header, &claims, &server.key)).await, "what is signed here is as good");

    let with = |value: &Value, key: &str, new: Value| {
        let mut changed = value.clone();
        changed[key] = new;
        changed
    };
    let theirs = new_key();
    let public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &theirs).unwrap();
    let (x, y) = public.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
    let none = |alg: &str| encoded(&with(&header, "alg", json!(alg)));
    let of_masters = with(&claims, "sub", json!("kubernetes-admin"));
    let ours = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &server.key).unwrap();
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, ours.public_key().as_ref());
    let hmac_signed = format!("{}.{}", none("HS256"), parts[1]);
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&hmac_key, hmac_signed.as_bytes()));
    let past = json!(1_000_000_000);
    let forged = [
        ("claims of another", format!("{}.{}.{signature}", parts[0], encoded(&of_masters))),
        ("no algorithm", format!("{}.{}.", none("none"), parts[1])),
        ("no algorithm, in capitals", format!("{}.{}.", none("NONE"), parts[1])),
        ("no algorithm, and a signature", format!("{}.{}.{signature}", none("none"), parts[1])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("no third part", format!("{}.{}", parts[0], parts[1])),
        ("a fourth part", format!("{token}.x")),
        ("the public key as a secret", format!("{hmac_signed}.{tag}")),
        ("another key", signed(&header, &claims, &theirs)),
        ("another key that the token brings", signed(&with(&header, "jwk", jwk), &claims, &theirs)),
        ("another key at a URL", signed(&with(&header, "jku", json!("https://x/keys")), &claims, &theirs)),
        ("another key by its name", signed(&with(&header, "kid", json!("../../../dev/null")), &claims, &theirs)),
        ("no name of a key", signed(&with(&header, "kid", json!("' or 1=1 --")), &claims, &theirs)),
        ("an empty key", format!("{}.{}.{}", none("ES256"), parts[1], URL_SAFE_NO_PAD.encode([0; 64]))),
        ("another issuer", signed(&header, &with(&claims, "iss", json!("https://x")), &server.key)),
        ("another audience", signed(&header, &with(&claims, "aud", json!(["them"])), &server.key)),
        ("over", signed(&header, &with(&claims, "exp", past.clone()), &server.key)),
        ("not yet", signed(&header, &with(&claims, "nbf", json!(i64::MAX / 2)), &server.key)),
        ("another user's name for itself", server.token(json!({"audiences": ["them"]})).await),
    ];
    for (what, forged) in &forged {
        assert!(!server.is_good(forged).await, "{what}");
    }
    // The subject is what the cluster's own claims say, not what the standard one does.
    let subject = signed(&header, &of_masters, &server.key);
    let (_, user) = server.whoami(&[("authorization", &format!("Bearer {subject}"))], None).await;
    assert_ne!(user, "kubernetes-admin");
}

#[tokio::test]
async fn tokens_end_with_their_time_and_with_what_they_are_bound_to() {
    let server = whole().await;
    let bound = json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}});
    let (of_pod, plain) = (server.token(bound).await, server.token(json!({"expirationSeconds": 600})).await);
    assert!(server.is_good(&of_pod).await && server.is_good(&plain).await);
    server.ahead.store(700, Ordering::Relaxed);
    assert!(server.is_good(&of_pod).await && !server.is_good(&plain).await, "its ten minutes are over");
    server.ahead.store(0, Ordering::Relaxed);
    server.admin("DELETE", "/api/v1/namespaces/a/pods/p?gracePeriodSeconds=0", &json!({})).await;
    assert!(!server.is_good(&of_pod).await && server.is_good(&plain).await);
    server.admin("DELETE", "/api/v1/namespaces/a/serviceaccounts/robot", &json!({})).await;
    assert!(!server.is_good(&plain).await);
    server.make("/api/v1/namespaces/a/serviceaccounts", json!({"metadata": {"name": "robot"}})).await;
    assert!(!server.is_good(&plain).await, "another of the same name is another");
}

#[tokio::test]
async fn nobody_becomes_another_by_a_header() {
    let server = whole().await;
    let check = async |headers: &[(&str, &str)], expected: (u16, &str)| {
        let headers = [&[("authorization", "Bearer of-ann")], headers].concat();
        let (code, told) = server.whoami(&headers, None).await;
        assert_eq!((code, &told[..expected.1.len().min(told.len())]), expected, "{headers:?}: {told}");
    };
    let robot = "system:serviceaccount:a:robot";
    let no_user = "users \"kubernetes-admin\" is forbidden: User \"ann\" cannot impersonate";
    check(&[], (201, "ann")).await;
    check(&[("IMPERSONATE-USER", "kubernetes-admin")], (403, no_user)).await;
    check(&[("iMpErSoNaTe-UsEr", "kubernetes-admin")], (403, no_user)).await;
    // In its own namespace `ann` may act as everybody, and as nobody more.
    check(&[("Impersonate-User", robot)], (201, robot)).await;
    check(&[("Impersonate-User", "system:serviceaccount:b:default")], (403, "serviceaccounts \"default\"")).await;
    check(&[("Impersonate-User", robot), ("impersonate-user", "kubernetes-admin")], (201, robot)).await;
    check(&[("impersonate-user", "kubernetes-admin"), ("Impersonate-User", robot)], (403, no_user)).await;
    let masters = "groups \"system:masters\" is forbidden: User \"ann\" cannot impersonate";
    check(&[("Impersonate-User", robot), ("IMPERSONATE-GROUP", "system:masters")], (403, masters)).await;
    let two = [("Impersonate-User", robot), ("Impersonate-Group", "x"), ("impersonate-group", "system:masters")];
    check(&two, (403, "groups \"x\"")).await;
    check(&[("Impersonate-Group", "system:masters")], (500, "Internal error occurred: requested impersonation")).await;
    check(&[("Impersonate-Uid", "1")], (500, "Internal error occurred: requested impersonation")).await;
    check(&[("Impersonate-Extra-Scopes", "all")], (500, "Internal error occurred: requested impersonation")).await;
    check(&[("Impersonate-User", robot), ("Impersonate-Nothing", "x")], (500, "Internal error occurred")).await;
    // Other headers are of no account, however they are written.
    for header in ["Impersonate_User", "X-Impersonate-User", "X-Remote-User", "x-remote-user", "X_Remote_User"] {
        check(&[(header, "kubernetes-admin"), ("X-Remote-Group", "system:masters")], (201, "ann")).await;
    }
    check(&[("X-Remote-Extra-Scopes", "all"), ("X-Forwarded-User", "kubernetes-admin")], (201, "ann")).await;
    check(&[("authorization", "Bearer of-nobody")], (201, "ann")).await;

    let check = async |headers: &[(&str, &str)], pair: Option<&PemPair>, code: u16| {
        assert_eq!(server.whoami(headers, pair).await.0, code, "{headers:?}");
    };
    check(&[("authorization", "Bearer of-nobody"), ("authorization", "Bearer of-ann")], None, 401).await;
    check(&[("x-remote-user", "ann"), ("x-remote-group", "system:masters")], None, 401).await;
    check(&[("impersonate-user", "ann")], None, 401).await;
    for nobody in
        ["Basic YW5uOm9mLWFubg==", "Bearer", "Bearer of-ann\u{0}", "Bearer OF-ANN", "of-ann", "Bearer, of-ann"]
    {
        let (code, _) = server.whoami(&[("authorization", nobody)], None).await;
        assert!(matches!(code, 400 | 401), "{nobody:?}: {code}");
    }
    // An authority of the same name with another key.
    let elsewhere = start(Limits::default()).await;
    let stranger = elsewhere.authority.admin();
    check(&[], Some(stranger), 401).await;
    check(&[("x-remote-user", "kubernetes-admin")], Some(stranger), 401).await;
    assert_eq!(server.whoami(&[("authorization", "Bearer of-ann")], Some(stranger)).await, (201, "ann".to_owned()));
}

/// Paths as `ann` asks for them, and the code of the answer.
const PATHS: &[(u16, &str)] = &[
    (200, "/api/v1/namespaces/a/secrets/mine"),
    (200, "/api/v1/namespaces/a/secrets"),
    (200, "/api/%76%31/namespaces/a/secrets/mine"),
    (200, "/api/v1/namespaces/a/secrets/mine/"),
    (200, "//api//v1///namespaces//a//secrets//mine"),
    (200, "/api/v1/namespaces/a/secrets?fieldSelector=metadata.namespace%3Db"),
    (403, "/api/v1/namespaces/b/secrets/other"),
    (403, "/api/v1/namespaces/b/secrets/other/"),
    (403, "//api/v1/namespaces/b/secrets/other"),
    (403, "/api/v1//namespaces/b//secrets//other"),
    (403, "/%61pi/v1/namespaces/%62/secrets/other"),
    (403, "/api/v1/namespaces/b/%73ecrets/other"),
    (403, "/api/v1/namespaces/b/status"),
    (403, "/api/v1/namespaces/b"),
    (403, "/api/v1/namespaces"),
    (403, "/api/v1/secrets"),
    (403, "/api/v1/secrets?namespace=a"),
    (403, "/api/v1/secrets/other"),
    (403, "/api/v1/secrets/b%2Fother"),
    (403, "/api/v1/namespaces//secrets"),
    (403, "/api/v1/namespaces/%20/secrets"),
    (403, "/api/v1/watch/secrets"),
    (403, "/api/v1/watch/namespaces/b/secrets/other"),
    (403, "/api/v1/secrets?watch=0&watch=1"),
    (403, "/api/v1/nodes/n"),
    (404, "/api/v1/namespaces/a/nodes/n"),
    (404, "/api/v1/namespaces/a/nodes"),
    (404, "/api/v1/namespaces/a/nodes/n/proxy/metrics"),
    (404, "/api/v1/namespaces/a/persistentvolumes"),
    (404, "/apis/rbac.authorization.k8s.io/v1/namespaces/a/clusterroles"),
    // A Namespace is in no other, whatever one may do there.
    (404, "/api/v1/namespaces/a/namespaces/b"),
    (404, "/api/v1/namespaces/a/namespaces/b/status"),
    (404, "/api/v1/namespaces/a/namespaces"),
    (404, "/api/v1/watch/namespaces/a/namespaces"),
    (404, "/api/v1/namespaces/a/../b/secrets/other"),
    (404, "/api/v1/namespaces/a/%2e%2e/b/secrets/other"),
    (404, "/api/v1/namespaces/a/%2E%2E/b/secrets/other"),
    (404, "/api/v1/namespaces/a/%252e%252e/b/secrets/other"),
    (404, "/api/v1/namespaces/a/./secrets/mine"),
    (404, "/api/v1/namespaces/a/secrets/../../b/secrets/other"),
    (404, "/api/v1/namespaces/a/secrets/..%2F..%2Fb%2Fsecrets%2Fother"),
    (404, "/api/v1/namespaces/a/secrets/..%2Fb%2Fother"),
    (404, "/api/v1/namespaces/a/secrets/%2Fother"),
    (404, "/api/v1/namespaces/a/secrets%2F..%2F..%2Fb%2Fsecrets/other"),
    (404, "/api/v1/namespaces/a/secrets/mine%00"),
    (404, "/api/v1/namespaces/a/secrets/mine%2500"),
    (404, "/api/v1/namespaces/a/secrets/mine%FF"),
    (404, "/api/v1/namespaces/a/secrets/mine%"),
    (404, "/api/v1/namespaces/a/secrets/mine;x"),
    (404, "/api/v1/namespaces/a/secrets/MINE"),
    (404, "/api/v1/namespaces/a/Secrets/mine"),
    (404, "/api/V1/namespaces/a/secrets/mine"),
    (404, "/api/v1/namespaces/a/secrets/mine/log"),
    (404, "/api/v1/namespaces/a/pods/p/status/x"),
    (404, "/api/v1/namespaces/a/pods/p/status%2Fx"),
    (403, "/api/v1/namespaces/a%2F..%2Fb/secrets/other"),
    (403, "/api/v1/namespaces/a%252F..%252Fb/secrets/other"),
    (403, "/api/v1/namespaces/a%00/secrets/mine"),
    (403, "/api/v1/namespaces/b%00/secrets/other"),
    (403, "/api/v1/namespaces/A/secrets/mine"),
    (403, "/api/v1/Namespaces/b/secrets/other"),
    (403, "/api/v1/%6eamespaces/b/secrets/other"),
    (403, "/API/v1/namespaces/b/secrets/other"),
    (403, "/Api/v1/namespaces/a/secrets/mine"),
    // This begins with `/api/`, which whoever is known may ask for, and is no path that is served.
    (404, "/api%2Fv1/namespaces/a/secrets/mine"),
    (403, "/./api/v1/namespaces/b/secrets/other"),
    (403, "/x/../api/v1/namespaces/b/secrets/other"),
    (403, "https://kubernetes/api/v1/namespaces/b/secrets/other"),
    (403, "/metrics"),
    (403, "//metrics"),
    (403, "/metrics/"),
    (403, "/%6detrics"),
    (403, "/./metrics"),
    (403, "/healthz/../metrics"),
    (403, "/version/../metrics"),
    (403, "/api/../metrics"),
    (403, "/METRICS"),
    (403, "/metrics%00"),
    (403, "/metrics?/api"),
    // Whoever is known may ask for everything under `/apis/`, and nothing else is found there.
    (404, "/apis/../metrics"),
    (404, "/apis/%2e%2e/metrics"),
    (404, "/apis/..%2Fmetrics"),
    (404, "/openapi/../metrics"),
    (200, "/healthz"),
    (403, "/healthz/"),
    (403, "/healthz/ping"),
    (403, "/HEALTHZ"),
    (403, "/"),
    (403, "/.."),
];

#[tokio::test]
async fn what_is_authorized_is_what_is_served() {
    let server = whole().await;
    let mut wrong = Vec::new();
    for (code, path) in PATHS {
        let (found, answer) = server.send("GET", path, &[("authorization", "Bearer of-ann")]).await;
        if found != *code {
            wrong.push(format!("{path}: {found}, not {code}: {}", answer.lines().last().unwrap_or_default()));
        }
        assert!(!answer.contains(HIDDEN) && !answer.contains("apiserver_request_total"), "{path}: {answer}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn methods_mean_what_they_say() {
    let server = whole().await;
    let other = "/api/v1/namespaces/b/secrets/other";
    let check = async |method: &str, path: &str, headers: &[(&str, &str)], codes: &[u16]| {
        let headers = [&[("authorization", "Bearer of-ann")], headers].concat();
        let (code, answer) = server.send(method, path, &headers).await;
        assert!(codes.contains(&code), "{method} {path} {headers:?}: {answer}");
        assert!(!answer.contains(HIDDEN), "{method} {path}: {answer}");
    };
    for method in ["HEAD", "PUT", "PATCH", "DELETE", "POST", "OPTIONS"] {
        check(method, other, &[], &[403]).await;
        check(method, "/api/v1/namespaces/a/namespaces/b", &[], &[404, 405]).await;
        check(method, "/api/v1/namespaces/a/namespaces", &[], &[404, 405]).await;
    }
    // These are no methods that the API has: they are for the path alone, and nothing answers them.
    for method in ["get", "GeT", "delete", "PROPFIND", "CONNECT", "TRACE"] {
        check(method, other, &[], &[400, 403, 404, 405]).await;
    }
    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        check("POST", other, &[(header, "GET")], &[403]).await;
    }
    for header in ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Uri"] {
        check("GET", "/healthz", &[(header, other)], &[200]).await;
    }
    server.admin("GET", "/api/v1/namespaces/b", &Value::Null).await;
    let kept = server.admin("GET", other, &Value::Null).await;
    assert_eq!(kept["data"]["x"], HIDDEN, "nobody removed it");
    // What cannot be part of a request line is no request.
    for head in [&b"GET /api/v1/\0 HTTP/1.1\r\n"[..], b"GET /api v1/x HTTP/1.1\r\n", b"GET  HTTP/1.1\r\n"] {
        assert_eq!(server.raw(head, "", None).await.0, 400, "{head:?}");
    }
}
