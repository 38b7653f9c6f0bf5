//! Tokens by which machines join: how they are made, listed and revoked, and whom the server takes for their holders meanwhile.

use k8s_openapi::api::authentication::v1::TokenReview;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tests::in_process::Server;

use crate::User;

const TOKEN: &str = "abcdef.0123456789abcdef";

/// Who a token makes one, as the server says.
async fn holder(client: &Client, token: &str) -> Option<(String, Vec<String>)> {
    let review = TokenReview {
        spec: serde_json::from_value(json!({"token": token})).expect("a review"),
        ..TokenReview::default()
    };
    let answer =
        Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await.expect("an answer");
    let status = answer.status.expect("a status");
    assert_eq!(status.authenticated.unwrap_or_default(), status.error.is_none(), "{status:?}");
    let user = status.user.filter(|_| status.authenticated == Some(true))?;
    Some((user.username?, user.groups?))
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let server = Server::start().await;
    let user = User::of(&server);
    let check = async |line: &str, expected: &str| {
        assert_eq!(user.run(line, "").await, expected, "{line}");
    };
    let header =
        "TOKEN                     TTL         EXPIRES   USAGES                   DESCRIPTION   EXTRA GROUPS\n";
    check("token list", "TOKEN     TTL       EXPIRES   USAGES    DESCRIPTION   EXTRA GROUPS\n").await;
    check(&format!("token create {TOKEN} --ttl 0 --description mine"), &format!("{TOKEN}\n")).await;
    let line = format!(
        "{TOKEN}   <forever>   <never>   authentication,signing   mine          \
         system:bootstrappers:kubeadm:default-node-token\n"
    );
    check("token list", &format!("{header}{line}")).await;
    check(
        &format!("token create {TOKEN}"),
        "error: TOKEN: there is a token abcdef already: choose another one, or `gantry token delete abcdef` first\n\
         [exit code 1]\n",
    )
    .await;
    let json: Value = serde_json::from_str(&user.run("token list -o json", "").await).unwrap();
    assert_eq!((&json["kind"], &json["token"]), (&json!("BootstrapToken"), &json!(TOKEN)));
    check("token delete abcdef", "bootstrap token \"abcdef\" deleted\n").await;
    check(
        "token revoke abcdef",
        "error: there is no token abcdef: `gantry token list` shows those there are\n[exit code 1]\n",
    )
    .await;
    let generated = user.run("token generate", "").await;
    assert!(generated.trim_end().parse::<api::bootstrap_token::Token>().is_ok(), "{generated}");
    check("token list", "TOKEN     TTL       EXPIRES   USAGES    DESCRIPTION   EXTRA GROUPS\n").await;
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_as_good_as_its_secret_is_now() {
    let server = Server::start().await;
    let user = User::of(&server);
    let client = Client::new(server.local("admin", &["system:masters"]), "default");
    let secrets = |namespace: &str| Api::<Secret>::namespaced(client.clone(), namespace);
    let name = "bootstrap-token-abcdef";
    let patch = async |body: Value| {
        secrets("kube-system").patch(name, &PatchParams::default(), &Patch::Merge(body)).await.unwrap();
    };
    assert_eq!(holder(&client, TOKEN).await, None);
    user.run(&format!("token create {TOKEN}"), "").await;
    let (known_as, groups) = holder(&client, TOKEN).await.unwrap();
    assert_eq!(known_as, "system:bootstrap:abcdef");
    let expected = ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"];
    assert_eq!(groups, expected);
    for wrong in ["abcdef.0123456789abcdeg", "abcdeg.0123456789abcdef", "abcdef", "abcdef.", "../abc.0123456789abcdef"]
    {
        assert_eq!(holder(&client, wrong).await, None, "{wrong}");
    }
    patch(json!({"stringData": {"expiration": "2020-01-01T00:00:00Z"}})).await;
    assert_eq!(holder(&client, TOKEN).await, None);
    patch(json!({"data": {"expiration": null}})).await;
    assert!(holder(&client, TOKEN).await.is_some());
    patch(json!({"stringData": {"auth-extra-groups": "system:masters"}})).await;
    assert_eq!(holder(&client, TOKEN).await, None);
    patch(json!({"stringData": {"auth-extra-groups": ""}})).await;
    assert!(holder(&client, TOKEN).await.is_some());
    user.run("token delete abcdef", "").await;
    assert_eq!(holder(&client, TOKEN).await, None);
    // A Secret of the same words, where anybody who may make Secrets could have made it, or of another type.
    let mut secret = json!({
        "metadata": {"name": name}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
        },
    });
    let make = async |namespace: &str, secret: &Value| {
        let secret = serde_json::from_value(secret.clone()).unwrap();
        secrets(namespace).create(&PostParams::default(), &secret).await.unwrap();
    };
    make("default", &secret).await;
    assert_eq!(holder(&client, TOKEN).await, None);
    secret["type"] = json!("Opaque");
    make("kube-system", &secret).await;
    assert_eq!(holder(&client, TOKEN).await, None);
    server.stop().await;
}
