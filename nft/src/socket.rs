//! Sockets to the kernel's packet filter. A socket belongs to the network in which it was made, whoever uses it later.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::message::{HEADER, PREAMBLE, Sent, find, received, text, word};
use crate::uapi::message;

/// The longest answer that is read as a whole. The kernel has none as long, but for changes that it tells of.
const ANSWER: usize = 64 * 1024;

/// A socket that batches are sent through.
#[derive(Debug)]
pub(crate) struct Socket {
    descriptor: OwnedFd,
    port: u32,
}

/// What the kernel did not like.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Errno,
    /// The message that it did not like.
    pub(crate) sequence: u32,
    /// Where in the message, and why, if it says so.
    pub(crate) offset: Option<u32>,
    pub(crate) text: Option<String>,
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Refused(Refusal),
    /// The kernel has not even looked at it.
    Unsent(Errno),
    /// The kernel had no room to say what came of it.
    Silent,
}

impl Socket {
    /// A socket in the network of this thread.
    pub(crate) fn open() -> io::Result<Socket> {
        /// Errors come with reasons, and without what they are about.
        const OPTIONS: [libc::c_int; 2] = [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK];
        let descriptor = unbound()?;
        for option in OPTIONS {
            set_option(descriptor.as_fd(), libc::SOL_NETLINK, option, &1_i32)?;
        }
        rustix::net::bind(&descriptor, &SocketAddrNetlink::new(0, 0))?;
        let address = SocketAddrNetlink::try_from(rustix::net::getsockname(&descriptor)?)?;
        Ok(Socket { descriptor, port: address.pid() })
    }

    /// What the kernel knows this socket by. It says so of all changes that come from here.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Sends a batch, in one piece, and reads what came of it. The kernel answers before it has been sent.
    pub(crate) fn exchange(&self, batch: &Sent) -> io::Result<Outcome> {
        self.answers(|_, _| ())?;
        self.make_room(batch.bytes.len());
        match retry_on_intr(|| rustix::net::send(&self.descriptor, &batch.bytes, SendFlags::empty())) {
            Ok(_) => (),
            Err(errno) => return Ok(Outcome::Unsent(errno)),
        }
        let (mut refusal, mut done) = (None::<Refusal>, false);
        self.answers(|answer, flags| {
            match error(answer, flags) {
                Some(Answer::Done(sequence)) => done |= batch.is_last(sequence),
                // What comes later may only be so because of what came first.
                Some(Answer::Refused(found))
                    if refusal.as_ref().is_none_or(|first| found.sequence < first.sequence) =>
                {
                    refusal = Some(found);
                }
                Some(Answer::Refused(_)) | None => (),
            }
        })?;
        Ok(match refusal {
            Some(refusal) => Outcome::Refused(refusal),
            None if done => Outcome::Done,
            None => Outcome::Silent,
        })
    }

    /// Has the kernel take a message that long. It goes without if it will not, and says so when it is sent.
    fn make_room(&self, bytes: usize) {
        const OVERHEAD: usize = 4096;
        let size = bytes + OVERHEAD;
        if sockopt::socket_send_buffer_size(&self.descriptor).is_ok_and(|now| now < size) {
            let forced = sockopt::set_socket_send_buffer_size_force(&self.descriptor, size);
            let _ = forced.or_else(|_| sockopt::set_socket_send_buffer_size(&self.descriptor, size));
        }
    }

    /// Reads all answers that are there.
    fn answers(&self, mut see: impl FnMut(&[u8], u16)) -> io::Result<()> {
        let mut buffer = vec![0; ANSWER];
        loop {
            match rustix::net::recv(&self.descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    let messages = received(&buffer[..length]).filter(|found| found.kind == message::ERROR);
                    messages.for_each(|found| see(found.bytes, found.flags));
                }
                Err(Errno::AGAIN) => return Ok(()),
                // There was more than fits. What came first is there.
                Err(Errno::INTR | Errno::NOBUFS) => (),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// What the kernel says of one message.
enum Answer {
    Done(u32),
    Refused(Refusal),
}

fn error(answer: &[u8], flags: u16) -> Option<Answer> {
    /// The code, and behind it the header of what it is about.
    const CODE: usize = HEADER;
    const SEQUENCE: usize = PREAMBLE + 8;
    const ATTRIBUTES: usize = PREAMBLE + 16;
    let code = word(answer, CODE)?.cast_signed().checked_neg()?;
    let sequence = word(answer, SEQUENCE)?;
    if code == 0 {
        return Some(Answer::Done(sequence));
    }
    let attributes = answer.get(ATTRIBUTES..).filter(|_| flags & message::EXPLAINED != 0).unwrap_or_default();
    let offset = find(attributes, message::ERROR_OFFSET).and_then(|value| word(value, 0));
    let text = find(attributes, message::ERROR_TEXT).and_then(text).map(str::to_owned);
    Some(Answer::Refused(Refusal { code: Errno::from_raw_os_error(code), sequence, offset, text }))
}

/// A socket that hears of every change that does not come from the socket with that port.
pub(crate) fn listener(port: u32) -> io::Result<OwnedFd> {
    /// The group of those that hear of changes of the packet filter, as a bit.
    const GROUP: u32 = 1 << (libc::NFNLGRP_NFTABLES - 1);
    /// Bursts of others' changes that are not about us have to fit.
    const BURST: usize = 4 << 20;
    let descriptor = unbound()?;
    ignore(descriptor.as_fd(), port)?;
    let _ = sockopt::set_socket_recv_buffer_size_force(&descriptor, BURST);
    rustix::net::bind(&descriptor, &SocketAddrNetlink::new(0, GROUP))?;
    Ok(descriptor)
}

/// Has the kernel not even queue what it tells of changes that come from that port: of our own there are so many at once that
/// others' would not fit.
fn ignore(descriptor: BorrowedFd<'_>, port: u32) -> io::Result<()> {
    /// Where a message says whence the change came.
    const SENDER: u32 = 12;
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let instruction = |code: u32, jt: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    // Such programs read numbers as the network has them.
    let port = u32::from_be_bytes(port.to_ne_bytes());
    let mut program = [
        instruction(LOAD, 0, SENDER),
        instruction(IF_EQUAL, 1, port),
        instruction(RETURN, 0, u32::MAX),
        instruction(RETURN, 0, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    set_option(descriptor, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn unbound() -> io::Result<OwnedFd> {
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    let protocol = Some(rustix::net::netlink::NETFILTER);
    Ok(rustix::net::socket_with(AddressFamily::NETLINK, kind, flags, protocol)?)
}

fn set_option<T>(descriptor: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads as many bytes as the value has, and keeps no pointer to it or to what it points to.
    let result =
        unsafe { libc::setsockopt(descriptor.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
