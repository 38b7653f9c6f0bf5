//! What the node takes by what it is told and by what its runtime says.

use serde_json::{Value, json};

use super::stage::{Setup, Stage};

/// What becomes of a pod with this security context.
async fn becomes(setup: Setup, context: Value) -> (String, String) {
    let stage = Stage::with(setup).await;
    let containers = json!([{"name": "c", "image": "example.org/c:1"}]);
    stage.bind("p", json!({"containers": containers, "securityContext": context}));
    stage.until("p", |pod| pod["status"]["phase"] != "Pending").await;
    let status = stage.pod("p")["status"].clone();
    stage.end().await;
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    (text("phase"), format!("{}: {}", text("reason"), text("message")))
}

#[tokio::test(start_paused = true)]
async fn unsafe_sysctls_are_for_the_owner_to_allow() {
    let context = || json!({"sysctls": [{"name": "kernel/msgmax", "value": "1"}]});
    let message = "SysctlForbidden: Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted";
    assert_eq!(becomes(Setup::default(), context()).await, ("Failed".to_owned(), message.to_owned()));
    let setup = Setup { unsafe_sysctls: vec!["kernel.msg*".to_owned()], ..Setup::default() };
    assert_eq!(becomes(setup, context()).await.0, "Running");
}

#[tokio::test(start_paused = true)]
async fn strict_groups_are_for_the_runtime_to_heed() {
    let context = || json!({"supplementalGroupsPolicy": "Strict"});
    let (phase, why) = becomes(Setup::default(), context()).await;
    assert_eq!(phase, "Failed");
    assert!(why.starts_with("SupplementalGroupsPolicyNotSupported: "), "{why}");
    let setup = Setup { strict_groups: true, ..Setup::default() };
    assert_eq!(becomes(setup, context()).await.0, "Running");
}
