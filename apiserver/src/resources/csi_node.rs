//! CSINodes: which storage drivers are there on a node, and how much of them it can use.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::pod_spec::absent::list;
use super::pod_spec::rules::{non_negative, present, qualified_name};
use super::pod_spec::volumes::network::driver_name;
use super::status_meta;
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

const MAX_NODE_ID_BYTES: usize = 256;

pub(crate) struct CsiNodes;

impl Strategy for CsiNodes {
    type Object = CSINode;

    fn names(&self) -> Names {
        Names::of::<CSINode>("csinode", false)
    }

    fn prepare_create(&self, object: &mut CSINode, _: Context<'_>) {
        object.status = None;
    }

    fn prepare_update(&self, new: &mut CSINode, old: &CSINode, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn validate(&self, object: &CSINode) -> ErrorList {
        let path = Path::new("spec").child("drivers");
        let mut errors = ErrorList::new();
        let mut names = HashSet::new();
        for (i, driver) in object.spec.drivers.iter().enumerate() {
            errors.extend(validate_driver(driver, names.insert(&driver.name), &path.index(i)));
        }
        errors
    }

    fn validate_update(&self, new: &CSINode, old: &CSINode) -> ErrorList {
        let mut errors = self.validate(new);
        let path = Path::new("spec").child("drivers");
        for old in &old.spec.drivers {
            for new in new.spec.drivers.iter().filter(|new| new.name == old.name) {
                if new.node_id != old.node_id || list(&new.topology_keys) != list(&old.topology_keys) {
                    errors.push(Error::invalid(&path, shown(new), FIELD_IMMUTABLE));
                }
            }
        }
        errors
    }

    fn columns(&self) -> &'static [Column] {
        const DRIVERS: Column =
            Column::new("Drivers", "Drivers indicates the number of CSI drivers registered on the node")
                .of_type("integer");
        const { &[NAME_COLUMN, DRIVERS, AGE_COLUMN] }
    }

    fn row(&self, object: &CSINode, now: Timestamp) -> Vec<Value> {
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), object.spec.drivers.len().into(), age.into()]
    }

    fn updates(&self) -> Vec<UpdateSubresource<CSINode>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec.clone_from(&old.spec);
                status_meta::reset(&mut new.metadata, &old.metadata);
                // All that there is in it is the health of storage, and upstream's gate CSIVolumeHealth is off.
                new.status.clone_from(&old.status);
            },
            validate: |_, _| ErrorList::new(),
        }]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// What is wrong with a driver, whose name is the first of its kind or a repeated one.
fn validate_driver(driver: &CSINodeDriver, is_first: bool, path: &Path) -> ErrorList {
    let name_path = path.child("name");
    let mut errors = driver_name(&driver.name, &name_path);
    let id_path = path.child("nodeID");
    errors.extend(present(&driver.node_id, &id_path));
    if driver.node_id.len() > MAX_NODE_ID_BYTES {
        let detail = format!("must be {MAX_NODE_ID_BYTES} characters or less");
        errors.push(Error::invalid(&id_path, &driver.node_id, detail));
    }
    if let Some(count) = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count) {
        errors.extend(non_negative(count.into(), &path.child("allocatable").child("count")));
    }
    if !is_first {
        errors.push(Error::duplicate(&name_path, &driver.name));
    }
    let mut keys = HashSet::new();
    // Upstream leaves the keys out of the paths.
    for key in list(&driver.topology_keys) {
        errors.extend(present(key, path));
        if !keys.insert(key) {
            errors.push(Error::duplicate(path, key));
        }
        errors.extend(qualified_name(key, path));
    }
    errors
}

