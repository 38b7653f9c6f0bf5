//! The same as a user of `gantry VERB` sees it: streams, terminals, ports and files through our own client.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::json;
use tests::node::User;

use crate::pod;

/// `gantry LINE` where kubectl would be run.
fn gantry(user: &User<'_>, line: &str) -> Command {
    let kubectl = user.command(line);
    let here = std::env::current_exe().expect("a program knows where it is");
    let program = here.ancestors().nth(2).expect("it is in a target directory").join("gantry");
    let mut command = Command::new(kubectl.get_program());
    let mut arguments: Vec<&std::ffi::OsStr> = kubectl.get_args().collect();
    let place = arguments.iter().position(|argument| *argument == "kubectl").expect("it is what is run");
    arguments[place] = program.as_os_str();
    // `-n NAMESPACE VERB` is `VERB -n NAMESPACE` here.
    arguments[place + 1..place + 4].rotate_right(1);
    command.args(arguments);
    command.env_clear().envs(kubectl.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.current_dir(user.directory()).stdin(Stdio::null());
    command
}

fn run(user: &User<'_>, line: &str) -> Output {
    gantry(user, line).output().expect("gantry runs")
}

/// What it wrote to standard output, and to standard error, and its exit code.
fn all(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn ok(user: &User<'_>, line: &str) -> String {
    let (out, err, code) = all(&run(user, line));
    assert_eq!(code, Some(0), "gantry {line}: {out}{err}");
    out
}

fn fails(user: &User<'_>, line: &str) -> String {
    let (out, err, code) = all(&run(user, line));
    assert_ne!(code, Some(0), "gantry {line}: {out}");
    err
}

/// Starts it, and returns what it writes line by line.
fn starts(command: &mut Command) -> (Child, BufReader<ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("gantry runs");
    let output = BufReader::new(child.stdout.take().expect("it was piped"));
    (child, output)
}

fn next(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("it says something");
    line
}

/// Logs of one container and of many, which are followed with those that come later.
pub(crate) fn logs(user: &User<'_>) {
    let script = "for i in 1 2 3; do echo line $i; done; while [ ! -e /go ]; do sleep 0.1; done; echo last";
    let second = json!({"name": "d", "image": crate::BUSYBOX, "command": ["sh", "-c", "echo other"]});
    let mut talks = pod("talks", script, json!({}), json!({"restartPolicy": "Never"}));
    talks["spec"]["containers"].as_array_mut().expect("a list").push(second);
    user.apply(&talks);
    user.wait("pod/talks", "jsonpath={.status.containerStatuses[1].state.terminated}");
    user.until("logs talks -c c", |said| said.lines().count() == 3);
    let (out, err, _) = all(&run(user, "logs talks --tail=2"));
    assert_eq!((out.as_str(), err.as_str()), ("line 2\nline 3\n", "Defaulted container \"c\" out of: c, d\n"));
    assert_eq!(ok(user, "logs talks d"), "other\n");
    let prefixed = ok(user, "logs -l app=talks --all-containers --prefix --tail=1");
    assert_eq!(prefixed, "[pod/talks/c] line 3\n[pod/talks/d] other\n");
    assert!(fails(user, "logs talks -c none").starts_with("error: container none is not valid for pod talks"));
    // A pod that comes later is followed, too.
    let (mut follows, mut output) = starts(&mut gantry(user, "logs -f -l app=talks -c c --prefix --tail=1"));
    assert_eq!(next(&mut output), "[pod/talks/c] line 3\n");
    let mut later = pod("later", "echo here; exec sleep 1000", json!({}), json!({}));
    later["metadata"]["labels"]["app"] = json!("talks");
    user.apply(&later);
    assert_eq!(next(&mut output), "[pod/later/c] here\n");
    ok(user, "exec talks -c c -- touch /go");
    assert_eq!(next(&mut output), "[pod/talks/c] last\n");
    follows.kill().expect("it runs");
    follows.wait().expect("it has ended");
}

/// Commands, with all that goes in and comes out.
pub(crate) fn exec(user: &User<'_>) {
    user.apply(&pod("shell", "exec sleep 1000", json!({}), json!({})));
    user.wait("pod/shell", "condition=Ready");
    let (out, err, code) = all(&run(user, "exec shell -- sh -c 'echo out; echo err >&2; exit 3'"));
    assert_eq!((out.as_str(), code), ("out\n", Some(3)));
    assert_eq!(err, "err\ncommand terminated with exit code 3\n");
    let mut sums = gantry(user, "exec -i shell -- md5sum");
    let mut child = sums.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gantry runs");
    child.stdin.take().expect("it was piped").write_all(&vec![b'x'; 4 << 20]).expect("it is read");
    let output = child.wait_with_output().expect("gantry ends");
    assert_eq!(all(&output).0, "44981362d3ba9b5bacaf017c2f29d355  -\n");
    assert_eq!(ok(user, "exec shell -- sh -c 'head -c 3000000 /dev/zero | tr \"\\0\" x'").len(), 3_000_000);
    assert!(fails(user, "exec shell -- nonesuch").contains("executable file not found in $PATH"));
    assert_eq!(fails(user, "exec shell"), "error: you must specify at least one command for the container\n");
}

/// Runs it in a terminal of its own, whose state is shown before and after. What is typed is each typed when something was
/// said, and not before: until a terminal is raw, some keys mean something else.
fn in_terminal(user: &User<'_>, line: &str, typed: &[(&str, &str)]) -> String {
    let command = gantry(user, line);
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
    let words: Vec<String> = [command.get_program()].into_iter().chain(command.get_args()).map(quoted).collect();
    let line = format!("stty rows 33 cols 77; stty -g; {}; echo code=$?; stty -g", words.join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    script.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let mut child = script.spawn().expect("script runs");
    // It is not closed before the end: that would be typed as ^D.
    let mut input = child.stdin.take().expect("it was piped");
    let mut output = child.stdout.take().expect("it was piped");
    let (mut said, mut typed, mut buffer) = (String::new(), typed.iter().peekable(), [0; 4096]);
    while let Ok(size) = std::io::Read::read(&mut output, &mut buffer)
        && size > 0
    {
        said.push_str(&String::from_utf8_lossy(&buffer[..size]));
        if let Some((_, keys)) = typed.next_if(|(when, _)| said.contains(when)) {
            input.write_all(keys.as_bytes()).expect("it is read");
        }
    }
    child.wait().expect("script ends");
    said.replace('\r', "")
}

/// Whether the terminal was after it as it was before.
fn is_restored(said: &str) -> bool {
    let states: Vec<&str> = said.lines().filter(|line| line.matches(':').count() > 20).collect();
    states.len() == 2 && states[0] == states[1]
}

/// Terminals have a size, are restored, and end with the command's exit code.
pub(crate) fn terminals(user: &User<'_>) {
    user.apply(&pod("shell", "exec sh", json!({"stdin": true, "tty": true}), json!({})));
    user.wait("pod/shell", "condition=Ready");
    // The size comes after the command has begun.
    let script = "until stty size | grep -q 33.77; do :; done; stty size; tty; exit 4";
    let said = in_terminal(user, &format!("exec -it shell -- sh -c '{script}'"), &[]);
    assert!(said.contains("33 77") && said.contains("/dev/pts/") && said.contains("code=4"), "{said}");
    assert!(is_restored(&said), "{said}");
    let typed = [("try pressing enter", "\recho from-$((1+1))\r"), ("from-2", "\u{10}\u{11}")];
    let said = in_terminal(user, "attach -it shell", &typed);
    assert!(
        said.contains("from-2") && said.contains("Session ended, resume using 'gantry attach shell -c c"),
        "{said}"
    );
    assert!(said.contains("code=0") && is_restored(&said), "{said}");
    // What the server refuses leaves the terminal as it was, too.
    let said = in_terminal(user, "exec -it shell -- nonesuch", &[]);
    assert!(said.contains("executable file not found") && is_restored(&said), "{said}");
}

/// `gantry LINE`, with what it reads.
fn fed(user: &User<'_>, line: &str, input: &[u8]) -> Output {
    let mut command = gantry(user, line);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("gantry runs");
    child.stdin.take().expect("it was piped").write_all(input).expect("it is read");
    child.wait_with_output().expect("gantry ends")
}

/// Pods that are there for as long as somebody is with them, and containers that debug others.
pub(crate) fn run_and_debug(user: &User<'_>) {
    let image = crate::BUSYBOX;
    let script = "read line; echo got-$line; exit 3";
    let line = format!("run once -it --rm --restart=Never --image={image} -- sh -c '{script}'");
    let said = in_terminal(user, &line, &[("try pressing enter", "a-line\r")]);
    assert!(said.contains("got-a-line") && said.contains("code=3") && is_restored(&said), "{said}");
    assert!(said.contains("/once terminated (Error)") && said.contains("pod \"once\" deleted from"), "{said}");
    let line = format!("run piped -i --quiet --rm --restart=Never --image={image} -- md5sum");
    let (out, _, code) = all(&fed(user, &line, &vec![b'x'; 1 << 20]));
    assert_eq!((out.as_str(), code), ("b561f87202d04959e37588ee05cf5b10  -\n", Some(0)));
    let talks = format!("run talks --attach --restart=Never --image={image} -- sh -c 'sleep 2; echo here; exit 5'");
    let (out, err, code) = all(&run(user, &talks));
    assert!(out.contains("here") && err.contains("/talks terminated (Error)") && code == Some(5), "{out}{err}");
    // Who leaves lets it run.
    let line = format!("run stays -it --image={image} -- sh");
    let typed = [("try pressing enter", "\recho from-$((1+1))\r"), ("from-2", "\u{10}\u{11}")];
    let said = in_terminal(user, &line, &typed);
    assert!(said.contains("Session ended, resume using 'gantry attach stays") && said.contains("code=0"), "{said}");
    assert_eq!(ok(user, "get pod stays -o jsonpath={.status.phase}"), "Running");
    let line = format!("debug stays -i --quiet --image={image} -c helper -- sh -c 'read line; echo with-$line'");
    assert_eq!(all(&fed(user, &line, b"me\n")).2, Some(0));
    // What is said while nobody is with it yet, or no longer, is in its log.
    user.until("logs stays -c helper", |said| said == "with-me\n");
    let helper = ok(user, "get pod stays -o jsonpath={.spec.ephemeralContainers[0].name}");
    assert_eq!(helper, "helper");
}

/// A port of the pod is a port of the user's machine, and so is a service's.
pub(crate) fn port_forward(user: &User<'_>) {
    let script = "mkdir -p /www; head -c 3000000 /dev/zero > /www/large; echo forwarded > /www/index.html; exec httpd -f \
                  -p 8080 -h /www";
    let container = json!({"ports": [{"name": "www", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}});
    user.apply(&pod("served", script, container, json!({})));
    user.apply(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "served"},
        "spec": {"selector": {"app": "served"}, "ports": [{"name": "web", "port": 80, "targetPort": "www"}]}}));
    user.wait("pod/served", "condition=Ready");
    let forward = "port-forward svc/served :web :80 --address 127.0.0.1";
    let (mut forwards, mut output) = starts(&mut gantry(user, forward));
    let ports = [next(&mut output), next(&mut output)].map(|line| {
        let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.strip_suffix(" -> 8080\n"));
        port.unwrap_or_else(|| panic!("{line}")).to_owned()
    });
    let get = |port: &str, path: &str| {
        user.node().run("busybox", &["wget", "-q", "-O", "-", &format!("http://127.0.0.1:{port}/{path}")]).stdout
    };
    for port in &ports {
        assert_eq!(String::from_utf8_lossy(&get(port, "")), "forwarded\n");
        assert_eq!(next(&mut output), format!("Handling connection for {port}\n"));
    }
    let large = std::thread::scope(|scope| {
        let both = [0, 1].map(|port: usize| {
            scope.spawn({
                let get = &get;
                let ports = &ports;
                move || get(&ports[port], "large").len()
            })
        });
        both.map(|thread| thread.join().expect("it can be had"))
    });
    assert_eq!(large, [3_000_000; 2]);
    forwards.kill().expect("it runs");
    forwards.wait().expect("it has ended");
    assert_eq!(fails(user, "port-forward svc/served 81"), "error: Service served does not have a service port 81\n");
}

