//! Where volumes come from: those of pods and persistent ones.

use api::quantity::Quantity;
use serde_json::Value;

use super::page::{Page, list, pairs, shown, texts};

/// The volumes of a pod, or of a template, which are indented.
pub(super) fn describe(page: &mut Page, volumes: &[Value], of_template: bool) {
    let (indent, name_indent) = if of_template { ("  ", " ") } else { ("", "") };
    if volumes.is_empty() {
        return page.put(&format!("{indent}Volumes:\t<none>\n"));
    }
    page.put(&format!("{indent}Volumes:\n"));
    for volume in volumes {
        page.line(1, &format!("{name_indent}{}:", shown(&volume["name"])));
        source(page, volume, false);
    }
}

/// What kind of volume it is, and what of it is told: titles, and the fields behind them.
struct Kind {
    field: &'static str,
    title: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

/// The kinds that are told plainly, in the order in which they are looked for.
const KINDS: [Kind; 9] = [
    Kind {
        field: "secret",
        title: "Secret (a volume populated by a Secret)",
        fields: &[("SecretName", "secretName"), ("Optional", "optional?")],
    },
    Kind {
        field: "configMap",
        title: "ConfigMap (a volume populated by a ConfigMap)",
        fields: &[("Name", "name"), ("Optional", "optional?")],
    },
    Kind {
        field: "nfs",
        title: "NFS (an NFS mount that lasts the lifetime of a pod)",
        fields: &[("Server", "server"), ("Path", "path"), ("ReadOnly", "readOnly?")],
    },
    Kind {
        field: "persistentVolumeClaim",
        title: "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        fields: &[("ClaimName", "claimName"), ("ReadOnly", "readOnly?")],
    },
    Kind {
        field: "local",
        title: "LocalVolume (a persistent volume backed by local storage on a node)",
        fields: &[("Path", "path")],
    },
    Kind {
        field: "image",
        title: "Image (a container image or OCI artifact)",
        fields: &[("Reference", "reference"), ("PullPolicy", "pullPolicy")],
    },
    Kind {
        field: "azureFile",
        title: "AzureFile (an Azure File Service mount on the host and bind mount to the pod)",
        fields: &[("SecretName", "secretName"), ("ShareName", "shareName"), ("ReadOnly", "readOnly?")],
    },
    Kind {
        field: "gcePersistentDisk",
        title: "GCEPersistentDisk (a Persistent Disk resource in Google Compute Engine)",
        fields: &[("PDName", "pdName"), ("FSType", "fsType"), ("Partition", "partition#"), ("ReadOnly", "readOnly?")],
    },
    Kind {
        field: "awsElasticBlockStore",
        title: "AWSElasticBlockStore (a Persistent Disk resource in AWS)",
        fields: &[
            ("VolumeID", "volumeID"),
            ("FSType", "fsType"),
            ("Partition", "partition#"),
            ("ReadOnly", "readOnly?"),
        ],
    },
];

/// Where a volume comes from.
pub(super) fn source(page: &mut Page, volume: &Value, is_persistent: bool) {
    if let Some(kind) = KINDS.iter().find(|kind| !volume[kind.field].is_null()) {
        page.field(2, "Type", kind.title);
        for (title, field) in kind.fields {
            page.field(2, title, &field_text(&volume[kind.field], field));
        }
        return;
    }
    let of = |field: &str| Some(&volume[field]).filter(|value| !value.is_null());
    if let Some(path) = of("hostPath") {
        page.field(2, "Type", "HostPath (bare host directory volume)");
        page.field(2, "Path", &shown(&path["path"]));
        page.field(2, "HostPathType", path["type"].as_str().unwrap_or("<none>"));
    } else if let Some(directory) = of("emptyDir") {
        let limit = shown(&directory["sizeLimit"]);
        let is_set = Quantity::parse(&limit).is_ok_and(|limit| limit.signum() > 0);
        page.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
        page.field(2, "Medium", &shown(&directory["medium"]));
        page.field(2, "SizeLimit", if is_set { &limit } else { "<unset>" });
    } else if let Some(ephemeral) = of("ephemeral") {
        page.field(
            2,
            "Type",
            "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)",
        );
        template(page, &ephemeral["volumeClaimTemplate"]);
    } else if let Some(downward) = of("downwardAPI") {
        page.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
        page.line(2, "Items:");
        for item in list(&downward["items"]) {
            let from = [&item["fieldRef"]["fieldPath"], &item["resourceFieldRef"]["resource"]];
            for from in from.into_iter().filter(|from| !from.is_null()) {
                page.line(3, &format!("{} -> {}", shown(from), shown(&item["path"])));
            }
        }
    } else if let Some(projected) = of("projected") {
        page.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
        list(&projected["sources"]).iter().for_each(|source| projection(page, source));
    } else if let Some(csi) = of("csi") {
        page.field(2, "Type", "CSI (a Container Storage Interface (CSI) volume source)");
        page.field(2, "Driver", &shown(&csi["driver"]));
        page.field(2, "FSType", &shown(&csi["fsType"]));
        if is_persistent {
            page.field(2, "VolumeHandle", &shown(&csi["volumeHandle"]));
        }
        page.field(2, "ReadOnly", &field_text(csi, "readOnly?"));
        attributes(page, &csi["volumeAttributes"]);
    } else if let Some(disk) = of("iscsi") {
        iscsi(page, disk);
    } else {
        other(page, volume);
    }
}

/// A disk of another machine.
fn iscsi(page: &mut Page, disk: &Value) {
    let of = |field: &str| shown(&disk[field]);
    page.field(
        2,
        "Type",
        "ISCSI (an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod)",
    );
    page.field(2, "TargetPortal", &of("targetPortal"));
    page.field(2, "IQN", &of("iqn"));
    page.field(2, "Lun", &field_text(disk, "lun#"));
    // Without a colon, as kubectl has it.
    page.line(2, &format!("ISCSIInterface\t{}", of("iscsiInterface")));
    page.field(2, "FSType", &of("fsType"));
    page.field(2, "ReadOnly", &field_text(disk, "readOnly?"));
    page.field(2, "Portals", &format!("[{}]", texts(&disk["portals"]).join(" ")));
    page.field(2, "DiscoveryCHAPAuth", &field_text(disk, "chapAuthDiscovery?"));
    page.field(2, "SessionCHAPAuth", &field_text(disk, "chapAuthSession?"));
    // What Go writes of a reference, which depends on where it points, is of no use.
    let secret = &disk["secretRef"];
    page.field(2, "SecretRef", &if secret.is_null() { "nil".to_owned() } else { shown(&secret["name"]) });
    let initiator = of("initiatorName");
    page.field(2, "InitiatorName", if initiator.is_empty() { "<none>" } else { &initiator });
}

/// A field as it is shown: one whose name ends with `?` is false, and one with `#` is 0, if it is absent.
fn field_text(object: &Value, field: &str) -> String {
    if let Some(field) = field.strip_suffix('?') {
        return (object[field] == true).to_string();
    }
    match field.strip_suffix('#') {
        Some(field) => object[field].as_i64().unwrap_or(0).to_string(),
        None => shown(&object[field]),
    }
}

/// Kinds of volumes that are rare are told by the names of their fields.
fn other(page: &mut Page, volume: &Value) {
    let source = volume.as_object().into_iter().flatten().find(|(_, value)| value.is_object());
    let Some((kind, Value::Object(fields))) = source else { return page.line(1, "<unknown>") };
    page.field(2, "Type", kind);
    for (name, value) in fields {
        page.field(2, name, &shown(value));
    }
}

/// The claim that is made for a pod.
fn template(page: &mut Page, template: &Value) {
    let spec = &template["spec"];
    page.field(2, "StorageClass", &shown(&spec["storageClassName"]));
    page.field(2, "Volume", &shown(&spec["volumeName"]));
    for (title, field) in [("Labels", "labels"), ("Annotations", "annotations")] {
        let all = pairs(&template["metadata"][field]);
        // kubectl indents what it adds to a line once more.
        for (index, text) in all.iter().enumerate() {
            page.line(2, &if index == 0 { format!("{title}:\t    {text}") } else { format!("    \t    {text}") });
        }
        if all.is_empty() {
            page.field(2, title, "    <none>");
        }
    }
    page.field(2, "Capacity", "");
    page.field(2, "Access Modes", "");
    page.field_if(2, "VolumeMode", &spec["volumeMode"]);
}

fn projection(page: &mut Page, source: &Value) {
    for (field, title) in [("secret", "SecretName"), ("configMap", "ConfigMapName")] {
        let of = &source[field];
        if !of.is_null() {
            page.field(2, title, &shown(&of["name"]));
            return page.field(2, "Optional", &field_text(of, "optional?"));
        }
    }
    if !source["downwardAPI"].is_null() {
        page.field(2, "DownwardAPI", "true");
    } else if !source["serviceAccountToken"].is_null() {
        page.field(2, "TokenExpirationSeconds", &shown(&source["serviceAccountToken"]["expirationSeconds"]));
    }
}

fn attributes(page: &mut Page, attributes: &Value) {
    let attributes = pairs(attributes);
    if attributes.is_empty() {
        page.field(2, "VolumeAttributes", "<none>");
    }
    // kubectl indents what it adds to a line once more.
    for (index, attribute) in attributes.iter().enumerate() {
        let title = if index == 0 { "VolumeAttributes:" } else { "    " };
        page.line(2, &format!("{title}\t    {attribute}"));
    }
}

/// Access modes, in short.
pub(super) fn access_modes(modes: &Value) -> String {
    let modes = texts(modes);
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = short.iter().filter(|(mode, _)| modes.iter().any(|own| own == mode));
    has.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}
