//! How requests are told apart and share the server's attention (`flowcontrol.apiserver.k8s.io`).
//!
//! Two schemas and two levels are mandatory: without `exempt` nobody could repair an overloaded server, and without
//! `catch-all` some requests would belong nowhere. Their specs are what they are.

mod flow_schema;
mod policy_rules;
mod priority_level;
mod queuing;
mod shown;

use std::collections::HashSet;

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::born;

pub(crate) use self::flow_schema::FlowSchemas;
pub(crate) use self::priority_level::PriorityLevels;

/// The names of the schemas and levels that no cluster can be without.
const MANDATORY: [&str; 2] = ["catch-all", "exempt"];

/// Whether no cluster can be without the schema and the level of this name.
pub(crate) fn is_mandatory(name: &str) -> bool {
    MANDATORY.contains(&name)
}

/// The schemas of a new cluster, the mandatory ones and those that upstream suggests.
pub(crate) fn born_schemas() -> Vec<FlowSchema> {
    born::read(include_str!("../../../../manifests/born/flow-schemas.yaml"))
}

/// The levels of a new cluster, the mandatory ones and those that upstream suggests.
pub(crate) fn born_levels() -> Vec<PriorityLevelConfiguration> {
    born::read(include_str!("../../../../manifests/born/priority-level-configurations.yaml"))
}

/// Through the status nothing of the metadata changes but what says who manages which fields.
fn keep_metadata(new: &mut ObjectMeta, old: &ObjectMeta) {
    let (version, managed) = (new.resource_version.take(), new.managed_fields.take());
    *new = ObjectMeta { resource_version: version, managed_fields: managed, ..old.clone() };
}

/// What is wrong with the conditions of a status, given their types.
fn validate_conditions<'a>(types: impl Iterator<Item = &'a str>) -> ErrorList {
    let path = Path::new("status").child("conditions");
    let mut seen = HashSet::new();
    let mut errors = ErrorList::new();
    for (i, kind) in types.enumerate() {
        let path = path.index(i).child("type");
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(Error::required(&path, "must not be empty"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let check = |types: &[&str], expected: &[&str]| {
            let errors = validate_conditions(types.iter().copied());
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        };
        check(&[], &[]);
        check(&["Dangling", "Other"], &[]);
        check(&[""], &["status.conditions[0].type: Required value: must not be empty"]);
        check(&["A", "B", "A"], &["status.conditions[2].type: Duplicate value: \"A\""]);
    }

    #[test]
    fn every_schema_has_its_level() {
        let levels: Vec<String> = born_levels().into_iter().filter_map(|level| level.metadata.name).collect();
        assert_eq!(levels.len(), 8);
        let schemas = born_schemas();
        assert_eq!(schemas.len(), 13);
        for schema in &schemas {
            assert!(levels.contains(&schema.spec.priority_level_configuration.name));
        }
        for name in MANDATORY {
            assert!(levels.iter().any(|level| level == name));
            assert!(schemas.iter().any(|schema| schema.metadata.name.as_deref() == Some(name)));
        }
    }
}
