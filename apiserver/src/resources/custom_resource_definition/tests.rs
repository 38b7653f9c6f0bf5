//! Definitions by cases: what is refused and in which words, defaults, what updates may change, and the end.

use serde_json::json;

use super::*;

const CRDS: CustomResourceDefinitions = CustomResourceDefinitions;
const ROOT: &str = "spec.validation.openAPIV3Schema";

fn definition(change: impl FnOnce(&mut Value)) -> CustomResourceDefinition {
    let mut object = json!({
        "metadata": {"name": "as.example.com", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "as", "kind": "A"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    change(&mut object);
    let mut object: CustomResourceDefinition = serde_json::from_value(object).unwrap();
    CRDS.default(&mut object);
    object
}

fn shown(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    assert_eq!(shown(&CRDS.validate(&definition(change))), expected);
}

/// Messages are below the schema, unless they begin with a slash.
#[track_caller]
fn check_schema(schema: Value, expected: &[&str]) {
    let object = definition(|object| object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema);
    let expected: Vec<String> = expected.iter().map(|message| format!("{ROOT}{message}")).collect();
    assert_eq!(shown(&CRDS.validate(&object)), expected);
}

/// The schema of one property `a`; messages are below it.
#[track_caller]
fn check_property(property: Value, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|message| format!(".properties[a]{message}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check_schema(json!({"type": "object", "properties": {"a": property}}), &expected);
}

const LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
    character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
    '[a-z]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn names_and_scope() {
    check(|_| {}, &[]);
    check(
        |object| object["metadata"]["name"] = json!("bs.example.com"),
        &["metadata.name: Invalid value: \"bs.example.com\": must be spec.names.plural+\".\"+spec.group"],
    );
    check(
        |object| {
            object["metadata"]["name"] = json!("as.example");
            object["spec"]["group"] = json!("example");
        },
        &["spec.group: Invalid value: \"example\": should be a domain with at least one dot"],
    );
    check(|object| object["spec"]["scope"] = json!(""), &["spec.scope: Required value"]);
    check(
        |object| object["spec"]["scope"] = json!("Planet"),
        &["spec.scope: Unsupported value: \"Planet\": supported values: \"Cluster\", \"Namespaced\""],
    );
    check(
        |object| object["spec"]["names"]["kind"] = json!(""),
        &[
            "spec.names.singular: Required value",
            "spec.names.kind: Required value",
            "spec.names.listKind: Required value",
        ],
    );
    check(
        |object| object["spec"]["names"]["listKind"] = json!("A"),
        &["spec.names.listKind: Invalid value: \"A\": kind and listKind may not be the same"],
    );
    let mixed = format!("may have mixed case, but should otherwise match: {LABEL}");
    check(
        |object| {
            object["spec"]["names"] = json!({
                "plural": "as", "kind": "A_", "listKind": "As", "shortNames": ["B"], "categories": ["all", "1"],
                "singular": "A",
            });
        },
        &[
            &format!("spec.names.singular: Invalid value: \"A\": {LABEL}"),
            &format!("spec.names.kind: Invalid value: \"A_\": {mixed}"),
            &format!("spec.names.shortNames[0]: Invalid value: \"B\": {LABEL}"),
            &format!("spec.names.categories[1]: Invalid value: \"1\": {LABEL}"),
        ],
    );
}

#[test]
fn versions() {
    let shown = "{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,\"DeprecationWarning\":null,\
                 \"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}";
    check(
        |object| object["spec"]["versions"][0]["storage"] = json!(false),
        &[
            &format!(
                "spec.versions: Invalid value: [{shown}]: must have exactly one version marked as storage version"
            ),
            "status.storedVersions: Invalid value: []: must have at least one stored version",
        ],
    );
    let stored = shown.replace("\"Storage\":false", "\"Storage\":true");
    check(
        |object| {
            let first = object["spec"]["versions"][0].clone();
            object["spec"]["versions"] = json!([first, first]);
        },
        &[
            &format!("spec.versions: Invalid value: [{stored},{stored}]: must contain unique version names"),
            &format!(
                "spec.versions: Invalid value: [{stored},{stored}]: must have exactly one version marked as storage version"
            ),
        ],
    );
    check(
        |object| object["spec"]["versions"][0]["name"] = json!("1"),
        &[
            &format!("spec.versions[0].name: Invalid value: \"1\": {LABEL}"),
            &format!("spec.version: Invalid value: \"1\": {LABEL}"),
        ],
    );
    check(
        |object| object["spec"]["versions"][0]["schema"] = Value::Null,
        &["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
    );
    check(
        |object| object["spec"]["versions"][0]["deprecationWarning"] = json!("x"),
        &["spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions"],
    );
    check(
        |object| {
            let version = &mut object["spec"]["versions"][0];
            version["deprecated"] = json!(true);
            version["deprecationWarning"] = json!("\u{7}");
        },
        &[
            "spec.versions[0].deprecationWarning: Invalid value: \"\\a\": must only contain printable UTF-8 characters; \
           non-printable character found at index 0",
        ],
    );
    check(
        |object| {
            let mut second = object["spec"]["versions"][0].clone();
            second["name"] = json!("v2");
            second["storage"] = json!(false);
            second["schema"]["openAPIV3Schema"] = json!({"type": "string"});
            object["spec"]["versions"] = json!([object["spec"]["versions"][0], second]);
        },
        &["spec.versions[1].schema.openAPIV3Schema.type: Invalid value: \"string\": must be object at the root"],
    );
    let instead = "set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    check(
        |object| object["spec"]["preserveUnknownFields"] = json!(true),
        &[&format!("spec.preserveUnknownFields: Invalid value: true: cannot set to true, {instead}")],
    );
}

#[test]
fn what_a_version_has() {
    let version =
        |field: &'static str, value: Value| move |object: &mut Value| object["spec"]["versions"][0][field] = value;
    let spec = "spec.subresources.scale";
    check(
        version("subresources", json!({"scale": {"specReplicasPath": "", "statusReplicasPath": ".spec.x"}})),
        &[
            &format!("{spec}.specReplicasPath: Required value"),
            &format!("{spec}.statusReplicasPath: Invalid value: \".spec.x\": should be a json path under .status"),
        ],
    );
    let scale = json!({"specReplicasPath": "spec.x", "statusReplicasPath": ".status.x", "labelSelectorPath": ".x"});
    check(
        version("subresources", json!({"scale": scale})),
        &[
            &format!("{spec}.specReplicasPath: Invalid value: \"spec.x\": must be a simple json path starting with ."),
            &format!(
                "{spec}.labelSelectorPath: Invalid value: \".x\": should be a json path under either .spec or .status"
            ),
        ],
    );
    let columns = json!([{"type": "text", "format": "long", "jsonPath": "x"}, {"name": "n"}]);
    let (types, formats) = (
        "must be one of boolean,date,integer,number,string",
        "must be one of byte,date,date-time,double,float,int32,int64,name,password,string",
    );
    let path = "spec.additionalPrinterColumns";
    check(
        version("additionalPrinterColumns", columns),
        &[
            &format!("{path}[0].name: Required value"),
            &format!("{path}[0].type: Invalid value: \"text\": {types}"),
            &format!("{path}[0].format: Invalid value: \"long\": {formats}"),
            &format!("{path}[0].JSONPath: Invalid value: \"x\": must be a simple json path starting with ."),
            &format!("{path}[1].type: Required value: {types}"),
            &format!("{path}[1].JSONPath: Required value"),
        ],
    );
    let schema = json!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": {"type": "object", "properties": {"s": {"type": "string"}, "n": {"type": "number"}}},
    }});
    let fields = [".spec.s", ".spec.s", ".spec.n", ".metadata.name", ".x", ""].map(|path| json!({"jsonPath": path}));
    let path = "spec.selectableFields";
    let scalar = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats \
                  are allowed.";
    check(
        |object| {
            object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
            object["spec"]["versions"][0]["selectableFields"] = json!(fields);
        },
        &[
            &format!("{path}[1].jsonPath: Duplicate value: \".spec.s\""),
            &format!("{path}[2].jsonPath: Invalid value: \".spec.n\": {scalar}"),
            &format!("{path}[3].jsonPath: Invalid value: \".metadata.name\": must not point to fields in metadata"),
            &format!("{path}[4].jsonPath: Invalid value: \".x\": is an invalid path: does not refer to a valid field"),
            &format!("{path}[5].jsonPath: Required value"),
        ],
    );
}

