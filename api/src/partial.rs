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

/// The group and version of Table and PartialObjectMetadata.
pub const META_V1: &str = "meta.k8s.io/v1";

/// The metadata of one object. `M` is anything that serialises as ObjectMeta, such as the stored bytes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialObjectMetadata<M> {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: String,
    /// The object's metadata, as it is.
    pub metadata: M,
}

impl<M> PartialObjectMetadata<M> {
    /// The object of which `metadata` is the metadata.
    pub fn new(metadata: M) -> Self {
        Self { kind: "PartialObjectMetadata".to_owned(), api_version: META_V1.to_owned(), metadata }
    }
}

/// The metadata of several objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialObjectMetadataList<M> {
    kind: String,
    #[serde(rename = "apiVersion")]
    api_version: String,
    /// The list's own metadata.
    pub metadata: ListMeta,
    /// The objects.
    pub items: Vec<PartialObjectMetadata<M>>,
}

impl<M> PartialObjectMetadataList<M> {
    /// A list of the objects of which `metadatas` are the metadata.
    pub fn new(metadata: ListMeta, metadatas: impl IntoIterator<Item = M>) -> Self {
        Self {
            kind: "PartialObjectMetadataList".to_owned(),
            api_version: META_V1.to_owned(),
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
            r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7","continue":"abc","remainingItemCount":0},"items":[{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a"}}]}"#
        );
        assert_eq!(to_string(&ListMeta::default()).unwrap(), "{}");
    }
}
