//! Where the kernel's cgroups are mounted: one tree for all controllers (version 2), or a tree for each (version 1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::CgroupError;

/// The controllers that pods' limits and figures are of.
pub(super) const CONTROLLERS: &[&str] = &["blkio", "cpu", "cpuacct", "cpuset", "hugetlb", "io", "memory", "pids"];

/// Which version of cgroups a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A tree for each controller.
    V1,
    /// One tree.
    V2,
}

/// The trees of cgroups of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    version: Version,
    /// By controller. With version 2 all of them have the same tree.
    controllers: BTreeMap<String, PathBuf>,
    /// All of them, those without controllers of ours too: a runtime makes a container's cgroup in each.
    trees: Vec<PathBuf>,
}

impl Hierarchies {
    /// The trees that this process sees.
    ///
    /// # Errors
    /// If none are mounted, or `/proc` cannot be read.
    pub fn find() -> Result<Hierarchies, CgroupError> {
        let path = Path::new("/proc/self/mountinfo");
        let content = std::fs::read_to_string(path).map_err(|error| CgroupError::io("read", path, error))?;
        let mounts = parse(&content);
        let controllers = match mounts.unified.as_ref().filter(|_| mounts.controllers.is_empty()) {
            None => String::new(),
            Some(tree) => {
                let path = tree.join("cgroup.controllers");
                std::fs::read_to_string(&path).map_err(|error| CgroupError::io("read", &path, error))?
            }
        };
        mounts.hierarchies(&controllers).ok_or(CgroupError::NotMounted)
    }

    /// One tree with these controllers.
    #[must_use]
    pub fn unified(tree: impl Into<PathBuf>, controllers: &[&str]) -> Hierarchies {
        let tree = tree.into();
        let controllers = controllers.iter().map(|name| ((*name).to_owned(), tree.clone())).collect();
        Hierarchies { version: Version::V2, controllers, trees: vec![tree] }
    }

    /// No trees.
    pub(super) fn none() -> Hierarchies {
        Hierarchies { version: Version::V1, controllers: BTreeMap::new(), trees: Vec::new() }
    }

    /// Which version it is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether there is this controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.contains_key(controller)
    }

    /// The directory of a cgroup, such as `/kubepods`, as a controller has it.
    pub(super) fn directory(&self, controller: &str, cgroup: &str) -> Option<PathBuf> {
        self.controllers.get(controller).map(|tree| below(tree, cgroup))
    }

    /// The directories of a cgroup in which something is limited or counted, each once.
    pub(super) fn controlled(&self, cgroup: &str) -> Vec<PathBuf> {
        let trees: std::collections::BTreeSet<&PathBuf> = self.controllers.values().collect();
        trees.into_iter().map(|tree| below(tree, cgroup)).collect()
    }

    /// All directories that a cgroup may have.
    pub(super) fn all(&self, cgroup: &str) -> Vec<PathBuf> {
        self.trees.iter().map(|tree| below(tree, cgroup)).collect()
    }

    /// The tree of a controller.
    pub(super) fn tree(&self, controller: &str) -> Option<&Path> {
        self.controllers.get(controller).map(PathBuf::as_path)
    }
}

fn below(tree: &Path, cgroup: &str) -> PathBuf {
    tree.join(cgroup.trim_start_matches('/'))
}

#[derive(Debug, Default)]
struct Mounts {
    unified: Option<PathBuf>,
    controllers: BTreeMap<String, PathBuf>,
    named: Vec<PathBuf>,
}

/// Reads `mountinfo`: the fifth field is where something is mounted; after ` - ` come the type, the source and the options.
fn parse(content: &str) -> Mounts {
    let mut mounts = Mounts::default();
    for line in content.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let Some(point) = before.split(' ').nth(4).map(unescaped) else { continue };
        let mut fields = after.split(' ');
        match (fields.next(), fields.nth(1)) {
            (Some("cgroup2"), _) => {
                mounts.unified.get_or_insert(point);
            }
            (Some("cgroup"), Some(options)) => {
                let known = options.split(',').filter(|option| CONTROLLERS.contains(option));
                let known: Vec<_> = known.map(str::to_owned).collect();
                if known.is_empty() {
                    mounts.named.push(point.clone());
                }
                for controller in known {
                    mounts.controllers.entry(controller).or_insert_with(|| point.clone());
                }
            }
            _ => {}
        }
    }
    mounts
}

impl Mounts {
    /// `controllers` are those of the one tree, if there is no other.
    fn hierarchies(self, controllers: &str) -> Option<Hierarchies> {
        if self.controllers.is_empty() {
            let known: Vec<_> = controllers.split_whitespace().filter(|name| CONTROLLERS.contains(name)).collect();
            return self.unified.map(|tree| Hierarchies::unified(tree, &known));
        }
        let mut trees: Vec<_> = self.controllers.values().cloned().chain(self.named).chain(self.unified).collect();
        trees.sort();
        trees.dedup();
        Some(Hierarchies { version: Version::V1, controllers: self.controllers, trees })
    }
}

/// Spaces and the like are written as octal numbers.
fn unescaped(path: &str) -> PathBuf {
    let mut text = path.to_owned();
    for (escape, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(escape, plain);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
        50 31 0:38 / /else\\040where/memory rw,relatime - cgroup cgroup rw,memory\n";

    #[test]
    fn trees_are_found_by_controller() {
        let found = parse(V1).hierarchies("").unwrap();
        assert_eq!(found.version(), Version::V1);
        let directory =
            |controller| found.directory(controller, "/a/b").map(|path| path.to_string_lossy().into_owned());
        assert_eq!(directory("cpu").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct/a/b"));
        assert_eq!(directory("cpuacct"), directory("cpu"));
        assert_eq!(directory("memory").as_deref(), Some("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(directory("pids"), None);
        assert_eq!(found.controlled("/").len(), 2);
        // Runtimes make cgroups in trees of no controller of ours too.
        assert_eq!(found.all("/x").len(), 5);
    }

    #[test]
    fn one_tree_has_all_controllers() {
        let content = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = parse(content).hierarchies("cpuset cpu io memory pids\n").unwrap();
        assert_eq!(found, Hierarchies::unified("/sys/fs/cgroup", &["cpuset", "cpu", "io", "memory", "pids"]));
        assert_eq!(found.controlled("/a"), [PathBuf::from("/sys/fs/cgroup/a")]);
        assert!(parse("1 2 0:3 / /proc rw - proc proc rw\n").hierarchies("").is_none());
        assert_eq!(unescaped("/else\\040where"), PathBuf::from("/else where"));
    }
}
