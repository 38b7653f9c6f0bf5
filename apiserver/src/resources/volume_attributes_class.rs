//! VolumeAttributesClasses: attributes of volumes that a driver can change while they are in use.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::provisioning::{validate_driver, validate_parameters, validate_same_parameters};
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

pub(crate) struct VolumeAttributesClasses;

impl Strategy for VolumeAttributesClasses {
    type Object = VolumeAttributesClass;

    fn names(&self) -> Names {
        Names::of::<VolumeAttributesClass>("volumeattributesclass", false).short(&["vac"])
    }

    fn validate(&self, object: &VolumeAttributesClass) -> ErrorList {
        let mut errors = validate_driver(&object.driver_name, &Path::new("driverName"));
        errors.extend(validate_parameters(object.parameters.as_ref(), false, &Path::new("parameters")));
        errors
    }

    fn validate_update(&self, new: &VolumeAttributesClass, old: &VolumeAttributesClass) -> ErrorList {
        let mut errors = ErrorList::new();
        if new.driver_name != old.driver_name {
            errors.push(Error::forbidden(&Path::new("driverName"), "updates to driverName are forbidden."));
        }
        errors.extend(validate_same_parameters(new.parameters.as_ref(), old.parameters.as_ref()));
        errors.extend(self.validate(new));
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const DRIVER: Column =
            Column::new("DriverName", "driverName is the name of the CSI driver This field is immutable.");
        const { &[NAME_COLUMN, DRIVER, AGE_COLUMN] }
    }

    fn row(&self, object: &VolumeAttributesClass, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), object.driver_name.clone().into(), age.into()]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(driver: &str, parameters: Value) -> VolumeAttributesClass {
        let metadata = json!({"name": "gold", "creationTimestamp": "1970-01-01T00:00:00Z"});
        let value = json!({"metadata": metadata, "driverName": driver, "parameters": parameters});
        serde_json::from_value(value).unwrap()
    }

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                        character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                        '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

    #[test]
    fn refusals() {
        let check = |driver: &str, parameters: Value, expected: &[&str]| {
            assert_eq!(shown(&VolumeAttributesClasses.validate(&class(driver, parameters))), expected);
        };
        let none = "parameters: Required value: must contain at least one key/value pair";
        let some = || json!({"iops": "4000"});
        let many = |count: usize, value: &str| -> Value {
            (0..count).map(|i| (format!("k{i}"), json!(value))).collect::<serde_json::Map<_, _>>().into()
        };
        check("disk.example.com", some(), &[]);
        check("Disk.Example.com", some(), &[]);
        check("example.com/disk", many(512, "v"), &[]);
        check("", some(), &["driverName: Required value"]);
        check("", json!({}), &["driverName: Required value", none]);
        check("d", Value::Null, &[none]);
        check("-D", some(), &[&format!("driverName: Invalid value: \"-d\": name part {NAME}")]);
        check(
            "a/",
            some(),
            &[
                "driverName: Invalid value: \"a/\": name part must be non-empty",
                &format!("driverName: Invalid value: \"a/\": name part {NAME}"),
            ],
        );
        check("/a", some(), &["driverName: Invalid value: \"/a\": prefix part must be non-empty"]);
        check("d", json!({"": "v"}), &["parameters: Invalid value: \"\": field can not be empty."]);
        check("d", many(513, "v"), &["parameters: Too long: may not be more than 512 bytes"]);
        check("d", many(2, &"v".repeat(128 * 1024)), &["parameters: Too long: may not be more than 262144 bytes"]);
        check("d", json!({"k": "v".repeat(256 * 1024 - 1)}), &[]);
        let long = "d".repeat(64);
        let expected = format!("driverName: Invalid value: \"{long}\": name part must be no more than 63 bytes");
        check(&long, some(), &[&expected]);
    }

    #[test]
    fn nothing_changes() {
        let check = |new: VolumeAttributesClass, expected: &[&str]| {
            let old = class("d", json!({"iops": "4000"}));
            assert_eq!(shown(&VolumeAttributesClasses.validate_update(&new, &old)), expected);
        };
        let driver = "driverName: Forbidden: updates to driverName are forbidden.";
        let parameters = "parameters: Forbidden: updates to parameters are forbidden.";
        check(class("d", json!({"iops": "4000"})), &[]);
        check(class("e", json!({"iops": "4000"})), &[driver]);
        check(class("d", json!({"iops": "5000"})), &[parameters]);
        let none = "parameters: Required value: must contain at least one key/value pair";
        check(class("", json!({})), &[driver, parameters, "driverName: Required value", none]);
    }

    #[test]
    fn rows() {
        let now = Timestamp::new(3 * 86_400, 0).unwrap();
        let row = VolumeAttributesClasses.row(&class("d.example.com", json!({})), now);
        assert_eq!(row, ["gold", "d.example.com", "3d"].map(Value::from));
        assert_eq!(VolumeAttributesClasses.columns().len(), 3);
    }
}
