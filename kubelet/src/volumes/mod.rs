//! What is mounted into containers, and the objects whose content that is.
//!
//! A pod's volumes are made before its containers are, and made again for as long as it lives: whatever is made is left
//! alone if it is what it should be, so that an agent that starts again, or is told of a change, does the same thing. Files
//! that come from objects follow them: [`Volumes::keep_fresh`] writes them anew soon after they changed, and looks at all of
//! them about once a minute, when tokens are renewed that are due.
//!
//! What there is of a pod is taken away by what the disk and the kernel have of it, whoever made it ([`Volumes::unmount`]).
//! Nothing is removed through a mount, and no link is followed out of a volume, whatever containers do meanwhile.
//!
//! Of a pod only one thing is done at a time. All that blocks runs on threads of its own.

mod atomic;
mod claims;
mod container;
mod downward;
mod empty_dir;
mod figures;
mod fresh;
mod host_path;
mod kinds;
mod mounts;
pub mod objects;
mod ownership;
mod payload;
mod prepare;
mod problem;
mod references;
mod set_up;
mod subpath;
mod teardown;
mod tokens;
mod trust;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use api::pod_resources::List;
use client::clock::Clock;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use kube::Client;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant};

use crate::cri::v1;
use crate::paths::Paths;
use crate::stats::{Filesystem, VolumeFigures};
use objects::Objects;
use prepare::Prepared;
pub use problem::Problem;
pub use references::{References, referenced, referenced_by};
use set_up::{Measure, Mounted, Site};
use tokens::Tokens;
use trust::TrustBundles;

/// What volumes have to know of the node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// What the node gives to pods: the most that memory volumes may take, and what limits are that nobody set.
    pub allocatable: List,
    /// Whether the runtime can make mounts read-only with all that is mounted below them.
    pub recursive_read_only: bool,
}

/// The volumes of a node's pods.
pub struct Volumes {
    paths: Paths,
    objects: Arc<Objects>,
    client: Client,
    clock: Clock,
    node: RwLock<NodeFacts>,
    tokens: Tokens,
    trust: TrustBundles,
    pods: Mutex<HashMap<String, Arc<PodVolumes>>>,
    changes: Arc<fresh::Changes>,
}

/// The volumes of a pod.
struct PodVolumes {
    /// Held while something is done to them.
    working: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// The pod, as it was seen last.
    pod: Arc<Pod>,
    /// What is ready, by the volumes' names.
    mounted: BTreeMap<String, Mounted>,
    /// What the files of volumes were when they were written last.
    written: BTreeMap<String, [u8; 32]>,
    /// What volumes were found to use, when, and how long that took.
    counted: BTreeMap<String, Counted>,
    /// Whether they were found on the disk, and have not been looked at since.
    is_found: bool,
    /// Whether they are being taken away.
    has_ended: bool,
}

#[derive(Clone, Copy)]
struct Counted {
    at: Instant,
    took: Duration,
    found: Filesystem,
}

impl Volumes {
    /// Knows of no pod yet. The agent's directory is made if it is not there; paths below it are without links.
    #[must_use]
    pub fn new(paths: &Paths, objects: Arc<Objects>, client: Client, clock: Clock, node: NodeFacts) -> Arc<Volumes> {
        let made = std::fs::create_dir_all(&paths.root).and_then(|()| paths.root.canonicalize());
        let root = made.unwrap_or_else(|error| {
            tracing::warn!(%error, root = %paths.root.display(), "the agent's directory cannot be made");
            paths.root.clone()
        });
        let changes = Arc::<fresh::Changes>::default();
        let told = Arc::clone(&changes);
        objects.subscribe(Arc::new(move |uid| told.add(uid)));
        Arc::new(Volumes {
            paths: Paths { root, ..paths.clone() },
            objects,
            tokens: Tokens::new(client.clone(), clock),
            trust: TrustBundles::new(client.clone()),
            client,
            clock,
            node: RwLock::new(node),
            pods: Mutex::default(),
            changes,
        })
    }

    /// Takes note of what has changed of the node.
    pub fn set_node(&self, node: NodeFacts) {
        *self.node.write() = node;
    }

    /// Makes all volumes that the pod's containers use, and makes their files what they should be by now. May be called
    /// again, and has little to do then.
    ///
    /// # Errors
    /// Tells of every volume that is not ready. The others are, and what was ready stays so.
    pub async fn mount(&self, pod: &Arc<Pod>) -> Result<(), Problem> {
        let uid = uid_of(pod)?;
        let known = {
            let mut pods = self.pods.lock();
            Arc::clone(pods.entry(uid.clone()).or_insert_with(|| Arc::new(PodVolumes::new(pod))))
        };
        let _working = known.working.lock().await;
        {
            let mut state = known.state.lock();
            if state.has_ended {
                return Err(Problem::process("", "the pod's earlier volumes are being taken away"));
            }
            state.pod = Arc::clone(pod);
        }
        self.mount_used(&known, pod, &uid).await
    }

