//! `gantry up`, as an operator starts and stops it.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A process that is ended when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn up(data_dir: &Path, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.arg("up").arg("--data-dir").arg(data_dir).args(["--no-node", "--listen", listen]);
    command.env("GANTRY_LOG", "warn");
    command
}

/// Starts a cluster; returns it with the line in which it says that it is ready.
fn start(data_dir: &Path) -> (Running, String) {
    let mut command = up(data_dir, "127.0.0.1:0");
    command.args(["--hollow-nodes", "2"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let running = Running(child);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    std::thread::spawn(move || drop(output.read_to_end(&mut Vec::new())));
    (running, line)
}

/// What a command that is to be refused says.
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

/// Every file below a directory, with what is in it.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().is_some_and(|name| name != store::STORE_FILE) {
            found.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn a_cluster_starts_and_ends_and_shares_neither_port_nor_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (data, other) = (directory.path().join("data"), directory.path().join("other"));
    let (mut running, line) = start(&data);
    let (time, rest) = line.strip_prefix("gantry is ready after ").unwrap().split_once(" ms at ").unwrap();
    time.parse::<u64>().unwrap();
    let (url, kubeconfig) = rest.trim().split_once("; KUBECONFIG=").unwrap();
    assert_eq!(kubeconfig, data.join("admin.kubeconfig").to_str().unwrap());
    let address = url.strip_prefix("https://").unwrap();

    let before = files(&data);
    let said = refused(&mut up(&data, "127.0.0.1:0"));
    assert_eq!(
        said,
        format!(
            "gantry: {} is in use by another process (gantry up, with the process ID {}): stop it, or give this one a data \
             directory of its own\n",
            data.display(),
            running.0.id()
        )
    );
    assert_eq!(files(&data), before, "the files of a running cluster are not touched");
    let said = refused(&mut up(&other, address));
    assert!(said.starts_with(&format!("gantry: cannot listen at {address}: ")), "{said}");
    let said = refused(up(&other, "127.0.0.1:0").args(["--cluster-cidr", "nonsense"]));
    assert!(said.starts_with("gantry: --cluster-cidr: \"nonsense\" is not a range of addresses"), "{said}");
    let said = refused(up(&other, "127.0.0.1:0").args(["--hollow-nodes", "1000000"]));
    assert!(said.starts_with("gantry: --hollow-nodes: must be at least 1"), "{said}");
    for (pods, services, named) in [
        (
            "10.0.0.0/8",
            "10.96.0.0/12",
            "--cluster-cidr 10.0.0.0/8 and --service-cluster-ip-range 10.96.0.0/12 have addresses",
        ),
        (
            "10.128.0.0/9",
            "10.200.7.0/24",
            "--cluster-cidr 10.128.0.0/9 and --service-cluster-ip-range 10.200.7.0/24 have",
        ),
        (
            "10.128.0.0/9,fd00::/48",
            "10.96.0.0/12,fd00::/112",
            "--cluster-cidr fd00::/48 and --service-cluster-ip-range fd00::",
        ),
        ("10.128.0.0/9", "", "--service-cluster-ip-range: \"\" is not a range"),
    ] {
        let mut command = up(&other, "127.0.0.1:0");
        let said = refused(command.args(["--cluster-cidr", pods, "--service-cluster-ip-range", services]));
        assert!(said.starts_with(&format!("gantry: {named}")), "{said}");
    }
    assert!(!other.exists(), "what is refused leaves nothing behind");

    let id = Pid::from_raw(running.0.id().try_into().unwrap()).unwrap();
    kill_process(id, Signal::TERM).unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "it ends in an orderly way");
    let (_running, line) = start(&data);
    assert!(line.starts_with("gantry is ready after "), "and starts again: {line}");
}
