//! The command line: `gantry VERB`, for people and scripts, against any server that speaks Kubernetes' API. Where a verb is
//! kubectl's, so are its arguments, its output and its errors.
//!
//! - [`Command`]: the verbs. Each is one file in `commands/`: its arguments, whose doc comments are the help text, and one
//!   function.
//! - [`line`]: lines as people type them.
//! - [`plugins`]: programs on the path that are verbs.
//! - [`Connection`]: which server, as whom, in which namespace: kubectl's options and rules for kubeconfigs.
//! - [`Session`]: what a verb works with: requests, what the server has to offer, and where output goes. Nothing else
//!   touches standard output, so that tests see all of it.
//! - `resources`: the server's resources, and what people call them; `select`: objects by arguments.
//! - `pods`: which pod and container an argument means.
//! - `streams/`: commands in containers and ports of pods, over WebSocket and SPDY; `terminal`: the one that somebody sits at.
//! - `manifest`: objects out of files.
//! - `three_way` and `last_applied`: what a manifest changes of an object that is there.
//! - `follow` and `readiness`: what becomes of objects, and whether it is what was asked for.
//! - `editing`: objects as files of an editor.
//! - `deletion`: how objects are deleted.
//! - `progress`: how far something is, on a terminal.
//! - `report`: what is said of changes, and of those that failed.
//! - `target`: the objects that a verb changes; `changes`: what is sent of them; `outcome`: how it is told; `create`: objects that
//!   verbs put together.
//! - `output/`: the formats of `-o`; `jsonpath/`: what paths of kubectl lead to.
//! - [`Completion`]: what a shell offers where a line is typed.
//! - [`authority_hash`]: by what machines that join know a cluster.
//! - [`authority_hash()`]: by what machines that join know a cluster.
//! - [`Error`]: what went wrong, in a sentence, and the exit code.

mod authority_hash;
mod changes;
mod command;
mod commands;
mod completion;
mod connection;
mod create;
mod deletion;
mod dry_run;
mod editing;
mod error;
mod follow;
mod jsonpath;
mod last_applied;
pub mod line;
mod manifest;
mod outcome;
mod output;
pub mod plugins;
mod pods;
mod progress;
mod readiness;
mod report;
mod resources;
mod select;
mod session;
mod streams;
mod target;
mod template;
mod terminal;
mod three_way;

pub use authority_hash::{HASH_PREFIX, authority_hash};
pub use command::Command;
pub use completion::{Completion, Offers};
pub use connection::Connection;
pub use error::Error;
pub use session::{Output, Session};
