//! The queue's rules, one by one.

use std::time::Duration;

use super::*;

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn names(pods: &[QueuedPod]) -> Vec<&str> {
    pods.iter().map(QueuedPod::uid).collect()
}

/// A queue with a pod `a` that was refused by plugins once, at one second.
fn with_refused(refusal: Refusal) -> Queue {
    let mut queue = queue();
    queue.add(Arc::new(pod("a", 0)), at(0));
    queue.pop(at(1000)).unwrap();
    queue.failed("a", refusal, at(1000));
    queue
}

#[test]
fn pods_come_by_priority_and_then_by_time() {
    let mut queue = queue();
    for (name, priority, time) in [("a", 0, 3), ("b", 5, 4), ("c", 0, 1), ("d", -1, 0), ("e", 5, 4)] {
        queue.add(Arc::new(pod(name, priority)), at(time));
    }
    assert_eq!(names(&queue.pop_batch(2, at(5))), ["b", "e"]);
    assert_eq!(names(&queue.pop_batch(9, at(5))), ["c", "a", "d"]);
    assert_eq!(queue.counts(), Counts { in_flight: 5, ..Counts::default() });
}

#[test]
fn pods_of_other_schedulers_are_ignored() {
    let mut queue = queue();
    let mut foreign = pod("a", 0);
    foreign.spec.get_or_insert_default().scheduler_name = Some("foreign".to_owned());
    queue.add(Arc::new(foreign), at(0));
    let mut other = pod("b", 0);
    other.spec.get_or_insert_default().scheduler_name = Some("other".to_owned());
    queue.add(Arc::new(other), at(0));
    assert_eq!((queue.place("a"), queue.place("b")), (None, Some(Place::Active)));
    queue.pop(at(0)).unwrap();
    queue.failed("b", refused(&["B"], &[]), at(0));
    queue.event(&node(NODE_ADD, ""), at(0));
    assert_eq!(queue.place("b"), Some(Place::Unschedulable), "its profile has no such plugin");
}

/// Where a pod that was refused is after an event.
fn check_event(refusal: (&[&'static str], &[&'static str]), event: &Event, expected: Place) {
    let mut queue = with_refused(refused(refusal.0, refusal.1));
    let returned = queue.event(event, at(1500));
    assert_eq!(queue.place("a"), Some(expected), "{refusal:?} {event:?}");
    assert_eq!(returned, usize::from(expected != Place::Unschedulable));
}

#[test]
fn events_bring_back_the_pods_that_they_concern() {
    check_event((&["A"], &[]), &node(NODE_ADD, "a1"), Place::Backoff);
    check_event((&["A"], &[]), &node(NODE_ADD, "b1"), Place::Unschedulable);
    check_event((&["A"], &[]), &node(NODE_LABEL, "a1"), Place::Backoff);
    check_event((&["B"], &[]), &node(NODE_LABEL, "a1"), Place::Unschedulable);
    check_event((&["A", "B"], &[]), &node(NODE_LABEL, "a1"), Place::Backoff);
    check_event((&["B"], &[]), &node(POD_DELETE, ""), Place::Backoff);
    check_event((&["C"], &[]), &node(NODE_ADD, ""), Place::Unschedulable);
    check_event((&[], &["A"]), &node(NODE_ADD, "a"), Place::Active);
    check_event((&["B"], &["A"]), &node(NODE_ADD, "a"), Place::Active);
    check_event((&["A"], &["B"]), &node(NODE_LABEL, "a"), Place::Backoff);
    check_event((&["unknown"], &[]), &node(NODE_ADD, "a"), Place::Unschedulable);
    let everything = Event { kind: ClusterEvent::WILD_CARD, old: None, new: None };
    check_event((&["unknown"], &[]), &everything, Place::Backoff);
}

#[test]
fn a_pod_is_tried_at_once_if_it_has_backed_off_already() {
    let mut queue = with_refused(refused(&["A"], &[]));
    queue.event(&node(NODE_ADD, ""), at(3000));
    assert_eq!(queue.place("a"), Some(Place::Active));
}

