//! Hearing that somebody else has changed one of our tables.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::message::{HEADER, PREAMBLE, find, number, received, text};
use crate::uapi::{TABLE, message};
use crate::{Family, Name, socket};

/// How many messages are read before those that are known so far are given.
const AT_ONCE: usize = 1024;

/// Hears of changes of tables that did not come from the [`Kernel`](crate::Kernel) that made it.
///
/// It keeps no more than the names of the tables that have changed. If more happens at once than the kernel keeps for it, it
/// takes it that all of them have.
///
/// Whoever has put tables there repairs them with both: [`Kernel::forget`](crate::Kernel::forget) what has changed, and
/// [`Kernel::apply`](crate::Kernel::apply) what should be. If somebody else does the same with a table of the same name, that
/// goes on forever, so there should be some time between two repairs.
#[derive(Debug)]
pub struct Watch {
    socket: AsyncFd<OwnedFd>,
    tables: BTreeSet<(Family, Name)>,
    changed: BTreeSet<(Family, Name)>,
    buffer: Vec<u8>,
}

impl Watch {
    pub(crate) fn new(port: u32, tables: BTreeSet<(Family, Name)>) -> io::Result<Watch> {
        const DATAGRAM: usize = 64 * 1024;
        let socket = socket::listener(port)?;
        // SAFETY: it owns its descriptor, which is the same until it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        let socket = socket.map_err(|error| error.into_parts().1)?;
        Ok(Watch { socket, tables, changed: BTreeSet::new(), buffer: vec![0; DATAGRAM] })
    }

    /// Waits until somebody else changes one of the tables, and says which have been changed since it last said so. Nothing is
    /// lost if the future is dropped.
    ///
    /// # Errors
    /// If the kernel does not tell any more.
    pub async fn changed(&mut self) -> io::Result<BTreeSet<(Family, Name)>> {
        loop {
            if !self.changed.is_empty() {
                return Ok(std::mem::take(&mut self.changed));
            }
            let mut ready = self.socket.readable().await?;
            for _ in 0..AT_ONCE {
                let read = rustix::net::recv(ready.get_inner(), &mut *self.buffer, RecvFlags::DONTWAIT);
                match read {
                    Ok((length, _)) => self.changed.extend(about(&self.buffer[..length], &self.tables)),
                    Err(Errno::NOBUFS) => self.changed.clone_from(&self.tables),
                    Err(Errno::AGAIN) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(Errno::INTR) => (),
                    Err(errno) => return Err(errno.into()),
                }
            }
            drop(ready);
            // Others' changes may never end.
            tokio::task::yield_now().await;
        }
    }
}

/// Which of these tables messages are about.
fn about(bytes: &[u8], tables: &BTreeSet<(Family, Name)>) -> Vec<(Family, Name)> {
    let subsystem = message::NFTABLES..message::NEW_GENERATION;
    let others = message::NEW_GENERATION + 1..message::NFTABLES + 0x100;
    let changes = received(bytes).filter(|found| subsystem.contains(&found.kind) || others.contains(&found.kind));
    let named = changes.filter_map(|found| {
        let family = *found.bytes.get(HEADER)?;
        let name = text(find(found.bytes.get(PREAMBLE..)?, TABLE)?)?;
        let ours = |(of, table): &&(Family, Name)| number(*of) == family && &**table == name;
        tables.iter().find(ours).cloned()
    });
    named.collect()
}
