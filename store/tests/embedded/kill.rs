//! `kill -9`, for real: this executable runs itself as a process that writes, and kills it.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use store::{Embedded, verify};

use super::*;

const DIRECTORY: &str = "GANTRY_TEST_KILLED_WRITER";

/// The writer: does nothing unless it is started by the test below. Prints a line for each acknowledged write.
#[test]
fn killed_writer() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Embedded::open(dir.as_ref(), EmbeddedOptions::default()).unwrap());
        store.start(Arc::new(TestSink::default())).await.unwrap();
        let run = store.current().await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for at in 0u32.. {
                        let path = format!("/{run}/{task}/{at}");
                        let event = behind(put(&format!("/e{path}"), Expect::Absent, "event"));
                        commit(&store, event).await;
                        let revision = commit(&store, put(&path, Expect::Absent, path.clone())).await;
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "acknowledged {revision} {path}").unwrap();
                        out.flush().unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for kill_after in [1, 40, 173, 400] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::killed_writer", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut take = |line: String| {
            let Some((_, line)) = line.split_once("acknowledged ") else { return false };
            let Some((revision, path)) = line.split_once(' ') else { return false };
            acknowledged.push((Revision(revision.parse().unwrap()), path.to_owned()));
            true
        };
        let mut count = 0;
        while count < kill_after {
            count += usize::from(take(lines.next().unwrap().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had printed before it was killed counts too. A line goes into the pipe whole.
        for line in lines.map_while(Result::ok) {
            take(line);
        }
        assert!(!verify(dir.path()).unwrap().clean);
    }
    let store = Embedded::open(dir.path(), options()).unwrap();
    let sink = Arc::new(TestSink::default());
    store.start(sink.clone()).await.unwrap();
    {
        let state = sink.0.lock();
        for (revision, path) in &acknowledged {
            let found = state.live.get(&key(path)).unwrap_or_else(|| panic!("{path} at {revision} is lost"));
            assert_eq!(*found, (*revision, Bytes::from(path.clone())));
        }
    }
    let revisions: std::collections::BTreeSet<_> = acknowledged.iter().map(|(revision, _)| revision).collect();
    assert_eq!(revisions.len(), acknowledged.len(), "no revision was given twice");
    store.close().await;
    assert!(verify(dir.path()).unwrap().clean);
}
