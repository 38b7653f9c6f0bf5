//! What is offered where a line is typed, without a server. With one it is tested where servers are.

use clap::{Command as Parser, Subcommand};

use super::*;
use crate::{Command, Output};

fn program() -> Parser {
    Command::augment_subcommands(Parser::new("gantry"))
}

fn of(line: &str) -> Completion {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    Completion::of(program(), &words)
}

async fn offered(line: &str, kubeconfig: &str) -> Offers {
    let completion = of(line);
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), std::io::empty());
    let output = Output { out: &mut out, err: &mut err, input: &mut input, is_terminal: false };
    let connection = Connection { kubeconfig: Some(kubeconfig.into()), ..completion.connection() };
    let offers = completion.offers(&mut Session::new(connection, output)).await;
    assert!(out.is_empty() && err.is_empty(), "{line}: it says nothing");
    offers
}

#[tokio::test]
async fn what_needs_no_server_is_offered() {
    async fn check(line: &str, expected: &[&str], directive: u8) {
        let offers = offered(line, "/nowhere").await;
        let words: Vec<&str> = offers.words.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!((words.as_slice(), offers.directive()), (expected, directive), "{line:?}");
    }
    check("rollout ", &["history", "pause", "restart", "resume", "status", "undo"], 4).await;
    check("roll", &["rollout"], 4).await;
    check("rollout re", &["restart", "resume"], 4).await;
    check("create serv", &["service", "serviceaccount"], 4).await;
    check("get --sub", &["--subresource"], 4).await;
    check("get --subresource ", &["scale", "status"], 4).await;
    check("get --subresource=sc", &["--subresource=scale"], 4).await;
    check("apply --dry-run=", &["--dry-run=client", "--dry-run=none", "--dry-run=server"], 4).await;
    check("get pods -o js", &["json", "jsonpath-file=", "jsonpath="], 4).await;
    check("get pods -A -o jsonpath", &["jsonpath-file=", "jsonpath="], 6).await;
    check("get pods -ojson -o n", &["name"], 4).await;
    check("completion ", &["bash", "fish", "powershell", "zsh"], 4).await;
    check("patch pod a --type ", &["json", "merge", "strategic"], 4).await;
    check("wait --for=", &["--for=condition=", "--for=create", "--for=delete", "--for=jsonpath="], 4).await;
    check("scale ", &["deployments", "replicasets", "replicationcontrollers", "statefulsets"], 4).await;
    check("rollout status dep", &["deployments"], 4).await;
    check("top ", &["node", "pod"], 4).await;
    check("logs stat", &["statefulsets/"], 6).await;
    check("set env deploy a --from=s", &["--from=secret/"], 6).await;
    check("apply -f ", &[], 0).await;
    check("apply --filename=x", &[], 0).await;
    check("get --kubeconfig ", &[], 0).await;
    check("exec a -- ", &[], 0).await;
    check("nothing ", &[], 4).await;
    check("version ", &[], 4).await;
    check("get -n", &["-n"], 4).await;
}

#[tokio::test]
async fn every_verb_and_every_option_is_offered_with_what_it_means() {
    let offers = offered("", "/nowhere").await;
    let of_program = program();
    let shown = of_program.get_subcommands().filter(|verb| !verb.is_hide_set()).count();
    // With `help`, which the parser adds.
    assert_eq!(offers.words.len(), shown + 1);
    assert!(offers.words.iter().all(|(_, meaning)| !meaning.is_empty()), "{offers:?}");
    let offers = offered("get --", "/nowhere").await;
    let options: Vec<&str> = offers.words.iter().map(|(word, _)| word.as_str()).collect();
    for option in ["--namespace", "--output", "--selector", "--all-namespaces", "--context", "--help"] {
        assert!(options.contains(&option), "{option} in {options:?}");
    }
    assert!(offers.to_string().contains("--namespace\tThe namespace to work in\n"), "{offers}");
    assert!(offers.to_string().ends_with("\n:4\n"), "{offers}");
}

#[tokio::test]
async fn entries_of_kubeconfigs_are_offered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    let text = "{contexts: [{name: here, context: {cluster: c, user: u}}, {name: there, context: {cluster: d, user: u}}], \
                clusters: [{name: c, cluster: {server: 'https://x'}}], users: [{name: u, user: {}}]}";
    std::fs::write(&path, text).unwrap();
    let check = async |line: &str, expected: &[&str]| {
        let offers = offered(line, &path.display().to_string()).await;
        let words: Vec<&str> = offers.words.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, expected, "{line:?}");
    };
    check("config use-context ", &["here", "there"]).await;
    check("get pods --context=t", &["--context=there"]).await;
    check("get pods --cluster ", &["c"]).await;
    check("get --user ", &["u"]).await;
    check("config delete-user ", &["u"]).await;
    check("config set-context th", &["there"]).await;
}

#[test]
fn the_server_is_the_one_of_the_line() {
    let connection = of("get -n web --context=here pods --server https://x --as jane ").connection();
    assert_eq!(connection.namespace.as_deref(), Some("web"));
    assert_eq!(connection.context.as_deref(), Some("here"));
    assert_eq!(connection.server.as_deref(), Some("https://x"));
    assert_eq!(connection.impersonate.as_deref(), Some("jane"));
    assert_eq!(of("get -nweb ").connection().namespace.as_deref(), Some("web"));
    assert_eq!(of("get -wn web ").connection().namespace.as_deref(), Some("web"));
    assert_eq!(of("get -n a -n b ").connection().namespace.as_deref(), Some("b"));
    // What is typed now is not said yet, and what is behind dashes is somebody else's.
    assert_eq!(of("get -n web").connection().namespace, None);
    assert_eq!(of("exec a -- x -n web ").connection().namespace, None);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    // It accepts, and says nothing.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let offers = offered(&format!("logs --server {url} d"), "/nowhere").await;
    let words: Vec<&str> = offers.words.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["daemonsets/", "deployments/"], "what is known is offered all the same");
}
