//! A private containerd's configuration. Pure.

use std::path::Path;

use super::{Found, Layout};

/// The kernel's name for the file system that containers' roots are made of, if the data directory is on it as well: one
/// on top of another does not work, so there containers' roots are copied.
const OVERLAY: i64 = 0x794c_7630;

/// What a configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config<'a> {
    pub(super) layout: &'a Layout,
    pub(super) found: &'a Found,
    pub(super) sandbox_image: &'a str,
    pub(super) log_level: &'a str,
    /// How likely the kernel ends it when memory runs out; `None` leaves that to the kernel, for containers as well: that
    /// they are less likely to be ended than the runtime cannot be had then.
    pub(super) oom_score: Option<i32>,
    /// What containers' roots are made with.
    pub(super) snapshotter: &'a str,
    /// Where it is written how registries are reached, if anywhere.
    pub(super) registries: Option<&'a Path>,
}

impl Config<'_> {
    /// As containerd reads it (version 2). What nodes do not need is left out of it: other snapshotters, tracing, and the
    /// directory that it would make in `/opt`.
    pub(super) fn render(&self) -> String {
        let text = |path: &Path| quoted(&path.to_string_lossy());
        let oom_score = self.oom_score.map(|score| format!("oom_score = {score}\n")).unwrap_or_default();
        let registries = self
            .registries
            .map(|path| format!("\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = {}\n", text(path)));
        format!(
            r#"# Written anew whenever the agent starts.
version = 2
root = {root}
state = {state}
{oom_score}disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = {socket}

[debug]
level = {log_level}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {sandbox_image}
netns_mounts_under_state_dir = true
enable_unprivileged_ports = true
enable_unprivileged_icmp = true
tolerate_missing_hugetlb_controller = true
restrict_oom_score_adj = {restricted}

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {plugins}
conf_dir = {networks}
max_conf_num = 1

[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
snapshotter = {snapshotter}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = {runc}
Root = {runc_root}
SystemdCgroup = false
{registries}"#,
            restricted = self.oom_score.is_none(),
            root = text(&self.layout.root()),
            state = text(&self.layout.state()),
            socket = text(&self.layout.socket()),
            log_level = quoted(self.log_level),
            sandbox_image = quoted(self.sandbox_image),
            plugins = text(&self.found.plugins),
            networks = text(&self.layout.networks()),
            snapshotter = quoted(self.snapshotter),
            runc = text(&self.found.runc),
            runc_root = text(&self.layout.runc()),
            registries = registries.unwrap_or_default(),
        )
    }
}

/// What containers' roots are made with on a file system of this kind, which the kernel tells.
pub(super) fn snapshotter(filesystem: i64) -> &'static str {
    if filesystem == OVERLAY { "native" } else { "overlayfs" }
}

/// A string as TOML has it: its basic strings escape what JSON's strings do, in the same way.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_come_through_as_they_are() {
        let layout = Layout::of(Path::new("/data \"here\""));
        let found = Found {
            containerd: "/usr/bin/containerd".into(),
            runc: "/usr/sbin/runc".into(),
            ctr: "/usr/bin/ctr".into(),
            plugins: "/usr/lib/cni".into(),
            path: "/usr/bin".into(),
        };
        let config = Config {
            layout: &layout,
            found: &found,
            sandbox_image: "gantry.local/pause:1",
            log_level: "warn",
            oom_score: Some(-999),
            snapshotter: snapshotter(OVERLAY),
            registries: Some(Path::new("/etc/registries")),
        };
        let written = config.render();
        for line in [
            r#"root = "/data \"here\"/containerd/root""#,
            r#"address = "/data \"here\"/containerd/containerd.sock""#,
            r#"sandbox_image = "gantry.local/pause:1""#,
            r#"bin_dir = "/usr/lib/cni""#,
            r#"snapshotter = "native""#,
            r#"config_path = "/etc/registries""#,
            "oom_score = -999",
            "restrict_oom_score_adj = false",
        ] {
            assert!(written.lines().any(|other| other == line), "{line} in:\n{written}");
        }
        assert_eq!(snapshotter(0xef53), "overlayfs");
        let without = Config { oom_score: None, registries: None, ..config }.render();
        assert!(
            without.contains("restrict_oom_score_adj = true")
                && !without.contains("\noom_score")
                && !without.contains("config_path")
        );
    }
}
