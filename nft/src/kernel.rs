//! Tables in the kernel, by netlink.
//!
//! Whatever is asked of the kernel is one batch in one message: it carries out all of it or nothing. So what is known here
//! is what the kernel has, until somebody else changes it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::difference::{Step, difference};
use crate::encode::encode;
use crate::expressions::Unfit;
use crate::message::Sent;
use crate::socket::{Outcome, Refusal, Socket};
use crate::watch::Watch;
use crate::{Family, Name, Table};

mod rehearsal;
#[cfg(test)]
mod tests;

/// What keeps tables in the kernel as they should be. It knows what it has put there.
///
/// Its tables are in the network in which it was first used. Its functions wait for the kernel: milliseconds for a change, up
/// to a second for tens of thousands of rules.
#[derive(Debug, Default)]
pub struct Kernel {
    socket: Option<Socket>,
    known: BTreeMap<(Family, Name), Table>,
}

/// Why the kernel did not take it. It has what it had before, if it said anything.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel cannot be asked.
    #[error("the kernel's packet filter cannot be reached: {0}")]
    Socket(#[from] io::Error),
    /// No kernel can have such a table.
    #[error("the table makes no sense: {0}")]
    Unfit(#[from] Unfit),
    /// This process may not do that.
    #[error("the packet filter may be changed only by root (it takes CAP_NET_ADMIN in the network)")]
    Permission,
    /// The kernel lacks something.
    #[error("this kernel lacks {what}: it needs {option}, built in or as a module that can be loaded")]
    Missing {
        /// What it lacks.
        what: String,
        /// The option that it would have to be built with.
        option: &'static str,
    },
    /// The message is too large.
    #[error(
        "the kernel does not take {0} bytes at once: net.core.wmem_max may have to be higher, or it takes CAP_NET_ADMIN"
    )]
    TooLarge(usize),
    /// There is no memory for it.
    #[error("the kernel has no memory for it now ({0}): it can be tried again")]
    Memory(io::Error),
    /// The kernel did not take a step.
    #[error("the kernel refuses {}: {code}{}", .step, explained(.message.as_ref()))]
    Refused {
        /// Which one.
        step: String,
        /// The kernel's error.
        code: io::Error,
        /// What else it says.
        message: Option<String>,
    },
    /// It is not known what came of it.
    #[error("the kernel did not say what came of it")]
    Silent,
}

fn explained(message: Option<&String>) -> String {
    message.map(|message| format!(" ({message})")).unwrap_or_default()
}

impl Kernel {
    /// Has the kernel have this table and no other of its name, in one step: all of it or nothing. What the kernel has by us
    /// already is left alone.
    ///
    /// The first time, and when it turns out that somebody else has changed the table, the whole of it is replaced. What its
    /// sets have learned is lost then.
    ///
    /// # Errors
    /// If the kernel does not take it. It has what it had before, unless it did not say ([`KernelError::Silent`]): then the
    /// whole is replaced the next time.
    pub fn apply(&mut self, table: &Table) -> Result<(), KernelError> {
        let name = (table.family, table.name.clone());
        let changed = match self.known.get(&name) {
            Some(before) => {
                let steps = difference(Some(before), Some(table));
                match self.carry_out(table.family, &table.name, &steps) {
                    Err(error) if error.is_surprise() => None,
                    result => Some(result),
                }
            }
            None => None,
        };
        let result = changed.unwrap_or_else(|| self.carry_out(table.family, &table.name, &replacement(table)));
        if let Err(KernelError::Silent) = result {
            self.known.remove(&name);
        }
        result?;
        self.known.insert(name, table.clone());
        Ok(())
    }

    /// Has the kernel have no table of that name. Says whether there was one.
    ///
    /// # Errors
    /// If the kernel does not take it.
    pub fn remove(&mut self, family: Family, name: &str) -> Result<bool, KernelError> {
        let name = Name::from(name);
        let gone = match self.carry_out(family, &name, &[Step::RemoveTable]) {
            Err(KernelError::Refused { code, .. }) if is(&code, Errno::NOENT) => false,
            result => result.map(|()| true)?,
        };
        self.known.remove(&(family, name));
        Ok(gone)
    }

    /// Takes it that nobody knows what the kernel has by that name: the next time that it is applied it is replaced as a
    /// whole. For when somebody else has changed it ([`Watch`]).
    pub fn forget(&mut self, family: Family, name: &str) {
        self.known.remove(&(family, Name::from(name)));
    }

    /// Whether the kernel can do all that a table of that family can ask of it. It is asked, and nothing is changed.
    ///
    /// # Errors
    /// With what is missing.
    pub fn available(&mut self, family: Family) -> Result<(), KernelError> {
        let table = rehearsal::table(family);
        let mut steps = vec![Step::AddTable];
        steps.extend(difference(None, Some(&table)));
        self.send(family, &table.name, &steps, false)
    }

