//! What the RuntimeClass of a pod costs and where it can run comes of the class, which exists.
//!
//! What always holds: the overhead of a pod is that of its class, and of no other making.

use std::collections::BTreeMap;

use api::pod_resources;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};
use k8s_openapi::api::node::v1::{RuntimeClass, Scheduling};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Operation, Plugin, Review, typed, typed_mut};
use crate::object::Object;

const CLASSES: &str = "node.k8s.io/runtimeclasses";
const DIFFERENT: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

pub(super) struct RuntimeClasses;

impl Plugin for RuntimeClasses {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("core/pods") && review.operation == Operation::Create
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let Some(class) = class(review, object).await? else { return Ok(()) };
            let spec = typed_mut::<Pod>(object).and_then(|pod| pod.spec.as_mut());
            let applied = spec.map_or(Ok(()), |spec| apply(spec, &class));
            applied.map_err(|why| review.forbidden(object, why))
        }
        .boxed()
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let class = class(review, object).await?;
            let spec = typed::<Pod>(object).and_then(|pod| pod.spec.as_ref());
            let checked = spec.map_or(Ok(()), |spec| check(spec, class.as_ref()));
            checked.map_err(|why| review.forbidden(object, why))
        }
        .boxed()
    }
}

/// The class that a pod names, if it names one.
async fn class(review: &Review<'_>, object: &dyn Object) -> Result<Option<RuntimeClass>, Status> {
    let spec = typed::<Pod>(object).and_then(|pod| pod.spec.as_ref());
    let Some(name) = spec.and_then(|spec| spec.runtime_class_name.as_deref()) else { return Ok(None) };
    let found = review.look_up::<RuntimeClass>(CLASSES, "", name).await?;
    let why = || format!("pod rejected: RuntimeClass \"{name}\" not found");
    found.map(Some).ok_or_else(|| review.forbidden(object, why()))
}

type List = BTreeMap<String, Quantity>;

/// What the class says it costs; `None` if it says nothing.
fn overhead(class: &RuntimeClass) -> Option<List> {
    class.overhead.as_ref().map(|overhead| overhead.pod_fixed.clone().unwrap_or_default())
}

/// What a pod says it costs; `None` if it says nothing.
fn stated(spec: &PodSpec) -> Option<&List> {
    spec.overhead.as_ref().filter(|overhead| !overhead.is_empty())
}

fn is_same(one: &List, other: &List) -> bool {
    pod_resources::read(Some(one)) == pod_resources::read(Some(other))
}

/// Gives a new pod what its class says.
fn apply(spec: &mut PodSpec, class: &RuntimeClass) -> Result<(), String> {
    if let Some(overhead) = overhead(class) {
        if stated(spec).is_some_and(|stated| !is_same(stated, &overhead)) {
            return Err(DIFFERENT.to_owned());
        }
        spec.overhead = Some(overhead).filter(|overhead| !overhead.is_empty());
    }
    class.scheduling.as_ref().map_or(Ok(()), |scheduling| schedule(spec, scheduling))
}

/// Restricts a pod to the nodes of its class, and lets it on to them.
fn schedule(spec: &mut PodSpec, scheduling: &Scheduling) -> Result<(), String> {
    let mut selector = spec.node_selector.clone().unwrap_or_default();
    for (name, value) in scheduling.node_selector.iter().flatten() {
        if let Some(stated) = selector.get(name).filter(|stated| *stated != value) {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{name}] = {value}; pod.spec.nodeSelector[{name}] = {stated}"
            ));
        }
        selector.insert(name.clone(), value.clone());
    }
    spec.node_selector = Some(selector).filter(|selector| !selector.is_empty());
    let own = spec.tolerations.take().unwrap_or_default();
    let merged = merge(own.into_iter().chain(scheduling.tolerations.iter().flatten().cloned()).collect());
    spec.tolerations = Some(merged).filter(|merged| !merged.is_empty());
    Ok(())
}

/// Without those that others cover; of equal ones the first stays.
fn merge(all: Vec<Toleration>) -> Vec<Toleration> {
    let mut merged: Vec<Toleration> = Vec::new();
    for (i, toleration) in all.iter().enumerate() {
        let by_kept = merged.iter().any(|kept| covers(kept, toleration));
        let by_later = all[i + 1..].iter().any(|later| later != toleration && covers(later, toleration));
        if !by_kept && !by_later {
            merged.push(toleration.clone());
        }
    }
    merged
}

