//! The priority of a pod is that of its PriorityClass, and of no other making; there is at most one default class.

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::api::scheduling::v1::PriorityClass;

use super::{Operation, Plugin, Review, typed, typed_mut};
use crate::object::Object;

const CLASSES: &str = "scheduling.k8s.io/priorityclasses";

pub(super) struct Priority;

impl Plugin for Priority {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.is_of("core/pods") || review.is_of(CLASSES)
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let Some(pod) = typed_mut::<Pod>(object) else { return Ok(()) };
            let Some(mut spec) = pod.spec.take() else { return Ok(()) };
            let applied = match review.operation {
                Operation::Update | Operation::Delete => {
                    let old = old.and_then(typed::<Pod>);
                    keep(&mut spec, old.and_then(|old| old.spec.as_ref()));
                    Ok(())
                }
                Operation::Create => match class(review, &spec).await? {
                    Ok(class) => apply(&mut spec, class),
                    Err(why) => Err(why),
                },
            };
            pod.spec = Some(spec);
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
            let Some(class) = typed::<PriorityClass>(object) else { return Ok(()) };
            if class.global_default != Some(true) {
                return Ok(());
            }
            match default(review.list(CLASSES, "").await?) {
                Some(other) if other.metadata.name != class.metadata.name => {
                    let name = other.metadata.name.unwrap_or_default();
                    let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
                    Err(review.forbidden(object, why))
                }
                _ => Ok(()),
            }
        }
        .boxed()
    }
}

/// The class of a new pod, if it has one.
async fn class(review: &Review<'_>, spec: &PodSpec) -> Result<Result<Option<PriorityClass>, String>, Status> {
    let Some(name) = spec.priority_class_name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(Ok(default(review.list(CLASSES, "").await?)));
    };
    let found = review.get::<PriorityClass>(CLASSES, "", name).await?;
    Ok(found.map(Some).ok_or_else(|| format!("no PriorityClass with name {name} was found")))
}

/// The default class. If two came to be at a time, the lower one counts.
fn default(classes: Vec<PriorityClass>) -> Option<PriorityClass> {
    let defaults = classes.into_iter().filter(|class| class.global_default == Some(true));
    defaults.min_by_key(|class| class.value)
}

/// Clients that do not know the fields leave them out.
fn keep(spec: &mut PodSpec, old: Option<&PodSpec>) {
    let Some(old) = old else { return };
    spec.priority = spec.priority.or(old.priority);
    if spec.preemption_policy.is_none() {
        spec.preemption_policy.clone_from(&old.preemption_policy);
    }
}

/// Gives a new pod what its class says.
fn apply(spec: &mut PodSpec, class: Option<PriorityClass>) -> Result<(), String> {
    let (name, priority, policy) = match class {
        Some(class) => (class.metadata.name, class.value.unwrap_or(0), class.preemption_policy),
        None => (None, 0, None),
    };
    let policy = policy.unwrap_or_else(|| "PreemptLowerPriority".to_owned());
    if let Some(stated) = spec.priority.filter(|stated| *stated != priority) {
        return Err(format!(
            "the integer value of priority ({stated}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        ));
    }
    if let Some(stated) = spec.preemption_policy.as_ref().filter(|stated| **stated != policy) {
        return Err(format!(
            "the string value of PreemptionPolicy ({stated}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        ));
    }
    if name.is_some() {
        spec.priority_class_name = name;
    }
    spec.priority = Some(priority);
    spec.preemption_policy = Some(policy);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn class(name: &str, value: i32, default: bool) -> PriorityClass {
        serde_json::from_value(json!({
            "metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": "Never",
        }))
        .unwrap()
    }

    #[test]
    fn pods_get_what_their_class_says() {
        let check = |given: Value, class: Option<PriorityClass>, expected: Result<Value, &str>| {
            let mut given = given;
            given["containers"] = json!([]);
            let mut spec: PodSpec = serde_json::from_value(given).unwrap();
            let applied = apply(&mut spec, class)
                .map(|()| json!([spec.priority_class_name, spec.priority, spec.preemption_policy]));
            match expected {
                Ok(expected) => assert_eq!(applied, Ok(expected)),
                Err(expected) => assert!(applied.clone().is_err_and(|error| error.contains(expected)), "{applied:?}"),
            }
        };
        let high = || Some(class("high", 7, false));
        check(json!({}), None, Ok(json!([null, 0, "PreemptLowerPriority"])));
        check(json!({"priority": 0}), None, Ok(json!([null, 0, "PreemptLowerPriority"])));
        check(json!({}), high(), Ok(json!(["high", 7, "Never"])));
        check(json!({"priority": 7, "preemptionPolicy": "Never"}), high(), Ok(json!(["high", 7, "Never"])));
        check(json!({"priority": 8}), high(), Err("priority (8) must not be provided"));
        check(json!({"priority": 8}), None, Err("computed 0"));
        check(
            json!({"preemptionPolicy": "PreemptLowerPriority"}),
            high(),
            Err("PreemptionPolicy (PreemptLowerPriority)"),
        );
    }

    #[test]
    fn the_lowest_default_counts() {
        let classes = vec![class("a", 1, false), class("b", 9, true), class("c", 5, true)];
        assert_eq!(default(classes).and_then(|class| class.metadata.name).as_deref(), Some("c"));
        assert_eq!(default(vec![class("a", 1, false)]), None);
    }
}
