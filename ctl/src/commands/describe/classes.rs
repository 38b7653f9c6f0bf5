//! What volumes are made with: StorageClasses, VolumeAttributesClasses, and what a node says of its CSI drivers.

use serde_json::Value;

use super::Subject;
use super::page::{Page, list, or_none, pairs, shown, texts, truth};

/// Annotations of the class that claims have which name none.
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// A StorageClass.
pub(super) fn storage(page: &mut Page, subject: &Subject) {
    let class = &subject.object;
    let annotations = &class["metadata"]["annotations"];
    page.field(0, "Name", &shown(&class["metadata"]["name"]));
    let is_default = DEFAULT.iter().any(|name| annotations[name] == "true");
    page.field(0, "IsDefaultClass", if is_default { "Yes" } else { "No" });
    page.field(0, "Annotations", &or_none(pairs(annotations).join(",")));
    page.field(0, "Provisioner", &shown(&class["provisioner"]));
    page.field(0, "Parameters", &or_none(pairs(&class["parameters"]).join(",")));
    page.field(0, "AllowVolumeExpansion", class["allowVolumeExpansion"].as_bool().map_or("<unset>", truth));
    let options = texts(&class["mountOptions"]);
    page.line(0, if options.is_empty() { "MountOptions:\t<none>" } else { "MountOptions:" });
    options.iter().for_each(|option| page.line(1, option));
    page.field_if(0, "ReclaimPolicy", &class["reclaimPolicy"]);
    page.field_if(0, "VolumeBindingMode", &class["volumeBindingMode"]);
    topologies(page, &class["allowedTopologies"]);
    page.events(subject.events.as_deref());
}

/// Where volumes may be.
fn topologies(page: &mut Page, topologies: &Value) {
    let Some(terms) = topologies.as_array() else { return };
    page.field(0, "AllowedTopologies", if terms.is_empty() { "<none>" } else { "" });
    for (index, term) in terms.iter().enumerate() {
        page.put(&format!("  Term {index}:\t"));
        let expressions = list(&term["matchLabelExpressions"]);
        if expressions.is_empty() {
            page.put("<none>\n");
        }
        for (index, expression) in expressions.iter().enumerate() {
            let values = texts(&expression["values"]).join(", ");
            let values = if values.is_empty() { String::new() } else { format!(" [{values}]") };
            let indent = if index == 0 { "" } else { "  \t" };
            page.put(&format!("{indent}{} in{values}\n", shown(&expression["key"])));
        }
    }
}

/// A VolumeAttributesClass.
pub(super) fn attributes(page: &mut Page, subject: &Subject) {
    let class = &subject.object;
    page.field(0, "Name", &shown(&class["metadata"]["name"]));
    page.field(0, "Annotations", &or_none(pairs(&class["metadata"]["annotations"]).join(",")));
    page.field(0, "DriverName", &shown(&class["driverName"]));
    page.field(0, "Parameters", &or_none(pairs(&class["parameters"]).join(",")));
    page.events(subject.events.as_deref());
}

/// A CSINode.
pub(super) fn node(page: &mut Page, subject: &Subject) {
    let node = &subject.object;
    page.field(0, "Name", &shown(&node["metadata"]["name"]));
    page.notes(node);
    page.created(node);
    page.line(0, "Spec:");
    let drivers = list(&node["spec"]["drivers"]);
    if !drivers.is_empty() {
        page.line(1, "Drivers:");
    }
    for driver in drivers {
        page.line(2, &format!("{}:", shown(&driver["name"])));
        page.field(3, "Node ID", &shown(&driver["nodeID"]));
        let count = &driver["allocatable"]["count"];
        if !count.is_null() {
            page.line(3, "Allocatables:");
            page.field(4, "Count", &shown(count));
        }
        if !driver["topologyKeys"].is_null() {
            page.field(3, "Topology Keys", &format!("[{}]", texts(&driver["topologyKeys"]).join(" ")));
        }
    }
    page.events(subject.events.as_deref());
}
