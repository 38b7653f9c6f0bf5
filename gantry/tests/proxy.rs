//! `gantry proxy`, as an operator runs it: what it refuses, and that it finds its way to a cluster.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn gantry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.args(arguments).env("GANTRY_LOG", "warn");
    command
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let check = |arguments: &[&str], code: i32, said: &str| {
        let Output { status, stderr, .. } = gantry(arguments).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    };
    check(&["proxy"], 2, "--kubeconfig <FILE>");
    check(&["proxy", "--kubeconfig", "/f", "--nodeport-addresses", "some"], 2, "is neither \"primary\" nor a range");
    check(&["proxy", "--kubeconfig", "/f", "--proxy-metrics-listen", "10249"], 2, "it is no address with a port");
    check(&["proxy", "--kubeconfig", "/f", "--node-name", "A_B"], 1, "gantry: --node-name A_B: ");
    check(&["proxy", "--kubeconfig", "/nowhere/f", "--node-name", "a"], 1, "gantry: ");
    check(&["up", "--nodeport-addresses", ""], 2, "is neither \"primary\" nor a range");
}

/// A process that is ended when this is dropped.
struct Running(Child);

impl Running {
    /// Starts it, and returns it with the first line that it says.
    fn start(arguments: &[&str]) -> (Running, String) {
        let mut command = gantry(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let running = Running(child);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        std::thread::spawn(move || drop(output.read_to_end(&mut Vec::new())));
        (running, line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is answered at a path, as soon as somebody listens.
fn ask(port: u16, path: &str) -> String {
    loop {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            std::thread::yield_now();
            continue;
        };
        write!(stream, "GET {path} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        return answer;
    }
}

/// A network of this thread's own, which the processes have that it starts.
#[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
fn own_network() -> Option<()> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can have a network of its own");
        return None;
    }
    // SAFETY: no file descriptors or memory are set apart, only the network that is used from now on.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.is_ok_and(|status| status.success()), "ip of iproute2 is there");
    Some(())
}

#[test]
fn a_proxy_finds_its_way_by_the_kubeconfig_that_is_made_for_it() {
    if own_network().is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data_dir = data.to_str().unwrap();
    let arguments = ["up", "--no-node", "--listen", "127.0.0.1:0", "--hollow-nodes", "1", "--data-dir", data_dir];
    let (_cluster, line) = Running::start(&arguments);
    assert!(line.starts_with("gantry is ready"), "{line}");
    let kubeconfig = kubeconfig(&data);
    let (mut proxy, line) = Running::start(&["proxy", "--kubeconfig", &kubeconfig, "--node-name", "hollow-0"]);
    assert_eq!(line, "gantry proxy is ready for node hollow-0\n");
    // It is well once it knows of its Node, and the kernel of Services.
    loop {
        let answer = ask(10_256, "/healthz");
        if answer.starts_with("HTTP/1.1 200") && answer.contains("\"IPv4\"") {
            assert!(answer.contains("\"nodeEligible\":true"), "{answer}");
            break;
        }
    }
    // The Services `kubernetes` and `kube-dns`, and the endpoints of none: there is no way out of this network.
    let figures = ask(10_249, "/metrics");
    assert!(figures.contains("kubeproxy_sync_proxy_rules_service_changes_total 2\n"), "{figures}");
    assert!(ask(10_249, "/proxyMode").ends_with("nftables"));

    let id = Pid::from_raw(proxy.0.id().try_into().unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    assert_eq!(proxy.0.wait().unwrap().code(), Some(0), "it ends in an orderly way");
    let Output { status, stdout, .. } = gantry(&["proxy", "--cleanup"]).output().unwrap();
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stdout));
}

fn kubeconfig(data: &Path) -> String {
    data.join("proxy.kubeconfig").to_str().unwrap().to_owned()
}
