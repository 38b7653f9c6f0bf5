//! A machine joins a cluster by the line that somebody was given, and stays when nobody joins by it any more.

use std::process::Output;

use serde_json::json;
use tests::cluster::Setup;
use tests::kubectl::Reachable;
use tests::node::User;
use tests::server::Backing;
use tests::site::{Plan, Site};

use crate::{is_possible, pod};

/// What a verb of gantry's says, run beside the API server with the administrator's kubeconfig.
fn gantry(site: &Site, arguments: &[&str]) -> String {
    let mut command = site.hosts()[0].machine().command(Setup::new(Backing::Embedded, 0).binary);
    command.args(arguments).env("KUBECONFIG", site.kubeconfig());
    said(&command.output().expect("gantry runs"))
}

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn a_machine_joins_by_one_line() {
    if !is_possible() {
        return;
    }
    let plan = Plan { near: 2, images: vec!["busybox-1.tar"], alone: true, ..Plan::default() };
    let site = Site::up(plan);
    let host = &site.hosts()[1];
    let line = gantry(&site, &["token", "create", "--print-join-command"]);
    let line = line.trim_end();
    assert!(line.starts_with("gantry join https://192.168.77.1:6443 --token "), "{line}");

    // A digit of the hash is another one.
    let other = if line.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{other}", &line[..line.len() - 1]);
    let failed = host.fail_to_join_by(&wrong);
    let why = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{why}");
    assert!(why.contains("another authority than --ca-hash says"), "{why}");
    assert!(!host.data().join("bootstrap.kubeconfig").exists() && host.machine().processes("containerd").is_empty());

    host.join_by(line);
    host.load(&["busybox-1.tar"]);
    let user = User::of(&site, "joined");
    user.wait("node/node-2", "condition=Ready");
    let on_it = json!({"nodeName": "node-2"});
    user.apply(&pod("a", "echo it runs; sleep 1000000", json!({}), on_it));
    user.wait("pod/a", "condition=Ready");
    // By a certificate that the cluster has issued, without anybody's hands.
    user.until("logs a", |logs| logs == "it runs\n");
    assert_eq!(user.ok("exec a -- echo inside"), "inside\n");

    let token = line.split_whitespace().skip_while(|word| *word != "--token").nth(1).expect("a token");
    let id = &token[..6];
    let shown = gantry(&site, &["token", "list"]);
    assert!(shown.contains(token), "{shown}");
    assert_eq!(gantry(&site, &["token", "revoke", id]), format!("bootstrap token \"{id}\" deleted\n"));
    host.kill();
    host.join_by(line);
    assert_eq!(user.ok("logs a"), "it runs\n");
    user.apply(&pod("b", "echo it still runs; sleep 1000000", json!({}), json!({"nodeName": "node-2"})));
    user.wait("pod/b", "condition=Ready");
    user.until("logs b", |logs| logs == "it still runs\n");
}
