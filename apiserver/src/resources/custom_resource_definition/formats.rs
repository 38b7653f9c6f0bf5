//! The formats of texts and numbers that are checked; a client is warned of others, which mean nothing.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};

use api::field::go_quote;

use super::view::schemas;
use super::walk::{any, type_of};

const TEXTS: [&str; 27] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "quantity",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

/// Warns of formats that nothing knows, unless they were there before.
pub(super) fn warnings(new: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>) -> Vec<String> {
    let known: BTreeSet<String> = old.map(unknown).unwrap_or_default().into_iter().collect();
    let found = unknown(new).into_iter().filter(|format| !known.contains(format));
    found.map(|format| format!("unrecognized format {}", go_quote(&format))).collect()
}

fn unknown(definition: &CustomResourceDefinition) -> Vec<String> {
    let mut found = Vec::new();
    for schema in schemas(&definition.spec) {
        any(schema, &mut |schema| {
            found.extend(schema.format.clone().filter(|format| !format.is_empty() && !is_known(schema, format)));
            false
        });
    }
    found
}

fn is_known(schema: &JSONSchemaProps, format: &str) -> bool {
    match type_of(schema) {
        "" | "string" => TEXTS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}
