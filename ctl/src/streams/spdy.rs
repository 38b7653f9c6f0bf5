//! SPDY/3.1, as much of it as the streams of pods need, on the side that begins them.
//!
//! The other side is always the one library that Kubernetes has for it, which neither heeds nor grants windows. Headers are
//! sent in blocks that zlib calls stored, and those that come are not read: nothing in them is needed.
//!
//! A stream's frames are kept until it is read, up to a bound, and then the whole connection waits, as it does in kubectl.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

/// The most that is sent in a frame.
const FRAME: usize = 32 << 10;
/// The largest frame that is read; the format allows no larger one.
const LARGEST: usize = 1 << 24;
/// How many frames may wait in each direction.
const WAITING: usize = 16;

const CONTROL: u32 = 0x8003_0000;
const SYN_STREAM: u32 = 1;
const RST_STREAM: u32 = 3;
const PING: u32 = 6;
const GOAWAY: u32 = 7;
const FIN: u8 = 1;
const CANCEL: u32 = 5;

/// A frame to be sent.
#[derive(Debug)]
enum Frame {
    Open(u32, Vec<(&'static str, String)>),
    Data(u32, Bytes),
    Fin(u32),
    Reset(u32),
    Pong(u32),
}

type Readers = Arc<Mutex<HashMap<u32, mpsc::Sender<Bytes>>>>;

/// A connection on which streams can be begun.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    frames: mpsc::Sender<Frame>,
    readers: Readers,
    next: Arc<Mutex<u32>>,
    pairs: Arc<AtomicU64>,
    closed: watch::Receiver<bool>,
}

/// A stream. What comes is read by `next`; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Stream {
    sender: Sender,
    received: mpsc::Receiver<Bytes>,
    readers: Readers,
}

/// The way into a stream.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    id: u32,
    frames: mpsc::Sender<Frame>,
}

impl Connection {
    /// Speaks SPDY on a connection, from now until either side ends it.
    pub(crate) fn start(connection: impl AsyncRead + AsyncWrite + Send + 'static) -> Connection {
        let (reading, writing) = tokio::io::split(connection);
        let (frames, waiting) = mpsc::channel(WAITING);
        let (closing, closed) = watch::channel(false);
        let readers = Readers::default();
        let (own_readers, pongs) = (Arc::clone(&readers), frames.downgrade());
        tokio::spawn(write(writing, waiting));
        tokio::spawn(async move {
            // However it ends, nothing more will come.
            let _ = read(reading, &own_readers, &pongs).await;
            own_readers.lock().clear();
            let _ = closing.send(true);
        });
        Connection { frames, readers, next: Arc::new(Mutex::new(1)), pairs: Arc::default(), closed }
    }

    /// Begins a stream. Their order is that in which they were begun.
    pub(crate) async fn open(&self, headers: Vec<(&'static str, String)>) -> io::Result<Stream> {
        let (sender, received) = mpsc::channel(WAITING);
        let place = self.frames.reserve().await.map_err(|_| gone())?;
        let id = {
            let mut next = self.next.lock();
            let id = *next;
            // Those of the side that began the connection are odd.
            *next += 2;
            self.readers.lock().insert(id, sender);
            place.send(Frame::Open(id, headers));
            id
        };
        // Who has ended the connection in the meantime has not seen it.
        if *self.closed.borrow() {
            self.readers.lock().remove(&id);
            return Err(gone());
        }
        let sender = Sender { id, frames: self.frames.clone() };
        Ok(Stream { sender, received, readers: Arc::clone(&self.readers) })
    }

    /// A number that no other streams of this connection have, for those that belong together.
    pub(crate) fn number(&self) -> u64 {
        self.pairs.fetch_add(1, Ordering::Relaxed)
    }

    /// Resolves when the other side has ended the connection.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.clone();
        let _ = closed.wait_for(|closed| *closed).await;
    }
}

