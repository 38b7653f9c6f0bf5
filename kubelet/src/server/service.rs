//! From a request to its answer.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use client::clock::Clock;
use http::{Request, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{self, Answer, Body, Refused};
use super::authentication::{Authentication, Peer};
use super::authorization::{Attributes, Authorization, Denied};
use super::connection::ActiveRequest;
use super::metrics::{Metrics, Running};
use super::query::{self, Query};
use super::routes::Route;
use super::{
    Limits, Options, ReadLog, View, cadvisor, container_logs, exposition, node_logs, pods, resource, streams, summary,
};
use crate::cri::Cri;
use crate::observed::ContainerState;
use crate::stats;

/// How old figures may be that somebody looks at (cAdvisor's housekeeping interval).
const FIGURES_AGE: Duration = Duration::from_secs(10);
/// How old they may be for metrics of resources, by which is scaled.
const RESOURCE_AGE: Duration = Duration::from_secs(5);

/// What answers requests.
pub(super) struct Service {
    pub(super) authentication: Authentication,
    authorization: Authorization,
    pub(super) cri: Cri,
    pub(super) view: Arc<dyn View>,
    figures: Arc<dyn stats::Source>,
    machine: stats::Machine,
    pub(super) read_log: ReadLog,
    pub(super) metrics: Arc<Metrics>,
    node_logs: PathBuf,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    /// The streams that are open.
    pub(super) streams: TaskTracker,
    /// Cancelled when they are to end.
    pub(super) streams_end: CancellationToken,
}

impl Service {
    pub(super) fn new(options: Options) -> Service {
        let Options {
            node,
            clients,
            reviews,
            cri,
            view,
            figures,
            machine,
            read_log,
            metrics,
            node_logs,
            clock,
            limits,
            ..
        } = options;
        Service {
            authentication: Authentication::new(clients, Arc::clone(&reviews), clock),
            authorization: Authorization::new(node, reviews),
            cri,
            view,
            figures,
            machine,
            read_log,
            metrics,
            node_logs,
            clock,
            limits,
            streams: TaskTracker::new(),
            streams_end: CancellationToken::new(),
        }
    }

    /// Answers a request, which counts as under way until the answer is sent.
    pub(super) async fn respond(&self, request: Request<Incoming>, peer: &Peer, active: ActiveRequest) -> Answer {
        let uri = request.uri().clone();
        if uri.path_and_query().is_some_and(|path| path.as_str().len() > self.limits.url_bytes) {
            let why = format!("the path is longer than {} bytes", self.limits.url_bytes);
            return answer::refusal(StatusCode::URI_TOO_LONG, why);
        }
        let Some(path) = query::decoded(uri.path()) else {
            return answer::refusal(StatusCode::BAD_REQUEST, "the path is not UTF-8");
        };
        let route = Route::of(&path);
        let counted = Counted::begin(&self.metrics, request.method(), route.as_ref());
        let answer = match self.admit(&request, peer, &path).await {
            Ok(()) => self.handle(route, &Query::of(uri.query()), request).await,
            Err(refused) => refused.into(),
        };
        answer.map(|inner| Body::new(Held { inner, _under_way: (active, counted) }))
    }

    /// Who asks, and whether they may.
    async fn admit(&self, request: &Request<Incoming>, peer: &Peer, path: &str) -> Result<(), Refused> {
        let identity = self.authentication.identify(peer, request.headers()).await;
        let Some(identity) = identity else {
            return Err(Refused::new(StatusCode::UNAUTHORIZED, "Unauthorized"));
        };
        let wanted = Attributes::of(request.method(), path);
        let allowed = self.authorization.authorize(&identity, &wanted).await;
        allowed.map_err(|denied| match denied {
            Denied::Forbidden { .. } => Refused::new(StatusCode::FORBIDDEN, denied),
            Denied::Unknown { .. } => Refused::new(StatusCode::INTERNAL_SERVER_ERROR, denied),
        })
    }

    async fn handle(&self, route: Option<Route<'_>>, query: &Query, request: Request<Incoming>) -> Answer {
        let Some(route) = route else { return answer::absent() };
        if !route.methods().contains(request.method()) {
            return answer::method_not_allowed(route.methods());
        }
        match route {
            Route::ContainerLogs(container) => container_logs::serve(self, container, query).await,
            Route::Exec(container) => streams::exec(self, container, query, request).await,
            Route::Attach(container) => streams::attach(self, container, query, request).await,
            Route::Run(container) => streams::run(self, container, query).await,
            Route::PortForward(pod) => streams::port_forward(self, pod, query, request).await,
            route => self.tell(route, query).await,
        }
    }

    /// Answers what is asked about the node.
    async fn tell(&self, route: Route<'_>, query: &Query) -> Answer {
        match route {
            Route::Healthz(check) => self.health(check, query),
            Route::Pods => answer::json(&pods::list(&self.view.pods())),
            Route::RunningPods => match pods::running(&self.cri).await {
                Ok(pods) => answer::json(&pods::list(&pods)),
                Err(status) => Refused::from(status).into(),
            },
            Route::Configz => answer::json(&json!({ "kubeletconfig": self.view.configuration() })),
            Route::Metrics => {
                let figures = self.figures.figures(FIGURES_AGE).await;
                answer::text(exposition::MEDIA_TYPE, self.metrics.text(&self.running(), &figures))
            }
            Route::MetricsCadvisor => {
                let figures = self.figures.figures(FIGURES_AGE).await;
                let text = cadvisor::cadvisor(&figures, &self.machine, &*self.view);
                answer::text(exposition::MEDIA_TYPE, text)
            }
            Route::MetricsResource => {
                let figures = self.figures.figures(RESOURCE_AGE).await;
                answer::text(exposition::MEDIA_TYPE, resource::resource(&figures))
            }
            Route::MetricsProbes => answer::text(exposition::MEDIA_TYPE, self.metrics.probes_text()),
            Route::StatsSummary => {
                let figures = self.figures.figures(FIGURES_AGE).await;
                answer::json(&summary::summary(&figures, query.flag("only_cpu_and_memory")))
            }
            Route::NodeLogs(path) => node_logs::serve(&self.node_logs, path).await,
            // What goes on in pods is not told here.
            _ => answer::absent(),
        }
    }

    /// `/healthz`: `ok`, or with `verbose` and on failure each check by its name.
    fn health(&self, only: Option<&str>, query: &Query) -> Answer {
        let checks = [("ping", Ok(())), ("log", Ok(())), ("syncloop", self.view.healthy())];
        if let Some(name) = only {
            return match checks.into_iter().find(|(check, _)| *check == name) {
                None => answer::absent(),
                Some((_, Ok(()))) => answer::text(answer::PLAIN, "ok"),
                Some((_, Err(why))) => {
                    let why = format!("internal server error: {why}\n");
                    answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, why)
                }
            };
        }
        let failed = checks.iter().any(|(_, result)| result.is_err());
        let lines = checks.iter().map(|(name, result)| match result {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(_) => format!("[-]{name} failed: reason withheld\n"),
        });
        if failed {
            let text = lines.collect::<String>() + "healthz check failed\n";
            return answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, text);
        }
        if query.first("verbose").is_some() {
            return answer::text(answer::PLAIN, lines.collect::<String>() + "healthz check passed\n");
        }
        answer::text(answer::PLAIN, "ok")
    }

    fn running(&self) -> Running {
        let mut running = Running::default();
        for pod in self.view.pods() {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            let Some(runtime) = self.view.runtime(uid) else { continue };
            running.pods += usize::from(runtime.sandboxes.iter().any(|sandbox| sandbox.ready));
            for container in &runtime.containers {
                let state = match container.state {
                    ContainerState::Created => "created",
                    ContainerState::Running => "running",
                    ContainerState::Exited => "exited",
                    ContainerState::Unknown => "unknown",
                };
                *running.containers.entry(state).or_default() += 1;
            }
        }
        running
    }
}

/// A request that is counted.
struct Counted {
    metrics: Arc<Metrics>,
    labels: [&'static str; 4],
    began: Instant,
}

impl Counted {
    fn begin(metrics: &Arc<Metrics>, method: &http::Method, route: Option<&Route<'_>>) -> Counted {
        const METHODS: [&str; 8] = ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT"];
        let method = METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
        let long_running = if route.is_some_and(Route::is_long_running) { "true" } else { "false" };
        let labels = [method, route.map_or("other", Route::bucket), "readwrite", long_running];
        metrics.requests.add(&labels, 1.0);
        metrics.requests_in_flight.add(&labels, 1.0);
        Counted { metrics: Arc::clone(metrics), labels, began: Instant::now() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.add(&self.labels, -1.0);
        self.metrics.request_durations.observe(&self.labels, self.began.elapsed());
    }
}

/// The body of an answer, with what is to be let go of when it was sent.
struct Held {
    inner: Body,
    _under_way: (ActiveRequest, Counted),
}

impl http_body::Body for Held {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
