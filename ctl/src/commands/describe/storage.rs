//! Claims of volumes, and persistent volumes.

use serde_json::Value;

use super::page::{Page, list, shown, texts};
use super::{Subject, volumes};

/// The annotation that named the class before the field did.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// A claim.
pub(super) fn claim(page: &mut Page, subject: &Subject) {
    let claim = &subject.object;
    let (spec, status) = (&claim["spec"], &claim["status"]);
    page.head(claim);
    page.field(0, "StorageClass", &class(claim));
    phase(page, claim);
    let volume = shown(&spec["volumeName"]);
    page.field(0, "Volume", &volume);
    page.notes(claim);
    finalizers(page, claim);
    let is_bound = !volume.is_empty();
    let (capacity, modes) = if is_bound {
        let capacity = shown(&status["capacity"]["storage"]);
        (if capacity.is_empty() { "0".to_owned() } else { capacity }, volumes::access_modes(&status["accessModes"]))
    } else {
        (String::new(), String::new())
    };
    page.field(0, "Capacity", &capacity);
    page.field(0, "Access Modes", &modes);
    page.field_if(0, "VolumeMode", &spec["volumeMode"]);
    let source = &spec["dataSource"];
    if !source.is_null() {
        page.line(0, "DataSource:");
        page.field_if(1, "APIGroup", &source["apiGroup"]);
        page.field(1, "Kind", &shown(&source["kind"]));
        page.field(1, "Name", &shown(&source["name"]));
    }
    page.many("Used By", &users(claim, subject.related("pods")));
    let conditions = list(&status["conditions"]);
    if !conditions.is_empty() {
        page.put("Conditions:\n  Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage\n");
        page.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    }
    for condition in conditions {
        let of = |field: &str| shown(&condition[field]);
        let [probe, change] = ["lastProbeTime", "lastTransitionTime"].map(|field| page.clock.time(&condition[field]));
        let (kind, status, reason) = (of("type"), of("status"), of("reason"));
        page.line(1, &format!("{kind} \t{status} \t{probe} \t{change} \t{reason} \t{}", of("message")));
    }
    page.events(subject.events.as_deref());
}

/// The pods that have the claim as a volume, and those that own it.
fn users(claim: &Value, pods: &[Value]) -> Vec<String> {
    let name = &claim["metadata"]["name"];
    let owners = list(&claim["metadata"]["ownerReferences"]);
    let uses = |pod: &&Value| {
        let volumes = list(&pod["spec"]["volumes"]);
        volumes.iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == *name)
            || owners.iter().any(|owner| owner["kind"] == "Pod" && owner["uid"] == pod["metadata"]["uid"])
    };
    let mut users: Vec<String> = pods.iter().filter(uses).map(|pod| shown(&pod["metadata"]["name"])).collect();
    users.sort();
    users
}

/// A persistent volume.
pub(super) fn volume(page: &mut Page, subject: &Subject) {
    let volume = &subject.object;
    let spec = &volume["spec"];
    page.field(0, "Name", &shown(&volume["metadata"]["name"]));
    page.notes(volume);
    finalizers(page, volume);
    page.field(0, "StorageClass", &class(volume));
    phase(page, volume);
    let claim = &spec["claimRef"];
    let claim = if claim.is_null() {
        String::new()
    } else {
        format!("{}/{}", shown(&claim["namespace"]), shown(&claim["name"]))
    };
    page.field(0, "Claim", &claim);
    page.field(0, "Reclaim Policy", &shown(&spec["persistentVolumeReclaimPolicy"]));
    page.field(0, "Access Modes", &volumes::access_modes(&spec["accessModes"]));
    page.field_if(0, "VolumeMode", &spec["volumeMode"]);
    page.field(0, "Capacity", &shown(&spec["capacity"]["storage"]));
    affinity(page, &spec["nodeAffinity"]["required"]);
    page.field(0, "Message", &shown(&volume["status"]["message"]));
    page.line(0, "Source:");
    volumes::source(page, spec, true);
    page.events(subject.events.as_deref());
}

/// The nodes that a volume can be used on.
fn affinity(page: &mut Page, required: &Value) {
    if required.is_null() {
        return page.field(0, "Node Affinity", "<none>");
    }
    page.field(0, "Node Affinity", "");
    let terms = list(&required["nodeSelectorTerms"]);
    page.field(1, "Required Terms", if terms.is_empty() { "<none>" } else { "" });
    for (index, term) in terms.iter().enumerate() {
        let expressions = list(&term["matchExpressions"]);
        page.put(&format!("    Term {index}:\t"));
        if expressions.is_empty() {
            page.put("<none>\n");
        }
        for (index, expression) in expressions.iter().enumerate() {
            let operator = shown(&expression["operator"]).to_lowercase();
            let values = texts(&expression["values"]);
            let values = if values.is_empty() { String::new() } else { format!(" [{}]", values.join(", ")) };
            let indent = if index == 0 { "" } else { "    \t" };
            page.put(&format!("{indent}{} {operator}{values}\n", shown(&expression["key"])));
        }
    }
}

fn class(object: &Value) -> String {
    match object["metadata"]["annotations"][CLASS].as_str() {
        Some(class) => class.to_owned(),
        None => shown(&object["spec"]["storageClassName"]),
    }
}

fn phase(page: &mut Page, object: &Value) {
    let deleted = &object["metadata"]["deletionTimestamp"];
    if deleted.is_null() {
        return page.field(0, "Status", &shown(&object["status"]["phase"]));
    }
    let since = page.clock.since(deleted);
    page.field(0, "Status", &format!("Terminating (lasts {since})"));
}

fn finalizers(page: &mut Page, object: &Value) {
    page.field(0, "Finalizers", &format!("[{}]", texts(&object["metadata"]["finalizers"]).join(" ")));
}
