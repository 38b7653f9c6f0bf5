//! `/containerLogs`: which log is asked for, which is decided purely, and handing it on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::Service;
use super::answer::{self, Answer};
use super::query::Query;
use super::routes;
use super::view::container_of;
use crate::cri::Cri;
use crate::logs::{self, LogFile};
use crate::paths::Paths;

/// Which of a container's streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStreams {
    /// Both, as they were written.
    #[default]
    All,
    /// What it wrote to stdout.
    Stdout,
    /// What it wrote to stderr.
    Stderr,
}

/// Which part of a log, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on as long as the container writes.
    pub follow: bool,
    /// No more than that many of the last lines.
    pub tail_lines: Option<u64>,
    /// Nothing that was written before.
    pub since: Option<Timestamp>,
    /// The time before each line.
    pub timestamps: bool,
    /// No more than that many bytes.
    pub limit_bytes: Option<u64>,
    /// Of which streams.
    pub streams: LogStreams,
}

/// A log of one start of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The container's ID at the runtime, which tells whether it still writes.
    pub container_id: String,
    /// Where it writes.
    pub path: PathBuf,
}

/// Bytes of a log as they come.
pub type LogBytes = BoxStream<'static, io::Result<Bytes>>;

/// Reads logs. Fails with words for the client if there is nothing to read.
pub type ReadLog = Arc<dyn Fn(Log, LogOptions) -> BoxFuture<'static, Result<LogBytes, String>> + Send + Sync>;

/// Reads the logs that the runtime behind `cri` writes below the directory of pods' logs.
#[must_use]
pub fn log_reader(cri: Cri, paths: Paths) -> ReadLog {
    Arc::new(move |log: Log, asked: LogOptions| {
        let (cri, paths) = (cri.clone(), paths.clone());
        async move {
            let file = LogFile::at(&paths, &log.path).map_err(|error| error.to_string())?;
            let options = logs::Options {
                follow: asked.follow,
                tail: asked.tail_lines,
                since: asked.since,
                timestamps: asked.timestamps,
                limit: asked.limit_bytes,
                stream: match asked.streams {
                    LogStreams::All => logs::Selected::All,
                    LogStreams::Stdout => logs::Selected::Stdout,
                    LogStreams::Stderr => logs::Selected::Stderr,
                },
            };
            let read = logs::read(&cri, &log.container_id, &file, &options).await;
            Ok(read.map_err(|error| error.to_string())?.map_err(io::Error::other).boxed())
        }
        .boxed()
    })
}

/// Answers a request for a container's log.
pub(super) async fn serve(service: &Service, asked: routes::Container<'_>, query: &Query) -> Answer {
    let (options, previous) = match options(query, service.clock.now()) {
        Ok(read) => read,
        Err(Malformed::Undecodable) => {
            return answer::refusal(StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#);
        }
        Err(Malformed::Invalid) => {
            return answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#);
        }
    };
    let name = asked.pod.name;
    let Some(pod) = service.view.pod(asked.pod.namespace, name) else {
        return answer::refusal(StatusCode::NOT_FOUND, format_args!("pod {name:?} does not exist"));
    };
    if container_of(&pod, asked.name).is_none() {
        let why = format!("container {:?} not found in pod {name:?}", asked.name);
        return answer::refusal(StatusCode::NOT_FOUND, why);
    }
    let log = match choose(&pod, asked.name, previous) {
        Ok(container_id) => locate(service, &pod, container_id).await,
        Err(why) => Err(why),
    };
    let bytes = match log {
        Ok(log) => (service.read_log)(log, options).await,
        Err(why) => Err(why),
    };
    match bytes {
        // Who follows a log would otherwise keep the server from stopping.
        Ok(bytes) => {
            answer::stream(answer::PLAIN, bytes.take_until(service.streams_end.clone().cancelled_owned()).boxed())
        }
        Err(why) => answer::refusal(StatusCode::BAD_REQUEST, why),
    }
}

/// Where a container writes: as the agent saw it last, or as the runtime says.
async fn locate(service: &Service, pod: &Pod, container_id: String) -> Result<Log, String> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let runtime = service.view.runtime(uid);
    let seen = runtime.as_ref().and_then(|runtime| {
        let container = runtime.containers.iter().find(|container| container.id == container_id)?;
        (!container.log_path.is_empty()).then(|| PathBuf::from(&container.log_path))
    });
    let path = match seen {
        Some(path) => path,
        None => {
            let request = crate::cri::v1::ContainerStatusRequest { container_id: container_id.clone(), verbose: false };
            let answer = service.cri.container_status(request).await;
            let path = answer.ok().and_then(|answer| answer.status).map(|status| status.log_path);
            path.filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .ok_or_else(|| format!("unable to retrieve container logs for {container_id}"))?
        }
    };
    Ok(Log { container_id, path })
}

