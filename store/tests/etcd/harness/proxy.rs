//! A TCP proxy that can break a connection in the ways that networks do.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::SOON;

/// What happens to traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Connections are closed, and new ones too.
    Cut,
    /// What the client sends is lost.
    LoseRequests,
    /// What the server answers is lost.
    LoseAnswers,
}

pub(crate) struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    /// How often connections were cut.
    cuts: watch::Sender<u64>,
    /// What clients sent that was lost.
    lost: watch::Sender<Vec<u8>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let mode = watch::Sender::new(Mode::Pass);
        let subscribed = mode.clone();
        let cuts = watch::Sender::new(0);
        let cutting = cuts.clone();
        let lost = watch::Sender::new(Vec::new());
        let losing = lost.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if *subscribed.borrow() != Mode::Cut {
                    let (mode, cuts) = (subscribed.subscribe(), cutting.subscribe());
                    connections.spawn(forward(client, port, mode, cuts, losing.clone()));
                }
            }
        });
        Proxy { port: own, mode, cuts, lost, _tasks: tasks }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        if mode == Mode::Cut {
            self.cuts.send_modify(|cuts| *cuts += 1);
        }
    }

    /// Waits until a request with `text` in it was lost.
    pub(crate) async fn loses(&self, text: &str) {
        let mut lost = self.lost.subscribe();
        let holds = |lost: &Vec<u8>| lost.windows(text.len()).any(|part| part == text.as_bytes());
        let waited = timeout(SOON, lost.wait_for(holds)).await;
        assert!(waited.is_ok(), "no request with {text} came by");
    }
}

async fn forward(
    client: TcpStream,
    port: u16,
    mode: watch::Receiver<Mode>,
    mut cuts: watch::Receiver<u64>,
    lost: watch::Sender<Vec<u8>>,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        // First, so that nothing passes a connection that has been cut, however short the cut was.
        biased;
        _ = cuts.changed() => {}
        () = pump(from_client, to_server, mode.clone(), Mode::LoseRequests, Some(lost)) => {}
        () = pump(from_server, to_client, mode, Mode::LoseAnswers, None) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mode: watch::Receiver<Mode>,
    lose: Mode,
    lost: Option<watch::Sender<Vec<u8>>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let part = &buffer[..read];
        if *mode.borrow() == lose {
            if let Some(lost) = &lost {
                lost.send_modify(|lost| lost.extend_from_slice(part));
            }
        } else if to.write_all(part).await.is_err() {
            return;
        }
    }
}
