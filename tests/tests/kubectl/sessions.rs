//! A user's day: create, apply, get in every form, describe, edit, scale, label, explain.

use tests::kubectl::Kubectl;

use crate::{DEPLOYMENT, POD, check_session, on_each_store};

on_each_store!(
    objects_are_applied_and_shown,
    the_cluster_is_described,
    objects_are_changed_in_small_ways,
    objects_are_edited,
    pods_are_run_bound_and_evicted
);

fn objects_are_applied_and_shown(kubectl: &Kubectl) {
    kubectl.file("web.yaml", DEPLOYMENT);
    check_session!(
        kubectl,
        "apply",
        "apply -f web.yaml
        apply -f web.yaml
        get deployments
        get deploy -o wide
        get deploy web -o yaml
        get deploy web -o json
        get deploy -o name
        get deploy -o jsonpath='{.items[*].metadata.name}'
        get deploy -o go-template='{{range .items}}{{.metadata.name}}{{end}}'
        get deploy -o custom-columns=N:.metadata.name,R:.spec.replicas
        get deploy -L app --show-labels
        get deploy,pods,services
        describe deploy web
        apply view-last-applied deploy web
        apply --server-side -f web.yaml"
    );
    kubectl.file("web.yaml", &DEPLOYMENT.replace("nginx:1", "nginx:2"));
    let diff = kubectl.output("diff -f web.yaml");
    let changed: Vec<String> = String::from_utf8_lossy(&diff.stdout)
        .lines()
        .filter(|line| (line.starts_with('+') && !line.starts_with("+++")) || line.starts_with("-  "))
        .map(str::to_owned)
        .collect();
    assert_eq!(diff.status.code(), Some(1));
    insta::assert_snapshot!("diff", changed.join("\n"));
    check_session!(
        kubectl,
        "apply_again",
        "apply -f web.yaml
        get deploy web -o jsonpath='{.spec.template.spec.containers[0].image} {.metadata.generation}'
        apply set-last-applied -f web.yaml
        replace -f web.yaml
        replace --force -f web.yaml
        delete -f web.yaml
        apply -f web.yaml --dry-run=server"
    );
}

fn the_cluster_is_described(kubectl: &Kubectl) {
    check_session!(
        kubectl,
        "cluster",
        "api-resources
        api-resources --namespaced=false -o wide
        api-versions
        get namespaces
        get nodes
        get all -A
        explain deployment.spec.strategy
        explain pod.spec.containers.ports
        explain bogus
        explain pod.spec.bogus
        cluster-info
        get --raw /readyz?verbose
        get --raw /apis/nope
        wait --for=jsonpath='{.status.phase}'=Active namespace/default
        wait --for=delete configmap/nope"
    );
    let recursive = kubectl.run("explain deployment --recursive");
    for field in ["maxSurge", "topologySpreadConstraints", "resizePolicy", "observedGeneration"] {
        assert!(recursive.contains(field), "explain --recursive has no {field}");
    }
}

fn objects_are_changed_in_small_ways(kubectl: &Kubectl) {
    kubectl.file("web.yaml", DEPLOYMENT);
    check_session!(
        kubectl,
        "small_changes",
        "create -f web.yaml
        scale deploy web --replicas=5 --current-replicas=3
        scale deploy web --replicas=5 --current-replicas=2
        scale deploy web --replicas=-1
        label deploy web tier=front
        label deploy web tier=back
        label deploy web tier=back --overwrite
        label deploy web tier-
        label deploy web 'a b=c'
        annotate deploy web note='two words'
        set image deploy/web c=nginx:9
        set env deploy/web A=b
        rollout pause deploy/web
        rollout resume deploy/web
        get deploy web --subresource=scale
        get deploy web --subresource=scale -o yaml
        get deploy web --subresource=status -o jsonpath='{.status}'
        patch deploy web --subresource=status --type=merge -p '{\"status\":{\"replicas\":3,\"readyReplicas\":2}}'
        patch deploy web --subresource=status --type=merge -p '{\"spec\":{\"replicas\":7}}'
        patch deploy web --subresource=scale --type=merge -p '{\"spec\":{\"replicas\":4}}'
        patch deploy web --subresource=bogus --type=merge -p '{}'
        get deploy web
        get deploy web -o jsonpath='{.spec.replicas} {.metadata.generation} {.metadata.annotations}'"
    );
}

fn objects_are_edited(kubectl: &Kubectl) {
    kubectl.file("web.yaml", DEPLOYMENT);
    let edit = |script: &str| {
        let output = kubectl.command("edit deploy web").env("EDITOR", script).output().expect("kubectl runs");
        // The name of the file that the rest of the edit is kept in is random.
        let text = kubectl.shown(&output);
        text.lines().filter(|line| !line.contains("kubectl-edit")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(kubectl.run("create -f web.yaml"), "deployment.apps/web created\n");
    insta::assert_snapshot!(
        "edit",
        [
            edit(r"sed -i s/replicas:.2/replicas:\ 6/"),
            edit("true"),
            edit(r#"sed -i s/image:.*/image:\ ""/"#),
            edit(r"sed -i s/replicas:.6/replicaz:\ 6/"),
            kubectl.run("get deploy web -o jsonpath='{.spec.replicas}'"),
        ]
        .join("\n")
    );
}

fn pods_are_run_bound_and_evicted(kubectl: &Kubectl) {
    kubectl.file("one.yaml", POD);
    let binding = |node: &str| {
        format!(
            r#"{{"kind":"Binding","apiVersion":"v1","metadata":{{"name":"one"}},"target":{{"kind":"Node","name":"{node}"}}}}"#
        )
    };
    kubectl.file("n1.json", &binding("n1"));
    kubectl.file("n2.json", &binding("n2"));
    kubectl.file("evict.json", r#"{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"one"}}"#);
    check_session!(
        kubectl,
        "pods",
        "create -f one.yaml
        create -f one.yaml
        get pods -o wide
        describe pod one
        get pods --field-selector=spec.nodeName=
        create --raw /api/v1/namespaces/default/pods/one/binding -f n1.json
        create --raw /api/v1/namespaces/default/pods/one/binding -f n2.json
        get pods --field-selector=spec.nodeName=n1 -o wide
        get pod one -o jsonpath='{.status}'
        patch pod one -p '{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"nginx:9\"}]}}'
        create --raw /api/v1/namespaces/default/pods/one/eviction -f evict.json
        get pod one -o jsonpath='{.metadata.deletionGracePeriodSeconds}'
        get pods
        delete pod one --grace-period=5 --wait=false
        get pod one -o jsonpath='{.metadata.deletionGracePeriodSeconds}'
        delete pod one --force
        create --raw /api/v1/namespaces/default/pods/one/eviction -f evict.json
        run two --image=nginx --restart=Never --labels=a=b
        get pod two -o jsonpath='{.spec.restartPolicy} {.metadata.labels}'
        delete pod two
        logs two"
    );
}
