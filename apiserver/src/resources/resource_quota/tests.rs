//! The rules of ResourceQuotas, as cases.

use serde_json::json;

use super::*;

fn quota(spec: Value) -> ResourceQuota {
    let metadata = json!({"name": "q", "namespace": "default", "creationTimestamp": "1970-01-01T00:00:00Z"});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn shown(errors: ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn check(spec: Value, expected: &[&str]) {
    assert_eq!(shown(ResourceQuotas.validate(&quota(spec.clone()))), expected, "{spec}");
    let (new, old) = (quota(spec.clone()), quota(json!({"scopes": spec["scopes"]})));
    assert_eq!(shown(ResourceQuotas.validate_update(&new, &old)), expected, "{spec}");
}

#[test]
fn resources() {
    let hard = |name: &str, quantity: &str| json!({"hard": {name: quantity}});
    check(Value::Null, &[]);
    check(json!({}), &[]);
    check(json!({"hard": {"cpu": "1.5", "limits.memory": "2Gi", "pods": "10", "services.nodeports": "0"}}), &[]);
    check(json!({"hard": {"requests.hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi"}}), &[]);
    check(json!({"hard": {"count/deployments.apps": "3", "requests.example.com/gpu": "2", "count/pods": "1"}}), &[]);
    check(json!({"hard": {"gold.storageclass.storage.k8s.io/requests.storage": "500Gi"}}), &[]);
    let negative = "must be greater than or equal to 0";
    check(hard("cpu", "-1"), &[&format!("spec.hard[cpu]: Invalid value: \"-1\": {negative}")]);
    check(hard("pods", "-5"), &[&format!("spec.hard[pods]: Invalid value: \"-5\": {negative}")]);
    check(hard("pods", "100m"), &["spec.hard[pods]: Invalid value: \"100m\": must be an integer"]);
    check(hard("services", "1500m"), &["spec.hard[services]: Invalid value: \"1500m\": must be an integer"]);
    check(
        hard("example.com/gpu", "1500m"),
        &["spec.hard[example.com/gpu]: Invalid value: \"1500m\": must be an integer"],
    );
    let quota = "must be a standard resource for quota";
    check(hard("storage", "1Gi"), &[&format!("spec.hard[storage]: Invalid value: \"storage\": {quota}")]);
    let standard = "must be a standard resource type or fully qualified";
    check(
        hard("bananas", "1"),
        &[
            &format!("spec.hard[bananas]: Invalid value: \"bananas\": {standard}"),
            &format!("spec.hard[bananas]: Invalid value: \"bananas\": {quota}"),
        ],
    );
    let key = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
               character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
               '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    check(
        hard("-cpu", "1"),
        &[
            &format!("spec.hard[-cpu]: Invalid value: \"-cpu\": name part {key}"),
            &format!("spec.hard[-cpu]: Invalid value: \"-cpu\": {quota}"),
        ],
    );
}

#[test]
fn scopes() {
    let with = |scopes: Value, hard: Value| json!({"scopes": scopes, "hard": hard});
    check(with(json!(["Terminating", "NotBestEffort"]), json!({"cpu": "1", "pods": "2"})), &[]);
    check(with(json!(["BestEffort"]), json!({"pods": "2", "example.com/gpu": "1"})), &[]);
    check(with(json!(["VolumeAttributesClass"]), json!({"requests.storage": "1Gi"})), &[]);
    check(
        with(json!(["Sometimes"]), json!({"pods": "1"})),
        &["spec.scopes: Invalid value: [\"Sometimes\"]: unsupported scope"],
    );
    check(
        with(json!(["BestEffort"]), json!({"cpu": "1", "memory": "1Gi", "pods": "1"})),
        &["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"; 2],
    );
    check(
        with(json!(["NotTerminating"]), json!({"services": "1"})),
        &["spec.scopes: Invalid value: [\"NotTerminating\"]: unsupported scope applied to resource"],
    );
    check(
        with(json!(["VolumeAttributesClass"]), json!({"pods": "1"})),
        &["spec.scopes: Invalid value: [\"VolumeAttributesClass\"]: unsupported scope applied to resource"],
    );
    let all = json!(["BestEffort", "NotBestEffort", "Terminating", "NotTerminating"]);
    let conflict = format!("spec.scopes: Invalid value: {all}: conflicting scopes");
    check(with(all, json!({"pods": "1"})), &[&conflict, &conflict]);
}

#[test]
fn scope_selectors() {
    const AT: &str = "spec.scopeSelector.matchExpressions";
    let select = |expressions: Value| json!({"scopeSelector": {"matchExpressions": expressions}});
    let one = |scope: &str, operator: &str, values: Value| {
        select(json!([{"scopeName": scope, "operator": operator, "values": values}]))
    };
    check(json!({"scopeSelector": {}}), &[]);
    check(one("PriorityClass", "In", json!(["high"])), &[]);
    check(one("PriorityClass", "DoesNotExist", Value::Null), &[]);
    check(one("CrossNamespacePodAffinity", "Exists", json!([])), &[]);
    let unsupported = format!("{AT}.scopeName: Invalid value: \"Mood\": unsupported scope");
    check(one("Mood", "Exists", Value::Null), &[&unsupported]);
    let exists = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                  ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                  ResourceQuotaScopeCrossNamespacePodAffinity";
    let exists = format!("{AT}.operator: Invalid value: \"In\": {exists}");
    check(one("BestEffort", "In", json!(["x"])), &[&exists]);
    let at_least_one = format!(
        "{AT}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
    );
    check(one("PriorityClass", "In", json!([])), &[&at_least_one]);
    check(one("PriorityClass", "NotIn", Value::Null), &[&at_least_one]);
    let none = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
    check(one("PriorityClass", "Exists", json!(["a"])), &[&format!("{AT}.values: Invalid value: [\"a\"]: {none}")]);
    let operator = format!("{AT}.operator: Invalid value: \"Like\": not a valid selector operator");
    check(one("PriorityClass", "Like", Value::Null), &[&operator]);
    let mut applied = one("PriorityClass", "Exists", Value::Null);
    applied["hard"] = json!({"services": "1"});
    let detail = format!(
        "{AT}: Invalid value: {{\"MatchExpressions\":[{{\"ScopeName\":\"PriorityClass\",\"Operator\":\"Exists\",\
         \"Values\":null}}]}}: unsupported scope applied to resource"
    );
    check(applied, &[&detail]);
    let pair = json!([
        {"scopeName": "Terminating", "operator": "Exists"}, {"scopeName": "NotTerminating", "operator": "Exists"},
    ]);
    check(select(pair), &[&format!("{AT}: Invalid value: null: conflicting scopes")]);
}

#[test]
fn scopes_stay() {
    let update = |new: Value, old: Value| {
        shown(ResourceQuotas.validate_update(&quota(json!({"scopes": new})), &quota(json!({"scopes": old}))))
    };
    assert_eq!(update(json!(["Terminating", "BestEffort"]), json!(["BestEffort", "Terminating"])), [""; 0]);
    assert_eq!(update(json!([]), Value::Null), [""; 0]);
    let gone = "spec.scopes: Invalid value: null: field is immutable";
    assert_eq!(update(Value::Null, json!(["BestEffort"])), [gone]);
    let come = "spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable";
    assert_eq!(update(json!(["BestEffort"]), json!([])), [come]);
}

#[test]
fn status_is_a_part_of_its_own() {
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
    let used = json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "2"}, "used": {"pods": "1m", "x": "-1"}}});
    let used: ResourceQuota = serde_json::from_value(used).unwrap();
    let mut created = used.clone();
    ResourceQuotas.prepare_create(&mut created, context);
    assert_eq!(created.status, Some(ResourceQuotaStatus::default()));
    let mut updated = created.clone();
    ResourceQuotas.prepare_update(&mut updated, &used, context);
    assert_eq!(updated.status, used.status);
    let updates = ResourceQuotas.updates();
    let expected = [
        "status.used[pods]: Invalid value: \"1m\": must be an integer",
        "status.used[x]: Invalid value: \"x\": must be a standard resource type or fully qualified",
        "status.used[x]: Invalid value: \"x\": must be a standard resource for quota",
        "status.used[x]: Invalid value: \"-1\": must be greater than or equal to 0",
    ];
    assert_eq!(shown((updates[0].validate)(&used, &created)), expected);
}

