//! Hooks: what a container's `lifecycle` asks for after its start and before its end (upstream's
//! `pkg/kubelet/lifecycle/handlers.go`).
//!
//! Events never say what a hook said, which may be secret: their words are [`FAILED_POST_START`] and [`FAILED_PRE_STOP`].

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, LifecycleHandler, Pod, SleepAction};
use tokio::time::{sleep, timeout};

use super::check::{error_of, http};
use crate::cri::Cri;

/// Reason and message of the Event about a `postStart` hook that failed. The container is stopped then.
pub const FAILED_POST_START: (&str, &str) = ("FailedPostStartHook", "PostStartHook failed");
/// Reason and message of the Event about a `preStop` hook that failed. The container is stopped all the same.
pub const FAILED_PRE_STOP: (&str, &str) = ("FailedPreStopHook", "PreStopHook failed");

/// Why a hook failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// A command could not be run, or ended with something else than 0.
    #[error(
        "Exec lifecycle hook ({command}) for Container {container:?} in Pod {pod:?} failed - error: {error}, message: {message:?}"
    )]
    Exec {
        /// The command.
        command: String,
        /// The container.
        container: String,
        /// The pod.
        pod: String,
        /// What went wrong.
        error: String,
        /// What the command wrote.
        message: String,
    },
    /// There was no answer to a request. Whatever the answer is, is fine.
    #[error("HTTP lifecycle hook ({path}) for Container {container:?} in Pod {pod:?} failed - error: {error}")]
    Http {
        /// What was asked for.
        path: String,
        /// The container.
        container: String,
        /// The pod.
        pod: String,
        /// What went wrong.
        error: String,
    },
    /// The handler is of no kind that is known.
    #[error(
        "Cannot run handler: invalid handler: set one of exec, httpGet and sleep in the lifecycle of container {container:?}"
    )]
    Invalid {
        /// The container.
        container: String,
    },
    /// It did not end within its time. Nobody waits for it any longer; a command goes on until its container ends.
    #[error("the hook of container {container:?} did not end within {seconds} seconds")]
    Late {
        /// The container.
        container: String,
        /// Its time, in whole seconds.
        seconds: u64,
    },
}

/// Runs a hook of a container, for at most `limit` if there is one. `pod_ip` is where requests go that name no host.
pub async fn run(
    cri: &Cri,
    pod: &Pod,
    container: &Container,
    container_id: &str,
    pod_ip: Option<IpAddr>,
    handler: &LifecycleHandler,
    limit: Option<Duration>,
) -> Result<(), HookError> {
    let hook = Hook { cri, pod, container, container_id, pod_ip };
    let Some(limit) = limit else { return hook.run(handler).await };
    let late = || HookError::Late { container: container.name.clone(), seconds: limit.as_secs() };
    timeout(limit, hook.run(handler)).await.unwrap_or_else(|_| Err(late()))
}

struct Hook<'a> {
    cri: &'a Cri,
    pod: &'a Pod,
    container: &'a Container,
    container_id: &'a str,
    pod_ip: Option<IpAddr>,
}

impl Hook<'_> {
    async fn run(&self, handler: &LifecycleHandler) -> Result<(), HookError> {
        if let Some(exec) = &handler.exec {
            self.exec(exec).await
        } else if let Some(get) = &handler.http_get {
            let failed = |error| HookError::Http {
                path: get.path.clone().unwrap_or_default(),
                container: self.container.name.clone(),
                pod: self.pod_name(),
                error,
            };
            self.http(get).await.map_err(failed)
        } else if let Some(SleepAction { seconds }) = &handler.sleep {
            sleep(Duration::from_secs(u64::try_from(*seconds).unwrap_or(0))).await;
            Ok(())
        } else {
            // `tcpSocket` is there for old clients alone, and has never done anything.
            Err(HookError::Invalid { container: self.container.name.clone() })
        }
    }

    async fn exec(&self, exec: &ExecAction) -> Result<(), HookError> {
        let command = exec.command.clone().unwrap_or_default();
        let failed = |error, message: Vec<u8>| HookError::Exec {
            command: format!("[{}]", command.join(" ")),
            container: self.container.name.clone(),
            pod: self.pod_name(),
            error,
            message: String::from_utf8_lossy(&message).into_owned(),
        };
        match self.cri.exec_sync(self.container_id, command.clone(), None).await {
            Ok(answer) if answer.exit_code == 0 => Ok(()),
            Ok(answer) => {
                let stderr = String::from_utf8_lossy(&answer.stderr).into_owned();
                let error = format!("command '{}' exited with {}: {stderr}", command.join(" "), answer.exit_code);
                Err(failed(error, [answer.stdout, answer.stderr].concat()))
            }
            Err(status) => Err(failed(error_of(&status), Vec::new())),
        }
    }

    async fn http(&self, action: &HTTPGetAction) -> Result<(), String> {
        let request = http::Get::of(action, self.container, self.pod_ip, "lifecycle")?;
        let (url, error) = match http::get(request.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // Hooks once ignored `scheme: HTTPS`, so there are some that say so and mean HTTP (upstream's LifecycleHTTPFallback).
        if request.secure && error == http::GetError::NotSecure && http::get(request.insecure()).await.is_ok() {
            tracing::warn!(
                pod = self.pod_name(),
                host = request.authority(),
                "the request of a hook with scheme HTTPS was answered by HTTP"
            );
            return Ok(());
        }
        Err(http::failed(&url, &error))
    }

    /// The pod as upstream's messages have it.
    fn pod_name(&self) -> String {
        let metadata = &self.pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}_{}({})", text(&metadata.name), text(&metadata.namespace), text(&metadata.uid))
    }
}

#[cfg(test)]
mod tests;
