//! Schedulers that are configured, that run alone, and that are killed.

use std::process::Command;

use serde_json::json;
use tests::cluster::{Cluster, Setup};
use tests::kubectl::Kubectl;
use tests::server::Backing;

use super::{WITHIN, create, run};

const TWO_PROFILES: &str = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    multiPoint:
      disabled: [{name: PodTopologySpread}, {name: NodeResourcesBalancedAllocation}, {name: ImageLocality}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy:
        type: MostAllocated
        resources: [{name: cpu, weight: 1}]
";

#[test]
fn several_schedulers_have_their_own_ways() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scheduler.yaml");
    std::fs::write(&file, TWO_PROFILES).unwrap();
    let mut setup = Setup::new(Backing::Embedded, 3);
    setup.arguments = vec!["--scheduler-config".to_owned(), file.display().to_string()];
    let user = Kubectl::to(setup.up());
    for i in 0..6 {
        let container = json!({"name": "c", "image": "c", "resources": {"requests": {"cpu": "100m"}}});
        let spec = json!({"schedulerName": "packing", "containers": [container]});
        create(&user, &format!("packed-{i}"), json!({"app": "packed"}), spec);
        run(&user, &format!("wait pod/packed-{i} --for=condition=PodScheduled {WITHIN}"));
    }
    let nodes = run(&user, "get pods -l app=packed -o jsonpath={.items[*].spec.nodeName}");
    let mut nodes: Vec<&str> = nodes.split(' ').collect();
    nodes.dedup();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    // Whoever is not ours is left alone.
    create(&user, "foreign", json!({}), json!({"schedulerName": "foreign"}));
    create(&user, "ours", json!({}), json!({}));
    run(&user, &format!("wait pod/ours --for=condition=Ready {WITHIN}"));
    assert_eq!(run(&user, "get pod foreign -o jsonpath={.status.conditions}{.spec.nodeName}"), "");
}

#[test]
fn nothing_is_forgotten_over_a_kill() {
    let user = Kubectl::to(Cluster::up(Backing::Embedded, 3));
    create(&user, "waiting", json!({}), json!({"nodeSelector": {"disk": "fast"}}));
    super::waits(&user, "waiting");
    run(&user, "create deployment web --image=web --replicas=60");
    // Whatever has been bound by now, and whatever has not.
    let user = Kubectl::to(Setup::new(Backing::Embedded, 3).up_in(user.server.kill()));
    let user = Kubectl::to(Setup::new(Backing::Embedded, 3).up_in(user.server.kill()));
    run(&user, &format!("rollout status deployment/web {WITHIN}"));
    run(&user, "label node hollow-1 disk=fast");
    super::goes_to(&user, "waiting", "hollow-1");
}

#[test]
fn what_cannot_be_configured_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scheduler.yaml");
    let check = |text: &str, expected: &str| {
        std::fs::write(
            &file,
            format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{text}"),
        )
        .unwrap();
        let binary = Setup::new(Backing::Embedded, 0).binary;
        let output = Command::new(binary).args(["scheduler", "--config"]).arg(&file).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("", "there is no kubeconfig: name one by --kubeconfig");
    check("percentageOfNodesToScore: 101", "percentageOfNodesToScore: Invalid value: 101");
    check("profilez: []", "profilez");
    let plugin = "profiles: [{plugins: {filter: {enabled: [{name: Nonsense}]}}}]";
    check(plugin, "FilterPlugin \"Nonsense\" does not exist");
}
