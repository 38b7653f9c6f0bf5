//! Tests of the runtime in memory: that it is as containerd is ([`suite`]), and what only it can do.

mod suite;
mod tricks;
