//! The API server as a way to kubelets, pods and Services: logs, commands, ports, and plain HTTP.
//!
//! What always holds:
//!
//! - whoever is asked is found by objects of the API alone, and addresses that lead back to this machine are refused for
//!   all but kubelets;
//! - what the client says of itself to be known here goes no further;
//! - nothing is collected: bodies pass as they come, in both directions, and no redirect is followed;
//! - a connection that is taken over ends with either of its sides, and when the server stops.

mod backend;
mod container;
mod exchange;
mod fetch;
mod headers;
mod kubelet;
mod location;
mod options;
mod rewrite;
pub(crate) mod stored;
mod transport;
mod way;

use std::sync::Arc;

use api::status::{GroupResource, Status};
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use k8s_openapi::api::core::v1::{Pod, Service};

use crate::authn::Identity;
use crate::authz::{Attributes, Decision, forbidden};
use crate::engine::{Engine, not_allowed, not_served};
use crate::request::{Query, Target};
use crate::serve::{ClientAddress, Patience, RequestBody, ResponseBody, Stopping, full_body};
use backend::security;
use exchange::{Answered, Asked, ExchangeError, ask, unexpected};
pub use kubelet::AddressType;
use location::{Location, Reference};
use options::{LogOptions, StreamOptions};
pub use transport::{DialError, Dialer, Endpoint, KubeletTlsError, Nowhere, Security, Stream, Transport};
pub use way::Way;

/// How others are reached.
#[derive(Clone)]
pub struct Options {
    /// What opens connections.
    pub transport: Arc<dyn Transport>,
    /// By which addresses of their Nodes kubelets are called, most preferred first.
    pub address_types: Vec<AddressType>,
}

impl Default for Options {
    /// Nobody is reached.
    fn default() -> Self {
        Options { transport: Arc::new(Nowhere), address_types: AddressType::DEFAULT.to_vec() }
    }
}

/// Passes requests on.
pub struct Proxy {
    engine: Arc<Engine>,
    options: Options,
}

/// One request that is to be passed on.
struct Passing<'a> {
    target: &'a Target,
    parts: Parts,
    body: RequestBody,
    query: Query,
}

/// A kubelet that was called.
struct Called {
    endpoint: Endpoint,
    stream: Box<dyn Stream>,
}

impl Proxy {
    /// Finds those who are asked in the store of `engine`.
    #[must_use]
    pub fn new(engine: Arc<Engine>, options: Options) -> Proxy {
        Proxy { engine, options }
    }

