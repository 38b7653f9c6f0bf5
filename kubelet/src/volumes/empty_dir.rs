//! Volumes that begin empty and end with their pod: directories on disk, memory, or huge pages.
//!
//! Which medium a volume is on, and how large it may be in memory, is decided by pure functions; [`make`] carries it out and
//! may be called again. A marker beside the pod's volumes says that a volume is ready, as upstream's does, so that what
//! containers did to their directory stays when the agent starts again.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use api::pod_resources::{self, List, Options};
use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod};

use super::mounts;
use super::ownership::Ownership;

/// Everybody may write to it: which users containers run as is theirs to say.
const MODE: u32 = 0o777;
/// Resources that are huge pages have names that begin so.
const HUGE_PAGES: &str = "hugepages-";

/// What a volume is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// The disk that the agent's directory is on.
    Disk,
    /// Memory, at most so many bytes of it.
    Memory(Option<u64>),
    /// Huge pages, of so many bytes each.
    HugePages(u64),
}

/// Why it cannot be made of that.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// There is no such medium.
    #[error("unknown storage medium {0:?}")]
    Unknown(String),
    /// No container asks for huge pages of that size.
    #[error("medium {0:?}: no container of the pod requests huge pages of that size")]
    NotRequested(String),
    /// Containers ask for several sizes, and the medium does not say which.
    #[error("medium: {0} can't be used if container requests multiple huge page sizes")]
    Several(String),
}

/// What the volume is made of.
pub(super) fn medium(source: &EmptyDirVolumeSource, pod: &Pod, allocatable: &List) -> Result<Medium, Refused> {
    match source.medium.as_deref().unwrap_or_default() {
        "" => Ok(Medium::Disk),
        "Memory" => {
            let limit = source.size_limit.as_ref().and_then(|limit| Quantity::try_from(limit).ok());
            Ok(Medium::Memory(memory_size(limit, pod, allocatable)))
        }
        "HugePages" => {
            let sizes = page_sizes(pod);
            match sizes.as_slice() {
                [size] => Ok(Medium::HugePages(*size)),
                [] => Err(Refused::NotRequested("HugePages".to_owned())),
                _ => Err(Refused::Several("HugePages".to_owned())),
            }
        }
        medium => {
            let size = medium.strip_prefix("HugePages-").and_then(|size| bytes(&Quantity::parse(size).ok()?));
            let size = size.ok_or_else(|| Refused::Unknown(medium.to_owned()))?;
            let is_requested = page_sizes(pod).contains(&size);
            if is_requested { Ok(Medium::HugePages(size)) } else { Err(Refused::NotRequested(medium.to_owned())) }
        }
    }
}

fn bytes(quantity: &Quantity) -> Option<u64> {
    u64::try_from(quantity.value()).ok().filter(|bytes| *bytes > 0)
}

/// The least of what the volume, the pod and the node allow.
pub(super) fn memory_size(limit: Option<Quantity>, pod: &Pod, allocatable: &List) -> Option<u64> {
    let node = allocatable.get("memory").and_then(bytes);
    let volume = limit.as_ref().and_then(bytes);
    [node, memory_limit(pod), volume].into_iter().flatten().min()
}

/// What the pod's memory is held to: something only if the pod as a whole, or each container, has a limit.
fn memory_limit(pod: &Pod) -> Option<u64> {
    let spec = pod.spec.as_ref()?;
    let has = |resources: Option<&k8s_openapi::api::core::v1::ResourceRequirements>| {
        let limits = pod_resources::read(resources.and_then(|resources| resources.limits.as_ref()));
        limits.get("memory").is_some_and(|limit| !limit.is_zero())
    };
    let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    if !has(spec.resources.as_ref()) && !containers.all(|container| has(container.resources.as_ref())) {
        return None;
    }
    pod_resources::limits(pod, Options::default()).get("memory").and_then(bytes)
}

/// The sizes of huge pages that the pod requests, each once.
fn page_sizes(pod: &Pod) -> Vec<u64> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let all = spec.resources.iter().chain(containers.filter_map(|container| container.resources.as_ref()));
    let names = all.flat_map(|resources| resources.requests.iter().flatten()).map(|(name, _)| name);
    let sizes = names.filter_map(|name| bytes(&Quantity::parse(name.strip_prefix(HUGE_PAGES)?).ok()?));
    let mut sizes: Vec<u64> = sizes.collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Makes the volume at `dir`, and gives it to whom it belongs, unless `marker` says that this was done and it is still so.
