//! A cluster of several machines, joined by wires, with somebody outside who can reach them: each machine is a [`Host`] with a
//! containerd of its own, the first runs `gantry up`, the others have joined it by `gantry kubelet`.
//!
//! Machines are on one link, A, as is the outside. Those that are far are on another one, B, and a router is in between. Nothing
//! of that is on the real machine: links, router and outside are networks of their own ([`Place`]), which go with the site.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::host::Host;
use crate::kubectl::Reachable;
use crate::machine::Machine;
use crate::place::Place;

/// The address of the outside, and the one that it has besides where there are two families.
pub const OUTSIDE: &str = "192.168.77.200";
/// The same of IPv6.
pub const OUTSIDE_IPV6: &str = "fd77::c8";
/// The port at which the first machine serves the API.
const PORT: u16 = 6443;

/// What a site is to be.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// How many machines are on link A.
    pub near: u8,
    /// How many are behind the router, on link B.
    pub far: u8,
    /// Whether machines have IPv6 addresses, too.
    pub dual: bool,
    /// What `gantry up` is told besides.
    pub up: Vec<String>,
    /// What both `gantry up` and `gantry kubelet` are told besides.
    pub nodes: Vec<String>,
    /// The images that are loaded on each machine.
    pub images: Vec<&'static str>,
    /// Whether all machines but the first are left alone, to join by somebody's hand.
    pub alone: bool,
}

/// A cluster of several machines. Dropping it ends all of it.
pub struct Site {
    plan: Plan,
    url: String,
    kubeconfig: PathBuf,
    started_in: Duration,
    hosts: Vec<Host>,
    untouched: Vec<String>,
    outside: Place,
    _router: Option<Place>,
    wires: Place,
}

impl Reachable for Site {
    fn url(&self) -> &str {
        &self.url
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn command(&self, program: &str) -> Command {
        self.hosts[0].machine().beside(program)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Who has joined ends before who serves.
        while self.hosts.pop().is_some() {}
    }
}

impl Site {
    /// A site as planned, with every machine a node of the cluster and all images loaded.
    ///
    /// # Panics
    /// If it cannot be made, or something on it does not start.
    #[must_use]
    pub fn up(plan: Plan) -> Site {
        let wires = Place::new();
        let far = plan.far > 0;
        for bridge in if far { &["link-a", "link-b"][..] } else { &["link-a"] } {
            // Nobody else is there to make loops: ports forward at once.
            wires.run(&format!("ip link add name {bridge} type bridge forward_delay 0 mcast_snooping 0"));
            wires.run(&format!("ip link set {bridge} up"));
        }
        let outside = Place::new();
        plug(&wires, "outside", "link-a", outside.holder(), "eth0");
        let gateway = |link: u8| [format!("192.168.{link}.254"), format!("fd{link}::fe")];
        settle(outside.holder(), "eth0", &addresses(77, 200, plan.dual), Some(&gateway(77)));
        let router = far.then(|| router(&wires, plan.dual));
        let hosts = (0..plan.near + plan.far).map(|index| {
            let link = if index < plan.near { 77 } else { 78 };
            let machine = Machine::unplugged();
            plug(&wires, &port(index.into()), if link == 77 { "link-a" } else { "link-b" }, machine.first(), "eth0");
            let addresses = addresses(link, index + 1, plan.dual);
            settle(machine.first(), "eth0", &addresses, Some(&gateway(link)));
            configure(&machine);
            Host::new(&format!("node-{}", index + 1), &addresses, machine)
        });
        let hosts: Vec<Host> = hosts.collect();
        let untouched = hosts.iter().map(Host::network).collect();
        let (url, kubeconfig, started_in) = (String::new(), PathBuf::new(), Duration::ZERO);
        let mut site = Site { plan, url, kubeconfig, started_in, hosts, untouched, outside, _router: router, wires };
        site.begin();
        site
    }

    fn begin(&mut self) {
        let arguments: Vec<&str> = self.plan.up.iter().chain(&self.plan.nodes).map(String::as_str).collect();
        let served = self.hosts[0].serve(&self.listen(), &arguments);
        (self.url, self.kubeconfig, self.started_in) = (served.url, served.kubeconfig, served.started_in);
        std::thread::scope(|scope| {
            let to_start = if self.plan.alone { 1 } else { self.hosts.len() };
            for index in 0..to_start {
                let this = &*self;
                scope.spawn(move || {
                    if index > 0 {
                        this.start(index);
                    }
                    this.hosts[index].load(&this.plan.images);
                });
            }
        });
    }