#[test]
fn warnings_of_requests_above_limits() {
    let check = |hard: Value, expected: &[&str]| {
        let quota = quota(json!({"hard": hard}));
        assert_eq!(ResourceQuotas.warnings(&quota, None), expected);
        assert!(ResourceQuotas.warnings(&quota, Some(&quota)).is_empty());
    };
    check(json!({}), &[]);
    check(json!({"requests.cpu": "1", "limits.cpu": "1000m", "requests.storage": "1Gi"}), &[]);
    let cpu = "ResourceQuota cpu (2) should be less than limits.cpu (1)";
    let memory = "ResourceQuota requests.memory (2Gi) should be less than limits.memory (1Gi)";
    check(json!({"cpu": "2", "limits.cpu": "1", "requests.memory": "2Gi", "limits.memory": "1Gi"}), &[cpu, memory]);
    check(json!({"requests.cpu": "1", "cpu": "2", "limits.cpu": "1"}), &[]);
}

#[test]
fn defaults_round_up() {
    let mut object = quota(json!({"hard": {"cpu": "0.0001", "memory": "1Gi"}}));
    ResourceQuotas.default(&mut object);
    assert_eq!(json!(object.spec), json!({"hard": {"cpu": "1m", "memory": "1Gi"}}));
}

#[test]
fn rows() {
    let now = Timestamp::new(3 * 86_400, 0).unwrap();
    let mut object = quota(json!({}));
    assert_eq!(json!(ResourceQuotas.row(&object, now)), json!(["q", "", "", "3d"]));
    let hard = json!({"requests.cpu": "2", "pods": "10", "limits.cpu": "4", "limits.memory": "2Gi"});
    let status = json!({"hard": hard, "used": {"pods": "3", "limits.cpu": "500m"}});
    object.status = serde_json::from_value(status).unwrap();
    let expected = json!(["q", "pods: 3/10, requests.cpu: 0/2", "limits.cpu: 500m/4, limits.memory: 0/2Gi", "3d"]);
    assert_eq!(json!(ResourceQuotas.row(&object, now)), expected);
}