/// A driver in the names of upstream's internal type, which its messages show without what may change.
fn shown(driver: &CSINodeDriver) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Shown<'a> {
        name: &'a str,
        #[serde(rename = "NodeID")]
        node_id: &'a str,
        topology_keys: Option<&'a Vec<String>>,
        allocatable: Option<()>,
    }
    let topology_keys = driver.topology_keys.as_ref();
    BadValue::json(&Shown { name: &driver.name, node_id: &driver.node_id, topology_keys, allocatable: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(drivers: Value) -> CSINode {
        let metadata = json!({"name": "n1", "creationTimestamp": "1970-01-01T00:00:00Z"});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"drivers": drivers}})).unwrap()
    }

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    const LABEL: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                             and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                             validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

    #[test]
    fn refusals() {
        let check = |drivers: Value, expected: &[&str]| {
            assert_eq!(shown(&CsiNodes.validate(&node(drivers))), expected);
        };
        let driver = |name: &str, id: &str| json!({"name": name, "nodeID": id});
        let keys = |keys: Value| json!([{"name": "d", "nodeID": "n", "topologyKeys": keys}]);
        let count = |count: i32| json!([{"name": "d", "nodeID": "n", "allocatable": {"count": count}}]);
        check(json!([]), &[]);
        check(json!([driver("Disk.example.com", "n"), driver("e", "m")]), &[]);
        check(json!([driver("d", &"n".repeat(256))]), &[]);
        check(keys(json!(["example.com/zone", "rack"])), &[]);
        check(count(0), &[]);
        check(count(-1), &["spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"]);
        check(
            json!([driver("", "n")]),
            &[
                "spec.drivers[0].name: Required value",
                &format!("spec.drivers[0].name: Invalid value: \"\": {SUBDOMAIN}"),
            ],
        );
        check(json!([driver("d_", "n")]), &[&format!("spec.drivers[0].name: Invalid value: \"d_\": {SUBDOMAIN}")]);
        check(
            json!([driver(&"d".repeat(64), "n")]),
            &["spec.drivers[0].name: Too long: may not be more than 63 bytes"],
        );
        check(json!([driver("d", "")]), &["spec.drivers[0].nodeID: Required value"]);
        let long = "n".repeat(257);
        check(
            json!([driver("d", &long)]),
            &[&format!("spec.drivers[0].nodeID: Invalid value: \"{long}\": must be 256 characters or less")],
        );
        check(json!([driver("d", "n"), driver("d", "m")]), &["spec.drivers[1].name: Duplicate value: \"d\""]);
        check(keys(json!(["rack", "rack"])), &["spec.drivers[0]: Duplicate value: \"rack\""]);
        check(
            keys(json!([""])),
            &[
                "spec.drivers[0]: Required value",
                "spec.drivers[0]: Invalid value: \"\": name part must be non-empty",
                &format!("spec.drivers[0]: Invalid value: \"\": name part {LABEL}"),
            ],
        );
        check(keys(json!(["a b"])), &[&format!("spec.drivers[0]: Invalid value: \"a b\": name part {LABEL}")]);
    }

    #[test]
    fn only_what_is_allocatable_changes() {
        let check = |new: Value, expected: &[&str]| {
            let old =
                node(json!([{"name": "d", "nodeID": "n", "topologyKeys": ["rack"], "allocatable": {"count": 4}}]));
            assert_eq!(shown(&CsiNodes.validate_update(&node(new), &old)), expected);
        };
        check(json!([{"name": "d", "nodeID": "n", "topologyKeys": ["rack"]}]), &[]);
        check(json!([]), &[]);
        check(json!([{"name": "e", "nodeID": "m"}]), &[]);
        check(
            json!([{"name": "d", "nodeID": "m", "topologyKeys": ["rack"], "allocatable": {"count": 5}}]),
            &["spec.drivers: Invalid value: {\"Name\":\"d\",\"NodeID\":\"m\",\"TopologyKeys\":[\"rack\"],\
             \"Allocatable\":null}: field is immutable"],
        );
        check(
            json!([{"name": "d", "nodeID": "n"}]),
            &[
                "spec.drivers: Invalid value: {\"Name\":\"d\",\"NodeID\":\"n\",\"TopologyKeys\":null,\"Allocatable\":null}: \
             field is immutable",
            ],
        );
    }

    #[test]
    fn a_status_says_nothing_yet() {
        let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
        let with_health = |drivers: Value| {
            let mut object = serde_json::to_value(node(drivers)).unwrap();
            object["status"] = json!({"storageHealth": [{"name": "d"}]});
            serde_json::from_value::<CSINode>(object).unwrap()
        };
        let mut created = with_health(json!([]));
        CsiNodes.prepare_create(&mut created, context);
        assert_eq!(created.status, None);
        let mut written = with_health(json!([{"name": "d", "nodeID": "n"}]));
        written.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        (CsiNodes.updates()[0].prepare)(&mut written, &created, context);
        assert_eq!(written, created);
    }

    #[test]
    fn rows() {
        let now = Timestamp::new(3 * 86_400, 0).unwrap();
        let row = CsiNodes.row(&node(json!([{"name": "d", "nodeID": "n"}])), now);
        assert_eq!(row, [json!("n1"), json!(1), json!("3d")]);
        assert_eq!(CsiNodes.columns().len(), 3);
    }
}
