//! Objects that are made by a line, of every kind that can be; deleted, and decided upon.

use http::Request;
use serde_json::{Value, json};
use tests::in_process::Server;

use crate::User;

const ACCOUNT: &str = "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
";

/// A role and bindings that are there, with other rules and subjects, and a role of a namespace that is not there.
const ROLES: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, labels: {of: files}}
rules:
- {apiGroups: [''], resources: [services], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: robot, namespace: default}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: mina}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: far, namespace: reconciled}
rules:
- {apiGroups: [''], resources: [pods], verbs: [get]}
";

/// A request for a certificate whose key nobody has any more.
const REQUEST: &str = include_str!("../../../manifests/examples/certificatesigningrequest.yaml");

async fn access(user: &User) -> String {
    user.file("roles.yaml", ROLES);
    user.file("old.yaml", &ROLES.replace("k8s.io/v1\n", "k8s.io/v1beta1\n"));
    user.session(&[
        "create serviceaccount robot",
        "create serviceaccount robot",
        "create serviceaccount other --dry-run=client -o yaml",
        "create role reader --verb=get --resource=pods",
        "create role reader --verb=get --resource=pods",
        "create role other --verb=get,list --resource=deployments.apps/scale --dry-run=server -o yaml",
        "create role wrong --verb=get --resource=things",
        "create clusterrole reader --verb=get --resource=nodes",
        "create clusterrole paths --verb=get --non-resource-url=/healthz --dry-run=client -o yaml",
        "create clusterrole wrong",
        "create rolebinding readers --role=reader --user=mina --serviceaccount=default:robot",
        "create rolebinding other --clusterrole=reader --group=all --dry-run=client -o yaml",
        "create rolebinding wrong",
        "create clusterrolebinding readers --clusterrole=reader --user=mina",
        "create clusterrolebinding other --clusterrole=reader --group=all --dry-run=client -o yaml",
        "create clusterrolebinding wrong --clusterrole=reader --serviceaccount=robot",
        "create token nothing",
        "set subject rolebinding/readers --user=other",
        "set subject rolebinding/readers --group=all --dry-run=client -o name",
        "set subject rolebinding/nothing --user=other",
        "auth reconcile -f @roles.yaml --dry-run=client",
        "auth reconcile -f @roles.yaml",
        "auth reconcile -f @roles.yaml --remove-extra-permissions --remove-extra-subjects",
        "auth reconcile -f @roles.yaml -o name",
        "auth reconcile -f @old.yaml",
        "auth reconcile -f @roles.yaml --dry-run=server",
        "auth reconcile",
    ])
    .await
}

async fn settings(user: &User) -> String {
    user.file("value", "text\n");
    user.file("env", "A=1\n# not this\nB=2\n");
    let pair = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).expect("a certificate");
    user.file("cert", &pair.cert.pem());
    user.file("key", &pair.signing_key.serialize_pem());
    user.session(&[
        "create configmap settings --from-literal=a=b --from-file=@value",
        "create configmap other --from-env-file=@env --dry-run=client -o yaml",
        "create configmap wrong --from-file=@nothing",
        "create secret generic key --from-literal=a=b",
        "create secret generic other --from-literal=a=b --dry-run=client -o yaml",
        "create secret generic wrong --from-literal=a",
        "create secret docker-registry pull --docker-username=u --docker-password=p",
        "create secret docker-registry other --docker-username=u --docker-password=p --dry-run=client -o yaml",
        "create secret docker-registry wrong",
        "create secret tls served --cert=@cert --key=@key",
        "create secret tls other --cert=@cert --key=@key --dry-run=client -o name",
        "create secret tls wrong --cert=@value --key=@value",
        "create namespace team",
        "create namespace team",
        "create namespace other --dry-run=client -o yaml",
        "create quota most --hard=pods=3,services=1",
        "create quota other --hard=pods=3 --scopes=BestEffort --dry-run=client -o yaml",
        "create quota wrong --hard=pods",
        "create priorityclass high --value=1000",
        "create priorityclass other --value=1 --description=low --dry-run=client -o yaml",
        "create priorityclass high --value=1000",
        "create poddisruptionbudget least --selector=app=web --min-available=1",
        "create poddisruptionbudget other --selector=app=web --max-unavailable=50% --dry-run=client -o yaml",
        "create poddisruptionbudget wrong --selector=app=web",
    ])
    .await
}

