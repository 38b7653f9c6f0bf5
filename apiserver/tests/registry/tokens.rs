//! The tokens of ServiceAccounts: issued, known again, and good for as long as what they are bound to.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{Ask, NOW, Server};

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/builder/token";
const PODS: &str = "/api/v1/namespaces/default/pods";
const POD: &str = "/api/v1/namespaces/default/pods/bench";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// With a ServiceAccount `builder`, its pod `bench` on a node that does not exist, and what others there are.
async fn server() -> Server {
    furnished(Server::with_tokens().await).await
}

/// With everything in it that tokens are bound to.
async fn furnished(server: Server) -> Server {
    let pod = |account: &str| {
        json!({"metadata": {"name": "bench"}, "spec": {"serviceAccountName": account, "nodeName": "dock",
            "containers": [{"name": "a", "image": "a"}]}})
    };
    for name in ["builder", "other"] {
        server.json(Ask::post(ACCOUNTS, &json!({"metadata": {"name": name}}))).await;
    }
    server.json(Ask::post(PODS, &pod("builder"))).await;
    let secret = json!({"metadata": {"name": "bench"}});
    server.json(Ask::post("/api/v1/namespaces/default/secrets", &secret)).await;
    server.json(Ask::post("/api/v1/nodes", &json!({"metadata": {"name": "bench"}}))).await;
    server
}

async fn issue(server: &Server, spec: Value) -> (String, Value, Value) {
    let answer = server.json(Ask::post(TOKEN, &json!({"spec": spec}))).await;
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    (token, serde_json::from_slice(&claims).unwrap(), answer)
}

async fn review(server: &Server, token: &str, audiences: &[&str]) -> Value {
    let review = json!({"spec": {"token": token, "audiences": audiences}});
    server.json(Ask::post(REVIEWS, &review)).await["status"].take()
}

#[tokio::test]
async fn a_token_says_whose_it_is() {
    let server = server().await;
    let account = server.json(Ask::get(&format!("{ACCOUNTS}/builder"))).await;
    let uid = &account["metadata"]["uid"];
    let (token, claims, answer) = issue(&server, json!({})).await;
    assert_eq!((&answer["kind"], &answer["apiVersion"]), (&json!("TokenRequest"), &json!("authentication.k8s.io/v1")));
    assert_eq!(answer["spec"], json!({"audiences": [ISSUER], "expirationSeconds": 3600}));
    assert_eq!((&answer["metadata"]["name"], &answer["metadata"]["uid"]), (&json!("builder"), uid));
    assert_eq!(answer["status"]["expirationTimestamp"], "2026-03-01T13:00:00Z");
    let expected = json!({
        "aud": [ISSUER], "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "iss": ISSUER, "jti": claims["jti"],
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "builder", "uid": uid}},
        "sub": "system:serviceaccount:default:builder",
    });
    assert_eq!(claims, expected);
    let status = review(&server, &token, &[]).await;
    let credential = format!("JTI={}", claims["jti"].as_str().unwrap());
    let user = json!({
        "username": "system:serviceaccount:default:builder", "uid": uid,
        "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": [credential]},
    });
    assert_eq!(status, json!({"authenticated": true, "audiences": [ISSUER], "user": user}));
}

#[tokio::test]
async fn a_token_is_for_its_audiences_and_its_time() {
    let server = server().await;
    let (token, ..) = issue(&server, json!({"audiences": ["vault", "b"], "expirationSeconds": 600})).await;
    assert_eq!(review(&server, &token, &["vault", "c"]).await["audiences"], json!(["vault"]));
    let refused = |why: &str| json!({"user": {}, "error": format!("[invalid bearer token, {why}]")});
    let why = format!("token audiences [\"vault\" \"b\"] is invalid for the target audiences [{ISSUER:?}]");
    assert_eq!(review(&server, &token, &[]).await, refused(&why));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    let forged = review(&server, &forged, &["b"]).await;
    assert!(forged["authenticated"].is_null(), "{forged}");
    assert_eq!(review(&server, "nothing", &[]).await, json!({"user": {}, "error": "invalid bearer token"}));

    let at = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs((NOW + seconds).cast_unsigned());
    let check = async |seconds: i64, expected: Option<&str>| {
        let found = server.authenticators().owner(&token, &["b".to_owned()], at(seconds)).await;
        assert_eq!(found.err().map(|why| why.to_string()).as_deref(), expected, "{seconds}");
    };
    check(-60, None).await;
    check(-61, Some("[invalid bearer token, service account token is not valid yet]")).await;
    check(660, None).await;
    check(661, Some("[invalid bearer token, service account token has expired]")).await;
}

