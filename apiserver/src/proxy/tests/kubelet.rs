//! A server that tells what it was asked, and agrees to become something else: a kubelet, as far as a proxy sees it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::authn::ClientCertificates;
use crate::proxy::Stream;
use crate::serve::{Authority, ResponseBody, full_body, server_config};

/// What was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    /// Who asked, as their certificate says, and of which group.
    pub(super) client: String,
}

#[derive(Default)]
struct State {
    last: Mutex<Asked>,
    code: Mutex<Option<u16>>,
    /// What the next log that is followed says.
    log: Mutex<Option<mpsc::UnboundedReceiver<&'static str>>>,
    /// Is told when a joined connection has ended.
    ended: Mutex<Option<oneshot::Sender<()>>>,
}

#[derive(Clone)]
pub(super) struct Kubelet {
    pub(super) port: u16,
    state: Arc<State>,
}

impl Kubelet {
    /// Listens at every address of loopback, with a certificate of `authority`.
    pub(super) async fn start(authority: &Authority) -> Kubelet {
        let names = ["box".to_owned(), "127.0.0.1".to_owned()];
        let clients = ClientCertificates::new(authority.roots().unwrap()).unwrap();
        let tls = server_config(&authority.kubelet_serving("box", &names).unwrap(), &clients).unwrap();
        let acceptor = TlsAcceptor::from(tls);
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let kubelet = Kubelet { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let serving = kubelet.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (kubelet, acceptor, clients) = (serving.clone(), acceptor.clone(), clients.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let now = std::time::SystemTime::now();
                    let identity = clients.judge(shown, now).identity(now).ok().flatten();
                    let client = identity.map(|identity| format!("{} {}", identity.user, identity.groups[0]));
                    kubelet.serve(stream, client.unwrap_or_default()).await;
                });
            }
        });
        kubelet
    }

    /// Answers what comes over `stream`.
    pub(super) async fn serve(self, stream: impl Stream, client: String) {
        let service = service_fn(move |request| {
            let (kubelet, client) = (self.clone(), client.clone());
            async move { Ok::<_, Infallible>(kubelet.answer(request, client).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let _ = connection.with_upgrades().await;
    }

    pub(super) fn last(&self) -> Asked {
        self.state.last.lock().clone()
    }

    /// Answers the next request with this code.
    pub(super) fn answer_with(&self, code: u16) {
        *self.state.code.lock() = Some(code);
    }

    /// Has the next log say what is sent.
    pub(super) fn write_log(&self) -> mpsc::UnboundedSender<&'static str> {
        let (writer, lines) = mpsc::unbounded_channel();
        *self.state.log.lock() = Some(lines);
        writer
    }

    /// Resolves when the next joined connection has ended.
    pub(super) fn ended(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        *self.state.ended.lock() = Some(sender);
        receiver
    }

    async fn answer(&self, mut request: Request<Incoming>, client: String) -> Response<ResponseBody> {
        let line = format!("{} {}", request.method(), request.uri());
        *self.state.last.lock() = Asked { line: line.clone(), headers: request.headers().clone(), client };
        let code = self.state.code.lock().take();
        if let Some(code) = code {
            let builder = Response::builder().status(code).header("location", "https://elsewhere/");
            return builder.body(full_body("previous terminated container")).unwrap();
        }
        if request.headers().contains_key("upgrade") {
            return self.become_echo(&mut request);
        }
        if let Some(lines) = self.state.log.lock().take() {
            let lines = futures::stream::unfold(lines, async |mut lines| Some((lines.recv().await?, lines)));
            let frames = lines.map(|line| Ok(Frame::data(Bytes::from_static(line.as_bytes()))));
            return Response::new(StreamBody::new(frames).boxed_unsync());
        }
        if request.uri().path() == "/redirect" {
            let builder = Response::builder().status(302).header("location", "/elsewhere");
            return builder.body(full_body("")).unwrap();
        }
        let length = request.into_body().collect().await.map(|body| body.to_bytes().len()).unwrap_or(0);
        let builder = Response::builder().header("x-of-kubelet", "1").header("access-control-allow-origin", "*");
        builder.body(full_body(format!("{line}\n{length}"))).unwrap()
    }

    /// Agrees to whatever is wanted, and then sends back what it gets, in capitals.
    fn become_echo(&self, request: &mut Request<Incoming>) -> Response<ResponseBody> {
        let wanted = request.headers()["upgrade"].clone();
        let upgraded = hyper::upgrade::on(request);
        let ended = self.state.ended.lock().take();
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                let said = String::from_utf8_lossy(&buffer[..length]).to_ascii_uppercase();
                if said.contains("QUIT") || stream.write_all(said.as_bytes()).await.is_err() {
                    break;
                }
                stream.flush().await.unwrap();
            }
            let _ = stream.shutdown().await;
            ended.map(|ended| ended.send(()));
        });
        let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", wanted);
        response.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
        response
    }
}
