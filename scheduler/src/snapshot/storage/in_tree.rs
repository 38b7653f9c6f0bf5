//! Volumes of kinds that Kubernetes once attached itself, as the CSI drivers see them that attach them now.
//!
//! It is what `k8s.io/csi-translation-lib` makes of them, as far as scheduling looks at it. A volume that cannot be
//! translated (the identity is malformed, or its zones are in several regions) counts as not translatable at all.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, Volume};

use super::usage::{Attachable, Handle};

/// What separates zones in a label.
pub(super) const ZONE_DELIMITER: &str = "__";

pub(super) const ZONE: &str = "topology.kubernetes.io/zone";
pub(super) const REGION: &str = "topology.kubernetes.io/region";
pub(super) const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
pub(super) const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";

const AWS_EBS: &str = "kubernetes.io/aws-ebs";
const AZURE_DISK: &str = "kubernetes.io/azure-disk";
const AZURE_FILE: &str = "kubernetes.io/azure-file";
const CINDER: &str = "kubernetes.io/cinder";
const GCE_PD: &str = "kubernetes.io/gce-pd";
const PORTWORX: &str = "kubernetes.io/portworx-volume";
const VSPHERE: &str = "kubernetes.io/vsphere-volume";

/// Plugins that were in Kubernetes, the CSI drivers that have taken over, and whether schedulers translate their volumes.
const PLUGINS: &[(&str, &str, bool)] = &[
    (AWS_EBS, "ebs.csi.aws.com", true),
    (AZURE_DISK, "disk.csi.azure.com", true),
    (AZURE_FILE, "file.csi.azure.com", false),
    (CINDER, "cinder.csi.openstack.org", true),
    (GCE_PD, "pd.csi.storage.gke.io", true),
    (PORTWORX, "pxd.portworx.com", true),
    (VSPHERE, "csi.vsphere.vmware.com", false),
];

/// Whether the plugin's volumes are migrated to a driver, and that driver, if schedulers translate them.
pub(super) fn driver(plugin: &str) -> Option<(&'static str, Option<&'static str>)> {
    let (name, driver, translated) = PLUGINS.iter().find(|(name, ..)| *name == plugin)?;
    Some((name, translated.then_some(driver)))
}

/// The plugin whose volumes are migrated to the driver, if schedulers translate them.
pub(crate) fn plugin_of(driver: &str) -> Option<&'static str> {
    let (plugin, ..) = PLUGINS.iter().find(|(_, name, translated)| *name == driver && *translated)?;
    Some(plugin)
}

/// Whether a volume that a pod names itself is of a migrated plugin.
pub(crate) fn is_migratable(volume: &Volume) -> bool {
    volume.aws_elastic_block_store.is_some()
        || volume.azure_disk.is_some()
        || volume.azure_file.is_some()
        || volume.cinder.is_some()
        || volume.gce_persistent_disk.is_some()
        || volume.portworx_volume.is_some()
        || volume.vsphere_volume.is_some()
}

fn attachable(plugin: &'static str, handle: String) -> Option<Attachable> {
    let (_, driver) = driver(plugin)?;
    Some(Attachable { driver: driver?.to_owned(), handle: Handle::Volume(handle), plugin: Some(plugin) })
}

/// What a driver attaches for a volume that a pod names itself, if it is migrated.
pub(crate) fn of_pod(volume: &Volume) -> Option<Attachable> {
    if let Some(source) = &volume.aws_elastic_block_store {
        return attachable(AWS_EBS, ebs_handle(&source.volume_id)?);
    }
    if let Some(source) = &volume.gce_persistent_disk {
        return attachable(GCE_PD, format!("projects/UNSPECIFIED/zones/UNSPECIFIED/disks/{}", source.pd_name));
    }
    if let Some(source) = &volume.azure_disk {
        return attachable(AZURE_DISK, source.disk_uri.clone());
    }
    if let Some(source) = &volume.cinder {
        return attachable(CINDER, source.volume_id.clone());
    }
    attachable(PORTWORX, volume.portworx_volume.as_ref()?.volume_id.clone())
}