#[test]
fn conversion() {
    let conversion = |value: Value| move |object: &mut Value| object["spec"]["conversion"] = value;
    check(
        conversion(json!({"strategy": "Magic"})),
        &["spec.conversion.strategy: Unsupported value: \"Magic\": supported values: \"None\", \"Webhook\""],
    );
    check(
        conversion(json!({"strategy": "Webhook"})),
        &[
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    );
    let client = json!({"url": "https://example.com"});
    check(
        conversion(
            json!({"strategy": "None", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}),
        ),
        &[
            "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
            "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
        ],
    );
    check(
        conversion(json!({"strategy": "Webhook", "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v9"]}})),
        &[
            "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
            "spec.conversion.conversionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1",
        ],
    );
}

#[test]
fn structural_schemas() {
    check_schema(json!({}), &[".type: Required value: must not be empty at the root"]);
    check_property(json!({}), &[".type: Required value: must not be empty for specified object fields"]);
    check_property(json!({"type": "array"}), &[".items: Required value: must be specified"]);
    check_property(
        json!({"type": "array", "items": {}}),
        &[".items.type: Required value: must not be empty for specified array items"],
    );
    check_property(json!({"x-kubernetes-preserve-unknown-fields": true}), &[]);
    check_property(json!({"x-kubernetes-int-or-string": true}), &[]);
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    check_property(json!({"x-kubernetes-int-or-string": true, "anyOf": either}), &[]);
    check_property(json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": either}]}), &[]);
    check_property(
        json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
        &[
            ".x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ],
    );
    check_property(
        json!({"type": "string", "oneOf": [{"type": "string", "description": "x", "default": "y", "nullable": true}]}),
        &[
            ".oneOf[0].default: Forbidden: must be undefined to be structural",
            ".oneOf[0].description: Forbidden: must be empty to be structural",
            ".oneOf[0].nullable: Forbidden: must be false to be structural",
            ".oneOf[0].type: Forbidden: must be empty to be structural",
        ],
    );
    check_schema(
        json!({"type": "object", "not": {"properties": {"b": {"enum": ["x"]}}}}),
        &[&format!(".properties[b]: Required value: because it is defined in {ROOT}.not.properties[b]")],
    );
    check_schema(
        json!({"type": "object", "additionalProperties": {"type": "string"}}),
        &[".additionalProperties: Forbidden: must not be used at the root"],
    );
    check_schema(
        json!({"type": "object", "properties": {
            "kind": {"type": "integer"},
            "metadata": {"type": "object", "properties": {"labels": {"type": "object"}}},
        }}),
        &[
            ".properties[kind].type: Invalid value: \"integer\": must be string",
            ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is \
             implicitly specified",
        ],
    );
    check_property(
        json!({"type": "object", "x-kubernetes-embedded-resource": true}),
        &[".properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without \
           x-kubernetes-preserve-unknown-fields"],
    );
    check_property(
        json!({"type": "string", "pattern": "[a"}),
        &[
            ".pattern: Invalid value: \"[a\": must be a valid regular expression, but isn't: error parsing regexp: missing \
           closing ]: `[a`",
        ],
    );
}

#[test]
fn keywords_and_extensions() {
    check_property(
        json!({"type": "text"}),
        &[".type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \
           \"object\", \"string\""],
    );
    check_property(
        json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
        &[".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"],
    );
    check_property(
        json!({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": false}),
        &[".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    );
    check_property(
        json!({"type": "string", "id": "x", "$ref": "y", "definitions": {"d": {"type": "string"}}}),
        &[
            ".id: Forbidden: id is not supported",
            ".definitions: Forbidden: definitions is not supported",
            ".$ref: Forbidden: $ref is not supported",
        ],
    );
    check_schema(
        json!({"type": "object", "$schema": "x"}),
        &[": Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"],
    );
    check_schema(
        json!({"type": "object", "nullable": true}),
        &[".nullable: Forbidden: nullable cannot be true at the root"],
    );
    check_property(
        json!({"type": "string", "x-kubernetes-map-type": "deep", "x-kubernetes-list-type": "bag"}),
        &[
            ".type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
            ".x-kubernetes-map-type: Unsupported value: \"deep\": supported values: \"atomic\", \"granular\"",
            ".type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
            ".x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"set\", \"map\"",
        ],
    );
    let items = json!({"type": "object", "nullable": true, "properties": {
        "k": {"type": "string", "nullable": true}, "l": {"type": "array", "items": {"type": "string"}},
    }});
    check_property(
        json!({
            "type": "array", "items": items, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k", "k", "l", "m"],
        }),
        &[
            ".x-kubernetes-list-map-keys: Invalid value: [\"k\",\"k\",\"l\",\"m\"]: must not contain duplicate entries",
            ".items.properties[l].type: Invalid value: \"object\": must be a scalar type if parent array's \
             x-kubernetes-list-type is map",
            ".x-kubernetes-list-map-keys: Invalid value: [\"k\",\"k\",\"l\",\"m\"]: entries must all be names of item \
             properties",
            ".items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map",
            ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have \
             a default or be a required property",
            ".items.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be \
             nullable",
            ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have \
             a default or be a required property",
            ".items.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be \
             nullable",
            ".items.properties[l].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have \
             a default or be a required property",
        ],
    );
}

#[test]
fn rules_in_cel() {
    let check = |rule: Value, expected: &[&str]| {
        let expected: Vec<String> =
            expected.iter().map(|message| format!(".x-kubernetes-validations[0]{message}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let properties = json!({"b": {"type": "string"}});
        check_property(
            json!({"type": "object", "properties": properties, "x-kubernetes-validations": [rule]}),
            &expected,
        );
    };
    check(json!({"rule": "true", "fieldPath": ".b", "reason": "FieldValueForbidden"}), &[]);
    check(json!({"rule": " "}), &[".rule: Required value: rule is not specified"]);
    check(
        json!({"rule": "true", "message": " ", "messageExpression": " "}),
        &[
            ".message: Invalid value: \" \": message must be non-empty if specified",
            ".messageExpression: Required value: messageExpression must be non-empty if specified",
        ],
    );
    check(
        json!({"rule": "a\n&& b", "reason": "Because", "fieldPath": ".c"}),
        &[
            ".message: Required value: message must be specified if rule contains line breaks",
            ".reason: Unsupported value: \"Because\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \
             \"FieldValueInvalid\", \"FieldValueRequired\"",
            ".fieldPath: Invalid value: \".c\": fieldPath must be a valid path",
        ],
    );
}

#[test]
fn defaults_are_values_of_their_schema() {
    check_property(json!({"type": "integer", "default": 3, "minimum": 1}), &[]);
    check_property(
        json!({"type": "integer", "default": "3"}),
        &[".default: Invalid value: \"string\":  in body must be of type integer: \"string\""],
    );
    check_property(
        json!({"type": "string", "default": "c", "enum": ["a", "b"]}),
        &[".default: Unsupported value: \"c\": supported values: \"a\", \"b\""],
    );
    check_property(
        json!({"type": "number", "default": 0.5, "minimum": 1}),
        &[".default: Invalid value: 0.5:  in body should be greater than or equal to 1"],
    );
    let properties = json!({"b": {"type": "string"}, "c": {"type": "integer"}});
    check_property(
        json!({"type": "object", "properties": properties, "required": ["b"], "default": {"c": "x", "d": 1}}),
        &[
            ".default: Invalid value: {\"c\":\"x\",\"d\":1}: must not have unknown fields",
            ".default.c: Invalid value: \"string\": c in body must be of type integer: \"string\"",
            ".default.b: Required value",
        ],
    );
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "default": {"d": 1}});
    check_property(open, &[]);
    let embedded = json!({
        "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
        "default": {"kind": "B"},
    });
    check_property(embedded, &[".default.apiVersion: Required value"]);
    check_schema(
        json!({"type": "object", "properties": {"kind": {"type": "string", "default": "B"}}}),
        &[".properties[kind].default: Forbidden: must not be set in top-level kind"],
    );
    let labels = json!({"type": "object", "default": {"a": 1}, "additionalProperties": {"type": "string"}});
    check_property(labels, &[".default.a: Invalid value: \"integer\": a in body must be of type string: \"integer\""]);
}

#[test]
fn the_root_when_the_status_is_apart() {
    let with_status = |schema: Value| {
        let object = definition(|object| {
            object["spec"]["versions"][0]["subresources"] = json!({"status": {}});
            object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
        });
        shown(&CRDS.validate(&object))
    };
    assert!(with_status(json!({"type": "object", "description": "x", "required": ["a"]})).is_empty());
    let errors = with_status(json!({"type": "object", "minProperties": 1}));
    let [error] = &errors[..] else { panic!("one error: {errors:?}") };
    assert!(
        error.starts_with(&format!("{ROOT}: Invalid value: {{\"ID\":\"\",\"Schema\":\"\",\"Ref\":null,")),
        "{error}"
    );
    assert!(error.contains("\"MinProperties\":1,"), "{error}");
    assert!(
        error.ends_with(
            "XValidations] fields are allowed at the root of the schema if the status subresource is enabled"
        )
    );
}

#[test]
fn groups_of_the_community() {
    let check = |annotation: Option<&str>, expected: &[&str]| {
        let object = definition(|object| {
            object["metadata"]["name"] = json!("as.x.k8s.io");
            object["spec"]["group"] = json!("x.k8s.io");
            if let Some(text) = annotation {
                object["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": text});
            }
        });
        assert_eq!(shown(&CRDS.validate(&object)), expected);
        assert!(CRDS.validate_update(&object, &object).is_empty());
    };
    let path = "metadata.annotations[api-approved.kubernetes.io]";
    let required = "protected groups must have approval annotation \"api-approved.kubernetes.io\"";
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    check(None, &[&format!("{path}: Required value: {required}, {see}")]);
    check(Some("unapproved, experimental"), &[]);
    check(Some("https://github.com/kubernetes/kubernetes/pull/1"), &[]);
    let why = format!("{required} with either a URL or a reason starting with \"unapproved\", {see}");
    check(Some("yes"), &[&format!("{path}: Invalid value: \"yes\": {why}")]);
}

#[test]
fn what_updates_may_change() {
    let old = definition(|_| {});
    let established = |mut object: CustomResourceDefinition| {
        let conditions = &mut object.status.get_or_insert_default().conditions;
        *conditions = serde_json::from_value(json!([{"type": "Established", "status": "True"}])).unwrap();
        object
    };
    let changed = definition(|object| {
        object["spec"]["scope"] = json!("Namespaced");
        object["spec"]["names"] = json!({"plural": "bs", "kind": "B"});
        object["spec"]["group"] = json!("example.org");
    });
    let always = [
        "spec.group: Invalid value: \"example.org\": field is immutable",
        "spec.names.plural: Invalid value: \"bs\": field is immutable",
    ];
    assert_eq!(shown(&CRDS.validate_update(&changed, &old)), always);
    let names = [
        "spec.scope: Invalid value: \"Namespaced\": field is immutable",
        "spec.names.kind: Invalid value: \"B\": field is immutable",
    ];
    assert_eq!(shown(&CRDS.validate_update(&changed, &established(old.clone()))), [&names[..], &always].concat());

    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
    let mut renamed = definition(|object| object["spec"]["versions"][0]["name"] = json!("v2"));
    CRDS.prepare_update(&mut renamed, &old, context);
    assert_eq!(renamed.status.as_ref().unwrap().stored_versions.as_deref().unwrap(), ["v1", "v2"]);
    assert_eq!(
        shown(&CRDS.validate_update(&renamed, &old)),
        [
            "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, \
          and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 \
          from status.storedVersions"
        ]
    );
}

#[test]
fn an_update_may_keep_what_was_allowed_before() {
    let check = |schema: Value| {
        let bad = definition(|object| {
            object["spec"]["preserveUnknownFields"] = json!(true);
            object["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
        });
        assert!(!CRDS.validate_update(&bad, &definition(|_| {})).is_empty());
        assert_eq!(shown(&CRDS.validate_update(&bad, &bad)), Vec::<String>::new());
    };
    check(json!({"properties": {"a": {"type": "text"}}}));
    let items = json!({"type": "object", "properties": {"b": {"type": "string"}}});
    check(json!({"type": "object", "properties": {
        "a": {"type": "array", "x-kubernetes-list-type": "set", "items": items},
    }}));
    check(json!({"type": "object", "properties": {
        "a": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string", "nullable": true}},
    }}));
}

#[test]
fn defaults_rows_and_warnings() {
    let object = definition(|object| {
        let service = json!({"namespace": "n", "name": "s"});
        let webhook = json!({"clientConfig": {"service": service}, "conversionReviewVersions": ["v1"]});
        object["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] =
            json!({"a": {"type": "string", "format": "date-time"}, "b": {"type": "integer", "format": "int7"}});
    });
    let mut again = object.clone();
    CRDS.default(&mut again);
    assert_eq!(again, object);
    let names = &object.spec.names;
    assert_eq!((names.singular.as_deref(), names.list_kind.as_deref()), (Some("a"), Some("AList")));
    let webhook = object.spec.conversion.clone().unwrap().webhook.unwrap();
    assert_eq!(webhook.client_config.unwrap().service.unwrap().port, Some(443));
    assert_eq!(definition(|_| {}).spec.conversion.unwrap().strategy, "None");
    assert_eq!(CRDS.row(&object, Timestamp::UNIX_EPOCH), [json!("as.example.com"), json!("2026-01-02T03:04:05Z")]);
    assert_eq!(CRDS.warnings(&object, None), ["unrecognized format \"int7\""]);
    assert!(CRDS.warnings(&object, Some(&object)).is_empty());
    let grows = CRDS.generation().unwrap();
    assert!(grows(&object, &definition(|_| {})) && !grows(&object, &object.clone()));
}
