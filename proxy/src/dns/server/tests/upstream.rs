//! An upstream server that says what a test wants, by UDP and by TCP, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Transport;

type Says = dyn Fn(&Message, Transport) -> Vec<Message> + Send + Sync;

pub(super) struct Fake {
    pub(super) at: SocketAddr,
    asked: watch::Receiver<Vec<Name>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A reply without records.
pub(super) fn reply(asked: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = code;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&asked.queries);
    reply
}

/// A reply with the address 192.0.2.1.
pub(super) fn address_of(asked: &Message, ttl: u32) -> Message {
    let mut reply = reply(asked, ResponseCode::NoError);
    let name = asked.queries[0].name().clone();
    reply.add_answer(Record::from_rdata(name, ttl, RData::A(A([192, 0, 2, 1].into()))));
    reply
}

impl Fake {
    /// One reply to each question, or none.
    pub(super) async fn start(says: impl Fn(&Message, Transport) -> Option<Message> + Send + Sync + 'static) -> Fake {
        Fake::start_many(move |asked, transport| says(asked, transport).into_iter().collect()).await
    }

    /// Several replies to each question.
    pub(super) async fn start_many(says: impl Fn(&Message, Transport) -> Vec<Message> + Send + Sync + 'static) -> Fake {
        Fake::listen(None, Arc::new(says)).await
    }

    /// Replies from when it is told to go on.
    pub(super) async fn start_after(
        go: Arc<Notify>,
        says: impl Fn(&Message, Transport) -> Option<Message> + Send + Sync + 'static,
    ) -> Fake {
        let says = move |asked: &Message, transport| says(asked, transport).into_iter().collect();
        Fake::listen(Some(go), Arc::new(says)).await
    }

    async fn listen(go: Option<Arc<Notify>>, says: Arc<Says>) -> Fake {
        let (at, tcp, udp) = super::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (note, asked) = watch::channel(Vec::new());
        let note = Arc::new(note);
        let tasks = [
            tokio::spawn(datagrams(udp, go, Arc::clone(&says), Arc::clone(&note))),
            tokio::spawn(connections(tcp, says, note)),
        ];
        Fake { at, asked, tasks }
    }

    /// How often it was asked for a name.
    pub(super) fn count(&self, name: &str) -> usize {
        let name = Name::from_ascii(name).unwrap();
        self.asked.borrow().iter().filter(|asked| **asked == name).count()
    }

    /// Waits until it has been asked for a name.
    pub(super) async fn until_asked(&self, name: &str) {
        let name = Name::from_ascii(name).unwrap();
        self.asked.clone().wait_for(|asked| asked.contains(&name)).await.unwrap();
    }
}

fn heard(bytes: &[u8], note: &watch::Sender<Vec<Name>>) -> Message {
    let asked = Message::from_vec(bytes).unwrap();
    note.send_modify(|names| names.push(asked.queries[0].name().clone()));
    asked
}

async fn datagrams(udp: UdpSocket, go: Option<Arc<Notify>>, says: Arc<Says>, note: Arc<watch::Sender<Vec<Name>>>) {
    let (mut buffer, mut held) = ([0; 4_096], Vec::new());
    let mut waits = go.is_some();
    loop {
        let go_on = async {
            if let Some(go) = &go
                && waits
            {
                go.notified().await
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            received = udp.recv_from(&mut buffer) => {
                let (size, client) = received.unwrap();
                held.push((heard(&buffer[..size], &note), client));
            }
            () = go_on => waits = false,
        }
        if !waits {
            for (asked, client) in held.drain(..) {
                for reply in says(&asked, Transport::Udp) {
                    udp.send_to(&reply.to_vec().unwrap(), client).await.unwrap();
                }
            }
        }
    }
}

async fn connections(tcp: TcpListener, says: Arc<Says>, note: Arc<watch::Sender<Vec<Name>>>) {
    loop {
        let (mut stream, _) = tcp.accept().await.unwrap();
        let size = stream.read_u16().await.unwrap();
        let mut buffer = vec![0; size.into()];
        stream.read_exact(&mut buffer).await.unwrap();
        let asked = heard(&buffer, &note);
        for reply in says(&asked, Transport::Tcp) {
            let bytes = reply.to_vec().unwrap();
            stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    }
}
