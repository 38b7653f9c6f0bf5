//! Why a strategic merge patch does not apply, in upstream's words.

use serde_json::{Map, Value};

use crate::patch::{TOO_DEEP, go_format};

/// Why a strategic merge patch does not apply.
///
/// Messages are those of `k8s.io/apimachinery/pkg/util/strategicpatch` and `mergepatch`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `$deleteFromPrimitiveList` key without a field name.
    #[error("invalid patch format of primitive list")]
    BadPrimitiveList,
    /// A `$setElementOrder` key without a field name.
    #[error("invalid patch format of setElementOrder list")]
    BadSetElementOrder,
    /// A `$retainKeys` value that is not a list, or that lacks a key of the patch.
    #[error("invalid patch format of retainKeys")]
    BadRetainKeys,
    /// A list in a merging list.
    #[error("lists of lists are not supported")]
    ListOfLists,
    /// An element of a merging list lacks the field that tells elements apart.
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The element, as Go prints it.
        map: String,
        /// The merge key.
        key: String,
    },
    /// A value of another kind than the directive or the list needs.
    #[error("expected a {expected}, but received a {actual}")]
    BadArgType {
        /// The Go type that was needed.
        expected: &'static str,
        /// The Go type that was found.
        actual: &'static str,
    },
    /// A `$patch` directive that is not known, or not allowed where it stands.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownPatchType {
        /// The directive.
        directive: String,
        /// The object that holds it, as Go prints it.
        map: String,
    },
    /// The patch's list is not ordered as its own `$setElementOrder` says.
    #[error("the order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}")]
    OrderMismatch {
        /// The patch's list, as Go prints it.
        patch: String,
        /// The `$setElementOrder` list, as Go prints it.
        order: String,
    },
    /// `$patch: merge` in a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeDirectiveInList,
    /// A merging list of objects for which the API declares no merge key.
    #[error("cannot merge lists without merge key for {element}")]
    NoMergeKeyDeclared {
        /// The Go kind of an element.
        element: &'static str,
    },
    /// A merging list of objects has an element that is none.
    #[error("value for key {index} is not a map")]
    ElementNotMap {
        /// The element's place in its list.
        index: usize,
    },
    /// Elements of different kinds in a merging list.
    #[error("list element types are not identical: {lists}")]
    MixedElements {
        /// The lists, as Go prints them.
        lists: String,
    },
    /// An order for lists that are both empty.
    #[error("no elements in any of the given slices")]
    NoElements,
    /// The patch merges into a field that the type does not have.
    #[error("unable to find api field in struct {of} for the json field {field:?}")]
    UnknownField {
        /// The type's short name.
        of: String,
        /// The field.
        field: String,
    },
    /// The patch merges into something that has no fields.
    #[error("merging an object in json but data type is not struct, instead is: {kind}")]
    NotStruct {
        /// The Go kind of what is there.
        kind: &'static str,
    },
    /// The patch merges a list into a field that is none.
    #[error("expected slice or array type, but got: {kind}")]
    NotList {
        /// The Go kind of the type that has the field.
        kind: &'static str,
    },
    /// The patch merges into a list of lists.
    #[error("unexpected slice of slice")]
    SliceOfSlice,
    /// The document or the patch is nested deeper than [`crate::patch::MAX_DEPTH`].
    #[error("{TOO_DEEP}")]
    TooDeep,
}

impl Error {
    /// The HTTP status that the API server answers with.
    ///
    /// Malformed directives are 400 and lists of lists 422; upstream lets the others surface as they are, which is 500
    /// (`interpretStrategicMergePatchError` in `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`).
    pub fn code(&self) -> u16 {
        match self {
            Self::BadPrimitiveList | Self::BadSetElementOrder | Self::BadRetainKeys | Self::TooDeep => 400,
            Self::ListOfLists => 422,
            _ => 500,
        }
    }

    pub(super) fn no_merge_key(map: &Map<String, Value>, key: &str) -> Self {
        Self::NoMergeKey { map: go_format::object(map), key: key.to_owned() }
    }

    pub(super) fn not_a_map(found: &Value) -> Self {
        Self::BadArgType { expected: "map[string]interface {}", actual: go_format::type_name(found) }
    }

    pub(super) fn not_a_list(found: &Value) -> Self {
        Self::BadArgType { expected: "[]interface {}", actual: go_format::type_name(found) }
    }

    pub(super) fn unknown_patch_type(directive: &Value, map: &Map<String, Value>) -> Self {
        Self::UnknownPatchType { directive: go_format::string(directive), map: go_format::object(map) }
    }
}
