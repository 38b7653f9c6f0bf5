//! Ending every pod that a node ran with a private containerd, and removing what they left on the machine.
//!
//! What can be done in an orderly way is done through the runtime, so that networks are torn down by the plugins that made
//! them; the rest is done by force. Images and the cluster's own data stay. It can be done again, and then does nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt;
use tokio::process::Command;

use super::leftovers::{self, directories, name};
use super::{Found, Layout, Private, PrivateOptions, StartError, bridge, cni, processes, teardown};
use crate::cri::{Cri, v1};
use crate::paths::Paths;

/// The bridge that pods were on before each had a link of its own.
const FORMER_BRIDGE: &str = "gantry0";
/// How many sandboxes are ended at once.
const AT_ONCE: usize = 8;
/// How long a shim may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long runc may take to end a container by force.
const FORCE: Duration = Duration::from_secs(30);

/// What is to be ended.
#[derive(Clone, Debug)]
pub struct ResetOptions {
    /// The directory below which the private containerd has everything.
    pub data_dir: PathBuf,
    /// The agent's directories.
    pub paths: Paths,
    /// The cgroup that `kubepods` is in.
    pub cgroup_root: String,
    /// The programs, if they are there: without them, everything is done by force.
    pub found: Option<Found>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// A sentence for each thing that there was to do.
    pub did: Vec<String>,
    /// A sentence for each thing that could not be done.
    pub failed: Vec<String>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// Only root may end what root runs.
    #[error("what a node leaves behind can only be removed by root")]
    NotRoot,
    /// An agent is at work.
    #[error("{} is held by an agent of this machine: end that one first", .0.display())]
    InUse(PathBuf),
}

/// What is known of the pods.
#[derive(Debug, Default)]
struct Pods {
    uids: BTreeSet<String>,
    sandboxes: BTreeSet<String>,
}

impl Done {
    fn count(&mut self, count: usize, what: &str) {
        if count > 0 {
            self.did.push(format!("{what}: {count}"));
        }
    }

    /// What came of something, or nothing, which is written down.
    fn check<T, E: std::fmt::Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.failed.push(format!("{what}: {error}"))).ok()
    }
}

/// Ends all of it.
pub async fn reset(options: ResetOptions) -> Result<Done, ResetError> {
    if !rustix::process::geteuid().is_root() {
        return Err(ResetError::NotRoot);
    }
    let layout = Layout::of(&options.data_dir);
    let mut done = Done::default();
    let of_pods = options.paths.pods();
    let mut pods = Pods { uids: directories(&of_pods).iter().map(|path| name(path)).collect(), ..Pods::default() };
    let network = cni::configured(&layout.networks());
    if layout.root().exists() {
        end_by_runtime(&options, &mut pods, &mut done).await?;
        end_by_force(&options, &layout, &mut pods, &mut done).await;
        // Before the mounts go that the network namespaces are held by.
        if let (Some(network), Some(found)) = (&network, &options.found) {
            done.failed.extend(teardown::take_down(found, network, &pods.sandboxes).await);
        }
    }
    for directory in [&layout.state(), &layout.root(), &of_pods] {
        let unmounted = done.check("unmounting", leftovers::unmount_below(directory)).unwrap_or_default();
        done.count(unmounted, &format!("unmounted below {}", directory.display()));
    }
    done.count(leftovers::remove_cgroups(&options.cgroup_root, &pods.uids), "pods whose cgroups were removed");
    if let Some(network) = &network {
        remove_network(&layout, network, &pods, &mut done);
    }
    let logs = leftovers::remove_logs(&options.paths.pod_logs, &options.paths.container_logs, &pods.uids);
    let logs = done.check("removing logs", logs).unwrap_or_default();
    done.count(logs, "pods whose logs were removed");
    remove(&of_pods, &mut done);
    // Looking for something to do makes these; there is nothing in them that anybody would miss.
    done.check("removing the runtime's state", leftovers::remove_directory(&layout.state()));
    let socket = layout.socket();
    if let Some(directory) = socket.parent().filter(|directory| !directory.starts_with(layout.directory())) {
        done.check("removing the runtime's sockets", leftovers::remove_directory(directory));
    }
    Ok(done)
}

