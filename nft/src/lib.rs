//! Tables of the kernel's packet filter (nftables) as values. A [`Table`] is computed by whoever has something to say
//! about packets, and costs little to copy and to compare.
//!
//! Only what Gantry's own tables need of nftables is here. [`difference`] says what leads from one to another.

mod difference;
mod kernel;
#[cfg(test)]
mod random;
mod table;

pub use difference::{Elements, Step, difference};
pub use kernel::{Kernel, KernelError};

pub use table::{
    Act, Base, Chain, Datum, Endpoint, Family, Field, Hook, Key, Kind, Match, Name, Prefix, Rule, Set, Shape, Table,
    Type, Value, Verdict,
};
