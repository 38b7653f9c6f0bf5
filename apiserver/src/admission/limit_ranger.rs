//! What one pod, container or volume claim asks for is within the LimitRanges of its namespace, which also say what a container
//! asks for that says nothing itself.
//!
//! What always holds: everything that is wrong is said at once. What an object asked for before a LimitRange was made is left
//! alone until what it asks for is written again.

use std::collections::BTreeMap;

use api::pod_resources::{self, List, Options};
use api::quantity::Quantity;
use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{Operation, Plugin, Review, typed, typed_mut};
use crate::object::Object;

/// Says what was set.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The greatest number of which thousandths can be told apart (upstream's `MaxMilliValue`).
const MAX_MILLI_VALUE: i64 = i64::MAX / 1000;

type ApiList = BTreeMap<String, ApiQuantity>;

pub(super) struct LimitRanger;

impl Plugin for LimitRanger {
    /// Containers can be changed through the subresource for it alone, so other updates of pods are none of its business.
    fn handles(&self, review: &Review<'_>) -> bool {
        match &*review.call.resource.storage.path {
            "core/pods" if review.operation == Operation::Create => review.subresource.is_empty(),
            "core/pods" => review.subresource == "resize",
            path => path == "core/persistentvolumeclaims" && review.subresource.is_empty(),
        }
    }

    fn mutate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a mut dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            let Some(pod) = typed_mut::<Pod>(object) else { return Ok(()) };
            for range in ranges(review, old).await? {
                complete(pod, &range);
            }
            Ok(())
        }
        .boxed()
    }

    fn validate<'a>(
        &'a self,
        review: &'a Review<'a>,
        object: &'a dyn Object,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            for range in ranges(review, old).await? {
                let wrong = match (typed::<Pod>(object), typed::<PersistentVolumeClaim>(object)) {
                    (Some(pod), _) => check_pod(pod, &range),
                    (None, Some(claim)) => check_claim(claim, &range),
                    (None, None) => Vec::new(),
                };
                if let Some(why) = aggregate(wrong) {
                    return Err(review.forbidden(object, why));
                }
            }
            Ok(())
        }
        .boxed()
    }
}

/// Those that hold; none for what is going.
async fn ranges(review: &Review<'_>, old: Option<&dyn Object>) -> Result<Vec<LimitRange>, Status> {
    if old.is_some_and(|old| old.meta().deletion_timestamp.is_some()) {
        return Ok(Vec::new());
    }
    review.list("core/limitranges", review.call.namespace()).await
}

fn items<'a>(range: &'a LimitRange, kind: &'a str) -> impl Iterator<Item = &'a LimitRangeItem> {
    range.spec.iter().flat_map(|spec| &spec.limits).filter(move |item| item.type_ == kind)
}

/// Gives containers that say nothing themselves what the range says.
fn complete(pod: &mut Pod, range: &LimitRange) {
    let (mut requests, mut limits) = (ApiList::new(), ApiList::new());
    for item in items(range, "Container") {
        requests.extend(item.default_request.clone().unwrap_or_default());
        limits.extend(item.default.clone().unwrap_or_default());
    }
    let Some(spec) = pod.spec.as_mut() else { return };
    let mut said = Vec::new();
    for container in &mut spec.containers {
        said.extend(complete_container(container, "container", &requests, &limits));
    }
    for container in spec.init_containers.iter_mut().flatten() {
        said.extend(complete_container(container, "init container", &requests, &limits));
    }
    if !said.is_empty() {
        let said = format!("LimitRanger plugin set: {}", said.join("; "));
        pod.metadata.annotations.get_or_insert_default().insert(ANNOTATION.to_owned(), said);
    }
}

