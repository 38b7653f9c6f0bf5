//! The writer against a model of what a directory shows, and readers that look while it writes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;

fn nobody() -> io::Result<()> {
    Ok(())
}

fn payload<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Payload {
    let file = |content: &str| File { content: content.as_bytes().to_vec(), mode: 0o640, owner: None };
    files.into_iter().map(|(path, content)| (path.to_owned(), file(content))).collect()
}

/// What can be seen of a volume: its files by path, links followed, and the names at its top that the layout needs.
fn seen(dir: &Path) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut files, mut hidden) = (BTreeMap::new(), Vec::new());
    let mut directories = vec![PathBuf::new()];
    while let Some(within) = directories.pop() {
        for entry in fs::read_dir(dir.join(&within)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = within.join(&name);
            if within.as_os_str().is_empty() && name.starts_with("..") {
                hidden.push(name);
            } else if dir.join(&path).is_dir() {
                directories.push(path);
            } else {
                files.insert(path.display().to_string(), fs::read_to_string(dir.join(&path)).unwrap());
            }
        }
    }
    hidden.sort();
    (files, hidden)
}

#[test]
fn the_layout_is_upstreams() {
    let dir = tempfile::tempdir().unwrap();
    let now: Timestamp = "2026-02-01T15:04:05.123456789Z".parse().unwrap();
    assert!(write(dir.path(), &payload([("a", "1"), ("d/b", "2")]), now, &nobody).unwrap());
    let (files, hidden) = seen(dir.path());
    assert_eq!(files, [("a".to_owned(), "1".to_owned()), ("d/b".to_owned(), "2".to_owned())].into());
    assert_eq!(hidden.len(), 2, "{hidden:?}");
    assert!(hidden.contains(&"..data".to_owned()) && hidden[0].starts_with("..2026_02_01_15_04_05."), "{hidden:?}");
    assert_eq!(fs::read_link(dir.path().join("..data")).unwrap(), Path::new(&hidden[0]));
    assert_eq!(fs::read_link(dir.path().join("a")).unwrap(), Path::new("..data/a"));
    assert_eq!(fs::read_link(dir.path().join("d")).unwrap(), Path::new("..data/d"));
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a"), mode("d"), mode("..data")), (0o640, 0o755, 0o755));
}

#[test]
fn nothing_is_written_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let write = |files: &Payload| write(dir.path(), files, Timestamp::UNIX_EPOCH, &nobody).unwrap();
    let first = payload([("a", "1"), ("b", "2")]);
    assert!(write(&first));
    let before = fs::read_link(dir.path().join(DATA)).unwrap();
    assert!(!write(&first));
    assert_eq!(fs::read_link(dir.path().join(DATA)).unwrap(), before);
    // A link that is missing, and what an update left that was interrupted.
    fs::remove_file(dir.path().join("a")).unwrap();
    symlink("nowhere", dir.path().join(NEXT)).unwrap();
    fs::create_dir(dir.path().join("..2020_01_01_00_00_00.1")).unwrap();
    assert!(write(&first));
    let (files, hidden) = seen(dir.path());
    assert_eq!((files.len(), hidden.len()), (2, 2), "{hidden:?}");
    assert!(write(&Payload::new()));
    assert_eq!(seen(dir.path()).0, BTreeMap::new());
    assert!(!write(&Payload::new()));
}

#[test]
fn paths_stay_in_the_volume() {
    let long = "x".repeat(256);
    let check = |path: &str, expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let outcome = write(dir.path(), &payload([(path, "x")]), Timestamp::UNIX_EPOCH, &nobody);
        let outcome = outcome.map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert_eq!(outcome, expected, "{path:?}");
        if expected != "fine" {
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{path:?} has changed something");
        }
    };
    check("a", "fine");
    check("a/b..c/d", "fine");
    check("./a//b/", "fine");
    check(".hidden", "fine");
    check("", "invalid path: must not be empty: \"\"");
    check(".", "invalid path: must name a file: .");
    check("/etc/passwd", "invalid path: must be relative path: /etc/passwd");
    check("../x", "invalid path: must not contain '..': ../x");
    check("a/../../x", "invalid path: must not contain '..': a/../../x");
    check("..data", "invalid path: must not start with '..': ..data");
    check("./..data/x", "invalid path: must not start with '..': ./..data/x");
    check(&long, "invalid path: filenames must be less than or equal to 255 characters");
    check(&"x/".repeat(2100), "invalid path: must be less than or equal to 4096 characters");
    check("a\0b", "invalid path: must not contain a NUL character: \"a\\0b\"");
}

