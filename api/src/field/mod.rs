//! Where in an object something is wrong, and what: the vocabulary of every validation message.
//!
//! Messages are part of the API: clients and tests compare them, so they are rendered character for character as
//! `k8s.io/apimachinery/pkg/util/validation/field` renders them.

mod error;
mod path;
mod quote;

pub use error::{BadValue, Error, ErrorList, ErrorType};
pub use path::Path;
pub use quote::{go_json, go_quote, is_go_printable};
