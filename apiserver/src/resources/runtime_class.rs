//! RuntimeClasses: what runs the containers of a pod, what that costs, and where it can be had.

use api::field::{Error, ErrorList, Path};
use api::names::dns1123_label;
use api::selector::label::validate_labels;
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{pod_spec, resource_list};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

pub(crate) struct RuntimeClasses;

impl Strategy for RuntimeClasses {
    type Object = RuntimeClass;

    fn names(&self) -> Names {
        Names::of::<RuntimeClass>("runtimeclass", false)
    }

    fn default(&self, object: &mut RuntimeClass) {
        if let Some(overhead) = &mut object.overhead {
            resource_list::set_defaults(overhead.pod_fixed.as_mut());
        }
    }

    fn validate(&self, object: &RuntimeClass) -> ErrorList {
        let mut errors = ErrorList::new();
        errors.push_invalid(&Path::new("handler"), &object.handler, dns1123_label(&object.handler));
        if let Some(overhead) = &object.overhead {
            let fixed = overhead.pod_fixed.clone().unwrap_or_default();
            let path = Path::new("overhead");
            errors.extend(pod_spec::validate_overhead(&fixed, &pod_spec::Options::default(), &path));
        }
        if let Some(scheduling) = &object.scheduling {
            let path = Path::new("scheduling");
            errors.extend(validate_labels(scheduling.node_selector.as_ref(), &path.child("nodeSelector")));
            let tolerations = scheduling.tolerations.as_deref().unwrap_or_default();
            errors.extend(pod_spec::validate_tolerations(tolerations, &path.child("tolerations")));
        }
        errors
    }

    fn validate_update(&self, new: &RuntimeClass, old: &RuntimeClass) -> ErrorList {
        let mut errors = self.validate(new);
        if new.handler != old.handler {
            errors.push(Error::invalid(&Path::new("handler"), &new.handler, FIELD_IMMUTABLE));
        }
        errors
    }

    fn warnings(&self, new: &RuntimeClass, _: Option<&RuntimeClass>) -> Vec<String> {
        let labels = new.scheduling.iter().flat_map(|scheduling| scheduling.node_selector.iter().flatten());
        let messages = labels.filter_map(|(label, _)| pod_spec::node_label_message(label));
        messages.map(|message| format!("scheduling.nodeSelector: {message}")).collect()
    }

    fn columns(&self) -> &'static [Column] {
        // Upstream describes the handler with a text that it does not have.
        const { &[NAME_COLUMN, Column::new("Handler", ""), AGE_COLUMN] }
    }

    fn row(&self, object: &RuntimeClass, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), object.handler.clone().into(), age.into()]
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(fields: Value) -> RuntimeClass {
        let mut class = json!({"metadata": {"name": "c"}, "handler": "runsc"});
        class.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(class).unwrap()
    }

    fn shown(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn check(fields: Value, expected: &[&str]) {
        let object = class(fields);
        assert_eq!(shown(RuntimeClasses.validate(&object)), expected);
        assert_eq!(shown(RuntimeClasses.validate_update(&object, &object)), expected);
    }

    #[test]
    fn handlers() {
        let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
        check(json!({}), &[]);
        check(json!({"handler": ""}), &[&format!("handler: Invalid value: \"\": {label}")]);
        check(json!({"handler": "Kata"}), &[&format!("handler: Invalid value: \"Kata\": {label}")]);
        check(json!({"handler": "a.b"}), &["handler: Invalid value: \"a.b\": must not contain dots"]);
        check(json!({"handler": "kata-"}), &[&format!("handler: Invalid value: \"kata-\": {label}")]);
        let long = "a".repeat(64);
        let expected = format!("handler: Invalid value: \"{long}\": must be no more than 63 bytes");
        check(json!({"handler": long}), &[&expected]);
        let changed = RuntimeClasses.validate_update(&class(json!({"handler": "kata"})), &class(json!({})));
        assert_eq!(shown(changed), ["handler: Invalid value: \"kata\": field is immutable"]);
    }

    #[test]
    fn overhead() {
        let check = |fixed: Value, expected: &[&str]| check(json!({"overhead": {"podFixed": fixed}}), expected);
        check(json!({"cpu": "250m", "memory": "120Mi"}), &[]);
        check(Value::Null, &[]);
        check(
            json!({"cpu": "-1"}),
            &["overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
        );
        check(
            json!({"storage": "1Gi"}),
            &["overhead.limits[storage]: Invalid value: \"storage\": must be a standard resource for containers"],
        );
        check(json!({"hugepages-2Mi": "2Mi"}), &["overhead: Forbidden: HugePages require cpu or memory"]);
        check(
            json!({"cpu": "1", "example.com/gpu": "100m"}),
            &["overhead.limits[example.com/gpu]: Invalid value: \"100m\": must be an integer"],
        );
    }

    #[test]
    fn scheduling() {
        let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                     start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
                     for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
        let tolerations = |toleration: Value| json!({"scheduling": {"tolerations": [toleration]}});
        check(json!({"scheduling": {"nodeSelector": {"example.com/sandbox": "yes"}}}), &[]);
        check(tolerations(json!({"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"})), &[]);
        check(
            json!({"scheduling": {"nodeSelector": {"a": "b c"}}}),
            &[&format!("scheduling.nodeSelector: Invalid value: \"b c\": {value}")],
        );
        check(
            tolerations(json!({"key": "a", "operator": "Exists", "value": "b"})),
            &[
                "scheduling.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
            ],
        );
        check(
            tolerations(json!({"operator": "Equal"})),
            &["scheduling.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is \
               empty, which means \"match all values and all keys\""],
        );
    }

    #[test]
    fn warnings_of_deprecated_labels() {
        let deprecated = class(json!({"scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "linux", "a": "b"}}}));
        let expected = "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/os\" instead";
        assert_eq!(RuntimeClasses.warnings(&deprecated, Some(&deprecated)), [expected]);
        assert!(RuntimeClasses.warnings(&class(json!({})), None).is_empty());
    }

    #[test]
    fn defaults_round_up() {
        let mut object = class(json!({"overhead": {"podFixed": {"cpu": "0.00001"}}}));
        RuntimeClasses.default(&mut object);
        assert_eq!(json!(object.overhead), json!({"podFixed": {"cpu": "1m"}}));
    }

    #[test]
    fn rows() {
        let row = RuntimeClasses.row(&class(json!({})), Timestamp::UNIX_EPOCH);
        assert_eq!(json!(row), json!(["c", "runsc", "<unknown>"]));
        assert_eq!(row.len(), RuntimeClasses.columns().len());
    }
}
