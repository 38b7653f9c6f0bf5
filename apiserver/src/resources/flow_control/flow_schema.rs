//! FlowSchemas: which requests go to which priority level, and how their flows are told apart.

use api::field::{Error, ErrorList, Path};
use api::names::object_dns_subdomain;
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, FlowSchemaSpec, FlowSchemaStatus};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::super::semantic;
use super::{born_schemas, is_mandatory, policy_rules, shown, validate_conditions};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, SpecChanged, Strategy, UpdateSubresource};

const DEFAULT_PRECEDENCE: i32 = 1000;
const MAX_PRECEDENCE: i32 = 10_000;
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];

pub(crate) struct FlowSchemas;

impl Strategy for FlowSchemas {
    type Object = FlowSchema;

    fn names(&self) -> Names {
        Names::of::<FlowSchema>("flowschema", false)
    }

    fn default(&self, object: &mut FlowSchema) {
        let precedence = object.spec.matching_precedence.get_or_insert(0);
        if *precedence == 0 {
            *precedence = DEFAULT_PRECEDENCE;
        }
    }

    fn prepare_create(&self, object: &mut FlowSchema, _: Context<'_>) {
        object.status = Some(FlowSchemaStatus::default());
    }

    fn prepare_update(&self, new: &mut FlowSchema, old: &FlowSchema, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn generation(&self) -> Option<SpecChanged<FlowSchema>> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &FlowSchema) -> ErrorList {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let path = Path::new("spec");
        let mut errors = validate_spec(name, &object.spec, &path);
        errors.extend(validate_mandatory(name, &object.spec, &path));
        errors.extend(validate_status(object));
        errors
    }

    fn validate_update(&self, new: &FlowSchema, _: &FlowSchema) -> ErrorList {
        self.validate(new)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &FlowSchema, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let method = spec.distinguisher_method.as_ref().map_or("<none>", |method| &method.type_);
        let mut conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let dangling = conditions.find(|condition| condition.type_ == "Dangling");
        let dangling = dangling.map_or("?", |condition| condition.status.as_deref().unwrap_or_default());
        vec![
            object.metadata.name.clone().into(),
            spec.priority_level_configuration.name.clone().into(),
            spec.matching_precedence.unwrap_or(0).into(),
            method.into(),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            dangling.into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<FlowSchema>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                super::keep_metadata(&mut new.metadata, &old.metadata);
                new.spec.clone_from(&old.spec);
            },
            validate: |new, _| validate_status(new),
        }]
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new("PriorityLevel", "`name` is the name of the priority level configuration being referenced Required."),
    Column::new(
        "MatchingPrecedence",
        "`matchingPrecedence` is used to choose among the FlowSchemas that match a given request. The chosen FlowSchema is \
         among those with the numerically lowest (which we take to be logically highest) MatchingPrecedence.  Each \
         MatchingPrecedence value must be ranged in [1,10000]. Note that if the precedence is not specified, it will be set \
         to 1000 as default.",
    ),
    Column::new(
        "DistinguisherMethod",
        "`distinguisherMethod` defines how to compute the flow distinguisher for requests that match this schema. `nil` \
         specifies that the distinguisher is disabled and thus will always be the empty string.",
    ),
    AGE_COLUMN,
    Column::new("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
];

fn validate_spec(name: &str, spec: &FlowSchemaSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (precedence, precedence_path) = (spec.matching_precedence.unwrap_or(0), path.child("matchingPrecedence"));
    if precedence <= 0 {
        errors.push(Error::invalid(&precedence_path, precedence, "must be a positive value"));
    }
    if precedence > MAX_PRECEDENCE {
        let detail = format!("must not be greater than {MAX_PRECEDENCE}");
        errors.push(Error::invalid(&precedence_path, precedence, detail));
    }
    if precedence == 1 && name != "exempt" {
        let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(Error::invalid(&precedence_path, precedence, detail));
    }
    if let Some(method) = spec.distinguisher_method.as_ref().filter(|method| !METHODS.contains(&&*method.type_)) {
        let path = path.child("distinguisherMethod").child("type");
        errors.push(Error::not_supported(&path, shown::method(&method.type_), &METHODS));
    }
    let (level, level_path) = (&spec.priority_level_configuration.name, path.child("priorityLevelConfiguration"));
    if level.is_empty() {
        errors.push(Error::required(&level_path.child("name"), "must reference a priority level"));
    } else {
        errors.push_invalid(&level_path.child("name"), level, object_dns_subdomain(level, false));
    }
    for (i, rule) in spec.rules.iter().flatten().enumerate() {
        errors.extend(policy_rules::validate(rule, &path.child("rules").index(i)));
    }
    errors
}

fn validate_mandatory(name: &str, spec: &FlowSchemaSpec, path: &Path) -> Option<Error> {
    if !is_mandatory(name) {
        return None;
    }
    let fixed = born_schemas().into_iter().find(|schema| schema.metadata.name.as_deref() == Some(name))?;
    let detail = format!("spec of '{name}' must equal the fixed value");
    (!semantic::equal(spec, &fixed.spec)).then(|| Error::invalid(path, shown::schema(spec), detail))
}

