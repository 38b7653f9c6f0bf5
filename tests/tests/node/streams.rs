//! What users see and say while containers run: logs, exec, attach, port-forward, cp.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;
use tests::node::User;

use crate::pod;

/// Logs are read from the end, from a time, and as they come.
pub(crate) fn logs(user: &User<'_>) {
    let script =
        "for i in 1 2 3 4 5; do echo line $i; done; echo wrong >&2; while [ ! -e /go ]; do sleep 0.1; done; echo last";
    user.apply(&pod("talks", script, json!({}), json!({"restartPolicy": "Never"})));
    user.wait("pod/talks", "condition=Ready");
    let lines = ["line 1", "line 2", "line 3", "line 4", "line 5"];
    let all = user.until("logs talks", |said| said.lines().count() == lines.len() + 1);
    // What is said on stderr comes by a way of its own, and so before or after any of the others.
    assert_eq!(all.lines().filter(|line| *line != "wrong").collect::<Vec<_>>(), lines);
    assert_eq!(user.ok("logs talks --tail=1").lines().count(), 1);
    assert_eq!(user.ok("logs talks --limit-bytes=6"), all[..6]);
    let stamped = user.ok("logs talks --timestamps --tail=6");
    assert!(stamped.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{stamped}");
    assert_eq!(user.ok("logs talks --since-time=2100-01-01T00:00:00Z"), "");
    let mut follows = user.command("logs talks -f --tail=0").stdout(Stdio::piped()).spawn().expect("kubectl runs");
    let output = BufReader::new(follows.stdout.take().expect("it was piped"));
    user.ok("exec talks -- touch /go");
    let followed: Vec<String> = output.lines().map_while(Result::ok).collect();
    assert_eq!(followed, ["last"]);
    assert!(follows.wait().is_ok_and(|status| status.success()));
    assert!(user.fails("logs talks -c none").contains("container none is not valid for pod talks"));
    let waits = user.fails("logs talks --previous");
    assert!(waits.contains("previous terminated container \"c\" in pod \"talks\" not found"), "{waits}");
    let collected = user.node().run("sh", &["-c", "cat /var/log/containers/talks_logs_c-*.log"]);
    assert!(String::from_utf8_lossy(&collected.stdout).contains(" stdout F line 1\n"));
}

/// Commands run in containers, with all that goes in and comes out.
pub(crate) fn exec(user: &User<'_>) {
    user.apply(&pod("shell", "exec sleep 1000", json!({}), json!({})));
    user.wait("pod/shell", "condition=Ready");
    assert_eq!(user.ok("exec shell -- echo hello"), "hello\n");
    let output = user.command("exec shell -- sh -c 'echo out; echo err >&2; exit 3'").output().expect("kubectl runs");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("err\n"));
    let mut large = user.command("exec -i shell -- md5sum");
    let mut child = large.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kubectl runs");
    let content = vec![b'x'; 4 << 20];
    std::io::Write::write_all(&mut child.stdin.take().expect("it was piped"), &content).expect("it is read");
    let output = child.wait_with_output().expect("kubectl ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "44981362d3ba9b5bacaf017c2f29d355  -\n");
    user.file("local", "some text");
    user.ok("cp local shell:/copied");
    assert_eq!(user.ok("exec shell -- cat /copied"), "some text");
    user.ok("cp shell:/copied back");
    assert_eq!(std::fs::read_to_string(user.directory().join("back")).expect("it can be had"), "some text");
}

/// A terminal is one at both ends: `exec -it` and `attach` through a pty.
pub(crate) fn terminals(user: &User<'_>) {
    user.apply(&pod("shell", "exec sh", json!({"stdin": true, "tty": true}), json!({})));
    user.wait("pod/shell", "condition=Ready");
    let through_pty = |line: &str, typed: &str| {
        // `script` runs what it is told in a terminal of its own.
        let kubectl = user.command(line);
        let words: Vec<String> = [kubectl.get_program()].into_iter().chain(kubectl.get_args()).map(quoted).collect();
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &words.join(" "), "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        script.envs(kubectl.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let mut child = script.spawn().expect("script runs");
        let mut input = child.stdin.take().expect("it was piped");
        std::io::Write::write_all(&mut input, typed.as_bytes()).expect("it is read");
        let output = child.wait_with_output().expect("script ends");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = through_pty("exec -it shell -- sh", "stty size; tty; exit\n");
    assert!(said.contains("/dev/pts/"), "{said}");
    let said = through_pty("attach -it shell", "echo from-$((1+1)); exit\n");
    assert!(said.contains("from-2"), "{said}");
}

fn quoted(word: &std::ffi::OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}

/// A port of the pod is a port of the user's machine.
pub(crate) fn port_forward(user: &User<'_>) {
    let script = "mkdir -p /www; echo forwarded > /www/index.html; exec httpd -f -p 8080 -h /www";
    user.apply(&pod(
        "served",
        script,
        json!({"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}),
        json!({}),
    ));
    user.wait("pod/served", "condition=Ready");
    let mut forwards =
        user.command("port-forward pod/served :8080").stdout(Stdio::piped()).spawn().expect("kubectl runs");
    let mut output = BufReader::new(forwards.stdout.take().expect("it was piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("it says where it listens");
    let port = line.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split_once(' ')).expect("a port").0.to_owned();
    for _ in 0..3 {
        let got = user.node().run("busybox", &["wget", "-q", "-O", "-", &format!("http://127.0.0.1:{port}/")]);
        assert_eq!(String::from_utf8_lossy(&got.stdout), "forwarded\n");
    }
    forwards.kill().expect("it runs");
    forwards.wait().expect("it has ended");
    let proxied = user.ok(&format!("get --raw /api/v1/namespaces/{}/pods/served:8080/proxy/", user.namespace()));
    assert_eq!(proxied, "forwarded\n");
}

/// A container can be added to a pod to look at it, and figures can be had.
pub(crate) fn debug_and_top(user: &User<'_>) {
    user.apply(&pod("watched", "while :; do :; done", json!({"resources": {"limits": {"cpu": "100m"}}}), json!({})));
    user.wait("pod/watched", "condition=Ready");
    user.ok(&format!(
        "debug watched --image={} --image-pull-policy=Never --target=c -c look -- sleep 1000",
        crate::BUSYBOX
    ));
    user.wait("pod/watched", "jsonpath={.status.ephemeralContainerStatuses[0].state.running}");
    assert!(user.ok("exec watched -c look -- ps").contains("while :; do :; done"), "it sees the other's processes");
    user.ok("wait --for=create pods.metrics.k8s.io/watched --timeout=60s");
    let top = user.ok("top pod watched --no-headers");
    assert!(top.starts_with("watched "), "{top}");
    assert!(user.ok("top node --no-headers").starts_with("node-1 "));
}