    /// Hears from now on of changes of these tables that are not by this one. Only in tokio's runtime.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn watch(&mut self, tables: impl IntoIterator<Item = (Family, Name)>) -> Result<Watch, KernelError> {
        let port = self.socket()?.port();
        Ok(Watch::new(port, tables.into_iter().collect())?)
    }

    fn carry_out(&mut self, family: Family, name: &Name, steps: &[Step]) -> Result<(), KernelError> {
        if steps.is_empty() { Ok(()) } else { self.send(family, name, steps, true) }
    }

    /// `end`: whether it is meant. Otherwise the kernel only looks whether it could.
    fn send(&mut self, family: Family, name: &Name, steps: &[Step], end: bool) -> Result<(), KernelError> {
        let batch = encode(family, name, steps)?.finish(end);
        match self.socket()?.exchange(&batch)? {
            Outcome::Done => Ok(()),
            Outcome::Silent => Err(KernelError::Silent),
            Outcome::Unsent(Errno::MSGSIZE) => Err(KernelError::TooLarge(batch.bytes.len())),
            Outcome::Unsent(Errno::PERM) => Err(KernelError::Permission),
            Outcome::Unsent(code @ (Errno::NOBUFS | Errno::NOMEM)) => Err(KernelError::Memory(code.into())),
            Outcome::Unsent(code) => Err(KernelError::Socket(code.into())),
            Outcome::Refused(refusal) => Err(refused(family, steps, &batch, refusal)),
        }
    }

    fn socket(&mut self) -> io::Result<&Socket> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open()?,
        };
        Ok(self.socket.insert(socket))
    }
}

impl KernelError {
    /// Whether it may be so because the kernel has something else than what we know of.
    fn is_surprise(&self) -> bool {
        match self {
            KernelError::Refused { code, .. } => {
                [Errno::NOENT, Errno::EXIST, Errno::BUSY].iter().any(|surprise| is(code, *surprise))
            }
            _ => false,
        }
    }
}

fn is(code: &io::Error, errno: Errno) -> bool {
    code.raw_os_error() == Some(errno.raw_os_error())
}

/// What puts a table there whatever there is. Only a table that is there can be removed, so it is put there before.
fn replacement(table: &Table) -> Vec<Step> {
    let mut steps = vec![Step::AddTable, Step::RemoveTable];
    steps.extend(difference(None, Some(table)));
    steps
}

fn refused(family: Family, steps: &[Step], batch: &Sent, refusal: Refusal) -> KernelError {
    let Refusal { code, sequence, offset, text } = refusal;
    let missing = |what: String, option: &'static str| KernelError::Missing { what, option };
    let step = batch.step(sequence).and_then(|step| steps.get(step));
    let expression = offset.and_then(|offset| batch.expression(sequence, offset));
    match (code, step, expression) {
        (Errno::PERM, None, _) => KernelError::Permission,
        (Errno::OPNOTSUPP | Errno::INVAL, None, _) => missing("nftables".to_owned(), "CONFIG_NF_TABLES"),
        (Errno::NOBUFS | Errno::NOMEM, ..) => KernelError::Memory(code.into()),
        (Errno::OPNOTSUPP | Errno::AFNOSUPPORT, Some(Step::AddTable), _) => {
            missing(format!("nftables for {family:?}"), table_option(family))
        }
        (Errno::NOENT, Some(Step::AddChain(_, Some(base))), _) => {
            let (what, option) = match base.translates {
                true => ("chains that translate addresses", "CONFIG_NFT_NAT"),
                false => ("chains that filter", table_option(family)),
            };
            missing(what.to_owned(), option)
        }
        (Errno::NOENT, Some(Step::AddRules(..)), Some(name)) if option(family, name).is_some() => {
            missing(format!("the expression {name}"), option(family, name).unwrap_or_default())
        }
        _ => {
            let message = match (text, expression) {
                (Some(text), Some(name)) => Some(format!("expression {name}: {text}")),
                (None, Some(name)) => Some(format!("expression {name}")),
                (text, None) => text,
            };
            let step = step.map_or_else(|| "the change as a whole".to_owned(), ToString::to_string);
            KernelError::Refused { step, code: code.into(), message }
        }
    }
}

const fn table_option(family: Family) -> &'static str {
    match family {
        Family::Ip => "CONFIG_NF_TABLES_IPV4",
        Family::Ip6 => "CONFIG_NF_TABLES_IPV6",
    }
}

/// The option that an expression takes, if not all kernels with nftables have it.
fn option(family: Family, expression: &str) -> Option<&'static str> {
    match (expression, family) {
        ("ct", _) => Some("CONFIG_NFT_CT"),
        ("fib", Family::Ip) => Some("CONFIG_NFT_FIB_IPV4"),
        ("fib", Family::Ip6) => Some("CONFIG_NFT_FIB_IPV6"),
        ("masq", _) => Some("CONFIG_NFT_MASQ"),
        ("nat", _) => Some("CONFIG_NFT_NAT"),
        ("numgen", _) => Some("CONFIG_NFT_NUMGEN"),
        ("reject", Family::Ip) => Some("CONFIG_NFT_REJECT_IPV4"),
        ("reject", Family::Ip6) => Some("CONFIG_NFT_REJECT_IPV6"),
        _ => None,
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::AddTable => write!(f, "the table"),
            Step::RemoveTable => write!(f, "to remove the table"),
            Step::Flush(chain) => write!(f, "to empty chain {chain}"),
            Step::RemoveElements(set, _) => write!(f, "to remove elements of {set}"),
            Step::RemoveSet(set) => write!(f, "to remove set {set}"),
            Step::RemoveChain(chain) => write!(f, "to remove chain {chain}"),
            Step::AddSet(set, _) => write!(f, "set {set}"),
            Step::AddChain(chain, _) => write!(f, "chain {chain}"),
            Step::AddElements(set, _) => write!(f, "elements of {set}"),
            Step::AddRules(chain, _) => write!(f, "rules of chain {chain}"),
        }
    }
}