/// Whether `wide` tolerates all that `narrow` tolerates.
fn covers(wide: &Toleration, narrow: &Toleration) -> bool {
    if wide == narrow {
        return true;
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let operator = |toleration: &Toleration| match toleration.operator.as_deref() {
        None | Some("") => "Equal".to_owned(),
        Some(operator) => operator.to_owned(),
    };
    let any_key = text(&wide.key).is_empty() && operator(wide) == "Exists";
    if text(&wide.key) != text(&narrow.key) && !any_key {
        return false;
    }
    let effect = text(&wide.effect);
    if !effect.is_empty() && effect != text(&narrow.effect) {
        return false;
    }
    if effect == "NoExecute"
        && let Some(seconds) = wide.toleration_seconds
        && narrow.toleration_seconds.is_none_or(|narrow| narrow > seconds)
    {
        return false;
    }
    match operator(wide).as_str() {
        "Equal" => operator(narrow) == "Equal" && text(&wide.value) == text(&narrow.value),
        operator => operator == "Exists",
    }
}

/// Refuses a pod that says something else than its class.
fn check(spec: &PodSpec, class: Option<&RuntimeClass>) -> Result<(), &'static str> {
    match (class.and_then(overhead), stated(spec)) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        (Some(overhead), stated) if is_same(&overhead, stated.unwrap_or(&List::new())) => Ok(()),
        (Some(_), _) => Err(DIFFERENT),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(value: Value) -> RuntimeClass {
        let mut value = value;
        value["handler"] = json!("h");
        serde_json::from_value(value).unwrap()
    }

    fn spec(value: Value) -> PodSpec {
        let mut value = value;
        value["containers"] = json!([]);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn overhead_is_that_of_the_class() {
        let check_both = |given: Value, of: Value, expected: Result<Value, &str>| {
            let (mut spec, class) = (spec(given), class(of));
            let applied = apply(&mut spec, &class);
            match expected {
                Ok(expected) => {
                    assert_eq!(applied, Ok(()));
                    assert_eq!(json!(spec.overhead), expected);
                    assert_eq!(check(&spec, Some(&class)), Ok(()));
                }
                Err(expected) => assert_eq!(applied, Err(expected.to_owned())),
            }
        };
        let fixed = json!({"overhead": {"podFixed": {"cpu": "250m"}}});
        check_both(json!({}), json!({}), Ok(Value::Null));
        check_both(json!({}), fixed.clone(), Ok(json!({"cpu": "250m"})));
        check_both(json!({"overhead": {"cpu": "0.25"}}), fixed.clone(), Ok(json!({"cpu": "250m"})));
        check_both(json!({"overhead": {"cpu": "1"}}), fixed, Err(DIFFERENT));
        let stated = spec(json!({"overhead": {"cpu": "1"}}));
        let without = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
        assert_eq!(check(&stated, None), Err(without));
        assert_eq!(check(&stated, Some(&class(json!({})))), Err(without));
    }

    #[test]
    fn pods_go_where_their_class_can_run() {
        let of = class(json!({"scheduling": {
            "nodeSelector": {"sandbox": "yes"},
            "tolerations": [{"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"}],
        }}));
        let mut pod = spec(json!({"nodeSelector": {"disk": "ssd"}}));
        assert_eq!(apply(&mut pod, &of), Ok(()));
        assert_eq!(json!(pod.node_selector), json!({"disk": "ssd", "sandbox": "yes"}));
        assert_eq!(pod.tolerations.as_ref().unwrap().len(), 1);
        let mut pod = spec(json!({"nodeSelector": {"sandbox": "no"}}));
        let conflict =
            "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no";
        assert_eq!(apply(&mut pod, &of), Err(conflict.to_owned()));
    }

    #[test]
    fn tolerations_that_others_cover_go() {
        let check = |all: Value, expected: &[usize]| {
            let all: Vec<Toleration> = serde_json::from_value(all).unwrap();
            let expected: Vec<_> = expected.iter().map(|i| all[*i].clone()).collect();
            assert_eq!(merge(all), expected);
        };
        let exact = json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"});
        let wide = json!({"key": "k", "operator": "Exists"});
        check(json!([exact, exact]), &[0]);
        check(json!([exact, wide]), &[1]);
        check(json!([wide, exact]), &[0]);
        check(json!([exact, {"operator": "Exists"}]), &[1]);
        check(json!([exact, {"key": "other", "operator": "Exists"}]), &[0, 1]);
        check(json!([exact, {"key": "k", "operator": "Exists", "effect": "NoExecute"}]), &[0, 1]);
        let (short, long) = (
            json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}),
            json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}),
        );
        check(json!([short, long]), &[1]);
        check(json!([{"key": "k", "operator": "Exists", "effect": "NoExecute"}, long]), &[0]);
    }
}
