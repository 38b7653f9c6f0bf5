//! Secrets: data for pods that is not for everybody's eyes.
//!
//! What is stored has no `stringData`: it is merged into `data` before anything else looks at the object. A type never
//! changes, and an immutable secret's data neither.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::config_map_key;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::resources::go_json::{self, Wanted};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, SelectableField, Strategy};

/// The most bytes that all values together may have (`v1.MaxSecretSize`).
const MAX_TOTAL_BYTES: usize = 1024 * 1024;
/// The annotation that names the account of a token.
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
/// Types, as `v1.SecretType` lists them.
const OPAQUE: &str = "Opaque";
const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
const DOCKER_CONFIG: &str = "kubernetes.io/dockercfg";
const DOCKER_CONFIG_JSON: &str = "kubernetes.io/dockerconfigjson";
const BASIC_AUTH: &str = "kubernetes.io/basic-auth";
const SSH_AUTH: &str = "kubernetes.io/ssh-auth";
const TLS: &str = "kubernetes.io/tls";

pub(crate) struct Secrets;

impl Strategy for Secrets {
    type Object = Secret;

    fn names(&self) -> Names {
        Names::of::<Secret>("secret", true)
    }

    fn default(&self, object: &mut Secret) {
        let written = object.string_data.take().unwrap_or_default();
        if !written.is_empty() {
            let bytes = written.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes())));
            object.data.get_or_insert_default().extend(bytes);
        }
        if object.type_.as_ref().is_none_or(String::is_empty) {
            object.type_ = Some(OPAQUE.to_owned());
        }
    }

    fn prepare_update(&self, new: &mut Secret, old: &Secret, _: Context<'_>) {
        if kind(new).is_empty() {
            new.type_.clone_from(&old.type_);
        }
    }

    fn validate(&self, object: &Secret) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new("data");
        let mut size = 0;
        for (key, value) in object.data.iter().flatten() {
            errors.push_invalid(&path.key(key), key, config_map_key(key));
            size += value.0.len();
        }
        if size > MAX_TOTAL_BYTES {
            errors.push(Error::too_long(&path, MAX_TOTAL_BYTES));
        }
        errors.extend(validate_type(object, &path));
        errors
    }

    fn validate_update(&self, new: &Secret, old: &Secret) -> ErrorList {
        let mut errors = ErrorList::new();
        if kind(new) != kind(old) {
            errors.push(Error::invalid(&Path::new("type"), kind(new), "field is immutable"));
        }
        if old.immutable == Some(true) {
            let fixed = "field is immutable when `immutable` is set";
            if new.immutable != Some(true) {
                errors.push(Error::forbidden(&Path::new("immutable"), fixed));
            }
            let empty = BTreeMap::new();
            if new.data.as_ref().unwrap_or(&empty) != old.data.as_ref().unwrap_or(&empty) {
                errors.push(Error::forbidden(&Path::new("data"), fixed));
            }
        }
        errors.extend(self.validate(new));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const TYPE: Column = Column::new(
            "Type",
            "Used to facilitate programmatic handling of secret data. More info: \
             https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
        );
        const DATA: Column = Column::new(
            "Data",
            "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The \
             serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly \
             non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4",
        );
        const { &[NAME_COLUMN, TYPE, DATA, AGE_COLUMN] }
    }

    fn row(&self, object: &Secret, now: Timestamp) -> Vec<Value> {
        let entries = object.data.as_ref().map_or(0, BTreeMap::len);
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), kind(object).into(), entries.into(), age.into()]
    }

    fn selectable_fields(&self) -> &'static [SelectableField] {
        const { &[SelectableField::at("type")] }
    }
}

fn kind(secret: &Secret) -> &str {
    secret.type_.as_deref().unwrap_or_default()
}

/// The keys that a type promises are there.
fn validate_type(secret: &Secret, path: &Path) -> ErrorList {
    let get = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let missing = |keys: &[&str]| -> ErrorList {
        let missing = keys.iter().filter(|key| get(key).is_none());
        missing.map(|key| Error::required(&path.key(key), "")).collect()
    };
    let credentials = |key: &str| match get(key) {
        None => Error::required(&path.key(key), "").into(),
        Some(value) => match go_json::check(&value.0, Wanted::Object, "map[string]interface {}") {
            Ok(()) => ErrorList::new(),
            Err(message) => {
                let redacted = BadValue::Text("<secret contents redacted>".to_owned());
                Error::invalid(&path.key(key), redacted, message).into()
            }
        },
    };
    match kind(secret) {
        SERVICE_ACCOUNT_TOKEN => {
            let account = secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ACCOUNT_NAME));
            if account.is_none_or(String::is_empty) {
                let path = Path::new("metadata").child("annotations").key(ACCOUNT_NAME);
                return Error::required(&path, "").into();
            }
            ErrorList::new()
        }
        DOCKER_CONFIG => credentials(".dockercfg"),
        DOCKER_CONFIG_JSON => credentials(".dockerconfigjson"),
        BASIC_AUTH if get("username").is_none() && get("password").is_none() => missing(&["username", "password"]),
        SSH_AUTH if get("ssh-privatekey").is_none_or(|key| key.0.is_empty()) => {
            Error::required(&path.key("ssh-privatekey"), "").into()
        }
        TLS => missing(&["tls.crt", "tls.key"]),
        _ => ErrorList::new(),
    }
}

#[cfg(test)]
mod tests;
