//! Stops containers: the `preStop` hook first, then the runtime, all within the time that each has.

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Container;
use tokio::time::Instant;

use super::carry::{Carried, Done, Hands, Job, What, addresses};
use crate::containers;
use crate::cri::is_absent;
use crate::lifecycle::hooks;
use crate::pod_plan::Stop;

/// How long a container has at least after its hook, whatever that took (upstream's number).
const LEAST: Duration = Duration::from_secs(2);

impl Hands {
    /// Stops containers, all of them at once.
    pub(super) async fn stop(&self, job: Job<'_>, stops: &[Stop]) -> Carried {
        let stopped = join_all(stops.iter().map(|stop| self.stop_one(job, stop).boxed())).await;
        stopped.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(Done::Other)
    }

    async fn stop_one(&self, job: Job<'_>, stop: &Stop) -> Result<(), super::carry::Failed> {
        let began = Instant::now();
        self.note(job.pod, &stop.container, "Killing", &stop.message);
        let found = containers::find(job.pod, &stop.container);
        if let Some((_, container)) = &found
            && stop.hook
            && !stop.grace.is_zero()
        {
            self.pre_stop(job, container, stop).await;
        }
        let grace = match stop.grace {
            Duration::ZERO => Duration::ZERO,
            grace => grace.saturating_sub(began.elapsed()).max(LEAST),
        };
        match self.cri.stop_container(&stop.id, grace).await {
            Err(status) if !is_absent(&status) => {
                Err(self.failed(job, What::Other, "FailedKillPod", status.message().to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn pre_stop(&self, job: Job<'_>, container: &Container, stop: &Stop) {
        let handler = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let Some(handler) = handler else { return };
        let address = addresses(job, &self.known.addresses()).first().copied();
        let ran = hooks::run(&self.cri, job.pod, container, &stop.id, address, handler, Some(stop.grace)).await;
        match ran {
            // It goes on in the container, which is told to end now.
            Ok(()) | Err(hooks::HookError::Late { .. }) => {}
            Err(error) => {
                tracing::warn!(container = container.name, %error, "a preStop hook failed");
                let (reason, message) = hooks::FAILED_PRE_STOP;
                self.warn(job.pod, &container.name, reason, message);
            }
        }
    }
}
