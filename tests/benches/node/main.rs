//! What a node of real containers costs, beside its runtime alone: `gantry up` on a machine of its own, as root.
//!
//! `cargo bench -p tests --bench node` prints, for the binary that `make bench` builds: how long a pod takes from its
//! creation until a watch sees that it runs, one alone and many at once, and the memory that the node takes. The runtime
//! alone is measured in turn with it: the same containerd, asked by a plain client for the same sandbox and container. A
//! word such as `-- one` runs only the measurements that have it in their names.
//!
//! Who measures is on the same processors; there is no other way to see pods as soon as they run.

mod plain;
mod pods;

use std::time::{Duration, Instant};

use futures::future::join_all;
use tests::machine::Machine;
use tests::node::Node;
use tests::usage::resident_mib;
use tokio::time::timeout;

use plain::Plain;
use pods::Pods;

/// The image that is run, and what of it.
const IMAGE: &str = "gantry.local/busybox:1";
const COMMAND: [&str; 2] = ["sleep", "100000"];
/// How often one pod is measured.
const RUNS: usize = 15;
/// How many are measured at once, and how often.
const AT_ONCE: usize = 50;
const CROWDS: usize = 3;
/// How many pods there are when memory is measured.
const MANY: usize = 100;
/// How long a node is left alone before its memory is measured.
const SETTLE: Duration = Duration::from_secs(10);

/// Who measures.
struct Bench<'a> {
    node: &'a Node,
    pods: Pods,
    plain: Plain,
}

fn main() {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    if let Err(why) = Machine::possible() {
        say("not measured", &why);
        return;
    }
    let node = Node::up();
    say("started", &format!("{:.0} ms", millis(node.started_in())));
    // On a thread of its own, which the machine's network does not leave.
    let measuring = || {
        node.machine().enter_network().expect("root may enter a network");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(measure(&node, &filter));
    };
    std::thread::scope(|scope| scope.spawn(measuring).join()).expect("it was measured");
}

async fn measure(node: &Node, filter: &str) {
    let mut bench = Bench { node, pods: Pods::of(node).await, plain: Plain::of(node) };
    if "one".contains(filter) {
        bench.one().await;
    }
    if "at once".contains(filter) {
        bench.at_once().await;
    }
    if "memory".contains(filter) {
        bench.memory().await;
    }
}

impl Bench<'_> {
    /// One pod after the other, in turn with the runtime alone.
    async fn one(&mut self) {
        let (mut of_node, mut of_runtime) = (Vec::new(), Vec::new());
        // What is there for the first time is not measured.
        for run in 0..=RUNS {
            let took = self.pods.run(&format!("one-{run}"), 1).await;
            self.pods.end().await;
            let alone = self.alone(&format!("alone-{run}"), 1).await;
            if run > 0 {
                of_node.push(took);
                of_runtime.push(alone);
            }
        }
        compare(&format!("1 pod, median of {RUNS}"), &mut of_node, &mut of_runtime);
    }

    /// Many at once, in turn with the runtime alone.
    async fn at_once(&mut self) {
        let (mut of_node, mut of_runtime) = (Vec::new(), Vec::new());
        for run in 0..CROWDS {
            of_node.push(self.pods.run(&format!("crowd-{run}"), AT_ONCE).await);
            self.pods.end().await;
            of_runtime.push(self.alone(&format!("alone-crowd-{run}"), AT_ONCE).await);
        }
        compare(&format!("{AT_ONCE} pods at once, median of {CROWDS}"), &mut of_node, &mut of_runtime);
    }

    /// The memory of the node, without pods and with many.
    async fn memory(&mut self) {
        self.say_memory(0).await;
        self.pods.run("many", MANY).await;
        self.say_memory(MANY).await;
        self.pods.end().await;
    }

    /// How long the runtime alone takes for so many.
    async fn alone(&self, name: &str, count: usize) -> Duration {
        let begin = Instant::now();
        let names = (0..count).map(|number| format!("{name}-{number}"));
        let sandboxes = join_all(names.map(|name| self.plain.run(name))).await;
        let took = begin.elapsed();
        join_all(sandboxes.into_iter().map(|sandbox| self.plain.end(sandbox))).await;
        took
    }

    async fn say_memory(&self, pods: usize) {
        // It is time alone that is waited for: nothing is to happen.
        let _ = timeout(SETTLE, std::future::pending::<()>()).await;
        let machine = self.node.machine();
        let of = |program| machine.processes(program).into_iter().map(resident_mib).sum::<f64>();
        let (gantry, containerd) = (of("gantry"), of("containerd"));
        say(&format!("{pods} pods"), &format!("gantry {gantry:.1} MiB resident, containerd {containerd:.1} MiB"));
    }
}

/// Says what a node took, and its runtime alone.
fn compare(what: &str, of_node: &mut [Duration], of_runtime: &mut [Duration]) {
    let [node, runtime] = [of_node, of_runtime].map(|times| {
        times.sort_unstable();
        [times[times.len() / 2], times[0], times[times.len() - 1]].map(millis)
    });
    let shown = |[median, least, most]: [f64; 3]| format!("{median:.0} ms ({least:.0} to {most:.0})");
    let ratio = node[0] / runtime[0];
    say(what, &format!("{}, the runtime alone {}: {ratio:.2} times", shown(node), shown(runtime)));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
fn say(what: &str, shown: &str) {
    println!("{what:<34} {shown}");
}
