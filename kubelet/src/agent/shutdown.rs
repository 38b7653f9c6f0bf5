//! What becomes of the node while the machine shuts down: it is not ready, takes no more pods, and ends those that it has,
//! a group of priorities after the other.
//!
//! The machine is held up until all of them have ended and the API knows it, or their time is over. If it goes on after
//! all, so does the node: pods whose turn had not come stay, which upstream ends all the same.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Agent;
use crate::node::shutdown::{Hold, News, Periods, end, groups};
use crate::pod_plan::Condemned;

/// The reason of Events about it, and what they say (upstream's words).
const REASON: &str = "NodeShutdown";
const BEGINS: &str = "Shutdown manager detected shutdown event";
const CALLED_OFF: &str = "Shutdown manager detected shutdown cancellation";
/// The file that says when it was last (upstream's name and form).
const STATE: &str = "graceful_node_shutdown_state";

/// How pods end when the machine shuts down.
pub struct Shutdown {
    /// How long they have.
    pub periods: Periods,
    /// What is heard of the machine.
    pub news: mpsc::Receiver<News>,
}

/// When the machine was last shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Last {
    start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
}

impl Agent {
    /// Ends pods when the machine is about to shut down, until it is dropped.
    pub(super) fn keep_shutdown(self: &Arc<Self>) -> BoxFuture<'static, ()> {
        let agent = Arc::clone(self);
        let attended = async move {
            let shutdown = agent.shutdown.lock().take();
            if let Some(Shutdown { periods, mut news }) = shutdown {
                agent.recall().await;
                agent.attend(&periods, &mut news).await;
            }
            // Nobody will say anything any more, which is no reason for a node to end.
            std::future::pending().await
        };
        attended.boxed()
    }

    /// Does what the news demand, until there are no more.
    async fn attend(self: &Arc<Self>, periods: &Periods, news: &mut mpsc::Receiver<News>) {
        let mut ending: Option<BoxFuture<'static, ()>> = None;
        loop {
            let going = async {
                match &mut ending {
                    Some(ending) => ending.await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                biased;
                heard = news.recv() => heard,
                () = going => {
                    ending = None;
                    continue;
                }
            };
            match heard {
                Some(News::ShutsDown(hold)) => {
                    tracing::warn!("the machine is about to shut down: ends all pods");
                    self.set_shutting_down(true);
                    self.recorder.say_of_node(false, REASON, BEGINS);
                    let (agent, periods) = (Arc::clone(self), periods.clone());
                    ending = Some(async move { agent.end_all(&periods, hold).await }.boxed());
                }
                Some(News::GoesOn) => {
                    ending = None;
                    if self.set_shutting_down(false) {
                        tracing::warn!("the machine does not shut down after all");
                        self.recorder.say_of_node(false, REASON, CALLED_OFF);
                    }
                }
                None => {
                    if let Some(ending) = ending {
                        ending.await;
                    }
                    return;
                }
            }
        }
    }

    /// Says of the node, and tells the API at once, whether the machine is about to shut down. `true` if that is new.
    fn set_shutting_down(&self, shutting_down: bool) -> bool {
        let was = std::mem::replace(&mut self.state.health.lock().shutting_down, shutting_down);
        if was != shutting_down {
            self.keeper.changed();
        }
        was != shutting_down
    }

    /// Ends all pods, and lets go of the machine.
    async fn end_all(self: Arc<Self>, periods: &Periods, hold: Hold) {
        let last = Last { start_time: Some(self.clock.now()), end_time: None };
        self.note_shutdown(last).await;
        let active = self.pods.all().into_iter().filter(|entry| entry.is_active());
        let pods: Vec<_> = active.map(|entry| entry.pod()).collect();
        let left = end(groups(&pods, periods), |uid, condemned| Arc::clone(&self).end_one(uid, condemned)).await;
        self.note_shutdown(Last { end_time: Some(self.clock.now()), ..last }).await;
        tracing::warn!(pods = pods.len(), left = left.len(), "pods have ended or had their time: lets the machine go");
        drop(hold);
    }

    /// Ends a pod. Returns when nothing of it runs, its volumes are gone, and the API knows.
    async fn end_one(self: Arc<Self>, uid: String, condemned: Condemned) {
        let Some(entry) = self.pods.get(&uid) else { return };
        entry.condemn(condemned);
        entry.ended.wait(|ended| ended.then_some(())).await;
        self.writer.flushed(&uid).await;
    }

    fn shutdown_file(&self) -> PathBuf {
        self.hands.paths.root.join(STATE)
    }

    /// Has metrics say when the machine was shut down, also after it was.
    async fn note_shutdown(&self, last: Last) {
        self.show(last);
        let path = self.shutdown_file();
        let written = match serde_json::to_vec(&last) {
            Ok(text) => tokio::fs::write(&path, text).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "when the machine was shut down will not be known");
        }
    }

    /// Has metrics say when the machine was shut down last.
    async fn recall(&self) {
        let path = self.shutdown_file();
        let read = match tokio::fs::read(&path).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
            Ok(text) => serde_json::from_slice(&text).map_err(Into::into),
        };
        match read {
            Ok(last) => self.show(last),
            Err(error) => tracing::warn!(path = %path.display(), %error, "when the machine was shut down is not known"),
        }
    }

    fn show(&self, last: Last) {
        let seconds = |time: Option<Timestamp>| time.map_or(0.0, |time| time.as_second() as f64);
        self.metrics.shutdown_start.set(seconds(last.start_time));
        self.metrics.shutdown_end.set(seconds(last.end_time));
    }
}

#[cfg(test)]
mod tests;
