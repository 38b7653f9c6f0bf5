//! Namespaces, and what limits what is in them.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Made, match_labels};
use crate::Error;

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Namespace {
    /// Its name.
    name: String,
}

impl Namespace {
    pub(super) fn make(&self) -> Made {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}, "spec": {}, "status": {}});
        Made::new(object, "")
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Quota {
    /// Its name.
    name: String,
    /// How much there may be of what: cpu=1,pods=2.
    #[arg(long, value_name = "LIMITS", default_value = "")]
    hard: String,
    /// For which pods, such as BestEffort,Terminating.
    #[arg(long, value_name = "SCOPES", default_value = "")]
    scopes: String,
}

impl Quota {
    pub(super) fn make(&self) -> Result<Made, Error> {
        let mut spec = json!({});
        if !self.hard.is_empty() {
            let mut hard = Map::new();
            for limit in self.hard.split(',') {
                let (name, quantity) = limit.split_once('=').ok_or_else(|| {
                    Error::said(format!("Invalid argument syntax {limit}, expected <resource>=<value>"))
                })?;
                hard.insert(name.to_owned(), json!(quantity));
            }
            spec["hard"] = Value::Object(hard);
        }
        if !self.scopes.is_empty() {
            spec["scopes"] = json!(self.scopes.split(',').collect::<Vec<_>>());
        }
        let metadata = json!({"name": self.name});
        let object =
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec, "status": {}});
        Ok(Made::new(object, "failed to create quota:"))
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Budget {
    /// Its name.
    name: String,
    /// Of which pods: the labels that they have.
    #[arg(long, value_name = "SELECTOR", default_value = "")]
    selector: String,
    /// How many of them must be there, as a number or in percent.
    #[arg(long, value_name = "NUMBER", default_value = "")]
    min_available: String,
    /// How many of them may be away, as a number or in percent.
    #[arg(long, value_name = "NUMBER", default_value = "")]
    max_unavailable: String,
}

impl Budget {
    pub(super) fn make(&self) -> Result<Made, Error> {
        if self.selector.is_empty() {
            return Err(Error::said("a selector must be specified"));
        }
        let (field, text) = match (self.min_available.as_str(), self.max_unavailable.as_str()) {
            ("", "") => return Err(Error::said("one of min-available or max-unavailable must be specified")),
            (min, "") => ("minAvailable", min),
            ("", max) => ("maxUnavailable", max),
            _ => return Err(Error::said("min-available and max-unavailable cannot be both specified")),
        };
        let number = text.parse::<i32>().map_or_else(|_| json!(text), |number| json!(number));
        let object = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": self.name},
            "spec": {field: number, "selector": match_labels(&self.selector)?},
            "status": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
        });
        Ok(Made::new(object, "failed to create poddisruptionbudgets:"))
    }
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct PriorityClass {
    /// Its name.
    name: String,
    /// How important its pods are.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    value: i32,
    /// Whether it is that of pods that name none.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    global_default: bool,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Whether its pods take the place of less important ones: PreemptLowerPriority or Never.
    #[arg(long, value_name = "POLICY", default_value = "PreemptLowerPriority")]
    preemption_policy: String,
}

impl PriorityClass {
    pub(super) fn make(&self) -> Result<Made, Error> {
        let mut object = json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": self.name},
            "preemptionPolicy": self.preemption_policy,
            "value": self.value,
        });
        if self.global_default {
            object["globalDefault"] = json!(true);
        }
        if !self.description.is_empty() {
            object["description"] = json!(self.description);
        }
        Ok(Made::new(object, "failed to create priorityclass:"))
    }
}
