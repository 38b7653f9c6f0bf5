//! What containers write: the runtime puts it into a file for each container, in the format that CRI lays down, below
//! `/var/log/pods`.
//!
//! - [`read`]: what is asked for of it, as a stream that keeps to the pace of whoever reads.
//! - [`Rotation`]: keeps it from filling the disk.
//! - [`links`]: makes it findable where log collectors look, and takes it away in the end.
//!
//! Pods may have `/var/log` of their node mounted and swap files for links at any time: every file is opened, moved and
//! removed relative to its directory, beneath `/var/log/pods`, and no link is followed on the way.

mod entry;
mod files;
pub mod links;
mod reader;
#[cfg(test)]
mod real;
mod rotated;
mod rotation;
mod tail;
#[cfg(test)]
mod writer;

pub use entry::{Options, Selected};
pub use files::{LogError, LogFile};
pub use reader::{LogStream, read};
pub use rotation::{Policy, Rotation, Written};
