//! Whole clusters on simulated time, with faults, from seeds.
//!
//! `GANTRY_SEEDS` says how many seeds to run; `GANTRY_SEED` runs one alone, to see again what a failure was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tests::sim::{Outcome, run};

/// How many seeds are run, unless something else is said.
const SEEDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs a seed in a thread of its own, so that a failure names it.
fn in_a_thread(seed: u64) -> Outcome {
    let thread = std::thread::Builder::new().name(format!("seed {seed}")).spawn(move || run(seed));
    thread
        .expect("a thread")
        .join()
        .unwrap_or_else(|_| panic!("seed {seed} failed: run it alone with GANTRY_SEED={seed}"))
}

#[test]
fn clusters_come_to_rest_whatever_goes_wrong() {
    if let Some(seed) = number("GANTRY_SEED") {
        let Outcome { history, faults, placed } = in_a_thread(seed);
        println!("{} changes, {faults} faults, {placed:?}", history.len());
        return;
    }
    let seeds = number("GANTRY_SEEDS").unwrap_or(SEEDS);
    let (next, victims) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from))
        .map(|_| {
            let (next, victims) = (Arc::clone(&next), Arc::clone(&victims));
            std::thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = in_a_thread(seed);
                    assert!(outcome.faults > 0, "nothing went wrong with seed {seed}");
                    assert!(outcome.placed.bound > 0, "no pod got a node with seed {seed}");
                    victims.fetch_add(outcome.placed.victims, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("no seed fails");
    }
    // One seed alone may have room for all.
    assert!(seeds < SEEDS || victims.load(Ordering::Relaxed) > 0, "no pod ever had to make room");
}

#[test]
fn a_seed_is_replayed_exactly() {
    for seed in [3, 1_000_003] {
        let (first, second) = (in_a_thread(seed), in_a_thread(seed));
        let differs = first.history.iter().zip(&second.history).position(|(first, second)| first != second);
        let around = differs.map(|at| (at, &first.history[at.saturating_sub(3)..=at], &second.history[at]));
        assert_eq!(around, None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}