    async fn mount_used(&self, known: &PodVolumes, pod: &Arc<Pod>, uid: &str) -> Result<(), Problem> {
        self.objects.register(pod);
        let (mut used, devices) = kinds::used(pod);
        used.extend(devices);
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut problems = Vec::new();
        for volume in volumes.filter(|volume| used.contains(volume.name.as_str())) {
            if let Err(problem) = self.mount_one(known, pod, uid, volume).await {
                problems.push(problem);
            }
        }
        if problems.is_empty() {
            known.state.lock().is_found = false;
        }
        Problem::all(problems)
    }

    /// Makes the files of the pod's volumes what they should be by now; other volumes are left alone. A pod that has no
    /// volumes here is none of ours.
    pub async fn refresh(&self, pod: &Arc<Pod>) -> Result<(), Problem> {
        let uid = uid_of(pod)?;
        let Some(known) = self.pods.lock().get(&uid).cloned() else { return Ok(()) };
        known.state.lock().pod = Arc::clone(pod);
        self.refresh_known(&uid, &known).await
    }

    /// Takes note of a pod as it is now: its files follow soon, if it says something else than before and they are kept
    /// fresh ([`Volumes::keep_fresh`]). The volumes of a pod that was mounted in a former life are taken over, so that its
    /// tokens go on being renewed though none of its containers has to be started. A pod that has no volumes here is none
    /// of ours.
    pub fn see(&self, pod: &Arc<Pod>) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let known = self.pods.lock().get(uid).cloned();
        let Some(known) = known else {
            if teardown::is_name(uid) && self.paths.volumes(uid).is_dir() {
                let found = PodVolumes::new(pod);
                found.state.lock().is_found = true;
                self.pods.lock().entry(uid.to_owned()).or_insert_with(|| Arc::new(found));
                self.changes.add(uid);
            }
            return;
        };
        let before = std::mem::replace(&mut known.state.lock().pod, Arc::clone(pod));
        let says = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
        if says(&before) != says(pod) || before.spec != pod.spec {
            self.changes.add(uid);
        }
    }

    /// Makes the files of a pod's volumes what they should be by the newest that was seen of the pod.
    async fn refresh_known(&self, uid: &str, known: &PodVolumes) -> Result<(), Problem> {
        let _working = known.working.lock().await;
        let (pod, is_found) = {
            let state = known.state.lock();
            if state.has_ended {
                return Ok(());
            }
            (Arc::clone(&state.pod), state.is_found)
        };
        if is_found {
            return self.mount_used(known, &pod, uid).await;
        }
        self.objects.register(&pod);
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let mut problems = Vec::new();
        for volume in volumes {
            let has_files = known.state.lock().written.contains_key(&volume.name);
            if has_files && let Err(problem) = self.mount_one(known, &pod, uid, volume).await {
                problems.push(problem);
            }
        }
        Problem::all(problems)
    }

    async fn mount_one(&self, known: &PodVolumes, pod: &Arc<Pod>, uid: &str, volume: &Volume) -> Result<(), Problem> {
        let has_files = known.state.lock().written.contains_key(&volume.name);
        if !has_files && known.state.lock().mounted.contains_key(&volume.name) {
            return Ok(());
        }
        if !teardown::is_name(&volume.name) {
            return Err(Problem::process(&volume.name, "the volume's name is no name of a directory"));
        }
        let prepared = self.prepare(pod, volume).await?;
        let fingerprint = match &prepared {
            Prepared::Files { payload, .. } => Some(fingerprint(payload)),
            _ => None,
        };
        if fingerprint.is_some() && known.state.lock().written.get(&volume.name) == fingerprint.as_ref() {
            return Ok(());
        }
        let (paths, clock) = (self.paths.clone(), self.clock);
        let (pod, uid, of) = (Arc::clone(pod), uid.to_owned(), volume.clone());
        let made = spawn_blocking(move || Site { paths: &paths, pod: &pod, uid: &uid, clock }.set_up(&of, &prepared));
        let made = made.await.map_err(|error| Problem::set_up(&volume.name, error))??;
        let mut state = known.state.lock();
        state.mounted.insert(volume.name.clone(), made);
        if let Some(fingerprint) = fingerprint {
            state.written.insert(volume.name.clone(), fingerprint);
        }
        Ok(())
    }

    /// What a container mounts, with the parts of volumes that it asks for (`subPath`) bound. `variable` gives the values of
    /// its environment. The pod's volumes have to be mounted.
    ///
    /// # Errors
    /// If it mounts what the pod does not have, or what is not in the volume. Nothing stays bound then.
    pub fn container_mounts<'a>(
        &'a self,
        pod: &Pod,
        container: &Container,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> impl Future<Output = Result<Vec<v1::Mount>, Problem>> + Send + use<'a> {
        let uid = uid_of(pod);
        let supported = self.node.read().recursive_read_only;
        let known = uid.as_ref().ok().and_then(|uid| self.pods.lock().get(uid).cloned());
        let mounted = known.as_ref().map(|known| known.state.lock().mounted.clone()).unwrap_or_default();
        let wanted = uid.and_then(|uid| {
            let subpaths = self.paths.subpaths(&uid);
            Ok((container::wanted(container, &mounted, &subpaths, supported, variable)?, uid))
        });
        let name = container.name.clone();
        async move {
            let (wanted, uid) = wanted?;
            // An update of the files may replace a part between finding and binding it.
            let _working = match &known {
                Some(known) => Some(known.working.lock().await),
                None => None,
            };
            let mounts = wanted.iter().map(|wanted| wanted.mount.clone()).collect();
            if wanted.iter().all(|wanted| wanted.part.is_none() && wanted.sharing.is_none()) {
                return Ok(mounts);
            }
            let of = name.clone();
            let bound = spawn_blocking(move || wanted.iter().try_for_each(|wanted| wanted.make_ready(&of))).await;
            match bound.unwrap_or_else(|error| Err(Problem::container(error.to_string()))) {
                Ok(()) => Ok(mounts),
                Err(problem) => {
                    self.release_container(&uid, &name).await?;
                    Err(problem)
                }
            }
        }
    }

    /// What a container has as devices. The pod's volumes have to be mounted.
    pub fn container_devices(&self, pod: &Pod, container: &Container) -> Result<Vec<v1::Device>, Problem> {
        container::devices(container, &self.mounted(pod.metadata.uid.as_deref().unwrap_or_default()))
    }

    /// The groups that a pod's processes are to be in besides those that it names, because its volumes are of them. Its volumes
    /// have to be mounted.
    #[must_use]
    pub fn groups(&self, pod: &Pod) -> Vec<i64> {
        let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let named = context.and_then(|context| context.supplemental_groups.as_deref()).unwrap_or_default();
        let mounted = self.mounted(pod.metadata.uid.as_deref().unwrap_or_default());
        let groups: BTreeSet<i64> = mounted.values().filter_map(|volume| volume.group).collect();
        groups.into_iter().filter(|group| !named.contains(group)).collect()
    }

    fn mounted(&self, uid: &str) -> BTreeMap<String, Mounted> {
        let known = self.pods.lock().get(uid).cloned();
        known.map(|known| known.state.lock().mounted.clone()).unwrap_or_default()
    }

    /// Takes away the parts of volumes that were bound for a container, which has ended or was never made.
    pub async fn release_container(&self, uid: &str, container: &str) -> Result<(), Problem> {
        if !teardown::is_name(uid) || !teardown::is_name(container) {
            return Err(Problem::tear_down(uid, "the pod's uid or the container's name is no name of a file"));
        }
        let (subpaths, container) = (self.paths.subpaths(uid), container.to_owned());
        let released = spawn_blocking(move || {
            let Ok(volumes) = std::fs::read_dir(subpaths) else { return Ok(()) };
            volumes.flatten().try_for_each(|volume| teardown::remove(&volume.path().join(&container)))
        });
        flatten(released.await).map_err(|error| Problem::tear_down(uid, error))
    }

    /// Takes away all volumes of a pod, by what there is of them: no matter who made them, and whether the pod is still
    /// known. What is the node's or a persistent volume's stays as it is. Its other files, such as termination messages, stay.
    pub async fn unmount(&self, uid: &str) -> Result<(), Problem> {
        self.take_away(uid, &["volume-subpaths", "volumes", "volumeDevices", "plugins"]).await
    }

    /// Takes away a pod's volumes and everything else in its directory, and the directory.
    pub async fn remove(&self, uid: &str) -> Result<(), Problem> {
        self.unmount(uid).await?;
        let dir = self.paths.pod(uid);
        flatten(spawn_blocking(move || teardown::remove(&dir)).await).map_err(|error| Problem::tear_down(uid, error))
    }

    async fn take_away(&self, uid: &str, what: &'static [&'static str]) -> Result<(), Problem> {
        if !teardown::is_name(uid) {
            return Err(Problem::tear_down(uid, "it is no name of a directory"));
        }
        // A pod of a former life is known from now on, too, so that nobody takes it over meanwhile.
        let known = {
            let mut pods = self.pods.lock();
            Arc::clone(pods.entry(uid.to_owned()).or_insert_with(|| Arc::new(PodVolumes::new(&Arc::default()))))
        };
        known.state.lock().has_ended = true;
        let _working = known.working.lock().await;
        self.objects.unregister(uid);
        self.tokens.forget(uid);
        let dir = self.paths.pod(uid);
        let taken = spawn_blocking(move || {
            // All mounts go before anything is removed.
            teardown::unmount_below(&dir)?;
            what.iter().try_for_each(|part| teardown::remove(&dir.join(part)))
        });
        flatten(taken.await).map_err(|error| Problem::tear_down(uid, error))?;
        self.pods.lock().remove(uid);
        Ok(())
    }

    /// The pods of which there is something on the disk, by uid.
    pub async fn pods_on_disk(&self) -> std::io::Result<Vec<String>> {
        let dir = self.paths.pods();
        spawn_blocking(move || teardown::pods(&dir)).await.map_err(std::io::Error::other)?
    }

    /// What the pod's volumes use; those that are the node's are left out, and so is what cannot be found out.
    pub async fn figures(&self, pod: &Pod) -> Vec<VolumeFigures> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let Some(known) = self.pods.lock().get(uid).cloned() else { return Vec::new() };
        let clock = self.clock;
        // Nobody asks for figures to be told of a panic.
        spawn_blocking(move || known.figures(clock)).await.unwrap_or_default()
    }

    /// The same for callers that may block, for as long as it takes to read all that is in the volumes.
    #[must_use]
    pub fn figures_blocking(&self, pod: &Pod) -> Vec<VolumeFigures> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let known = self.pods.lock().get(uid).cloned();
        known.map(|known| known.figures(self.clock)).unwrap_or_default()
    }
}

