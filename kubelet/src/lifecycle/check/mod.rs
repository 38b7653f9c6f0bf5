//! One look at a container: what a probe's handler says, in upstream's words (`pkg/probe`).

pub(super) mod dial;
mod grpc;
pub(super) mod http;

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tonic::{Code, Status};

use super::expand;
use crate::cri::Cri;

/// The most bytes of what a command or a server says that are kept.
pub(super) const KEPT: usize = 10 << 10;
/// How often a look is tried that could not even be taken.
const TRIES: u32 = 3;

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well.
    Good,
    /// All is well, and there is something to be said.
    Warning(String),
    /// Something is wrong.
    Bad(String),
    /// Nothing was found out. It counts neither way.
    Unknown {
        /// What upstream says that it resulted in.
        state: &'static str,
        /// Why.
        message: String,
    },
}

impl Verdict {
    fn unknown(message: impl Into<String>) -> Verdict {
        Verdict::Unknown { state: "unknown", message: message.into() }
    }
}

/// What is looked at.
pub(super) struct Target<'a> {
    pub(super) cri: &'a Cri,
    pub(super) container: &'a Container,
    /// The runtime's ID of it.
    pub(super) id: &'a str,
    /// The pod's address, if it has one yet.
    pub(super) address: Option<IpAddr>,
}

/// Looks, several times if no look could be taken.
pub(super) async fn look(target: &Target<'_>, probe: &Probe, timeout: Duration) -> Verdict {
    let mut verdict = look_once(target, probe, timeout).await;
    for _ in 1..TRIES {
        if !matches!(verdict, Verdict::Unknown { .. }) {
            break;
        }
        verdict = look_once(target, probe, timeout).await;
    }
    verdict
}

async fn look_once(target: &Target<'_>, probe: &Probe, timeout: Duration) -> Verdict {
    if let Some(exec) = &probe.exec {
        by_command(target, exec, timeout).await
    } else if let Some(get) = &probe.http_get {
        by_http(target, get, timeout).await
    } else if let Some(socket) = &probe.tcp_socket {
        by_tcp(target, socket, timeout).await
    } else if let Some(grpc) = &probe.grpc {
        let Some(address) = target.address else { return no_address() };
        match u16::try_from(grpc.port) {
            Ok(port) => {
                let service = grpc.service.as_deref().unwrap_or_default();
                grpc::look(&address.to_string(), port, service, timeout).await
            }
            Err(_) => Verdict::unknown(format!("invalid port number: {}", grpc.port)),
        }
    } else {
        Verdict::unknown(format!("missing probe handler for {}", target.container.name))
    }
}

fn no_address() -> Verdict {
    Verdict::unknown("the pod has no address yet")
}

async fn by_command(target: &Target<'_>, exec: &ExecAction, timeout: Duration) -> Verdict {
    let command = expand::command(exec.command.as_deref().unwrap_or_default(), target.container);
    let answer = target.cri.exec_sync(target.id, command.clone(), Some(timeout)).await;
    of_command(answer, &command, timeout)
}

/// What a command's end says.
fn of_command(
    answer: Result<crate::cri::v1::ExecSyncResponse, Status>,
    command: &[String],
    timeout: Duration,
) -> Verdict {
    match answer {
        Ok(answer) if answer.exit_code == 0 => Verdict::Good,
        Ok(mut answer) => {
            let mut said = std::mem::take(&mut answer.stdout);
            said.extend_from_slice(&answer.stderr);
            said.truncate(KEPT);
            Verdict::Bad(String::from_utf8_lossy(&said).into_owned())
        }
        Err(status) if status.code() == Code::DeadlineExceeded => {
            Verdict::Bad(format!("command timed out: {:?} timed out after {}", command.join(" "), spoken(timeout)))
        }
        Err(status) => Verdict::unknown(error_of(&status)),
    }
}

async fn by_http(target: &Target<'_>, get: &HTTPGetAction, timeout: Duration) -> Verdict {
    let request = match http::Get::of(get, target.container, target.address, "probe") {
        Ok(request) => request,
        Err(error) => return Verdict::unknown(error),
    };
    match tokio::time::timeout(timeout, http::get(request.clone())).await {
        Err(_) => Verdict::Bad(request.failed(&http::GetError::Late)),
        Ok(Err((url, error))) => Verdict::Bad(http::failed(&url, &error)),
        Ok(Ok(answer)) => of_http(&answer),
    }
}

/// What a server's answer says. A failure does not say what the body is: it may be nobody's business.
fn of_http(answer: &http::Answer) -> Verdict {
    match answer.status {
        200..300 => Verdict::Good,
        300..400 => Verdict::Warning(format!(
            "Probe terminated redirects, Response body: {}",
            String::from_utf8_lossy(&answer.body)
        )),
        status => Verdict::Bad(format!("HTTP probe failed with statuscode: {status}")),
    }
}

async fn by_tcp(target: &Target<'_>, socket: &TCPSocketAction, timeout: Duration) -> Verdict {
    let port = match port_of(&socket.port, target.container) {
        Ok(port) => port,
        Err(error) => return Verdict::unknown(error),
    };
    let host = match (socket.host.as_deref().filter(|host| !host.is_empty()), target.address) {
        (Some(host), _) => host.to_owned(),
        (None, Some(address)) => address.to_string(),
        (None, None) => return no_address(),
    };
    match tokio::time::timeout(timeout, dial::dial(&host, port)).await {
        Ok(Ok(_)) => Verdict::Good,
        Ok(Err(error)) => Verdict::Bad(error),
        Err(_) => Verdict::Bad(dial::late(&host, port)),
    }
}

/// The number of a port that a handler names: by number, by a name among the container's ports, or by a number that is
/// written as a name.
pub(super) fn port_of(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(name) => {
            let ports = container.ports.as_deref().unwrap_or_default();
            match ports.iter().find(|port| port.name.as_ref() == Some(name)) {
                Some(port) => i64::from(port.container_port),
                None => name.parse().map_err(|_| format!("strconv.Atoi: parsing {name:?}: invalid syntax"))?,
            }
        }
    };
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

/// An error of the runtime, as gRPC's clients print it.
pub(super) fn error_of(status: &Status) -> String {
    format!("rpc error: code = {} desc = {}", code_name(status.code()), status.message())
}

/// The names that gRPC's codes have in messages.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

/// Whole seconds as upstream's messages have them: `1s`, `1m0s`.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests;
