//! Keeps the node in order: what pods of former lives left behind is removed, links to logs that are gone too, and what the
//! Node says of the runtime and its images is kept true.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeRuntimeHandler, NodeRuntimeHandlerFeatures, Pod};
use tokio::time::{sleep, timeout};

use super::Agent;
use crate::cri::{Answer, v1};
use crate::images::Limits;
use crate::logs::{LogFile, Policy, Rotation, Written, links};
use crate::observed::ContainerState;
use crate::stats::{self, Filesystem};
use crate::volumes::Problem;

/// How often it is looked after (upstream looks every two seconds).
const CLEAN: Duration = Duration::from_secs(10);
/// How often images are looked after (upstream's interval).
const COLLECT: Duration = Duration::from_secs(300);
/// How often it is asked how the runtime is (upstream's interval).
const ASK: Duration = Duration::from_secs(5);
/// The same as long as the node is not ready: pods wait for it.
const ASK_SOON: Duration = Duration::from_millis(200);

/// What the runtime says of itself.
#[derive(Default)]
struct Said {
    /// What keeps the node from being ready.
    problems: Vec<String>,
    /// What it can run pods with.
    handlers: Vec<NodeRuntimeHandler>,
    /// Whether it heeds which further groups a pod's users are to be in.
    supplemental_groups_policy: Option<bool>,
}

impl Agent {
    /// Keeps the node in order, until it is dropped.
    pub(super) async fn keep_house(&self) {
        let clean = async {
            loop {
                sleep(CLEAN).await;
                if self.knows_what_is_wanted() {
                    self.clean().await;
                }
            }
        };
        tokio::join!(clean, self.keep_health(), self.keep_images());
    }

    /// Keeps the files of volumes as the objects are that they come from.
    pub(super) async fn keep_volumes_fresh(&self) {
        let problem = |pod: &Arc<Pod>, problem: &Problem| {
            self.recorder.say(pod, None, true, problem.reason, problem.message.clone());
        };
        Arc::clone(&self.hands.volumes).keep_fresh(problem).await;
    }

    /// Rotates the logs of what runs.
    pub(super) async fn keep_logs_small(self: &Arc<Self>) {
        let agent = Arc::downgrade(self);
        let running = move || agent.upgrade().map(|agent| agent.running_logs()).unwrap_or_default();
        Rotation::new(self.hands.cri.clone(), self.clock, Policy::default(), Arc::new(running)).run().await;
    }

    fn running_logs(&self) -> Vec<Written> {
        let mut all = Vec::new();
        for entry in self.pods.all() {
            let seen = entry.seen.lock();
            let running = seen.runtime.containers.iter().filter(|it| it.state == ContainerState::Running);
            all.extend(running.filter_map(|container| {
                let log = LogFile::at(&self.hands.paths, Path::new(&container.log_path)).ok()?;
                Some(Written { container_id: container.id.clone(), log })
            }));
        }
        all
    }

    /// Removes images that nobody needs, when there is little room for them.
    async fn keep_images(&self) {
        let limits = Limits::default();
        loop {
            let images = &self.hands.images;
            match self.images_in_use().await {
                Ok(in_use) => {
                    let _ = images.notice(&in_use).await;
                    sleep(COLLECT).await;
                    self.collect_images(&limits).await;
                }
                Err(_) => sleep(ASK).await,
            }
        }
    }

    async fn collect_images(&self, limits: &Limits) {
        let Ok(in_use) = self.images_in_use().await else { return };
        let Some(filesystem) = self.image_filesystem().await else { return };
        if let Err(problem) = self.hands.images.collect(&in_use, &filesystem, limits).await {
            tracing::warn!(problem = problem.message, "images are not collected");
            if let Some(reason) = problem.reason {
                self.recorder.say_of_node(true, reason, problem.message);
            }
        }
    }

    /// The IDs of the images that containers are of.
    pub(super) async fn images_in_use(&self) -> Answer<BTreeSet<String>> {
        let listed = self.hands.cri.list_containers(v1::ListContainersRequest::default()).await?;
        let ids = listed.containers.into_iter().flat_map(|container| {
            let image = container.image.unwrap_or_default().image;
            [container.image_ref, image]
        });
        Ok(ids.filter(|id| !id.is_empty()).collect())
    }

    /// The file system that images are on.
    async fn image_filesystem(&self) -> Option<Filesystem> {
        let answer = self.hands.cri.image_fs_info(v1::ImageFsInfoRequest {}).await.ok()?;
        let path = answer.image_filesystems.into_iter().next()?.fs_id?.mountpoint;
        let clock = self.clock;
        tokio::task::spawn_blocking(move || stats::filesystem(Path::new(&path), clock.now()).ok()).await.ok()?
    }

