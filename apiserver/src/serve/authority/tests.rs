//! The authority over the years, and with files that are missing or broken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;

fn open(data_dir: &Path, names: &[&str], now: SystemTime) -> Result<Authority, AuthorityError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Authority::open(data_dir, &names, Arc::new(move || now), super::super::system_random())
}

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

#[test]
fn what_is_there_is_used_again_until_it_is_renewed() {
    let directory = tempfile::tempdir().unwrap();
    let open = |names: &[&str], days: u32| open(directory.path(), names, start() + DAY * days).unwrap();
    let first = open(&NAMES, 0);
    let check = |names: &[&str], days: u32, serving_renewed: bool, admin_renewed: bool| {
        let before = open_files(directory.path());
        let again = open(names, days);
        assert_eq!(again.certificate(), first.certificate(), "after {days} days");
        assert_eq!(again.serving().certificate != before.0, serving_renewed, "serving after {days} days");
        assert_eq!(again.admin().certificate != before.1, admin_renewed, "admin after {days} days");
        assert_eq!(
            open_files(directory.path()),
            (again.serving().certificate.clone(), again.admin().certificate.clone())
        );
    };
    check(&NAMES, 0, false, false);
    check(&["localhost", "127.0.0.1"], 200, false, false);
    check(&["localhost", "10.0.0.1"], 200, true, false);
    check(&["localhost", "10.0.0.1"], 250, false, true);
    check(&["localhost", "10.0.0.1"], 1000, true, true);
}

fn open_files(data_dir: &Path) -> (String, String) {
    let read = |name: &str| fs::read_to_string(data_dir.join("pki").join(name)).unwrap();
    (read("apiserver.crt"), read("admin.crt"))
}

#[test]
fn only_the_owner_can_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let authority = open(directory.path(), &NAMES, start()).unwrap();
    authority.write_kubeconfig(&directory.path().join("admin.kubeconfig"), "https://127.0.0.1:1").unwrap();
    let mut names: Vec<_> = Vec::new();
    for directory in [directory.path().join("pki"), directory.path().to_owned()] {
        for file in fs::read_dir(directory).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
            names.push(file.file_name().into_string().unwrap());
        }
    }
    names.sort();
    let expected = ["admin.crt", "admin.key", "admin.kubeconfig", "apiserver.crt", "apiserver.key", "ca.crt", "ca.key"];
    assert_eq!(names, expected);
}

#[test]
fn a_start_that_was_cut_short_is_made_good() {
    let check = |missing: &str| {
        let directory = tempfile::tempdir().unwrap();
        let before = open(directory.path(), &NAMES, start()).unwrap();
        fs::remove_file(directory.path().join("pki").join(missing)).unwrap();
        let after = open(directory.path(), &NAMES, start()).unwrap();
        // Certificates that were issued before are good under the authority as it is now.
        let clients = crate::authn::ClientCertificates::new(after.roots().unwrap()).unwrap();
        let admin = CertificateDer::from_pem_slice(before.admin().certificate.as_bytes()).unwrap();
        let identity = clients.judge(&[admin], start()).identity(start()).unwrap().unwrap();
        assert_eq!(identity.user, "kubernetes-admin", "without {missing}");
    };
    for missing in ["ca.crt", "apiserver.crt", "apiserver.key", "admin.crt", "admin.key"] {
        check(missing);
    }
}

#[test]
fn broken_files_are_named_and_kept() {
    let check = |file: &str, text: Option<&str>, expected: &str| {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path(), &NAMES, start()).unwrap();
        let path = directory.path().join("pki").join(file);
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = open(directory.path(), &NAMES, start()).err().unwrap().to_string();
        assert!(error.contains(file) && error.contains(expected), "{error}");
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), text);
    };
    check("ca.key", None, "is missing");
    check("ca.key", Some("x"), "is not a private key in PEM");
    check("ca.crt", Some("x"), "is not a certificate in PEM");
    check("apiserver.crt", Some(""), "is not a certificate in PEM");
    check("admin.key", Some("x"), "is not a private key in PEM");
    let other = tempfile::tempdir().unwrap();
    let other = open(other.path(), &NAMES, start()).unwrap();
    check("ca.crt", Some(other.certificate()), "does not belong to the key");
}

