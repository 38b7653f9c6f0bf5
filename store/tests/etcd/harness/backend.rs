//! A backend under test, and the truth to hold it against.

use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{Client, EventType, GetOptions, WatchOptions};
use store::{Backend, Change, Durability, EtcdBackend, EtcdOptions, Expect, Key, Op, Revision, Sink, Write};

use super::recorder::{Contents, Recorder};

pub(crate) fn key(name: &str) -> Key {
    Key::new(&format!("/registry/core/configmaps/default/{name}")).unwrap()
}

pub(crate) fn write(key: &Key, expect: Expect, op: Op) -> Write {
    Write { key: key.clone(), expect, op, durability: Durability::Flushed }
}

pub(crate) fn put(key: &Key, expect: Expect, value: impl Into<Bytes>) -> Write {
    write(key, expect, Op::Put(value.into()))
}

pub(crate) async fn open(options: EtcdOptions) -> (Arc<EtcdBackend>, Arc<Recorder>) {
    let backend = Arc::new(EtcdBackend::new(options).unwrap());
    let recorder = Recorder::new();
    backend.start(Arc::clone(&recorder) as Arc<dyn Sink>).await.unwrap();
    (backend, recorder)
}

/// What etcd itself has under the prefix, the backend's own keys aside.
pub(crate) async fn listed(client: &mut Client) -> Contents {
    let options = GetOptions::new().with_prefix();
    let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
    let mut response = kv.get("/registry/", Some(options)).await.unwrap();
    let pairs = response.take_kvs().into_iter().filter(|pair| !pair.key().starts_with(b"/registry/.gantry/"));
    pairs
        .map(|pair| {
            let revision = Revision(pair.mod_revision().try_into().unwrap());
            (pair.key_str().unwrap().to_owned(), (revision, Bytes::copy_from_slice(pair.value())))
        })
        .collect()
}

/// What etcd itself says happened in the revisions after `after` through `through`.
pub(crate) async fn history(client: &Client, after: Revision, through: Revision) -> Vec<Change> {
    let from = i64::try_from(after.0 + 1).unwrap();
    let options = WatchOptions::new().with_prefix().with_start_revision(from);
    let mut watch = client.watch_client().max_decoding_message_size(usize::MAX);
    let mut stream = watch.watch("/registry/", Some(options)).await.unwrap();
    let mut changes: Vec<Change> = Vec::new();
    let mut reached = after;
    while reached < through {
        let response = stream.message().await.unwrap().expect("the watch goes on");
        assert!(!response.canceled(), "{}", response.cancel_reason());
        for event in response.events() {
            let pair = event.kv().unwrap();
            reached = Revision(pair.mod_revision().try_into().unwrap());
            let value = (event.event_type() == EventType::Put).then(|| Bytes::copy_from_slice(pair.value()));
            if !pair.key().starts_with(b"/registry/.gantry/") {
                changes.push(Change { key: Key::new(pair.key_str().unwrap()).unwrap(), revision: reached, value });
            }
        }
    }
    changes
}

/// That the recorder was told exactly what etcd says happened after `after`.
pub(crate) async fn assert_nothing_missed(client: &Client, recorder: &Recorder, after: Revision, through: Revision) {
    recorder.reach(through).await;
    let truth = history(client, after, through).await;
    let told: Vec<_> = recorder.changes().into_iter().filter(|change| change.revision <= through).collect();
    assert_eq!(told.len(), truth.len());
    assert!(told == truth, "the sink was told something else than what happened");
}
