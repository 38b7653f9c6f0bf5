//! Several nodes on one machine, each in a network namespace of its own, with pods that are namespaces behind a link, as the
//! plugins make them. Skipped without root. All of it is gone when the test ends, as the namespaces are.

mod space;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use client::cache::Cache;
use client::clock::Clock;
use client::events::Recorder;
use client::resource::Resource;
use client::testing::FakeServer;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{FORWARD_CHAIN, Means, Mode, Options, remove_all, run};
use space::Space;

/// A node that runs.
struct Running {
    name: &'static str,
    space: Arc<Space>,
    cache: Cache,
    server: FakeServer,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    /// What pods' links are to be like, whenever it is said.
    said: mpsc::Receiver<(Vec<String>, u32)>,
}

/// What a node is.
#[derive(Clone, Copy)]
struct Is {
    name: &'static str,
    /// Its address on its link.
    address: &'static str,
    ranges: &'static [&'static str],
}

fn object(is: &Is) -> Node {
    let addresses = json!([{"type": "InternalIP", "address": is.address}]);
    serde_json::from_value(json!({
        "metadata": {"name": is.name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"podCIDRs": is.ranges},
        "status": {"addresses": addresses},
    }))
    .unwrap()
}

impl Running {
    /// Runs a node in a space that has its link already.
    fn start(is: &Is, space: Space, mode: Mode, cluster: &[Is]) -> Running {
        let (cache, server, stop) = (Cache::new(), FakeServer::new(), CancellationToken::new());
        let nodes = cluster.iter().map(|is| Arc::new(object(is)) as client::resource::AnyObject).collect();
        cache.put_all(&Resource::of::<Node>(), nodes, 1);
        let space = Arc::new(space);
        let (tell, said) = mpsc::channel();
        let (inside, name) = (Arc::clone(&space), is.name);
        let (of_thread, api, stopping) = (cache.clone(), server.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            inside.enter();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let of_runtime = runtime.enter();
            let client = api.client();
            drop(of_runtime);
            let (recorder, recording) = Recorder::new(client.clone(), "network", name, Clock::Machine);
            let configure = Box::new(move |ranges: &[String], mtu: u32| {
                let _ = tell.send((ranges.to_vec(), mtu));
                Ok(())
            });
            let options = Options { node: name.to_owned(), mode, configure };
            let means = Means { client, cache: of_thread, recorder, clock: Clock::Machine };
            runtime.block_on(async {
                let recording = tokio::spawn(recording);
                run(options, means, stopping).await;
                recording.abort();
            });
        });
        Running { name, space, cache, server, stop, thread: Some(thread), said }
    }

    /// The size of pods' links, once the network is up.
    fn mtu(&self) -> u32 {
        self.said.recv_timeout(space::PATIENCE).unwrap().1
    }

    fn learns_of(&self, is: &Is) {
        self.cache.put(object(is));
    }

    fn forgets(&self, is: &Is) {
        self.cache.remove(&Resource::of::<Node>(), &object(is).metadata);
    }

    fn routes(&self) -> String {
        self.space.ok("ip route; ip -6 route")
    }

    /// The reasons and messages of the Events that were written.
    fn events(&self) -> String {
        let events = self.server.list("/api/v1/namespaces/default/events");
        events.iter().map(|event| format!("{}: {}\n", event["reason"], event["message"])).collect()
    }

    /// Ends it and removes what it has left.
    fn reset(mut self) {
        self.end();
        let space = Arc::clone(&self.space);
        let done = std::thread::spawn(move || {
            space.enter();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            (runtime.block_on(remove_all()).unwrap(), runtime.block_on(remove_all()).unwrap())
        });
        let (first, second) = done.join().unwrap();
        assert!(!first.is_empty());
        assert_eq!(second, Vec::<String>::new());
        let left = self.space.ok("ip route; ip -6 route; ip link; iptables -S; ip6tables -S");
        assert!(!left.contains("proto 103") && !left.contains("vxlan") && !left.contains(FORWARD_CHAIN), "{left}");
    }

    fn end(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let joined = thread.join();
            assert!(joined.is_ok() || std::thread::panicking(), "node {} failed", self.name);
        }
    }
}

const A: Is = Is { name: "a", address: "192.168.1.1", ranges: &["10.0.1.0/24", "fd00:1::/64"] };
const B: Is = Is { name: "b", address: "192.168.1.2", ranges: &["10.0.2.0/24", "fd00:2::/64"] };
/// Behind a router.
const C: Is = Is { name: "c", address: "192.168.2.3", ranges: &["10.0.3.0/24", "fd00:3::/64"] };
const SIX: [Is; 2] = [
    Is { name: "a", address: "fd01::1", ranges: &["10.0.1.0/24", "fd00:1::/64"] },
    Is { name: "b", address: "fd01::2", ranges: &["10.0.2.0/24", "fd00:2::/64"] },
];

