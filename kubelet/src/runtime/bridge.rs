//! Removing a bridge, which the network plugins made for pods once and left behind: one question to the kernel over netlink.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// `RTM_DELLINK`.
const DELETE_LINK: u16 = 17;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST_AND_ANSWER: u16 = 1 | 4;
/// `NLMSG_ERROR`, which says that all went well, too.
const OUTCOME: u16 = 2;
/// `IFLA_IFNAME`.
const NAME: u16 = 3;
/// Bytes of the header of a message, and of what a link's request begins with.
const HEADER: usize = 16;

/// Removes the bridge of this name, and says whether there was one. Another kind of interface is left alone.
pub(super) fn remove(name: &str) -> io::Result<bool> {
    if !std::path::Path::new("/sys/class/net").join(name).join("bridge").is_dir() {
        return Ok(false);
    }
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // No protocol is `NETLINK_ROUTE`, whose number is zero. A socket that was not bound is bound by sending, and one that was not connected talks to the kernel.
    send(&socket, &request(name), SendFlags::empty())?;
    let mut answer = [0; 1024];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    match outcome(&answer[..length]) {
        Some(0) => Ok(true),
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer makes no sense")),
    }
}

/// The request, as the kernel wants it.
fn request(name: &str) -> Vec<u8> {
    let attribute = 4 + name.len() + 1;
    let length = HEADER + HEADER + attribute.next_multiple_of(4);
    let mut message = Vec::with_capacity(length);
    // An interface's name is short, so these fit.
    message.extend_from_slice(&(length as u32).to_ne_bytes());
    message.extend_from_slice(&DELETE_LINK.to_ne_bytes());
    message.extend_from_slice(&REQUEST_AND_ANSWER.to_ne_bytes());
    // The number of the question, and who asks: the kernel knows.
    message.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    // Any family, and no index: it is about a name.
    message.extend_from_slice(&[0; HEADER]);
    message.extend_from_slice(&(attribute as u16).to_ne_bytes());
    message.extend_from_slice(&NAME.to_ne_bytes());
    message.extend_from_slice(name.as_bytes());
    message.resize(length, 0);
    message
}

/// The error's number in an answer; 0 for none.
fn outcome(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let number = i32::from_ne_bytes(answer.get(HEADER..HEADER + 4)?.try_into().ok()?);
    (kind == OUTCOME).then_some(number.checked_neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_interfaces_are_left_alone() {
        assert!(!remove("lo").unwrap());
        assert!(!remove("no-such-bridge").unwrap());
    }

    #[test]
    fn messages_have_the_length_that_they_say() {
        for name in ["a", "abc", "abcd", "fifteen-letters"] {
            let message = request(name);
            assert_eq!(message[..4], (message.len() as u32).to_ne_bytes());
            assert_eq!(message.len() % 4, 0);
            assert_eq!(&message[36..36 + name.len()], name.as_bytes());
            assert_eq!(message[36 + name.len()], 0);
        }
    }

    #[test]
    fn answers_are_read() {
        let answer = |kind: u16, number: i32| {
            let mut bytes = vec![0; HEADER];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&number.to_ne_bytes());
            outcome(&bytes)
        };
        assert_eq!(answer(OUTCOME, 0), Some(0));
        assert_eq!(answer(OUTCOME, -19), Some(19));
        assert_eq!(answer(16, 0), None);
        assert_eq!(outcome(&[]), None);
    }
}