#[test]
fn events_while_a_pod_is_in_flight_are_not_missed() {
    let check = |plugins, event: Event, expected| {
        let mut queue = queue();
        queue.add(Arc::new(pod("a", 0)), at(0));
        queue.event(&node(NODE_ADD, ""), at(0));
        queue.pop(at(1)).unwrap();
        queue.event(&event, at(2));
        assert_eq!(queue.failed("a", refused(plugins, &[]), at(3)), Some(expected), "{event:?}");
        assert_eq!(queue.counts().in_flight_events, 0);
    };
    check(&["A"], node(NODE_ADD, "a"), Place::Backoff);
    check(&["A"], node(NODE_ADD, "b"), Place::Unschedulable);
    check(&["A"], node(POD_DELETE, ""), Place::Unschedulable);
    check(&["B"], node(POD_DELETE, ""), Place::Backoff);
    check(&[], node(NODE_ADD, "b"), Place::ErrorBackoff);
}

#[test]
fn backoffs_double_and_end_with_a_second() {
    let mut queue = queue();
    queue.add(Arc::new(pod("a", 0)), at(300));
    let mut now = 300;
    for (expected, plugins) in [(2000, &["A"][..]), (5000, &["A"]), (7000, &[]), (10_000, &[]), (15_000, &["A"])] {
        assert!(queue.pop(at(now)).is_some());
        queue.failed("a", refused(plugins, &[]), at(now));
        queue.event(&node(NODE_ADD, ""), at(now));
        // A pod that never comes before it must shows that the pod is in the backoff queue.
        assert_eq!(queue.next_wake(), Some(at(expected)), "{plugins:?}");
        queue.advance(at(expected - 1));
        assert_ne!(queue.place("a"), Some(Place::Active));
        queue.advance(at(expected));
        assert_eq!(queue.place("a"), Some(Place::Active));
        now = expected;
    }
}

#[test]
fn refused_pods_are_tried_early_if_nothing_else_is_there() {
    let mut queue = queue();
    for (name, priority) in [("a", 1), ("b", 2), ("c", 3)] {
        queue.add(Arc::new(pod(name, priority)), at(0));
    }
    queue.pop_batch(3, at(0));
    queue.failed("a", refused(&["A"], &[]), at(10));
    queue.failed("b", refused(&["A"], &[]), at(20));
    queue.failed("c", Refusal::default(), at(0));
    queue.event(&node(NODE_ADD, ""), at(20));
    assert_eq!(queue.counts().backoff, 3);
    assert_eq!(names(&queue.pop_batch(9, at(30))), ["b", "a"], "by priority within a second; errors wait");
    assert_eq!(queue.place("c"), Some(Place::ErrorBackoff));
}

#[test]
fn gated_pods_are_not_tried_until_their_gates_go() {
    let mut queue = queue();
    queue.add(Arc::new(gated(pod("a", 0))), at(0));
    assert_eq!(queue.place("a"), Some(Place::Gated));
    queue.update(Arc::new(labeled(gated(pod("a", 0)), "b")), at(1));
    queue.event(&node(NODE_ADD, ""), at(2));
    queue.activate("a", at(2));
    queue.advance(at(1_000_000));
    assert_eq!((queue.place("a"), queue.next_wake()), (Some(Place::Gated), None));
    queue.update(Arc::new(pod("a", 0)), at(1_000_000));
    assert_eq!(queue.place("a"), Some(Place::Active));
    let popped = queue.pop(at(1_000_001)).unwrap();
    assert_eq!((popped.attempts, popped.initial_attempt), (1, Some(at(1_000_000))));
    assert!(popped.is_unrefused());
}

#[test]
fn nobody_waits_for_longer_than_five_minutes() {
    let mut queue = with_refused(refused(&["unknown"], &[]));
    assert_eq!(queue.next_wake(), Some(at(301_000)));
    queue.advance(at(300_999));
    assert_eq!(queue.place("a"), Some(Place::Unschedulable));
    queue.advance(at(301_000));
    assert_eq!(queue.place("a"), Some(Place::Active));
}

#[test]
fn a_long_backoff_goes_on_when_the_wait_is_over() {
    let settings = Settings { initial_backoff: at(500_000), ..Settings::default() };
    let mut queue = Queue::new(settings, profiles());
    queue.add(Arc::new(pod("a", 0)), at(0));
    queue.pop(at(0)).unwrap();
    queue.failed("a", refused(&["A"], &[]), at(0));
    queue.advance(at(300_000));
    assert_eq!((queue.place("a"), queue.next_wake()), (Some(Place::Backoff), Some(at(501_000))));
}