    /// Passes on a request that [`Way::of`] has a way for.
    ///
    /// # Errors
    /// What the client is to be told if there is no answer.
    pub async fn pass(
        &self,
        way: Way,
        target: &Target,
        parts: Parts,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, Status> {
        if !way.has_place(target) {
            return Err(not_served());
        }
        if !way.methods().contains(&parts.method) {
            return Err(not_allowed());
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let passing = Passing { target, parts, body, query };
        match way {
            Way::Log => self.log(passing).await,
            Way::Exec | Way::Attach | Way::PortForward => self.stream(way, passing).await,
            Way::Pod | Way::Service | Way::Node => self.proxy(way, passing).await,
        }
    }

    /// The log of a container, as it grows.
    async fn log(&self, passing: Passing<'_>) -> Result<Response<ResponseBody>, Status> {
        let target = passing.target;
        let options = LogOptions::parse(&passing.query, &target.name)?;
        let pod: Pod = self.namespaced(target, "pods", &target.name).await?;
        let container = container::choose(&pod, options.container.as_deref())?;
        let Some(node) = node_of(&pod) else {
            // Nothing runs anywhere, so that there is nothing to say.
            let mut response = Response::new(full_body(""));
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        };
        let kubelet = self.find_kubelet(node).await?;
        let path = format!("/containerLogs/{}/{}/{container}", target.namespace, target.name);
        let query = Some(options.query());
        let security = if options.insecure { Security::KubeletUnverified } else { Security::Kubelet };
        let endpoint = kubelet_endpoint(&kubelet, security);
        let mut location = Location { endpoint, path, query };
        let failed =
            |location: &Location, why: &dyn std::fmt::Display| unexpected(format!("Get \"{}\": {why}", location.url()));
        let called = self.call(&kubelet, security).await.map_err(|error| failed(&location, &error))?;
        location.endpoint = called.endpoint;
        let answered = ask(called.stream, &location, Asked::get()).await.map_err(|error| failed(&location, &error))?;
        let status = answered.response.status();
        if status.is_redirection() {
            return Err(failed(&location, &"redirects forbidden"));
        }
        if !status.is_success() {
            return Err(explained(answered, target).await?);
        }
        if options.follow
            && let Some(patience) = passing.parts.extensions.get::<Patience>()
        {
            patience.extend();
        }
        let mut response = answered.pass_on();
        response.headers_mut().clear();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        Ok(response)
    }

    /// A command, a look into a running one, or ports: a connection to the kubelet, which the client's is joined to.
    async fn stream(&self, way: Way, mut passing: Passing<'_>) -> Result<Response<ResponseBody>, Status> {
        self.check_may_create(&passing.parts)?;
        let target = passing.target;
        let pod: Pod = self.namespaced(target, "pods", &target.name).await?;
        let (path, query) = match way {
            Way::PortForward => ("portForward".to_owned(), options::ports(&passing.query)?),
            _ => {
                let options = StreamOptions::parse(&passing.query, way == Way::Exec);
                let container = container::choose(&pod, options.container.as_deref())?;
                let verb = if way == Way::Exec { "exec" } else { "attach" };
                (format!("{verb}/{}/{}/{container}", target.namespace, target.name), options.query())
            }
        };
        let path = match way {
            Way::PortForward => format!("/{path}/{}/{}", target.namespace, target.name),
            _ => format!("/{path}"),
        };
        let no_host = || Status::bad_request(format!("pod {} does not have a host assigned", target.name));
        let kubelet = self.find_kubelet(node_of(&pod).ok_or_else(no_host)?).await?;
        let Some(upgrade) = headers::upgrade(&passing.parts.headers) else {
            return Err(Status::bad_request("Upgrade request required"));
        };
        let called = self.call(&kubelet, Security::Kubelet).await.map_err(|error| dialing(&error))?;
        let location = Location { endpoint: called.endpoint, path, query: Some(query) };
        passing.body = full_body("");
        join(called.stream, &location, upgrade, passing).await
    }

    /// HTTP to whatever listens behind a pod, a Service or a node.
    async fn proxy(&self, way: Way, mut passing: Passing<'_>) -> Result<Response<ResponseBody>, Status> {
        let target = passing.target;
        let uri = passing.parts.uri.clone();
        let rest = location::rest_of_path(uri.path(), way.segments());
        let upgrade = headers::upgrade(&passing.parts.headers);
        let called = self.find_backend(way, target).await?;
        if upgrade.is_none() && rest.is_empty() && matches!(passing.parts.method, Method::GET | Method::HEAD) {
            return Ok(with_slash(&uri));
        }
        let location = |endpoint| Location { endpoint, path: rest.clone(), query: uri.query().map(str::to_owned) };
        let prefix = prefix(uri.path(), way.segments());
        let client_host = client_host(&passing.parts);
        add_forwarded(&mut passing.parts.headers, &format!("{prefix}{rest}"), &client_host);
        let no_way = |error: &dyn std::fmt::Display| {
            Status::service_unavailable(format!("error trying to reach service: {error}"))
        };
        let called = match called {
            Backend::Kubelet(kubelet) => self.call(&kubelet, Security::Kubelet).await,
            Backend::Other(endpoint) => {
                let stream = self.options.transport.connect(endpoint.clone()).await;
                stream.map(|stream| Called { endpoint, stream })
            }
        };
        if let Some(upgrade) = upgrade {
            let called = called.map_err(|error| dialing(&error))?;
            return join(called.stream, &location(called.endpoint), upgrade, passing).await;
        }
        let Called { endpoint, stream } = called.map_err(|error| no_way(&error))?;
        let location = location(endpoint);
        let Passing { parts, body, .. } = passing;
        let headers = with_client(headers::of_request(&parts.headers, None), &parts);
        let asked = Asked { method: parts.method, headers, body };
        let answered = ask(stream, &location, asked).await.map_err(|error| no_way(&error))?;
        let mut response = answered.pass_on();
        headers::clean_answer(response.headers_mut());
        let backend = location.endpoint.authority();
        lead_through(&mut response, &rewrite::Through { prefix, backend: &backend, client: &client_host });
        Ok(response)
    }

    /// Those who may not create this subresource may not have it by a GET either, which WebSockets begin with (upstream's
    /// `AuthorizePodWebsocketUpgradeCreatePermission`).
    fn check_may_create(&self, parts: &Parts) -> Result<(), Status> {
        let (identity, attributes) =
            match (parts.extensions.get::<Arc<Identity>>(), parts.extensions.get::<Arc<Attributes>>()) {
                (Some(identity), Some(attributes)) => (identity, attributes),
                _ => return Err(Status::internal_error("the request was not authorized")),
            };
        if attributes.verb == "create" {
            return Ok(());
        }
        let wanted = Attributes { verb: "create".to_owned(), ..Attributes::clone(attributes) };
        match self.engine.access().authorizer.authorize(identity, &wanted) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(forbidden(identity, &wanted, &reason)),
        }
    }

    /// Where the kubelet of a node is.
    async fn find_kubelet(&self, node_name: &str) -> Result<kubelet::Kubelet, Status> {
        let node = stored::get(&self.engine, "nodes", "", node_name).await?;
        kubelet::find(&node, &self.options.address_types).ok_or_else(|| {
            let wanted: Vec<String> = self.options.address_types.iter().map(ToString::to_string).collect();
            unexpected(format!("node {node_name} has no address of a preferred type ({})", wanted.join(", ")))
        })
    }

    /// Opens a connection to a kubelet: at the first of its addresses that this machine can look up.
    async fn call(&self, kubelet: &kubelet::Kubelet, security: Security) -> Result<Called, DialError> {
        let mut endpoint = kubelet_endpoint(kubelet, security);
        let mut outcome = self.options.transport.connect(endpoint.clone()).await;
        for host in kubelet.hosts.iter().skip(1) {
            let Err(DialError::Lookup { .. }) = outcome else { break };
            endpoint.host.clone_from(host);
            outcome = self.options.transport.connect(endpoint.clone()).await;
        }
        outcome.map(|stream| Called { endpoint, stream })
    }

    async fn find_backend(&self, way: Way, target: &Target) -> Result<Backend, Status> {
        let kind = match way {
            Way::Pod => "pod",
            Way::Service => "service",
            _ => "node",
        };
        let invalid = || Status::bad_request(format!("invalid {kind} request {:?}", target.name));
        let reference = Reference::parse(&target.name).ok_or_else(invalid)?;
        Ok(match way {
            Way::Pod => {
                let pod: Pod = self.namespaced(target, "pods", reference.name).await?;
                Backend::Other(backend::of_pod(&pod, reference)?)
            }
            Way::Service => Backend::Other(self.find_endpoint(target, reference).await?),
            _ => self.find_on_node(reference).await?,
        })
    }

    /// One of the pods behind a Service.
    async fn find_endpoint(&self, target: &Target, reference: Reference<'_>) -> Result<Endpoint, Status> {
        let service: Service = self.namespaced(target, "services", reference.name).await?;
        let port = backend::port_name(&service, reference)?;
        let slices = stored::slices(&self.engine, &target.namespace, reference.name).await?;
        for candidate in backend::candidates(&slices, &port, &target.namespace, self.engine.random()) {
            let pod: Result<Pod, Status> = self.namespaced(target, "pods", &candidate.pod).await;
            if pod.is_ok_and(|pod| candidate.is(&pod)) {
                let security = security(reference.https);
                return Ok(Endpoint { host: candidate.ip.to_string(), port: candidate.port, security });
            }
        }
        Err(Status::service_unavailable(format!("no endpoints available for service {:?}", reference.name)))
    }

    /// The kubelet, or what listens at another port of its node.
    async fn find_on_node(&self, reference: Reference<'_>) -> Result<Backend, Status> {
        let kubelet = self.find_kubelet(reference.name).await?;
        if reference.port.is_empty() || reference.port == kubelet.port.to_string() {
            return Ok(Backend::Kubelet(kubelet));
        }
        let port = backend::parse_port(reference.port)?;
        let host = kubelet.hosts.first().cloned().unwrap_or_default();
        let resolved = self.options.transport.resolve(host).await;
        let addresses = resolved.map_err(|error| Status::bad_request(error.to_string()))?;
        if addresses.iter().any(|ip| !backend::is_proxyable(*ip)) {
            return Err(backend::not_allowed());
        }
        // What was looked at is what is called, whatever the name stands for a moment later.
        let Some(address) = addresses.first() else { return Err(Status::bad_request("no addresses for hostname")) };
        Ok(Backend::Other(Endpoint { host: address.to_string(), port, security: security(reference.https) }))
    }

    async fn namespaced<T: serde::de::DeserializeOwned>(
        &self,
        target: &Target,
        resource: &'static str,
        name: &str,
    ) -> Result<T, Status> {
        stored::get(&self.engine, resource, &target.namespace, name).await
    }
}

/// Who answers a request of plain HTTP.
enum Backend {
    Kubelet(kubelet::Kubelet),
    Other(Endpoint),
}

fn kubelet_endpoint(kubelet: &kubelet::Kubelet, security: Security) -> Endpoint {
    Endpoint { host: kubelet.hosts.first().cloned().unwrap_or_default(), port: kubelet.port, security }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// What upstream says of a connection that cannot be opened to be taken over.
fn dialing(error: &dyn std::fmt::Display) -> Status {
    unexpected(format!("error dialing backend: {error}"))
}

/// Asks over `stream` for a connection that becomes something else, and joins it to the client's.
async fn join(
    stream: Box<dyn Stream>,
    location: &Location,
    upgrade: HeaderValue,
    passing: Passing<'_>,
) -> Result<Response<ResponseBody>, Status> {
    let Passing { mut parts, body, .. } = passing;
    let Some(client) = parts.extensions.remove::<OnUpgrade>() else {
        return Err(unexpected(
            "the connection of this request cannot be taken over: it needs HTTP/1.1 over a network",
        ));
    };
    let headers = with_client(headers::of_request(&parts.headers, Some(&upgrade)), &parts);
    let asked = Asked { method: parts.method, headers, body };
    let answered = ask(stream, location, asked).await.map_err(|error: ExchangeError| dialing(&error))?;
    let stopping = parts.extensions.get::<Stopping>().map(|stopping| stopping.0.clone()).unwrap_or_default();
    if let Some(patience) = parts.extensions.get::<Patience>() {
        patience.extend();
    }
    answered.join(client, stopping)
}

/// What a kubelet says of a log that it does not have, in the form of a Status.
async fn explained(answered: Answered, target: &Target) -> Result<Status, Status> {
    let code = answered.response.status();
    let text = answered.explanation().await?;
    Ok(match code {
        StatusCode::INTERNAL_SERVER_ERROR => Status::internal_error(text),
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        _ => Status::generic_server_response(&api::status::GenericResponse {
            code: code.as_u16(),
            verb: "",
            resource: GroupResource::new("", "pods/log"),
            name: &target.name,
            message: &text,
            retry_after_seconds: 0,
            unexpected: false,
        }),
    })
}

/// A page and what it links to are at places relative to it, so that the root of a server ends with a slash.
fn with_slash(uri: &http::Uri) -> Response<ResponseBody> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(full_body(""));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(place) = HeaderValue::try_from(format!("{}/{query}", uri.path())) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// The path up to and with the subresource.
fn prefix(path: &str, segments: usize) -> &str {
    let mut end = 0;
    for segment in path.split('/').filter(|segment| !segment.is_empty()).take(segments) {
        // Segments are parts of the path, in order.
        end += path[end..].find(segment).unwrap_or(0) + segment.len();
    }
    &path[..end]
}

/// The host that the client asked: HTTP/2 has it in the URI.
fn client_host(parts: &Parts) -> String {
    let stated = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    stated.or(parts.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

/// Adds who asked whom, which upstream passes on as well.
fn with_client(mut headers: HeaderMap, parts: &Parts) -> HeaderMap {
    if let Some(ClientAddress(ip)) = parts.extensions.get() {
        headers::add_forwarded_for(&mut headers, &ip.to_string());
    }
    if let Ok(host) = HeaderValue::try_from(client_host(parts))
        && !host.is_empty()
    {
        headers.insert(HOST, host);
    }
    headers
}

/// Tells the other server under which path and at which host it is found.
fn add_forwarded(headers: &mut HeaderMap, path: &str, host: &str) {
    for (name, value) in [("x-forwarded-uri", path), ("x-forwarded-host", host), ("x-forwarded-proto", "https")] {
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Has a redirect to the other server lead through the proxy.
fn lead_through(response: &mut Response<ResponseBody>, through: &rewrite::Through<'_>) {
    let headers = response.headers_mut();
    let Some(target) = headers.get(LOCATION).and_then(|target| target.to_str().ok()) else { return };
    if let Ok(target) = HeaderValue::from_str(&rewrite::location(target, through)) {
        headers.insert(LOCATION, target);
    }
}

#[cfg(test)]
mod tests;
