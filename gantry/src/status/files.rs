//! What a cluster's files tell: how much there is of them, and until when its certificates are valid.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine};
use k8s_openapi::jiff::Timestamp;
use kube::config::Kubeconfig;
use serde::Serialize;
use x509_parser::pem::Pem;

/// How many files are looked at, at most. Unpacked images can have very many.
const MOST: usize = 500_000;

/// How much a directory takes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Size {
    pub(super) bytes: u64,
    /// Whether that is all of it.
    pub(super) is_all: bool,
}

/// A certificate that becomes invalid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    /// The file that it is in.
    pub(super) path: PathBuf,
    /// When.
    pub(super) expires: String,
    /// In how many days, which are negative if that is past.
    pub(super) days_left: i64,
}

/// How much all files below a directory take, those of other file systems left out. No link is followed, and a file of
/// several names counts once.
pub(super) fn size(directory: &Path) -> Size {
    size_up_to(directory, MOST)
}

fn size_up_to(directory: &Path, most: usize) -> Size {
    let Ok(top) = std::fs::symlink_metadata(directory) else { return Size { bytes: 0, is_all: true } };
    let (mut bytes, mut seen, mut linked) = (0, 0, BTreeSet::new());
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        // What is removed meanwhile, or belongs to another user, is left out.
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            seen += 1;
            if seen > most {
                return Size { bytes, is_all: false };
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != top.dev() {
                continue;
            }
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.nlink() > 1 && !linked.insert(metadata.ino()) {
                continue;
            }
            bytes += metadata.blocks() * 512;
        }
    }
    Size { bytes, is_all: true }
}

/// The certificate of a cluster that becomes invalid first.
pub(super) fn soonest(directory: &Path) -> Option<Certificate> {
    let in_directory = |path: PathBuf, ending: &'static str| {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(move |path| path.extension().is_some_and(|found| found == ending))
    };
    let written =
        in_directory(directory.join("pki"), "crt").map(|path| (std::fs::read(&path).unwrap_or_default(), path));
    let in_kubeconfigs = in_directory(directory.to_owned(), "kubeconfig").map(|path| (of_users(&path), path));
    let dated = written.chain(in_kubeconfigs).filter_map(|(pem, path)| Some((earliest(&pem)?, path)));
    let (seconds, path) = dated.min()?;
    let at = Timestamp::from_second(seconds).ok()?;
    let days_left = (seconds - Timestamp::now().as_second()).div_euclid(24 * 60 * 60);
    Some(Certificate { path, expires: at.to_string(), days_left })
}

/// The certificates of a kubeconfig's users.
fn of_users(kubeconfig: &Path) -> Vec<u8> {
    let users = Kubeconfig::read_from(kubeconfig).map(|config| config.auth_infos).unwrap_or_default();
    let data = users.into_iter().filter_map(|user| user.auth_info?.client_certificate_data);
    data.filter_map(|data| BASE64_STANDARD.decode(data).ok()).flatten().collect()
}

/// When the first certificate of these becomes invalid, in seconds since 1970.
fn earliest(pem: &[u8]) -> Option<i64> {
    let certificates = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    certificates.filter_map(|pem| Some(pem.parse_x509().ok()?.validity().not_after.timestamp())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_once_and_links_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir(path.join("a")).unwrap();
        let empty = size(path).bytes;
        std::fs::write(path.join("a/one"), vec![1; 100_000]).unwrap();
        let one = size(path);
        assert!(one.bytes >= empty + 100_000 && one.is_all, "{one:?}");
        std::fs::hard_link(path.join("a/one"), path.join("two")).unwrap();
        std::os::unix::fs::symlink("/", path.join("all")).unwrap();
        assert!(size(path).bytes < one.bytes + 50_000, "{:?}", size(path));
        assert!(!size_up_to(path, 2).is_all);
        assert_eq!(size(&path.join("none")), Size { bytes: 0, is_all: true });
    }
}
