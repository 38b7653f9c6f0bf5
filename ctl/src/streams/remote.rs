//! A command in a container: what goes in, what comes out, and what it ended with.

use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use kube::Client;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Connection, Refused, V4, V5, spdy};
use crate::Error;

/// How many pieces may wait in each direction.
const WAITING: usize = 16;

/// The channels of the WebSocket protocol.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
/// Ends the channel that it names. Only since version 5.
const CLOSE: u8 = 255;

/// Which streams there are. A terminal has no stderr of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) stdin: bool,
    pub(crate) stderr: bool,
    pub(crate) tty: bool,
}

impl Wanted {
    /// The parameters that say it.
    pub(crate) fn parameters(self) -> Vec<(&'static str, String)> {
        let all = [("stdin", self.stdin), ("stdout", true), ("stderr", self.stderr), ("tty", self.tty)];
        all.into_iter().filter(|(_, is)| *is).map(|(name, _)| (name, "true".to_owned())).collect()
    }
}

/// What goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Bytes(Bytes),
    /// There is no more.
    End,
    /// The terminal has this many columns and rows now.
    Size(u16, u16),
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
    /// What it ended with.
    Status(Bytes),
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) input: mpsc::Sender<Input>,
    output: mpsc::Receiver<Output>,
}

impl Remote {
    /// Begins what a path, with its parameters, is for.
    pub(crate) async fn begin(client: &Client, uri: &str, wanted: Wanted) -> Result<Remote, Error> {
        // Version 4 cannot say that input has ended, which on a terminal is said by what is typed.
        let needs_end = wanted.stdin && !wanted.tty;
        let versions: &[&str] = if needs_end { &[V5] } else { &[V5, V4] };
        match super::websocket(client, uri, versions).await {
            Ok((socket, version)) => return Ok(Remote::over_websocket(socket, version == V5)),
            Err(Refused::Protocol(_)) => {}
            Err(Refused::Other(error)) => return Err(error),
        }
        let connection = super::spdy(client, uri, &[V4]).await?;
        Remote::over_spdy(connection, wanted).await
    }

    /// What comes next. None when it is over.
    pub(crate) async fn next(&mut self) -> Option<Output> {
        self.output.recv().await
    }

    fn over_websocket(socket: WebSocketStream<Connection>, can_end: bool) -> Remote {
        let (input, mut waiting) = mpsc::channel(WAITING);
        let (sender, output) = mpsc::channel(WAITING);
        let (mut sink, mut stream) = socket.split();
        let putting = tokio::spawn(async move {
            while let Some(piece) = waiting.recv().await {
                if let Some(message) = message(piece, can_end)
                    && sink.send(Message::Binary(message)).await.is_err()
                {
                    return;
                }
            }
            let _ = sink.close().await;
        });
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let Message::Binary(bytes) = message else { continue };
                if let Some(piece) = piece(bytes)
                    && sender.send(piece).await.is_err()
                {
                    return;
                }
            }
            // Whoever still has input is to see that nobody wants it.
            putting.abort();
        });
        Remote { input, output }
    }

    async fn over_spdy(
        connection: impl AsyncRead + AsyncWrite + Send + 'static,
        wanted: Wanted,
    ) -> Result<Remote, Error> {
        let connection = spdy::Connection::start(connection);
        let open = async |name: &str| connection.open(vec![("streamtype", name.to_owned())]).await;
        let (sender, output) = mpsc::channel(WAITING);
        // The other side waits for all of them, which may be begun in any order but that of kubectl for the first.
        let errors = open("error").await?;
        let stdin = if wanted.stdin { Some(open("stdin").await?) } else { None };
        let stdout = open("stdout").await?;
        let stderr = if wanted.stderr && !wanted.tty { Some(open("stderr").await?) } else { None };
        let resize = if wanted.tty { Some(open("resize").await?) } else { None };
        let (input, waiting) = mpsc::channel(WAITING);
        let ways = (stdin.as_ref().map(spdy::Stream::sender), resize.as_ref().map(spdy::Stream::sender));
        let putting = tokio::spawn(put_in(waiting, ways.0, ways.1));
        tokio::spawn(async move {
            let kept = (stdin, resize, connection);
            let take_out = async |mut stream: spdy::Stream, kind: fn(Bytes) -> Output| {
                while let Some(bytes) = stream.next().await {
                    if sender.send(kind(bytes)).await.is_err() {
                        return;
                    }
                }
            };
            let status = async {
                let mut errors = errors;
                let mut whole = BytesMut::new();
                while let Some(bytes) = errors.next().await {
                    whole.extend_from_slice(&bytes);
                }
                whole.freeze()
            };
            let said = async {
                if let Some(stderr) = stderr {
                    take_out(stderr, Output::Stderr).await;
                }
            };
            let (status, (), ()) = tokio::join!(status, take_out(stdout, Output::Stdout), said);
            if !status.is_empty() {
                let _ = sender.send(Output::Status(status)).await;
            }
            putting.abort();
            drop(kept);
        });
        Ok(Remote { input, output })
    }
}