pub(super) fn make(
    dir: &Path,
    marker: &Path,
    medium: Medium,
    mode: Option<i32>,
    ownership: Option<Ownership>,
) -> io::Result<()> {
    let mounted = if medium == Medium::Disk { None } else { mounts::at(dir)? };
    let is_made = match medium {
        Medium::Disk => dir.is_dir(),
        Medium::Memory(_) => mounted.as_ref().is_some_and(|mounted| mounted.file_system == "tmpfs"),
        Medium::HugePages(_) => mounted.as_ref().is_some_and(|mounted| mounted.file_system == "hugetlbfs"),
    };
    if is_made && marker.exists() {
        return Ok(());
    }
    let permissions = || Permissions::from_mode(mode.map_or(MODE, super::payload::permissions));
    DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    fs::set_permissions(dir, permissions())?;
    if !is_made {
        match medium {
            Medium::Disk => {}
            Medium::Memory(size) => mounts::memory(dir, size)?,
            Medium::HugePages(page) => mounts::huge_pages(dir, page)?,
        }
        // What was mounted has a root of its own.
        fs::set_permissions(dir, permissions())?;
    }
    if let Some(ownership) = ownership {
        ownership.apply(dir)?;
    }
    if let Some(above) = marker.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(above)?;
    }
    fs::write(marker, [])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::ground::Ground;
    use super::*;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
    }

    fn limited(memory: &[&str]) -> Value {
        let containers = memory.iter().map(|memory| match *memory {
            "" => json!({"name": "c"}),
            memory => json!({"name": "c", "resources": {"limits": {"memory": memory}}}),
        });
        json!({"containers": containers.collect::<Vec<_>>()})
    }

    #[test]
    fn memory_has_a_size() {
        let allocatable = [("memory".to_owned(), Quantity::parse("1Gi").unwrap())].into();
        let check = |limit: Option<&str>, spec: Value, expected: u64| {
            let source = json!({"medium": "Memory", "sizeLimit": limit});
            let source: EmptyDirVolumeSource = serde_json::from_value(source).unwrap();
            let medium = medium(&source, &pod(spec.clone()), &allocatable);
            assert_eq!(medium, Ok(Medium::Memory(Some(expected << 20))), "{limit:?} in {spec}");
        };
        check(None, limited(&[""]), 1024);
        check(Some("64Mi"), limited(&[""]), 64);
        check(Some("2Gi"), limited(&[""]), 1024);
        check(Some("0"), limited(&[""]), 1024);
        check(None, limited(&["100Mi", "28Mi"]), 128);
        check(None, limited(&["100Mi", ""]), 1024);
        check(Some("256Mi"), limited(&["100Mi"]), 100);
        check(Some("64Mi"), limited(&["100Mi"]), 64);
        let mut whole = limited(&[""]);
        whole["resources"] = json!({"limits": {"memory": "200Mi"}});
        check(None, whole, 200);
    }

    #[test]
    fn media_are_told_apart() {
        let huge = json!({"containers": [{"name": "c", "resources": {"requests": {"hugepages-2Mi": "4Mi"}}}]});
        let two = json!({"containers": [
            {"name": "c", "resources": {"requests": {"hugepages-2Mi": "4Mi"}}},
            {"name": "d", "resources": {"requests": {"hugepages-1Gi": "1Gi"}}},
        ]});
        let check = |name: &str, spec: &Value, expected: Result<Medium, Refused>| {
            let source = EmptyDirVolumeSource { medium: Some(name.to_owned()), ..EmptyDirVolumeSource::default() };
            assert_eq!(medium(&source, &pod(spec.clone()), &List::new()), expected, "{name}");
        };
        check("", &huge, Ok(Medium::Disk));
        check("Memory", &limited(&[""]), Ok(Medium::Memory(None)));
        check("HugePages", &huge, Ok(Medium::HugePages(2 << 20)));
        check("HugePages", &two, Err(Refused::Several("HugePages".to_owned())));
        check("HugePages", &limited(&[""]), Err(Refused::NotRequested("HugePages".to_owned())));
        check("HugePages-1Gi", &two, Ok(Medium::HugePages(1 << 30)));
        check("HugePages-1Gi", &huge, Err(Refused::NotRequested("HugePages-1Gi".to_owned())));
        check("HugePages-x", &huge, Err(Refused::Unknown("HugePages-x".to_owned())));
        check("Tape", &huge, Err(Refused::Unknown("Tape".to_owned())));
    }

    #[test]
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    fn huge_pages_are_mounted_once() {
        let Some(ground) = Ground::for_mounts() else { return };
        if !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
            println!("skipped: this kernel has no huge pages of 2 MiB");
            return;
        }
        let (dir, marker) = (ground.path().join("v/x"), ground.path().join("m/x/ready"));
        for _ in 0..2 {
            make(&dir, &marker, Medium::HugePages(2 << 20), None, None).unwrap();
        }
        let mounted: Vec<String> = mounts::below(&dir).unwrap().into_iter().map(|it| it.file_system).collect();
        assert_eq!(mounted, ["hugetlbfs"]);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o7777, 0o777);
        assert_eq!(rustix::fs::statfs(&dir).unwrap().f_bsize, 2 << 20, "pages are as large as was asked");
    }

    #[test]
    fn a_machine_that_starts_again_gets_its_memory_again() {
        let Some(ground) = Ground::for_mounts() else { return };
        let (dir, marker) = (ground.path().join("v/x"), ground.path().join("m/x/ready"));
        let make = || make(&dir, &marker, Medium::Memory(Some(1 << 20)), None, None).unwrap();
        make();
        fs::write(dir.join("file"), "x").unwrap();
        make();
        assert!(dir.join("file").exists());
        mounts::unmount(&dir).unwrap();
        make();
        assert!(!dir.join("file").exists() && mounts::at(&dir).unwrap().is_some());
    }

    #[test]
    fn what_is_ready_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (dir, marker) = (root.path().join("v/x"), root.path().join("m/x/ready"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        make(&dir, &marker, Medium::Disk, None, None).unwrap();
        assert_eq!(mode(&dir), 0o777);
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        make(&dir, &marker, Medium::Disk, None, None).unwrap();
        assert_eq!(mode(&dir), 0o700, "a container did that");
        fs::remove_file(&marker).unwrap();
        make(&dir, &marker, Medium::Disk, Some(0o1777), None).unwrap();
        assert_eq!(mode(&dir), 0o1777);
    }
}
