//! Cases of what a single object takes, beside those of the controller that counts all of them.

use serde_json::{Value, json};

use super::*;

fn pod(containers: Value, resources: Value) -> Pod {
    let spec = json!({"containers": containers, "initContainers": [{"name": "init"}], "resources": resources});
    serde_json::from_value(json!({"spec": spec})).unwrap()
}

#[test]
fn containers_state_what_is_limited() {
    let check = |limited: &[&str], containers: Value, resources: Value, expected: Option<&str>| {
        let pod = pod(containers, resources);
        assert_eq!(Subject::Pod(&pod).missing(limited).as_deref(), expected, "{limited:?}");
    };
    let some = json!([
        {"name": "b", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1"}}},
        {"name": "a"},
    ]);
    check(&["pods", "requests.ephemeral-storage", "requests.example.com/gpu"], some.clone(), json!(null), None);
    check(&["cpu"], some.clone(), json!(null), Some("must specify cpu for: a,init"));
    check(
        &["requests.cpu", "limits.memory", "limits.cpu"],
        some.clone(),
        json!(null),
        Some("must specify limits.cpu for: a,b,init; limits.memory for: a,init; requests.cpu for: a,init"),
    );
    check(&["cpu"], some, json!({"requests": {"cpu": "2"}}), None);
}

#[test]
fn other_objects_are_counted() {
    let check = |resource: &str, name: &str, expected: bool| {
        let subject = Subject::Other(resource);
        assert_eq!(subject.measures(name), expected, "{resource} {name}");
        let takes = subject.usage(Timestamp::UNIX_EPOCH).get(name).is_some_and(|count| *count == names::number(1));
        assert_eq!(takes, expected, "{resource} {name}");
    };
    check("deployments.apps", "count/deployments.apps", true);
    check("deployments.apps", "deployments.apps", false);
    check("deployments.apps", "count/pods", false);
    check("secrets", "count/secrets", true);
    check("secrets", "secrets", true);
    check("events", "count/events", false);
}
