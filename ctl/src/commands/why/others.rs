//! Why claims, nodes, namespaces and objects of any kind are not as they are to be.

use serde_json::Value;

use super::facts::{Explanation, Facts, condition_line, one_line};
use crate::commands::describe::page::{list, shown, texts};

/// For a claim.
pub(super) fn claim(facts: &Facts) -> Explanation {
    let (title, spec, status) = (facts.title(), &facts.object["spec"], &facts.object["status"]);
    match status["phase"].as_str() {
        Some("Bound") => {
            let volume = shown(&spec["volumeName"]);
            return Explanation::new(format!("{title} is bound to the volume {volume}: nothing is wrong with it."));
        }
        Some("Lost") => {
            let volume = shown(&spec["volumeName"]);
            return Explanation::new(format!("{title} is lost because its volume {volume} is gone."))
                .because(facts.event_line(&[]))
                .then("restore the data into a new claim");
        }
        _ => {}
    }
    if let Some(event) = facts.events(&["ProvisioningFailed"]).first() {
        let message = one_line(&shown(&event["message"]));
        return Explanation::new(format!("{title} is pending because its volume cannot be made: {message}."))
            .because([facts.line(event)])
            .then("gantry describe storageclass");
    }
    let name = shown(&spec["storageClassName"]);
    let class = facts.find("storageclasses", &name);
    let said = facts.event_line(&[]);
    if class.is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer") {
        let own = facts.name();
        let uses = |pod: &&Value| {
            list(&pod["spec"]["volumes"]).iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == own)
        };
        return match facts.all("pods").iter().find(uses) {
            None => {
                Explanation::new(format!("{title} is pending because its class {name} waits for a pod that uses it."))
                    .because(said)
                    .then("make a pod that uses the claim")
            }
            Some(pod) => {
                let pod = shown(&pod["metadata"]["name"]);
                Explanation::new(format!("{title} is pending until the pod {pod} that uses it has a node."))
                    .because(said)
                    .then(format!("gantry why pod/{pod}"))
            }
        };
    }
    let provisioner = class.map(|class| shown(&class["provisioner"])).unwrap_or_default();
    if class.is_some() && provisioner != "kubernetes.io/no-provisioner" {
        return Explanation::new(format!("{title} is pending because {provisioner} has not made a volume for it yet."))
            .because(said)
            .then(format!("see whether the provisioner {provisioner} runs"));
    }
    without_provisioner(facts, &name, class.is_some()).because(said)
}

/// A claim that can only be bound to a volume that is there already.
fn without_provisioner(facts: &Facts, class: &str, has_class: bool) -> Explanation {
    let (title, spec) = (facts.title(), &facts.object["spec"]);
    let of_class = |volume: &&Value| shown(&volume["spec"]["storageClassName"]) == class;
    let named = shown(&spec["volumeName"]);
    if !named.is_empty() && facts.knows("persistentvolumes") && facts.find("persistentvolumes", &named).is_none() {
        return Explanation::new(format!("{title} is pending because the volume {named} that it names is not there."))
            .because([format!("spec.volumeName: {named}")])
            .then(format!("make the PersistentVolume {named}, or a claim that names none"));
    }
    let volumes: Vec<&Value> = facts.all("persistentvolumes").iter().filter(of_class).collect();
    let wanted = shown(&spec["resources"]["requests"]["storage"]);
    let modes = texts(&spec["accessModes"]);
    let whose = |volume: &&Value| {
        let name = shown(&volume["metadata"]["name"]);
        let (claim, own) = (&volume["spec"]["claimRef"], texts(&volume["spec"]["accessModes"]));
        let size = shown(&volume["spec"]["capacity"]["storage"]);
        let parse = api::quantity::Quantity::parse;
        let is_small = matches!((parse(&size), parse(&wanted)), (Ok(size), Ok(wanted)) if size < wanted);
        let why = if !claim.is_null() && claim["name"] != facts.object["metadata"]["name"] {
            format!("is of the claim {}/{}", shown(&claim["namespace"]), shown(&claim["name"]))
        } else if is_small {
            format!("has only {size}")
        } else if !modes.iter().all(|mode| own.contains(mode)) {
            format!("can only be {}", own.join(", "))
        } else {
            "is free".to_owned()
        };
        format!("persistentvolume/{name} {why}")
    };
    let evidence: Vec<String> = volumes.iter().map(whose).collect();
    if let Some(fitting) = volumes.iter().find(|volume| whose(volume).ends_with("is free")) {
        let name = shown(&fitting["metadata"]["name"]);
        return Explanation::new(format!(
            "{title} is pending though the volume {name} fits it: nobody has bound them yet."
        ))
        .because(evidence)
        .then("see whether the controller manager runs");
    }
    let modes = modes.join(", ");
    let cause = if class.is_empty() {
        format!("{title} is pending because it names no StorageClass, none is the default, and no volume fits it.")
    } else if has_class {
        format!("{title} is pending because its class {class} makes no volumes, and none that is there fits it.")
    } else {
        format!("{title} is pending because its StorageClass {class:?} is not there, and no volume fits it.")
    };
    Explanation::new(cause)
        .because(evidence)
        .then(format!("make a PersistentVolume with {wanted}, {modes} and this class, or name another class"))
        .then("gantry get storageclass,pv")
}