impl Stream {
    /// What comes next. None when the other side has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.received.recv().await
    }

    /// The way into it.
    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Gives the stream up, so that the other side does, too.
    pub(crate) async fn reset(self) {
        let _ = self.sender.frames.send(Frame::Reset(self.sender.id)).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.readers.lock().remove(&self.sender.id);
    }
}

impl Sender {
    /// Sends bytes.
    pub(crate) async fn send(&self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(FRAME));
            self.frames.send(Frame::Data(self.id, piece)).await.map_err(|_| gone())?;
        }
        Ok(())
    }

    /// Says that no more will be sent.
    pub(crate) async fn finish(&self) -> io::Result<()> {
        self.frames.send(Frame::Fin(self.id)).await.map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "lost connection to pod")
}

async fn write<W: AsyncWrite>(mut connection: WriteHalf<W>, mut frames: mpsc::Receiver<Frame>) -> io::Result<()> {
    let mut is_first = true;
    while let Some(frame) = frames.recv().await {
        connection.write_all(&encode(frame, &mut is_first)).await?;
        connection.flush().await?;
    }
    connection.shutdown().await
}

/// A frame as it is sent. `is_first` is so until headers were sent: all of a connection's are one zlib stream.
fn encode(frame: Frame, is_first: &mut bool) -> BytesMut {
    let mut bytes = BytesMut::new();
    match frame {
        Frame::Open(id, headers) => {
            let block = header_block(&headers, std::mem::take(is_first));
            control(&mut bytes, SYN_STREAM, 10 + block.len());
            bytes.put_u32(id);
            // With no other stream, and of no particular priority.
            bytes.put_u32(0);
            bytes.put_u16(0);
            bytes.extend_from_slice(&block);
        }
        Frame::Data(id, data) => {
            bytes.put_u32(id);
            bytes.put_u32(length(data.len()));
            bytes.extend_from_slice(&data);
        }
        Frame::Fin(id) => {
            bytes.put_u32(id);
            bytes.put_u8(FIN);
            bytes.put_bytes(0, 3);
        }
        Frame::Reset(id) => {
            control(&mut bytes, RST_STREAM, 8);
            bytes.put_u32(id);
            bytes.put_u32(CANCEL);
        }
        Frame::Pong(id) => {
            control(&mut bytes, PING, 4);
            bytes.put_u32(id);
        }
    }
    bytes
}

fn control(bytes: &mut BytesMut, kind: u32, size: usize) {
    bytes.put_u32(CONTROL | kind);
    bytes.put_u32(length(size));
}

/// A length without flags before it. What is sent is much shorter than a length may be.
fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX) & 0x00ff_ffff
}

