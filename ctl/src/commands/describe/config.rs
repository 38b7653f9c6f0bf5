//! What pods are configured with: ConfigMaps, Secrets and ServiceAccounts.

use serde_json::Value;

use super::Subject;
use super::page::{Page, list, shown};

/// A ConfigMap. Its keys are told in their order, which kubectl does not have.
pub(super) fn config_map(page: &mut Page, subject: &Subject) {
    let map = &subject.object;
    page.head(map);
    page.notes(map);
    page.put("\nData\n====\n");
    for (key, value) in sorted(&map["data"]) {
        page.put(&format!("{key}:\n----\n{}\n\n", shown(value)));
    }
    page.put("\nBinaryData\n====\n");
    for (key, value) in sorted(&map["binaryData"]) {
        page.put(&format!("{key}: {} bytes\n", length(value)));
    }
    page.put("\n");
    page.events(subject.events.as_deref());
}

/// A Secret, of which only the sizes are told; of a token for a ServiceAccount the token.
pub(super) fn secret(page: &mut Page, subject: &Subject) {
    let secret = &subject.object;
    page.head(secret);
    page.notes(secret);
    page.put(&format!("\nType:\t{}\n", shown(&secret["type"])));
    page.put("\nData\n====\n");
    let is_token = secret["type"] == "kubernetes.io/service-account-token";
    for (key, value) in sorted(&secret["data"]) {
        let bytes = decoded(value);
        if is_token && key == "token" {
            page.field(0, key, &String::from_utf8_lossy(&bytes));
        } else {
            page.field(0, key, &format!("{} bytes", bytes.len()));
        }
    }
}

/// A ServiceAccount.
pub(super) fn service_account(page: &mut Page, subject: &Subject) {
    let account = &subject.object;
    page.head(account);
    page.notes(account);
    let pull: Vec<String> = list(&account["imagePullSecrets"]).iter().map(|secret| shown(&secret["name"])).collect();
    page.many("Image pull secrets", &pull);
    page.events(subject.events.as_deref());
}

fn sorted(map: &Value) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.as_object().into_iter().flatten().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

fn length(value: &Value) -> usize {
    decoded(value).len()
}

/// The bytes that JSON has in base64.
fn decoded(value: &Value) -> Vec<u8> {
    serde_json::from_value::<k8s_openapi::ByteString>(value.clone()).map(|bytes| bytes.0).unwrap_or_default()
}
