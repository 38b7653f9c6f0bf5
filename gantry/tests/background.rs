//! `gantry up -d`, `gantry status` and `gantry down`, as an operator uses them, without a node.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A place for a data directory. Whatever runs there ends when this is dropped.
struct Place(TempDir);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.process() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// What a command said, and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Place {
        std::fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Place(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// The process that has the directory, if it is one of Gantry's.
    fn process(&self) -> Option<Pid> {
        let state: Value = serde_json::from_slice(&std::fs::read(self.data().join("gantry.json")).ok()?).ok()?;
        let pid = state["pid"].as_i64()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let data = self.data();
        let is_ours = line.split(|byte| *byte == 0).any(|word| word == data.as_os_str().as_encoded_bytes());
        is_ours.then(|| Pid::from_raw(pid.try_into().unwrap()).unwrap())
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command.args(words.next()).arg("--data-dir").arg(self.data()).args(words);
        command.env("GANTRY_LOG", "warn").stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Said {
        said(&mut self.command(line))
    }

    /// Runs it, and has it exit so.
    fn check(&self, line: &str, code: i32) -> Said {
        let said = self.run(line);
        assert_eq!(said.code, code, "{line}: {}{}", said.out, said.err);
        said
    }

    fn status(&self, code: i32) -> Value {
        serde_json::from_str(&self.check("status -o json", code).out).unwrap()
    }

    fn kill(&self) {
        kill_process(self.process().unwrap(), Signal::KILL).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.data()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

const UP: &str = "up -d --no-node --listen 127.0.0.1:0";

/// A command that is ended when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_cluster_in_the_background_is_ready_and_can_be_asked_and_ended() {
    let place = Place::new();
    let data = place.data().display().to_string();
    let before = place.check("status", 3);
    assert_eq!(before.out, format!("no cluster runs in {data}\n"));
    assert_eq!(place.status(3)["status"], "stopped");
    assert!(!place.data().exists(), "asking changes nothing");

    let first = place.check(&format!("{UP} --hollow-nodes 2"), 0);
    let lines: Vec<&str> = first.out.lines().collect();
    let (time, rest) = lines[0].strip_prefix("gantry is ready after ").unwrap().split_once(" ms at ").unwrap();
    time.parse::<u64>().unwrap();
    let (url, kubeconfig) = rest.split_once("; KUBECONFIG=").unwrap();
    assert_eq!(kubeconfig, format!("{data}/admin.kubeconfig"));
    for next in ["gantry get nodes", "gantry status", "gantry down"] {
        assert!(lines[1].contains(next), "{}", lines[1]);
    }
    assert_eq!((lines.len(), first.err.as_str()), (2, ""), "nothing else is said where there is no terminal");
    let log = std::fs::metadata(place.data().join("gantry.log")).unwrap();
    let state = std::fs::metadata(place.data().join("gantry.json")).unwrap();
    assert_eq!((log.mode() & 0o777, state.mode() & 0o777), (0o600, 0o600));

    let status = place.status(0);
    let pid = place.process().unwrap();
    assert_eq!(status["status"], "ready");
    assert_eq!(status["pid"], pid.as_raw_nonzero().get());
    assert_eq!((status["url"].as_str(), status["kubeconfig"].as_str()), (Some(url), Some(kubeconfig)));
    assert_eq!(status["nodes"]["total"], 2);
    assert_eq!(status["pods"]["total"], 0);
    assert!(status["memoryBytes"].as_u64().unwrap() > 1 << 20 && status["dataBytes"]["bytes"].as_u64().unwrap() > 0);
    assert!(status["certificate"]["daysLeft"].as_i64().unwrap() > 30 && status["uptimeSeconds"].is_u64());
    let page = place.check("status", 0).out;
    for expected in ["the cluster runs and is ready\n", url, kubeconfig, "2 ready\n", "0 of 0 running", "gantry.log\n"]
    {
        assert!(page.contains(expected), "{expected} in {page}");
    }

    let again = place.check(UP, 0);
    assert!(again.out.starts_with(&format!("gantry is running already (process {}) at {url}", status["pid"])));
    assert_eq!(place.process(), Some(pid), "it is left alone");
    let refused = place.check("up --no-node --listen 127.0.0.1:0", 1);
    let expected = format!("is in use by another process (gantry up, with the process ID {})", status["pid"]);
    assert!(refused.err.contains(&expected), "{}", refused.err);

    let down = place.check("down", 0);
    assert_eq!(down.out, format!("the cluster in {data} has ended\n"));
    assert!(!Path::new(&format!("/proc/{}", status["pid"])).join("exe").exists());
    assert!(!place.data().join("gantry.json").exists(), "the end was an orderly one");
    place.check("status", 3);
    assert_eq!(place.check("down", 0).out, format!("no cluster runs in {data}\n"));
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for _ in 0..2 {
        let failed = place.check(&format!("up -d --no-node --listen {address}"), 1);
        assert!(failed.err.starts_with(&format!("gantry: cannot listen at {address}: ")), "{}", failed.err);
        assert_eq!(failed.out, "");
        assert!(!place.data().exists());
    }
    let failed = place.check(&format!("{UP} --cluster-cidr nonsense"), 1);
    assert!(failed.err.starts_with("gantry: --cluster-cidr: \"nonsense\" is not a range"), "{}", failed.err);
    let failed = place.check(&format!("{UP} --no-such-option"), 2);
    assert!(failed.err.contains("--no-such-option"), "{}", failed.err);
    assert!(!place.data().exists());
    place.check("status", 3);
    // Where there is something already, it stays.
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("file"), "").unwrap();
    place.check(&format!("up -d --no-node --listen {address}"), 1);
    assert!(place.data().join("file").exists() && !place.data().join("gantry.json").exists());
}

#[test]
fn what_a_cluster_knows_outlives_it_however_it_ended() {
    let place = Place::new();
    place.check(UP, 0);
    let kubeconfig = place.data().join("admin.kubeconfig");
    let objects = |verb: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        said(command.args(verb).arg("--kubeconfig").arg(&kubeconfig).stdin(Stdio::null()))
    };
    let made = objects(&["create", "deployment", "web", "--image=none"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let is_there = || {
        let found = objects(&["get", "deployment", "web", "-o", "name"]);
        assert_eq!(found.out, "deployment.apps/web\n", "{}", found.err);
    };
    for _ in 0..2 {
        place.kill();
        let status = place.status(3);
        assert!(status["problems"][0].as_str().unwrap().contains("without an orderly end"), "{status}");
        place.check(UP, 0);
        is_there();
    }
    place.check("down", 0);
    place.check(UP, 0);
    is_there();
    place.kill();
    assert!(place.check("down", 0).out.starts_with("no cluster runs in "));
    place.check(UP, 0);
    is_there();
}

#[test]
fn a_cluster_that_does_not_answer_is_not_ready() {
    let place = Place::new();
    place.check(UP, 0);
    let pid = place.process().unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let status = place.status(1);
    assert_eq!(status["status"], "notReady");
    assert!(status["problems"][0].as_str().unwrap().starts_with("the API does not answer: "), "{status}");
    let late = place.check("down --timeout 0", 1);
    assert!(late.err.contains("has not ended within 0ns") && late.err.contains("kill -9"), "{}", late.err);
    kill_process(pid, Signal::CONT).unwrap();
    let down = place.check("down", 0);
    assert!(down.out.contains("has ended\n") || down.out.starts_with("no cluster runs in"), "{}", down.out);
}

#[test]
fn a_cluster_that_starts_says_for_what_it_waits() {
    let place = Place::new();
    // Who connects is not answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("--store etcd --etcd-servers http://{}", silent.local_addr().unwrap());
    let mut command = place.command(&format!("{UP} {store}"));
    let mut starter = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut status = place.run("status -o json");
    while status.code == 3 {
        status = place.run("status -o json");
    }
    assert_eq!(status.code, 1, "{}{}", status.out, status.err);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(
        (&status["status"], &status["problems"][0]),
        (&"starting".into(), &"it waits for the store and the API".into())
    );
    // Who does not wait any more for it does not want it any more.
    kill_process(Pid::from_child(&starter.0), Signal::INT).unwrap();
    assert_eq!(starter.0.wait().unwrap().code(), Some(1));
    place.check("status", 3);
    assert!(place.process().is_none());
}

#[test]
fn only_gantrys_files_are_purged() {
    let place = Place::new();
    assert!(place.check("down --purge --yes", 0).out.contains("there is nothing in "));
    std::fs::create_dir_all(place.data().join("kubelet")).unwrap();
    std::fs::write(place.data().join("kubelet/precious"), "").unwrap();
    let refused = place.check("down --purge --yes", 1);
    assert!(refused.err.contains("does not look like a data directory of Gantry's"), "{}", refused.err);
    assert!(place.data().join("kubelet/precious").exists());
    std::fs::remove_dir_all(place.data()).unwrap();

    place.check(UP, 0);
    let refused = place.check("down --purge", 1);
    assert!(refused.err.contains("say --yes"), "{}", refused.err);
    place.check("status", 0);
    std::fs::write(place.data().join("mine"), "").unwrap();
    let purged = place.check("down --purge --yes", 0);
    assert!(purged.out.contains("left what is not Gantry's: mine\n"), "{}", purged.out);
    assert_eq!(place.names(), ["mine"]);
    let refused = place.check("down --purge --yes", 1);
    assert!(refused.err.contains("does not look like"), "{}", refused.err);
    std::fs::remove_file(place.data().join("mine")).unwrap();
    place.check(UP, 0);
    place.check("down --purge --yes", 0);
    assert!(!place.data().exists());
    place.check("down --purge --keep-pods", 2);
}

#[test]
fn a_cluster_in_the_foreground_is_one_as_well() {
    let place = Place::new();
    let mut command = place.command("up --no-node --listen 127.0.0.1:0");
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    // The second `up` waits until the first one is ready.
    while place.run("status").code == 3 {}
    let again = place.check(UP, 0);
    assert!(again.out.starts_with(&format!("gantry is running already (process {})", running.0.id())), "{}", again.out);
    let status = place.status(0);
    assert_eq!((status["pid"].as_u64(), &status["log"]), (Some(running.0.id().into()), &Value::Null));
    place.check("down", 0);
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}
