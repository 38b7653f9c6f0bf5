//! `gantry down`: ends the cluster of this machine, and its pods with it.
//!
//! Who says `down` does not expect containers to go on: they are ended as `gantry reset` ends them, once the cluster has
//! ended. What the cluster knows stays, so that the next `up` makes its pods again. Only a process that is known to be ours is
//! asked to end, and it is only ever asked: nothing is ended by force.

use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use kubelet::paths::Paths;
use kubelet::runtime::Layout;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::background::Line;
use crate::home::{self, Identity, Look, OfNode, Phase, State};
use crate::process::announce;
use crate::{process, purge, reset};

/// How often it is looked whether the process is there, and said for how long it is waited.
const LOOK: Duration = Duration::from_millis(250);

/// The options of `gantry down`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the cluster keeps its files [default: /var/lib/gantry, and for others than root ~/.local/share/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Leave the pods running, as Ctrl-C of `up` does. The next `up` finds them again.
    #[arg(long, conflicts_with = "purge")]
    keep_pods: bool,
    /// Remove everything of Gantry's in the data directory, too: what the cluster knows, its certificates and its images.
    #[arg(long)]
    purge: bool,
    /// Do not ask whether to.
    #[arg(long, short, requires = "purge")]
    yes: bool,
    /// For how many seconds to wait until the cluster has ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Where the node kept pods' volumes, if the cluster cannot be asked any more [default: kubelet in the data directory].
    #[arg(long, value_name = "DIR")]
    root_dir: Option<PathBuf>,
    /// The cgroup that the pods' cgroups are in, if the cluster cannot be asked any more [default: /].
    #[arg(long, value_name = "NAME")]
    cgroup_root: Option<String>,
}

/// Ends it, and says so.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let data_dir = process::data_directory_or(arguments.data_dir.clone())?;
    let look = home::look(&data_dir)?;
    if arguments.purge && !purge::may(&data_dir, arguments.yes)? {
        announce("nothing was changed");
        return Ok(());
    }
    let left = match look {
        Look::Running(state) => {
            end(&state, Duration::from_secs(arguments.timeout))?;
            announce(&format!("the cluster in {} has ended", data_dir.display()));
            Some(state)
        }
        Look::Nobody { left } => {
            announce(&format!("no cluster runs in {}", data_dir.display()));
            left
        }
        Look::Unseen => {
            let data_dir = data_dir.display();
            return Err(
                format!("{data_dir} is in use by a process that cannot be seen from here: end it where it is").into()
            );
        }
    };
    let of_node = left.and_then(|state| state.node);
    if arguments.keep_pods {
        if of_node.is_some() {
            announce("its pods go on");
        }
    } else {
        end_pods(&arguments, &data_dir, of_node)?;
    }
    if arguments.purge { purge::purge(&data_dir) } else { Ok(()) }
}

/// Ends what a node of this data directory left running, if it did.
fn end_pods(arguments: &Arguments, data_dir: &Path, of_node: Option<OfNode>) -> Result<(), Box<dyn Error>> {
    let (known_root, known_cgroup, endpoint) = match of_node {
        Some(node) => (Some(node.root_dir), Some(node.cgroup_root), node.runtime_endpoint),
        None => (None, None, None),
    };
    if let Some(endpoint) = endpoint {
        announce(&format!("its pods go on: they are those of the container runtime at {endpoint}"));
        return Ok(());
    }
    let root = arguments.root_dir.clone().or(known_root).unwrap_or_else(|| data_dir.join("kubelet"));
    let cgroup_root = arguments.cgroup_root.clone().or(known_cgroup).unwrap_or_else(|| "/".to_owned());
    // Where neither is, this was no node's, and the network of the machine is not that node's to take down.
    if Layout::of(data_dir).state().exists() || Paths::new(&root).pods().exists() {
        reset::end_pods(data_dir.to_owned(), root, cgroup_root)?;
    }
    Ok(())
}

/// Asks the process to end, and waits until it has.
fn end(state: &State, patience: Duration) -> Result<(), Box<dyn Error>> {
    let process = &state.process;
    let handle = Handle::open(process);
    if !process.lives() {
        return Ok(());
    }
    // A second signal would end it at once.
    if state.phase != Phase::Ending {
        handle.ask(process)?;
    }
    let mut line = Line::new();
    let began = Instant::now();
    while !handle.has_ended(process)? {
        if began.elapsed() >= patience {
            line.clear();
            return Err(too_long(state, patience).into());
        }
        line.show(&format!("the end of process {} ({} s)", process.pid, began.elapsed().as_secs()));
    }
    line.clear();
    Ok(())
}

fn too_long(state: &State, patience: Duration) -> String {
    let pid = state.process.pid;
    let log = state.log.as_ref().map(|log| format!(", see {}", log.display())).unwrap_or_default();
    format!(
        "process {pid} has not ended within {patience:?}{log}: wait for it with `gantry down` again, or end it by force with \
         `kill -9 {pid}`, and then have `gantry down` remove what it leaves"
    )
}

/// A process as the kernel gives it: not another one of its number. `None` where the kernel has no such handles.
struct Handle(Option<OwnedFd>);

impl Handle {
    fn open(process: &Identity) -> Handle {
        Handle(process.number().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()))
    }

    fn ask(&self, process: &Identity) -> Result<(), Box<dyn Error>> {
        let asked = match (&self.0, process.number()) {
            (Some(handle), _) => pidfd_send_signal(handle, Signal::TERM),
            (None, Some(pid)) => kill_process(pid, Signal::TERM),
            (None, None) => return Err(format!("there is no process {}", process.pid).into()),
        };
        match asked {
            // It has ended meanwhile.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(format!("process {} cannot be asked to end: {errno}", process.pid).into()),
        }
    }

    /// Whether it has ended, which is waited for for a moment.
    fn has_ended(&self, process: &Identity) -> Result<bool, Box<dyn Error>> {
        let Some(handle) = &self.0 else {
            std::thread::sleep(LOOK);
            return Ok(!process.lives());
        };
        let moment = Timespec::try_from(LOOK)?;
        match poll(&mut [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)], Some(&moment)) {
            Ok(ended) => Ok(ended > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}
