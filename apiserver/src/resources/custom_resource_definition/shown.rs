//! Versions and schemas as messages show them: upstream's internal types, which have no JSON names of their own.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, JSONSchemaPropsOrStringArray, ValidationRule,
};
use serde::Serialize;
use serde_json::{Number, Value};

use super::view::Version;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShownVersion<'a> {
    name: &'a str,
    served: bool,
    storage: bool,
    deprecated: bool,
    deprecation_warning: Option<&'a str>,
    schema: Option<Validation<'a>>,
    subresources: Option<Subresources<'a>>,
    additional_printer_columns: Option<Vec<PrinterColumn<'a>>>,
    selectable_fields: Option<Vec<Field<'a>>>,
}

#[derive(Serialize)]
struct Validation<'a> {
    #[serde(rename = "OpenAPIV3Schema")]
    schema: Option<Box<Shown<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Subresources<'a> {
    status: Option<BTreeMap<(), ()>>,
    scale: Option<Scale<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Scale<'a> {
    spec_replicas_path: &'a str,
    status_replicas_path: &'a str,
    label_selector_path: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PrinterColumn<'a> {
    name: &'a str,
    r#type: &'a str,
    format: &'a str,
    description: &'a str,
    priority: i32,
    #[serde(rename = "JSONPath")]
    json_path: &'a str,
}

#[derive(Serialize)]
struct Field<'a> {
    #[serde(rename = "JSONPath")]
    json_path: &'a str,
}

impl<'a> From<&Version<'a>> for ShownVersion<'a> {
    fn from(version: &Version<'a>) -> Self {
        let columns = version.columns.iter().map(|column| PrinterColumn {
            name: &column.name,
            r#type: &column.type_,
            format: text(&column.format),
            description: text(&column.description),
            priority: column.priority.unwrap_or(0),
            json_path: &column.json_path,
        });
        let scale = |scale: &'a super::view::Scale| Scale {
            spec_replicas_path: &scale.spec_replicas_path,
            status_replicas_path: &scale.status_replicas_path,
            label_selector_path: scale.label_selector_path.as_deref(),
        };
        ShownVersion {
            name: &version.source.name,
            served: version.source.served,
            storage: version.source.storage,
            deprecated: version.source.deprecated.unwrap_or(false),
            deprecation_warning: version.source.deprecation_warning.as_deref(),
            schema: version.schema.map(|schema| Validation { schema: schema.open_api_v3_schema.as_ref().map(boxed) }),
            subresources: version.subresources.map(|subresources| Subresources {
                status: subresources.status.as_ref().map(|_| BTreeMap::new()),
                scale: subresources.scale.as_ref().map(scale),
            }),
            additional_printer_columns: (!version.columns.is_empty()).then(|| columns.collect()),
            selectable_fields: (!version.selectable_fields.is_empty())
                .then(|| version.selectable_fields.iter().map(|field| Field { json_path: &field.json_path }).collect()),
        }
    }
}

/// A schema as messages show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    schema: &'a str,
    r#ref: Option<&'a str>,
    description: &'a str,
    r#type: &'a str,
    nullable: bool,
    format: &'a str,
    title: &'a str,
    default: Option<&'a Value>,
    maximum: Option<Number>,
    exclusive_maximum: bool,
    minimum: Option<Number>,
    exclusive_minimum: bool,
    max_length: Option<i64>,
    min_length: Option<i64>,
    pattern: &'a str,
    max_items: Option<i64>,
    min_items: Option<i64>,
    unique_items: bool,
    multiple_of: Option<Number>,
    r#enum: Option<Vec<&'a Value>>,
    max_properties: Option<i64>,
    min_properties: Option<i64>,
    required: Option<&'a [String]>,
    items: Option<ItemsOf<'a>>,
    all_of: Option<Vec<Shown<'a>>>,
    one_of: Option<Vec<Shown<'a>>>,
    any_of: Option<Vec<Shown<'a>>>,
    not: Option<Box<Shown<'a>>>,
    properties: Option<BTreeMap<&'a str, Shown<'a>>>,
    additional_properties: Option<OrBool<'a>>,
    pattern_properties: Option<BTreeMap<&'a str, Shown<'a>>>,
    dependencies: Option<BTreeMap<&'a str, OrNames<'a>>>,
    additional_items: Option<OrBool<'a>>,
    definitions: Option<BTreeMap<&'a str, Shown<'a>>>,
    external_docs: Option<Documentation<'a>>,
    example: Option<&'a Value>,
    x_preserve_unknown_fields: Option<bool>,
    x_embedded_resource: bool,
    x_int_or_string: bool,
    x_list_map_keys: Option<&'a [String]>,
    x_list_type: Option<&'a str>,
    x_map_type: Option<&'a str>,
    x_validations: Option<Vec<Rule<'a>>>,
}

#[derive(Serialize)]
pub(super) struct ItemsOf<'a> {
    #[serde(rename = "Schema")]
    schema: Option<Box<Shown<'a>>>,
    #[serde(rename = "JSONSchemas")]
    schemas: Option<Vec<Shown<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrBool<'a> {
    allows: bool,
    schema: Option<Box<Shown<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrNames<'a> {
    schema: Option<Box<Shown<'a>>>,
    property: Option<&'a [String]>,
}

#[derive(Serialize)]
struct Documentation<'a> {
    #[serde(rename = "Description")]
    description: &'a str,
    #[serde(rename = "URL")]
    url: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Rule<'a> {
    rule: &'a str,
    message: &'a str,
    message_expression: &'a str,
    reason: Option<&'a str>,
    field_path: &'a str,
    optional_old_self: Option<bool>,
}

