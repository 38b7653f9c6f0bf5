//! The audit log of the real program, and what kubectl leaves in it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::cluster::{Cluster, Setup};
use tests::kubectl::Kubectl;
use tests::server::Backing;

use crate::DEPLOYMENT;

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, namespaces: [audited], resources: [{resources: [secrets]}]}
- {level: RequestResponse, omitManagedFields: true, namespaces: [audited], resources: [{resources: [configmaps]}]}
- {level: Metadata, namespaces: [audited], resources: [{group: apps, resources: [deployments]}]}
- {level: Metadata, users: [slow]}
";

/// A cluster that is told of a policy and a log, and more.
fn start(directory: &Path, policy: &str, log: &Path, more: &[&str]) -> Kubectl<Cluster> {
    let file = directory.join("policy.yaml");
    std::fs::write(&file, policy).expect("a file");
    let mut setup = Setup::new(Backing::Embedded, 0);
    let named = [("--audit-policy-file", file.as_path()), ("--audit-log-path", log)];
    for (option, path) in named {
        setup.arguments.extend([option.to_owned(), path.display().to_string()]);
    }
    setup.arguments.extend(more.iter().map(|&word| word.to_owned()));
    Kubectl::to(setup.up())
}

fn done(kubectl: &Kubectl<Cluster>, line: &str) -> String {
    let output = kubectl.output(line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The events that kubectl has left about one object, oldest first.
fn about<'a>(events: &'a [Value], verb: &str, resource: &str, name: &str) -> Vec<&'a Value> {
    let of_kubectl = |event: &&Value| event["userAgent"].as_str().is_some_and(|agent| agent.starts_with("kubectl/"));
    let is_it = |event: &&Value| {
        let object = &event["objectRef"];
        event["verb"] == verb && object["resource"] == resource && object["name"].as_str().unwrap_or_default() == name
    };
    events.iter().filter(of_kubectl).filter(is_it).collect()
}

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a log");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"))).collect()
}

#[test]
fn what_kubectl_does_is_written_down() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("logs/audit.log");
    let kubectl = start(directory.path(), POLICY, &log, &["--audit-log-maxsize", "1", "--audit-log-maxbackup", "2"]);
    done(&kubectl, "create namespace audited");
    // More than a megabyte, as it is sent and answered: the file is put aside each time.
    kubectl.file("large", &"x".repeat(700 << 10));
    for name in ["a", "b", "c", "d"] {
        done(&kubectl, &format!("create configmap {name} -n audited --from-file=large"));
    }
    done(&kubectl, "create configmap made -n audited --from-literal=a=b");
    done(&kubectl, "create secret generic hidden -n audited --from-literal=password=topsecret");
    assert!(done(&kubectl, "get secret hidden -n audited -o yaml").contains("dG9wc2VjcmV0"));
    assert!(!kubectl.output("get configmap made -n audited --as ann").status.success());
    done(&kubectl, "get --raw /api/v1/namespaces/audited/configmaps?watch=1&timeoutSeconds=1");
    done(&kubectl, "label namespace audited pod-security.kubernetes.io/audit=baseline");
    kubectl.file("web.yaml", &DEPLOYMENT.replace("containers:", "hostPID: true, containers:"));
    done(&kubectl, "create -n audited -f web.yaml");
    // When it has ended, everything is written.
    drop(kubectl.server.stop());
    let text = std::fs::read_to_string(&log).expect("a log");
    assert!(!text.contains("topsecret") && !text.contains("dG9wc2VjcmV0"), "{text}");
    let events = read(&log);

    let made = about(&events, "create", "configmaps", "made");
    let [made] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!((&made["kind"], &made["apiVersion"]), (&json!("Event"), &json!("audit.k8s.io/v1")));
    assert_eq!((&made["level"], &made["stage"]), (&json!("RequestResponse"), &json!("ResponseComplete")));
    assert_eq!(made["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(made["requestObject"]["data"], json!({"a": "b"}));
    assert_eq!(made["responseObject"]["data"], json!({"a": "b"}));
    assert_eq!(made["responseObject"]["metadata"].get("managedFields"), None);
    let reference = json!({"resource": "configmaps", "namespace": "audited", "name": "made", "apiVersion": "v1"});
    assert_eq!(made["objectRef"], reference);
    assert_eq!(made["sourceIPs"], json!(["127.0.0.1"]));
    assert_eq!(made["user"]["groups"], json!(["system:masters", "system:authenticated"]));
    assert_eq!(made["annotations"]["authorization.k8s.io/decision"], "allow");

    for (verb, count) in [("create", 1), ("get", 1)] {
        let seen = about(&events, verb, "secrets", "hidden");
        assert_eq!(seen.len(), count, "{verb}: {seen:?}");
        assert_eq!((seen[0].get("requestObject"), seen[0].get("responseObject")), (None, None));
    }
    let denied = about(&events, "get", "configmaps", "made");
    let [denied] = denied.as_slice() else { panic!("{denied:?}") };
    assert_eq!(denied["impersonatedUser"]["username"], "ann");
    assert_eq!(
        (&denied["responseStatus"]["code"], &denied["responseStatus"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    assert_eq!(denied["annotations"]["authorization.k8s.io/decision"], "forbid");
    let watched: Vec<_> = about(&events, "watch", "configmaps", "").iter().map(|event| &event["stage"]).collect();
    assert_eq!(watched, ["ResponseStarted", "ResponseComplete"]);

    let web = about(&events, "create", "deployments", "web");
    let violation = "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert_eq!(web[0]["annotations"]["pod-security.kubernetes.io/audit-violations"], violation);

    let old = std::fs::read_dir(log.parent().expect("a directory")).expect("a directory");
    let mut old: Vec<_> = old.map(|entry| entry.expect("a file").path()).filter(|path| *path != log).collect();
    old.sort_unstable();
    assert_eq!(old.len(), 2, "{old:?}");
    for path in old {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(name.len(), "audit-2026-11-26T10-00-00.000.log".len(), "{name}");
        assert_eq!(read(&path).len(), 1, "{name}");
    }
}

#[test]
fn a_disk_that_is_slow_holds_no_request_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&log).status().is_ok_and(|status| status.success()));
    // Full, and nobody reads.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag");
    let mut pipe =
        OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(&log).expect("it can be opened");
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    let policy = POLICY.replace(", users: [slow]", "");
    let kubectl = start(directory.path(), &policy, &log, &["--audit-log-batch-buffer-size", "10"]);
    for name in 0..5 {
        done(&kubectl, &format!("create configmap slow-{name}"));
    }
    let metrics = done(&kubectl, "get --raw /metrics");
    let figure = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{metrics}"));
        line.trim().parse::<u64>().expect("a number")
    };
    assert!(figure("apiserver_audit_error_total{plugin=\"buffered\"}") > 0);
    assert!(figure("apiserver_audit_event_total") > 10);
    assert!(figure("apiserver_audit_level_total{level=\"Metadata\"}") > 0);
    assert_eq!(figure("apiserver_audit_requests_rejected_total"), 0);
    // Whoever writes to it fails from here on, and so does not keep the program from its end.
    drop(pipe);
    drop(kubectl.server.stop());
}