/// Says what was set.
fn complete_container(container: &mut Container, kind: &str, requests: &ApiList, limits: &ApiList) -> Vec<String> {
    let mut resources = container.resources.take().unwrap_or_default();
    let lists = [(&mut resources.requests, requests, "request"), (&mut resources.limits, limits, "limit")];
    let mut said = Vec::new();
    for (list, defaults, field) in lists {
        let mut set = Vec::new();
        for (name, quantity) in defaults {
            if !list.as_ref().is_some_and(|list| list.contains_key(name)) {
                list.get_or_insert_default().insert(name.clone(), quantity.clone());
                set.push(name.as_str());
            }
        }
        if !set.is_empty() {
            said.push(format!("{} {field} for {kind} {}", set.join(", "), container.name));
        }
    }
    container.resources = Some(resources);
    said
}

fn check_pod(pod: &Pod, range: &LimitRange) -> Vec<String> {
    let mut wrong = Vec::new();
    for item in range.spec.iter().flat_map(|spec| &spec.limits) {
        match item.type_.as_str() {
            "Container" => {
                let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                let initial = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
                for container in containers.chain(initial) {
                    let resources = container.resources.as_ref();
                    let requests = pod_resources::read(resources.and_then(|resources| resources.requests.as_ref()));
                    let limits = pod_resources::read(resources.and_then(|resources| resources.limits.as_ref()));
                    wrong.extend(check(item, &requests, &limits));
                }
            }
            "Pod" => {
                let options = Options { without_overhead: true, ..Options::default() };
                let (requests, limits) = (pod_resources::requests(pod, options), pod_resources::limits(pod, options));
                wrong.extend(check(item, &requests, &limits));
            }
            _ => {}
        }
    }
    wrong
}

/// What is requested is all that counts of a claim.
fn check_claim(claim: &PersistentVolumeClaim, range: &LimitRange) -> Vec<String> {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = pod_resources::read(resources.and_then(|resources| resources.requests.as_ref()));
    let mut wrong = Vec::new();
    for item in items(range, "PersistentVolumeClaim") {
        for (name, bound) in &pod_resources::read(item.min.as_ref()) {
            wrong.extend(Asked::of(item, name, &requests, &List::new()).below(bound));
        }
        for (name, bound) in &pod_resources::read(item.max.as_ref()) {
            wrong.extend(Asked::of(item, name, &requests, &List::new()).requests_above(bound));
        }
    }
    wrong
}

fn check(item: &LimitRangeItem, requests: &List, limits: &List) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, bound) in &pod_resources::read(item.min.as_ref()) {
        wrong.extend(Asked::of(item, name, requests, limits).below(bound));
    }
    for (name, bound) in &pod_resources::read(item.max.as_ref()) {
        wrong.extend(Asked::of(item, name, requests, limits).above(bound));
    }
    for (name, ratio) in &pod_resources::read(item.max_limit_request_ratio.as_ref()) {
        wrong.extend(Asked::of(item, name, requests, limits).apart(ratio));
    }
    wrong
}

/// What is asked for of one resource.
struct Asked<'a> {
    kind: &'a str,
    name: &'a str,
    request: Option<&'a Quantity>,
    limit: Option<&'a Quantity>,
}

