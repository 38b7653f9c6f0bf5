//! Why a Service leads nowhere.

use serde_json::Value;

use super::facts::{Explanation, Facts};
use super::pod;
use crate::commands::describe::page::{list, pairs, shown};

/// How many pods that are not ready are told of.
const MOST: usize = 3;

/// A label that is wanted, and what a pod has instead.
type Difference = (String, Option<String>);

/// For a Service.
pub(super) fn why(facts: &Facts) -> Explanation {
    let (title, spec) = (facts.title(), &facts.object["spec"]);
    if spec["type"] == "ExternalName" {
        return Explanation::new(format!("{title} is only another name for {}.", shown(&spec["externalName"])));
    }
    let slices = facts.all("endpointslices");
    let is_ready = |endpoint: &&Value| endpoint["conditions"]["ready"] != false;
    let addresses = |slice: &&Value| list(&slice["endpoints"]).iter().any(|endpoint| is_ready(&endpoint));
    let is_served = |port: &&Value| {
        let has = |slice: &Value| list(&slice["ports"]).iter().any(|own| shown(&own["name"]) == shown(&port["name"]));
        slices.iter().filter(addresses).any(has)
    };
    let ports = list(&spec["ports"]);
    let unserved = ports.iter().find(|port| !is_served(port));
    if slices.iter().any(|slice| addresses(&slice)) && unserved.is_none() {
        let count: usize = slices.iter().map(|slice| list(&slice["endpoints"]).iter().filter(is_ready).count()).sum();
        return Explanation::new(format!("{title} leads to {count} ready endpoints: nothing is wrong with it."));
    }
    if spec["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        return Explanation::new(format!("{title} has no selector, and nobody has given it endpoints."))
            .because(["spec.selector: <none>".to_owned()])
            .then("give it a selector, or an EndpointSlice with the label kubernetes.io/service-name");
    }
    let wanted = pairs(&spec["selector"]);
    let has = |pod: &&Value| {
        let labels = pairs(&pod["metadata"]["labels"]);
        wanted.iter().all(|pair| labels.contains(pair))
    };
    let meant: Vec<&Value> = facts.all("pods").iter().filter(has).collect();
    if meant.is_empty() {
        return unmatched(facts, &wanted);
    }
    if let Some(explanation) = port_name(facts, &meant) {
        return explanation;
    }
    let is_pod_ready = |pod: &&&Value| {
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        list(&pod["status"]["conditions"]).iter().any(is_ready)
    };
    let bad: Vec<&&Value> = meant.iter().filter(|pod| !is_pod_ready(pod)).collect();
    let Some(first) = bad.first() else {
        return Explanation::new(format!("{title} has ready pods, but no EndpointSlice says so yet."))
            .because([format!("{} pods match {} and are ready", meant.len(), wanted.join(","))])
            .then("see whether the controller manager runs");
    };
    let of_pod = pod::why(&facts.of("Pod", first));
    let others = bad.iter().skip(1).take(MOST).map(|pod| pod::why(&facts.of("Pod", pod)).cause);
    let cause = of_pod.cause.clone();
    let count = format!("{} pods match {}, none is ready", meant.len(), wanted.join(","));
    Explanation { cause: format!("{title} has no endpoints because no pod of it is ready: {cause}"), ..of_pod }
        .because([count])
        .because(others)
}

/// A selector that matches nothing, and the pod that is nearest to it.
fn unmatched(facts: &Facts, wanted: &[String]) -> Explanation {
    let (title, selector) = (facts.title(), wanted.join(","));
    let explanation =
        Explanation::new(format!("{title} has no endpoints because its selector {selector} matches no pod."));
    let Some((pod, differences)) = nearest(wanted, facts.all("pods")) else {
        return explanation
            .because(["there are no pods in the namespace".to_owned()])
            .then(format!("make pods with the labels {selector}"));
    };
    let name = shown(&pod["metadata"]["name"]);
    let told: Vec<String> = differences
        .iter()
        .map(|(wanted, found)| match found {
            Some(found) => format!("{found} instead of {wanted}"),
            None => format!("no label {wanted}"),
        })
        .collect();
    explanation
        .because([format!("nearest: pod/{name} has {}", told.join(", "))])
        .then(format!("correct the selector of {title}, or the labels of the pods: gantry get pods --show-labels"))
}

