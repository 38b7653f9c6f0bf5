//! What is offered where a line is typed, with a cluster that answers: by the program, and by bash with its script.

// The lint's leave for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A cluster that is ended when this is dropped.
struct Cluster {
    process: Child,
    kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const GANTRY: &str = env!("CARGO_BIN_EXE_gantry");

const OBJECTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: till-1, namespace: shop}
spec:
  initContainers: [{name: prepare, image: i}]
  containers: [{name: drawer, image: i, ports: [{containerPort: 8080}]}, {name: display, image: i}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: prices, namespace: default}
";

fn start() -> Cluster {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(GANTRY);
    command.args(["up", "--no-node", "--hollow-nodes", "2", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(directory.path()).env("GANTRY_LOG", "warn");
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let kubeconfig = directory.path().join("admin.kubeconfig");
    let cluster = Cluster { process, kubeconfig, _directory: directory };
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("gantry is ready"), "{line}");
    std::thread::spawn(move || drop(output.read_to_end(&mut Vec::new())));
    cluster
}

impl Cluster {
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        let path = Path::new(GANTRY).parent().unwrap().display().to_string();
        let path = format!("{path}:{}", std::env::var("PATH").unwrap_or_default());
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).env("PATH", path).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the program offers for a line: words without what they mean, and the directive.
    fn offered(&self, line: &str) -> String {
        let words: Vec<&str> = ["__complete"].into_iter().chain(line.split(' ')).collect();
        let offers = self.run(GANTRY, &words);
        offers.lines().map(|line| line.split('\t').next().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// What bash puts into a line: `COMPREPLY`.
    fn in_bash(&self, line: &str, words: &[&str]) -> String {
        let words = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let script = format!(
            "source <(gantry completion bash)
            COMP_LINE='{line}' COMP_POINT={} COMP_WORDS=({words}) COMP_TYPE=9
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            __gantry_complete
            echo \"${{COMPREPLY[*]}}\"
            complete -p gantry",
            line.len()
        );
        let shown = self.run("bash", &["--norc", "--noprofile", "-c", &script]);
        shown.strip_suffix("\ncomplete -F __gantry_complete gantry\n").unwrap().to_owned()
    }
}

#[test]
fn what_a_cluster_has_is_offered() {
    let cluster = start();
    let file = cluster.kubeconfig.with_file_name("objects.yaml");
    std::fs::write(&file, OBJECTS).unwrap();
    cluster.run(GANTRY, &["create", "-f", file.to_str().unwrap()]);
    let check = |line: &str, expected: &str| assert_eq!(cluster.offered(line), expected, "{line:?}");
    check("get deploy", "deployments :4");
    check("get cm", "cm :4");
    check("get conf", "configmaps :4");
    check("get deployments.a", "deployments.apps :4");
    check("get po,confi", "po,configmaps :4");
    check("get -n s", "shop :4");
    check("get --namespace=sh", "--namespace=shop :4");
    check("get pods -n shop ", "till-1 :4");
    check("get pods ", ":4");
    check("get pods -A ", "till-1 :4");
    check("get pods -n shop till-1 ", ":4");
    check("describe -n shop pod/", "pod/till-1 :4");
    check("delete cm pri", "prices :4");
    check("logs -n shop t", "till-1 :4");
    check("logs -n shop till-1 ", "display drawer prepare :4");
    check("exec -n shop till-1 -c d", "display drawer :4");
    check("exec -n shop pod/till-1 --container=dr", "--container=drawer :4");
    check("port-forward -n shop till-1 ", "8080 :4");
    check("cp -n shop till", "till-1: :2");
    check("cordon ", "hollow-0 hollow-1 :4");
    check("drain hollow-0 ", "hollow-1 :4");
    check("taint nodes ", "hollow-0 hollow-1 :4");
    check("top node hollow-1", "hollow-1 :4");
    check("config use-context ", "gantry :4");
    check("get nothings ", ":4");
    check("get pods --server http://127.0.0.1:1 ", ":4");

    let bash =
        |line: &str, words: &[&str], expected: &str| assert_eq!(cluster.in_bash(line, words), expected, "{line}");
    bash("gantry get pods -n shop ti", &["gantry", "get", "pods", "-n", "shop", "ti"], "till-1");
    bash("gantry rollout sta", &["gantry", "rollout", "sta"], "status");
    // Bash breaks words at = and :, and replaces what is behind them.
    bash("gantry get --namespace=sh", &["gantry", "get", "--namespace", "=", "sh"], "shop");
    bash("gantry get pods -n shop ", &["gantry", "get", "pods", "-n", "shop", ""], "till-1");
    let directory = cluster.kubeconfig.parent().unwrap().display().to_string();
    let (typed, whole) = (format!("{directory}/obj"), format!("{directory}/objects.yaml"));
    bash(&format!("gantry apply -f {typed}"), &["gantry", "apply", "-f", &typed], &whole);
    // An alias leads to the program.
    bash("kubectl get pods -n shop ti", &["kubectl", "get", "pods", "-n", "shop", "ti"], "till-1");
}
