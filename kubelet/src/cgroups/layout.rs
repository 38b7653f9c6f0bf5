//! What cgroups are called: `/kubepods`, below it one for each lesser class of service, and a pod's own, `pod<uid>`.
//!
//! With the driver `systemd` cgroups are slices, each named after all above it. Pure.

use api::pod_resources::qos;
use k8s_openapi::api::core::v1::Pod;

/// What all pods are below.
const PODS: &str = "kubepods";
/// What a pod's own cgroup is called, before its uid.
const POD: &str = "pod";

/// Who makes cgroups, and by that how they are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// Whoever needs one, as directories.
    #[default]
    Cgroupfs,
    /// systemd, as slices.
    Systemd,
}

/// A pod's class of service, as cgroups are sorted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// All that is requested is the limit. Such pods are next to the other classes, not below one of their own.
    Guaranteed,
    /// Something is requested.
    Burstable,
    /// Nothing is requested.
    BestEffort,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 3] = [Class::Guaranteed, Class::Burstable, Class::BestEffort];

    /// A pod's.
    #[must_use]
    pub fn of(pod: &Pod) -> Class {
        match qos::class_of(pod).as_str() {
            qos::GUARANTEED => Class::Guaranteed,
            qos::BURSTABLE => Class::Burstable,
            _ => Class::BestEffort,
        }
    }

    fn directory(self) -> Option<&'static str> {
        match self {
            Class::Guaranteed => None,
            Class::Burstable => Some("burstable"),
            Class::BestEffort => Some("besteffort"),
        }
    }
}

/// What cgroups are called on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Who makes them.
    pub driver: Driver,
    /// What they are all below (`cgroupRoot`): the parts of a path, none of which is empty.
    root: Vec<String>,
}

impl Layout {
    /// Below `root`, such as `/`.
    #[must_use]
    pub fn new(driver: Driver, root: &str) -> Layout {
        Layout { driver, root: root.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect() }
    }

    /// The cgroup of everything that is not the pods' (`/`, or the root that was asked for).
    #[must_use]
    pub fn root(&self) -> String {
        self.path(&[])
    }

    /// The cgroup of all pods.
    #[must_use]
    pub fn pods(&self) -> String {
        self.path(&[PODS])
    }

    /// The cgroup that pods of a class have theirs in.
    #[must_use]
    pub fn class(&self, class: Class) -> String {
        match class.directory() {
            None => self.pods(),
            Some(directory) => self.path(&[PODS, directory]),
        }
    }

    /// The cgroup of a pod of a class.
    #[must_use]
    pub fn pod(&self, class: Class, uid: &str) -> String {
        let own = format!("{POD}{uid}");
        match class.directory() {
            None => self.path(&[PODS, &own]),
            Some(directory) => self.path(&[PODS, directory, &own]),
        }
    }

    /// A pod's cgroup, which the runtime makes its containers' in (`cgroup_parent`).
    #[must_use]
    pub fn pod_parent(&self, pod: &Pod) -> String {
        self.pod(Class::of(pod), pod.metadata.uid.as_deref().unwrap_or_default())
    }

    /// The uid of the pod whose cgroup has this name, the last part of its path; `None` if it is no pod's.
    #[must_use]
    pub fn uid(&self, class: Class, name: &str) -> Option<String> {
        let uid = match self.driver {
            Driver::Cgroupfs => name.strip_prefix(POD)?.to_owned(),
            Driver::Systemd => {
                let of_class = self.class(class);
                let parent = of_class.rsplit('/').next()?.strip_suffix(".slice")?;
                let own = name.strip_suffix(".slice")?.strip_prefix(parent)?.strip_prefix('-')?.strip_prefix(POD)?;
                own.replace('_', "-")
            }
        };
        (!uid.is_empty()).then_some(uid)
    }

    fn path(&self, below: &[&str]) -> String {
        let parts = self.root.iter().map(String::as_str).chain(below.iter().copied());
        let mut path = String::new();
        let mut slice = String::new();
        for part in parts {
            path.push('/');
            match self.driver {
                Driver::Cgroupfs => path.push_str(part),
                Driver::Systemd => {
                    // A dash says that one slice is in another, so that names have none of their own.
                    let part = part.strip_suffix(".slice").unwrap_or(part).replace('-', "_");
                    if !slice.is_empty() {
                        slice.push('-');
                    }
                    slice.push_str(&part);
                    path.extend([slice.as_str(), ".slice"]);
                }
            }
        }
        if path.is_empty() { "/".to_owned() } else { path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_called_as_upstreams() {
        let check = |driver, root: &str, class, expected: [&str; 3]| {
            let layout = Layout::new(driver, root);
            let path = layout.pod(class, "1-2");
            assert_eq!([layout.pods().as_str(), layout.class(class).as_str(), &path], expected);
            assert_eq!(layout.uid(class, path.rsplit('/').next().unwrap()).as_deref(), Some("1-2"));
        };
        use Class::{BestEffort, Burstable, Guaranteed};
        use Driver::{Cgroupfs, Systemd};
        check(Cgroupfs, "/", Guaranteed, ["/kubepods", "/kubepods", "/kubepods/pod1-2"]);
        check(Cgroupfs, "", Burstable, ["/kubepods", "/kubepods/burstable", "/kubepods/burstable/pod1-2"]);
        check(Cgroupfs, "/", BestEffort, ["/kubepods", "/kubepods/besteffort", "/kubepods/besteffort/pod1-2"]);
        check(Cgroupfs, "/a/b/", Guaranteed, ["/a/b/kubepods", "/a/b/kubepods", "/a/b/kubepods/pod1-2"]);
        check(
            Systemd,
            "/",
            Burstable,
            [
                "/kubepods.slice",
                "/kubepods.slice/kubepods-burstable.slice",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice",
            ],
        );
        let pod = "/my_root.slice/my_root-kubepods.slice/my_root-kubepods-pod1_2.slice";
        let pods = "/my_root.slice/my_root-kubepods.slice";
        check(Systemd, "/my-root", Guaranteed, [pods, pods, pod]);
    }

    #[test]
    fn others_cgroups_are_no_pods() {
        let check = |driver, class, name: &str| assert_eq!(Layout::new(driver, "/").uid(class, name), None, "{name}");
        check(Driver::Cgroupfs, Class::Guaranteed, "burstable");
        check(Driver::Cgroupfs, Class::Guaranteed, "pod");
        check(Driver::Systemd, Class::Guaranteed, "kubepods-burstable.slice");
        check(Driver::Systemd, Class::Guaranteed, "kubepods-burstable-pod1.slice");
        check(Driver::Systemd, Class::Burstable, "kubepods-podx.slice");
        check(Driver::Systemd, Class::Burstable, "kubepods-burstable-podx.scope");
    }
}
