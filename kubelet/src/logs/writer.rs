//! For tests: a container that writes, and a runtime that knows when to write elsewhere.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tonic::codegen::{BoxFuture, StdError};
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::files::LogFile;
use crate::cri::{self, Cri, v1};
use crate::paths::Paths;

/// A container's log in a directory of its own, and who writes to it.
#[derive(Clone)]
pub(super) struct Writer {
    inner: Arc<Mutex<Inner>>,
    pub(super) log: LogFile,
    directory: Arc<tempfile::TempDir>,
}

struct Inner {
    file: Option<File>,
    runs: bool,
    refuses: bool,
}

impl Writer {
    /// A container that runs and has not written anything.
    pub(super) fn new() -> Writer {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let paths = Paths { pod_logs: directory.path().join("pods"), ..Paths::new(directory.path()) };
        let log = LogFile::of(&paths, ("n", "p", "u"), "web", 0).unwrap();
        std::fs::create_dir_all(log.path().parent().unwrap()).unwrap();
        let inner = Inner { file: None, runs: true, refuses: false };
        let writer = Writer { inner: Arc::new(Mutex::new(inner)), log, directory };
        writer.reopen();
        writer
    }

    /// Writes as it is.
    pub(super) fn write(&self, text: &str) {
        self.inner.lock().file.as_ref().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Writes a line.
    pub(super) fn line(&self, text: &str) {
        self.write(&format!("{} stdout F {text}\n", Timestamp::UNIX_EPOCH));
    }

    pub(super) fn reopen(&self) {
        let file = OpenOptions::new().append(true).create(true).open(self.log.path()).unwrap();
        self.inner.lock().file = Some(file);
    }

    pub(super) fn end(&self) {
        self.inner.lock().runs = false;
    }

    /// Has the runtime refuse to open logs anew, or not.
    pub(super) fn refuse(&self, refuses: bool) {
        self.inner.lock().refuses = refuses;
    }

    /// The runtime that it is a container of.
    pub(super) fn cri(&self) -> Cri {
        let writer = self.clone();
        let service = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            let writer = writer.clone();
            async move {
                Ok::<_, StdError>(match request.uri().path().rsplit('/').next() {
                    Some("ReopenContainerLog") => Grpc::new(ProstCodec::default()).unary(Reopen(writer), request).await,
                    Some("ContainerStatus") => Grpc::new(ProstCodec::default()).unary(State(writer), request).await,
                    other => panic!("{other:?} is not asked for"),
                })
            }
        });
        Cri::over(cri::in_process(service.clone()), cri::in_process(service))
    }

    /// The files that there are of the log, by name.
    pub(super) fn files(&self) -> Vec<String> {
        let directory = self.log.path().parent().unwrap().to_owned();
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A file of the log's directory.
    pub(super) fn file(&self, name: &str) -> std::path::PathBuf {
        self.log.path().parent().unwrap_or(Path::new("")).join(name)
    }

    /// Keeps the files until here.
    pub(super) fn done(self) {
        drop(self.directory);
    }
}

struct Reopen(Writer);

impl UnaryService<v1::ReopenContainerLogRequest> for Reopen {
    type Response = v1::ReopenContainerLogResponse;
    type Future = BoxFuture<Response<v1::ReopenContainerLogResponse>, Status>;

    fn call(&mut self, _: Request<v1::ReopenContainerLogRequest>) -> Self::Future {
        let refuses = self.0.inner.lock().refuses;
        if !refuses {
            self.0.reopen();
        }
        Box::pin(async move {
            if refuses { Err(Status::unknown("no")) } else { Ok(Response::new(v1::ReopenContainerLogResponse {})) }
        })
    }
}

struct State(Writer);

impl UnaryService<v1::ContainerStatusRequest> for State {
    type Response = v1::ContainerStatusResponse;
    type Future = BoxFuture<Response<v1::ContainerStatusResponse>, Status>;

    fn call(&mut self, _: Request<v1::ContainerStatusRequest>) -> Self::Future {
        let runs = self.0.inner.lock().runs;
        let state = if runs { v1::ContainerState::ContainerRunning } else { v1::ContainerState::ContainerExited };
        let status = v1::ContainerStatus { state: state.into(), ..v1::ContainerStatus::default() };
        let answer = v1::ContainerStatusResponse { status: Some(status), ..v1::ContainerStatusResponse::default() };
        Box::pin(async move { Ok(Response::new(answer)) })
    }
}

/// Lets time pass, which is the paused clock's.
pub(super) async fn pass(milliseconds: u64) {
    let forever = std::future::pending::<()>();
    assert!(tokio::time::timeout(Duration::from_millis(milliseconds), forever).await.is_err());
}
