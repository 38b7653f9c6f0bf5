//! Which pods end to make room for one that the cluster cannot do without: as few as possible, and those first that were
//! promised least.

use k8s_openapi::api::core::v1::Pod;

use super::room::{Lack, requested};
use crate::cgroups::Class;
use crate::containers::priority;

/// How much of something is to be freed.
#[derive(Clone, Debug, PartialEq)]
struct Need<'a> {
    resource: &'a str,
    quantity: i64,
}

/// The places, among all pods, of those that have to end.
///
/// # Errors
/// If all that may end are not enough; what would still be missing, in upstream's words.
pub(super) fn victims(pod: &Pod, others: &[&Pod], lacks: &[Lack]) -> Result<Vec<usize>, String> {
    let needs: Vec<_> = lacks.iter().map(|lack| Need { resource: &lack.resource, quantity: lack.missing() }).collect();
    let of_class = |class: Class| -> Vec<usize> {
        let places = 0..others.len();
        places
            .filter(|place| {
                let other = others[*place];
                priority::is_preemptable(other, pod) && Class::of(other) == class
            })
            .collect()
    };
    let [guaranteed, burstable, best_effort] = Class::ALL.map(of_class);
    let left = |freed: &[&[usize]]| without(&needs, others, freed.iter().copied().flatten().copied());
    let missing = left(&[&best_effort, &burstable, &guaranteed]);
    if !missing.is_empty() {
        return Err(no_such_set(&missing));
    }
    let chosen_guaranteed = nearest(others, &guaranteed, left(&[&best_effort, &burstable]))?;
    let chosen_burstable = nearest(others, &burstable, left(&[&best_effort, &chosen_guaranteed]))?;
    let mut chosen = nearest(others, &best_effort, left(&[&chosen_burstable, &chosen_guaranteed]))?;
    chosen.extend(chosen_burstable);
    chosen.extend(chosen_guaranteed);
    Ok(chosen)
}

fn no_such_set(needs: &[Need<'_>]) -> String {
    let needs: String = needs.iter().map(|need| format!("(res: {}, q: {}), ", need.resource, need.quantity)).collect();
    format!("no set of running pods found to reclaim resources: [{needs}]")
}

/// What is still needed if these pods end.
fn without<'a>(needs: &[Need<'a>], others: &[&Pod], freed: impl Iterator<Item = usize> + Clone) -> Vec<Need<'a>> {
    let left = needs.iter().map(|need| {
        let freed: i64 = freed.clone().map(|place| requested(others[place], need.resource)).sum();
        Need { resource: need.resource, quantity: need.quantity - freed }
    });
    left.filter(|need| need.quantity > 0).collect()
}

/// Takes one pod after the other: each time the one that leaves least to be freed, and of equals the smaller one.
fn nearest(others: &[&Pod], candidates: &[usize], mut needs: Vec<Need<'_>>) -> Result<Vec<usize>, String> {
    let mut candidates = candidates.to_vec();
    let mut chosen = Vec::new();
    while !needs.is_empty() {
        let best = candidates.iter().enumerate().min_by(|(_, one), (_, other)| {
            let (one, other) = (others[**one], others[**other]);
            let by_distance = distance(one, &needs).total_cmp(&distance(other, &needs));
            by_distance.then_with(|| size(one).cmp(&size(other)))
        });
        let Some((index, place)) = best.map(|(index, place)| (index, *place)) else {
            return Err(no_such_set(&needs));
        };
        needs = without(&needs, others, std::iter::once(place));
        chosen.push(place);
        candidates.remove(index);
    }
    Ok(chosen)
}

/// How far the pod's end is from what is needed. Each need counts the same, whatever its amount.
fn distance(pod: &Pod, needs: &[Need<'_>]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "the fractions only order pods")]
    let fraction = |need: &Need<'_>| {
        let left = (need.quantity - requested(pod, need.resource)).max(0);
        left as f64 / need.quantity as f64
    };
    needs.iter().map(|need| fraction(need).powi(2)).sum()
}

fn size(pod: &Pod) -> (i64, i64) {
    (requested(pod, "memory"), requested(pod, "cpu"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(priority: i32, requests: &[(&str, &str)], limited: bool) -> Pod {
        let list: std::collections::BTreeMap<_, _> = requests.iter().copied().collect();
        let mut resources = json!({"requests": list});
        if limited {
            resources["limits"] = json!(list);
        }
        let container = json!({"name": "c", "resources": resources});
        serde_json::from_value(json!({"spec": {"priority": priority, "containers": [container]}})).unwrap()
    }

    #[test]
    fn as_few_as_possible_end_and_the_least_first() {
        let critical = pod(2_000_000_000, &[], false);
        let all = [
            pod(0, &[], false),
            pod(0, &[("cpu", "1"), ("memory", "1Gi")], true),
            pod(0, &[("cpu", "500m"), ("memory", "2Gi")], false),
            pod(0, &[("cpu", "600m"), ("memory", "1Gi")], false),
            pod(2_000_000_000, &[("cpu", "8")], false),
        ];
        let others: Vec<&Pod> = all.iter().collect();
        let check = |needs: &[(&str, i64)], expected: Result<&[usize], &str>| {
            let lack = |(resource, missing): &(&str, i64)| Lack {
                resource: (*resource).to_owned(),
                requested: *missing,
                used: 0,
                capacity: 0,
            };
            let found = victims(&critical, &others, &needs.iter().map(lack).collect::<Vec<_>>());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{needs:?}");
        };
        check(&[("pods", 1)], Ok(&[0]));
        // Both would do; the second needs less memory.
        check(&[("cpu", 400)], Ok(&[3]));
        check(&[("cpu", 550)], Ok(&[3]));
        check(&[("memory", 2 << 30)], Ok(&[2]));
        check(&[("cpu", 1100)], Ok(&[3, 2]));
        check(&[("cpu", 1200)], Ok(&[3, 1]));
        check(&[("pods", 2), ("cpu", 1)], Ok(&[0, 3]));
        let message = "no set of running pods found to reclaim resources: [(res: cpu, q: 400), ]";
        check(&[("cpu", 2500)], Err(message));
    }
}
