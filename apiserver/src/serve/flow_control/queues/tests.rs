//! One level's queues on a clock of the test's own.

use proptest::prelude::*;

use super::*;
use crate::serve::flow_control::shuffle::hash_of;

const QUEUING: Queuing = Queuing { queues: 64, hand: 6, length: 50 };

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn without_queues_nothing_waits() {
    let mut queues = Queues::new(None, Some(2));
    let (first, fate) = queues.come(at(0), 1, 1);
    assert_eq!(fate, Fate::Started);
    assert_eq!(queues.come(at(0), 1, 1).1, Fate::Started);
    assert_eq!(queues.come(at(0), 2, 1).1, Fate::Refused);
    assert!(queues.finish(at(1), first).is_empty());
    assert_eq!(queues.come(at(1), 2, 1).1, Fate::Started);
    assert_eq!(queues.come(at(1), 2, 1).1, Fate::Refused);
    assert_eq!((queues.in_use(), queues.waiting()), (2, 0));
}

#[test]
fn without_a_limit_everything_starts() {
    let mut queues = Queues::new(None, None);
    assert!((0..1000).all(|flow| queues.come(at(0), flow, 3).1 == Fate::Started));
    assert_eq!(queues.demand(), 3000);
}

#[test]
fn queues_have_an_end() {
    let mut queues = Queues::new(Some(Queuing { queues: 1, hand: 1, length: 2 }), Some(1));
    let (first, fate) = queues.come(at(0), 7, 1);
    assert_eq!(fate, Fate::Started);
    let (second, fate) = queues.come(at(0), 7, 1);
    assert_eq!(fate, Fate::Waits);
    let (third, fate) = queues.come(at(0), 8, 1);
    assert_eq!(fate, Fate::Waits);
    assert_eq!(queues.come(at(0), 7, 1).1, Fate::Refused);
    // Who gives up makes room, and is not started later.
    assert!(queues.give_up(at(1), second).is_empty());
    let (fourth, fate) = queues.come(at(1), 7, 1);
    assert_eq!(fate, Fate::Waits);
    assert_eq!(queues.finish(at(2), first), [third]);
    assert!(queues.give_up(at(2), third).is_empty(), "it was started");
    assert_eq!(queues.in_use(), 1);
    assert_eq!(queues.finish(at(3), third), [fourth]);
    assert!(queues.finish(at(4), fourth).is_empty());
    assert!(queues.finish(at(4), fourth).is_empty(), "only once");
    assert_eq!((queues.in_use(), queues.demand()), (0, 0));
}

#[test]
fn wide_requests_wait_for_their_seats_and_are_not_passed_by() {
    let mut queues = Queues::new(Some(Queuing { queues: 1, hand: 1, length: 9 }), Some(4));
    let narrow: Vec<Id> = (0..3).map(|_| queues.come(at(0), 0, 1).0).collect();
    let (wide, fate) = queues.come(at(0), 0, 3);
    assert_eq!(fate, Fate::Waits);
    let (last, fate) = queues.come(at(0), 0, 1);
    assert_eq!(fate, Fate::Waits, "though there is a seat");
    assert!(queues.finish(at(1), narrow[0]).is_empty());
    assert_eq!(queues.finish(at(1), narrow[1]), [wide]);
    assert_eq!(queues.finish(at(1), narrow[2]), [last]);
    // One that is wider than everything is served alone.
    let (whole, fate) = queues.come(at(2), 0, 10);
    assert_eq!(fate, Fate::Waits);
    assert!(queues.finish(at(3), last).is_empty());
    assert_eq!(queues.finish(at(3), wide), [whole]);
    assert_eq!(queues.come(at(3), 0, 1).1, Fate::Waits);
}

#[test]
fn more_seats_let_those_in_who_wait() {
    let mut queues = Queues::new(Some(QUEUING), Some(1));
    let all: Vec<Id> = (0..4).map(|flow| queues.come(at(0), flow, 1).0).collect();
    assert_eq!(queues.set_limit(at(1), Some(3)).len(), 2);
    assert_eq!(queues.set_limit(at(1), Some(1)).len(), 0);
    assert!(queues.finish(at(2), all[0]).is_empty(), "there are two still");
    assert_eq!(queues.configure(at(3), None, None).len(), 1, "though there are no queues any more");
    assert_eq!(queues.waiting(), 0);
}

/// What flows got, when each of `callers` always has so many requests under way, each of which takes so long, for so many
/// started requests in all.
fn served(callers: &[(&str, usize, u64)], seats: usize, rounds: usize) -> Vec<usize> {
    let mut queues = Queues::new(Some(QUEUING), Some(seats));
    let mut served = vec![0; callers.len()];
    let mut owners: HashMap<Id, usize> = HashMap::new();
    // What is executed, and when it is done.
    let mut running: Vec<(u64, Id)> = Vec::new();
    let mut now = 0;
    let send = |queues: &mut Queues, owners: &mut HashMap<Id, usize>, now: u64, caller: usize| {
        let (id, fate) = queues.come(at(now), hash_of("schema", callers[caller].0), 1);
        owners.insert(id, caller);
        (fate == Fate::Started).then_some(id)
    };
    for (caller, (_, depth, takes)) in callers.iter().enumerate() {
        for _ in 0..*depth {
            running.extend(send(&mut queues, &mut owners, now, caller).map(|id| (now + takes, id)));
        }
    }
    for _ in 0..rounds {
        running.sort_unstable_by(|left, right| right.cmp(left));
        let (done, id) = running.pop().expect("somebody is served");
        now = done;
        let caller = owners.remove(&id).unwrap();
        served[caller] += 1;
        for id in queues.finish(at(now), id) {
            running.push((now + callers[owners[&id]].2, id));
        }
        running.extend(send(&mut queues, &mut owners, now, caller).map(|id| (now + callers[caller].2, id)));
    }
    served
}

