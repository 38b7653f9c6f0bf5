//! The cgroups of pods: limits that are set there, and figures that are read there. Version 1 and version 2.

pub mod cpu;
mod layout;

pub use layout::{Class, Driver, Layout};
