//! PriorityClasses: how much one pod matters more than another.
//!
//! Names that begin with `system-` belong to the two classes that every cluster has ([`system_classes`]), and only these
//! have values above a billion. A class that pods refer to does not change its meaning: its value and policy stay.

use api::field::{Error, ErrorList, Path};
use api::validate::meta::immutable;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::born;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, SpecChanged, Strategy};

const SYSTEM_PREFIX: &str = "system-";
const HIGHEST_OF_USERS: i32 = 1_000_000_000;
const POLICIES: &[&str] = &["PreemptLowerPriority", "Never"];

pub(crate) struct PriorityClasses;

impl Strategy for PriorityClasses {
    type Object = PriorityClass;

    fn names(&self) -> Names {
        Names::of::<PriorityClass>("priorityclass", false).short(&["pc"])
    }

    fn default(&self, object: &mut PriorityClass) {
        object.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".to_owned());
    }

    fn generation(&self) -> Option<SpecChanged<PriorityClass>> {
        Some(|_, _| false)
    }

    fn validate(&self, object: &PriorityClass) -> ErrorList {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let mut errors = ErrorList::new();
        if name.starts_with(SYSTEM_PREFIX) {
            if let Err(error) = validate_system_class(name, object) {
                let detail = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {error}"
                );
                errors.push(Error::forbidden(&Path::new("metadata").child("name"), detail));
            }
        } else if object.value.unwrap_or(0) > HIGHEST_OF_USERS {
            let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}");
            errors.push(Error::forbidden(&Path::new("value"), detail));
        }
        let path = Path::new("preemptionPolicy");
        match object.preemption_policy.as_deref() {
            None => {}
            Some("") => errors.push(Error::required(&path, "")),
            Some(policy) if POLICIES.contains(&policy) => {}
            Some(policy) => errors.push(Error::not_supported(&path, policy, POLICIES)),
        }
        errors
    }

    fn validate_update(&self, new: &PriorityClass, old: &PriorityClass) -> ErrorList {
        let mut errors = ErrorList::new();
        if new.value.unwrap_or(0) != old.value.unwrap_or(0) {
            errors.push(Error::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        errors.extend(immutable(&new.preemption_policy, &old.preemption_policy, &Path::new("preemptionPolicy")));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &PriorityClass, now: Timestamp) -> Vec<Value> {
        vec![
            object.metadata.name.clone().into(),
            object.value.unwrap_or(0).into(),
            object.global_default.unwrap_or(false).into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            object.preemption_policy.clone().unwrap_or_default().into(),
        ]
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Value",
        "value represents the integer value of this priority class. This is the actual priority that pods receive when they \
         have the name of this class in their pod spec.",
    )
    .of_type("integer"),
    Column::new(
        "Global-Default",
        "globalDefault specifies whether this PriorityClass should be considered as the default priority for pods that do \
         not have any priority class. Only one PriorityClass can be marked as `globalDefault`. However, if more than one \
         PriorityClasses exists with their `globalDefault` field set to true, the smallest value of such global default \
         PriorityClasses will be used as the default priority.",
    )
    .of_type("boolean"),
    AGE_COLUMN,
    Column::new(
        "PreemptionPolicy",
        "preemptionPolicy is the Policy for preempting pods with lower priority. One of Never, PreemptLowerPriority. \
         Defaults to PreemptLowerPriority if unset.",
    ),
];

/// The classes of what a cluster cannot be without.
pub(crate) fn system_classes() -> Vec<PriorityClass> {
    born::read(include_str!("../../../manifests/born/priority-classes.yaml"))
}

/// Whether the class is as every cluster has it, but for its description and metadata.
fn validate_system_class(name: &str, class: &PriorityClass) -> Result<(), String> {
    let known = system_classes().into_iter().find(|known| known.metadata.name.as_deref() == Some(name));
    let known = known.ok_or_else(|| format!("{name} is not a known system priority class"))?;
    let value = known.value.unwrap_or(0);
    if value != class.value.unwrap_or(0) {
        return Err(format!("value of {name} PriorityClass must be {value}"));
    }
    let global_default = known.global_default.unwrap_or(false);
    if global_default != class.global_default.unwrap_or(false) {
        return Err(format!("globalDefault of {name} PriorityClass must be {global_default}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(name: &str, value: i32, more: Value) -> PriorityClass {
        let mut class = json!({"metadata": {"name": name}, "value": value});
        class.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(class).unwrap()
    }

    fn shown(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn validation() {
        let check = |name: &str, value: i32, more: Value, expected: &[&str]| {
            assert_eq!(shown(PriorityClasses.validate(&class(name, value, more))), expected, "{name}");
        };
        let reserved = |error: &str| {
            format!(
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. \
                 error: {error}"
            )
        };
        check("high", 1_000_000_000, json!({"preemptionPolicy": "Never", "globalDefault": true}), &[]);
        check("low", i32::MIN, json!({}), &[]);
        check("system-node-critical", 2_000_001_000, json!({"description": "ours"}), &[]);
        check("system-cluster-critical", 2_000_000_000, json!({"globalDefault": false}), &[]);
        let highest = "value: Forbidden: maximum allowed value of a user defined priority is 1000000000";
        check("high", 1_000_000_001, json!({}), &[highest]);
        check("high", i32::MAX, json!({"preemptionPolicy": ""}), &[highest, "preemptionPolicy: Required value"]);
        check("system-mine", 1, json!({}), &[&reserved("system-mine is not a known system priority class")]);
        check("system-", 2_000_000_000, json!({}), &[&reserved("system- is not a known system priority class")]);
        let node = reserved("value of system-node-critical PriorityClass must be 2000001000");
        check("system-node-critical", 2_000_000_000, json!({}), &[&node]);
        check("system-node-critical", 0, json!({"globalDefault": true}), &[&node]);
        let cluster = reserved("value of system-cluster-critical PriorityClass must be 2000000000");
        check("system-cluster-critical", 2_000_001_000, json!({}), &[&cluster]);
        let default = reserved("globalDefault of system-cluster-critical PriorityClass must be false");
        check("system-cluster-critical", 2_000_000_000, json!({"globalDefault": true}), &[&default]);
        let policy = "preemptionPolicy: Unsupported value: \"Maybe\": supported values: \"PreemptLowerPriority\", \
                      \"Never\"";
        check("high", 1, json!({"preemptionPolicy": "Maybe"}), &[policy]);
    }

    #[test]
    fn value_and_policy_stay() {
        let check = |new: PriorityClass, expected: &[&str]| {
            let old = class("high", 10, json!({"preemptionPolicy": "Never"}));
            assert_eq!(shown(PriorityClasses.validate_update(&new, &old)), expected);
        };
        check(class("high", 10, json!({"preemptionPolicy": "Never", "globalDefault": true})), &[]);
        let value = "value: Forbidden: may not be changed in an update.";
        check(class("high", 11, json!({"preemptionPolicy": "Never"})), &[value]);
        let policy = "preemptionPolicy: Invalid value: \"PreemptLowerPriority\": field is immutable";
        check(class("high", 0, json!({"preemptionPolicy": "PreemptLowerPriority"})), &[value, policy]);
    }

    #[test]
    fn defaults() {
        let check = |more: Value, expected: &str| {
            let mut object = class("high", 1, more);
            PriorityClasses.default(&mut object);
            assert_eq!(object.preemption_policy.as_deref(), Some(expected));
        };
        check(json!({}), "PreemptLowerPriority");
        check(json!({"preemptionPolicy": "Never"}), "Never");
        check(json!({"preemptionPolicy": ""}), "");
    }

    #[test]
    fn system_classes_are_valid() {
        let classes = system_classes();
        let names: Vec<_> = classes.iter().map(|class| class.metadata.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["system-node-critical", "system-cluster-critical"]);
        for class in classes {
            assert!(PriorityClasses.validate(&class).is_empty());
        }
    }

    #[test]
    fn rows() {
        let row = PriorityClasses.row(&class("high", 10, json!({"preemptionPolicy": "Never"})), Timestamp::UNIX_EPOCH);
        assert_eq!(json!(row), json!(["high", 10, false, "<unknown>", "Never"]));
        let row = PriorityClasses.row(&PriorityClass::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(json!(row), json!([null, 0, false, "<unknown>", ""]));
    }
}
