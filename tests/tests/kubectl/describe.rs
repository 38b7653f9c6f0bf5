//! `gantry describe` beside the real kubectl's: the same pages of the same objects, byte by byte but for ages.

use std::collections::BTreeMap;

use clap::{Command as Parser, FromArgMatches, Subcommand};
use ctl::{Command, Output, Session};
use serde_json::{Value, json};
use tests::kubectl::{Kubectl, stable};
use tests::server::Backing;

/// Objects of every kind that has a page.
const OBJECTS: &str = include_str!("../ctl/described.yaml");

/// Lines that are about more, or less, than one object.
const LINES: &str = "
    describe
    describe pods
    describe pods -A
    describe pods,services -A
    describe pods -A --show-events=true
    describe pod full --show-events=false
    describe pod/bare
    describe pod/bare service/headless
    describe pod/bare service/nothing
    describe deploy,svc nothing none
    describe pod ba
    describe role e
    describe clusterrole read
    describe pod nothing
    describe pod bare nothing
    describe pod nothing none
    describe pod/nothing
    describe pods -l app=web
    describe pods -l app=none
    describe pods -l app=none -A
    describe pods -n nowhere
    describe nodes -l app=none
    describe pod bare -l app=web
    describe pod bare -A
    describe pod,service bare
    describe things
    describe hpa
    describe hpa.v1.autoscaling full
    describe sa --chunk-size=1
    describe -f events.json
    describe -f events.json --show-events=false
    describe -f events.json pod
    describe deploy,svc web
    describe -f missing.json
    describe pod bare -o yaml
";

/// The documents of a file, as JSON.
fn documents(text: &str) -> Vec<Value> {
    let documents: Result<Vec<Value>, _> = text.split("\n---\n").map(serde_saphyr::from_str).collect();
    documents.expect("objects in YAML")
}

/// Creates the objects, with what their statuses say.
fn make(kubectl: &Kubectl, objects: &[Value]) {
    let ok = |line: &str| {
        let output = kubectl.output(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let list = |items: Vec<&Value>| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    kubectl.file("objects.json", &list(objects.iter().collect()));
    ok("create -f objects.json");
    kubectl.file("statuses.json", &list(objects.iter().filter(|object| !object["status"].is_null()).collect()));
    ok("replace --subresource=status -f statuses.json");
    ok("certificate approve mina");
    let uid = kubectl.output("get pod bare -o jsonpath={.metadata.uid}").stdout;
    let event = |name: &str, more: Value| {
        let mut event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "bare", "namespace": "default",
                "uid": String::from_utf8_lossy(&uid)},
            "reason": "Tested", "type": "Normal", "message": " said \n"});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event
    };
    let (early, late) = ("2020-01-02T03:04:05Z", "2020-01-03T03:04:05Z");
    let events = [
        event(
            "often",
            json!({"count": 3, "firstTimestamp": early, "lastTimestamp": late, "source": {"component": "a"}}),
        ),
        event(
            "part",
            json!({"count": 1, "firstTimestamp": early, "lastTimestamp": early, "involvedObject": {"apiVersion": "v1",
                "kind": "Pod", "name": "bare", "namespace": "default", "uid": String::from_utf8_lossy(&uid),
                "fieldPath": "spec.containers{c}"}}),
        ),
        event("single", json!({"count": 1, "firstTimestamp": early, "lastTimestamp": early, "type": "Warning"})),
        event(
            "series",
            json!({"eventTime": "2020-01-02T03:04:05.000001Z", "reportingComponent": "c", "reportingInstance": "i",
                "action": "Test", "series": {"count": 4, "lastObservedTime": "2020-01-04T03:04:05.000001Z"}}),
        ),
    ];
    kubectl.file("events.json", &list(events.iter().collect()));
    ok("create -f events.json");
}

/// What is seen of a line: what is asked for, what is said besides, and the exit code.
type Seen = (String, String, i32);

/// What `gantry` shows, with the words of kubectl where the program's name stands.
async fn gantry(kubectl: &Kubectl, line: &str) -> Seen {
    let parser = Command::augment_subcommands(Parser::new("gantry").no_binary_name(true));
    let directory = kubectl.directory().display().to_string();
    let words = line.split(' ').map(|word| match word.strip_suffix(".json") {
        Some(_) => format!("{directory}/{word}"),
        None => word.to_owned(),
    });
    let matches = match parser.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(_) => return (String::new(), "usage".to_owned(), 1),
    };
    let command = Command::from_arg_matches(&matches).expect("a line that makes sense");
    let mut connection = command.connection().clone();
    connection.kubeconfig = Some(kubectl.server.kubeconfig.clone());
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), std::io::empty());
    let output = Output { out: &mut out, err: &mut err, input: &mut input, is_terminal: false };
    let mut session = Session::new(connection, output);
    let result = command.run(&mut session).await;
    drop(session);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut err, code) = match result {
        Ok(()) => (text(&err), 0),
        Err(error) => (format!("{}{error}", text(&err)), i32::from(error.exit_code())),
    };
    err = err.replace("gantry", "kubectl").replace(&format!("{directory}/"), "");
    (stable(&text(&out)), stable(err.trim_end()), code)
}

/// What kubectl shows. A line that makes no sense to it has its help behind the error, which we do not have.
fn upstream(kubectl: &Kubectl, line: &str) -> Seen {
    let output = kubectl.output(line);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let err = text(&output.stderr);
    let err = if err.contains("\nSee 'kubectl describe --help' for usage.") && err.contains("unknown") {
        "usage".to_owned()
    } else {
        err
    };
    (stable(&text(&output.stdout)), stable(err.trim_end()), output.status.code().unwrap_or(-1))
}

/// All objects of a namespace, or all that are in none, by what they are called in a line.
fn by_namespace(objects: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in objects.iter().chain(&[json!({"kind": "Gadget", "metadata": {"name": "g", "namespace": "default"}})])
    {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, meta) = (text(&object["kind"]).to_lowercase(), &object["metadata"]);
        lines.entry(text(&meta["namespace"])).or_default().push(format!("{kind}/{}", text(&meta["name"])));
    }
    lines
}

#[test]
fn pages_are_kubectls() {
    let kubectl = Kubectl::over(Backing::Embedded);
    let objects = documents(OBJECTS);
    make(&kubectl, &objects);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut lines: Vec<String> =
        LINES.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    for (namespace, names) in by_namespace(&objects) {
        let place = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
        lines.push(format!("describe{place} {}", names.join(" ")));
        lines.push(format!("describe{place} {} --show-events", names.join(" ")));
    }
    let differences: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let (ours, theirs) = (runtime.block_on(gantry(&kubectl, line)), upstream(&kubectl, line));
            (ours != theirs).then(|| difference(line, &ours, &theirs))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The first line that differs, of what there is.
fn difference(line: &str, ours: &Seen, theirs: &Seen) -> String {
    let mut said = format!("$ {line}\n");
    for (what, ours, theirs) in [("output", &ours.0, &theirs.0), ("error", &ours.1, &theirs.1)] {
        let mut both = ours.lines().zip(theirs.lines());
        if let Some((left, right)) = both.find(|(left, right)| left != right) {
            said.push_str(&format!("  {what}: gantry  {left:?}\n  {what}: kubectl {right:?}\n"));
        } else if ours != theirs {
            let (left, right) = (ours.len(), theirs.len());
            said.push_str(&format!("  {what}: gantry has {left} bytes and kubectl {right}\n"));
        }
    }
    if ours.2 != theirs.2 {
        said.push_str(&format!("  exit code: gantry {} and kubectl {}\n", ours.2, theirs.2));
    }
    said
}
