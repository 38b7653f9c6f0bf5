//! Rotation over time, and after an agent that ended in the middle of it.

use std::io::Read;

use flate2::read::GzDecoder;
use jiff::Timestamp;

use super::super::writer::{Writer, pass};
use super::*;

const POLICY: Policy = Policy { max_size: 100, max_files: 4, period: Duration::from_secs(10) };

fn start(writer: &Writer) -> JoinHandle<()> {
    let running = Written { container_id: "a".to_owned(), log: writer.log.clone() };
    let clock = Clock::simulated("2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap());
    tokio::spawn(Rotation::new(writer.cri(), clock, POLICY, Arc::new(move || vec![running.clone()])).run())
}

#[tokio::test(start_paused = true)]
async fn the_oldest_go_and_the_others_are_compressed() {
    let writer = Writer::new();
    let rotation = start(&writer);
    for number in 0..6 {
        writer.line(&format!("{number}{}", "x".repeat(100)));
        pass(10_500).await;
    }
    let files = writer.files();
    assert_eq!(files.len(), 4, "{files:?}");
    assert_eq!(files[0], "0.log");
    assert!(files[1].ends_with(".gz") && files[2].ends_with(".gz") && !files[3].ends_with(".gz"), "{files:?}");
    let mut text = String::new();
    GzDecoder::new(File::open(writer.file(&files[1])).unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(text, format!("{} stdout F 3{}\n", Timestamp::UNIX_EPOCH, "x".repeat(100)));
    writer.line("the last");
    assert!(std::fs::read_to_string(writer.log.path()).unwrap().ends_with("the last\n"));
    rotation.abort();
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_fast_is_looked_at_more_often() {
    let writer = Writer::new();
    let rotation = start(&writer);
    let mut largest = 0;
    for _ in 0..3_000 {
        writer.line("0123456789");
        pass(10).await;
        largest = largest.max(std::fs::metadata(writer.log.path()).unwrap().len());
    }
    // Some 40 bytes each hundredth of a second, for a second until it is known, or for a fifth of a second.
    assert!(largest < 5_000, "{largest}");
    let sizes = writer.files().iter().map(|name| std::fs::metadata(writer.file(name)).unwrap().len()).sum::<u64>();
    assert!(sizes < 8_000, "{sizes}");
    rotation.abort();
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_follow_keeps_its_log() {
    let writer = Writer::new();
    writer.refuse(true);
    let rotation = start(&writer);
    writer.line(&"x".repeat(200));
    pass(25_000).await;
    assert_eq!(writer.files(), ["0.log"]);
    writer.line("more");
    writer.refuse(false);
    pass(25_000).await;
    let files = writer.files();
    assert_eq!((files.len(), files[0].as_str()), (2, "0.log"));
    assert!(std::fs::read_to_string(writer.file(&files[1])).unwrap().ends_with("more\n"));
    rotation.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_left_half_done_is_put_right() {
    let writer = Writer::new();
    let stamp = |second: u32| format!("0.log.20260301-11000{second}");
    for (name, text) in [
        (stamp(0) + ".tmp", "half an archive"),
        (stamp(0), "of this"),
        (stamp(1), "compressed already"),
        (stamp(1) + ".gz", "whole"),
        (stamp(2), "put aside last"),
    ] {
        std::fs::write(writer.file(&name), text).unwrap();
    }
    std::fs::remove_file(writer.log.path()).unwrap();
    let rotation = start(&writer);
    pass(5_000).await;
    assert_eq!(writer.files(), ["0.log".to_owned(), stamp(0) + ".gz", stamp(1) + ".gz", stamp(2)]);
    rotation.abort();
}

#[test]
fn the_next_look_is_when_a_log_would_be_full() {
    let second = Duration::from_secs(1);
    for (before, size, rotated, expected) in [
        (None, 50, false, 1_000),
        (Some((50, second)), 50, false, 10_000),
        (Some((50, second)), 60, false, 4_000),
        (Some((0, second)), 1, false, 10_000),
        (Some((0, second)), 90, false, 200),
        (Some((0, Duration::ZERO)), 90, false, 200),
        (Some((90, second)), 110, true, 5_000),
        (Some((0, second)), 100_000, true, 200),
        (Some((500, second)), 50, false, 1_000),
    ] {
        let wait = next_look(&POLICY, before, Found { size, rotated });
        assert_eq!(wait.as_millis(), expected, "{before:?} {size}");
    }
}
