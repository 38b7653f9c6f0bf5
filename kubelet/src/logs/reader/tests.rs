//! What is read of logs, beside what a plain reading of all of them gives.

use client::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::super::entry::Selected;
use super::super::rotation::{Policy, Rotation, Written};
use super::super::writer::{Writer, pass};
use super::*;

async fn all_of(writer: &Writer, options: &Options) -> Result<String, LogError> {
    let mut stream = read(&writer.cri(), "a", &writer.log, options).await?;
    let mut text = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        assert!(piece.len() <= 2 * BLOCK, "a piece of {} bytes", piece.len());
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8(text).unwrap())
}

/// A line of a log file.
#[derive(Clone, Debug)]
struct Line {
    second: i64,
    stdout: bool,
    partial: bool,
    text: String,
}

impl Line {
    fn at(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(self.second)
    }

    fn written(&self) -> String {
        let stream = if self.stdout { "stdout" } else { "stderr" };
        format!("{} {stream} {} {}\n", self.at(), if self.partial { "P" } else { "F" }, self.text)
    }
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let text = prop_oneof![
        Just(String::new()),
        "[a-z ]{1,9}",
        (0_usize..3).prop_map(|blocks| "x".repeat(blocks * 50_000 + 1))
    ];
    let line = (0_i64..3, any::<bool>(), any::<bool>(), text);
    prop::collection::vec(line, 0..40).prop_map(|lines| {
        let mut second = 0;
        let mut all = Vec::new();
        for (passed, stdout, partial, text) in lines {
            second += passed;
            all.push(Line { second, stdout, partial, text });
        }
        all
    })
}

fn options() -> impl Strategy<Value = Options> {
    let stream = prop_oneof![Just(Selected::All), Just(Selected::Stdout), Just(Selected::Stderr)];
    let since =
        prop::option::of((0_i64..50).prop_map(|second| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)));
    let limit = prop::option::of(prop_oneof![1_u64..60, 1_u64..300_000]);
    (prop::option::of(0_u64..45), since, any::<bool>(), limit, stream).prop_map(
        |(tail, since, timestamps, limit, stream)| Options { follow: false, tail, since, timestamps, limit, stream },
    )
}

/// What is asked for of some lines, the plain way.
fn plainly(lines: &[Line], options: &Options) -> String {
    let tail = options.tail.map_or(lines.len(), |tail| lines.len().min(usize::try_from(tail).unwrap()));
    let (mut all, mut begins) = (String::new(), true);
    for line in &lines[lines.len() - tail..] {
        let text = line.text.clone() + if line.partial { "" } else { "\n" };
        let selected = match options.stream {
            Selected::All => true,
            Selected::Stdout => line.stdout,
            Selected::Stderr => !line.stdout,
        };
        if selected && options.since.is_none_or(|since| line.at() >= since) {
            if options.timestamps && begins {
                all += &line.at().strftime("%Y-%m-%dT%H:%M:%S.000000000Z ").to_string();
            }
            all += &text;
        }
        begins = text.is_empty() || text.ends_with('\n');
    }
    all.truncate(options.limit.map_or(all.len(), |limit| usize::try_from(limit).unwrap().min(all.len())));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_asked_for_is_what_a_plain_reading_gives(lines in lines(), options in options(), half in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let writer = Writer::new();
        lines.iter().for_each(|line| writer.write(&line.written()));
        if half && options.tail.is_some() {
            writer.write("1970-01-01T00:01:00Z stdout F it is just being wr");
        }
        let read = runtime.block_on(all_of(&writer, &options)).unwrap();
        prop_assert!(read == plainly(&lines, &options), "{options:?}: {} bytes", read.len());
    }
}