#[test]
fn who_asks_much_gets_no_more_than_who_asks_little() {
    // 40 at a time, against one that asks again as soon as it has its answer.
    let served = served(&[("greedy", 40, 10), ("modest", 1, 10), ("other", 1, 10)], 2, 3000);
    // It has six queues, and they one each. In the order in which they came the two would be served some 70 times.
    assert!(served[1] > 300 && served[2] > 300, "{served:?}");
}

#[test]
fn slow_requests_cost_more() {
    let served = served(&[("slow", 8, 100), ("quick", 8, 10)], 4, 4000);
    let (slow, quick) = (served[0] * 100, served[1] * 10);
    // In the order in which they came the quick ones would have a tenth of the time.
    assert!(slow.min(quick) * 4 > slow + quick, "each has a good part of the time: {served:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Come { flow: u64, seats: usize },
    Finish(prop::sample::Index),
    GiveUp(prop::sample::Index),
    Limit(usize),
    Queues(Option<usize>),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    use prop::sample::Index;
    prop_oneof![
        6 => (0..8_u64, 1..4_usize).prop_map(|(flow, seats)| Step::Come { flow, seats }),
        4 => any::<Index>().prop_map(Step::Finish),
        1 => any::<Index>().prop_map(Step::GiveUp),
        1 => (1..6_usize).prop_map(Step::Limit),
        1 => prop::option::weighted(0.8, 1..9_usize).prop_map(Step::Queues),
        3 => (0..50_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens in whatever order: seats are counted exactly, no more are given than there are, nobody is started
    /// twice, and everybody who waits is served in the end.
    #[test]
    fn nobody_is_forgotten(steps in prop::collection::vec(step(), 1..200)) {
        let queuing = |queues| Queuing { queues, hand: 3, length: 4 };
        let mut queues = Queues::new(Some(queuing(4)), Some(3));
        let (mut limit, mut now) = (3, 0);
        let mut waiting: Vec<(Id, usize)> = Vec::new();
        let mut running: Vec<(Id, usize)> = Vec::new();
        for step in steps {
            let started = match step {
                Step::Come { flow, seats } => {
                    let (id, fate) = queues.come(at(now), flow.wrapping_mul(0x9e37_79b9_7f4a_7c15), seats);
                    match fate {
                        Fate::Started => running.push((id, seats)),
                        Fate::Waits => waiting.push((id, seats)),
                        Fate::Refused => prop_assert!(queues.in_use() + seats > limit || !waiting.is_empty()),
                    }
                    Vec::new()
                }
                Step::Finish(index) if !running.is_empty() => {
                    let (id, _) = running.swap_remove(index.index(running.len()));
                    queues.finish(at(now), id)
                }
                Step::GiveUp(index) if !waiting.is_empty() => {
                    let (id, _) = waiting.swap_remove(index.index(waiting.len()));
                    queues.give_up(at(now), id)
                }
                Step::Limit(seats) => {
                    limit = seats;
                    queues.set_limit(at(now), Some(limit))
                }
                Step::Queues(count) => queues.configure(at(now), count.map(queuing), Some(limit)),
                Step::Pass(milliseconds) => {
                    now += milliseconds;
                    Vec::new()
                }
                _ => Vec::new(),
            };
            let before = running.len();
            for id in started {
                let place = waiting.iter().position(|(other, _)| *other == id);
                let place = place.ok_or_else(|| TestCaseError::fail("started twice, or without having waited"))?;
                running.push(waiting.swap_remove(place));
            }
            let sum = |of: &[(Id, usize)]| of.iter().map(|(_, seats)| seats).sum::<usize>();
            prop_assert_eq!(queues.in_use(), sum(&running));
            prop_assert_eq!(queues.demand(), sum(&running) + sum(&waiting));
            prop_assert_eq!(queues.waiting(), waiting.len());
            // A limit that was lowered takes nothing back.
            prop_assert!(running.len() <= before.max(1) || sum(&running) <= limit || running.len() == 1);
            prop_assert!(waiting.is_empty() || !running.is_empty(), "somebody waits for nobody");
        }
        while let Some((id, _)) = running.pop() {
            now += 1;
            for id in queues.finish(at(now), id) {
                let place = waiting.iter().position(|(other, _)| *other == id).unwrap();
                running.push(waiting.swap_remove(place));
            }
        }
        prop_assert!(waiting.is_empty(), "{waiting:?}");
        prop_assert_eq!(queues.demand(), 0);
    }

    /// No flow starves: among any callers, each of which always has something to ask for, each gets a good part of what one of
    /// all their queues is given, however many requests others have under way.
    #[test]
    fn no_flow_starves(depths in prop::collection::vec(1..60_usize, 2..6), seats in 1..5_usize) {
        let names = ["a", "b", "c", "d", "e"];
        let callers: Vec<_> = depths.iter().zip(names).map(|(depth, name)| (name, *depth, 10)).collect();
        let rounds = 400 * callers.len();
        let served = served(&callers, seats, rounds);
        for (served, (name, ..)) in served.iter().zip(&callers) {
            prop_assert!(*served * QUEUING.hand * 2 >= 400, "{name} got {served} of {rounds}: {callers:?}");
        }
    }
}
