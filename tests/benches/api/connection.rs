//! One connection of a client: TLS over TCP, HTTP/1.1, one request at a time.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::server::{ORDINARY_TOKEN, Process, TOKEN};

/// A server to connect to, and as whom.
#[derive(Clone)]
pub(crate) struct Target {
    address: String,
    connector: TlsConnector,
    token: &'static str,
}

impl Target {
    pub(crate) fn new(process: &Process) -> Target {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&process.authority).expect("a file of certificates") {
            roots.add(certificate.expect("a certificate")).expect("an authority");
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Target { address: process.address.clone(), connector: TlsConnector::from(Arc::new(config)), token: TOKEN }
    }

    /// The same server, as somebody for whom roles and flow control count.
    pub(crate) fn as_ordinary(&self) -> Target {
        Target { token: ORDINARY_TOKEN, ..self.clone() }
    }
}

/// A connection that stays open.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    token: &'static str,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Connection {
        Connection::try_open(target).await.expect("a connection with TLS and HTTP")
    }

    async fn try_open(target: &Target) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(IpAddr::try_from("127.0.0.1").expect("an address"));
        let stream = target.connector.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Connection { sender, host: target.address.clone(), token: target.token })
    }

    /// Sends a request and returns the head of its answer, with the body to come.
    pub(crate) async fn begin(
        &mut self,
        method: &Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> Response<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, media_type)
            .body(Full::new(body))
            .expect("a request");
        self.sender.ready().await.expect("the connection is open");
        self.sender.send_request(request).await.expect("an answer")
    }

    /// Sends a request, takes the whole answer, and returns its code and its size.
    pub(crate) async fn ask(
        &mut self,
        method: &Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> (StatusCode, usize) {
        let mut answer = self.begin(method, path, media_type, body).await;
        let mut size = 0;
        while let Some(frame) = answer.body_mut().frame().await {
            size += frame.expect("the answer is whole").data_ref().map_or(0, Bytes::len);
        }
        (answer.status(), size)
    }
}

/// Whether the server says that it is ready. One that has only begun to start may not even shake hands.
pub(crate) async fn is_ready(target: &Target) -> bool {
    let Ok(mut connection) = Connection::try_open(target).await else { return false };
    connection.ask(&Method::GET, "/readyz", "", Bytes::new()).await.0 == StatusCode::OK
}