#[test]
fn pods_reach_each_other_on_a_link_and_beyond_a_router() {
    let Some(router) = Space::new() else { return };
    router.ok("echo 1 > /proc/sys/net/ipv4/ip_forward; ip link add lan type bridge; ip link set lan up");
    router.ok("ip addr add 192.168.1.254/24 dev lan");
    let spaces = [A, B].map(|is| {
        let space = Space::new().unwrap();
        space.joins(&router, &format!("to-{}", is.name));
        router.ok(&format!("ip link set to-{0} master lan up", is.name));
        space.ok(&format!("ip addr add {}/24 dev eth0; ip route add default via 192.168.1.254", is.address));
        space
    });
    let far = Space::new().unwrap();
    far.joins(&router, "to-c");
    router.ok("ip addr add 192.168.2.254/24 dev to-c; ip link set to-c up");
    far.ok("ip addr add 192.168.2.3/24 dev eth0; ip route add default via 192.168.2.254");
    let [on_a, on_b] = spaces;
    let all = [A, B, C];
    let a = Running::start(&A, on_a, Mode::Auto, &all);
    let b = Running::start(&B, on_b, Mode::Auto, &all);
    let c = Running::start(&C, far, Mode::Auto, &all);
    assert_eq!([a.mtu(), b.mtu(), c.mtu()], [1450; 3]);
    let routes = a.routes();
    assert!(routes.contains("10.0.2.0/24 via 192.168.1.2 dev eth0 proto 103"), "{routes}");
    assert!(routes.contains("10.0.3.0/24 via 10.0.3.0 dev gantry.vxlan proto 103 onlink"), "{routes}");
    let pods = [
        Space::pod(&a.space, &["10.0.1.5", "fd00:1::5"]),
        Space::pod(&b.space, &["10.0.2.5", "fd00:2::5"]),
        Space::pod(&c.space, &["10.0.3.5", "fd00:3::5"]),
    ];
    let addresses = [["10.0.1.5", "fd00:1::5"], ["10.0.2.5", "fd00:2::5"], ["10.0.3.5", "fd00:3::5"]];
    for (from, own) in pods.iter().zip(addresses) {
        for (to, theirs) in pods.iter().zip(addresses) {
            for (own, theirs) in own.iter().zip(theirs) {
                space::talk(from, to, Some(own), theirs);
            }
        }
    }
    // The node itself, too, whose packets are from its end of the tunnel.
    space::talk(&a.space, &pods[2], Some("10.0.1.0"), "10.0.3.5");
    space::talk(&a.space, &pods[1], Some("192.168.1.1"), "10.0.2.5");
    // Whom nobody has goes nowhere.
    assert!(!a.space.run("ip route get 10.0.1.77").status.success());
    drop(pods);
    for node in [a, b, c] {
        node.reset();
    }
}

/// Two nodes on one link.
fn pair(nodes: &[Is; 2], mode: Mode) -> Option<[Running; 2]> {
    prepared(nodes, mode, "")
}

/// Two nodes on one link. Before they are started, this is done at the first.
fn prepared(nodes: &[Is; 2], mode: Mode, script: &str) -> Option<[Running; 2]> {
    let (left, right) = (Space::new()?, Space::new()?);
    left.joins(&right, "eth0");
    let length = if nodes[0].address.contains(':') { 64 } else { 24 };
    for (space, is) in [(&left, &nodes[0]), (&right, &nodes[1])] {
        space.ok(&format!("ip link set eth0 up; ip addr add {}/{length} dev eth0 nodad", is.address));
    }
    left.ok(script);
    Some([Running::start(&nodes[0], left, mode, nodes), Running::start(&nodes[1], right, mode, nodes)])
}

#[test]
fn tunnels_over_ipv6_carry_both_families() {
    let Some([a, b]) = pair(&SIX, Mode::Vxlan) else { return };
    assert_eq!([a.mtu(), b.mtu()], [1430; 2]);
    let from = Space::pod(&a.space, &["10.0.1.5", "fd00:1::5"]);
    let to = Space::pod(&b.space, &["10.0.2.5", "fd00:2::5"]);
    space::talk(&from, &to, Some("10.0.1.5"), "10.0.2.5");
    space::talk(&from, &to, Some("fd00:1::5"), "fd00:2::5");
    assert!(a.routes().contains("dev gantry.vxlan6"), "{}", a.routes());
}