    /// Removes what is left of pods that nobody knows.
    async fn clean(&self) {
        let running = match self.observer.all().await {
            Ok(all) => all,
            // Whose pods they are cannot be told.
            Err(_) => return,
        };
        let active: Vec<Arc<Pod>> = self.pods.all().iter().filter(|it| it.is_active()).map(|it| it.granted()).collect();
        if let Err(error) = self.hands.cgroups.update_classes(active.iter().map(AsRef::as_ref)) {
            tracing::warn!(%error, "the classes of pods do not get what their pods request");
        }
        let known: BTreeSet<String> = self.pods.all().iter().map(|entry| entry.uid.to_string()).collect();
        let is_gone = |uid: &String| !known.contains(uid) && !running.contains_key(uid);
        let volumes = &self.hands.volumes;
        for uid in volumes.pods_on_disk().await.unwrap_or_default().iter().filter(|uid| is_gone(uid)) {
            if let Err(problem) = volumes.remove(uid).await {
                tracing::warn!(pod = uid, problem = problem.message, "what is left of a pod is not removed");
            }
        }
        for uid in self.hands.cgroups.pods().into_iter().filter(is_gone) {
            if let Err(error) = self.hands.cgroups.remove(&uid).await {
                tracing::warn!(pod = uid, %error, "what is left of a pod's cgroup is not removed");
            }
        }
        let runs = |id: &str| running.values().any(|brief| brief.summary.contains_key(id));
        let exists = |uid: &str| known.contains(uid) || running.contains_key(uid);
        let (links, logs) = (links::clean(&self.hands.paths, runs), links::remove_gone(&self.hands.paths, exists));
        if let Err(error) = links.and(logs) {
            tracing::debug!(%error, "logs of pods that are gone are not all removed");
        }
    }

    /// Keeps what the Node says of the agent's health true.
    async fn keep_health(&self) {
        // Before that it is not well, which there is no need to say.
        let _ = timeout(ASK_SOON, self.pulse.first()).await;
        loop {
            let Said { problems, handlers, supplemental_groups_policy } = self.ask_runtime().await;
            let images = if problems.is_empty() { self.hands.images.on_node().await.ok() } else { None };
            let turned = {
                let mut health = self.state.health.lock();
                let turned = health.problems.is_empty() != problems.is_empty();
                health.problems = problems;
                if supplemental_groups_policy.is_some() {
                    health.supplemental_groups_policy = supplemental_groups_policy;
                }
                if let Some(images) = images {
                    (health.images, health.handlers) = (images, handlers);
                }
                turned
            };
            self.state.asked.change(|asked| *asked = true);
            if turned {
                self.keeper.changed();
            }
            let well = self.state.health.lock().problems.is_empty();
            sleep(if well { ASK } else { ASK_SOON }).await;
        }
    }

    /// What keeps the node from being ready, and what the runtime can run pods with.
    async fn ask_runtime(&self) -> Said {
        let status = match self.hands.cri.status(v1::StatusRequest { verbose: false }).await {
            Ok(answer) => answer,
            Err(status) => {
                let problem = format!("container runtime is down: {}", status.message());
                return Said { problems: vec![problem], ..Said::default() };
            }
        };
        let conditions = status.status.clone().unwrap_or_default().conditions;
        let condition = |kind: &str| conditions.iter().find(|condition| condition.r#type == kind);
        let lacks = |kind: &str, what: &str| match condition(kind) {
            Some(condition) if condition.status => None,
            Some(v1::RuntimeCondition { reason, message, .. }) => {
                Some(format!("{what} not ready: {kind}=false reason:{reason} message:{message}"))
            }
            None => Some(format!("{what} not ready: the runtime says nothing of {kind}")),
        };
        let mut problems: Vec<String> = self.pulse.problem().into_iter().collect();
        problems.extend(lacks("RuntimeReady", "container runtime"));
        problems.extend(lacks("NetworkReady", "container runtime network"));
        let handlers = status.runtime_handlers.into_iter().map(|handler| NodeRuntimeHandler {
            name: Some(handler.name),
            features: handler.features.map(|features| NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(features.recursive_read_only_mounts),
                user_namespaces: Some(features.user_namespaces),
            }),
        });
        let supplemental_groups_policy = status.features.map(|features| features.supplemental_groups_policy);
        Said { problems, handlers: handlers.collect(), supplemental_groups_policy }
    }
}