/// For a node.
pub(super) fn node(facts: &Facts) -> Explanation {
    let title = facts.title();
    let lease = facts.all("lease").first().map(|lease| {
        let renewed = &lease["spec"]["renewTime"];
        format!("lease: last renewed {} ago", facts.clock.since(renewed))
    });
    let Some(ready) = facts.condition("Ready") else {
        return Explanation::new(format!("{title} has never reported."))
            .because(lease)
            .then("start its agent: gantry kubelet");
    };
    if ready["status"] == "Unknown" {
        return Explanation::new(format!("{title} is not ready because its agent has stopped reporting."))
            .because([condition_line(ready)])
            .because(lease)
            .then("see whether the machine runs, its agent runs, and it reaches the API server");
    }
    let pressure: Vec<&Value> = list(&facts.object["status"]["conditions"])
        .iter()
        .filter(|condition| condition["type"] != "Ready" && condition["status"] == "True")
        .collect();
    if ready["status"] == "False" {
        let message = one_line(&shown(&ready["message"]));
        return Explanation::new(format!("{title} is not ready: {message}."))
            .because([condition_line(ready)])
            .because(pressure.into_iter().map(condition_line))
            .then("see the log of its agent");
    }
    if let Some(first) = pressure.first() {
        return Explanation::new(format!("{title} is ready, but it is under {}.", shown(&first["type"])))
            .because(pressure.iter().map(|condition| condition_line(condition)))
            .then(format!("gantry describe {title}"));
    }
    if facts.object["spec"]["unschedulable"] == true {
        return Explanation::new(format!("{title} is ready, but cordoned: it gets no new pods."))
            .because(["spec.unschedulable: true".to_owned()])
            .then(format!("gantry uncordon {}", facts.name()));
    }
    Explanation::new(format!("{title} is ready: nothing is wrong with it."))
}

/// For a namespace.
pub(super) fn namespace(facts: &Facts) -> Explanation {
    let title = facts.title();
    let deleted = &facts.object["metadata"]["deletionTimestamp"];
    if deleted.is_null() {
        return Explanation::new(format!("{title} is active: nothing is wrong with it."));
    }
    let since = facts.clock.since(deleted);
    let conditions: Vec<&Value> =
        list(&facts.object["status"]["conditions"]).iter().filter(|condition| condition["status"] == "True").collect();
    let of = |name: &str| conditions.iter().find(|condition| condition["type"] == name);
    let message = |condition: &Value| one_line(&shown(&condition["message"]));
    let (why, next) = if let Some(condition) = of("NamespaceDeletionDiscoveryFailure") {
        let next = "see which API has no server: gantry get apiservices".to_owned();
        (format!("the server cannot tell what there is in it: {}", message(condition)), next)
    } else if let Some(condition) = of("NamespaceFinalizersRemaining") {
        let next = "let whoever set these finalizers finish, or take them off if nobody will".to_owned();
        (format!("objects in it have finalizers: {}", message(condition)), next)
    } else if let Some(condition) = of("NamespaceContentRemaining") {
        (format!("there are objects left in it: {}", message(condition)), format!("gantry get all -n {}", facts.name()))
    } else if let Some(condition) = of("NamespaceDeletionContentFailure") {
        (format!("what is in it cannot be deleted: {}", message(condition)), "see what the message names".to_owned())
    } else {
        let finalizers = texts(&facts.object["spec"]["finalizers"]).join(", ");
        (
            format!("nobody has removed its finalizers yet: {finalizers}"),
            "see whether the controller manager runs".to_owned(),
        )
    };
    Explanation::new(format!("{title} has been ending for {since} because {why}."))
        .because(conditions.into_iter().map(condition_line))
        .then(next)
}

/// For any object that is deleted, and is still there.
pub(super) fn deleted(facts: &Facts) -> Option<Explanation> {
    let meta = &facts.object["metadata"];
    if meta["deletionTimestamp"].is_null() {
        return None;
    }
    let (title, since) = (facts.title(), facts.clock.since(&meta["deletionTimestamp"]));
    let finalizers = texts(&meta["finalizers"]).join(", ");
    let next = match finalizers.as_str() {
        "kubernetes.io/pvc-protection" => "end the pods that use it",
        "kubernetes.io/pv-protection" => "delete the claim that it is bound to",
        "foregroundDeletion" => "see what it owns: that is deleted first",
        _ => "let whoever set them finish, or take them off if nobody will",
    };
    Some(
        Explanation::new(format!("{title} is deleted but kept by its finalizers: {finalizers}."))
            .because([format!("metadata.deletionTimestamp: {} ({since} ago)", shown(&meta["deletionTimestamp"]))])
            .then(next),
    )
}

/// For an object of any kind: what its conditions and events say.
pub(super) fn any(facts: &Facts) -> Explanation {
    let title = facts.title();
    let conditions = list(&facts.object["status"]["conditions"]);
    let bad: Vec<&Value> = conditions.iter().filter(|condition| condition["status"] == "False").collect();
    let warning = facts.events(&[]).into_iter().find(|event| event["type"] == "Warning");
    if let Some(first) = bad.first() {
        let message = one_line(&shown(&first["message"]));
        let message = if message.is_empty() { shown(&first["reason"]) } else { message };
        return Explanation::new(format!("{title} is not {}: {message}.", shown(&first["type"])))
            .because(bad.iter().map(|condition| condition_line(condition)))
            .because(warning.map(|event| facts.line(event)))
            .then(format!("gantry describe {title}"));
    }
    if let Some(event) = warning {
        return Explanation::new(format!("{title} has a warning: {}.", one_line(&shown(&event["message"]))))
            .because([facts.line(event)])
            .then(format!("gantry describe {title}"));
    }
    Explanation::new(format!("{title} says nothing of being wrong, neither in conditions nor in events."))
}
