//! The checks of restricted pods, which are to say themselves what they do without.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::baseline::{is_seccomp_allowed, seccomp_profile as seccomp_baseline};
use super::words::{containers, plural, quoted, setters};
use super::{Part, Violation, has_own_users, is_for_windows, parts, with_context};

/// No program gets rights that its parent does not have.
pub(super) fn allow_privilege_escalation(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let forbids =
        |part: &Part<'_>| part.security.is_some_and(|context| context.allow_privilege_escalation == Some(false));
    let names: Vec<_> = parts(spec).filter(|part| !forbids(part)).map(|part| part.name).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "allowPrivilegeEscalation != false",
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names)),
    })
}

/// The same, but for pods for Windows.
pub(super) fn allow_privilege_escalation_1_25(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    if is_for_windows(spec) { None } else { allow_privilege_escalation(meta, spec) }
}

/// No capabilities at all, but for low ports.
pub(super) fn capabilities(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let (mut keeping, mut adding, mut added) = (Vec::new(), Vec::new(), BTreeSet::new());
    for part in parts(spec) {
        let capabilities = part.security.and_then(|context| context.capabilities.as_ref());
        let mut dropped = capabilities.iter().flat_map(|capabilities| capabilities.drop.iter().flatten());
        if !dropped.any(|name| name == "ALL") {
            keeping.push(part.name);
        }
        let more = capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        let more: Vec<_> = more.filter(|name| *name != "NET_BIND_SERVICE").collect();
        if !more.is_empty() {
            adding.push(part.name);
        }
        added.extend(more);
    }
    let keeping = (!keeping.is_empty())
        .then(|| format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    let adding = (!adding.is_empty()).then(|| {
        let who = containers(&adding);
        format!("{who} must not include {} in securityContext.capabilities.add", quoted(added))
    });
    let found: Vec<_> = keeping.into_iter().chain(adding).collect();
    (!found.is_empty()).then(|| Violation { reason: "unrestricted capabilities", detail: found.join("; ") })
}

/// The same, but for pods for Windows.
pub(super) fn capabilities_1_25(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    if is_for_windows(spec) { None } else { capabilities(meta, spec) }
}

/// No volumes but those of the cluster's own objects, and those that a driver answers for.
pub(super) fn volumes(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in spec.volumes.iter().flatten().filter(|volume| !is_volume_allowed(volume)) {
        names.push(&volume.name);
        kinds.insert(kind(volume));
    }
    (!names.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {} {}",
            plural("volume", "volumes", names.len()),
            quoted(&names),
            plural("uses", "use", names.len()),
            plural("restricted volume type", "restricted volume types", kinds.len()),
            quoted(kinds)
        ),
    })
}

fn is_volume_allowed(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

/// The field that such a volume is of.
fn kind(volume: &Volume) -> &'static str {
    let kinds = [
        (volume.host_path.is_some(), "hostPath"),
        (volume.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (volume.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (volume.git_repo.is_some(), "gitRepo"),
        (volume.nfs.is_some(), "nfs"),
        (volume.iscsi.is_some(), "iscsi"),
        (volume.glusterfs.is_some(), "glusterfs"),
        (volume.rbd.is_some(), "rbd"),
        (volume.flex_volume.is_some(), "flexVolume"),
        (volume.cinder.is_some(), "cinder"),
        (volume.cephfs.is_some(), "cephfs"),
        (volume.flocker.is_some(), "flocker"),
        (volume.fc.is_some(), "fc"),
        (volume.azure_file.is_some(), "azureFile"),
        (volume.vsphere_volume.is_some(), "vsphereVolume"),
        (volume.quobyte.is_some(), "quobyte"),
        (volume.azure_disk.is_some(), "azureDisk"),
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (volume.portworx_volume.is_some(), "portworxVolume"),
        (volume.scale_io.is_some(), "scaleIO"),
        (volume.storageos.is_some(), "storageos"),
    ];
    kinds.into_iter().find(|(is_set, _)| *is_set).map_or("unknown", |(_, name)| name)
}

/// Every container says that it does not run as root, itself or by what the pod says.
pub(super) fn run_as_non_root(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_non_root);
    let (mut refusing, mut silent) = (Vec::new(), Vec::new());
    for part in parts(spec) {
        match part.security.and_then(|context| context.run_as_non_root) {
            Some(true) => {}
            Some(false) => refusing.push(part.name),
            None if of_pod == Some(true) => {}
            None => silent.push(part.name),
        }
    }
    let who = setters(of_pod == Some(false), &refusing);
    let detail = match (who.is_empty(), silent.is_empty()) {
        (false, _) => format!("{who} must not set securityContext.runAsNonRoot=false"),
        (true, false) => format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)),
        (true, true) => return None,
    };
    Some(Violation { reason: "runAsNonRoot != true", detail })
}

/// The same, but for pods whose root is not the node's.
pub(super) fn run_as_non_root_1_35(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    if has_own_users(spec) { None } else { run_as_non_root(meta, spec) }
}

/// Nothing runs as root.
pub(super) fn run_as_user(_: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    let pod = spec.security_context.as_ref().is_some_and(|context| context.run_as_user == Some(0));
    let names = with_context(spec, |context| context.run_as_user == Some(0));
    (pod || !names.is_empty()).then(|| Violation {
        reason: "runAsUser=0",
        detail: format!("{} must not set runAsUser=0", setters(pod, &names)),
    })
}

/// The same, but for pods whose root is not the node's.
pub(super) fn run_as_user_1_35(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    if has_own_users(spec) { None } else { run_as_user(meta, spec) }
}

/// Every container has a profile of seccomp, itself or by what the pod says.
pub(super) fn seccomp_profile(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    if let Some(wrong) = seccomp_baseline(meta, spec) {
        return Some(wrong);
    }
    let of_pod = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    if of_pod.is_some_and(|profile| is_seccomp_allowed(&profile.type_)) {
        return None;
    }
    let has_profile = |part: &Part<'_>| part.security.is_some_and(|context| context.seccomp_profile.is_some());
    let names: Vec<_> = parts(spec).filter(|part| !has_profile(part)).map(|part| part.name).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            containers(&names)
        ),
    })
}

/// The same, but for pods for Windows.
pub(super) fn seccomp_profile_1_25(meta: &ObjectMeta, spec: &PodSpec) -> Option<Violation> {
    if is_for_windows(spec) { None } else { seccomp_profile(meta, spec) }
}
