//! `metav1.Table`: what `kubectl get` shows, computed by the server.
//!
//! Fields serialise in Go's order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::field::{BadValue, Error, ErrorList, Path};
use crate::partial::{ListMeta, MetaVersion, PartialObjectMetadata};

/// A table. `O` is anything that serialises as an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table<O = Value> {
    kind: TableKind,
    api_version: MetaVersion,
    /// The list's metadata, or the revision of the one object shown.
    pub metadata: ListMeta,
    /// What the columns are. Watch events after the first leave them out.
    pub column_definitions: Vec<ColumnDefinition>,
    /// One row an object.
    pub rows: Vec<Row<O>>,
}

impl<O> Table<O> {
    /// A table of these columns and rows.
    pub fn new(metadata: ListMeta, column_definitions: Vec<ColumnDefinition>, rows: Vec<Row<O>>) -> Self {
        Self { kind: TableKind::Table, api_version: MetaVersion::V1, metadata, column_definitions, rows }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum TableKind {
    Table,
}

/// One column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Heading, in title case.
    pub name: String,
    /// OpenAPI type of the cells: `string`, `integer`, `number`, `boolean`, `date` or `array`.
    #[serde(rename = "type")]
    pub kind: String,
    /// OpenAPI format, or empty; `name` marks the column of names.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 is always shown, more only when there is room (`-o wide`).
    pub priority: i32,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row<O = Value> {
    /// One cell a column, in order.
    pub cells: Vec<Value>,
    /// How the row is to be shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<RowCondition>,
    /// The object, as much of it as was asked for.
    pub object: Option<EmbeddedObject<O>>,
}

/// Something that holds of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCondition {
    /// Only `Completed` is defined: the object has run to its end, and clients may hide it.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// For machines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl RowCondition {
    /// The object has run to its end.
    pub fn completed(reason: &str, message: &str) -> Self {
        Self { kind: "Completed".into(), status: "True".into(), reason: reason.into(), message: message.into() }
    }
}

/// What a row carries of its object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EmbeddedObject<O> {
    /// Its metadata.
    Metadata(PartialObjectMetadata<O>),
    /// All of it.
    Object(O),
}

/// What rows carry of their objects: the query parameter `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata.
    #[default]
    Metadata,
    /// Everything.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; empty is the default.
    ///
    /// # Errors
    /// One `Invalid` error for any other text.
    pub fn parse(text: &str) -> Result<Self, ErrorList> {
        match text {
            "None" => Ok(Self::None),
            "Metadata" | "" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(Error::invalid(
                &Path::new("includeObject"),
                BadValue::json(other),
                "must be 'Metadata', 'Object', 'None', or empty",
            )
            .into()),
        }
    }

    /// What a row carries, given how to get at the object and at its metadata.
    pub fn embed<O>(self, object: impl FnOnce() -> O, metadata: impl FnOnce() -> O) -> Option<EmbeddedObject<O>> {
        match self {
            Self::None => None,
            Self::Metadata => Some(EmbeddedObject::Metadata(PartialObjectMetadata::new(metadata()))),
            Self::Object => Some(EmbeddedObject::Object(object())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_string};

    fn row(include: IncludeObject) -> Row {
        let object =
            include.embed(|| json!({"kind": "Pod", "apiVersion": "v1", "metadata": {}}), || json!({"name": "a"}));
        Row { cells: vec![json!("a"), json!(1)], conditions: vec![], object }
    }

    #[test]
    fn rows_carry_what_was_asked_for() {
        let check = |text: &str, expected: &str| {
            let include = IncludeObject::parse(text).unwrap();
            assert_eq!(to_string(&row(include)).unwrap(), expected);
            assert_eq!(serde_json::from_str::<Row>(expected).unwrap(), row(include));
        };
        let metadata = concat!(
            r#"{"cells":["a",1],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#,
            r#""metadata":{"name":"a"}}}"#,
        );
        check("", metadata);
        check("Metadata", metadata);
        check("None", r#"{"cells":["a",1],"object":null}"#);
        check("Object", r#"{"cells":["a",1],"object":{"apiVersion":"v1","kind":"Pod","metadata":{}}}"#);
        assert_eq!(
            IncludeObject::parse("All").unwrap_err().to_string(),
            "includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty"
        );
    }

    #[test]
    fn fields_in_gos_order() {
        let column = ColumnDefinition { name: "Name".into(), kind: "string".into(), ..Default::default() };
        let mut done = row(IncludeObject::None);
        done.conditions.push(RowCondition::completed("Succeeded", "done"));
        let table = Table::new(ListMeta::default(), vec![column], vec![done]);
        assert_eq!(
            to_string(&table).unwrap(),
            concat!(
                r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"#,
                r#""columnDefinitions":[{"name":"Name","type":"string","format":"","description":"","#,
                r#""priority":0}],"rows":[{"cells":["a",1],"conditions":[{"type":"Completed","#,
                r#""status":"True","reason":"Succeeded","message":"done"}],"object":null}]}"#,
            )
        );
    }
}
