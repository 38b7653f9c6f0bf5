//! `/exec`, `/attach` and `/portForward`: the runtime is asked where the streams can be had, and the client's upgrade is
//! replayed there. `/run` is the simple form of `/exec`.
//!
//! What is said on the streams (SPDY or WebSocket, and any version of either) is between the client and the runtime.

use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::Pod;

use super::answer::{self, Answer, Refused};
use super::query::Query;
use super::view::container_of;
use super::{Service, routes, splice};
use crate::cri::v1;
use crate::observed::{ContainerState, RuntimeContainer};

/// Which streams a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Wanted {
    /// By upstream's names. A terminal has no stderr of its own.
    fn of(query: &Query) -> Result<Wanted, &'static str> {
        let is = |name| query.first(name) == Some("1");
        let tty = is("tty");
        let wanted = Wanted { stdin: is("input"), stdout: is("output"), stderr: is("error") && !tty, tty };
        if !(wanted.stdin || wanted.stdout || wanted.stderr) {
            return Err("you must specify at least 1 of stdin, stdout, stderr");
        }
        Ok(wanted)
    }
}

/// Answers `/exec`.
pub(super) async fn exec(
    service: &Service,
    asked: routes::Container<'_>,
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let prepared = async {
        let wanted = Wanted::of(query).map_err(|why| Refused::new(StatusCode::BAD_REQUEST, why))?;
        is_upgrade(request.headers())?;
        let pod = pod_of(service, asked.pod)?;
        let not_found =
            || Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format_args!("container not found ({:?})", asked.name));
        let container = running(service, &pod, asked).ok_or_else(not_found)?;
        let request = v1::ExecRequest {
            container_id: container.id,
            cmd: query.all("command").map(str::to_owned).collect(),
            tty: wanted.tty,
            stdin: wanted.stdin,
            stdout: wanted.stdout,
            stderr: wanted.stderr,
        };
        service.cri.exec(request).await.map(|answer| answer.url).map_err(Refused::from)
    };
    match prepared.await {
        Ok(url) => splice::pass_on(service, request, &url).await,
        Err(refused) => refused.into(),
    }
}

/// Answers `/attach`.
pub(super) async fn attach(
    service: &Service,
    asked: routes::Container<'_>,
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let prepared = async {
        let wanted = Wanted::of(query).map_err(|why| Refused::new(StatusCode::BAD_REQUEST, why))?;
        is_upgrade(request.headers())?;
        let pod = pod_of(service, asked.pod)?;
        let not_found = || {
            let (namespace, name) = (asked.pod.namespace, asked.pod.name);
            let why = format!("container {} not found in pod {name}_{namespace}", asked.name);
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why)
        };
        let container = running(service, &pod, asked).ok_or_else(not_found)?;
        // Whether a process has a terminal was settled when it began.
        let tty = container_of(&pod, asked.name).ok_or_else(not_found)?.tty;
        let request = v1::AttachRequest {
            container_id: container.id,
            stdin: wanted.stdin,
            tty,
            stdout: wanted.stdout,
            stderr: wanted.stderr && !tty,
        };
        service.cri.attach(request).await.map(|answer| answer.url).map_err(Refused::from)
    };
    match prepared.await {
        Ok(url) => splice::pass_on(service, request, &url).await,
        Err(refused) => refused.into(),
    }
}

/// Answers `/portForward`.
pub(super) async fn port_forward(
    service: &Service,
    asked: routes::Pod<'_>,
    query: &Query,
    request: Request<Incoming>,
) -> Answer {
    let prepared = async {
        let ports = match splice::is_web_socket(request.headers()) {
            true => ports(query).map_err(|why| Refused::new(StatusCode::BAD_REQUEST, why))?,
            // With SPDY each stream says which port it is for.
            false => Vec::new(),
        };
        is_upgrade(request.headers())?;
        let pod = pod_of(service, asked)?;
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if asked.uid.is_some_and(|asked| asked != uid) {
            return Err(Refused::new(StatusCode::NOT_FOUND, "pod not found"));
        }
        let runtime = service.view.runtime(uid);
        let sandbox = runtime.and_then(|runtime| runtime.sandboxes.iter().find(|sandbox| sandbox.ready).cloned());
        let Some(sandbox) = sandbox else {
            let why = format!("pod not found (\"{}_{}\")", asked.name, asked.namespace);
            return Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why));
        };
        let request = v1::PortForwardRequest { pod_sandbox_id: sandbox.id, port: ports };
        let answer = service.cri.port_forward(request).await;
        answer.map(|answer| answer.url).map_err(Refused::from)
    };
    match prepared.await {
        Ok(url) => splice::pass_on(service, request, &url).await,
        Err(refused) => refused.into(),
    }
}

/// Answers `/run`: what the command wrote, whatever it ended with.
pub(super) async fn run(service: &Service, asked: routes::Container<'_>, query: &Query) -> Answer {
    let pod = match pod_of(service, asked.pod) {
        Ok(pod) => pod,
        Err(refused) => return refused.into(),
    };
    let Some(container) = running(service, &pod, asked) else {
        let why = format!("container not found ({:?})", asked.name);
        return answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, why);
    };
    // Upstream divides the one parameter that it takes at blanks.
    let command = query.first("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
    match service.cri.exec_sync(&container.id, command, None).await {
        Ok(v1::ExecSyncResponse { mut stdout, stderr, exit_code }) => {
            stdout.extend_from_slice(&stderr);
            match exit_code {
                0 => answer::json_bytes(stdout),
                code => {
                    let output = String::from_utf8_lossy(&stdout);
                    let why = format!("command terminated with exit code {code}: {output}");
                    answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, why)
                }
            }
        }
        Err(status) => Refused::from(status).into(),
    }
}

fn pod_of(service: &Service, asked: routes::Pod<'_>) -> Result<Arc<Pod>, Refused> {
    let pod = service.view.pod(asked.namespace, asked.name);
    pod.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "pod does not exist"))
}

/// The container of a name that runs now, of the pod that is meant.
fn running(service: &Service, pod: &Pod, asked: routes::Container<'_>) -> Option<RuntimeContainer> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if asked.pod.uid.is_some_and(|asked| asked != uid) {
        return None;
    }
    let runtime = service.view.runtime(uid)?;
    let mut attempts = runtime.attempts(asked.name);
    attempts.find(|container| container.state == ContainerState::Running).cloned()
}

/// The ports that a WebSocket client wants, which it must say in the query.
fn ports(query: &Query) -> Result<Vec<i32>, String> {
    let ports = query.all("port").map(|text| match text.parse::<u16>() {
        _ if text.is_empty() => Err("query parameter \"port\" cannot be empty".to_owned()),
        Ok(0) => Err(format!("port {text:?} must be > 0")),
        Ok(port) => Ok(i32::from(port)),
        Err(error) => Err(format!("unable to parse {text:?} as a port: {error}")),
    });
    let ports = ports.collect::<Result<Vec<_>, _>>()?;
    if ports.is_empty() {
        return Err("query parameter \"port\" is required".to_owned());
    }
    Ok(ports)
}

fn is_upgrade(headers: &HeaderMap) -> Result<(), Refused> {
    let wanted = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let wanted = wanted.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    if wanted && headers.contains_key(UPGRADE) {
        return Ok(());
    }
    Err(Refused::new(StatusCode::BAD_REQUEST, "Upgrade request required"))
}

#[cfg(test)]
mod tests;
