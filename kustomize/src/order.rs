//! The order of what comes out: as it was named, or by kinds, with what others need before them.

use serde::Deserialize;

use crate::Error;
use crate::id::Gvk;
use crate::resource::Resource;

/// `sortOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    pub(crate) legacy_sort_options: Option<LegacySortOptions>,
}

/// Which kinds come first and last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LegacySortOptions {
    pub(crate) order_first: Vec<String>,
    pub(crate) order_last: Vec<String>,
}

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Sorts as the options say; by kinds if there are none.
pub(crate) fn sort(list: &mut [Resource], options: Option<&SortOptions>) -> Result<(), Error> {
    let legacy = options.and_then(|options| options.legacy_sort_options.as_ref());
    match options.map_or("legacy", |options| options.order.as_str()) {
        "legacy" => {}
        "fifo" if legacy.is_none() => return Ok(()),
        "fifo" => {
            return Err(Error::said(
                "the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'",
            ));
        }
        _ => return Err(Error::said("the field 'sortOptions.order' must be one of [fifo, legacy]")),
    }
    let rank = |kind: &str| -> i64 {
        let place = |kinds: &[&str]| kinds.iter().position(|known| *known == kind).map(|at| at as i64);
        let rank_in = |first: &[&str], last: &[&str]| match (place(last), place(first)) {
            (Some(at), _) => at + 1,
            (None, Some(at)) => at - first.len() as i64,
            (None, None) => 0,
        };
        match legacy {
            Some(own) => {
                let first: Vec<&str> = own.order_first.iter().map(String::as_str).collect();
                let last: Vec<&str> = own.order_last.iter().map(String::as_str).collect();
                rank_in(&first, &last)
            }
            None => rank_in(&FIRST, &LAST),
        }
    };
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    list.sort_by_cached_key(|resource| {
        let Gvk { group, version, kind } = resource.gvk();
        let of_kind = format!("{}_{}_{}", or(&group, "~G"), or(&version, "~V"), or(&kind, "~K"));
        let of_name = format!("{}|{}", or(resource.namespace(), "~X"), or(resource.name(), "~N"));
        (rank(&kind), of_kind, of_name)
    });
    Ok(())
}
