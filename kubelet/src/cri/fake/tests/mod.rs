//! Tests of the runtime in memory: that it is as containerd is ([`suite`]), and what only it can do.

pub(crate) mod suite;
mod tricks;
