//! The `gantry` program: every role of a cluster as a subcommand, and what its operator does.
//!
//! Exit codes are those of [`EXIT_CODES`].

mod apiserver;
mod ask;
mod audit;
mod background;
mod certs;
mod controller_manager;
mod down;
mod encryption;
mod hollow;
mod home;
mod image;
mod join;
mod kubelet;
mod leading;
mod log;
mod mistake;
mod network;
mod node;
mod oidc;
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

/// What scripts may rely on; where a verb is kubectl's, so is the code.
const EXIT_CODES: &str = "\
Exit codes:
  0  it is done
  1  it failed, or the line of a verb makes no sense; of diff: there are differences
  2  the line of a role or of certs, encryption, image, reset or store makes no sense; of diff: it failed
  n  of exec, attach and run: what the command in the container ended with

Colour is only on terminals, and never with NO_COLOR or TERM=dumb. `gantry completion SHELL` has shells complete lines.";

/// A Kubernetes-compatible cluster orchestrator.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, after_help = EXIT_CODES)]
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
    Apiserver(Box<apiserver::Arguments>),
    /// Run the controllers, against the API server that a kubeconfig names.
    ControllerManager(controller_manager::Arguments),
    /// Choose nodes for pods, at the API server that a kubeconfig names.
    Scheduler(scheduler::Arguments),
    /// Make this machine a node of the cluster that a kubeconfig names.
    Kubelet(Box<kubelet::Arguments>),
    /// Make this machine a node of a cluster, by a token of it. `gantry token create --print-join-command` prints the whole line.
    Join(Box<join::Arguments>),
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
    /// Say what can stand at the end of a line: shells ask it (see `gantry completion`).
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete {
        /// The words of the line.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// List or renew the certificates of a data directory.
    #[command(subcommand)]
    Certs(certs::Command),
    /// Say by which keys Secrets are stored, or replace the keys.
    #[command(subcommand)]
    Encryption(encryption::Command),
    /// Load, list or remove images of a node.
    #[command(subcommand)]
    Image(image::Command),
    /// Verify, back up or restore an embedded store that is not in use.
    #[command(subcommand)]
    Store(store::Command),
}

fn main() -> ExitCode {
    if let Some(call) = ctl::plugins::called(&Arguments::command(), &std::env::args_os().collect::<Vec<_>>()) {
        return ask::plugin(&call);
    }
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let arguments = match arguments {
        Arguments { command: Command::Ask(command), .. } => return ask::run(command),
        Arguments { command: Command::Status(arguments), .. } => return status::run(arguments),
        Arguments { command: Command::Complete { words }, .. } => return ask::complete(Arguments::command(), &words),
        others => others,
    };
    log::start(&arguments.log_level);
    let result = match arguments.command {
        Command::Up(arguments) => up::run(*arguments),
        Command::Apiserver(arguments) => apiserver::run(*arguments),
        Command::ControllerManager(arguments) => controller_manager::run(arguments),
        Command::Scheduler(arguments) => scheduler::run(arguments),
        Command::Kubelet(arguments) => kubelet::run(*arguments),
        Command::Join(arguments) => join::run(*arguments),
        Command::Proxy(arguments) => proxy::run(arguments),
        Command::Hollow(arguments) => hollow::run(arguments),
        Command::Reset(arguments) => reset::run(arguments),
        Command::Down(arguments) => down::run(arguments),
        Command::Ask(_) | Command::Status(_) | Command::Complete { .. } => Ok(()),
        Command::Certs(command) => certs::run(command),
        Command::Encryption(command) => encryption::run(command),
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
        Mistake::Other(error) => Err(refuse(&error)),
    }
}

/// Says why a line is none, or what it asks of the line itself: help, or the version.
fn refuse(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let mistake = mistake::explain(&Arguments::command(), &words, error);
    match mistake.code {
        // The parser prints it as terminals like it.
        0 => error.exit(),
        code => {
            process::report(mistake.words.trim_end());
            ExitCode::from(code)
        }
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
