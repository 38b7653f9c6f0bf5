//! `--profile`: what a container that debugs may do, and what else its pod must have.

use clap::ValueEnum;
use serde_json::{Value, json};

/// What it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    General,
    Baseline,
    Restricted,
    Netadmin,
    Sysadmin,
}

/// What is debugged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A container in the pod itself.
    Ephemeral,
    /// A copy of the pod.
    Copy,
    /// A node, by a pod of its own.
    Node,
}

impl Profile {
    /// Gives it to the container of this place, in the pod where it is.
    pub(super) fn apply(self, pod: &mut Value, style: Style, list: &str, index: usize) {
        let spec = &mut pod["spec"];
        let container = &mut spec[list][index];
        match self {
            Profile::General if style != Style::Node => allow(container, &["SYS_PTRACE"]),
            Profile::General | Profile::Baseline => {
                remove(container, "securityContext");
            }
            Profile::Restricted => {
                container["securityContext"] = json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": true,
                    "seccompProfile": {"type": "RuntimeDefault"},
                });
            }
            Profile::Netadmin => allow(container, &["NET_ADMIN", "NET_RAW"]),
            Profile::Sysadmin => container["securityContext"]["privileged"] = json!(true),
        }
        match (style, self) {
            (Style::Node, Profile::General | Profile::Sysadmin) => {
                mount_root(spec, list, index);
                share_with_host(spec);
            }
            (Style::Node, Profile::Netadmin) => share_with_host(spec),
            (Style::Copy, _) if spec["shareProcessNamespace"].is_null() => spec["shareProcessNamespace"] = json!(true),
            _ => {}
        }
    }
}

fn remove(value: &mut Value, field: &str) {
    value.as_object_mut().and_then(|fields| fields.remove(field));
}

fn allow(container: &mut Value, wanted: &[&str]) {
    let add = &mut container["securityContext"]["capabilities"]["add"];
    let mut all = add.as_array().cloned().unwrap_or_default();
    all.extend(wanted.iter().map(|capability| json!(capability)));
    *add = Value::Array(all);
}

fn share_with_host(spec: &mut Value) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        spec[field] = json!(true);
    }
}

/// The node's files, at `/host`.
fn mount_root(spec: &mut Value, list: &str, index: usize) {
    const NAME: &str = "host-root";
    spec["volumes"] = json!([{"name": NAME, "hostPath": {"path": "/"}}]);
    spec[list][index]["volumeMounts"] = json!([{"name": NAME, "mountPath": "/host"}]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(profile: Profile, style: Style) -> Value {
        let mut pod = json!({"spec": {"containers": [{"name": "c"}]}});
        profile.apply(&mut pod, style, "containers", 0);
        let mut spec = pod["spec"].take();
        remove(&mut spec["containers"][0], "name");
        spec
    }

    /// As kubectl's pods look.
    #[test]
    fn containers_may_do_what_the_profile_says() {
        let context = |profile| applied(profile, Style::Ephemeral)["containers"][0]["securityContext"].take();
        assert_eq!(context(Profile::General), json!({"capabilities": {"add": ["SYS_PTRACE"]}}));
        assert_eq!(context(Profile::Baseline), Value::Null);
        let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"}});
        assert_eq!(context(Profile::Restricted), restricted);
        assert_eq!(context(Profile::Netadmin), json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}));
        assert_eq!(context(Profile::Sysadmin), json!({"privileged": true}));
    }

    #[test]
    fn pods_of_nodes_are_where_the_node_is() {
        let host = json!({"hostNetwork": true, "hostPID": true, "hostIPC": true});
        let with_root = |context: Value| {
            let mut spec = host.clone();
            spec["volumes"] = json!([{"name": "host-root", "hostPath": {"path": "/"}}]);
            spec["containers"] = json!([{"volumeMounts": [{"name": "host-root", "mountPath": "/host"}]}]);
            if !context.is_null() {
                spec["containers"][0]["securityContext"] = context;
            }
            spec
        };
        assert_eq!(applied(Profile::General, Style::Node), with_root(Value::Null));
        assert_eq!(applied(Profile::Sysadmin, Style::Node), with_root(json!({"privileged": true})));
        assert_eq!(applied(Profile::Baseline, Style::Node), json!({"containers": [{}]}));
        let net = applied(Profile::Netadmin, Style::Node);
        assert!(net["hostPID"] == true && net["volumes"].is_null());
        assert_eq!(applied(Profile::Baseline, Style::Copy), json!({"containers": [{}], "shareProcessNamespace": true}));
    }
}
