//! How fast an autoscaler may scale: defaults and rules.

use api::field::{BadValue, Error, ErrorList, Path};
use api::quantity::Quantity;
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec,
};

const MAX_PERIOD_SECONDS: i32 = 1800;
const MAX_STABILIZATION_WINDOW_SECONDS: i32 = 3600;
const DEFAULT_PERIOD_SECONDS: i32 = 15;

const SELECT_POLICIES: [&str; 3] = ["Disabled", "Max", "Min"];
const POLICY_TYPES: [&str; 2] = ["Percent", "Pods"];

/// A behavior that is stated at all is completed. How long scaling down waits is the controller's to say.
pub(super) fn set_defaults(spec: &mut HorizontalPodAutoscalerSpec) {
    let Some(behavior) = &mut spec.behavior else { return };
    let policy = |type_: &str, value| HPAScalingPolicy {
        period_seconds: DEFAULT_PERIOD_SECONDS,
        type_: type_.to_owned(),
        value,
    };
    let up = behavior.scale_up.get_or_insert_default();
    up.stabilization_window_seconds.get_or_insert(0);
    complete(up, || vec![policy("Pods", 4), policy("Percent", 100)]);
    complete(behavior.scale_down.get_or_insert_default(), || vec![policy("Percent", 100)]);
}

fn complete(rules: &mut HPAScalingRules, policies: impl FnOnce() -> Vec<HPAScalingPolicy>) {
    rules.select_policy.get_or_insert_with(|| "Max".to_owned());
    rules.policies.get_or_insert_with(policies);
}

pub(super) fn validate(behavior: &HorizontalPodAutoscalerBehavior, path: &Path) -> ErrorList {
    let rules = [(&behavior.scale_up, "scaleUp"), (&behavior.scale_down, "scaleDown")];
    let rules = rules.into_iter().filter_map(|(rules, field)| Some((rules.as_ref()?, field)));
    rules.flat_map(|(rules, field)| validate_rules(rules, &path.child(field))).collect()
}

fn validate_rules(rules: &HPAScalingRules, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(window) = rules.stabilization_window_seconds {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.push(Error::invalid(&path, window, "must be greater than or equal to zero"));
        }
        if window > MAX_STABILIZATION_WINDOW_SECONDS {
            let detail = format!("must be less than or equal to {MAX_STABILIZATION_WINDOW_SECONDS}");
            errors.push(Error::invalid(&path, window, detail));
        }
    }
    if let Some(policy) = rules.select_policy.as_deref().filter(|policy| !SELECT_POLICIES.contains(policy)) {
        errors.push(Error::not_supported(&path.child("selectPolicy"), BadValue::json(policy), &SELECT_POLICIES));
    }
    let policies = rules.policies.as_deref().unwrap_or_default();
    let policies_path = path.child("policies");
    if policies.is_empty() {
        errors.push(Error::required(&policies_path, "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        errors.extend(validate_policy(policy, &policies_path.index(i)));
    }
    let tolerance = rules.tolerance.as_ref();
    if let Some(tolerance) = tolerance.filter(|text| Quantity::parse(&text.0).is_ok_and(|number| number.signum() < 0)) {
        let detail = "must be greater than or equal to 0";
        errors.push(Error::invalid(&path.child("tolerance"), &tolerance.0, detail));
    }
    errors
}

fn validate_policy(policy: &HPAScalingPolicy, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !POLICY_TYPES.contains(&policy.type_.as_str()) {
        errors.push(Error::not_supported(&path.child("type"), BadValue::json(&policy.type_), &POLICY_TYPES));
    }
    for (value, field) in [(policy.value, "value"), (policy.period_seconds, "periodSeconds")] {
        if value <= 0 {
            errors.push(Error::invalid(&path.child(field), value, "must be greater than zero"));
        }
    }
    if policy.period_seconds > MAX_PERIOD_SECONDS {
        let detail = format!("must be less than or equal to {MAX_PERIOD_SECONDS}");
        errors.push(Error::invalid(&path.child("periodSeconds"), policy.period_seconds, detail));
    }
    errors
}
