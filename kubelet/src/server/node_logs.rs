//! `/logs/`: the node's own logs, a directory that may be read and nothing besides.
//!
//! Links are followed where they lead to something below the directory, as those in `/var/log/containers` do, and nowhere
//! else; also if somebody changes them meanwhile: what is opened is the path that was judged, in which no link is followed.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use futures::StreamExt;
use http::header::{CONTENT_LENGTH, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::answer::{self, Answer};

/// The most entries of a directory that are listed.
const ENTRIES: usize = 10_000;
/// What is not written into a link as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// What is at a path.
#[derive(Debug)]
enum Found {
    /// A file, and how long it is.
    File(File, u64),
    /// The names in a directory, those of directories with a slash.
    Directory(Vec<OsString>),
}

/// Answers a request for `path` below `root`.
pub(super) async fn serve(root: &Path, path: &str) -> Answer {
    let (root, wanted) = (root.to_owned(), path.to_owned());
    let found = tokio::task::spawn_blocking(move || find(&root, Path::new(&wanted))).await;
    match found {
        Ok(Ok(Found::File(file, length))) => {
            let bytes = ReaderStream::new(tokio::fs::File::from_std(file).take(length));
            let mut answer = answer::stream(answer::PLAIN, bytes.boxed());
            answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            answer
        }
        // Relative links are right only behind a slash.
        Ok(Ok(Found::Directory(_))) if !path.is_empty() && !path.ends_with('/') => to_directory(path),
        Ok(Ok(Found::Directory(names))) => answer::text("text/html; charset=utf-8", listing(&names)),
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::PermissionDenied => answer::refusal(StatusCode::FORBIDDEN, "403 Forbidden"),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => answer::absent(),
            _ => {
                tracing::debug!(%error, path, "a log of the node cannot be read");
                answer::absent()
            }
        },
        Err(_) => answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error"),
    }
}

fn to_directory(path: &str) -> Answer {
    let last = path.rsplit('/').next().unwrap_or_default();
    let location = format!("{}/", percent_encode(last.as_bytes(), ESCAPED));
    let mut answer = Response::new(answer::full(Vec::new()));
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Opens what is at `path` below `root`.
fn find(root: &Path, path: &Path) -> io::Result<Found> {
    let outside = || io::Error::from(io::ErrorKind::NotFound);
    if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(outside());
    }
    let root = root.canonicalize()?;
    let real = root.join(path).canonicalize()?;
    let below = real.strip_prefix(&root).map_err(|_| outside())?;
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let directory = openat(CWD, &root, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Not waiting is for pipes, which nobody may ever write to.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(openat2(&directory, below, flags, Mode::empty(), resolve)?);
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(Found::File(file, metadata.len()));
    }
    if !metadata.is_dir() {
        return Err(outside());
    }
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&file)?.take(ENTRIES) {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let mut name = name.to_owned();
        if entry.file_type().is_dir() {
            name.push("/");
        }
        names.push(name);
    }
    names.sort();
    Ok(Found::Directory(names))
}

/// A page with a link to each of `names`.
fn listing(names: &[OsString]) -> String {
    let mut page = String::from("<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n");
    for name in names {
        // A name with a colon in it would otherwise be taken for a URL.
        let link = percent_encode(name.as_bytes(), ESCAPED);
        let text = name.to_string_lossy().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(page, "<a href=\"./{link}\">{}</a>", text.replace('"', "&#34;"));
    }
    page.push_str("</pre>\n");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(root: &Path, path: &str, expected: Result<&str, io::ErrorKind>) {
        let found = find(root, Path::new(path)).map_err(|error| error.kind());
        let found = found.map(|found| match found {
            Found::File(file, length) => {
                assert_eq!(length, file.metadata().unwrap().len());
                io::read_to_string(file).unwrap()
            }
            Found::Directory(names) => names.iter().map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(" "),
        });
        assert_eq!(found.as_deref().map_err(|kind| *kind), expected, "{path}");
    }

    #[test]
    fn nothing_outside_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("log");
        std::fs::create_dir_all(root.join("pods/a")).unwrap();
        std::fs::write(root.join("pods/a/0.log"), "inside").unwrap();
        std::fs::write(directory.path().join("secret"), "outside").unwrap();
        let link = |to: &Path, from: &str| std::os::unix::fs::symlink(to, root.join(from)).unwrap();
        link(&root.join("pods/a/0.log"), "absolute.log");
        link(Path::new("pods/a"), "relative");
        link(&directory.path().join("secret"), "leak");
        link(Path::new("../secret"), "leak.relative");
        link(Path::new("nowhere"), "dangling");
        check(&root, "", Ok("absolute.log dangling leak leak.relative pods/ relative"));
        check(&root, "pods/", Ok("a/"));
        check(&root, "pods/a/0.log", Ok("inside"));
        check(&root, "absolute.log", Ok("inside"));
        check(&root, "relative/0.log", Ok("inside"));
        for path in ["leak", "leak.relative", "dangling", "../secret", "pods/../../secret", "/etc/passwd", "pods/none"]
        {
            check(&root, path, Err(io::ErrorKind::NotFound));
        }
    }

    #[test]
    fn listings_are_escaped() {
        let page = listing(&["a b".into(), "<x>\"&".into(), "d/".into()]);
        for part in ["href=\"./a%20b\">a b<", "href=\"./%3Cx%3E%22&\">&lt;x&gt;&#34;&amp;<", "href=\"./d/\">d/<"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
