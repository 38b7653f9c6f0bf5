//! Strategic merge patch: a merge patch that knows from the type how lists merge.
//!
//! A list whose patch strategy is `merge` is merged element by element: objects by the field's merge key, scalars as a
//! set. Everything else is merged as a JSON merge patch would. Directives in the patch say what a merge cannot:
//!
//! - `$patch: replace` or `$patch: delete` in an object, or in an element of a merging list;
//! - `$deleteFromPrimitiveList/<field>` removes scalars from a list;
//! - `$setElementOrder/<field>` orders the list, leaving elements that only the server has near their neighbours;
//! - `$retainKeys` clears every other key of an object.
//!
//! The behaviour is that of `k8s.io/apimachinery/pkg/util/strategicpatch` where the server applies a patch, but for two
//! things that upstream leaves to Go's random map order: removals from a list come before additions to it. Custom
//! resources have no published merge keys; the API server answers 415 for them before it gets here.

mod error;
mod lists;
mod objects;
mod order;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{MAX_DEPTH, deeper_than};
use crate::schema::{Shape, Type};
pub use error::Error;

/// Applies a patch to an object of a type.
///
/// # Errors
///
/// [`Error`] says why the patch does not apply; its [`Error::code`] is what the API server answers.
pub fn apply(
    original: &Map<String, Value>,
    patch: Map<String, Value>,
    of: &'static Type,
) -> Result<Map<String, Value>, Error> {
    apply_to(original, patch, Shape::Object(of))
}

const DIRECTIVE: &str = "$patch";
const DELETE: &str = "delete";
const MERGE: &str = "merge";
const REPLACE: &str = "replace";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

/// What a merge must know of a value's type.
trait PatchSchema: Copy {
    /// What is known of the field `name`, or why nothing can be merged there.
    fn field(self, name: &str) -> Result<FieldMeta<Self>, Error>;

    /// The type of an element, when this is a list.
    fn element(self) -> Option<Self>;

    /// The Go kind of the type.
    fn kind(self) -> &'static str;

    /// As [`PatchSchema::field`], but answers the type of an element of the list that the field must be.
    fn list_field(self, name: &str) -> Result<FieldMeta<Self>, Error> {
        let field = self.field(name)?;
        let element = field.of.element().ok_or(Error::NotList { kind: self.kind() })?;
        if element.kind() == "slice" {
            return Err(Error::SliceOfSlice);
        }
        Ok(FieldMeta { of: element, ..field })
    }
}

/// What a merge must know of a field.
struct FieldMeta<S> {
    of: S,
    strategy: Strategy,
    merge_key: &'static str,
}

/// The part of a field's patch strategy that steers applying a patch; `retainKeys` only steers making one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Unsaid,
    Merge,
    Replace,
}

impl PatchSchema for Shape {
    fn field(self, name: &str) -> Result<FieldMeta<Self>, Error> {
        let unknown = |of: &str| Error::UnknownField { of: of.to_owned(), field: name.to_owned() };
        let of = match self {
            Self::Object(of) => of,
            // Go structs without fields of their own in JSON.
            Self::Any => return Err(unknown("RawExtension")),
            Self::Quantity => return Err(unknown("Quantity")),
            Self::IntOrString => return Err(unknown("IntOrString")),
            Self::Time => return Err(unknown("Time")),
            Self::MicroTime => return Err(unknown("MicroTime")),
            other => return Err(Error::NotStruct { kind: other.kind() }),
        };
        let field = of.field(name).ok_or_else(|| unknown(of.short_name()))?;
        let rules = field.rules();
        let strategy = match (rules.patch_merge, rules.patch_replace) {
            (true, _) => Strategy::Merge,
            (_, true) => Strategy::Replace,
            _ => Strategy::Unsaid,
        };
        Ok(FieldMeta { of: field.shape(), strategy, merge_key: rules.patch_merge_key.unwrap_or_default() })
    }

    fn element(self) -> Option<Self> {
        match self {
            Self::Array(element) => Some(element.shape()),
            _ => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Number => "float64",
            Self::Boolean => "bool",
            Self::Bytes | Self::Array(_) => "slice",
            Self::Map(_) => "map",
            Self::IntOrString | Self::Quantity | Self::Time | Self::MicroTime | Self::Any | Self::Object(_) => "struct",
        }
    }
}

fn apply_to<S: PatchSchema>(
    original: &Map<String, Value>,
    patch: Map<String, Value>,
    of: S,
) -> Result<Map<String, Value>, Error> {
    let deep = |map: &Map<String, Value>| map.values().any(|value| deeper_than(value, MAX_DEPTH - 1));
    if deep(original) || deep(&patch) {
        return Err(Error::TooDeep);
    }
    objects::merge(original.clone(), patch, of)
}
