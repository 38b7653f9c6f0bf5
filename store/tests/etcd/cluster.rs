//! Three members: failures, changes of leader, and TLS.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use store::{Backend, EtcdBackend, EtcdClientCertificate, EtcdOptions, EtcdTls, Expect, Revision, Sink, WriteError};

use crate::harness::backend::{assert_nothing_missed, key, listed, open, put};
use crate::harness::recorder::Recorder;
use crate::harness::{Cluster, Setup, TlsFiles, eventually, write_file};

/// Writes until told to stop, and returns what was acknowledged.
async fn write_on(
    backend: &EtcdBackend,
    stop: &AtomicBool,
    written: &tokio::sync::watch::Sender<usize>,
) -> Vec<Revision> {
    let mut acknowledged = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        match backend.commit(put(&key(&format!("w-{number}")), Expect::Absent, "x")).await {
            Ok(revision) => acknowledged.push(revision),
            Err(WriteError::Undetermined { .. } | WriteError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        written.send_replace(acknowledged.len());
    }
    acknowledged
}

#[tokio::test]
async fn survives_every_member_once() {
    let mut cluster = Cluster::start(Setup { members: 3, ..Setup::default() }).await;
    let (backend, recorder) = open(cluster.options()).await;
    let started = recorder.revision();
    let stop = Arc::new(AtomicBool::new(false));
    let written = tokio::sync::watch::Sender::new(0);
    let writer = tokio::spawn({
        let (backend, stop, written) = (Arc::clone(&backend), Arc::clone(&stop), written.clone());
        async move { write_on(&backend, &stop, &written).await }
    });
    let progress = async || {
        let before = *written.borrow();
        eventually("writes go on", async || *written.borrow() > before + 20).await;
    };
    progress().await;
    // Leadership moves.
    let leader = cluster.leader().await;
    let heir = cluster.member_id((leader + 1) % 3).await;
    cluster.client(leader).await.move_leader(heir).await.unwrap();
    progress().await;
    // The one that is followed hangs, with its connections open.
    cluster.members[0].freeze();
    progress().await;
    cluster.members[0].thaw();
    progress().await;
    // The leader crashes; and then every member in turn.
    let leader = cluster.leader().await;
    for index in [leader, 0, 1, 2] {
        cluster.members[index].kill();
        progress().await;
        cluster.restart(index).await;
    }
    progress().await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    let now = backend.current().await.unwrap();
    let mut client = cluster.client(0).await;
    assert_nothing_missed(&client, &recorder, started, now).await;
    assert_eq!(recorder.loads(), 1, "nothing had to be loaded anew");
    let told: std::collections::BTreeSet<_> = recorder.changes().iter().map(|change| change.revision).collect();
    assert!(acknowledged.iter().all(|revision| told.contains(revision)), "an acknowledged write is among the changes");
    assert!(recorder.contents() == listed(&mut client).await);
}

#[tokio::test]
async fn acknowledges_nothing_without_a_majority() {
    let mut cluster = Cluster::start(Setup { members: 3, ..Setup::default() }).await;
    let short = Duration::from_millis(500);
    let impatient = EtcdOptions { request_timeout: short, retry_for: 4 * short, ..cluster.options() };
    let (backend, recorder) = open(impatient).await;
    let written = backend.commit(put(&key("a"), Expect::Absent, "1")).await.unwrap();
    recorder.reach(written).await;
    cluster.members[1].kill();
    cluster.members[2].kill();
    let refused = backend.commit(put(&key("b"), Expect::Absent, "1")).await;
    assert!(
        matches!(refused, Err(WriteError::Unavailable { .. } | WriteError::Undetermined { .. })),
        "without a majority nothing is acknowledged: {refused:?}"
    );
    assert!(backend.current().await.is_err(), "nor read");
    cluster.restart_all(&[1, 2]).await;
    let mut written = Revision::ZERO;
    eventually("writes are taken again", async || {
        let outcome = backend.commit(put(&key("c"), Expect::Absent, "1")).await;
        written = outcome.as_ref().copied().unwrap_or(written);
        outcome.is_ok()
    })
    .await;
    recorder.reach(written).await;
    assert_eq!(recorder.loads(), 1);
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

/// A certificate for 127.0.0.1 with its key, as PEM.
fn issue(authority: &Authority) -> (String, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    // etcd's own gateway presents the server's certificate as a client.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &authority.issuer).unwrap().pem(), key.serialize_pem())
}

fn files(dir: &Path, authority: &Authority) -> TlsFiles {
    let (certificate, key) = issue(authority);
    TlsFiles {
        ca: write_file(dir, "ca.pem", &authority.pem),
        certificate: write_file(dir, "server.pem", &certificate),
        key: write_file(dir, "server-key.pem", &key),
    }
}

#[tokio::test]
async fn speaks_tls_with_client_certificates() {
    let (ours, theirs) = (authority(), authority());
    let dir = tempfile::tempdir().unwrap();
    let tls = Some(files(dir.path(), &ours));
    let cluster = Cluster::start(Setup { members: 1, tls, ..Setup::default() }).await;
    let with = |trusted: &Authority, client: Option<&Authority>| {
        let client = client.map(issue).map(|(certificate, key)| EtcdClientCertificate {
            certificate: certificate.into_bytes(),
            key: key.into_bytes(),
        });
        let tls = Some(EtcdTls { ca_certificates: trusted.pem.clone().into_bytes(), client });
        EtcdOptions { tls, retry_for: Duration::from_millis(300), ..cluster.options() }
    };
    eventually("etcd serves", async || {
        EtcdBackend::new(with(&ours, Some(&ours))).unwrap().start(Recorder::new()).await.is_ok()
    })
    .await;
    let (backend, recorder) = open(with(&ours, Some(&ours))).await;
    let written = backend.commit(put(&key("a"), Expect::Absent, "1")).await.unwrap();
    recorder.reach(written).await;
    for (what, refused) in [
        ("no client certificate", with(&ours, None)),
        ("a client certificate of another authority", with(&ours, Some(&theirs))),
        ("a server certificate of another authority", with(&theirs, Some(&ours))),
    ] {
        let opened = EtcdBackend::new(refused).unwrap().start(Recorder::new()).await;
        assert!(opened.is_err(), "{what}");
    }
}