#[test]
fn a_file_is_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = write(dir.path(), &payload([("a", "1"), ("a/b", "2")]), Timestamp::UNIX_EPOCH, &nobody);
    assert_eq!(outcome.unwrap_err().to_string(), "a is both a file and the directory of another");
}

#[test]
fn what_fails_leaves_what_was() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &payload([("a", "1")]), Timestamp::UNIX_EPOCH, &nobody).unwrap();
    let fail = || Err(io::ErrorKind::PermissionDenied.into());
    write(dir.path(), &payload([("a", "2"), ("b", "2")]), Timestamp::UNIX_EPOCH, &fail).unwrap_err();
    let (files, hidden) = seen(dir.path());
    assert_eq!(files, [("a".to_owned(), "1".to_owned())].into());
    assert_eq!(hidden.len(), 2, "{hidden:?}");
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let path = prop_oneof!["[a-c]", "[d-e]/[a-c]", "[d-e]/[x-y]/[a-b]"];
    proptest::collection::btree_map(path, "[0-3]{0,3}", 0..6).prop_map(|files| {
        let file = |content: String| File { content: content.into_bytes(), mode: 0o644, owner: None };
        files.into_iter().map(|(path, content)| (path, file(content))).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_volume_shows_what_was_written_last(payloads in proptest::collection::vec(any_payload(), 1..8)) {
        let dir = tempfile::tempdir().unwrap();
        for payload in payloads {
            let before = seen(dir.path()).0;
            let model: BTreeMap<String, String> = payload
                .iter()
                .map(|(path, file)| (path.clone(), String::from_utf8(file.content.clone()).unwrap()))
                .collect();
            let is_first = fs::symlink_metadata(dir.path().join(DATA)).is_err();
            let changed = write(dir.path(), &payload, Timestamp::UNIX_EPOCH, &nobody).unwrap();
            prop_assert_eq!(changed, is_first || before != model);
            let (files, hidden) = seen(dir.path());
            prop_assert_eq!(files, model);
            prop_assert_eq!(hidden.len(), 2);
        }
    }
}

/// Opens the data once and reads all of it: every file says the same version. Returns it, or nothing if the version has
/// been replaced meanwhile.
fn version(dir: &Path) -> Option<String> {
    let data = fs::canonicalize(dir.join(DATA)).ok()?;
    let mut versions = Vec::new();
    for name in ["a", "b", "c/d"] {
        let content = fs::read_to_string(data.join(name)).ok()?;
        versions.push(content);
    }
    assert!(versions.iter().all(|version| *version == versions[0]), "a mix of versions: {versions:?}");
    versions.pop()
}

#[test]
fn readers_see_one_version() {
    let dir = tempfile::tempdir().unwrap();
    let write_version = |number: u32| {
        let text = number.to_string().repeat(50);
        let files = payload([("a", text.as_str()), ("b", text.as_str()), ("c/d", text.as_str())]);
        write(dir.path(), &files, Timestamp::UNIX_EPOCH, &nobody).unwrap();
    };
    write_version(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    version(dir.path());
                    // The link itself is never away, and never leads nowhere when it is followed in one step.
                    assert!(fs::symlink_metadata(dir.path().join(DATA)).is_ok());
                }
            });
        }
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (1..100).for_each(write_version)));
        done.store(true, Ordering::Relaxed);
        written.unwrap();
    });
    assert_eq!(version(dir.path()), Some("99".repeat(50)));
}