#[test]
fn each_family_goes_straight_where_it_can() {
    let Some([a, b]) = pair(&SIX, Mode::Auto) else { return };
    assert_eq!([a.mtu(), b.mtu()], [1430; 2]);
    space::wait(|| a.routes().contains("fd00:2::/64 via fd01::2 dev eth0 proto 103"), "a straight route");
    space::wait(|| a.routes().contains("10.0.2.0/24 via 10.0.2.0 dev gantry.vxlan6 proto 103"), "a tunnel");
    let from = Space::pod(&a.space, &["10.0.1.5", "fd00:1::5"]);
    let to = Space::pod(&b.space, &["10.0.2.5", "fd00:2::5"]);
    space::talk(&from, &to, Some("10.0.1.5"), "10.0.2.5");
    space::talk(&to, &from, Some("fd00:2::5"), "fd00:1::5");
}

#[test]
fn routes_follow_nodes_and_are_repaired() {
    let Some([a, b]) = pair(&[A, B], Mode::Auto) else { return };
    assert_eq!(a.mtu(), 1450);
    let has = |route: &str, expected: bool| space::wait(|| a.routes().contains(route) == expected, route);
    has("10.0.2.0/24 via 192.168.1.2", true);
    a.space.ok("ip route add 10.7.0.0/16 via 192.168.1.9; ip route del 10.0.2.0/24");
    has("10.0.2.0/24 via 192.168.1.2", true);
    a.space.ok("ip link del gantry.vxlan");
    has("fd00:2::/64 via fd00:2:: dev gantry.vxlan", true);
    a.learns_of(&Is { address: "192.168.1.22", ..B });
    has("10.0.2.0/24 via 192.168.1.22", true);
    let forward = || a.space.ok("bridge fdb show dev gantry.vxlan");
    space::wait(|| forward().contains("dst 192.168.1.22") && !forward().contains("dst 192.168.1.2 "), "a node moves");
    a.forgets(&B);
    has("10.0.2.0/24", false);
    has("fd00:2::/64", false);
    assert!(a.routes().contains("10.7.0.0/16 via 192.168.1.9"), "what is not ours stays");
    a.learns_of(&B);
    has("10.0.2.0/24 via 192.168.1.2", true);
    drop(b);
    a.reset();
}

#[test]
fn what_others_have_made_is_left_alone() {
    let Some([a, b]) = pair(&[A, B], Mode::Direct) else { return };
    let four = Is { ranges: &["10.0.2.0/24"], ..B };
    [&a, &b].iter().for_each(|node| node.learns_of(&four));
    let has = |route: &str, expected: bool| space::wait(|| a.routes().contains(route) == expected, route);
    has("10.0.2.0/24 via 192.168.1.2 dev eth0 proto 103", true);
    assert_eq!(a.mtu(), 1500);
    a.space.ok("ip route add 10.0.2.128/25 via 192.168.1.9");
    has("proto 103 ", true);
    has("10.0.2.0/24", false);
    space::wait(|| a.events().contains("there is a route to 10.0.2.128/25 by 192.168.1.9"), "an Event");
    a.space.ok("ip route del 10.0.2.128/25");
    has("10.0.2.0/24 via 192.168.1.2 dev eth0 proto 103", true);
}

#[test]
fn pods_pass_where_iptables_lets_nobody_pass() {
    let drops = "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP";
    let Some([a, b]) = prepared(&[A, B], Mode::Auto, drops) else { return };
    space::wait(|| a.space.ok("iptables -S FORWARD").contains(FORWARD_CHAIN), "a chain");
    space::wait(|| a.space.ok("ip6tables -S FORWARD").contains(FORWARD_CHAIN), "a chain");
    b.mtu();
    let from = Space::pod(&a.space, &["10.0.1.5", "fd00:1::5"]);
    let to = Space::pod(&b.space, &["10.0.2.5", "fd00:2::5"]);
    space::talk(&from, &to, Some("10.0.1.5"), "10.0.2.5");
    space::talk(&to, &from, Some("fd00:2::5"), "fd00:1::5");
    drop((from, to));
    a.reset();
}

#[test]
fn the_node_says_whether_it_has_a_network() {
    let Some([a, _b]) = pair(&[A, B], Mode::Auto) else { return };
    let is_said = |status: &str| {
        let asked = a.server.asked();
        let mut patches = asked.iter().filter(|asked| asked.path == "/api/v1/nodes/a/status");
        patches.next_back().is_some_and(|patch| patch.body["status"]["conditions"][0]["status"] == status)
    };
    space::wait(|| is_said("False"), "the network is up");
    let mut older = object(&Is { ranges: A.ranges, ..C });
    older.metadata.creation_timestamp = None;
    a.cache.put(older.clone());
    space::wait(|| a.events().contains("Pods of node c cannot be reached: its range 10.0.1.0/24"), "an Event");
    assert!(is_said("False"));
    older.metadata.creation_timestamp = serde_json::from_value(json!("2020-01-01T00:00:00Z")).unwrap();
    a.cache.put(older);
    space::wait(|| is_said("True"), "the network is down");
    space::wait(|| a.events().contains("PodNetworkNotReady"), "an Event");
}
