//! The behavior of an autoscaler as `autoscaling/v1` keeps it in an annotation, which is by the names of Go's fields.

use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GoBehavior {
    #[serde(default)]
    scale_up: Option<Rules>,
    #[serde(default)]
    scale_down: Option<Rules>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rules {
    #[serde(default)]
    stabilization_window_seconds: Option<i32>,
    #[serde(default)]
    select_policy: Option<String>,
    #[serde(default)]
    policies: Option<Vec<Policy>>,
    #[serde(default)]
    tolerance: Option<Quantity>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Policy {
    r#type: String,
    value: i32,
    period_seconds: i32,
}

impl From<&HorizontalPodAutoscalerBehavior> for GoBehavior {
    fn from(behavior: &HorizontalPodAutoscalerBehavior) -> Self {
        GoBehavior {
            scale_up: behavior.scale_up.as_ref().map(Rules::from),
            scale_down: behavior.scale_down.as_ref().map(Rules::from),
        }
    }
}

impl GoBehavior {
    pub(super) fn newer(self) -> HorizontalPodAutoscalerBehavior {
        HorizontalPodAutoscalerBehavior {
            scale_up: self.scale_up.map(Rules::newer),
            scale_down: self.scale_down.map(Rules::newer),
        }
    }
}

impl From<&HPAScalingRules> for Rules {
    fn from(rules: &HPAScalingRules) -> Self {
        let policy = |policy: &HPAScalingPolicy| Policy {
            r#type: policy.type_.clone(),
            value: policy.value,
            period_seconds: policy.period_seconds,
        };
        Rules {
            stabilization_window_seconds: rules.stabilization_window_seconds,
            select_policy: rules.select_policy.clone(),
            policies: rules.policies.as_ref().map(|policies| policies.iter().map(policy).collect()),
            tolerance: rules.tolerance.clone(),
        }
    }
}

impl Rules {
    fn newer(self) -> HPAScalingRules {
        let policy = |policy: Policy| HPAScalingPolicy {
            type_: policy.r#type,
            value: policy.value,
            period_seconds: policy.period_seconds,
        };
        HPAScalingRules {
            stabilization_window_seconds: self.stabilization_window_seconds,
            select_policy: self.select_policy,
            policies: self.policies.map(|policies| policies.into_iter().map(policy).collect()),
            tolerance: self.tolerance,
        }
    }
}
