//! Tables of the kernel's packet filter (nftables) as values. A [`Table`] is computed by whoever has something to say
//! about packets, and costs little to copy and to compare.
//!
//! Only what Gantry's own tables need of nftables is here. [`Kernel`] carries tables out: it has the kernel have a table by
//! what [`difference`] says leads there from the one that it has, and `nft list ruleset` shows what it has. [`Watch`] tells
//! when somebody else changes it.

mod difference;
mod encode;
mod expressions;
mod kernel;
mod message;
#[cfg(test)]
mod random;
mod socket;
mod table;
mod text;
mod uapi;
mod watch;

pub use difference::{Elements, Step, difference};
pub use expressions::Unfit;
pub use kernel::{Kernel, KernelError};
pub use watch::Watch;

pub use table::{
    Act, Base, Chain, Datum, Endpoint, Family, Field, Hook, Key, Kind, Match, Name, Prefix, Rule, Set, Shape, Table,
    Type, Value, Verdict,
};
