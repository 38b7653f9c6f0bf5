//! `gantry hollow`: nodes that are there for the API only, and run nothing.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use client::clock::Clock;
use kube::Client;
use kubelet::hollow::{self, Capacity, Valid};
use tokio_util::sync::CancellationToken;

use crate::process;

/// The options of `gantry hollow`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The kubeconfig that says where the API server is and who the nodes are.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    nodes: u32,
    /// The number of the first, so that several processes can have nodes in one cluster.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u32,
    /// What the names of the nodes begin with; the number follows.
    #[arg(long, value_name = "TEXT", default_value_t = hollow::Options::default().prefix)]
    prefix: String,
    /// The zones that the nodes are in, in turn.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    zones: Vec<String>,
    /// How many pods each node takes.
    #[arg(long, value_name = "N", default_value_t = Capacity::default().pods)]
    max_pods: u32,
    /// Record Events, as kubelets do.
    #[arg(long)]
    events: bool,
}

impl Arguments {
    fn options(&self) -> Result<Valid, String> {
        let options = hollow::Options {
            nodes: self.nodes,
            first: self.first,
            prefix: self.prefix.clone(),
            zones: self.zones.clone(),
            capacity: Capacity { pods: self.max_pods, ..Capacity::default() },
            events: self.events,
            ..hollow::Options::default()
        };
        options.validated().map_err(|wrong| said(&wrong))
    }
}

/// What is wrong with options, by their names on the command line.
fn said(wrong: &[hollow::Invalid]) -> String {
    let option = |name: &str| if name == "capacity" { "max-pods".to_owned() } else { name.replace('_', "-") };
    let lines = wrong.iter().map(|wrong| format!("--{}: {}", option(wrong.option), wrong.message));
    lines.collect::<Vec<_>>().join("; ")
}

/// What `gantry up` needs for so many nodes. None need nothing.
pub(crate) fn plain(nodes: u32) -> Result<Option<Valid>, String> {
    if nodes == 0 {
        return Ok(None);
    }
    let options = hollow::Options { nodes, ..hollow::Options::default() };
    options.validated().map(Some).map_err(|wrong| format!("--hollow-{}", said(&wrong).trim_start_matches("--")))
}

/// Runs until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let options = arguments.options()?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = process::connect(&arguments.kubeconfig).await?;
        let stop = CancellationToken::new();
        let ready = || process::announce(&format!("gantry hollow is ready with {} nodes", arguments.nodes));
        let nodes = nodes(options, move |_| client.clone(), stop.clone(), ready);
        let asked = async {
            let asked = process::asked_to_end().await;
            stop.cancel();
            asked
        };
        let ((), asked) = tokio::join!(nodes, asked);
        Ok(asked?)
    })
}

/// Has nodes live until they are to stop.
pub(crate) async fn nodes(
    options: Valid,
    connect: impl Fn(&str) -> Client,
    stop: CancellationToken,
    ready: impl FnOnce(),
) {
    hollow::run(options, connect, Clock::Machine, stop, ready).await;
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn options_are_checked() {
        let parse = |line: &str| Line::try_parse_from(line.split(' ')).unwrap().arguments.options();
        let options = parse("hollow --kubeconfig f --nodes 3 --first 5 --zones a,b").unwrap();
        assert_eq!((options.name(5), options.zone(6)), ("hollow-5".to_owned(), Some("a")));
        assert!(parse("hollow --kubeconfig f --nodes 0").unwrap_err().starts_with("--nodes: must be at least 1"));
        assert!(parse("hollow --kubeconfig f --max-pods 0").unwrap_err().starts_with("--max-pods: must be positive"));
        assert!(plain(0).unwrap().is_none());
        assert!(plain(1_000_000).unwrap_err().starts_with("--hollow-nodes: must be at least 1"));
    }
}
