//! Volumes over the network, and through drivers.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{
    CSIVolumeSource, FCVolumeSource, FlexVolumeSource, ISCSIVolumeSource, NFSVolumeSource, Volume,
};

use super::super::absent::{is_true, list};
use super::super::rules::{dns_subdomain, named, present};

const MAX_LUN: i32 = 255;
/// Longest text of a volume's name and an iSCSI portal that initiators can hold.
pub(in crate::resources) const MAX_ISCSI_PORTAL_BYTES: usize = 64;
const MAX_DRIVER_BYTES: usize = 63;

pub(in crate::resources) fn nfs(source: &NFSVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&source.server, &path.child("server")));
    let path = path.child("path");
    errors.extend(present(&source.path, &path));
    if !source.path.starts_with('/') {
        errors.push(Error::invalid(&path, &source.path, "must be an absolute path"));
    }
    errors
}

pub(super) fn iscsi(source: &ISCSIVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&source.target_portal, &path.child("targetPortal")));
    let iqn_path = path.child("iqn");
    errors.extend(present(&source.iqn, &iqn_path).or_else(|| qualified(&source.iqn, &iqn_path)));
    errors.extend(lun(source.lun, path));
    let authenticates = is_true(source.chap_auth_discovery) || is_true(source.chap_auth_session);
    if authenticates && source.secret_ref.is_none() {
        errors.push(Error::required(&path.child("secretRef"), ""));
    }
    if let Some(initiator) = &source.initiator_name {
        errors.extend(qualified(initiator, &path.child("initiatorname")));
    }
    errors
}

/// That the names of the volume and of the portal together are not too long for an initiator. `path` is the volume's.
pub(super) fn iscsi_name(volume: &Volume, path: &Path) -> Option<Error> {
    let source = volume.iscsi.as_ref().filter(|source| source.initiator_name.is_some())?;
    let length = volume.name.len() + 1 + source.target_portal.len();
    let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                  iscsi.initiatorName is specified.";
    (length > MAX_ISCSI_PORTAL_BYTES).then(|| Error::invalid(&path.child("name"), &volume.name, detail))
}

pub(in crate::resources) fn fibre_channel(source: &FCVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (target_names, ids) = (list(&source.target_wwns), list(&source.wwids));
    let names_path = path.child("targetWWNs");
    if target_names.is_empty() && ids.is_empty() {
        errors.push(Error::required(&names_path, "must specify either targetWWNs or wwids, but not both"));
    }
    if !target_names.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(Error::invalid(&names_path, BadValue::json(target_names), detail));
    }
    if !target_names.is_empty() {
        match source.lun {
            Some(number) => errors.extend(lun(number, path)),
            None => errors.push(Error::required(&path.child("lun"), "lun is required if targetWWNs is specified")),
        }
    }
    errors
}

pub(super) fn flex(source: &FlexVolumeSource, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(&source.driver, &path.child("driver")));
    errors.extend(flex_options(source.options.as_ref(), path));
    errors
}

/// That no option is named as if it were Kubernetes's own. `path` is the source's.
pub(in crate::resources) fn flex_options(options: Option<&BTreeMap<String, String>>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, _) in options.into_iter().flatten() {
        let domain = key.split_once('/').map_or(&**key, |(domain, _)| domain);
        let domain = format!(".{}", domain.to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let detail = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(Error::invalid(&path.child("options").key(key), key, detail));
        }
    }
    errors
}

pub(super) fn csi(source: &CSIVolumeSource, path: &Path) -> ErrorList {
    let mut errors = driver_name(&source.driver, &path.child("driver"));
    if let Some(secret) = &source.node_publish_secret_ref {
        match present(&secret.name, &path.child("nodePublishSecretRef").child("name")) {
            Some(missing) => errors.push(missing),
            None => errors.extend(dns_subdomain(&secret.name, &path.child("name"))),
        }
    }
    errors
}

/// That the name is one that a CSI driver can have.
pub(in crate::resources) fn driver_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(name, path));
    if name.len() > MAX_DRIVER_BYTES {
        errors.push(Error::too_long(path, MAX_DRIVER_BYTES));
    }
    errors.extend(named(name, names::dns1123_subdomain(&name.to_lowercase()), path));
    errors
}

/// That the number is that of a SCSI unit. `path` is the source's.
pub(in crate::resources) fn lun(number: i32, path: &Path) -> ErrorList {
    let messages = names::in_range(number.into(), 0, MAX_LUN.into());
    messages.into_iter().map(|message| Error::invalid(&path.child("lun"), number, message)).collect()
}

/// That the name is in one of the three forms that iSCSI knows (RFC 3721).
fn qualified(name: &str, path: &Path) -> Option<Error> {
    let has_form = ["iqn", "eui", "naa"].iter().any(|form| name.starts_with(form));
    let detail = if has_form { "must be valid format" } else { "must be valid format starting with iqn, eui, or naa" };
    (!is_qualified(name)).then(|| Error::invalid(path, name, detail))
}

/// Whether the name is in one of the three forms that iSCSI knows (RFC 3721).
pub(in crate::resources) fn is_qualified(name: &str) -> bool {
    match name.get(..3) {
        Some("iqn") => (0..name.len()).any(|at| name.get(at..).is_some_and(is_iqn)),
        Some(form @ ("eui" | "naa")) => {
            let digits = if form == "eui" { 16 } else { 32 };
            let rest: Vec<char> = name.chars().skip(4).collect();
            rest.len() == digits && rest.iter().all(char::is_ascii_alphanumeric)
        }
        _ => false,
    }
}

/// `iqn.<year>-<month>.<reversed domain>:<anything without separators>`.
fn is_iqn(name: &str) -> bool {
    let Some((authority, unique)) = name.strip_prefix("iqn.").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let (date, domain) = match (authority.get(..8), authority.get(8..)) {
        (Some(date), Some(domain)) => (date.as_bytes(), domain),
        _ => return false,
    };
    let is_date = date.iter().enumerate().all(|(i, b)| match i {
        4 => *b == b'-',
        7 => *b == b'.',
        _ => b.is_ascii_digit(),
    });
    let is_separator = |c: char| matches!(c, ',' | ';' | '*' | '&' | '$' | '|') || c.is_ascii_whitespace();
    let is_domain_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    is_date
        && !domain.is_empty()
        && domain.bytes().all(is_domain_byte)
        && !unique.is_empty()
        && !unique.contains(is_separator)
}