async fn workloads(user: &User) -> String {
    user.session(&[
        "create deployment web --image=web:1 --port=80",
        "create deployment other --image=web:1 --dry-run=client -o yaml -- run it",
        "create deployment web --image=web:1",
        "create job once --image=busybox",
        "create job other --image=busybox --dry-run=client -o yaml -- date",
        "create job wrong",
        "create cronjob daily --image=busybox --schedule=@daily",
        "create cronjob other --image=busybox --schedule=@hourly --dry-run=client -o yaml",
        "create cronjob wrong --image=busybox --schedule=sometimes",
        "create job now --from=cronjob/daily -o name",
        "create service clusterip web --tcp=80:8080 --clusterip=None",
        "create service clusterip other --tcp=80 --dry-run=client -o yaml",
        "create service clusterip wrong --tcp=x",
        "create service nodeport other --tcp=80 --dry-run=client -o yaml",
        "create service nodeport wrong",
        "create service loadbalancer other --tcp=80 --dry-run=client -o yaml",
        "create service loadbalancer wrong",
        "create service externalname elsewhere --external-name=example.com",
        "create service externalname other --external-name=example.com --dry-run=client -o yaml",
        "create service externalname elsewhere --external-name=example.com",
        "create ingress shop --rule=a.example.com/*=web:80,tls=certificate",
        "create ingress other --class=edge --default-backend=web:80 --dry-run=client -o yaml",
        "create ingress wrong --rule=a",
        "run one --image=nginx",
        "run other --image=nginx --dry-run=client -o yaml --env=A=b -- serve",
        "run one --image=nginx",
        "create -f @request.yaml -o name",
        "create -f @request.yaml --dry-run=client -o yaml",
        "create -f @request.yaml",
    ])
    .await
}

async fn deciding(user: &User) -> String {
    user.file("other.yaml", &REQUEST.replace("name: mina", "name: other"));
    user.session(&[
        "certificate approve mina",
        "certificate approve mina -o name",
        "certificate approve nothing",
        "certificate approve",
        "certificate deny mina --force",
        "certificate deny nothing",
        "create -f @other.yaml",
        "certificate deny other",
        "certificate deny other -o name",
        "get csr mina -o jsonpath={.status.conditions[*].type}",
    ])
    .await
}

/// ReplicaSets of a Deployment, as its controller would have made them.
async fn sets(user: &User) -> String {
    let request = Request::get("/apis/apps/v1/namespaces/default/deployments/web").body(Vec::new());
    let deployment: Value = user.client.request(request.expect("a request")).await.expect("the deployment is there");
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true,
        "uid": deployment["metadata"]["uid"]});
    let set = |revision: u32| {
        let labels = json!({"app": "web", "pod-template-hash": format!("h{revision}")});
        let mut template = deployment["spec"]["template"].clone();
        template["metadata"]["labels"] = labels.clone();
        template["spec"]["containers"][0]["image"] = json!(format!("web:0.{revision}"));
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("web-h{revision}"), "labels": labels, "ownerReferences": [owner],
                "annotations": {"deployment.kubernetes.io/revision": revision.to_string()}},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}})
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [set(1), set(2)]}).to_string()
}