fn remove(path: &Path, done: &mut Done) {
    let what = format!("removing {}", path.display());
    if done.check(&what, leftovers::remove_directory(path)) == Some(true) {
        done.did.push(format!("removed {}", path.display()));
    }
}

/// Ends the sandboxes through the runtime, which is started for that and ended again.
async fn end_by_runtime(options: &ResetOptions, pods: &mut Pods, done: &mut Done) -> Result<(), ResetError> {
    let Some(found) = options.found.clone() else { return Ok(()) };
    // Nothing is made, so no image is needed.
    let private = match Private::start(PrivateOptions::new(&options.data_dir, found, "unused")).await {
        Ok(private) => private,
        Err(StartError::Locked(path)) => return Err(ResetError::InUse(path)),
        Err(error) => {
            done.failed.push(format!("starting the runtime, to end what it runs: {error}"));
            return Ok(());
        }
    };
    if let Some(cri) = done.check("the runtime's socket", Cri::at(&private.endpoint())) {
        end_sandboxes(&cri, pods, done).await;
    }
    private.stop().await;
    Ok(())
}

async fn end_sandboxes(cri: &Cri, pods: &mut Pods, done: &mut Done) {
    let listed = cri.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await;
    let Some(listed) = done.check("listing sandboxes", listed.map_err(|status| status.message().to_owned())) else {
        return;
    };
    let ends = listed.items.into_iter().map(|sandbox| async move {
        let id = sandbox.id.clone();
        let stopped = cri.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: id.clone() }).await;
        // What cannot be stopped may still be removed.
        let removed = cri.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id }).await;
        (sandbox, stopped.map(|_| ()).and(removed.map(|_| ())))
    });
    let mut ends = futures::stream::iter(ends).buffer_unordered(AT_ONCE);
    let mut ended = 0;
    while let Some((sandbox, outcome)) = ends.next().await {
        let metadata = sandbox.metadata.unwrap_or_default();
        let what = format!("ending pod {}/{}", metadata.namespace, metadata.name);
        pods.uids.insert(metadata.uid);
        pods.sandboxes.insert(sandbox.id);
        if done.check(&what, outcome.map_err(|status| status.message().to_owned())).is_some() {
            ended += 1;
        }
    }
    done.count(ended, "sandboxes ended");
}

/// Ends what the runtime has left: itself, if it is one of a former agent, containers, and their shims.
async fn end_by_force(options: &ResetOptions, layout: &Layout, pods: &mut Pods, done: &mut Done) {
    let ended = processes::end("containerd", "--config", &layout.config(), PATIENCE).await;
    let ended = done.check("ending the runtime of a former agent", ended).unwrap_or_default();
    done.count(ended, "runtimes of former agents ended");
    if let Some(found) = &options.found {
        let containers = directories(&layout.runc().join("k8s.io"));
        for container in &containers {
            let ended = delete(found, layout, &name(container)).await;
            done.check(&format!("ending container {} by force", name(container)), ended);
            pods.sandboxes.insert(name(container));
        }
        done.count(containers.len(), "containers ended by force");
    }
    let shims = processes::end("containerd-shim-runc-v2", "-address", &layout.socket(), PATIENCE).await;
    let shims = done.check("ending shims", shims).unwrap_or_default();
    done.count(shims, "shims ended");
}

/// Has runc end and forget a container.
async fn delete(found: &Found, layout: &Layout, container: &str) -> Result<(), String> {
    let mut command = Command::new(&found.runc);
    command.arg("--root").arg(layout.runc().join("k8s.io")).args(["delete", "--force", container]);
    command.env("PATH", &found.path).kill_on_drop(true);
    let output = tokio::time::timeout(FORCE, command.output()).await.map_err(|_| format!("not within {FORCE:?}"))?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

fn remove_network(layout: &Layout, network: &str, pods: &Pods, done: &mut Done) {
    if done.check(&format!("removing bridge {FORMER_BRIDGE}"), bridge::remove(FORMER_BRIDGE)) == Some(true) {
        done.did.push(format!("removed bridge {FORMER_BRIDGE}"));
    }
    done.check("removing records of the network", teardown::remove_records(network, &pods.sandboxes));
    remove(&layout.addresses(), done);
    if done.check("removing the network's configuration", cni::remove(&layout.networks())) == Some(true) {
        done.did.push(format!("removed the configuration of network {network}"));
    }
}