fn tree(directory: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("it is there").path());
    let mut found: Vec<(PathBuf, String)> = entries
        .flat_map(|path| match path.is_dir() {
            true => tree(&path),
            false => vec![(path.clone(), std::fs::read_to_string(&path).expect("it is text"))],
        })
        .collect();
    found.sort();
    found
}

/// Files and directories go both ways.
pub(crate) fn cp(user: &User<'_>) {
    user.apply(&pod("shell", "exec sleep 1000", json!({}), json!({})));
    user.wait("pod/shell", "condition=Ready");
    let from = user.directory().join("from");
    std::fs::create_dir_all(from.join("sub")).expect("a directory");
    std::fs::write(from.join("a"), "1").expect("a file");
    std::fs::write(from.join("sub/large"), "x".repeat(3_000_000)).expect("a file");
    assert_eq!(ok(user, "cp from shell:/to"), "");
    assert_eq!(ok(user, "exec shell -- sh -c 'cat /to/a; wc -c < /to/sub/large'"), "13000000\n");
    // Into a directory that is there, and with a name of its own.
    ok(user, "cp from/a shell:/to --no-preserve=true");
    ok(user, "cp from/a shell:/to/b -c c");
    assert_eq!(ok(user, "exec shell -- ls /to"), "a\nb\nsub\n");
    ok(user, "exec shell -- sh -c 'rm /to/b; ln -s /etc/passwd /to/link; mkdir /to/empty'");
    let (_, err, code) = all(&run(user, &format!("cp {}/shell:/to back", user.namespace())));
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("warning: skipping symlink: \"back/link\" -> \"/etc/passwd\""), "{err}");
    let back = user.directory().join("back");
    let names = |directory: &Path| {
        let strip = |(path, text): (PathBuf, String)| (path.strip_prefix(directory).expect("below").to_owned(), text);
        tree(directory).into_iter().map(strip).collect::<Vec<_>>()
    };
    assert!(names(&from) == names(&back), "what came back is not what was sent");
    assert!(back.join("empty").is_dir());
    let (_, err, code) = all(&run(user, "cp shell:/nonesuch here"));
    assert!(code == Some(1) && err.contains("No such file or directory"), "{code:?}: {err}");
    assert!(!user.directory().join("here").exists());
    assert_eq!(fails(user, "cp nonesuch shell:/x"), "error: nonesuch doesn't exist in local filesystem\n");
}
