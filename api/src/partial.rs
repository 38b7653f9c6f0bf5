//! List metadata, and `metav1.PartialObjectMetadata`: an object of which only the metadata is shown.
//!
//! Fields serialise in Go's order.

use serde::{Deserialize, Serialize};

/// `metav1.ListMeta`. Empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// No longer set by servers; kept for what old ones send.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub self_link: String,
    /// The revision of the whole list.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Opaque token for the next page; empty on the last one.
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
    /// How many items follow this page, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<i64>,
}

/// Kinds and versions are types of their own, so that nothing else is read as one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ObjectKind {
    #[serde(rename = "PartialObjectMetadata")]
    Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ListKind {
    #[serde(rename = "PartialObjectMetadataList")]
    Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MetaVersion {
    #[serde(rename = "meta.k8s.io/v1")]
    V1,
}

/// The metadata of one object. `M` is anything that serialises as ObjectMeta, such as the stored bytes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialObjectMetadata<M> {
    kind: ObjectKind,
    #[serde(rename = "apiVersion")]
    api_version: MetaVersion,
    /// The object's metadata, as it is.
    pub metadata: M,
}

impl<M> PartialObjectMetadata<M> {
    /// The object of which `metadata` is the metadata.
    pub fn new(metadata: M) -> Self {
        Self { kind: ObjectKind::Partial, api_version: MetaVersion::V1, metadata }
    }
}

/// The metadata of several objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialObjectMetadataList<M> {
    kind: ListKind,
    #[serde(rename = "apiVersion")]
    api_version: MetaVersion,
    /// The list's own metadata.
    pub metadata: ListMeta,
    /// The objects.
    pub items: Vec<PartialObjectMetadata<M>>,
}

impl<M> PartialObjectMetadataList<M> {
    /// A list of the objects of which `metadatas` are the metadata.
    pub fn new(metadata: ListMeta, metadatas: impl IntoIterator<Item = M>) -> Self {
        Self {
            kind: ListKind::Partial,
            api_version: MetaVersion::V1,
            metadata,
            items: metadatas.into_iter().map(PartialObjectMetadata::new).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_string};

    #[test]
    fn fields_in_gos_order() {
        let list_meta = ListMeta {
            resource_version: "7".into(),
            continue_token: "abc".into(),
            remaining_item_count: Some(0),
            ..Default::default()
        };
        let list = PartialObjectMetadataList::new(list_meta, [json!({"name": "a"})]);
        assert_eq!(
            to_string(&list).unwrap(),
            concat!(
                r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","#,
                r#""metadata":{"resourceVersion":"7","continue":"abc","remainingItemCount":0},"#,
                r#""items":[{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#,
                r#""metadata":{"name":"a"}}]}"#,
            )
        );
        assert_eq!(to_string(&ListMeta::default()).unwrap(), "{}");
        let text = to_string(&list).unwrap();
        assert_eq!(serde_json::from_str::<PartialObjectMetadataList<serde_json::Value>>(&text).unwrap(), list);
    }
}
