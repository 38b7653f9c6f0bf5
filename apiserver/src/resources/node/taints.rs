//! What a taint must be.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::{label_key, label_value};
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Every taint is well-formed, and no key has an effect twice.
pub(super) fn validate(taints: &[Taint], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (i, taint) in taints.iter().enumerate() {
        let path = path.index(i);
        errors.push_invalid(&path.child("key"), &taint.key, label_key(&taint.key));
        let value = taint.value.as_deref().unwrap_or_default();
        let messages = label_value(value);
        if !messages.is_empty() {
            errors.push(Error::invalid(&path.child("value"), value, messages.join(";")));
        }
        if taint.effect.is_empty() {
            errors.push(Error::required(&path.child("effect"), ""));
        } else if !EFFECTS.contains(&&*taint.effect) {
            errors.push(Error::not_supported(&path.child("effect"), &taint.effect, &EFFECTS));
        }
        if !seen.insert((&taint.key, &taint.effect)) {
            let detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(Error { detail, ..Error::duplicate(&path, BadValue::json(&Shown::from(taint))) });
        }
    }
    errors
}

/// A taint as messages show it: upstream's internal type, whose fields have Go's names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    key: &'a str,
    value: &'a str,
    effect: &'a str,
    time_added: Option<&'a Time>,
}

impl<'a> From<&'a Taint> for Shown<'a> {
    fn from(taint: &'a Taint) -> Self {
        Shown {
            key: &taint.key,
            value: taint.value.as_deref().unwrap_or_default(),
            effect: &taint.effect,
            time_added: taint.time_added.as_ref(),
        }
    }
}
