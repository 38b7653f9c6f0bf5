//! Which paths there are.

use http::Method;

/// What a path stands for. Names are as they came, percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// All checks of health, or one by its name.
    Healthz(Option<&'a str>),
    /// The pods that the node is to run.
    Pods,
    /// The pods that the runtime has.
    RunningPods,
    /// What a container wrote.
    ContainerLogs(Container<'a>),
    /// A command in a container, with streams.
    Exec(Container<'a>),
    /// A container's own streams.
    Attach(Container<'a>),
    /// A command in a container, whose output is the answer.
    Run(Container<'a>),
    /// Connections to a pod's ports.
    PortForward(Pod<'a>),
    /// How the agent is configured.
    Configz,
    /// What the agent did and does.
    Metrics,
    /// What the machine and containers use, as cAdvisor says it.
    MetricsCadvisor,
    /// What the node, pods and containers use of CPU and memory.
    MetricsResource,
    /// What probes came to.
    MetricsProbes,
    /// All figures.
    StatsSummary,
    /// The node's own logs: a path below their directory.
    NodeLogs(&'a str),
}

/// A pod in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pod<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// Which pod of that name is meant, if that was said.
    pub(super) uid: Option<&'a str>,
}

/// A container in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Container<'a> {
    pub(super) pod: Pod<'a>,
    pub(super) name: &'a str,
}

impl<'a> Route<'a> {
    /// What a path, decoded, stands for, or `None` if there is nothing at it.
    pub(super) fn of(path: &'a str) -> Option<Route<'a>> {
        let path = path.strip_prefix('/')?;
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        // As by upstream, a slash at the end changes nothing.
        let rest = rest.filter(|rest| !rest.is_empty());
        match (first, rest) {
            ("healthz", name) => Some(Route::Healthz(name)),
            ("pods", None) => Some(Route::Pods),
            ("runningpods", None) => Some(Route::RunningPods),
            ("configz", None) => Some(Route::Configz),
            ("metrics", None) => Some(Route::Metrics),
            ("metrics", Some("cadvisor")) => Some(Route::MetricsCadvisor),
            ("metrics", Some("resource")) => Some(Route::MetricsResource),
            ("metrics", Some("probes")) => Some(Route::MetricsProbes),
            ("stats", Some("summary" | "summary/")) => Some(Route::StatsSummary),
            ("logs", below) => Some(Route::NodeLogs(below.unwrap_or_default())),
            ("containerLogs", Some(rest)) => container(rest, false).map(Route::ContainerLogs),
            ("exec", Some(rest)) => container(rest, true).map(Route::Exec),
            ("attach", Some(rest)) => container(rest, true).map(Route::Attach),
            ("run", Some(rest)) => container(rest, true).map(Route::Run),
            ("portForward", Some(rest)) => pod(rest).map(Route::PortForward),
            _ => None,
        }
    }

    /// With which methods it may be asked.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Route::Exec(_) | Route::Attach(_) | Route::PortForward(_) | Route::StatsSummary => {
                const { &[Method::GET, Method::POST] }
            }
            Route::Run(_) => const { &[Method::POST] },
            _ => const { &[Method::GET] },
        }
    }

    /// Whether it goes on for as long as both sides like.
    pub(super) fn is_long_running(&self) -> bool {
        matches!(self, Route::Exec(_) | Route::Attach(_) | Route::PortForward(_))
    }

    /// What requests for it are counted under.
    pub(super) fn bucket(&self) -> &'static str {
        match self {
            Route::Healthz(_) => "healthz",
            Route::Pods => "pods",
            Route::RunningPods => "runningpods",
            Route::ContainerLogs(_) => "containerLogs",
            Route::Exec(_) => "exec",
            Route::Attach(_) => "attach",
            Route::Run(_) => "run",
            Route::PortForward(_) => "portForward",
            Route::Configz => "configz",
            Route::Metrics => "metrics",
            Route::MetricsCadvisor => "metrics/cadvisor",
            Route::MetricsResource => "metrics/resource",
            Route::MetricsProbes => "metrics/probes",
            Route::StatsSummary => "stats",
            Route::NodeLogs(_) => "logs",
        }
    }
}

/// `namespace/pod/container`, or with `with_uid` also `namespace/pod/uid/container`.
fn container(rest: &str, with_uid: bool) -> Option<Container<'_>> {
    let parts = parts(rest)?;
    match parts[..] {
        [namespace, name, container] => Some(Container { pod: Pod { namespace, name, uid: None }, name: container }),
        [namespace, name, uid, container] if with_uid => {
            Some(Container { pod: Pod { namespace, name, uid: Some(uid) }, name: container })
        }
        _ => None,
    }
}

/// `namespace/pod` or `namespace/pod/uid`.
fn pod(rest: &str) -> Option<Pod<'_>> {
    let parts = parts(rest)?;
    match parts[..] {
        [namespace, name] => Some(Pod { namespace, name, uid: None }),
        [namespace, name, uid] => Some(Pod { namespace, name, uid: Some(uid) }),
        _ => None,
    }
}

fn parts(rest: &str) -> Option<Vec<&str>> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let parts: Vec<&str> = rest.split('/').take(5).collect();
    parts.iter().all(|part| !part.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Option<Route<'_>>) {
        assert_eq!(Route::of(path), expected, "{path}");
    }

    #[test]
    fn paths_are_upstreams() {
        let pod = |uid| Pod { namespace: "default", name: "web", uid };
        let container = |uid| Container { pod: pod(uid), name: "app" };
        check("/healthz", Some(Route::Healthz(None)));
        check("/healthz/", Some(Route::Healthz(None)));
        check("/healthz/syncloop", Some(Route::Healthz(Some("syncloop"))));
        check("/pods", Some(Route::Pods));
        check("/pods/", Some(Route::Pods));
        check("/pods/web", None);
        check("//pods", None);
        check("pods", None);
        check("/runningpods/", Some(Route::RunningPods));
        check("/configz", Some(Route::Configz));
        check("/metrics", Some(Route::Metrics));
        check("/metrics/cadvisor", Some(Route::MetricsCadvisor));
        check("/metrics/resource", Some(Route::MetricsResource));
        check("/metrics/probes", Some(Route::MetricsProbes));
        check("/metrics/other", None);
        check("/stats/summary", Some(Route::StatsSummary));
        check("/stats/", None);
        check("/logs", Some(Route::NodeLogs("")));
        check("/logs/", Some(Route::NodeLogs("")));
        check("/logs/apt/history.log", Some(Route::NodeLogs("apt/history.log")));
        check("/containerLogs/default/web/app", Some(Route::ContainerLogs(container(None))));
        check("/containerLogs/default/web/u/app", None);
        check("/containerLogs/default/web", None);
        check("/containerLogs/default//app", None);
        check("/exec/default/web/app", Some(Route::Exec(container(None))));
        check("/exec/default/web/u/app", Some(Route::Exec(container(Some("u")))));
        check("/exec/default/web/u/app/more", None);
        check("/attach/default/web/app", Some(Route::Attach(container(None))));
        check("/attach/default/web/u/app", Some(Route::Attach(container(Some("u")))));
        check("/run/default/web/app", Some(Route::Run(container(None))));
        check("/portForward/default/web", Some(Route::PortForward(pod(None))));
        check("/portForward/default/web/u", Some(Route::PortForward(pod(Some("u")))));
        check("/portForward/default", None);
        check("/", None);
        check("/debug/pprof/profile", None);
    }
}
