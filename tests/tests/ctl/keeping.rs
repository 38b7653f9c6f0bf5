//! What keeps a cluster: its tokens, what it all has, and what directories make for it.

use tests::in_process::Server;

use crate::User;

const MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
";

const KUSTOMIZATION: &str = "\
namePrefix: my-
resources: [map.yaml]
";

#[tokio::test]
async fn clusters_are_kept() {
    let server = Server::start().await;
    let user = User::of(&server);
    const TOKEN: &str = "abcdef.0123456789abcdef";
    let create = format!("token create {TOKEN} --ttl 0 --description mine");
    let tokens = [
        &*create,
        &*create,
        "token create abc",
        "token list",
        "token list -o json",
        "token list -o nonsense",
        "token delete abcdef",
        "token delete abcdef",
        "token list",
    ];
    insta::assert_snapshot!("tokens", user.session(&tokens).await);
    let dump = ["cluster-info dump --namespaces team -o yaml", "cluster-info dump -o nonsense"];
    insta::assert_snapshot!("dump", user.session(&dump).await);
    user.file("map.yaml", MAP);
    user.file("kustomization.yaml", KUSTOMIZATION);
    let kustomize = [
        "kustomize @.",
        "kustomize @. -o @made.yaml",
        "kustomize @nowhere",
        "apply -k @.",
        "get -k @. -o name",
        "delete -k @.",
    ];
    insta::assert_snapshot!("kustomizations", user.session(&kustomize).await);
    server.stop().await;
}