/// Headers as the next piece of the connection's one zlib stream: the block, and an empty one behind it, which has the other
/// side see all of the first.
fn header_block(headers: &[(&'static str, String)], is_first: bool) -> BytesMut {
    let mut plain = BytesMut::new();
    plain.put_u32(length(headers.len()));
    for (name, value) in headers {
        for text in [*name, value.as_str()] {
            plain.put_u32(length(text.len()));
            plain.extend_from_slice(text.as_bytes());
        }
    }
    let mut block = BytesMut::new();
    if is_first {
        // Deflate with a window of 32 KiB, without the dictionary that both could know.
        block.put_slice(&[0x78, 0x01]);
    }
    // Headers here are a few short words.
    let size = u16::try_from(plain.len()).unwrap_or(u16::MAX);
    block.put_u8(0);
    block.put_u16_le(size);
    block.put_u16_le(!size);
    block.extend_from_slice(&plain);
    block.put_slice(&[0, 0, 0, 0xff, 0xff]);
    block
}

/// Hands what comes to whom it is for, until the connection ends.
async fn read<R: AsyncRead>(
    mut connection: ReadHalf<R>,
    readers: &Readers,
    frames: &mpsc::WeakSender<Frame>,
) -> io::Result<()> {
    loop {
        let first = connection.read_u32().await?;
        let second = connection.read_u32().await?;
        let (flags, size) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
        debug_assert!(size < LARGEST);
        let mut body = vec![0; size];
        connection.read_exact(&mut body).await?;
        if first & 0x8000_0000 == 0 {
            let reader = readers.lock().get(&first).cloned();
            if let Some(reader) = reader
                && !body.is_empty()
            {
                // Nobody may want it any more.
                let _ = reader.send(body.into()).await;
            }
            if flags & FIN != 0 {
                readers.lock().remove(&first);
            }
            continue;
        }
        let id = body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff);
        match (first & 0xffff, id) {
            (RST_STREAM, Some(id)) => drop(readers.lock().remove(&id)),
            // Those of the other side are even; an odd one would be an answer.
            (PING, Some(id)) if id % 2 == 0 => {
                if let Some(frames) = frames.upgrade() {
                    let _ = frames.send(Frame::Pong(id)).await;
                }
            }
            (GOAWAY, _) => return Ok(()),
            // A reply that ends its stream at once.
            (2, Some(id)) if flags & FIN != 0 => drop(readers.lock().remove(&id)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_format() {
        let mut is_first = true;
        let mut encoded = |frame| encode(frame, &mut is_first).to_vec();
        let headers = || vec![("a", "bc".to_owned())];
        let plain = b"\0\0\0\x01\0\0\0\x01a\0\0\0\x02bc";
        let stored = [b"\0\x0f\0\xf0\xff".as_slice(), plain, b"\0\0\0\xff\xff"].concat();
        let begin = |id: u8, size: u8| [0x80, 3, 0, 1, 0, 0, 0, size, 0, 0, 0, id, 0, 0, 0, 0, 0, 0];
        assert_eq!(encoded(Frame::Open(1, headers())), [&begin(1, 37)[..], b"\x78\x01", &stored].concat());
        assert_eq!(encoded(Frame::Open(3, headers())), [&begin(3, 35)[..], &stored].concat());
        assert_eq!(encoded(Frame::Data(3, Bytes::from("xy"))), b"\0\0\0\x03\0\0\0\x02xy");
        assert_eq!(encoded(Frame::Fin(3)), b"\0\0\0\x03\x01\0\0\0");
        assert_eq!(encoded(Frame::Reset(3)), b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x05");
        assert_eq!(encoded(Frame::Pong(2)), b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02");
    }

    #[tokio::test]
    async fn streams_carry_bytes_both_ways_and_end() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let connection = Connection::start(ours);
        let mut stream = connection.open(vec![("a", "b".to_owned())]).await.unwrap();
        let mut seen = vec![0; 8 + 36];
        theirs.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen[..12], b"\x80\x03\0\x01\0\0\0\x24\0\0\0\x01");
        // A reply, a ping, data of this stream and of one that nobody knows, and the end.
        theirs.write_all(b"\x80\x03\0\x02\0\0\0\x05\0\0\0\x01x").await.unwrap();
        theirs.write_all(b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02").await.unwrap();
        theirs.write_all(b"\0\0\0\x01\0\0\0\x03one\0\0\0\x09\0\0\0\x03two\0\0\0\x01\x01\0\0\x01!").await.unwrap();
        assert_eq!(stream.next().await.unwrap(), "one");
        assert_eq!(stream.next().await.unwrap(), "!");
        assert_eq!(stream.next().await, None);
        let mut pong = vec![0; 12];
        theirs.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02");
        let sender = stream.sender();
        sender.send(Bytes::from("hi")).await.unwrap();
        sender.finish().await.unwrap();
        let mut sent = vec![0; 18];
        theirs.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, b"\0\0\0\x01\0\0\0\x02hi\0\0\0\x01\x01\0\0\0");
        drop(theirs);
        connection.closed().await;
        assert!(connection.open(Vec::new()).await.is_err());
    }
}
