//! The order of groups and versions: the first group that knows a resource is the one that `kubectl get` means, and the
//! first version of a group is its preferred one.

use std::cmp::{Ordering, Reverse};

use crate::registry::{Resource, Resources};

/// Upstream's priorities of built-in groups (`GroupPriorityMinimum` of their APIServices).
const PRIORITIES: [(&str, u32); 25] = [
    ("", 18000),
    ("admissionregistration.k8s.io", 16700),
    ("apiextensions.k8s.io", 16700),
    ("apiregistration.k8s.io", 20000),
    ("apps", 17800),
    ("authentication.k8s.io", 17700),
    ("authorization.k8s.io", 17600),
    ("autoscaling", 17500),
    ("batch", 17400),
    ("certificates.k8s.io", 17300),
    ("coordination.k8s.io", 16500),
    ("discovery.k8s.io", 16200),
    ("events.k8s.io", 17750),
    ("flowcontrol.apiserver.k8s.io", 16100),
    ("internal.apiserver.k8s.io", 16000),
    ("lifecycle.k8s.io", 15700),
    // What its add-on asks for.
    ("metrics.k8s.io", 100),
    ("networking.k8s.io", 17200),
    ("node.k8s.io", 16300),
    ("policy", 17100),
    ("rbac.authorization.k8s.io", 17000),
    ("resource.k8s.io", 15900),
    ("scheduling.k8s.io", 16600),
    ("storage.k8s.io", 16800),
    ("storagemigration.k8s.io", 15800),
];

/// The priority of groups that are known only at run time, as upstream registers those of custom resources.
const DYNAMIC: u32 = 1000;

/// A group with what it serves.
pub(crate) struct Group<'a> {
    /// Empty for the core group.
    pub(crate) name: &'a str,
    /// The preferred one first.
    pub(crate) versions: Vec<Version<'a>>,
}

/// A version of a group.
pub(crate) struct Version<'a> {
    /// Such as `v1`.
    pub(crate) name: &'a str,
    /// By plural.
    pub(crate) resources: Vec<&'a Resource>,
}

/// Everything that is served, in the order of discovery.
pub(crate) fn groups(resources: &Resources) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for resource in resources.iter() {
        let names = resource.kind.names();
        let group = entry(
            &mut groups,
            |group| group.name == names.group,
            || Group { name: &names.group, versions: Vec::new() },
        );
        let version = entry(
            &mut group.versions,
            |version| version.name == names.version,
            || Version { name: &names.version, resources: Vec::new() },
        );
        version.resources.push(resource);
    }
    groups.sort_by_key(|group| (Reverse(priority(group.name)), group.name));
    for group in &mut groups {
        group.versions.sort_by(|one, other| compare_versions(one.name, other.name));
        for version in &mut group.versions {
            version.resources.sort_by(|one, other| one.kind.names().plural.cmp(&other.kind.names().plural));
        }
    }
    groups
}

/// Orders versions by how stable they are, and then by how new: `v2`, `v1`, `v2beta1`, `v1alpha1`, and then anything
/// that is no such version, by name. This agrees with every priority that upstream states for built-in versions.
pub(crate) fn compare_versions(one: &str, other: &str) -> Ordering {
    match (stability(one), stability(other)) {
        (Some(one), Some(other)) => other.cmp(&one),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.cmp(other),
    }
}

fn entry<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let at = list.iter().position(is).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    });
    &mut list[at]
}

/// The priority of a group.
pub(crate) fn priority(group: &str) -> u32 {
    PRIORITIES.iter().find(|(name, _)| *name == group).map_or(DYNAMIC, |(_, priority)| *priority)
}

/// Stability (2 for stable, 1 for beta, 0 for alpha), major version, and number of the preview.
fn stability(version: &str) -> Option<(u8, u32, u32)> {
    let version = version.strip_prefix('v')?;
    let end = version.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(version.len());
    let (major, preview) = version.split_at(end);
    let major = number(major)?;
    if preview.is_empty() {
        return Some((2, major, 0));
    }
    if let Some(beta) = preview.strip_prefix("beta") {
        return Some((1, major, number(beta)?));
    }
    Some((0, major, number(preview.strip_prefix("alpha")?)?))
}

fn number(digits: &str) -> Option<u32> {
    if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first_and_then_new_ones() {
        let expected =
            ["v10", "v2", "v1", "v0", "v2beta2", "v2beta1", "v1beta10", "v1beta2", "v1alpha1", "foo", "v1gamma1"];
        let mut versions = expected;
        versions.reverse();
        versions.sort_by(|one, other| compare_versions(one, other));
        assert_eq!(versions, expected);
    }
}
