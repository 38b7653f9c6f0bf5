//! Kubeconfigs: looked at, and changed.

use tests::in_process::Server;

use crate::User;

/// A kubeconfig of two clusters.
pub(crate) const CONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: home
clusters:
- {name: house, cluster: {server: 'https://127.0.0.1:1'}}
- {name: office, cluster: {server: 'https://192.0.2.1:6443', insecure-skip-tls-verify: true}}
contexts:
- {name: home, context: {cluster: house, user: mina, namespace: team}}
- {name: work, context: {cluster: office, user: odd}}
users:
- {name: mina, user: {token: secret}}
- {name: odd, user: {username: odd, password: secret}}
";

#[tokio::test]
async fn kubeconfigs_are_looked_at_and_changed() {
    let server = Server::start().await;
    let user = User::of(&server);
    user.file("config", CONFIG);
    let lines = [
        "config current-context",
        "config get-contexts",
        "config get-contexts -o name",
        "config get-contexts nothing",
        "config get-clusters",
        "config set contexts.home.namespace elsewhere",
        "config set contexts.home.nothing elsewhere",
        "config unset contexts.work.namespace",
        "config unset nothing",
        "config get-users",
        "config view",
        "config view --minify -o json",
        "config view --minify --context nothing",
        "config use-context work",
        "config use-context nothing",
        "config set-context --current --namespace=other",
        "config set-context third --cluster=house --user=mina",
        "config set-context",
        "config set-cluster house --server=https://127.0.0.1:2",
        "config set-credentials mina --token=other",
        "config rename-context third fourth",
        "config rename-context nothing fifth",
        "config delete-context fourth",
        "config delete-context fourth",
        "config delete-user mina",
        "config delete-user mina",
        "config delete-cluster house",
        "config delete-cluster house",
        "config current-context",
        "config view --raw",
    ];
    let with: Vec<String> = lines.iter().map(|line| format!("{line} --kubeconfig @config")).collect();
    let with: Vec<&str> =
        with.iter().map(String::as_str).chain(["config current-context --kubeconfig @nothing"]).collect();
    insta::assert_snapshot!("configuring", user.session(&with).await);
    drop(user);
    server.stop().await;
}
