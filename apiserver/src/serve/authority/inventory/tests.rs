//! What is listed, and what can be renewed.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::serve::{Authority, system_random};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn clock(days: u32) -> Clock {
    Arc::new(move || start() + DAY * days)
}

fn open(data_dir: &Path) -> Authority {
    Authority::open(data_dir, &["localhost".to_owned()], clock(0), system_random()).unwrap()
}

#[test]
fn every_certificate_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let authority = open(directory.path());
    let pair = authority.issue_client("system:node:a", Some("system:nodes"), DAY).unwrap();
    let pki = directory.path().join("pki");
    fs::write(pki.join("kubelet-client-current.pem"), format!("{}{}", pair.certificate, pair.key)).unwrap();
    fs::write(pki.join("other.crt"), "nothing").unwrap();
    let found = inventory(directory.path()).unwrap();
    let shown: Vec<String> = found
        .iter()
        .map(|found| match found {
            Ok(entry) => {
                let Entry { name, is_authority, is_server, is_client, keeper, names, .. } = entry;
                format!("{name} {} {is_authority} {is_server} {is_client} {keeper:?} {names:?}", entry.subject)
            }
            Err(error) => error.to_string().replace(&pki.display().to_string(), ""),
        })
        .collect();
    let expected = [
        "admin O=system:masters, CN=kubernetes-admin false false true Server []",
        "apiserver CN=kube-apiserver false true false Server [\"localhost\"]",
        "ca CN=gantry true false false Nobody []",
        "kubelet-client-current O=system:nodes, CN=system:node:a false false true Agent []",
    ];
    assert_eq!(shown[..4], expected);
    assert!(shown[4].starts_with("/other.crt is not a certificate in PEM"), "{}", shown[4]);
    assert!(found.iter().flatten().all(|entry| entry.issuer == "CN=gantry"));
    assert!(found.iter().flatten().any(|entry| entry.valid_until == start() + DAY * 365));
}

#[test]
fn only_what_the_authority_issued_is_renewed() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(directory.path());
    open(elsewhere.path());
    let pki = directory.path().join("pki");
    for end in ["crt", "key"] {
        fs::copy(elsewhere.path().join(format!("pki/admin.{end}")), pki.join(format!("foreign.{end}"))).unwrap();
    }
    let of_files = || {
        let mut files: Vec<_> = fs::read_dir(&pki).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = of_files();
    let check = |names: &[&str], expected: &str| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let error = renew(directory.path(), &names, &clock(1), &system_random()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(of_files(), before, "nothing is written");
    };
    check(&["apiserver", "ca"], "ca cannot be renewed: an authority is never replaced");
    check(&["nobody"], "there is none of this name");
    check(&["../pki/admin"], "there is none of this name");
    check(&["foreign"], "did not issue it");
    check(&["kubelet-client-current"], "the node's agent");
    let error = renew(directory.path(), &[], &clock(3651), &system_random()).unwrap_err();
    assert!(matches!(error, AuthorityError::NotValid { .. }), "{error}");

    let facts = |name: &str| {
        let path = pki.join(name);
        Facts::read(&path, &fs::read_to_string(&path).unwrap()).unwrap()
    };
    let (old, written) =
        (facts("apiserver.crt"), renew(directory.path(), &["apiserver".to_owned()], &clock(9), &system_random()));
    assert_eq!(written.unwrap(), [pki.join("apiserver.crt")]);
    let new = facts("apiserver.crt");
    assert_eq!(new.valid_until, old.valid_until + DAY * 9);
    assert_eq!((new.public_key, new.subject, new.names), (old.public_key, old.subject, old.names));
    assert_eq!((new.is_server, new.is_client), (true, false));
    let mode = fs::metadata(pki.join("apiserver.crt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_missing_file_of_the_authority_is_named() {
    let check = |file: &str| {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path());
        fs::remove_file(directory.path().join("pki").join(file)).unwrap();
        let error = renew(directory.path(), &[], &clock(0), &system_random()).unwrap_err().to_string();
        assert!(error.contains(&format!("pki/{file} is missing")), "{error}");
    };
    check("ca.crt");
    check("ca.key");
}
