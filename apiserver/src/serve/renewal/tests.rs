//! What is renewed, when, and who notices: with a clock in hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use rustls::ClientConfig;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::authn::ClientCertificates;
use crate::serve::{Clock, ServingCertificate, system_random};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that stands wherever it is put.
#[derive(Clone, Debug)]
struct Hand(Arc<Mutex<SystemTime>>);

impl Hand {
    fn new() -> Hand {
        Hand(Arc::new(Mutex::new(SystemTime::now())))
    }

    fn clock(&self) -> Clock {
        let at = Arc::clone(&self.0);
        Arc::new(move || *at.lock())
    }

    fn pass(&self, days: u32) {
        *self.0.lock() += DAY * days;
    }
}

/// Clients judge certificates by the same time.
impl TimeProvider for Hand {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.lock().duration_since(SystemTime::UNIX_EPOCH).ok()?))
    }
}

fn open(data_dir: &Path, clock: &Hand) -> Arc<Authority> {
    let names = ["localhost".to_owned()];
    Arc::new(Authority::open(data_dir, &names, clock.clock(), system_random()).unwrap())
}

fn read(data_dir: &Path, name: &str) -> String {
    fs::read_to_string(data_dir.join(name)).unwrap()
}

/// What a server shows to a new connection, in DER.
async fn shown(acceptor: &TlsAcceptor, authority: &Authority, clock: &Hand) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(authority.roots().unwrap()).with_no_client_auth();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(connector.connect(name, socket), acceptor.accept(accepted));
    server.unwrap();
    client.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &PemPair) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap().to_vec()
}

#[tokio::test]
async fn new_connections_are_shown_what_was_renewed() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Hand::new());
    let authority = open(directory.path(), &clock);
    let clients = ClientCertificates::new(authority.roots().unwrap()).unwrap();
    let serving = ServingCertificate::new(authority.serving()).unwrap();
    let acceptor = TlsAcceptor::from(serving.server_config(&clients).unwrap());
    let kubeconfig = directory.path().join("admin.kubeconfig");
    authority.write_kubeconfig(&kubeconfig, "https://127.0.0.1:1").unwrap();
    let renewal = Renewal::default();
    let by = Arc::clone(&authority);
    renewal.keep_pair(
        "apiserver",
        authority.serving(),
        move || by.current_serving(),
        move |pair| serving.replace(pair),
    );
    let (by, path) = (Arc::clone(&authority), kubeconfig.clone());
    renewal.keep("admin", move || Ok(by.write_kubeconfig(&path, "https://127.0.0.1:1")?));

    let first = der(authority.serving());
    let before = read(directory.path(), "admin.kubeconfig");
    clock.pass(200);
    renewal.look();
    assert_eq!(shown(&acceptor, &authority, &clock).await, first, "more than a third is left");
    assert_eq!(read(directory.path(), "admin.kubeconfig"), before);

    clock.pass(50);
    renewal.look();
    let second = shown(&acceptor, &authority, &clock).await;
    assert_ne!(second, first, "less than a third is left");
    assert_eq!(second, der(&authority.current_serving().unwrap()));
    assert_ne!(read(directory.path(), "admin.kubeconfig"), before);
    assert_eq!(read(directory.path(), "pki/ca.crt"), authority.certificate(), "the authority is what it was");
    let modes = ["pki/apiserver.crt", "pki/apiserver.key", "pki/admin.crt", "admin.kubeconfig"];
    for file in modes {
        let mode = fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    // What is done to the files from elsewhere is taken over.
    let written = super::super::renew(directory.path(), &[], &clock.clock(), &system_random()).unwrap();
    let mut names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["admin.crt", "admin.kubeconfig", "apiserver.crt"]);
    let of_admin = read(directory.path(), "admin.kubeconfig");
    renewal.look();
    let third = shown(&acceptor, &authority, &clock).await;
    assert_ne!(third, second);
    assert_eq!(read(directory.path(), "admin.kubeconfig"), of_admin, "it was written already as it should be");
}

#[tokio::test]
async fn what_is_broken_stays_as_it_was_and_keeps_nothing_else() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Hand::new());
    let authority = open(directory.path(), &clock);
    let clients = ClientCertificates::new(authority.roots().unwrap()).unwrap();
    let serving = ServingCertificate::new(authority.serving()).unwrap();
    let acceptor = TlsAcceptor::from(serving.server_config(&clients).unwrap());
    let renewal = Renewal::default();
    let by = Arc::clone(&authority);
    renewal.keep_pair(
        "apiserver",
        authority.serving(),
        move || by.current_serving(),
        move |pair| serving.replace(pair),
    );
    let looks = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&looks);
    renewal.keep("other", move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let first = shown(&acceptor, &authority, &clock).await;
    let path = directory.path().join("pki/apiserver.crt");
    let good = read(directory.path(), "pki/apiserver.crt");
    fs::write(&path, "nothing").unwrap();
    renewal.look();
    assert_eq!(shown(&acceptor, &authority, &clock).await, first);
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    let said = renewal.kept.lock()[0].failed.clone().unwrap();
    assert!(said.contains("pki/apiserver.crt is not a certificate in PEM"), "{said}");
    assert_eq!(read(directory.path(), "pki/apiserver.crt"), "nothing", "what somebody wrote is theirs");
    fs::write(&path, good).unwrap();
    renewal.look();
    assert!(renewal.kept.lock()[0].failed.is_none());
}

#[test]
fn an_authority_says_when_its_end_is_near() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), Hand::new());
    let authority = open(directory.path(), &clock);
    assert_eq!(authority.is_ending_in(), None);
    clock.pass(3650 - 100);
    let left = authority.is_ending_in().unwrap();
    assert!(left > DAY * 99 && left <= DAY * 100, "{left:?}");
    clock.pass(101);
    assert_eq!(authority.is_ending_in(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn looks_go_on_until_the_server_stops() {
    let renewal = Renewal::default();
    let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
    renewal.keep("a", move || Ok(looked.send(())?));
    let stopping = CancellationToken::new();
    let running = tokio::spawn(renewal.run(Arc::new(|| 7), stopping.clone()));
    for _ in 0..3 {
        looks.recv().await.unwrap();
    }
    stopping.cancel();
    running.await.unwrap();
}

#[test]
fn pauses_differ_and_are_bounded() {
    let check = |random: u128, expected: u64| assert_eq!(pause(random), Duration::from_millis(expected));
    check(0, 60_000);
    check(29_999, 89_999);
    check(30_000, 60_000);
    check(u128::MAX, 60_000 + u64::try_from(u128::MAX % 30_000).unwrap());
}
