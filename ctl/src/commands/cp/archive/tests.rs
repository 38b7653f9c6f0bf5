//! Archives, among them those that mean harm.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// An entry of an archive: its name as it stands there, what it is, and its content or what it links to.
type Entry<'a> = (&'a str, EntryType, &'a str);

use EntryType::{Directory, Fifo, Link, Regular, Symlink};

/// An archive in which names may be anything.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // Not by the library's own way, which refuses what means harm.
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        let data = if matches!(kind, Link | Symlink) {
            old.linkname[..content.len()].copy_from_slice(content.as_bytes());
            ""
        } else {
            content
        };
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// All files below a directory, with what is in them; links with what they lead to.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(directory).unwrap().display().to_string();
            if metadata.is_dir() {
                found.insert(format!("{name}/"), String::new());
                waiting.push(path);
            } else if metadata.is_symlink() {
                found.insert(name, format!("-> {}", std::fs::read_link(&path).unwrap().display()));
            } else {
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

struct Place {
    outer: TempDir,
}

impl Place {
    fn new() -> Place {
        let outer = tempfile::tempdir().unwrap();
        std::fs::write(outer.path().join("secret"), "untouched").unwrap();
        Place { outer }
    }

    fn target(&self) -> PathBuf {
        self.outer.path().join("target")
    }

    /// What is there afterwards, and what was warned of. Nothing beside the target may have changed.
    fn unpack(&self, prefix: &str, entries: &[Entry<'_>]) -> (Result<BTreeMap<String, String>, String>, Vec<String>) {
        let mut warnings = Vec::new();
        let bytes = archive(entries);
        let place = format!("{}/", self.outer.path().display());
        let unpacked = unpack(&mut &bytes[..], prefix, &self.target(), &mut |it| warnings.push(it.replace(&place, "")));
        let beside: Vec<_> = std::fs::read_dir(self.outer.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert!(beside.iter().all(|name| name == "secret" || name == "target"), "{beside:?}");
        assert_eq!(std::fs::read_to_string(self.outer.path().join("secret")).unwrap(), "untouched");
        (unpacked.map(|()| files(&self.target())).map_err(|error| error.to_string()), warnings)
    }
}

fn found(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

#[test]
fn files_and_directories_are_written() {
    let entries = [
        ("d", Directory, ""),
        ("d/a", Regular, "1"),
        ("d/sub/b", Regular, "2"),
        ("d/e", Directory, ""),
        ("d/c", Link, "d/a"),
    ];
    let (files, warnings) = Place::new().unpack("d", &entries);
    assert_eq!(files.unwrap(), found(&[("a", "1"), ("c", "1"), ("e/", ""), ("sub/", ""), ("sub/b", "2")]));
    assert_eq!(warnings, Vec::<String>::new());
    let (files, _) = Place::new().unpack("", &[("./", Directory, ""), ("./x/y", Regular, "3")]);
    assert_eq!(files.unwrap(), found(&[("x/", ""), ("x/y", "3")]));
    // One file becomes what was named.
    let place = Place::new();
    let bytes = archive(&[("etc/hosts", Regular, "h")]);
    unpack(&mut &bytes[..], "etc/hosts", &place.target(), &mut |_| ()).unwrap();
    assert_eq!(std::fs::read_to_string(place.target()).unwrap(), "h");
}

#[test]
fn names_that_lead_out_are_refused() {
    let fine = ("d/fine", Regular, "yes");
    let check = |name: &str, warned: &[&str]| {
        let (files, warnings) = Place::new().unpack("d", &[(name, Regular, "evil"), fine]);
        assert_eq!(
            (files, warnings),
            (Ok(found(&[("fine", "yes")])), warned.iter().map(|&it| it.to_owned()).collect())
        );
    };
    check("d/../../secret", &["warning: file \"target/../../secret\" is outside target destination, skipping"]);
    check("d/..", &["warning: file \"target/..\" is outside target destination, skipping"]);
    check(
        "d/x/../../../secret",
        &["warning: file \"target/x/../../../secret\" is outside target destination, skipping"],
    );
    let corrupted = |prefix: &str, name: &str| {
        let (files, warnings) = Place::new().unpack(prefix, &[(name, Regular, "evil")]);
        assert_eq!((files, warnings.len()), (Err("tar contents corrupted".to_owned()), 0), "{name}");
    };
    corrupted("d", "/etc/passwd");
    corrupted("d", "dd/x");
    corrupted("d", "../secret");
    corrupted("", "/etc/passwd");
    let (files, warnings) = Place::new().unpack("", &[("../secret", Regular, "evil"), ("a", Regular, "1")]);
    assert_eq!((files.unwrap(), warnings.len()), (found(&[("a", "1")]), 1));
    // Also as absolute below what was asked for.
    let (files, _) = Place::new().unpack("d", &[("d//etc/x", Regular, "1")]);
    assert_eq!(files.unwrap(), found(&[("etc/", ""), ("etc/x", "1")]));
}

#[test]
fn links_are_neither_made_nor_followed() {
    // A link out, and a file through it.
    let entries = [("d/up", Symlink, ".."), ("d/up/secret", Regular, "evil"), ("d/s", Symlink, "../secret")];
    let (files, warnings) = Place::new().unpack("d", &entries);
    assert_eq!(files.unwrap(), found(&[("up/", ""), ("up/secret", "evil")]));
    let expected = [
        "warning: skipping symlink: \"target/up\" -> \"..\"",
        "warning: skipping symlink: \"target/s\" -> \"../secret\"",
    ];
    assert_eq!(warnings, expected);
    // Links that are there already.
    let place = Place::new();
    std::fs::create_dir(place.target()).unwrap();
    std::os::unix::fs::symlink("..", place.target().join("up")).unwrap();
    std::os::unix::fs::symlink("../secret", place.target().join("s")).unwrap();
    let entries = [
        ("d/up/secret", Regular, "evil"),
        ("d/up/new", Directory, ""),
        ("d/up", Directory, ""),
        ("d/s", Regular, "evil"),
        ("d/s/x", Regular, "evil"),
        ("d/ok", Regular, "1"),
    ];
    let (files, warnings) = place.unpack("d", &entries);
    assert_eq!(files.unwrap(), found(&[("ok", "1"), ("s", "-> ../secret"), ("up", "-> ..")]));
    let skipped = ["up/secret", "up/new", "up", "s", "s/x"];
    let expected = skipped.map(|name| format!("warning: skipping \"target/{name}\": a symlink is there already"));
    assert_eq!(warnings, expected);
    // Other names of files elsewhere, and what is no file.
    let place = Place::new();
    let entries =
        [("d/h", Link, "/etc/passwd"), ("d/i", Link, "d/../../secret"), ("d/p", Fifo, ""), ("d/ok", Regular, "1")];
    let (files, warnings) = place.unpack("d", &entries);
    assert_eq!(files.unwrap(), found(&[("ok", "1")]));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn what_breaks_off_is_an_error() {
    let bytes = archive(&[("d/a", Regular, &"x".repeat(5000))]);
    let place = Place::new();
    assert!(unpack(&mut &bytes[..2000], "d", &place.target(), &mut |_| ()).is_err());
    assert!(
        unpack(
            &mut &b"no archive, but long enough to be the beginning of one".repeat(20)[..],
            "d",
            &place.target(),
            &mut |_| ()
        )
        .is_err()
    );
}

#[test]
fn what_is_packed_is_what_was_there() {
    let place = Place::new();
    let from = place.outer.path().join("from");
    std::fs::create_dir_all(from.join("sub/empty")).unwrap();
    std::fs::write(from.join("a"), "1").unwrap();
    let long = "n".repeat(180);
    std::fs::write(from.join("sub").join(&long), "2").unwrap();
    std::os::unix::fs::symlink("a", from.join("link")).unwrap();
    let mut bytes = Vec::new();
    pack(&from, "to", &mut bytes, &mut |warning| panic!("{warning}")).unwrap();
    let mut archive = Archive::new(&bytes[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let link = entry.link_name().unwrap().map(|link| format!("-> {}", link.display()));
        (entry.path().unwrap().display().to_string(), link.unwrap_or(content))
    });
    let entries: BTreeMap<String, String> = entries.collect();
    let expected = [("to/a", "1"), ("to/link", "-> a"), ("to/sub/empty", ""), (&format!("to/sub/{long}"), "2")];
    assert_eq!(entries, found(&expected));
}

#[test]
fn paths_are_cleaned_as_tar_does() {
    for (path, expected) in [("/a//b/../c/.", "/a/c"), ("a/..", "."), ("../a", "../a"), ("/..", "/"), ("", ".")] {
        assert_eq!(clean(path), expected);
    }
    for (path, expected) in [("/a/b", ("/a", "b")), ("/a", ("/", "a")), ("a", (".", "a")), ("a/b", ("a", "b"))] {
        assert_eq!(split(path), expected);
    }
    for (path, expected) in [("/a/b/", "a/b"), (".", ""), ("../../a", "a"), ("/", ""), ("./a", "a"), ("//a", "a")] {
        assert_eq!(prefix(path), expected);
    }
}
