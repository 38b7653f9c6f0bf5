//! Why a pod has no node.

use serde_json::Value;

use super::facts::{Explanation, Facts, condition_line, one_line, quoted_after};
use crate::commands::describe::page::{list, pairs, shown};

/// For a pod without a node.
pub(super) fn why(facts: &Facts) -> Explanation {
    let (title, spec) = (facts.title(), &facts.object["spec"]);
    let gates: Vec<String> = list(&spec["schedulingGates"]).iter().map(|gate| shown(&gate["name"])).collect();
    if !gates.is_empty() {
        let gates = gates.join(", ");
        return Explanation::new(format!("{title} is held back by its scheduling gates: {gates}."))
            .because(facts.condition("PodScheduled").map(condition_line))
            .then(format!("let whoever set {gates} remove it: only then does a scheduler look at the pod"));
    }
    let scheduler = spec["schedulerName"].as_str().unwrap_or("default-scheduler").to_owned();
    let condition = facts.condition("PodScheduled").filter(|condition| condition["status"] == "False");
    let event = facts.events(&["FailedScheduling"]).first().map(|event| shown(&event["message"]));
    let said = condition.map(|condition| shown(&condition["message"])).filter(|said| !said.is_empty()).or(event);
    let Some(said) = said else {
        return Explanation::new(format!("{title} has no node yet, and no scheduler has said why."))
            .because([format!("spec.schedulerName: {scheduler}"), "condition PodScheduled: <none>".to_owned()])
            .then(format!("see whether the scheduler {scheduler:?} runs: nobody else takes this pod"));
    };
    let evidence: Vec<String> =
        condition.map(condition_line).into_iter().chain(facts.event_line(&["FailedScheduling"])).collect();
    explain(facts, &one_line(&said)).because(evidence)
}

/// What the scheduler's words mean.
fn explain(facts: &Facts, said: &str) -> Explanation {
    let title = facts.title();
    if let Some(claim) = quoted_after(said, "persistentvolumeclaim").filter(|_| said.contains("not found")) {
        return Explanation::new(format!("{title} has no node because its claim {claim:?} is not there."))
            .then(format!("create the PersistentVolumeClaim {claim:?}, or correct the pod's volumes"));
    }
    if said.contains("unbound immediate PersistentVolumeClaims") {
        let claims = claims(&facts.object);
        let open = |claim: &&String| {
            facts.find("persistentvolumeclaims", claim).is_none_or(|claim| claim["status"]["phase"] != "Bound")
        };
        let open: Vec<String> = claims.iter().filter(open).cloned().collect();
        let named = if open.is_empty() { String::new() } else { format!(" ({})", open.join(", ")) };
        let next = open.first().map_or_else(|| "gantry get pvc".to_owned(), |claim| format!("gantry why pvc/{claim}"));
        return Explanation::new(format!("{title} has no node because a claim of it has no volume yet{named}."))
            .then(next);
    }
    let Some((nodes, reasons)) = reasons(said) else {
        return Explanation::new(format!("{title} has no node: {said}")).then("gantry describe nodes");
    };
    if nodes == 0 {
        return Explanation::new(format!("{title} has no node because the cluster has none."))
            .then("add a node: gantry get nodes");
    }
    let told: Vec<String> = reasons.iter().map(|(count, reason)| in_words(*count, reason)).collect();
    let cause = format!("{title} has no node because none of {nodes} fits: {}.", told.join(", "));
    let mut explanation = Explanation::new(cause);
    for (_, reason) in reasons {
        let next = advice(facts, &reason);
        if !explanation.next.contains(&next) {
            explanation = explanation.then(next);
        }
    }
    explanation
}

/// The claims that a pod has as volumes.
fn claims(pod: &Value) -> Vec<String> {
    let name = |volume: &Value| Some(volume["persistentVolumeClaim"]["claimName"].as_str()?.to_owned());
    list(&pod["spec"]["volumes"]).iter().filter_map(name).collect()
}