impl<'a> From<&'a JSONSchemaProps> for Shown<'a> {
    fn from(schema: &'a JSONSchemaProps) -> Self {
        Shown {
            id: text(&schema.id),
            schema: text(&schema.schema),
            r#ref: schema.ref_path.as_deref(),
            description: text(&schema.description),
            r#type: text(&schema.type_),
            nullable: set(schema.nullable),
            format: text(&schema.format),
            title: text(&schema.title),
            default: schema.default.as_ref().map(|value| &value.0),
            maximum: schema.maximum.and_then(number),
            exclusive_maximum: set(schema.exclusive_maximum),
            minimum: schema.minimum.and_then(number),
            exclusive_minimum: set(schema.exclusive_minimum),
            max_length: schema.max_length,
            min_length: schema.min_length,
            pattern: text(&schema.pattern),
            max_items: schema.max_items,
            min_items: schema.min_items,
            unique_items: set(schema.unique_items),
            multiple_of: schema.multiple_of.and_then(number),
            r#enum: schema.enum_.as_ref().map(|values| values.iter().map(|value| &value.0).collect()),
            max_properties: schema.max_properties,
            min_properties: schema.min_properties,
            required: schema.required.as_deref(),
            items: schema.items.as_ref().map(ItemsOf::from),
            all_of: schema.all_of.as_deref().map(all),
            one_of: schema.one_of.as_deref().map(all),
            any_of: schema.any_of.as_deref().map(all),
            not: schema.not.as_deref().map(boxed),
            properties: schema.properties.as_ref().map(named),
            additional_properties: schema.additional_properties.as_ref().map(or_bool),
            pattern_properties: schema.pattern_properties.as_ref().map(named),
            dependencies: schema.dependencies.as_ref().map(dependencies),
            additional_items: schema.additional_items.as_ref().map(or_bool),
            definitions: schema.definitions.as_ref().map(named),
            external_docs: schema
                .external_docs
                .as_ref()
                .map(|docs| Documentation { description: text(&docs.description), url: text(&docs.url) }),
            example: schema.example.as_ref().map(|value| &value.0),
            x_preserve_unknown_fields: schema.x_kubernetes_preserve_unknown_fields,
            x_embedded_resource: set(schema.x_kubernetes_embedded_resource),
            x_int_or_string: set(schema.x_kubernetes_int_or_string),
            x_list_map_keys: schema.x_kubernetes_list_map_keys.as_deref(),
            x_list_type: schema.x_kubernetes_list_type.as_deref(),
            x_map_type: schema.x_kubernetes_map_type.as_deref(),
            x_validations: schema
                .x_kubernetes_validations
                .as_deref()
                .map(|rules| rules.iter().map(Rule::from).collect()),
        }
    }
}

impl<'a> From<&'a JSONSchemaPropsOrArray> for ItemsOf<'a> {
    fn from(items: &'a JSONSchemaPropsOrArray) -> Self {
        match items {
            JSONSchemaPropsOrArray::Schema(schema) => ItemsOf { schema: Some(boxed(schema)), schemas: None },
            JSONSchemaPropsOrArray::Schemas(schemas) => ItemsOf { schema: None, schemas: Some(all(schemas)) },
        }
    }
}

impl<'a> From<&'a ValidationRule> for Rule<'a> {
    fn from(rule: &'a ValidationRule) -> Self {
        Rule {
            rule: &rule.rule,
            message: text(&rule.message),
            message_expression: text(&rule.message_expression),
            reason: rule.reason.as_deref(),
            field_path: text(&rule.field_path),
            optional_old_self: rule.optional_old_self,
        }
    }
}

fn boxed(schema: &JSONSchemaProps) -> Box<Shown<'_>> {
    Box::new(schema.into())
}

fn all(schemas: &[JSONSchemaProps]) -> Vec<Shown<'_>> {
    schemas.iter().map(Shown::from).collect()
}

fn named(schemas: &BTreeMap<String, JSONSchemaProps>) -> BTreeMap<&str, Shown<'_>> {
    schemas.iter().map(|(name, schema)| (name.as_str(), schema.into())).collect()
}

fn or_bool(value: &JSONSchemaPropsOrBool) -> OrBool<'_> {
    match value {
        JSONSchemaPropsOrBool::Schema(schema) => OrBool { allows: true, schema: Some(boxed(schema)) },
        JSONSchemaPropsOrBool::Bool(allows) => OrBool { allows: *allows, schema: None },
    }
}

fn dependencies(dependencies: &BTreeMap<String, JSONSchemaPropsOrStringArray>) -> BTreeMap<&str, OrNames<'_>> {
    dependencies.iter().map(|(name, value)| (name.as_str(), or_names(value))).collect()
}

fn or_names(value: &JSONSchemaPropsOrStringArray) -> OrNames<'_> {
    match value {
        JSONSchemaPropsOrStringArray::Schema(schema) => OrNames { schema: Some(boxed(schema)), property: None },
        JSONSchemaPropsOrStringArray::Strings(names) => OrNames { schema: None, property: Some(names) },
    }
}

/// Go writes whole numbers without a fraction.
#[allow(clippy::cast_possible_truncation, reason = "it was checked to be whole and small")]
fn number(value: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT { Some((value as i64).into()) } else { Number::from_f64(value) }
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

fn set(value: Option<bool>) -> bool {
    value.unwrap_or(false)
}