/// Why a query is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Malformed {
    Undecodable,
    Invalid,
}

/// The options of a query, and whether it is about the container's start before this one.
fn options(query: &Query, now: Timestamp) -> Result<(LogOptions, bool), Malformed> {
    let number =
        |name| query.first(name).map(|text| text.parse::<i64>().map_err(|_| Malformed::Undecodable)).transpose();
    // `tail` is what `tailLines` was called once; `all` is no limit.
    let tail = match query.first("tail").filter(|tail| !tail.is_empty()) {
        Some("all") => None,
        Some(_) => number("tail")?,
        None => number("tailLines")?,
    };
    let (limit, seconds) = (number("limitBytes")?, number("sinceSeconds")?);
    let time = query.first("sinceTime").filter(|time| !time.is_empty());
    let time = time.map(|time| time.parse::<Timestamp>().map_err(|_| Malformed::Undecodable)).transpose()?;
    let streams = match query.first("stream") {
        None | Some("All") => LogStreams::All,
        Some("Stdout") => LogStreams::Stdout,
        Some("Stderr") => LogStreams::Stderr,
        Some(_) => return Err(Malformed::Invalid),
    };
    let positive = |number: Option<i64>, least: i64| match number {
        Some(number) if number < least => Err(Malformed::Invalid),
        number => Ok(number.and_then(|number| u64::try_from(number).ok())),
    };
    let (tail_lines, limit_bytes) = (positive(tail, 0)?, positive(limit, 1)?);
    positive(seconds, 1)?;
    // Upstream cannot yet do the one with the other.
    let both = streams != LogStreams::All && tail_lines.is_some();
    if both || seconds.is_some() && time.is_some() {
        return Err(Malformed::Invalid);
    }
    let ago = seconds.map(|seconds| now.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN));
    let options = LogOptions {
        follow: query.flag("follow"),
        tail_lines,
        since: time.or(ago),
        timestamps: query.flag("timestamps"),
        limit_bytes,
        streams,
    };
    Ok((options, query.flag("previous")))
}

/// The ID of the container whose log is meant: the running one, or the last that ran; with `previous`, the one before.
fn choose(pod: &Pod, container: &str, previous: bool) -> Result<String, String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(status) = status_of(pod, container) else {
        return Err(format!("container {container:?} in pod {name:?} is not available"));
    };
    let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let last = last.and_then(|terminated| known(terminated.container_id.as_deref()));
    if previous {
        return last.ok_or_else(|| format!("previous terminated container {container:?} in pod {name:?} not found"));
    }
    let state = status.state.as_ref();
    if state.is_some_and(|state| state.running.is_some()) {
        let id = known(status.container_id.as_deref());
        return id.ok_or_else(|| format!("container {container:?} in pod {name:?} is waiting to start - no logs yet"));
    }
    let terminated = state.and_then(|state| state.terminated.as_ref());
    let has_ended = terminated.is_some() || status.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
    if has_ended {
        let id = terminated.and_then(|terminated| known(terminated.container_id.as_deref())).or(last);
        return id.ok_or_else(|| format!("container {container:?} in pod {name:?} is terminated"));
    }
    let waiting = state.and_then(|state| state.waiting.as_ref()).map(|waiting| waiting.reason.as_deref());
    let why = match waiting {
        Some(Some("ErrImagePull")) => "is waiting to start: image can't be pulled".to_owned(),
        Some(Some("ImagePullBackOff")) => "is waiting to start: trying and failing to pull image".to_owned(),
        Some(reason) => format!("is waiting to start: {}", reason.unwrap_or_default()),
        None => "is waiting to start - no logs yet".to_owned(),
    };
    Err(format!("container {container:?} in pod {name:?} {why}"))
}

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == container)
}

/// An ID without the runtime's name, if there is one.
fn known(id: Option<&str>) -> Option<String> {
    let id = id?.split_once("://").map(|(_, id)| id)?;
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests;
