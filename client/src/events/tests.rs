//! What is written of what is recorded, and when the API server is away.

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_772_366_400 + seconds).unwrap()
}

fn pod(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some("default".to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

fn event(object: &str, reason: &str, message: &str, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta { name: Some(format!("{object}.{:x}", now.as_nanosecond())), ..ObjectMeta::default() },
        involved_object: pod(object),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

/// Observes an Event, and returns the name, count and message of what is written.
fn observe(correlator: &mut Correlator, event: Event, now: Timestamp) -> Option<(String, i32, String, bool)> {
    let write = correlator.observe(event, now)?;
    let text = |text: Option<String>| text.unwrap_or_default();
    Some((text(write.event.metadata.name), write.event.count?, text(write.event.message), write.is_repeated))
}

#[test]
fn what_happens_again_is_counted() {
    let mut correlator = Correlator::default();
    let name = event("a", "BackOff", "again", at(0)).metadata.name.unwrap();
    for count in 1..=5 {
        let now = at(i64::from(count) - 1);
        let written = observe(&mut correlator, event("a", "BackOff", "again", now), now);
        assert_eq!(written, Some((name.clone(), count, "again".to_owned(), count > 1)));
    }
    let other = observe(&mut correlator, event("b", "BackOff", "again", at(9)), at(9)).unwrap();
    assert_eq!((other.1, other.3), (1, false));
}

#[test]
fn similar_ones_are_combined() {
    let mut correlator = Correlator::default();
    let mut tell =
        |number: i64| observe(&mut correlator, event("a", "Failed", &number.to_string(), at(number)), at(number));
    for number in 0..9 {
        assert!(!tell(number).unwrap().3, "{number}");
    }
    let (name, count, message, repeated) = tell(9).unwrap();
    assert_eq!((count, message.as_str(), repeated), (1, "(combined from similar events): 9", false));
    assert_eq!(tell(10), Some((name, 2, "(combined from similar events): 10".to_owned(), true)));
    // After ten minutes of silence it begins anew.
    assert_eq!(tell(700).unwrap().2, "700");
}

#[test]
fn a_flood_about_one_object_becomes_a_trickle() {
    let mut correlator = Correlator::default();
    let mut written = |now: i64| observe(&mut correlator, event("a", "BackOff", "again", at(now)), at(now));
    assert_eq!((0..100).filter(|now| written(*now).is_some()).count(), 25);
    let late = (100..1300).filter_map(&mut written).map(|(_, count, ..)| count).collect::<Vec<_>>();
    assert_eq!(late, [301, 601, 901, 1201], "one each five minutes, which tells of those between");
}

#[test]
fn memory_is_bounded() {
    let mut correlator = Correlator::default();
    for number in 0..10_000 {
        assert!(observe(&mut correlator, event(&number.to_string(), "r", "m", at(0)), at(0)).is_some());
    }
    assert!(!observe(&mut correlator, event("0", "r", "m", at(1)), at(1)).unwrap().3, "forgotten");
    assert!(observe(&mut correlator, event("9999", "r", "m", at(1)), at(1)).unwrap().3, "remembered");
}

/// What was written, and answers to come; when there are none left, everything succeeds.
#[derive(Clone, Default)]
struct Memory {
    log: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Result<(), WriteError>>>>,
}

impl Memory {
    fn answer(&self, what: String) -> Result<(), WriteError> {
        self.log.lock().push(what);
        self.answers.lock().pop().unwrap_or(Ok(()))
    }
}

impl EventApi for Memory {
    async fn create(&self, event: &Event) -> Result<(), WriteError> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        self.answer(format!("create {} {}", text(&event.reason), event.count.unwrap_or_default()))
    }

    async fn patch(&self, namespace: &str, _: &str, patch: &Value) -> Result<(), WriteError> {
        self.answer(format!("patch {namespace} {}", patch["count"]))
    }
}

fn recorder(memory: &Memory) -> (Recorder, JoinHandle<()>) {
    let clock = Clock::simulated(at(0));
    let (recorder, task) = Recorder::new(memory.clone(), "test", "test-0", clock);
    (recorder, tokio::spawn(task))
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_tried_again_or_dropped() {
    let away = || Err(WriteError::Unavailable("away".to_owned()));
    let check = async |answers: Vec<Result<(), WriteError>>, expected: &[&str], dropped: u64| {
        let memory = Memory::default();
        *memory.answers.lock() = answers.into_iter().rev().collect();
        let (recorder, task) = recorder(&memory);
        for _ in 0..2 {
            recorder.event(pod("a"), EventType::Warning, "BackOff", "again");
        }
        let count = Arc::clone(&recorder.dropped);
        drop(recorder);
        task.await.unwrap();
        assert_eq!(
            (memory.log.lock().as_slice(), count.load(Ordering::Relaxed)),
            (expected_log(expected).as_slice(), dropped)
        );
    };
    let expected_twice = ["create BackOff 1", "patch default 2"];
    check(vec![], &expected_twice, 0).await;
    check(
        vec![away(), away(), Ok(())],
        &["create BackOff 1", "create BackOff 1", "create BackOff 1", "patch default 2"],
        0,
    )
    .await;
    check(vec![Ok(()), Err(WriteError::Gone)], &["create BackOff 1", "patch default 2", "create BackOff 2"], 0).await;
    check(vec![Err(WriteError::Refused("no".to_owned()))], &expected_twice, 1).await;
    let never: Vec<_> = (0..12).map(|_| away()).collect();
    let twelve: Vec<&str> = std::iter::repeat_n("create BackOff 1", 12).chain(["patch default 2"]).collect();
    check(never, &twelve, 1).await;
}

fn expected_log(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn recording_never_waits() {
    let memory = Memory::default();
    let (recorder, task) = recorder(&memory);
    for number in 0..QUEUED + 7 {
        recorder.event(pod(&number.to_string()), EventType::Normal, "Created", "made");
    }
    assert_eq!(recorder.dropped(), 7);
    drop(recorder);
    task.await.unwrap();
    assert_eq!(memory.log.lock().len(), QUEUED);
}

/// Answers when as many are asked for as are written at a time.
struct Together(tokio::sync::Barrier);

impl EventApi for Together {
    async fn create(&self, _: &Event) -> Result<(), WriteError> {
        self.0.wait().await;
        Ok(())
    }

    async fn patch(&self, _: &str, _: &str, _: &Value) -> Result<(), WriteError> {
        Err(WriteError::Refused("nothing has happened twice".to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn several_are_written_at_a_time() {
    let api = Together(tokio::sync::Barrier::new(AT_ONCE));
    let (recorder, write) = Recorder::new(api, "test", "test-0", Clock::simulated(at(0)));
    for number in 0..AT_ONCE * 3 {
        recorder.event(pod(&number.to_string()), EventType::Normal, "Created", "made");
    }
    let dropped = Arc::clone(&recorder.dropped);
    drop(recorder);
    write.await;
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
}