fn validate_status(object: &FlowSchema) -> ErrorList {
    let conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
    validate_conditions(conditions.map(|condition| &*condition.type_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(name: &str, spec: Value) -> FlowSchema {
        let metadata = json!({"name": name, "creationTimestamp": "1970-01-01T00:00:00Z"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn shown(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn check(name: &str, spec: Value, expected: &[&str]) {
        let object = schema(name, spec);
        assert_eq!(shown(FlowSchemas.validate(&object)), expected);
        assert_eq!(shown(FlowSchemas.validate_update(&object, &FlowSchema::default())), expected);
    }

    #[test]
    fn validation() {
        const AT: &str = "spec.matchingPrecedence: Invalid value";
        let spec = |precedence: i32| json!({"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": "system"}});
        check("a", spec(2), &[]);
        check("a", spec(10_000), &[]);
        check("a", spec(0), &[&format!("{AT}: 0: must be a positive value")]);
        check("a", spec(-5), &[&format!("{AT}: -5: must be a positive value")]);
        check("a", spec(10_001), &[&format!("{AT}: 10001: must not be greater than 10000")]);
        check("a", spec(1), &[&format!("{AT}: 1: only the schema named 'exempt' may have matchingPrecedence 1")]);
        let mut method = spec(5);
        method["distinguisherMethod"] = json!({"type": "ByUser"});
        check("a", method.clone(), &[]);
        method["distinguisherMethod"] = json!({"type": "ByVerb"});
        let unsupported = "spec.distinguisherMethod.type: Unsupported value: {\"Type\":\"ByVerb\"}: supported values: \
                           \"ByNamespace\", \"ByUser\"";
        check("a", method, &[unsupported]);
        let level = "spec.priorityLevelConfiguration.name: Required value: must reference a priority level";
        check("a", json!({"matchingPrecedence": 5}), &[level]);
        let subdomain = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
                         is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
        check(
            "a",
            json!({"matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "A_b"}}),
            &[&format!("spec.priorityLevelConfiguration.name: Invalid value: \"A_b\": {subdomain}")],
        );
        let mut rules = spec(5);
        rules["rules"] = json!([{}]);
        let subjects = "spec.rules[0].subjects: Required value: subjects must contain at least one value";
        let nothing = "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be \
                       non-empty";
        check("a", rules, &[subjects, nothing]);
    }

    #[test]
    fn mandatory_schemas_are_as_they_are() {
        for born in born_schemas() {
            let name = born.metadata.name.clone().unwrap_or_default();
            assert!(FlowSchemas.validate(&born).is_empty(), "{name}");
            let mut defaulted = born.clone();
            FlowSchemas.default(&mut defaulted);
            assert_eq!(born, defaulted, "{name}");
            let mut changed = born.clone();
            changed.spec.matching_precedence = Some(7);
            let errors = FlowSchemas.validate(&changed);
            assert_eq!(errors.is_empty(), !is_mandatory(&name), "{name}");
        }
        let level = json!({"name": "exempt"});
        let rules = json!([{
            "subjects": [{"kind": "Group", "group": {"name": "g"}}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/"]}],
        }]);
        let spec = json!({"matchingPrecedence": 1, "priorityLevelConfiguration": level, "rules": rules});
        let expected = "spec: Invalid value: {\"PriorityLevelConfiguration\":{\"Name\":\"exempt\"},\"MatchingPrecedence\":1,\
                        \"DistinguisherMethod\":null,\"Rules\":[{\"Subjects\":[{\"Kind\":\"Group\",\"User\":null,\
                        \"Group\":{\"Name\":\"g\"},\"ServiceAccount\":null}],\"ResourceRules\":null,\"NonResourceRules\":\
                        [{\"Verbs\":[\"get\"],\"NonResourceURLs\":[\"/\"]}]}]}: spec of 'exempt' must equal the fixed value";
        check("exempt", spec, &[expected]);
    }

    #[test]
    fn defaults() {
        let check = |precedence: Value, expected: i32| {
            let mut object = schema("a", json!({"matchingPrecedence": precedence}));
            FlowSchemas.default(&mut object);
            assert_eq!(object.spec.matching_precedence, Some(expected));
        };
        check(Value::Null, 1000);
        check(json!(0), 1000);
        check(json!(-1), -1);
    }

    #[test]
    fn status_is_a_part_of_its_own() {
        let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
        let old = schema("a", json!({"matchingPrecedence": 5}));
        let mut new = schema("a", json!({"matchingPrecedence": 6}));
        new.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        let status = json!({"conditions": [{"type": "Dangling", "status": "True"}, {"type": "Dangling"}]});
        new.status = serde_json::from_value(status).unwrap();
        let updates = FlowSchemas.updates();
        let mut written = new.clone();
        (updates[0].prepare)(&mut written, &old, context);
        assert_eq!((&written.spec, &written.metadata), (&old.spec, &old.metadata));
        let errors = (updates[0].validate)(&written, &old);
        assert_eq!(shown(errors), ["status.conditions[1].type: Duplicate value: \"Dangling\""]);
        FlowSchemas.prepare_update(&mut new, &old, context);
        assert_eq!(new.status, None);
        let changed = FlowSchemas.generation().unwrap();
        assert!(changed(&new, &old) && !changed(&new, &new));
    }

    #[test]
    fn rows() {
        let now = Timestamp::new(3 * 86_400, 0).unwrap();
        let level = json!({"name": "system"});
        let spec = json!({"matchingPrecedence": 500, "priorityLevelConfiguration": level});
        let mut object = schema("a", spec);
        assert_eq!(json!(FlowSchemas.row(&object, now)), json!(["a", "system", 500, "<none>", "3d", "?"]));
        object.spec.distinguisher_method = serde_json::from_value(json!({"type": "ByUser"})).unwrap();
        let status =
            json!({"conditions": [{"type": "Other", "status": "True"}, {"type": "Dangling", "status": "False"}]});
        object.status = serde_json::from_value(status).unwrap();
        assert_eq!(json!(FlowSchemas.row(&object, now)), json!(["a", "system", 500, "ByUser", "3d", "False"]));
    }
}
