//! Random operations against a plain map of every revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::{
    At, Durability, EventKind, ListOptions, ReadError, Revision, Scope, Store, WatchError, WatchOptions, WriteError,
};

use super::{Fixture, Text, key, open, prefix};

/// One step; keys and revisions are chosen by position among those that exist, so that shrinking keeps their meaning.
#[derive(Clone, Debug)]
enum Step {
    Create { key: usize, behind: bool },
    Update { key: usize, stale: bool, behind: bool },
    Delete { key: usize, stale: bool },
    ListAt { past: usize, namespace: usize, limit: usize },
    WatchFrom { past: usize },
    Compact { past: usize },
    Reopen,
}

const KEYS: [&str; 6] = [
    "/registry/core/pods/a/x",
    "/registry/core/pods/a/y",
    "/registry/core/pods/a-b/x",
    "/registry/core/pods/b/x",
    "/registry/core/pods/b/x/y",
    "/registry/apps/deployments/a/x",
];
const PREFIXES: [&str; 4] = ["/registry/", "/registry/core/pods/", "/registry/core/pods/a/", "/registry/core/pods/b/"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS.len();
    let step = prop_oneof![
        6 => (key.clone(), any::<bool>()).prop_map(|(key, behind)| Step::Create { key, behind }),
        6 => (key.clone(), prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(key, stale, behind)| Step::Update { key, stale, behind }),
        4 => (key, prop::bool::weighted(0.2)).prop_map(|(key, stale)| Step::Delete { key, stale }),
        3 => (0..30usize, 0..PREFIXES.len(), 0..4usize)
            .prop_map(|(past, namespace, limit)| Step::ListAt { past, namespace, limit }),
        3 => (0..30usize).prop_map(|past| Step::WatchFrom { past }),
        1 => (0..30usize).prop_map(|past| Step::Compact { past }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// What each key holds: its revision and text.
type State = BTreeMap<&'static str, (Revision, String)>;

/// Every state there ever was.
struct Model {
    states: Vec<(Revision, State)>,
    changes: Vec<(Revision, EventKind, &'static str)>,
    written: u64,
    /// The oldest revision that must be readable.
    oldest: Revision,
}

impl Model {
    fn current(&self) -> &State {
        &self.states.last().expect("there is a first state").1
    }

    fn next_text(&mut self) -> String {
        self.written += 1;
        format!("value {}", self.written)
    }

    fn record(&mut self, revision: Revision, kind: EventKind, path: &'static str, text: Option<String>) {
        let mut state = self.current().clone();
        match text {
            Some(text) => state.insert(path, (revision, text)),
            None => state.remove(path),
        };
        assert!(revision > self.states.last().expect("there is a first state").0, "revisions grow");
        self.states.push((revision, state));
        self.changes.push((revision, kind, path));
    }

    fn past(&self, back: usize) -> usize {
        self.states.len() - 1 - back.min(self.states.len() - 1)
    }
}

pub(crate) fn agrees_with_the_model<F: Fixture>() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let config = Config { cases: if F::KEEPS { 24 } else { 200 }, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(super::bounded(run::<F>(steps)));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn run<F: Fixture>(steps: Vec<Step>) {
    let fixture = F::create().await;
    let mut store = open(&fixture).await;
    let start = store.stats().revision;
    let states = vec![(start, BTreeMap::new())];
    let mut model = Model { states, changes: Vec::new(), written: 0, oldest: start };
    for step in steps {
        match step {
            Step::Create { key, behind } => create(&store, &mut model, KEYS[key], behind).await,
            Step::Update { key, stale, behind } => update(&store, &mut model, KEYS[key], stale, behind).await,
            Step::Delete { key, stale } => delete(&store, &mut model, KEYS[key], stale).await,
            Step::ListAt { past, namespace, limit } => list(&store, &model, past, PREFIXES[namespace], limit).await,
            Step::WatchFrom { past } => watch(&store, &model, past).await,
            Step::Compact { past } => {
                let through = model.states[model.past(past)].0;
                store.compact(through).await.expect("compacted");
                model.oldest = model.oldest.max(through);
            }
            Step::Reopen if F::KEEPS => {
                store.close().await;
                store = open(&fixture).await;
                model.oldest = model.oldest.max(store.stats().oldest);
            }
            Step::Reopen => {}
        }
    }
    list(&store, &model, 0, PREFIXES[0], 0).await;
    store.close().await;
}

fn durability(behind: bool) -> Durability {
    if behind { Durability::Behind } else { Durability::Flushed }
}

async fn create(store: &Store<Text>, model: &mut Model, path: &'static str, behind: bool) {
    let text = model.next_text();
    let outcome = store.create(key(path), Bytes::from(text.clone()), durability(behind)).await;
    match model.current().get(path) {
        None => model.record(outcome.expect("created").revision, EventKind::Created, path, Some(text)),
        Some((current, _)) => {
            let conflict = WriteError::Conflict { key: key(path), current: Some(*current) };
            assert_eq!(outcome.expect_err("it exists"), conflict);
        }
    }
}

async fn update(store: &Store<Text>, model: &mut Model, path: &'static str, stale: bool, behind: bool) {
    let text = model.next_text();
    let current = model.current().get(path).map(|(revision, _)| *revision);
    let expected = Revision(current.unwrap_or(Revision(7)).0 - u64::from(stale));
    let outcome = store.update(key(path), expected, Bytes::from(text.clone()), durability(behind)).await;
    if current == Some(expected) {
        model.record(outcome.expect("updated").revision, EventKind::Updated, path, Some(text));
    } else {
        assert_eq!(outcome.expect_err("not as expected"), WriteError::Conflict { key: key(path), current });
    }
}

async fn delete(store: &Store<Text>, model: &mut Model, path: &'static str, stale: bool) {
    let current = model.current().get(path).map(|(revision, _)| *revision);
    let expected = Revision(current.unwrap_or(Revision(7)).0 - u64::from(stale));
    let outcome = store.delete(key(path), expected, Durability::Flushed).await;
    if current == Some(expected) {
        model.record(outcome.expect("deleted").revision, EventKind::Deleted, path, None);
    } else {
        assert_eq!(outcome.expect_err("not as expected"), WriteError::Conflict { key: key(path), current });
    }
}

/// Lists at a past revision, page by page, and compares with the state then.
async fn list(store: &Store<Text>, model: &Model, past: usize, path: &str, limit: usize) {
    let (revision, state) = &model.states[model.past(past)];
    let mut found = Vec::new();
    let mut options = ListOptions { at: At::Exactly(*revision), after: None, limit };
    loop {
        let page = match store.list(&prefix(path), options.clone()).await {
            Ok(page) => page,
            Err(ReadError::Compacted { .. }) if *revision < model.oldest => return,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(page.revision, *revision);
        assert!(limit == 0 || page.entries.len() <= limit);
        options.after = page.entries.last().map(|(key, _)| key.clone());
        found.extend(page.entries.into_iter().map(|(key, at)| (key.to_string(), at.revision, at.entry.text.clone())));
        if page.remaining == 0 {
            break;
        }
    }
    let inside = state.iter().filter(|(key, _)| key.starts_with(path));
    let expected: Vec<_> = inside.map(|(key, (at, text))| ((*key).to_owned(), *at, text.clone())).collect();
    assert_eq!(found, expected, "{path} at {revision}");
}

/// Watches from a past revision and compares with the changes since.
async fn watch(store: &Store<Text>, model: &Model, past: usize) {
    let from = model.states[model.past(past)].0;
    let mut watch = match store.watch(WatchOptions::new(Scope::Prefix(prefix("/registry/")), from)) {
        Ok(watch) => watch,
        Err(WatchError::Compacted { .. }) if from < model.oldest => return,
        Err(error) => panic!("{error}"),
    };
    let expected: Vec<_> = model.changes.iter().filter(|(revision, ..)| *revision > from).copied().collect();
    let mut found = Vec::new();
    let mut batch = Vec::new();
    while found.len() < expected.len() {
        watch.next(&mut batch).await.expect("the watch goes on");
        found.extend(batch.iter().map(|event| (event.revision, event.kind, event.key.to_string())));
    }
    let expected: Vec<_> = expected.into_iter().map(|(at, kind, key)| (at, kind, key.to_owned())).collect();
    assert_eq!(found, expected, "from {from}");
}
