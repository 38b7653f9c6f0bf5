//! Wire types and pure machinery of the Kubernetes API.
//!
//! Nothing here does I/O, reads a clock or draws a random number: those come in as arguments.

pub mod field;
pub mod names;
pub mod partial;
pub mod quantity;
pub mod selector;
pub mod status;
pub mod table;