#[test]
fn a_node_gets_what_its_agent_needs() {
    let directory = tempfile::tempdir().unwrap();
    let authority = open(directory.path(), &NAMES, start()).unwrap();
    let path = directory.path().join("node.kubeconfig");
    let clients = crate::authn::ClientCertificates::new(authority.roots().unwrap()).unwrap();
    let identity = |pair: &PemPair| {
        let shown = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        clients.judge(&[shown], start()).identity(start())
    };
    let of_file = |name: &str| {
        let read = |end: &str| fs::read_to_string(directory.path().join(format!("pki/{name}.{end}"))).unwrap();
        PemPair { certificate: read("crt"), key: read("key") }
    };
    let check = |node: &str, address: &str| {
        authority.write_node_kubeconfig(&path, "https://127.0.0.1:6443", node).unwrap();
        let node_identity = identity(&of_file("node")).unwrap().unwrap();
        assert_eq!(node_identity.user, format!("system:node:{node}"));
        assert_eq!(node_identity.groups, [NODES, "system:authenticated"]);
        assert!(fs::read_to_string(&path).unwrap().contains(&format!("user: system:node:{node}\n")));

        let names = [node.to_owned(), address.to_owned()];
        let serving = authority.kubelet_serving(node, &names).unwrap();
        let facts = Facts::read(Path::new("kubelet.crt"), &serving.certificate).unwrap();
        assert_eq!((facts.names.as_slice(), facts.user), (names.as_slice(), Some(format!("system:node:{node}"))));
        assert!(identity(&serving).is_err(), "it is for serving only");
        let again = authority.kubelet_serving(node, &names).unwrap();
        assert_eq!(again.certificate, serving.certificate, "what is good is kept");
    };
    check("box", "10.0.0.7");
    // The machine was given another name, and then another address.
    check("crate", "10.0.0.7");
    check("crate", "fd00::7");

    let client = identity(&authority.kubelet_client().unwrap()).unwrap().unwrap();
    assert_eq!((client.user.as_str(), client.is_in("system:masters")), ("kube-apiserver-kubelet-client", false));
}

#[test]
fn an_authority_whose_time_is_over_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), &NAMES, start()).unwrap();
    for now in [start() - DAY, start() + DAY * 3651] {
        let error = open(directory.path(), &NAMES, now).err().unwrap();
        assert!(matches!(error, AuthorityError::NotValid { .. }), "{error}");
    }
}

#[test]
fn certificates_are_judged_by_issuer_purpose_and_time() {
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = open(directory.path(), &NAMES, start()).unwrap();
    let stranger = open(elsewhere.path(), &NAMES, start()).unwrap();
    let clients = crate::authn::ClientCertificates::new(authority.roots().unwrap()).unwrap();
    let issue = |authority: &Authority, user: &str| authority.issue_client(user, Some("dev"), DAY).unwrap();
    let check = |pair: &PemPair, judged_after: u32, asked_after: u32, expected: Result<Option<&str>, &str>| {
        let shown = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let found = clients.judge(&[shown], start() + DAY * judged_after).identity(start() + DAY * asked_after);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.as_ref().map(|id| id.user.as_str()), expected),
            (Err(found), Err(expected)) => assert!(found.to_string().contains(expected), "{found}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    };
    check(&issue(&authority, "alice"), 0, 0, Ok(Some("alice")));
    check(&issue(&authority, ""), 0, 0, Ok(None));
    check(&issue(&authority, "alice"), 0, 2, Err("not valid at this time"));
    check(&issue(&authority, "alice"), 2, 2, Err("expired"));
    check(&issue(&stranger, "alice"), 0, 0, Err("invalid peer certificate"));
    check(authority.serving(), 0, 0, Err("invalid peer certificate"));

    let alice = issue(&authority, "alice");
    let shown = CertificateDer::from_pem_slice(alice.certificate.as_bytes()).unwrap();
    let identity = clients.judge(&[shown], start()).identity(start()).unwrap().unwrap();
    assert_eq!(identity.groups, ["dev", "system:authenticated"]);
    assert!(identity.extra[crate::authn::CREDENTIAL_ID][0].starts_with("X509SHA256="));
    assert!(clients.judge(&[], start()).identity(start()).unwrap().is_none());
}

#[test]
fn servers_are_found_by_their_names() {
    let check = |listen: &str, host: &str, expected: &[&str]| {
        let names = serving_names(listen.parse().unwrap(), host, &[]);
        for name in expected {
            assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name == "0.0.0.0" || name.is_empty()), "{names:?}");
    };
    check("0.0.0.0:6443", "Box", &["box", "localhost", "kubernetes.default.svc.cluster.local", "::1", "10.96.0.1"]);
    check("192.168.7.7:6443", "", &["192.168.7.7", "127.0.0.1", "kubernetes", "kubernetes.default.svc"]);
    check("[fd00::7]:6443", "b\u{fc}ro", &["fd00::7"]);
}

#[test]
fn the_kubeconfig_says_where_and_who() {
    let directory = tempfile::tempdir().unwrap();
    let authority = open(directory.path(), &NAMES, start()).unwrap();
    let path = directory.path().join("admin.kubeconfig");
    authority.write_kubeconfig(&path, "https://127.0.0.1:6443").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
    };
    let decoded = |key: &str| {
        let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, value(key)).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(value("server"), "https://127.0.0.1:6443");
    assert_eq!(value("current-context"), "gantry");
    assert_eq!(decoded("certificate-authority-data"), authority.certificate());
    assert_eq!(decoded("client-certificate-data"), authority.admin().certificate);
    assert_eq!(decoded("client-key-data"), authority.admin().key);

    let url = |listen: &str| super::super::server_url(listen.parse().unwrap());
    assert_eq!(url("0.0.0.0:6443"), "https://127.0.0.1:6443");
    assert_eq!(url("[::]:6443"), "https://[::1]:6443");
    assert_eq!(url("10.0.0.7:1"), "https://10.0.0.7:1");
}
