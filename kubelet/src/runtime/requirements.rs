//! What a private containerd needs of the machine: programs, which Debian has packages for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The programs, and the packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
];
/// The network plugins, and the package that has them.
const PLUGINS: [&str; 4] = ["host-local", "loopback", "portmap", "ptp"];
const PLUGINS_PACKAGE: &str = "containernetworking-plugins";
/// Where network plugins are: Debian's place, and upstream's.
const PLUGIN_DIRECTORIES: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// Where programs are looked for even if the search path does not say so: users' search paths lack some of them.
const DIRECTORIES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where programs and plugins are looked for.
#[derive(Clone, Debug)]
pub struct Requirements {
    directories: Vec<PathBuf>,
    plugin_directories: Vec<PathBuf>,
}

/// The programs and plugins of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The runtime.
    pub containerd: PathBuf,
    /// What runs containers for it.
    pub runc: PathBuf,
    /// What operators talk to it with.
    pub ctr: PathBuf,
    /// The directory of the network plugins.
    pub plugins: PathBuf,
    /// A search path that the runtime and the plugins find all of it by.
    pub path: OsString,
}

/// What is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Missing {
    /// The programs, sorted.
    pub programs: Vec<String>,
    /// The Debian packages that have them, sorted.
    pub packages: BTreeSet<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages: Vec<_> = self.packages.iter().map(String::as_str).collect();
        write!(
            formatter,
            "this machine lacks {}, which containers are run with: install them (apt-get install {}), or name a runtime \
             with --container-runtime-endpoint",
            self.programs.join(", "),
            packages.join(" ")
        )
    }
}

impl Requirements {
    /// Looks where programs and plugins are on this machine.
    pub fn find() -> Result<Found, Missing> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // An empty or relative entry means the working directory, where nobody expects a runtime to come from.
        let mut directories: Vec<PathBuf> = std::env::split_paths(&path).filter(|path| path.is_absolute()).collect();
        for directory in DIRECTORIES.map(PathBuf::from) {
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        Requirements::within(directories, PLUGIN_DIRECTORIES.map(PathBuf::from).to_vec()).look()
    }

    /// With directories of one's own.
    #[must_use]
    pub fn within(directories: Vec<PathBuf>, plugin_directories: Vec<PathBuf>) -> Requirements {
        Requirements { directories, plugin_directories }
    }

    /// Looks for all of it.
    pub fn look(&self) -> Result<Found, Missing> {
        let mut missing = Missing { programs: Vec::new(), packages: BTreeSet::new() };
        let mut paths = PROGRAMS.map(|(name, package)| {
            let path = self.directories.iter().map(|directory| directory.join(name)).find(|path| is_program(path));
            if path.is_none() {
                missing.programs.push(name.to_owned());
                missing.packages.insert(package.to_owned());
            }
            path.unwrap_or_default()
        });
        let lacks = |directory: &Path| PLUGINS.iter().filter(|name| !is_program(&directory.join(name))).count();
        let plugins = self.plugin_directories.iter().min_by_key(|directory| lacks(directory)).cloned();
        let plugins = plugins.unwrap_or_default();
        for name in PLUGINS.iter().filter(|name| !is_program(&plugins.join(name))) {
            missing.programs.push(format!("the network plugin {name}"));
            missing.packages.insert(PLUGINS_PACKAGE.to_owned());
        }
        let path = std::env::join_paths(&self.directories).unwrap_or_default();
        if !missing.programs.is_empty() {
            return Err(missing);
        }
        let [containerd, _, ctr, runc, _] = paths.each_mut().map(std::mem::take);
        Ok(Found { containerd, runc, ctr, plugins, path })
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a program of each name in a directory.
    fn install(directory: &Path, names: &[&str]) {
        std::fs::create_dir_all(directory).unwrap();
        for name in names {
            std::fs::write(directory.join(name), "").unwrap();
            std::fs::set_permissions(directory.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let directory = tempfile::tempdir().unwrap();
        let (bin, sbin) = (directory.path().join("bin"), directory.path().join("sbin"));
        let (debian, upstream) = (directory.path().join("cni"), directory.path().join("opt"));
        let requirements =
            Requirements::within(vec![bin.clone(), sbin.clone()], vec![debian.clone(), upstream.clone()]);
        let nothing = requirements.look().unwrap_err();
        assert_eq!(nothing.packages.len(), 4);
        assert!(nothing.to_string().contains("apt-get install containerd containernetworking-plugins iptables runc"));
        install(&bin, &["containerd", "containerd-shim-runc-v2", "ctr"]);
        install(&upstream, &["host-local", "loopback", "ptp"]);
        install(&debian, &["loopback"]);
        // A file that cannot be executed is no program.
        std::fs::create_dir_all(&sbin).unwrap();
        std::fs::write(sbin.join("runc"), "").unwrap();
        let some = requirements.look().unwrap_err();
        assert_eq!(some.programs, ["runc", "iptables", "the network plugin portmap"]);
        install(&sbin, &["runc", "iptables"]);
        install(&upstream, &["portmap"]);
        let found = requirements.look().unwrap();
        assert_eq!((found.containerd, found.runc), (bin.join("containerd"), sbin.join("runc")));
        assert_eq!((found.ctr, found.plugins), (bin.join("ctr"), upstream));
    }
}
