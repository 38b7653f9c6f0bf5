//! ConfigMaps: key-value data for pods.

use api::field::{Error, ErrorList, Path};
use api::names::config_map_key;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

/// The most bytes that all values together may have (`v1.MaxSecretSize`, which upstream uses for both).
const MAX_TOTAL_BYTES: usize = 1024 * 1024;

pub(crate) struct ConfigMaps;

impl Strategy for ConfigMaps {
    type Object = ConfigMap;

    fn names(&self) -> Names {
        Names::of::<ConfigMap>("configmap", true).short(&["cm"])
    }

    fn validate(&self, object: &ConfigMap) -> ErrorList {
        let mut errors = ErrorList::default();
        let empty = Default::default();
        let data = object.data.as_ref();
        let binary_data = object.binary_data.as_ref();
        let mut size = 0;
        let data_path = Path::new("data");
        for (key, value) in data.unwrap_or(&empty) {
            errors.push_invalid(&data_path.key(key), key, config_map_key(key));
            if binary_data.is_some_and(|binary| binary.contains_key(key)) {
                errors.push(Error::invalid(&data_path.key(key), &**key, "duplicate of key present in binaryData"));
            }
            size += value.len();
        }
        for (key, value) in binary_data.into_iter().flatten() {
            errors.push_invalid(&Path::new("binaryData").key(key), key, config_map_key(key));
            size += value.0.len();
        }
        if size > MAX_TOTAL_BYTES {
            errors.push(Error::too_long(&Path::new(""), MAX_TOTAL_BYTES));
        }
        errors
    }

    fn validate_update(&self, new: &ConfigMap, old: &ConfigMap) -> ErrorList {
        let mut errors = ErrorList::default();
        if old.immutable == Some(true) {
            let fixed = "field is immutable when `immutable` is set";
            if new.immutable != Some(true) {
                errors.push(Error::forbidden(&Path::new("immutable"), fixed));
            }
            if new.data != old.data {
                errors.push(Error::forbidden(&Path::new("data"), fixed));
            }
            if new.binary_data != old.binary_data {
                errors.push(Error::forbidden(&Path::new("binaryData"), fixed));
            }
        }
        errors.extend(self.validate(new));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const { &[NAME_COLUMN, Column::new("Data", "Number of data and binaryData entries").of_type("integer"), AGE_COLUMN] }
    }

    fn row(&self, object: &ConfigMap, now: Timestamp) -> Vec<Value> {
        let entries = object.data.as_ref().map_or(0, |data| data.len())
            + object.binary_data.as_ref().map_or(0, |binary| binary.len());
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), entries.into(), age.into()]
    }
}