impl PodVolumes {
    fn new(pod: &Arc<Pod>) -> PodVolumes {
        let state = State {
            pod: Arc::clone(pod),
            mounted: BTreeMap::new(),
            written: BTreeMap::new(),
            counted: BTreeMap::new(),
            is_found: false,
            has_ended: false,
        };
        PodVolumes { working: tokio::sync::Mutex::default(), state: Mutex::new(state) }
    }

    /// What they use. Blocks.
    fn figures(&self, clock: Clock) -> Vec<VolumeFigures> {
        let mounted = self.state.lock().mounted.clone();
        let mut all = Vec::new();
        for (name, volume) in mounted.into_iter().filter(|(_, volume)| volume.measure != Measure::Nothing) {
            let counted = self.state.lock().counted.get(&name).copied().filter(Counted::is_good);
            let Some(counted) = counted.or_else(|| Counted::of(&volume, clock)) else { continue };
            self.state.lock().counted.insert(name.clone(), counted);
            let (claim, ephemeral) = (volume.claim, volume.is_ephemeral);
            all.push(VolumeFigures { name, claim, filesystem: counted.found, ephemeral });
        }
        all
    }
}

impl Counted {
    fn of(volume: &Mounted, clock: Clock) -> Option<Counted> {
        let (at, now) = (Instant::now(), clock.now());
        let found = figures::file_system(&volume.path, now).and_then(|found| {
            if volume.measure == Measure::FileSystem {
                return Ok(found);
            }
            let figures::Used { bytes, inodes } = figures::content(&volume.path)?;
            Ok(Filesystem { used: bytes, inodes_used: inodes, ..found })
        });
        let found = found.inspect_err(|error| {
            tracing::debug!(%error, path = %volume.path.display(), "what a volume uses cannot be found out");
        });
        Some(Counted { at, took: at.elapsed(), found: found.ok()? })
    }

    fn is_good(&self) -> bool {
        self.at.elapsed() < figures::SOONEST.max(self.took * figures::TIMES)
    }
}

fn uid_of(pod: &Pod) -> Result<String, Problem> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    if teardown::is_name(&uid) {
        Ok(uid)
    } else {
        Err(Problem::process("", format!("the pod's uid {uid:?} is no name")))
    }
}

/// What was done on another thread; a panic there is an error here.
fn flatten<E: std::fmt::Display>(done: Result<Result<(), E>, tokio::task::JoinError>) -> Result<(), String> {
    done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

fn fingerprint(payload: &payload::Payload) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (path, payload::File { content, mode, owner }) in payload {
        for part in [path.as_bytes(), content, &mode.to_be_bytes(), format!("{owner:?}").as_bytes()] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