impl<'a> Asked<'a> {
    fn of(item: &'a LimitRangeItem, name: &'a str, requests: &'a List, limits: &'a List) -> Asked<'a> {
        Asked { kind: &item.type_, name, request: requests.get(name), limit: limits.get(name) }
    }

    /// That it is less than is given.
    fn below(&self, bound: &Quantity) -> Option<String> {
        let said = format!("minimum {} usage per {} is {bound}", self.name, self.kind);
        match (self.request, self.limit) {
            (None, _) => Some(format!("{said}.  No request is specified")),
            (Some(request), _) if request < bound => Some(format!("{said}, but request is {request}")),
            (_, Some(limit)) if limit < bound => Some(format!("{said}, but limit is {limit}")),
            _ => None,
        }
    }

    /// That it is more than is given.
    fn above(&self, bound: &Quantity) -> Option<String> {
        let said = format!("maximum {} usage per {} is {bound}", self.name, self.kind);
        match (self.request, self.limit) {
            (_, None) => Some(format!("{said}.  No limit is specified")),
            (_, Some(limit)) if limit > bound => Some(format!("{said}, but limit is {limit}")),
            (Some(request), _) if request > bound => Some(format!("{said}, but request is {request}")),
            _ => None,
        }
    }

    /// The same of what has no limits.
    fn requests_above(&self, bound: &Quantity) -> Option<String> {
        let said = format!("maximum {} usage per {} is {bound}", self.name, self.kind);
        match self.request {
            None => Some(format!("{said}.  No request is specified")),
            Some(request) if request > bound => Some(format!("{said}, but request is {request}")),
            Some(_) => None,
        }
    }

    /// That the limit is too many times the request.
    fn apart(&self, ratio: &Quantity) -> Option<String> {
        let said = format!("{} max limit to request ratio per {} is {ratio}", self.name, self.kind);
        let Some(request) = self.request.filter(|request| !request.is_zero()) else {
            return Some(format!("{said}, but no request is specified or request is 0"));
        };
        let Some(limit) = self.limit.filter(|limit| !limit.is_zero()) else {
            return Some(format!("{said}, but no limit is specified or limit is 0"));
        };
        let provided = in_numbers(limit, request);
        let wanted = if ratio.value() <= MAX_MILLI_VALUE { ratio.milli_value() as f64 } else { ratio.value() as f64 };
        let scaled = if ratio.value() <= MAX_MILLI_VALUE { provided * 1000.0 } else { provided };
        (scaled > wanted).then(|| format!("{said}, but provided ratio is {provided:.6}"))
    }
}

/// How many times `request` is in `limit`, as exactly as both can be told in thousandths.
fn in_numbers(limit: &Quantity, request: &Quantity) -> f64 {
    if limit.value() <= MAX_MILLI_VALUE && request.value() <= MAX_MILLI_VALUE {
        return limit.milli_value() as f64 / request.milli_value() as f64;
    }
    limit.value() as f64 / request.value() as f64
}