/// What a driver attaches for a volume of a migrated plugin, and on which nodes it can.
pub(super) fn of_volume(volume: &PersistentVolume) -> Option<(Attachable, Option<NodeSelector>)> {
    let spec = volume.spec.as_ref()?;
    let affinity = || spec.node_affinity.as_ref().and_then(|affinity| affinity.required.clone());
    if let Some(source) = &spec.aws_elastic_block_store {
        let attachable = attachable(AWS_EBS, ebs_handle(&source.volume_id)?)?;
        return Some((attachable, translate(volume, affinity(), "topology.ebs.csi.aws.com/zone")));
    }
    if let Some(source) = &spec.gce_persistent_disk {
        let attachable = attachable(GCE_PD, gce_handle(volume, &source.pd_name)?)?;
        return Some((attachable, translate(volume, affinity(), "topology.gke.io/zone")));
    }
    if let Some(source) = &spec.cinder {
        let attachable = attachable(CINDER, source.volume_id.clone())?;
        return Some((attachable, translate(volume, affinity(), "topology.cinder.csi.openstack.org/zone")));
    }
    if let Some(source) = &spec.azure_disk {
        return Some((attachable(AZURE_DISK, source.disk_uri.clone())?, affinity()));
    }
    let source = spec.portworx_volume.as_ref()?;
    Some((attachable(PORTWORX, source.volume_id.clone())?, affinity()))
}

/// `vol-…`, whether it is written so or as `aws://<zone>/vol-…`.
fn ebs_handle(id: &str) -> Option<String> {
    let Some(rest) = id.strip_prefix("aws://") else { return Some(id.to_owned()) };
    let path = rest.find('/').map_or("", |slash| &rest[slash..]).trim_matches('/');
    (path.starts_with("vol-") && !path.contains('/')).then(|| path.to_owned())
}

fn label<'a>(volume: &'a PersistentVolume, key: &str) -> Option<&'a str> {
    volume.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn gce_handle(volume: &PersistentVolume, disk: &str) -> Option<String> {
    let zones = label(volume, BETA_ZONE).filter(|zones| !zones.is_empty()).or_else(|| label(volume, ZONE));
    let zones: Vec<&str> = zones.unwrap_or_default().split(ZONE_DELIMITER).collect();
    let place = match zones.as_slice() {
        [""] => "zones/UNSPECIFIED".to_owned(),
        [zone] => format!("zones/{zone}"),
        several => format!("regions/{}", gce_region(several)?),
    };
    Some(format!("projects/UNSPECIFIED/{place}/disks/{disk}"))
}

/// The only region of zones, which are named `<locale>-<region>-<zone>`.
fn gce_region(zones: &[&str]) -> Option<String> {
    let region = |zone: &&str| {
        let parts: Vec<&str> = zone.split('-').collect();
        (parts.len() == 3).then(|| parts[..2].join("-"))
    };
    let mut regions = zones.iter().map(region).collect::<Option<BTreeSet<String>>>()?;
    if regions.len() == 1 { regions.pop_first() } else { None }
}

fn expressions(selector: &mut NodeSelector) -> impl Iterator<Item = &mut NodeSelectorRequirement> {
    selector.node_selector_terms.iter_mut().flat_map(|term| term.match_expressions.iter_mut().flatten())
}

/// The affinity that asks for the driver's own label of a node's zone in place of Kubernetes'. If there is none, it is
/// made of the volume's labels.
fn translate(volume: &PersistentVolume, affinity: Option<NodeSelector>, key: &str) -> Option<NodeSelector> {
    let mut selector = affinity.unwrap_or_default();
    let asks = |selector: &mut NodeSelector, key: &str| expressions(selector).any(|expression| expression.key == key);
    let old = asks(&mut selector, BETA_ZONE) && !asks(&mut selector, ZONE)
        || !asks(&mut selector, ZONE) && label(volume, ZONE).is_none() && label(volume, BETA_ZONE).is_some();
    let (zone, region) = if old { (BETA_ZONE, BETA_REGION) } else { (ZONE, REGION) };
    let of_zone = |expression: &NodeSelectorRequirement| expression.key == zone;
    if expressions(&mut selector)
        .any(|expression| of_zone(expression) && expression.values.iter().flatten().count() > 0)
    {
        expressions(&mut selector).filter(|expression| of_zone(expression)).for_each(|expression| {
            key.clone_into(&mut expression.key);
        });
    } else if let Some(zones) = label(volume, zone) {
        let zones: BTreeSet<&str> =
            zones.split(ZONE_DELIMITER).map(str::trim).filter(|zone| !zone.is_empty()).collect();
        if !zones.is_empty() {
            require(&mut selector, key, zones.into_iter().map(str::to_owned).collect());
        }
    }
    if old {
        let regions = expressions(&mut selector).filter(|expression| expression.key == region);
        regions.for_each(|expression| REGION.clone_into(&mut expression.key));
    }
    (selector != NodeSelector::default()).then_some(selector)
}

