//! Wire types and pure machinery of the Kubernetes API.
//!
//! Nothing here does I/O, reads a clock or draws a random number: those come in as arguments.

pub mod bootstrap_token;
pub mod cron;
pub mod duration;
pub mod field;
pub mod int_or_string;
pub mod names;
pub mod partial;
pub mod patch;
pub mod pod_resources;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod rbac;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
pub mod taints;
pub mod validate;
