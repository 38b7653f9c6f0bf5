//! Tables of the kernel's packet filter (nftables) as values. A [`Table`] is computed by whoever has something to say
//! about packets, and costs little to copy and to compare.
//!
//! Only what Gantry's own tables need of nftables is here. It can all be stated in nftables' own language, but for what
//! [`Act::Balance`] and [`Act::Stick`] do, for which that language has no words and the kernel has.

mod kernel;
mod table;

pub use kernel::{Kernel, KernelError};

pub use table::{
    Act, Base, Chain, Datum, Endpoint, Family, Field, Hook, Key, Kind, Match, Name, Prefix, Rule, Set, Shape, Table,
    Type, Value, Verdict,
};