/// How many nodes there are, and of how many each reason holds.
fn reasons(said: &str) -> Option<(u64, Vec<(u64, String)>)> {
    let (head, rest) = said.split_once(" nodes are available")?;
    let nodes = head.rsplit(' ').next()?.split_once('/')?.1.parse().ok()?;
    let rest = rest.trim_start_matches(':').trim();
    let rest = rest.split_once(" preemption:").map_or(rest, |(rest, _)| rest).trim().trim_end_matches('.');
    let mut reasons: Vec<(u64, String)> = Vec::new();
    for part in rest.split(", ") {
        let counted = part.split_once(' ').and_then(|(count, reason)| Some((count.parse().ok()?, reason.to_owned())));
        match (counted, reasons.last_mut()) {
            (Some(counted), _) => reasons.push(counted),
            // A reason with a comma in itself.
            (None, Some((_, reason))) => *reason = format!("{reason}, {part}"),
            (None, None) => {}
        }
    }
    (nodes == 0 || !reasons.is_empty()).then_some((nodes, reasons))
}

fn in_words(count: u64, reason: &str) -> String {
    let (has, is, matches) = if count == 1 { ("has", "is", "does not match") } else { ("have", "are", "do not match") };
    let rest = reason.strip_prefix("node(s) ").unwrap_or(reason);
    if let Some(resource) = reason.strip_prefix("Insufficient ") {
        format!("{count} {has} too little {resource} left")
    } else if reason.starts_with("Too many pods") {
        format!("{count} {has} as many pods as it may have")
    } else if let Some((_, taint)) = rest.split_once("untolerated taint") {
        let taint = taint.trim_start_matches("(s)").trim();
        format!("{count} {has} a taint that it does not tolerate {taint}").trim_end().to_owned()
    } else if rest.contains("node affinity/selector") {
        format!("{count} {matches} its node selector or affinity")
    } else if rest.starts_with("were unschedulable") {
        format!("{count} {is} cordoned")
    } else {
        format!("{count} {rest}")
    }
}

fn advice(facts: &Facts, reason: &str) -> String {
    if let Some(resource) = reason.strip_prefix("Insufficient ") {
        let requests = list(&facts.object["spec"]["containers"]).iter();
        let requests: Vec<String> = requests
            .map(|container| shown(&container["resources"]["requests"][resource]))
            .filter(|it| !it.is_empty())
            .collect();
        let asked = if requests.is_empty() { String::new() } else { format!(" ({})", requests.join(" + ")) };
        return format!("request less {resource}{asked}, free some, or add a node: gantry describe nodes");
    }
    if reason.contains("untolerated taint") {
        return "add a toleration to the pod, or take the taint off: gantry describe nodes".to_owned();
    }
    if reason.contains("node affinity/selector") {
        let wanted = pairs(&facts.object["spec"]["nodeSelector"]).join(",");
        return match wanted.is_empty() {
            true => "compare the pod's affinity with: gantry get nodes --show-labels".to_owned(),
            false => format!("label a node with {wanted}, or correct the nodeSelector: gantry get nodes --show-labels"),
        };
    }
    if reason.contains("were unschedulable") {
        return "let the node have pods again: gantry uncordon NODE".to_owned();
    }
    "gantry describe nodes".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedulers_words_are_counted() {
        let check = |said: &str, nodes: u64, expected: &[&str]| {
            let (found, reasons) = reasons(said).unwrap();
            let told: Vec<String> = reasons.iter().map(|(count, reason)| in_words(*count, reason)).collect();
            assert_eq!(
                (found, told),
                (nodes, expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()),
                "{said}"
            );
        };
        check("0/2 nodes are available: 2 Insufficient cpu.", 2, &["2 have too little cpu left"]);
        check(
            "0/5 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {a: b}, 3 node(s) didn't match \
             Pod's node affinity/selector. preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
            5,
            &[
                "1 has too little memory left",
                "1 has a taint that it does not tolerate {a: b}",
                "3 do not match its node selector or affinity",
            ],
        );
        check("0/1 nodes are available: 1 node(s) were unschedulable.", 1, &["1 is cordoned"]);
        check("0/3 nodes are available: 3 Too many pods.", 3, &["3 have as many pods as it may have"]);
        check("0/3 nodes are available: 3 node(s) had a, b.", 3, &["3 had a, b"]);
        check("0/0 nodes are available: .", 0, &[]);
        assert_eq!(reasons("no nodes available to schedule pods"), None);
    }
}