    /// Runs gantry on a machine on which it does not run, with what is there of one before.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&self, index: usize) {
        let nodes = self.plan.nodes.iter().map(String::as_str);
        if index == 0 {
            let arguments: Vec<&str> = self.plan.up.iter().map(String::as_str).chain(nodes).collect();
            let _ = self.hosts[0].serve(&self.listen(), &arguments);
        } else {
            self.hosts[index].join(&self.kubeconfig, &nodes.collect::<Vec<_>>());
        }
    }

    fn listen(&self) -> String {
        format!("{}:{PORT}", self.hosts[0].addresses()[0])
    }

    /// The machines, in order: node-1 is the first.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// What there was of a machine's network ([`Host::network`]) before anything ran on it.
    #[must_use]
    pub fn untouched(&self, index: usize) -> &str {
        &self.untouched[index]
    }

    /// Where somebody is who is neither on a node nor in a pod.
    #[must_use]
    pub fn outside(&self) -> &Place {
        &self.outside
    }

    /// From the start until the API was ready.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Pulls the plug of a machine.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn cut_off(&self, index: usize) {
        self.wires.run(&format!("ip link set {} down", port(index)));
    }

    /// Plugs it in again.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn join_again(&self, index: usize) {
        self.wires.run(&format!("ip link set {} up", port(index)));
    }
}

/// Where a machine's wire ends that is not at the machine.
fn port(index: usize) -> String {
    format!("port{index}")
}

/// The addresses on a link.
fn addresses(link: u8, host: u8, dual: bool) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = vec![[192, 168, link, host].into()];
    if dual {
        found.push(format!("fd{link}::{host:x}").parse().expect("an address"));
    }
    found
}

/// A wire from a link to a network, in which it is a card of that name.
fn plug(wires: &Place, port: &str, bridge: &str, holder: u32, card: &str) {
    wires.run(&format!("ip link add name {port} type veth peer name {card} netns {holder}"));
    wires.run(&format!("ip link set {port} master {bridge} up"));
}

/// Gives a card its addresses, and ways to what is elsewhere.
fn settle(holder: u32, card: &str, addresses: &[IpAddr], gateways: Option<&[String; 2]>) {
    run(holder, &format!("ip link set {card} up"));
    for address in addresses {
        let (family, prefix) = if address.is_ipv4() { ("-4", 24) } else { ("-6", 64) };
        // Nobody else has it, and it is of use only once that need not be found out.
        let detect = if address.is_ipv4() { "" } else { " nodad" };
        run(holder, &format!("ip {family} address add {address}/{prefix} dev {card}{detect}"));
        if let Some(gateways) = gateways {
            let gateway = &gateways[usize::from(address.is_ipv6())];
            run(holder, &format!("ip {family} route add default via {gateway}"));
        }
    }
}

/// What joins the two links.
fn router(wires: &Place, dual: bool) -> Place {
    let router = Place::new();
    for (bridge, link) in [("link-a", 77), ("link-b", 78)] {
        plug(wires, &format!("router{link}"), bridge, router.holder(), bridge);
        settle(router.holder(), bridge, &addresses(link, 254, dual), None);
    }
    run(router.holder(), "sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    router
}

/// A machine as it is delivered: it forwards nothing. And it asks the outside for names.
fn configure(machine: &Machine) {
    run(machine.first(), "sysctl -q -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
    let script = format!(
        "set -e; at=$(readlink -m /etc/resolv.conf); mkdir -p $(dirname $at); [ -e $at ] || : >$at; \
         echo nameserver {OUTSIDE} >/run/resolv.conf; mount --bind /run/resolv.conf $at"
    );
    let output = machine.command("sh").args(["-c", &script]).stdin(Stdio::null()).output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a program in the network of a process, which has to succeed.
fn run(holder: u32, line: &str) {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(holder.to_string()).args(["--net", "--"]).args(line.split(' ')).stdin(Stdio::null());
    let output = command.output().expect("nsenter is there");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
