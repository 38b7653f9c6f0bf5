//! Making, limiting and removing cgroups: directories and files of the kernel's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::hierarchies::CONTROLLERS;
use super::{CgroupError, Hierarchies, Limits, Version, cpu};

/// How deep cgroups are looked at: containers may make some of their own.
const DEEPEST: usize = 64;

/// Makes a cgroup and all above it, unless they are there, with all controllers.
pub(super) fn make(hierarchies: &Hierarchies, cgroup: &str) -> Result<(), CgroupError> {
    for directory in hierarchies.controlled(cgroup) {
        fs::create_dir_all(&directory).map_err(|error| CgroupError::io("make the cgroup", &directory, error))?;
    }
    match hierarchies.version() {
        Version::V1 => match hierarchies.tree("cpuset") {
            Some(tree) => inherit_cpuset(tree, cgroup),
            None => Ok(()),
        },
        Version::V2 => match hierarchies.tree("memory") {
            Some(tree) => pass_controllers_on(hierarchies, tree, cgroup),
            None => Ok(()),
        },
    }
}

/// The directories of a cgroup and of all above it, the topmost first.
fn from_the_top(tree: &Path, cgroup: &str) -> Vec<PathBuf> {
    let mut directories = vec![tree.to_owned()];
    for part in cgroup.split('/').filter(|part| !part.is_empty()) {
        let next = directories.last().map(|above| above.join(part));
        directories.extend(next);
    }
    directories
}

/// A new cgroup of version 1 has no CPUs, and cannot have processes until it has.
fn inherit_cpuset(tree: &Path, cgroup: &str) -> Result<(), CgroupError> {
    for pair in from_the_top(tree, cgroup).windows(2) {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let (above, own) = (pair[0].join(file), pair[1].join(file));
            let read = |path: &Path| fs::read_to_string(path).map_err(|error| CgroupError::io("read", path, error));
            if read(&own)?.trim().is_empty() {
                let content = read(&above)?;
                put(&own, content.trim())?;
            }
        }
    }
    Ok(())
}

/// A cgroup of version 2 has the controllers that the one above it passes on.
fn pass_controllers_on(hierarchies: &Hierarchies, tree: &Path, cgroup: &str) -> Result<(), CgroupError> {
    let directories = from_the_top(tree, cgroup);
    let above = directories.split_last().map(|(_, above)| above).unwrap_or_default();
    for directory in above {
        let path = directory.join("cgroup.subtree_control");
        let passed = fs::read_to_string(&path).map_err(|error| CgroupError::io("read", &path, error))?;
        let passed: Vec<&str> = passed.split_whitespace().collect();
        let wanted = CONTROLLERS.iter().filter(|name| hierarchies.has(name) && !passed.contains(*name));
        let wanted: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
        if !wanted.is_empty() {
            put(&path, &wanted.join(" "))?;
        }
    }
    Ok(())
}

fn put(path: &Path, content: &str) -> Result<(), CgroupError> {
    // Not created: a file that is missing here is none that the kernel knows.
    let written = fs::OpenOptions::new().write(true).truncate(true).open(path);
    let written = written.and_then(|mut file| io::Write::write_all(&mut file, content.as_bytes()));
    written.map_err(|error| CgroupError::io("write", path, error))
}

/// Limits a cgroup. Controllers that the machine has not are passed over.
pub(super) fn write(hierarchies: &Hierarchies, cgroup: &str, limits: &Limits) -> Result<(), CgroupError> {
    for setting in limits.settings(hierarchies.version()) {
        if let Some(directory) = hierarchies.directory(setting.controller, cgroup) {
            put(&directory.join(&setting.file), &setting.content)?;
        }
    }
    Ok(())
}

/// What a cgroup is limited to; `None` if there is no such cgroup.
pub(super) fn limits(hierarchies: &Hierarchies, cgroup: &str) -> Option<Limits> {
    let read =
        |controller: &str, file: &str| fs::read_to_string(hierarchies.directory(controller, cgroup)?.join(file)).ok();
    let number = |controller: &str, file: &str| {
        let text = read(controller, file)?;
        if text.trim() == "max" { Some(-1) } else { text.trim().parse::<i64>().ok() }
    };
    if !hierarchies.directory("memory", cgroup)?.is_dir() {
        return None;
    }
    let pids = number("pids", "pids.max");
    Some(match hierarchies.version() {
        Version::V1 => {
            // The greatest number of pages stands for no limit.
            let unlimited = |bytes: i64| if bytes >= 1 << 62 { -1 } else { bytes };
            Limits {
                cpu_shares: number("cpu", "cpu.shares"),
                cpu_quota: number("cpu", "cpu.cfs_quota_us").zip(number("cpu", "cpu.cfs_period_us")),
                memory: number("memory", "memory.limit_in_bytes").map(unlimited),
                pids,
                ..Limits::default()
            }
        }
        Version::V2 => {
            let quota = read("cpu", "cpu.max").and_then(|text| {
                let (quota, period) = text.trim().split_once(' ')?;
                let quota = if quota == "max" { -1 } else { quota.parse().ok()? };
                Some((quota, period.parse().ok()?))
            });
            Limits {
                cpu_shares: number("cpu", "cpu.weight").map(cpu::shares_of_weight),
                cpu_quota: quota,
                memory: number("memory", "memory.max"),
                pids,
                ..Limits::default()
            }
        }
    })
}

/// The names of the cgroups right below one.
pub(super) fn children(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Kills what is in the cgroups, and removes them and all below them. Fails if the kernel still has processes there that are
/// on their way out: then it is to be tried again.
pub(super) fn remove(directories: &[PathBuf]) -> Result<(), CgroupError> {
    let present: Vec<&PathBuf> = directories.iter().filter(|directory| directory.is_dir()).collect();
    for directory in &present {
        kill(directory, 0);
    }
    let mut first = Ok(());
    for directory in present {
        let removed = remove_all(directory, 0);
        if first.is_ok() {
            first = removed;
        }
    }
    first
}

fn kill(directory: &Path, depth: usize) {
    let all_at_once = directory.join("cgroup.kill");
    if all_at_once.exists() && put(&all_at_once, "1").is_ok() {
        return;
    }
    let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    // What another PID namespace's process is called here is 0, and the first one is nobody's to kill.
    let processes = processes.lines().filter_map(|line| line.trim().parse().ok()).filter(|process| *process > 1);
    for process in processes.filter_map(Pid::from_raw) {
        // One that is gone by now needs nothing more.
        let _ = kill_process(process, Signal::KILL);
    }
    if depth < DEEPEST {
        children(directory).iter().for_each(|name| kill(&directory.join(name), depth + 1));
    }
}

fn remove_all(directory: &Path, depth: usize) -> Result<(), CgroupError> {
    if depth < DEEPEST {
        for name in children(directory) {
            remove_all(&directory.join(name), depth + 1)?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CgroupError::io("remove the cgroup", directory, error)),
        Ok(()) => Ok(()),
    }
}
