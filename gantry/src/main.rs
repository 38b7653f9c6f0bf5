//! The `gantry` program: every role of a cluster as a subcommand, and what its operator does.
//!
//! Exit codes: 0 after an orderly end, 1 if what was asked for failed, 2 if the command line makes no sense. `status` has more.

mod apiserver;
mod ask;
mod background;
mod controller_manager;
mod down;
mod hollow;
mod home;
mod image;
mod kubelet;
mod leading;
mod log;
mod network;
mod node;
mod process;
mod progress;
mod proxy;
mod purge;
mod ranges;
mod reset;
mod scheduler;
mod status;
mod store;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use ctl::line::Mistake;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Kubernetes-compatible cluster orchestrator.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, about)]
struct Arguments {
    /// What is written to standard error: a level (error, warn, info, debug, trace), or levels of parts, such as
    /// `info,apiserver=debug`.
    #[arg(long, global = true, env = "GANTRY_LOG", default_value = "info", value_name = "LEVELS")]
    log_level: log::Levels,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a whole cluster in this process, or with --detach in the background.
    Up(Box<up::Arguments>),
    /// Say how the cluster of this machine is. Exit code 0: it runs and is ready; 1: it runs and is not ready; 3: none runs;
    /// 4: it cannot be told.
    Status(status::Arguments),
    /// End the cluster of this machine and its pods, and remove what these left on it as `reset` does. What the cluster knows
    /// and its images stay, and the next `up` goes on with them.
    Down(down::Arguments),
    /// Serve the Kubernetes API.
    Apiserver(apiserver::Arguments),
    /// Run the controllers, against the API server that a kubeconfig names.
    ControllerManager(controller_manager::Arguments),
    /// Choose nodes for pods, at the API server that a kubeconfig names.
    Scheduler(scheduler::Arguments),
    /// Make this machine a node of the cluster that a kubeconfig names.
    Kubelet(Box<kubelet::Arguments>),
    /// Make Services reachable on this machine, for the cluster that a kubeconfig names. `kubelet` and `up` do that, too.
    Proxy(proxy::Arguments),
    /// Add nodes that are there for the API only, and run nothing.
    Hollow(hollow::Arguments),
    /// End the pods that this machine ran as a node with a containerd of its own, and remove what they left on it: mounts,
    /// cgroups, logs, the network, the rules of Services. Images and the cluster's data stay. The node's agent must have ended.
    Reset(reset::Arguments),
    /// Ask something of a cluster.
    #[command(flatten)]
    Ask(ctl::Command),
    /// Load, list or remove images of a node.
    #[command(subcommand)]
    Image(image::Command),
    /// Verify, back up or restore an embedded store that is not in use.
    #[command(subcommand)]
    Store(store::Command),
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if let Command::Ask(command) = arguments.command {
        return ask::run(command);
    }
    if let Command::Status(arguments) = arguments.command {
        return status::run(arguments);
    }
    log::start(&arguments.log_level);
    let result = match arguments.command {
        Command::Up(arguments) => up::run(*arguments),
        Command::Apiserver(arguments) => apiserver::run(arguments),
        Command::ControllerManager(arguments) => controller_manager::run(arguments),
        Command::Scheduler(arguments) => scheduler::run(arguments),
        Command::Kubelet(arguments) => kubelet::run(*arguments),
        Command::Proxy(arguments) => proxy::run(arguments),
        Command::Hollow(arguments) => hollow::run(arguments),
        Command::Reset(arguments) => reset::run(arguments),
        Command::Down(arguments) => down::run(arguments),
        Command::Ask(_) | Command::Status(_) => Ok(()),
        Command::Image(command) => image::run(command),
        Command::Store(command) => store::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::report(&format!("gantry: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The line that the program was started with. What makes no sense is said.
fn arguments() -> Result<Arguments, ExitCode> {
    let read = ctl::line::read(Arguments::command(), std::env::args_os().collect());
    let mistake = match read.map(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(Ok(arguments)) => return Ok(arguments),
        Ok(Err(error)) => Mistake::Other(Box::new(error)),
        Err(mistake) => mistake,
    };
    match mistake {
        Mistake::Said(words) => {
            process::report(&words);
            Err(ExitCode::FAILURE)
        }
        Mistake::Help(text) => {
            process::print(&text);
            Err(ExitCode::SUCCESS)
        }
        Mistake::Other(error) => error.exit(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