#[test]
fn a_gate_that_waits_for_no_event_is_asked_when_its_pod_changes() {
    let default = Profile { pre_enqueue: vec![Arc::new(Gates)], extensions: Vec::new() };
    let mut queue = Queue::new(Settings::default(), BTreeMap::from([("default-scheduler".to_owned(), default)]));
    queue.add(Arc::new(gated(pod("a", 0))), at(0));
    queue.update(Arc::new(labeled(gated(pod("a", 0)), "b")), at(1));
    assert_eq!(queue.place("a"), Some(Place::Gated));
    queue.update(Arc::new(pod("a", 0)), at(2));
    assert_eq!(queue.place("a"), Some(Place::Active));
}

#[test]
fn updates_reach_pods_wherever_they_are() {
    let mut queue = with_refused(refused(&["A"], &[]));
    queue.update(Arc::new(labeled(pod("a", 0), "1")), at(1100));
    assert_eq!(queue.place("a"), Some(Place::Unschedulable), "labels are nothing to plugin A");
    queue.event(&node(NODE_ADD, ""), at(1100));
    queue.update(Arc::new(labeled(pod("a", 7), "2")), at(1100));
    assert_eq!(queue.place("a"), Some(Place::Backoff));
    queue.advance(at(4000));
    queue.update(Arc::new(labeled(pod("a", 8), "3")), at(4000));
    let popped = queue.pop(at(4000)).unwrap();
    assert_eq!((popped.priority(), popped.pod.metadata.labels.clone()), (8, labeled(pod("a", 8), "3").metadata.labels));
    queue.update(Arc::new(labeled(pod("a", 9), "4")), at(4000));
    assert_eq!(queue.failed("a", refused(&["C"], &[]), at(4000)), Some(Place::Backoff), "its labels changed in flight");
    assert_eq!(queue.get("a").unwrap().priority(), 9);
    queue.pop(at(9000)).unwrap();
    queue.failed("a", refused(&["C"], &[]), at(9000));
    queue.update(Arc::new(labeled(pod("a", 9), "5")), at(20_000));
    assert_eq!(queue.place("a"), Some(Place::Active));
    queue.update(Arc::new(pod("b", 0)), at(20_000));
    assert_eq!(queue.place("b"), Some(Place::Active), "a pod that was not known");
}

#[test]
fn deleted_pods_are_nowhere() {
    let mut queue = with_refused(refused(&["A"], &[]));
    queue.delete("a");
    queue.delete("a");
    queue.add(Arc::new(pod("b", 0)), at(0));
    queue.delete("b");
    queue.add(Arc::new(pod("c", 0)), at(0));
    queue.pop(at(0)).unwrap();
    queue.delete("c");
    assert_eq!(queue.place("c"), Some(Place::InFlight), "until its attempt is over");
    assert_eq!(queue.failed("c", Refusal::default(), at(0)), None);
    queue.add(Arc::new(pod("d", 0)), at(0));
    queue.pop(at(0)).unwrap();
    queue.done("d");
    assert_eq!(queue.counts(), Counts::default());
    assert_eq!(queue.failed("d", Refusal::default(), at(0)), None);
    assert_eq!(queue.next_wake(), None);
}

#[test]
fn pods_can_be_activated() {
    let mut queue = with_refused(refused(&["A"], &[]));
    queue.activate("a", at(1100));
    assert_eq!(queue.place("a"), Some(Place::Active), "it need not back off");
    queue.pop(at(1100)).unwrap();
    queue.activate("a", at(1100));
    assert_eq!(queue.failed("a", refused(&["A"], &[]), at(1100)), Some(Place::Backoff));
    queue.activate("unknown", at(1100));
}

#[test]
fn an_event_asks_only_those_that_it_concerns() {
    /// A plugin that must never be asked.
    struct Unasked;
    impl EnqueueExtensions for Unasked {
        fn name(&self) -> &'static str {
            "Unasked"
        }
        fn events(&self) -> Vec<ClusterEvent> {
            vec![NODE_ADD]
        }
        fn hint(&self, pod: &Pod, _: &Event) -> Hint {
            panic!("asked of {:?}", pod.metadata.name)
        }
    }
    let mut profiles = profiles();
    profiles.get_mut("default-scheduler").unwrap().extensions.push(Arc::new(Unasked));
    let mut queue = Queue::new(Settings::default(), profiles);
    for (name, plugin) in [("a", "Unasked"), ("b", "B")] {
        queue.add(Arc::new(pod(name, 0)), at(0));
        queue.pop(at(0)).unwrap();
        queue.failed(name, refused(&[plugin], &[]), at(0));
    }
    assert_eq!(queue.event(&node(POD_DELETE, ""), at(0)), 1);
    assert_eq!(queue.event(&node(NODE_LABEL, ""), at(0)), 0);
}
