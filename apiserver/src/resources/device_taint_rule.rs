//! DeviceTaintRules: an administrator's taints on devices that a driver published.

use api::field::{Error, ErrorList, Path};
use api::validate::conditions::validate_conditions;
use k8s_openapi::api::resource::v1::{
    DeviceTaintRule, DeviceTaintRuleSpec, DeviceTaintRuleStatus, DeviceTaintSelector,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::devices::{driver_name, label, pool_name, validate_taint};
use super::{semantic, status_meta};
use crate::strategy::{Context, Names, SpecChanged, Strategy, UpdateSubresource};

const MAX_CONDITIONS: usize = 8;

pub(crate) struct DeviceTaintRules;

impl Strategy for DeviceTaintRules {
    type Object = DeviceTaintRule;

    fn names(&self) -> Names {
        Names::of::<DeviceTaintRule>("devicetaintrule", false)
    }

    fn prepare_create(&self, object: &mut DeviceTaintRule, context: Context<'_>) {
        object.status = Some(DeviceTaintRuleStatus::default());
        object.spec.taint.time_added.get_or_insert(Time(context.now));
    }

    fn prepare_update(&self, new: &mut DeviceTaintRule, old: &DeviceTaintRule, context: Context<'_>) {
        new.status = old.status.clone();
        let (taint, before) = (&mut new.spec.taint, &old.spec.taint);
        taint.time_added.get_or_insert(Time(context.now));
        // How long a toleration lasts counts from when there was something to tolerate.
        if taint.effect != before.effect && taint.time_added == before.time_added {
            taint.time_added = Some(Time(context.now));
        }
    }

    fn generation(&self) -> Option<SpecChanged<DeviceTaintRule>> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &DeviceTaintRule) -> ErrorList {
        validate(&object.spec, None)
    }

    fn validate_update(&self, new: &DeviceTaintRule, old: &DeviceTaintRule) -> ErrorList {
        validate(&new.spec, Some(&old.spec))
    }

    fn updates(&self) -> Vec<UpdateSubresource<DeviceTaintRule>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec = old.spec.clone();
                status_meta::reset(&mut new.metadata, &old.metadata);
            },
            validate: |new, _| {
                let shown = new.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
                let path = Path::new("status").child("conditions");
                let mut errors = validate_conditions(shown, &path);
                if shown.len() > MAX_CONDITIONS {
                    errors.push(Error::too_many(&path, shown.len(), MAX_CONDITIONS));
                }
                errors
            },
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn validate(spec: &DeviceTaintRuleSpec, old: Option<&DeviceTaintRuleSpec>) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if let Some(selector) = &spec.device_selector {
        errors.extend(validate_selector(selector, &path.child("deviceSelector")));
    }
    errors.extend(validate_taint(&spec.taint, old.map(|old| &old.taint), &path.child("taint")));
    errors
}

