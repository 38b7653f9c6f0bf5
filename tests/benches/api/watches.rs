//! Watches: how many events a second reach all watchers, and how long after the write was acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;

use crate::connection::{Connection, Target};
use crate::load::{config_map, count, create, namespace, percentiles};

const WRITERS: usize = 16;
const SEQUENCE: &[u8] = br#""seq":""#;

/// When the write of each number was acknowledged.
type Acknowledged = Arc<Mutex<Vec<Option<Instant>>>>;

/// Has `watchers` watch while writers make `changes` changes as fast as they can.
pub(crate) async fn fan_out(target: &Target, watchers: usize, changes: usize) -> (f64, String) {
    let path = namespace(target, "watched").await;
    create(target, &path, (0..WRITERS).map(|number| format!("cm-{number}")).collect()).await;
    let acknowledged: Acknowledged = Arc::new(Mutex::new(vec![None; changes + 1]));
    let mut tasks = Vec::new();
    for _ in 0..watchers {
        let mut connection = Connection::open(target).await;
        let query = format!("{path}?watch=1");
        let answer = connection.begin(&Method::GET, &query, "", Bytes::new()).await;
        assert_eq!(answer.status(), StatusCode::OK, "a watch");
        tasks.push(tokio::spawn(take(connection, answer, changes)));
    }
    let begin = Instant::now();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(target.clone(), path.clone(), writer, changes, Arc::clone(&acknowledged))));
    }
    for writer in writers {
        writer.await.expect("written");
    }
    let written = begin.elapsed();
    let mut events = Vec::new();
    for task in tasks {
        events.push(task.await.expect("the watcher gets everything"));
    }
    let elapsed = events.iter().flatten().map(|(_, at)| *at).max().unwrap_or(begin).duration_since(begin);
    let acknowledged = acknowledged.lock();
    let late = |(number, at): &(usize, Instant)| acknowledged[*number].map(|then| at.saturating_duration_since(then));
    let mut delays: Vec<Duration> = events.iter().flatten().filter_map(late).collect();
    assert_eq!(delays.len(), watchers * changes, "every watcher got every change");
    let rate = count(delays.len()) / elapsed.as_secs_f64();
    let writes = count(changes) / written.as_secs_f64();
    let delays = percentiles(&mut delays);
    (rate, format!("{rate:.0} events/s of {writes:.0} writes/s, acknowledged to event {delays}"))
}

/// Writes every [`WRITERS`]th number from 1 into an object of its own.
async fn write(target: Target, path: String, writer: usize, changes: usize, acknowledged: Acknowledged) {
    let mut connection = Connection::open(&target).await;
    let path = format!("{path}/cm-{writer}");
    let body = String::from_utf8_lossy(&config_map(&format!("cm-{writer}"))).into_owned();
    for number in (1 + writer..=changes).step_by(WRITERS) {
        let body = body.replace(r#""seq":"0""#, &format!(r#""seq":"{number}""#));
        let (code, _) = connection.ask(&Method::PUT, &path, "application/json", body.into()).await;
        assert_eq!(code, StatusCode::OK, "written");
        acknowledged.lock()[number] = Some(Instant::now());
    }
}

/// Takes `changes` events, and returns their numbers and when they came.
async fn take(
    _connection: Connection,
    mut answer: hyper::Response<hyper::body::Incoming>,
    changes: usize,
) -> Vec<(usize, Instant)> {
    let (mut rest, mut events) = (Vec::new(), Vec::with_capacity(changes));
    while events.len() < changes {
        let frame = answer.body_mut().frame().await.expect("the watch goes on").expect("a frame");
        let now = Instant::now();
        rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
        for line in rest[..end].split(|byte| *byte == b'\n') {
            // The objects as they were at the beginning have the number 0.
            events.extend(sequence(line).filter(|number| *number > 0).map(|number| (number, now)));
        }
        rest.drain(..=end);
    }
    events
}

/// The number that an event carries.
fn sequence(line: &[u8]) -> Option<usize> {
    let at = line.windows(SEQUENCE.len()).position(|window| window == SEQUENCE)? + SEQUENCE.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}