/// Sends what goes in to the streams that are for it.
async fn put_in(mut waiting: mpsc::Receiver<Input>, stdin: Option<spdy::Sender>, resize: Option<spdy::Sender>) {
    while let Some(piece) = waiting.recv().await {
        let sent = match (piece, &stdin, &resize) {
            (Input::Bytes(bytes), Some(stdin), _) => stdin.send(bytes).await,
            (Input::End, Some(stdin), _) => stdin.finish().await,
            (Input::Size(columns, rows), _, Some(resize)) => resize.send(size(columns, rows).into()).await,
            _ => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn size(columns: u16, rows: u16) -> String {
    // The other side reads one value after the other, line by line.
    format!("{{\"Width\":{columns},\"Height\":{rows}}}\n")
}

/// A message of the WebSocket protocol; none if what it would say cannot be said.
fn message(input: Input, can_end: bool) -> Option<Bytes> {
    let mut message = BytesMut::new();
    match input {
        Input::Bytes(bytes) => {
            message.put_u8(STDIN);
            message.extend_from_slice(&bytes);
        }
        Input::Size(columns, rows) => {
            message.put_u8(RESIZE);
            message.extend_from_slice(size(columns, rows).as_bytes());
        }
        Input::End if can_end => message.put_slice(&[CLOSE, STDIN]),
        Input::End => return None,
    }
    Some(message.freeze())
}

/// What a message of the WebSocket protocol says. Each channel begins with an empty one.
fn piece(mut message: Bytes) -> Option<Output> {
    if message.len() < 2 {
        return None;
    }
    let channel = message.split_to(1);
    match channel[0] {
        STDOUT => Some(Output::Stdout(message)),
        STDERR => Some(Output::Stderr(message)),
        STATUS => Some(Output::Status(message)),
        _ => None,
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    /// With this exit code.
    With(u8),
    /// Not by itself: why.
    Badly(String),
}

/// How a command ended, by the status that was sent.
pub(crate) fn ended(status: Option<&[u8]>) -> Ended {
    let Some(status) = status else { return Ended::Badly("lost connection to pod".to_owned()) };
    let Ok(status) = serde_json::from_slice::<Value>(status) else {
        return Ended::Badly(String::from_utf8_lossy(status).trim().to_owned());
    };
    if status["status"] == "Success" {
        return Ended::Well;
    }
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    if status["reason"] != "NonZeroExitCode" {
        return Ended::Badly(message);
    }
    let mut causes = status["details"]["causes"].as_array().into_iter().flatten();
    let cause = causes.find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
    match cause.and_then(|code| code.parse::<i64>().ok()) {
        // As processes do: of a larger number, the last byte.
        Some(code) => Ended::With(code.to_le_bytes()[0]),
        None => Ended::Badly(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_channel() {
        let check = |input, can_end, expected: Option<&'static [u8]>| {
            assert_eq!(message(input, can_end), expected.map(Bytes::from_static));
        };
        check(Input::Bytes(Bytes::from("x")), false, Some(b"\0x"));
        check(Input::End, true, Some(b"\xff\0"));
        check(Input::End, false, None);
        check(Input::Size(80, 24), false, Some(b"\x04{\"Width\":80,\"Height\":24}\n"));
        let check = |bytes: &'static [u8], expected| assert_eq!(piece(Bytes::from_static(bytes)), expected);
        check(b"\x01", None);
        check(b"", None);
        check(b"\x01out", Some(Output::Stdout(Bytes::from("out"))));
        check(b"\x02err", Some(Output::Stderr(Bytes::from("err"))));
        check(b"\x03{}", Some(Output::Status(Bytes::from("{}"))));
        check(b"\x07?", None);
    }

    #[test]
    fn a_status_says_how_it_ended() {
        let check = |status: Option<&str>, expected| assert_eq!(ended(status.map(str::as_bytes)), expected);
        check(Some(r#"{"status": "Success"}"#), Ended::Well);
        let code = |code: &str| {
            format!(
                r#"{{"status": "Failure", "reason": "NonZeroExitCode", "message": "m",
                    "details": {{"causes": [{{"reason": "ExitCode", "message": "{code}"}}]}}}}"#
            )
        };
        check(Some(&code("3")), Ended::With(3));
        check(Some(&code("300")), Ended::With(44));
        check(Some(&code("x")), Ended::Badly("m".to_owned()));
        check(Some(r#"{"status": "Failure", "message": "no such file"}"#), Ended::Badly("no such file".to_owned()));
        check(Some("plain words\n"), Ended::Badly("plain words".to_owned()));
        check(None, Ended::Badly("lost connection to pod".to_owned()));
    }
}
