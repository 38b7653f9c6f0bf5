//! What the benchmarks and tests of several crates share: objects to store, and peers to compare with.

pub mod asking;
pub mod cluster;
pub mod etcd;
pub mod host;
pub mod images;
pub mod in_process;
pub mod kubectl;
pub mod logind;
pub mod machine;
pub mod node;
pub mod objects;
pub mod place;
pub mod priorities;
pub mod proxied;
pub mod scheduling;
pub mod server;
pub mod sim;
pub mod site;
pub mod usage;
pub mod user;
