//! GET requests of probes and hooks: over HTTP/1.1, or HTTPS with whatever certificate the container shows. A connection
//! serves one request. Redirects are followed to the same host alone: no container sends the agent elsewhere.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, InvalidMessage, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::dial::{dial, joined};
use super::{KEPT, port_of};

/// The version of Kubernetes in `User-Agent`.
pub(super) const USER_AGENT_VERSION: &str = "1.37";
/// How many requests a chain of redirects may have (upstream's number).
const REQUESTS: usize = 10;

/// A request.
#[derive(Clone, Debug)]
pub(in crate::lifecycle) struct Get {
    pub(in crate::lifecycle) secure: bool,
    host: String,
    port: u16,
    /// Path and query.
    target: String,
    headers: HeaderMap,
    /// What `Host` says, if not where the request goes.
    host_header: Option<HeaderValue>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lifecycle) struct Answer {
    /// The status code.
    pub(in crate::lifecycle) status: u16,
    /// The beginning of the body.
    pub(in crate::lifecycle) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::lifecycle) enum GetError {
    /// There was none in time.
    #[error("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")]
    Late,
    /// HTTPS was asked for, and the server speaks something else.
    #[error("http: server gave HTTP response to HTTPS client")]
    NotSecure,
    /// The server only ever sends elsewhere.
    #[error("stopped after {REQUESTS} redirects")]
    Redirects,
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

/// What is said of a request that got no answer.
pub(in crate::lifecycle) fn failed(url: &str, error: &GetError) -> String {
    format!("Get {url:?}: {error}")
}

impl Get {
    /// The request that a handler describes, for `address` unless it names a host. `purpose` is what `User-Agent` says that
    /// it is made for.
    pub(in crate::lifecycle) fn of(
        action: &HTTPGetAction,
        container: &Container,
        address: Option<IpAddr>,
        purpose: &str,
    ) -> Result<Get, String> {
        let port = port_of(&action.port, container)?;
        let host = match (action.host.as_deref().filter(|host| !host.is_empty()), address) {
            (Some(host), _) => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            (None, Some(address)) => address.to_string(),
            (None, None) => return Err("the pod has no address yet".to_owned()),
        };
        let (headers, host_header) = headers_of(action, purpose)?;
        let secure = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        let target = target_of(action.path.as_deref().unwrap_or_default());
        Ok(Get { secure, host, port, target, headers, host_header })
    }

    /// Where it goes.
    pub(in crate::lifecycle) fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", joined(&self.host, self.port), self.target)
    }

    /// The host and the port that it goes to.
    pub(in crate::lifecycle) fn authority(&self) -> String {
        joined(&self.host, self.port)
    }

    /// The same without encryption, and without what is not to be seen then.
    pub(in crate::lifecycle) fn insecure(&self) -> Get {
        let mut headers = self.headers.clone();
        headers.remove(http::header::AUTHORIZATION);
        Get { secure: false, headers, ..self.clone() }
    }

    pub(super) fn failed(&self, error: &GetError) -> String {
        failed(&self.url(), error)
    }

    /// Where a `Location` leads, unless it is another host.
    fn follow(&self, location: &str) -> Option<Get> {
        let mut next = self.clone();
        let rest = if let Some(rest) = strip_scheme(location, "http://") {
            next.secure = false;
            Some(rest)
        } else if let Some(rest) = strip_scheme(location, "https://") {
            next.secure = true;
            Some(rest)
        } else if let Some(rest) = location.strip_prefix("//") {
            Some(rest)
        } else if location.contains("://") {
            return None;
        } else {
            None
        };
        let Some(rest) = rest else {
            next.target = relative(&self.target, location);
            return Some(next);
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let authority: http::uri::Authority = authority.parse().ok()?;
        if !authority.host().trim_matches(['[', ']']).eq_ignore_ascii_case(&self.host) {
            return None;
        }
        next.port = authority.port_u16().unwrap_or(if next.secure { 443 } else { 80 });
        next.target = target_of(target);
        // A host that was made up is kept where the server itself does not name one.
        next.host_header = None;
        Some(next)
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let head = text.get(..scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
}

/// The headers of a request, and what `Host` says. What is not said is as upstream has it; an empty `Accept` is none.
fn headers_of(action: &HTTPGetAction, purpose: &str) -> Result<(HeaderMap, Option<HeaderValue>), String> {
    let mut headers = HeaderMap::new();
    for header in action.http_headers.iter().flatten() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|_| format!("net/http: invalid header field name {:?}", header.name))?;
        let value = HeaderValue::from_str(&header.value);
        let value = value.map_err(|_| format!("net/http: invalid header field value for {:?}", header.name))?;
        headers.append(name, value);
    }
    if !headers.contains_key(USER_AGENT) {
        let agent = HeaderValue::from_str(&format!("kube-{purpose}/{USER_AGENT_VERSION}"));
        headers.insert(USER_AGENT, agent.map_err(|error| error.to_string())?);
    }
    match headers.get(ACCEPT) {
        None => drop(headers.insert(ACCEPT, HeaderValue::from_static("*/*"))),
        Some(accept) if accept.is_empty() => drop(headers.remove(ACCEPT)),
        Some(_) => {}
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let host = headers.remove(HOST).filter(|host| !host.is_empty());
    Ok((headers, host))
}

/// Path and query as they are sent: they begin with a slash, end before the fragment, and what may not stand in them is
/// escaped.
fn target_of(path: &str) -> String {
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => target.push(char::from(byte)),
            byte => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

/// Where a reference without a host leads from a place on the same server.
fn relative(from: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return target_of(reference);
    }
    let path = from.split_once('?').map_or(from, |(path, _)| path);
    if reference.is_empty() || reference.starts_with('?') {
        return target_of(&format!("{path}{reference}"));
    }
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let (reference, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let mut segments: Vec<&str> = directory.split('/').skip(1).collect();
    for segment in reference.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    target_of(&format!("/{}{query}", segments.join("/")))
}

/// Asks, and follows redirects to the same host. An error comes with the URL that it is about.
pub(in crate::lifecycle) async fn get(mut request: Get) -> Result<Answer, (String, GetError)> {
    for _ in 0..REQUESTS {
        let (answer, location) = get_once(&request).await.map_err(|error| (request.url(), error))?;
        let redirects = matches!(answer.status, 301..=303 | 307 | 308);
        match location.filter(|_| redirects).and_then(|location| request.follow(&location)) {
            Some(next) => request = next,
            None => return Ok(answer),
        }
    }
    Err((request.url(), GetError::Redirects))
}

async fn get_once(request: &Get) -> Result<(Answer, Option<String>), GetError> {
    let stream = dial(&request.host, request.port).await.map_err(GetError::Failed)?;
    if !request.secure {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(request.host.clone()).map_err(|error| GetError::Failed(error.to_string()))?;
    let stream =
        TlsConnector::from(Arc::clone(&ANY_SERVER)).connect(name, stream).await.map_err(|error| of_tls(&error))?;
    exchange(stream, request).await
}

/// A connection's task, which ends with whoever waits for it.
struct Driven(JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange<S>(stream: S, request: &Get) -> Result<(Answer, Option<String>), GetError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| of_hyper(&error))?;
    let _driven = Driven(tokio::spawn(async {
        // What goes wrong is told where the answer is waited for.
        let _ = connection.await;
    }));
    let mut message = Request::new(Empty::<Bytes>::new());
    *message.method_mut() = Method::GET;
    *message.uri_mut() =
        request.target.parse().map_err(|error: http::uri::InvalidUri| GetError::Failed(error.to_string()))?;
    *message.headers_mut() = request.headers.clone();
    let host = match &request.host_header {
        Some(host) => host.clone(),
        None => host_of(request)?,
    };
    message.headers_mut().insert(HOST, host);
    let answer = sender.send_request(message).await.map_err(|error| of_hyper(&error))?;
    let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok()).map(str::to_owned);
    let status = answer.status().as_u16();
    let body = beginning(answer.into_body()).await?;
    Ok((Answer { status, body }, location))
}

/// What `Host` says by itself.
fn host_of(request: &Get) -> Result<HeaderValue, GetError> {
    let authority = joined(&request.host, request.port);
    HeaderValue::from_str(&authority).map_err(|error| GetError::Failed(error.to_string()))
}

/// As much of a body as is kept. The rest is not read.
async fn beginning(mut body: Incoming) -> Result<Vec<u8>, GetError> {
    let mut kept = Vec::new();
    while kept.len() < KEPT {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame.map_err(|error| of_hyper(&error))?.into_data() {
            let room = KEPT - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(kept)
}

fn of_hyper(error: &hyper::Error) -> GetError {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    GetError::Failed(match source.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset) => "read: connection reset by peer".to_owned(),
        Some(io::ErrorKind::UnexpectedEof) => "EOF".to_owned(),
        _ if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => "EOF".to_owned(),
        _ if error.is_parse() => {
            format!("net/http: HTTP/1.x transport connection broken: malformed HTTP response: {error}")
        }
        _ => error.to_string(),
    })
}

fn of_tls(error: &io::Error) -> GetError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => GetError::NotSecure,
        _ if error.kind() == io::ErrorKind::UnexpectedEof => GetError::Failed("EOF".to_owned()),
        _ => GetError::Failed(format!("tls: {error}")),
    }
}

