//! DeviceClasses: what devices there are to ask for by one name, chosen and configured by the administrator.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::resource::v1::{DeviceClass, DeviceClassSpec};

use super::devices::{MAX_ITEMS, validate_list, validate_opaque, validate_selectors};
use super::pod_spec::is_extended_resource;
use super::semantic;
use crate::strategy::{Names, SpecChanged, Strategy};

pub(crate) struct DeviceClasses;

impl Strategy for DeviceClasses {
    type Object = DeviceClass;

    fn names(&self) -> Names {
        Names::of::<DeviceClass>("deviceclass", false)
    }

    fn default(&self, object: &mut DeviceClass) {
        object.spec.get_or_insert_default();
    }

    fn generation(&self) -> Option<SpecChanged<DeviceClass>> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &DeviceClass) -> ErrorList {
        validate(&object.spec.clone().unwrap_or_default(), None)
    }

    fn validate_update(&self, new: &DeviceClass, old: &DeviceClass) -> ErrorList {
        let spec = |class: &DeviceClass| class.spec.clone().unwrap_or_default();
        validate(&spec(new), Some(&spec(old)))
    }
}

fn validate(spec: &DeviceClassSpec, old: Option<&DeviceClassSpec>) -> ErrorList {
    let path = Path::new("spec");
    let is_stored = old.is_some_and(|old| semantic::equal(&spec.selectors, &old.selectors));
    let selectors = spec.selectors.as_deref().unwrap_or_default();
    let mut errors = validate_selectors(selectors, is_stored, &path.child("selectors"));
    let is_stored = old.is_some_and(|old| semantic::equal(&spec.config, &old.config));
    let config = spec.config.as_deref().unwrap_or_default();
    errors.extend(validate_list(config, MAX_ITEMS, &path.child("config"), |config, path| {
        validate_opaque(config.opaque.as_ref(), is_stored, path)
    }));
    if let Some(name) = spec.extended_resource_name.as_deref().filter(|name| !is_extended_resource(name)) {
        let path = path.child("extendedResourceName");
        errors.push(Error::invalid(&path, name, "must be a valid extended resource name"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(spec: Value) -> DeviceClass {
        serde_json::from_value(json!({"metadata": {"name": "gpu"}, "spec": spec})).unwrap()
    }

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn selectors(expression: &str) -> Value {
        json!([{"cel": {"expression": expression}}])
    }

    fn config(driver: &str, parameters: Value) -> Value {
        json!({"config": [{"opaque": {"driver": driver, "parameters": parameters}}]})
    }

    #[test]
    fn validation() {
        let check = |spec: Value, expected: &[&str]| {
            let errors = shown(&DeviceClasses.validate(&class(spec)));
            assert_eq!(errors.len(), expected.len(), "{errors:?}");
            assert!(errors.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{errors:?}");
        };
        check(json!({}), &[]);
        check(json!({"selectors": selectors("true"), "extendedResourceName": "example.com/gpu"}), &[]);
        check(config("gpu.example.com", json!({"a": [1]})), &[]);
        check(json!({"selectors": [{}]}), &["spec.selectors[0].cel: Required value"]);
        check(json!({"selectors": selectors("")}), &["spec.selectors[0].cel.expression: Required value"]);
        check(
            json!({"selectors": selectors(&"x".repeat(10 * 1024 + 1))}),
            &["spec.selectors[0].cel.expression: Too long: may not be more than 10240 bytes"],
        );
        let many = vec![json!({"cel": {"expression": "true"}}); 33];
        check(json!({"selectors": many}), &["spec.selectors: Too many: 33: must have at most 32 items"]);
        check(json!({"config": [{}]}), &["spec.config[0].opaque: Required value"]);
        let opaque = "spec.config[0].opaque";
        check(config("", json!({})), &[&format!("{opaque}.driver: Required value")]);
        check(config("a_b", json!({})), &[&format!("{opaque}.driver: Invalid value: \"a_b\": a lowercase RFC 1123")]);
        check(config("a", Value::Null), &[&format!("{opaque}.parameters: Required value")]);
        let object = format!("{opaque}.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object");
        check(config("a", json!([1])), &[&object]);
        check(config("a", json!("text")), &[&object]);
        let long = format!("{opaque}.parameters: Too long: may not be more than 10240 bytes");
        check(config("a", json!({"a": "x".repeat(10 * 1024)})), &[&long]);
        let many = vec![json!({"opaque": {"driver": "a", "parameters": {}}}); 33];
        check(json!({"config": many}), &["spec.config: Too many: 33: must have at most 32 items"]);
        for name in ["gpu", "kubernetes.io/gpu", "requests.example.com/gpu", "example.com/a b", ""] {
            let expected =
                format!("spec.extendedResourceName: Invalid value: \"{name}\": must be a valid extended resource name");
            check(json!({"extendedResourceName": name}), &[&expected]);
        }
    }

    #[test]
    fn what_is_stored_may_be_longer() {
        let long = class(json!({"selectors": selectors(&"x".repeat(20 * 1024))}));
        assert!(DeviceClasses.validate_update(&long, &long).is_empty());
        assert_eq!(DeviceClasses.validate_update(&long, &class(json!({}))).len(), 1);
        let long = class(config("a", json!({"a": "x".repeat(20 * 1024)})));
        assert!(DeviceClasses.validate_update(&long, &long).is_empty());
        assert_eq!(DeviceClasses.validate_update(&long, &class(json!({}))).len(), 1);
    }

    #[test]
    fn a_class_of_everything_says_so() {
        let mut bare = DeviceClass::default();
        DeviceClasses.default(&mut bare);
        assert_eq!(bare.spec, Some(DeviceClassSpec::default()));
    }

    #[test]
    fn generation_counts_changes_of_the_spec() {
        let changed = DeviceClasses.generation().unwrap();
        let (one, two) =
            (class(json!({"selectors": selectors("true")})), class(json!({"selectors": selectors("false")})));
        assert!(changed(&one, &two));
        assert!(!changed(&one, &one));
    }
}