async fn changing(user: &User) -> String {
    user.file("sets.yaml", &sets(user).await);
    user.session(&[
        "patch deploy web -p {\"spec\":{\"replicas\":2}}",
        "patch deploy web -p {\"spec\":{\"replicas\":2}} --dry-run=server -o name",
        "patch deploy web --type=json -p [{\"op\":\"remove\",\"path\":\"/nothing\"}]",
        "patch deploy web --type=merge -p {\"spec\":{\"replicas\":3}} -o jsonpath={.spec.replicas}",
        "patch deploy nothing -p {}",
        "patch deploy web -p {",
        "expose deploy/web --name=front",
        "expose deploy/web --name=other --type=NodePort --dry-run=client -o yaml",
        "expose deploy/nothing",
        "autoscale deploy/web --max=3 --dry-run=client -o yaml",
        "scale deploy/web --replicas=5 --dry-run=client -o name",
        "scale deploy/nothing --replicas=5",
        "set image deploy/web web=web:2 --dry-run=client -o yaml",
        "set env deploy/web A=b --dry-run=client -o yaml",
        "set env deploy/nothing A=b",
        "set resources deploy/web --limits=cpu=1 --dry-run=client -o name",
        "set resources deploy/web",
        "set selector svc/web a=b --dry-run=client -o name",
        "set serviceaccount deploy/web robot --dry-run=client -o name",
        "set serviceaccount deploy/nothing robot",
        "rollout history deploy/web -o yaml",
        "rollout history deploy/nothing",
        "rollout undo deploy/web --dry-run=server",
        "create -f @sets.yaml",
        "rollout history deploy/web",
        "rollout undo deploy/web --dry-run=client -o name",
        "rollout undo deploy/web --to-revision=1",
        "rollout undo deploy/web --to-revision=7",
        "rollout pause deploy/web -o name",
        "rollout pause deploy/nothing",
        "rollout resume deploy/web -o name",
        "rollout resume deploy/web",
        "rollout restart deploy/nothing",
        "label deploy/web tier=front --dry-run=client -o name",
        "annotate deploy/web note=x --dry-run=client -o name",
        "annotate deploy/nothing note=x",
        "apply view-last-applied deploy/web",
        "apply set-last-applied -f @web.yaml",
        "apply set-last-applied -f @web.yaml --create-annotation --dry-run=client -o name",
        "apply set-last-applied -f @web.yaml --create-annotation",
        "apply view-last-applied deploy/web -o json",
        "edit deploy/nothing",
        "apply edit-last-applied deploy/nothing",
        "wait deploy/web --for=jsonpath={.spec.replicas}=3 -o name",
        "replace -f @web.yaml --dry-run=server -o name",
        "apply -f @web.yaml --dry-run=server -o yaml",
        "diff -f @nothing.yaml",
    ])
    .await
}

async fn deleting(user: &User) -> String {
    user.session(&[
        "delete deploy web --dry-run=client",
        "delete deploy web --dry-run=server -o name",
        "delete deploy/web svc/web",
        "delete deploy web",
        "delete deploy web --ignore-not-found",
        "delete cm settings -o name",
        "delete cm -l app=none",
        "delete -f @request.yaml",
        "delete cm",
        "delete",
        "delete role --all",
    ])
    .await
}

async fn nodes(user: &User) -> String {
    user.file("node.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: one}\n");
    user.session(&[
        "create -f @node.yaml",
        "cordon one --dry-run=client",
        "cordon nothing",
        "cordon one",
        "cordon one",
        "uncordon one --dry-run=server",
        "uncordon nothing",
        "drain one --dry-run=server",
        "drain nothing",
        "taint node one a=b:NoSchedule --dry-run=client -o yaml",
        "taint node nothing a=b:NoSchedule",
        "taint node one a=b",
    ])
    .await
}

#[tokio::test]
async fn objects_are_made_changed_and_deleted_by_lines() {
    let server = Server::start().await;
    let user = User::of(&server);
    user.file("account.yaml", ACCOUNT);
    user.file("request.yaml", REQUEST);
    user.file("web.yaml", crate::verbs::DEPLOYMENT);
    user.run("create -f @account.yaml", "").await;
    insta::assert_snapshot!("access", access(&user).await);
    insta::assert_snapshot!("settings", settings(&user).await);
    insta::assert_snapshot!("workloads", workloads(&user).await);
    insta::assert_snapshot!("deciding", deciding(&user).await);
    insta::assert_snapshot!("changing", changing(&user).await);
    insta::assert_snapshot!("deleting", deleting(&user).await);
    insta::assert_snapshot!("nodes", nodes(&user).await);
    drop(user);
    server.stop().await;
}