/// Takes any certificate: a container has none that the node could check.
static ANY_SERVER: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Anyone(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for the default versions");
    Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
});

/// Trusts every certificate, but has whoever shows it prove that it is its own.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::HTTPHeader;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::*;

    fn action(path: &str) -> HTTPGetAction {
        HTTPGetAction { path: Some(path.to_owned()), port: IntOrString::Int(80), ..HTTPGetAction::default() }
    }

    fn of(action: &HTTPGetAction) -> Get {
        Get::of(action, &Container::default(), Some([10, 1, 2, 3].into()), "probe").unwrap()
    }

    #[test]
    fn urls_are_what_a_handler_says() {
        for (path, expected) in [
            ("", "http://10.1.2.3:80/"),
            ("/", "http://10.1.2.3:80/"),
            ("healthz", "http://10.1.2.3:80/healthz"),
            ("/a?b=c&d=%20#e", "http://10.1.2.3:80/a?b=c&d=%20"),
            ("?a", "http://10.1.2.3:80/?a"),
            ("/with space/ä\"", "http://10.1.2.3:80/with%20space/%C3%A4%22"),
            ("/\r\nX: y", "http://10.1.2.3:80/%0D%0AX:%20y"),
        ] {
            assert_eq!(of(&action(path)).url(), expected);
        }
        let elsewhere = HTTPGetAction {
            host: Some("fd00::1".to_owned()),
            scheme: Some("HTTPS".to_owned()),
            port: IntOrString::Int(8443),
            ..HTTPGetAction::default()
        };
        assert_eq!(of(&elsewhere).url(), "https://[fd00::1]:8443/");
    }

    #[test]
    fn headers_are_what_a_handler_says() {
        let with = |headers: &[(&str, &str)]| {
            let header =
                |(name, value): &(&str, &str)| HTTPHeader { name: (*name).to_owned(), value: (*value).to_owned() };
            let headers = headers.iter().map(header).collect();
            headers_of(&HTTPGetAction { http_headers: Some(headers), ..action("/") }, "probe")
        };
        let (headers, host) = with(&[]).unwrap();
        assert_eq!((headers.get(USER_AGENT).unwrap(), host), (&HeaderValue::from_static("kube-probe/1.37"), None));
        assert_eq!(headers.get(ACCEPT).unwrap(), "*/*");
        let (headers, host) =
            with(&[("host", "a.example"), ("accept", ""), ("User-Agent", "x"), ("X", "1"), ("x", "2")]).unwrap();
        assert_eq!(host.unwrap(), "a.example");
        assert_eq!((headers.get(ACCEPT), headers.get(USER_AGENT).unwrap()), (None, &HeaderValue::from_static("x")));
        assert_eq!(headers.get_all("x").iter().count(), 2);
        for (name, value) in [("a b", "c"), ("", "c"), ("a", "b\r\nc")] {
            assert!(with(&[(name, value)]).unwrap_err().starts_with("net/http: invalid header field"), "{name}");
        }
    }

    #[test]
    fn redirects_stay_with_the_host() {
        let from = of(&HTTPGetAction { port: IntOrString::Int(8080), ..action("/a/b?c") });
        for (location, expected) in [
            ("/x", Some("http://10.1.2.3:8080/x")),
            ("x?y", Some("http://10.1.2.3:8080/a/x?y")),
            ("../x", Some("http://10.1.2.3:8080/x")),
            ("../../../x", Some("http://10.1.2.3:8080/x")),
            ("?d", Some("http://10.1.2.3:8080/a/b?d")),
            ("https://10.1.2.3:8443/x", Some("https://10.1.2.3:8443/x")),
            ("HTTP://10.1.2.3", Some("http://10.1.2.3:80/")),
            ("//10.1.2.3:1/x", Some("http://10.1.2.3:1/x")),
            ("http://10.1.2.4/", None),
            ("//10.1.2.4/", None),
            ("http://10.1.2.3@10.1.2.4/", None),
            ("ftp://10.1.2.3/", None),
        ] {
            let next = from.follow(location).map(|next| next.url());
            assert_eq!(next.as_deref(), expected, "{location}");
        }
    }
}