/// The pod whose labels are nearest to those that are wanted, and where they differ: the pair that is wanted, and what
/// the pod has instead.
fn nearest<'a>(wanted: &[String], pods: &'a [Value]) -> Option<(&'a Value, Vec<Difference>)> {
    let of = |pod: &'a Value| {
        let labels = pairs(&pod["metadata"]["labels"]);
        let mut differences = Vec::new();
        let mut distance = 0;
        for pair in wanted.iter().filter(|pair| !labels.contains(pair)) {
            let key = pair.split('=').next().unwrap_or_default();
            let same_key = labels.iter().find(|label| label.split('=').next() == Some(key));
            let near = same_key.or_else(|| labels.iter().min_by_key(|label| strsim::damerau_levenshtein(label, pair)));
            let far = pair.chars().count() + 1;
            let apart = near.map_or(far, |near| strsim::damerau_levenshtein(near, pair));
            let is_near = same_key.is_some() || apart <= pair.chars().count() / 2;
            distance += if is_near { apart } else { far };
            differences.push((pair.clone(), near.filter(|_| is_near).cloned()));
        }
        (distance, shown(&pod["metadata"]["name"]), pod, differences)
    };
    let nearest = pods.iter().map(of).min_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)))?;
    Some((nearest.2, nearest.3))
}

/// A port that is named as none of the pods names one.
fn port_name(facts: &Facts, pods: &[&Value]) -> Option<Explanation> {
    for port in list(&facts.object["spec"]["ports"]) {
        let Some(wanted) = port["targetPort"].as_str() else { continue };
        let named = |pod: &&Value| {
            let containers = list(&pod["spec"]["containers"]).iter().chain(list(&pod["spec"]["initContainers"]));
            containers
                .flat_map(|container| list(&container["ports"]))
                .map(|port| shown(&port["name"]))
                .collect::<Vec<_>>()
        };
        let mut names: Vec<String> = pods.iter().flat_map(named).filter(|name| !name.is_empty()).collect();
        names.sort();
        names.dedup();
        if names.iter().any(|name| name == wanted) {
            continue;
        }
        let have = if names.is_empty() { "<none>".to_owned() } else { names.join(", ") };
        return Some(
            Explanation::new(format!(
                "{} has no endpoints for its port {} because no pod of it has a port with the name {wanted:?}.",
                facts.title(),
                shown(&port["port"])
            ))
            .because([format!("spec.ports.targetPort: {wanted}"), format!("names of the ports of its pods: {have}")])
            .then("correct targetPort, or name the port of the container so"),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_nearest_pod_is_the_one_that_differs_least() {
        let pods = [
            json!({"metadata": {"name": "db", "labels": {"app": "database"}}}),
            json!({"metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}}}),
        ];
        let check = |wanted: &[&str], name: &str, expected: &[(&str, Option<&str>)]| {
            let wanted: Vec<String> = wanted.iter().map(|pair| (*pair).to_owned()).collect();
            let (pod, differences) = nearest(&wanted, &pods).unwrap();
            let found: Vec<(&str, Option<&str>)> =
                differences.iter().map(|(wanted, found)| (wanted.as_str(), found.as_deref())).collect();
            assert_eq!((shown(&pod["metadata"]["name"]).as_str(), found.as_slice()), (name, expected));
        };
        check(&["app=webb"], "web", &[("app=webb", Some("app=web"))]);
        check(&["app=web", "tier=back"], "web", &[("tier=back", Some("tier=front"))]);
        check(&["apps=web"], "web", &[("apps=web", Some("app=web"))]);
        check(&["zone=eu-west-1"], "db", &[("zone=eu-west-1", None)]);
        assert!(nearest(&[], &[]).is_none());
    }
}