/// A container writes without end, its logs are rotated meanwhile, and somebody follows at a pace of their own.
async fn follow_through_rotations(pause: u64) -> (Vec<String>, Vec<String>) {
    let writer = Writer::new();
    let running = Written { container_id: "a".to_owned(), log: writer.log.clone() };
    let policy = Policy { max_size: 4096, max_files: 50, period: Duration::from_secs(10) };
    let rotation = Rotation::new(
        writer.cri(),
        Clock::simulated(Timestamp::UNIX_EPOCH),
        policy,
        Arc::new(move || vec![running.clone()]),
    );
    let rotation = tokio::spawn(rotation.run());
    let options = Options { follow: true, ..Options::default() };
    let mut stream = read(&writer.cri(), "a", &writer.log, &options).await.unwrap();
    let writing = writer.clone();
    let writing = tokio::spawn(async move {
        let mut written = Vec::new();
        for number in 0..2_000 {
            let line = format!("{number} {}", "y".repeat(number % 97));
            writing.line(&line);
            written.push(line);
            if number % 7 == 0 {
                pass(1 + (number as u64 * 31) % 60).await;
            }
        }
        writing.end();
        written
    });
    let mut read = Vec::new();
    while let Some(piece) = stream.next().await {
        read.extend_from_slice(&piece.unwrap());
        if pause > 0 {
            pass(pause).await;
        }
    }
    let written = writing.await.unwrap();
    rotation.abort();
    assert!(writer.files().len() > 3, "it was rotated: {:?}", writer.files());
    writer.done();
    (written, String::from_utf8(read).unwrap().lines().map(str::to_owned).collect())
}

#[tokio::test(start_paused = true)]
async fn following_loses_and_repeats_no_line() {
    for pause in [0, 900] {
        let (written, read) = follow_through_rotations(pause).await;
        let first_wrong = written.iter().zip(&read).position(|(written, read)| written != read);
        assert_eq!((first_wrong, read.len()), (None, written.len()), "with pauses of {pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn following_ends_with_the_container_and_not_before() {
    let writer = Writer::new();
    writer.line("one");
    let options = Options { follow: true, tail: Some(0), ..Options::default() };
    let mut stream = read(&writer.cri(), "a", &writer.log, &options).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(60), stream.next()).await.is_err());
    writer.line("two");
    assert_eq!(stream.next().await.unwrap().unwrap(), "two\n");
    writer.write("1970-01-01T00:00:00Z stdout F thr");
    assert_eq!(stream.next().await.unwrap().unwrap(), "thr");
    writer.write("ee\n");
    writer.end();
    assert_eq!(stream.next().await.unwrap().unwrap(), "ee\n");
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_emptied_or_removed_is_followed_all_the_same() {
    let writer = Writer::new();
    writer.line("one");
    let options = Options { follow: true, ..Options::default() };
    let mut stream = read(&writer.cri(), "a", &writer.log, &options).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "one\n");
    std::fs::OpenOptions::new().write(true).open(writer.log.path()).unwrap().set_len(0).unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(2), stream.next()).await.is_err());
    writer.line("2");
    assert_eq!(stream.next().await.unwrap().unwrap(), "2\n");
    std::fs::remove_file(writer.log.path()).unwrap();
    writer.reopen();
    writer.line("three");
    assert_eq!(stream.next().await.unwrap().unwrap(), "three\n");
    std::fs::remove_file(writer.log.path()).unwrap();
    writer.end();
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_log_can_be_read_while_it_is_put_aside() {
    let writer = Writer::new();
    writer.line("one");
    let aside = writer.log.path().with_file_name("0.log.20260301-120000");
    std::fs::rename(writer.log.path(), &aside).unwrap();
    assert_eq!(all_of(&writer, &Options::default()).await.unwrap(), "one\n");
    let options = Options { follow: true, ..Options::default() };
    let mut stream = read(&writer.cri(), "a", &writer.log, &options).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "one\n");
    writer.reopen();
    let last = Options { tail: Some(1), ..Options::default() };
    assert_eq!(all_of(&writer, &last).await.unwrap(), "one\n");
    writer.line("two");
    assert_eq!(stream.next().await.unwrap().unwrap(), "two\n");
    assert_eq!(all_of(&writer, &Options::default()).await.unwrap(), "two\n");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_says_why() {
    let writer = Writer::new();
    writer.write("rubbish\n");
    let error = all_of(&writer, &Options::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to get parse function: unsupported log format: \"rubbish\"");
    writer.log.remove().unwrap();
    let error = all_of(&writer, &Options::default()).await.unwrap_err();
    assert!(matches!(error, LogError::Missing { .. }), "{error}");
}
