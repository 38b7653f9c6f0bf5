//! What files ConfigMaps and Secrets make. Pure: objects in, files out.
//!
//! The rules are upstream's: without items every key is a file of its own name; with items only the listed keys are, at
//! their paths, and a key that is not there is an error unless the reference is optional.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Secret};

/// The mode of files where nothing is said of it (the API's default).
pub(super) const DEFAULT_MODE: i32 = 0o644;

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// What is in it.
    pub content: Vec<u8>,
    /// Its permissions, before those that `fsGroup` adds.
    pub mode: u32,
    /// The user that it belongs to; root if none.
    pub owner: Option<u32>,
}

/// The files of a volume, by their paths in it.
pub(super) type Payload = BTreeMap<String, File>;

/// A key that is referred to, and not there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MissingKey {
    /// In a ConfigMap.
    #[error("references non-existent config key: {0}")]
    Config(String),
    /// In a Secret.
    #[error("references non-existent secret key: {0}")]
    Secret(String),
}

/// Permissions as the API states them: only those bits that a file can have.
pub(super) fn permissions(mode: i32) -> u32 {
    mode.cast_unsigned() & 0o7777
}

/// The files of a ConfigMap, text and binary.
pub(super) fn of_config_map(
    map: &ConfigMap,
    items: Option<&Vec<KeyToPath>>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload, MissingKey> {
    let text = map.data.iter().flatten().map(|(key, text)| (key.as_str(), text.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, bytes)| (key.as_str(), bytes.0.as_slice()));
    select(&text.chain(binary).collect(), items, default_mode, optional, MissingKey::Config)
}

/// The files of a Secret.
pub(super) fn of_secret(
    secret: &Secret,
    items: Option<&Vec<KeyToPath>>,
    default_mode: i32,
    optional: bool,
) -> Result<Payload, MissingKey> {
    let values = secret.data.iter().flatten().map(|(key, bytes)| (key.as_str(), bytes.0.as_slice()));
    select(&values.collect(), items, default_mode, optional, MissingKey::Secret)
}

fn select(
    values: &BTreeMap<&str, &[u8]>,
    items: Option<&Vec<KeyToPath>>,
    default_mode: i32,
    optional: bool,
    missing: fn(String) -> MissingKey,
) -> Result<Payload, MissingKey> {
    let file = |content: &[u8], mode: i32| File { content: content.to_vec(), mode: permissions(mode), owner: None };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(values.iter().map(|(key, content)| ((*key).to_owned(), file(content, default_mode))).collect());
    };
    let mut payload = Payload::new();
    for item in items {
        match values.get(item.key.as_str()) {
            Some(content) => {
                payload.insert(item.path.clone(), file(content, item.mode.unwrap_or(default_mode)));
            }
            None if optional => {}
            None => return Err(missing(item.key.clone())),
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What comes out, as `path=content mode`.
    fn shown(payload: Result<Payload, MissingKey>) -> Vec<String> {
        let show =
            |(path, file): (String, File)| format!("{path}={} {:o}", String::from_utf8_lossy(&file.content), file.mode);
        payload.map_or_else(|error| vec![error.to_string()], |payload| payload.into_iter().map(show).collect())
    }

    #[test]
    fn config_maps_make_files() {
        let map: ConfigMap = serde_json::from_value(json!({
            "data": {"a": "1", "b": "2"}, "binaryData": {"c": "Mw=="},
        }))
        .unwrap();
        let check = |items: Value, optional: bool, expected: &[&str]| {
            let items: Option<Vec<KeyToPath>> = serde_json::from_value(items).unwrap();
            assert_eq!(shown(of_config_map(&map, items.as_ref(), 0o640, optional)), expected);
        };
        check(Value::Null, false, &["a=1 640", "b=2 640", "c=3 640"]);
        check(json!([]), false, &["a=1 640", "b=2 640", "c=3 640"]);
        check(json!([{"key": "c", "path": "x/y", "mode": 0o400}]), false, &["x/y=3 400"]);
        check(json!([{"key": "a", "path": "a"}, {"key": "a", "path": "d/a"}]), false, &["a=1 640", "d/a=1 640"]);
        check(json!([{"key": "z", "path": "z"}]), false, &["references non-existent config key: z"]);
        check(json!([{"key": "z", "path": "z"}, {"key": "a", "path": "a"}]), true, &["a=1 640"]);
    }

    #[test]
    fn secrets_make_files() {
        let secret: Secret = serde_json::from_value(json!({"data": {"user": "bWU=", "key": "AAE="}})).unwrap();
        let payload = of_secret(&secret, None, 0o400, false).unwrap();
        assert_eq!(payload["key"], File { content: vec![0, 1], mode: 0o400, owner: None });
        let items = vec![KeyToPath { key: "no".into(), path: "no".into(), ..KeyToPath::default() }];
        let refused = of_secret(&secret, Some(&items), 0o400, false);
        assert_eq!(shown(refused), ["references non-existent secret key: no"]);
        assert_eq!(of_secret(&secret, Some(&items), 0o400, true), Ok(Payload::new()));
    }
}
