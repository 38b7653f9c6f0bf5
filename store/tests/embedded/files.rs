//! What a data directory may hold that is not a store in order, and that none of it is harmed.

use std::path::Path;

use store::{Embedded, OpenError, STORE_FILE, verify, verify_disk};

use super::*;

/// Opens what `prepare` leaves in a data directory, and checks that a refusal has changed nothing.
fn refused(prepare: impl Fn(&Path)) -> OpenError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    prepare(&path);
    let before = std::fs::read(&path).unwrap();
    let error = Embedded::open(dir.path(), options()).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), before, "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was left beside it");
    assert_eq!(verify(dir.path()).unwrap_err().to_string(), error.to_string());
    error
}

fn store_bytes() -> Vec<u8> {
    formatted().content()
}

#[test]
fn what_is_not_ours_or_newer_is_refused_unchanged() {
    let error = refused(|path| std::fs::write(path, b"SQLite format 3\0").unwrap());
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    // The header as a version 2 would write it: magic, format, FNV-1a of both.
    let error = refused(|path| {
        let mut bytes = store_bytes();
        bytes[16] = 2;
        let sum = bytes[..20]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        bytes[20..28].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(path, bytes).unwrap();
    });
    assert!(matches!(error, OpenError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    let error = refused(|path| std::fs::write(path, &store_bytes()[..4096]).unwrap());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let error = refused(|path| {
        let mut bytes = store_bytes();
        bytes[3] ^= 0xff;
        std::fs::write(path, bytes).unwrap();
    });
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
}

#[tokio::test]
async fn a_crash_while_it_was_made_does_not_stop_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(STORE_FILE), b"").unwrap();
    std::fs::write(dir.path().join(format!("{STORE_FILE}.unfinished")), &store_bytes()[..5000]).unwrap();
    let store = Embedded::open(dir.path(), options()).unwrap();
    store.start(Arc::new(TestSink::default())).await.unwrap();
    commit(&store, put("/a", Expect::Absent, "")).await;
    store.close().await;
    assert_eq!(verify(dir.path()).unwrap().objects, 1);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_open_store_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), options()).unwrap();
    for _ in 0..2 {
        assert!(matches!(Embedded::open(dir.path(), options()), Err(OpenError::Locked { .. })));
        assert!(matches!(verify(dir.path()), Err(OpenError::Locked { .. })));
    }
    let unavailable = store.commit(put("/a", Expect::Absent, "")).await;
    assert!(matches!(unavailable, Err(WriteError::Unavailable { .. })), "before it is started");
    store.start(Arc::new(TestSink::default())).await.unwrap();
    assert!(matches!(verify(dir.path()), Err(OpenError::Locked { .. })));
    store.close().await;
    assert!(verify(dir.path()).unwrap().clean);
}

/// Flips one bit in each 512 bytes: verifying says so or finds what was there, and never panics out.
#[tokio::test]
async fn verify_finds_flipped_bits() {
    let disk = formatted();
    let (store, _) = start(disk.clone()).await;
    for at in 0..20 {
        commit(&store, put(&format!("/k/{at}"), Expect::Absent, vec![at; 900])).await;
    }
    store.close().await;
    let sound = disk.content();
    let report = verify_disk(faulty_disk::FaultyDisk::holding(sound.clone())).unwrap();
    let mut found = 0;
    for at in (0..sound.len()).step_by(512) {
        let mut bytes = sound.clone();
        bytes[at + 100] ^= 4;
        match verify_disk(faulty_disk::FaultyDisk::holding(bytes)) {
            Ok(same) => assert_eq!(same, report),
            Err(OpenError::Damaged { .. }) => found += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(found >= 10, "{found}");
}