#[tokio::test]
async fn a_bound_token_ends_with_its_object() {
    let server = server().await;
    let bound = |kind: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": "bench"}});
    let (of_pod, claims, _) = issue(&server, bound("Pod")).await;
    let pod = server.json(Ask::get(POD)).await["metadata"]["uid"].clone();
    assert_eq!(claims["kubernetes.io"]["pod"], json!({"name": "bench", "uid": pod}));
    assert_eq!(claims["kubernetes.io"]["node"], json!({"name": "dock"}));
    let extra = review(&server, &of_pod, &[]).await["user"]["extra"].take();
    assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["bench"]));
    assert_eq!(extra["authentication.kubernetes.io/pod-uid"], json!([pod]));
    assert_eq!(extra["authentication.kubernetes.io/node-name"], json!(["dock"]));

    let (of_secret, ..) = issue(&server, bound("Secret")).await;
    let (of_node, ..) = issue(&server, bound("Node")).await;
    let (plain, ..) = issue(&server, json!({})).await;
    let gone = "[invalid bearer token, service account token has been invalidated]";
    for (token, path) in
        [(&of_pod, POD), (&of_secret, "/api/v1/namespaces/default/secrets/bench"), (&of_node, "/api/v1/nodes/bench")]
    {
        assert_eq!(review(&server, token, &[]).await["authenticated"], true, "{path}");
        server.json(Ask::delete(path).query("gracePeriodSeconds=0")).await;
        assert_eq!(review(&server, token, &[]).await, json!({"user": {}, "error": gone}), "{path}");
    }
    let account = format!("{ACCOUNTS}/builder");
    server.json(Ask::delete(&account)).await;
    let error = review(&server, &plain, &[]).await["error"].take();
    assert_eq!(error, "[invalid bearer token, serviceaccounts \"builder\" not found]");
    server.json(Ask::post(ACCOUNTS, &json!({"metadata": {"name": "builder"}}))).await;
    let error = review(&server, &plain, &[]).await["error"].take();
    assert!(error.as_str().unwrap().starts_with("[invalid bearer token, service account UID ("), "{error}");
}

#[tokio::test]
async fn a_kubelets_token_warns_and_lasts() {
    let server = server().await;
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "bench"});
    let spec = json!({"expirationSeconds": 3607, "boundObjectRef": reference});
    let (_, claims, answer) = issue(&server, spec).await;
    assert_eq!(claims["exp"], NOW + 365 * 24 * 3600);
    assert_eq!(claims["kubernetes.io"]["warnafter"], NOW + 3607);
    assert_eq!(answer["status"]["expirationTimestamp"], "2026-03-01T13:00:07Z");
}

#[tokio::test]
async fn a_kubelets_token_ends_as_others_where_that_is_wanted() {
    let server = furnished(Server::with_tokens_that_last(false).await).await;
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "bench"});
    let (_, claims, answer) = issue(&server, json!({"expirationSeconds": 3607, "boundObjectRef": reference})).await;
    assert_eq!((&claims["exp"], &claims["kubernetes.io"]["warnafter"]), (&json!(NOW + 3607), &Value::Null));
    assert_eq!(answer["status"]["expirationTimestamp"], "2026-03-01T13:00:07Z");
}

#[tokio::test]
async fn requests_that_are_refused() {
    let server = server().await;
    let check = async |path: &str, body: Value, code: u16, message: &str| {
        let refusal = server.refusal(Ask::post(path, &body)).await;
        assert_eq!((refusal.code, refusal.message.as_str()), (code, message));
    };
    let bound = |kind: &str, version: &str, name: &str| json!({"spec": {"boundObjectRef": {"apiVersion": version, "kind": kind, "name": name}}});
    check(
        TOKEN,
        json!({"spec": {"expirationSeconds": 60}}),
        422,
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify \
         a duration less than 10 minutes",
    )
    .await;
    check(&TOKEN.replace("builder", "nobody"), json!({}), 404, "serviceaccounts \"nobody\" not found").await;
    check(TOKEN, bound("Pod", "v1", "none"), 404, "pods \"none\" not found").await;
    check(TOKEN, bound("Node", "v1", "none"), 404, "nodes \"none\" not found").await;
    check(TOKEN, bound("Secret", "v1", "none"), 404, "secrets \"none\" not found").await;
    check(
        &TOKEN.replace("builder", "other"),
        bound("Pod", "v1", "bench"),
        400,
        "cannot bind token for serviceaccount \"other\" to pod running with different serviceaccount name.",
    )
    .await;
    check(
        TOKEN,
        bound("Deployment", "apps/v1", "d"),
        400,
        "cannot bind token to object of type apps/v1, Kind=Deployment",
    )
    .await;
    let mut other = bound("Pod", "v1", "bench");
    other["spec"]["boundObjectRef"]["uid"] = json!("u");
    check(
        TOKEN,
        other,
        409,
        "Operation cannot be fulfilled on Pod \"bench\": the UID in the bound object reference (u) does not match the UID \
         in record. The object might have been deleted and then recreated",
    )
    .await;
    check(
        TOKEN,
        json!({"metadata": {"name": "other"}}),
        422,
        "TokenRequest.authentication.k8s.io \"builder\" is invalid: metadata.name: Invalid value: \"other\": must match \
         the service account name if specified",
    )
    .await;
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_of_or_ignored() {
    let server = server().await;
    let body = json!({"spec": {"audience": "vault"}});
    let unknown = "unknown field \"spec.audience\"";
    let refusal = server.refusal(Ask::post(TOKEN, &body).query("fieldValidation=Strict")).await;
    let handled = "TokenRequest in version \"v1\" cannot be handled as a TokenRequest";
    assert_eq!((refusal.code, refusal.message), (400, format!("{handled}: strict decoding error: {unknown}")));
    let warnings = async |query| server.with_warnings(Ask::post(TOKEN, &body).query(query)).await.1;
    assert_eq!(warnings("").await, [unknown]);
    assert_eq!(warnings("fieldValidation=Ignore").await, [] as [&str; 0]);
    let binding = json!({"metadata": {"name": "bench"}, "target": {"name": "dock", "knd": "Node"}});
    let path = format!("{POD}/binding");
    let refusal = server.refusal(Ask::post(&path, &binding).query("fieldValidation=Strict")).await;
    assert!(refusal.message.ends_with("strict decoding error: unknown field \"target.knd\""), "{}", refusal.message);
}
