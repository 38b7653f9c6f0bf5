//! What Services cost: connections through them, changes of their endpoints, the memory of what makes them reachable, and names.
//!
//! `cargo bench -p tests --bench network` prints, for the binary that `make bench` builds, as root: how many connections a
//! second a client makes through a Service, beside the same without one, where there are few Services and many; how long it
//! takes from when a change of endpoints was acknowledged until a connection shows it; the memory of `gantry proxy` then; and
//! how many names a second are answered, and how late. A word such as `-- changes` runs only the measurements that have it in
//! their names.
//!
//! Services are real, and so is what the kernel is told of them; there are no pods: their endpoints are addresses of nobody's,
//! but for those that are measured, which are servers of this process. Who measures is on the same processors.

mod asking;
mod services;

use std::time::{Duration, Instant};

use tests::machine::Machine;
use tests::proxied::Proxied;
use tests::usage::resident_mib;
use tokio::runtime::Builder;

use asking::{Letter, Names};
use services::Services;

/// How many Services there are when connections are made.
const FEW_AND_MANY: [usize; 3] = [1, 1_000, 10_000];
/// How many connections are made, and in how many turns.
const CONNECTIONS: usize = 5_000;
const TURNS: usize = 5;
/// How many Services there are when endpoints change, and how many endpoints each has.
const SMALL_AND_LARGE: [usize; 2] = [10, 5_000];
const ENDPOINTS: usize = 10;
/// How often they change.
const CHANGES: usize = 40;
/// How many names are asked for, one after the other, and by how many at once.
const QUESTIONS: usize = 20_000;
const AT_ONCE: usize = 8;

fn main() {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    if let Err(why) = Machine::possible() {
        say("not measured", &why);
        return;
    }
    if "connections".contains(&filter) || "names".contains(&filter) {
        on_a_machine(async |services| connections(services, &filter).await);
    }
    if "changes".contains(&filter) || "memory".contains(&filter) {
        on_a_machine(changes);
    }
}

/// Measures on a new machine, on a thread that is in its network.
fn on_a_machine(measure: impl AsyncFnOnce(&mut Services) + Send) {
    let mut proxied = Proxied::up();
    let measuring = || {
        proxied.machine().enter_network().expect("root may enter a network");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut services = Services::of(&mut proxied).await;
            measure(&mut services).await;
        });
    };
    std::thread::scope(|scope| scope.spawn(measuring).join()).expect("it was measured");
}

/// Connections through one of few Services and of many, in turn with those straight to the server; and names.
async fn connections(services: &mut Services<'_>, filter: &str) {
    let server = Letter::serve('a');
    let address = services.serve("target", &[server.port]).await;
    for count in FEW_AND_MANY {
        services.fill(count - 1, 1).await;
        asking::wait_for(&address, 'a');
        if "connections".contains(filter) {
            let (mut through, mut straight) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                through.push(asking::rate(&address, CONNECTIONS / TURNS));
                straight.push(asking::rate(&server.address(), CONNECTIONS / TURNS));
            }
            let [through, straight] = [median(&mut through), median(&mut straight)];
            let part = through / straight;
            let shown = format!("{through:.0} connections/s, without {straight:.0}: {part:.2} of it");
            say(&format!("{count} Services, median of {TURNS}"), &shown);
        }
        if "names".contains(filter) {
            names(count);
        }
    }
}

/// Names, one after the other and several at once.
fn names(count: usize) {
    let mut one = Names::ask("target", QUESTIONS);
    let late = |times: &mut Vec<Duration>, part: usize| {
        times.sort_unstable();
        times[times.len() * part / 100].as_secs_f64() * 1e6
    };
    let (half, most) = (late(&mut one, 50), late(&mut one, 99));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        // Threads are in the network of the thread that makes them.
        for _ in 0..AT_ONCE {
            scope.spawn(|| Names::ask("target", QUESTIONS / AT_ONCE));
        }
    });
    let rate = QUESTIONS as f64 / begin.elapsed().as_secs_f64();
    let shown = format!("{rate:.0} names/s by {AT_ONCE} at once; one alone {half:.0} µs, p99 {most:.0} µs");
    say(&format!("{count} Services"), &shown);
}

/// Changes of endpoints among few Services and many, and the memory then.
async fn changes(services: &mut Services<'_>) {
    let servers = ['a', 'b'].map(Letter::serve);
    let address = services.serve("target", &[servers[0].port]).await;
    for count in SMALL_AND_LARGE {
        services.fill(count - 1, ENDPOINTS).await;
        asking::wait_for(&address, 'a');
        let mut times = Vec::new();
        for change in 1..=CHANGES {
            let next = &servers[change % 2];
            services.lead("target", &[next.port]).await;
            let begin = Instant::now();
            asking::wait_for(&address, next.letter);
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        // And back to where it begins.
        services.lead("target", &[servers[0].port]).await;
        asking::wait_for(&address, 'a');
        times.sort_by(f64::total_cmp);
        let shown = |at: usize| times[at.min(times.len() - 1)];
        let [half, most] = [shown(times.len() / 2), shown(times.len() * 99 / 100)];
        let memory = resident_mib(services.process());
        say(
            &format!("{count} Services of {ENDPOINTS} endpoints"),
            &format!("a change is seen after {half:.1} ms, p99 {most:.1} ms; gantry proxy {memory:.1} MiB resident"),
        );
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[allow(clippy::print_stdout, reason = "a benchmark's figures go to standard output")]
fn say(what: &str, shown: &str) {
    println!("{what:<34} {shown}");
}
