//! Connections to an API server over the network.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tower::ServiceBuilder;

/// After how long of silence it is asked whether the other end is still there, how often, and at which distance.
const SILENCE: Duration = Duration::from_secs(15);
const QUESTIONS: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(5);
/// For how long what was sent may go without a receipt.
const NO_RECEIPT: Duration = Duration::from_secs(30);
/// How long it may take until there is a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A client whose connections end within half a minute if the other end is not there any more.
///
/// Who watches sends nothing. If the network was cut off meanwhile, and the server has given up on the connection, nobody would
/// say so, and the watch would go on without ever telling anything. Upstream's clients ask by HTTP/2 for that; here the
/// kernel does.
///
/// # Errors
///
/// If what the configuration says of certificates or credentials cannot be used.
pub fn connect(config: Config) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        // That is another kind of connection, which kube makes.
        return Client::try_from(config);
    }
    if CryptoProvider::get_default().is_none() {
        // It fails only if somebody else was quicker.
        let _ = aws_lc_rs::default_provider().install_default();
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(SILENCE));
    connector.set_keepalive_interval(Some(BETWEEN));
    connector.set_keepalive_retries(Some(QUESTIONS));
    connector.set_tcp_user_timeout(Some(NO_RECEIPT));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: hyper_util::client::legacy::Client<_, Body> =
        hyper_util::client::legacy::Builder::new(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(Box::<dyn std::error::Error + Send + Sync>::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
