//! Addresses on the links of machines that the test made: networks without anybody else.

use std::process::Command;

use client::resource::Resource;
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use super::*;

fn service(name: &str, by: Option<&str>, addresses: &[&str]) -> Service {
    let annotations = by.map(|by| json!({ANNOUNCED_BY: by}));
    let ingress: Vec<_> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let meta = json!({"name": name, "namespace": "shop", "annotations": annotations});
    serde_json::from_value(json!({"metadata": meta, "status": {"loadBalancer": {"ingress": ingress}}})).unwrap()
}

#[test]
fn a_node_announces_what_it_is_told_to() {
    let services = [
        service("ours", Some("a"), &["192.0.2.9", "fd00::9"]),
        service("theirs", Some("b"), &["192.0.2.10"]),
        service("nobodys", None, &["192.0.2.11"]),
        service("named", Some("a"), &["example.com"]),
    ];
    let services: Vec<Arc<Service>> = services.into_iter().map(Arc::new).collect();
    let expected: BTreeSet<IpAddr> = ["192.0.2.9", "fd00::9"].iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(wanted(&services, "a"), expected);
    assert!(wanted(&services, "c").is_empty());
}

/// Runs `ip` with these words.
fn ip(line: &str) -> String {
    let output = Command::new("ip").args(line.split(' ')).output().expect("ip of iproute2 is there");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `ip` says so.
async fn until(line: &str, is_so: impl Fn(&str) -> bool) {
    let began = std::time::Instant::now();
    while !is_so(&ip(line)) {
        assert!(began.elapsed() < Duration::from_secs(60), "ip {line}: {}", ip(line));
        tokio::task::yield_now().await;
    }
}

#[test]
fn addresses_are_on_the_link_that_reaches_them() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "only root can make networks");
        return;
    }
    // A thread of its own, which takes the network away with it.
    let work = || {
        // SAFETY: no file descriptors or memory are set apart, only the network that is used from now on.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
        for line in [
            "link set lo up",
            "link add here type veth peer name there",
            "link set here up",
            "link set there up",
            "address add 192.0.2.1/24 dev here",
            "address add 198.51.100.1/24 dev lo",
            "address add fd00::1/64 dev here nodad",
            "address add 192.0.2.77/32 dev here",
        ] {
            ip(line);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(announcing());
    };
    std::thread::spawn(work).join().unwrap();
}

async fn announcing() {
    let cache = Cache::new();
    let services = Resource::of::<Service>();
    let put = |service: Service| cache.put(service);
    put(service("web", Some("a"), &["192.0.2.9", "fd00::9"]));
    // Of no link, on one that reaches nobody, and somebody else's.
    put(service("wrong", Some("a"), &["203.0.113.1", "198.51.100.9", "192.0.2.77"]));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (cache, stop) = (cache.clone(), stop.clone());
        async move { run(&cache, "a", stop).await }
    });
    // Nothing is done before it is known what there is.
    cache.put_all(&services, cache.list_any(&services.name(), None), 1);
    until("address show dev here", |said| said.contains("192.0.2.9/32") && said.contains("fd00::9/128")).await;
    let all = ip("address show");
    assert!(!all.contains("203.0.113.1") && !all.contains("198.51.100.9"), "{all}");
    put(service("web", Some("b"), &["192.0.2.9", "fd00::9"]));
    until("address show dev here", |said| !said.contains("192.0.2.9/32") && !said.contains("fd00::9/128")).await;
    put(service("web", Some("a"), &["192.0.2.9"]));
    until("address show dev here", |said| said.contains("192.0.2.9/32")).await;
    stop.cancel();
    running.await.unwrap();
    assert!(ip("address show dev here").contains("192.0.2.9/32"), "it stays for the next process");
    assert_eq!(remove_all().await.unwrap(), 1);
    let left = ip("address show dev here");
    assert!(
        !left.contains("192.0.2.9/32") && left.contains("192.0.2.77/32") && left.contains("192.0.2.1/24"),
        "{left}"
    );
}