/// Several errors as one text, each once (`utilerrors.NewAggregate`); none, if nothing is wrong.
fn aggregate(mut wrong: Vec<String>) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    wrong.retain(|error| seen.insert(error.clone()));
    match wrong.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn range(items: Value) -> LimitRange {
        serde_json::from_value(json!({"spec": {"limits": items}})).unwrap()
    }

    fn pod(requests: Value, limits: Value) -> Pod {
        let resources = json!({"requests": requests, "limits": limits});
        serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})).unwrap()
    }

    #[test]
    fn containers_that_say_nothing_get_what_the_range_says() {
        let range = range(json!([
            {"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}},
            {"type": "Pod", "max": {"cpu": "2"}},
        ]));
        let mut pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [{"name": "i", "resources": {"limits": {"memory": "1Mi"}}}],
            "containers": [{"name": "c"}, {"name": "d", "resources": {"limits": {"cpu": 2, "memory": "2Gi"}, "requests": {"cpu": "3m"}}}],
        }}))
        .unwrap();
        complete(&mut pod, &range);
        let expected = "LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c; cpu request \
                        for init container i; cpu limit for init container i";
        assert_eq!(pod.metadata.annotations.as_ref().unwrap()[ANNOTATION], expected);
        let spec = json!(pod.spec.as_ref().unwrap());
        assert_eq!(
            spec["containers"][0]["resources"],
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
        );
        assert_eq!(spec["initContainers"][0]["resources"]["limits"], json!({"cpu": "1", "memory": "1Mi"}));
        let before = pod.clone();
        complete(&mut pod, &range);
        assert_eq!(pod, before);
    }

    #[test]
    fn containers_keep_within_bounds() {
        let check = |item: Value, requests: Value, limits: Value, expected: &str| {
            let mut item = item;
            item["type"] = json!("Container");
            let found = aggregate(check_pod(&pod(requests, limits), &range(json!([item]))));
            assert_eq!(found.unwrap_or_default(), expected);
        };
        let none = json!({});
        let min = json!({"min": {"cpu": "100m"}});
        let said = "minimum cpu usage per Container is 100m";
        check(min.clone(), json!({"cpu": "100m"}), none.clone(), "");
        check(min.clone(), none.clone(), none.clone(), &format!("{said}.  No request is specified"));
        check(min.clone(), json!({"cpu": "50m"}), none.clone(), &format!("{said}, but request is 50m"));
        check(min, json!({"cpu": "1"}), json!({"cpu": "99m"}), &format!("{said}, but limit is 99m"));
        let max = json!({"max": {"memory": "1Gi"}});
        let said = "maximum memory usage per Container is 1Gi";
        check(max.clone(), none.clone(), json!({"memory": "1024Mi"}), "");
        check(max.clone(), json!({"memory": "1Mi"}), none.clone(), &format!("{said}.  No limit is specified"));
        check(max.clone(), none.clone(), json!({"memory": "2Gi"}), &format!("{said}, but limit is 2Gi"));
        check(max, json!({"memory": "2Gi"}), json!({"memory": "1Gi"}), &format!("{said}, but request is 2Gi"));
        let ratio = json!({"maxLimitRequestRatio": {"cpu": "1500m"}});
        let said = "cpu max limit to request ratio per Container is 1500m";
        check(ratio.clone(), json!({"cpu": "2"}), json!({"cpu": "3"}), "");
        check(
            ratio.clone(),
            json!({"cpu": "2"}),
            json!({"cpu": "3200m"}),
            &format!("{said}, but provided ratio is 1.600000"),
        );
        let unsaid = format!("{said}, but no request is specified or request is 0");
        check(ratio.clone(), json!({"cpu": "0"}), json!({"cpu": "3"}), &unsaid);
        check(ratio, json!({"cpu": "1"}), none.clone(), &format!("{said}, but no limit is specified or limit is 0"));
        check(
            json!({"min": {"cpu": "1", "memory": "1Gi"}}),
            none.clone(),
            none,
            "[minimum cpu usage per Container is 1.  No request is specified, minimum memory usage per Container is 1Gi.  No \
             request is specified]",
        );
    }

    #[test]
    fn pods_keep_within_bounds_as_a_whole() {
        let check = |spec: Value, expected: &str| {
            let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
            let range = range(json!([{"type": "Pod", "max": {"cpu": "3"}}]));
            assert_eq!(aggregate(check_pod(&pod, &range)).unwrap_or_default(), expected);
        };
        let container = |name: &str, cpu: &str| json!({"name": name, "resources": {"limits": {"cpu": cpu}}});
        let said = "maximum cpu usage per Pod is 3, but limit is";
        check(json!({"containers": [container("a", "1"), container("b", "2")]}), "");
        check(json!({"containers": [container("a", "2"), container("b", "2")]}), &format!("{said} 4"));
        check(
            json!({"initContainers": [container("i", "5")], "containers": [container("a", "2")]}),
            &format!("{said} 5"),
        );
        check(
            json!({"overhead": {"cpu": "9"}, "resources": {"limits": {"cpu": "3"}}, "containers": [container("a", "4")]}),
            "",
        );
    }

    #[test]
    fn claims_keep_within_bounds() {
        let check = |storage: Option<&str>, expected: &str| {
            let requests = storage.map_or(json!({}), |storage| json!({"storage": storage}));
            let claim = json!({"spec": {"resources": {"requests": requests}}});
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
            let item = json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}});
            assert_eq!(aggregate(check_claim(&claim, &range(json!([item])))).unwrap_or_default(), expected);
        };
        check(Some("1Gi"), "");
        check(Some("5Gi"), "");
        check(Some("1Mi"), "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi");
        check(Some("6Gi"), "maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 6Gi");
        check(
            None,
            "[minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified, maximum storage usage per \
             PersistentVolumeClaim is 5Gi.  No request is specified]",
        );
    }
}