fn validate_selector(selector: &DeviceTaintSelector, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(driver) = &selector.driver {
        errors.extend(driver_name(driver, &path.child("driver")));
    }
    if let Some(pool) = &selector.pool {
        errors.extend(pool_name(pool, &path.child("pool")));
    }
    if let Some(device) = &selector.device {
        errors.extend(label(device, &path.child("device")));
    }
    errors
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn rule(taint: Value, selector: Value) -> DeviceTaintRule {
        let spec = json!({"taint": taint, "deviceSelector": selector});
        serde_json::from_value(json!({"metadata": {"name": "hot"}, "spec": spec})).unwrap()
    }

    fn taint(effect: &str) -> Value {
        json!({"key": "example.com/hot", "effect": effect})
    }

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn context(second: i64) -> Context<'static> {
        Context { now: Timestamp::from_second(second).unwrap(), namespace: "", identity: None }
    }

    #[test]
    fn validation() {
        let check = |taint: Value, selector: Value, expected: &[&str]| {
            let errors = shown(&DeviceTaintRules.validate(&rule(taint, selector)));
            assert_eq!(errors.len(), expected.len(), "{errors:?}");
            assert!(errors.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{errors:?}");
        };
        let all = json!({"driver": "gpu.example.com", "pool": "node-1/a", "device": "gpu-0"});
        check(taint("NoExecute"), all, &[]);
        check(taint("None"), Value::Null, &[]);
        check(taint("NoSchedule"), json!({}), &[]);
        check(taint(""), json!({}), &["spec.taint.effect: Required value"]);
        check(
            taint("Sometimes"),
            json!({}),
            &["spec.taint.effect: Unsupported value: \"Sometimes\": supported values: \"NoExecute\", \"NoSchedule\", \
               \"None\""],
        );
        check(
            json!({"key": "", "effect": "None"}),
            json!({}),
            &[
                "spec.taint.key: Invalid value: \"\": name part must be non-empty",
                "spec.taint.key: Invalid value: \"\": name",
            ],
        );
        check(
            json!({"key": "a b", "effect": "None"}),
            json!({}),
            &["spec.taint.key: Invalid value: \"a b\": name part"],
        );
        check(
            json!({"key": "a", "effect": "None", "value": "b c"}),
            json!({}),
            &["spec.taint.value: Invalid value: \"b c\": a valid label"],
        );
        let selector = "spec.deviceSelector";
        check(taint("None"), json!({"driver": ""}), &[&format!("{selector}.driver: Required value")]);
        check(taint("None"), json!({"driver": "a_b"}), &[&format!("{selector}.driver: Invalid value: \"a_b\"")]);
        check(taint("None"), json!({"pool": ""}), &[&format!("{selector}.pool: Required value")]);
        check(taint("None"), json!({"pool": "A"}), &[&format!("{selector}.pool: Invalid value: \"A\": a lowercase")]);
        check(
            taint("None"),
            json!({"device": "a.b"}),
            &[&format!("{selector}.device: Invalid value: \"a.b\": must not")],
        );
        let odd = rule(taint("Odd"), json!({}));
        assert!(DeviceTaintRules.validate_update(&odd, &odd).is_empty());
    }

    #[test]
    fn the_time_is_that_of_the_effect() {
        let added = |rule: &DeviceTaintRule| rule.spec.taint.time_added.as_ref().map(|time| time.0.as_second());
        let mut old = rule(taint("None"), json!({}));
        DeviceTaintRules.prepare_create(&mut old, context(10));
        assert_eq!(added(&old), Some(10));
        let update = |effect: &str, time: Option<i64>| {
            let mut new = rule(taint(effect), json!({}));
            new.spec.taint.time_added = time.map(|second| Time(Timestamp::from_second(second).unwrap()));
            DeviceTaintRules.prepare_update(&mut new, &old, context(20));
            added(&new)
        };
        assert_eq!(update("None", Some(10)), Some(10));
        assert_eq!(update("None", None), Some(20));
        assert_eq!(update("NoExecute", Some(10)), Some(20));
        assert_eq!(update("NoExecute", Some(15)), Some(15));
    }

    #[test]
    fn status() {
        let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-03-01T12:00:00Z"});
        let old = rule(taint("None"), json!({}));
        let send = |conditions: Vec<Value>| {
            let mut new = rule(taint("NoExecute"), json!({}));
            new.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
            new.status = serde_json::from_value(json!({"conditions": conditions})).unwrap();
            let update = &DeviceTaintRules.updates()[0];
            (update.prepare)(&mut new, &old, context(0));
            assert_eq!((&new.spec, &new.metadata), (&old.spec, &old.metadata));
            shown(&(update.validate)(&new, &old))
        };
        assert_eq!(send(vec![condition("EvictionInProgress")]), [""; 0]);
        assert_eq!(send(vec![condition("A"), condition("A")]), ["status.conditions[1].type: Duplicate value: \"A\""]);
        let many = (0..9).map(|i| condition(&format!("C{i}"))).collect();
        assert_eq!(send(many), ["status.conditions: Too many: 9: must have at most 8 items"]);
    }
}