/// Requires it of every term too.
fn require(selector: &mut NodeSelector, key: &str, values: Vec<String>) {
    if selector.node_selector_terms.is_empty() {
        selector.node_selector_terms.push(NodeSelectorTerm::default());
    }
    let requirement = NodeSelectorRequirement { key: key.to_owned(), operator: "In".to_owned(), values: Some(values) };
    for term in &mut selector.node_selector_terms {
        term.match_expressions.get_or_insert_default().push(requirement.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::object;

    fn volume(labels: Value, spec: Value) -> PersistentVolume {
        object(json!({"metadata": {"name": "v", "labels": labels}, "spec": spec}))
    }

    #[test]
    fn handles_are_those_of_the_drivers() {
        let check = |labels: Value, spec: Value, expected: Option<(&str, &str)>| {
            let told = of_volume(&volume(labels, spec.clone())).map(|(attachable, _)| attachable);
            let expected = expected.map(|(driver, handle)| (driver.to_owned(), Handle::Volume(handle.to_owned())));
            assert_eq!(told.map(|attachable| (attachable.driver, attachable.handle)), expected, "{spec}");
        };
        let ebs = |id: &str| json!({"awsElasticBlockStore": {"volumeID": id}});
        let gce = || json!({"gcePersistentDisk": {"pdName": "d"}});
        check(json!({}), ebs("vol-1"), Some(("ebs.csi.aws.com", "vol-1")));
        check(json!({}), ebs("aws://eu-1a/vol-1"), Some(("ebs.csi.aws.com", "vol-1")));
        check(json!({}), ebs("aws:///vol-1"), Some(("ebs.csi.aws.com", "vol-1")));
        check(json!({}), ebs("aws://eu-1a/disk"), None);
        let driver = "pd.csi.storage.gke.io";
        check(json!({}), gce(), Some((driver, "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d")));
        check(json!({ZONE: "us-east1-a"}), gce(), Some((driver, "projects/UNSPECIFIED/zones/us-east1-a/disks/d")));
        let zones = json!({BETA_ZONE: "us-east1-a__us-east1-b"});
        check(zones, gce(), Some((driver, "projects/UNSPECIFIED/regions/us-east1/disks/d")));
        check(json!({ZONE: "us-east1-a__us-west1-b"}), gce(), None);
        check(json!({}), json!({"cinder": {"volumeID": "c"}}), Some(("cinder.csi.openstack.org", "c")));
        check(json!({}), json!({"portworxVolume": {"volumeID": "p"}}), Some(("pxd.portworx.com", "p")));
        let azure = json!({"azureDisk": {"diskName": "n", "diskURI": "u"}});
        check(json!({}), azure, Some(("disk.csi.azure.com", "u")));
        check(json!({}), json!({"azureFile": {"secretName": "s", "shareName": "s"}}), None);
        check(json!({}), json!({"hostPath": {"path": "/"}}), None);
    }

    #[test]
    fn affinities_are_to_the_labels_of_the_drivers() {
        let check = |labels: Value, terms: Value, expected: Value| {
            let spec = json!({
                "awsElasticBlockStore": {"volumeID": "vol-1"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            });
            let (_, told) = of_volume(&volume(labels, spec)).unwrap();
            let told = told.map_or(json!([]), |told| serde_json::to_value(told.node_selector_terms).unwrap());
            assert_eq!(told, expected);
        };
        let term =
            |key: &str, value: &str| json!([{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]);
        let own = "topology.ebs.csi.aws.com/zone";
        check(json!({}), json!([]), json!([]));
        check(json!({}), term(ZONE, "a"), term(own, "a"));
        check(json!({}), term(BETA_ZONE, "a"), term(own, "a"));
        check(json!({ZONE: "b"}), term(ZONE, "a"), term(own, "a"));
        check(json!({ZONE: "b"}), json!([]), term(own, "b"));
        check(json!({BETA_ZONE: "b"}), json!([]), term(own, "b"));
        check(json!({}), term("other", "a"), term("other", "a"));
        let both = |zone: &str, region: &str| {
            let zone = json!({"key": zone, "operator": "In", "values": ["a"]});
            json!([{"matchExpressions": [zone, {"key": region, "operator": "In", "values": ["r"]}]}])
        };
        check(json!({}), both(BETA_ZONE, BETA_REGION), both(own, REGION));
    }
}
