//! ServiceAccounts: the identities of pods.

use api::field::ErrorList;
use k8s_openapi::api::core::v1::{ObjectReference, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy};

const ENFORCE_MOUNTABLE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

pub(crate) struct ServiceAccounts;

impl Strategy for ServiceAccounts {
    type Object = ServiceAccount;

    fn names(&self) -> Names {
        Names::of::<ServiceAccount>("serviceaccount", true).short(&["sa"])
    }

    fn prepare_create(&self, object: &mut ServiceAccount, _: Context<'_>) {
        keep_names_of_secrets(object);
    }

    fn prepare_update(&self, new: &mut ServiceAccount, _: &ServiceAccount, _: Context<'_>) {
        keep_names_of_secrets(new);
    }

    fn validate(&self, _: &ServiceAccount) -> ErrorList {
        // There are rules for the metadata only.
        ErrorList::new()
    }

    fn validate_update(&self, _: &ServiceAccount, _: &ServiceAccount) -> ErrorList {
        ErrorList::new()
    }

    fn warnings(&self, new: &ServiceAccount, old: Option<&ServiceAccount>) -> Vec<String> {
        if !has_annotation(new) || old.is_some_and(has_annotation) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{ENFORCE_MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to \
             isolate access to mounted secrets"
        )]
    }

    fn columns(&self) -> &'static [Column] {
        const SECRETS: Column = Column::new(
            "Secrets",
            "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount are \
             allowed to use. Pods are only limited to this list if this service account has a \
             \"kubernetes.io/enforce-mountable-secrets\" annotation set to \"true\". The \
             \"kubernetes.io/enforce-mountable-secrets\" annotation is deprecated since v1.32. Prefer separate namespaces \
             to isolate access to mounted secrets. This field should not be used to find auto-generated service account \
             token secrets for use outside of pods. Instead, tokens can be requested directly using the TokenRequest \
             API, or service account token secrets can be manually created. More info: \
             https://kubernetes.io/docs/concepts/configuration/secret",
        );
        const { &[NAME_COLUMN, SECRETS, AGE_COLUMN] }
    }

    fn row(&self, object: &ServiceAccount, now: Timestamp) -> Vec<Value> {
        let secrets = object.secrets.as_ref().map_or(0, Vec::len);
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), secrets.into(), age.into()]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

fn keep_names_of_secrets(object: &mut ServiceAccount) {
    for secret in object.secrets.iter_mut().flatten() {
        *secret = ObjectReference { name: secret.name.take(), ..ObjectReference::default() };
    }
}

fn has_annotation(object: &ServiceAccount) -> bool {
    object.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(ENFORCE_MOUNTABLE_SECRETS))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service_account(value: Value) -> ServiceAccount {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn references_to_secrets_are_names() {
        let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
        let full = json!({"metadata": {"name": "a"}, "secrets": [
            {"name": "s", "namespace": "other", "kind": "Secret", "uid": "u", "fieldPath": "data"}, {"name": "t"}, {}]});
        let expected = json!([{"name": "s"}, {"name": "t"}, {}]);
        let mut created = service_account(full.clone());
        ServiceAccounts.prepare_create(&mut created, context);
        assert_eq!(serde_json::to_value(&created.secrets).unwrap(), expected);
        let mut updated = service_account(full);
        ServiceAccounts.prepare_update(&mut updated, &created, context);
        assert_eq!(serde_json::to_value(&updated.secrets).unwrap(), expected);
    }

    #[test]
    fn the_deprecated_annotation_is_warned_of_when_it_appears() {
        let plain = service_account(json!({"metadata": {"name": "a"}}));
        let annotated =
            service_account(json!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}));
        let warning = "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer \
                       separate namespaces to isolate access to mounted secrets";
        let check = |new, old, expected: &[&str]| assert_eq!(ServiceAccounts.warnings(new, old), expected);
        check(&plain, None, &[]);
        check(&annotated, None, &[warning]);
        check(&annotated, Some(&plain), &[warning]);
        check(&annotated, Some(&annotated), &[]);
        check(&plain, Some(&annotated), &[]);
    }

    #[test]
    fn rows() {
        let object = service_account(json!({"metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "p"}]}));
        assert_eq!(ServiceAccounts.row(&object, Timestamp::new(1, 0).unwrap()), [json!("a"), json!(1), json!("1s")]);
        assert_eq!(
            ServiceAccounts.row(&ServiceAccount::default(), Timestamp::UNIX_EPOCH),
            [json!(null), json!(0), json!("<unknown>")]
        );
    }
}
