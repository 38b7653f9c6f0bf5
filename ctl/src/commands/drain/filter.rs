//! Which pods of a node go, which stay, and for which somebody must say so first.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::controller;

/// What somebody has said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    pub(super) force: bool,
    pub(super) ignore_daemonsets: bool,
    pub(super) delete_emptydir_data: bool,
    /// Pods that have been going for longer than so many seconds are left; 0 leaves none.
    pub(super) skips_going_for: u64,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes; this is to be said.
    Removed(Option<&'static str>),
    /// It stays; this is to be said.
    Left(Option<&'static str>),
    /// Nothing goes, for this reason.
    Refused(&'static str),
}

impl Verdict {
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Verdict::Refused(reason) => Some(reason),
            _ => None,
        }
    }

    pub(super) fn warning(&self) -> Option<&str> {
        match self {
            Verdict::Removed(warning) | Verdict::Left(warning) => *warning,
            Verdict::Refused(_) => None,
        }
    }

    pub(super) fn is_removed(&self) -> bool {
        matches!(self, Verdict::Removed(_))
    }
}

/// Judges a pod; it is an orphan if the DaemonSet that it was made by is no more.
pub(super) fn judge(pod: &Value, is_orphan: bool, choice: Choice) -> Verdict {
    if choice.skips_going_for > 0 && going_for(pod, choice.now) > choice.skips_going_for {
        return Verdict::Left(None);
    }
    let is_finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let owner = controller(pod);
    let mut warning = None;
    // A node without pods that tolerate all would get the pods of DaemonSets again.
    if owner.is_some_and(|owner| owner["kind"] == "DaemonSet") && !is_finished {
        if is_orphan {
            if !choice.force {
                return Verdict::Refused(
                    "cannot delete DaemonSet-managed Pods whose DaemonSet is gone (use --force to override)",
                );
            }
            warning = Some("deleting Pods whose DaemonSet is gone");
        } else if choice.ignore_daemonsets {
            return Verdict::Left(Some("ignoring DaemonSet-managed Pods"));
        } else {
            return Verdict::Refused("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)");
        }
    }
    // Pods of a node's files are not the server's to delete.
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return Verdict::Left(None);
    }
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    if !is_finished && !choice.delete_emptydir_data && volumes.any(|volume| volume["emptyDir"].is_object()) {
        return Verdict::Refused("cannot delete Pods with local storage (use --delete-emptydir-data to override)");
    }
    if !is_finished && owner.is_none() {
        if !choice.force {
            return Verdict::Refused("cannot delete Pods that declare no controller (use --force to override)");
        }
        warning = Some("deleting Pods that declare no controller");
    }
    Verdict::Removed(warning)
}

/// For how many seconds it has been going.
fn going_for(pod: &Value, now: i64) -> u64 {
    let since = pod["metadata"]["deletionTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    since.and_then(|since| u64::try_from(now - since.as_second()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_are_judged_as_kubectl_does_it() {
        let owned = |kind: &str| json!([{"kind": kind, "controller": true}]);
        let set = json!({"metadata": {"ownerReferences": owned("ReplicaSet")}});
        let daemon = json!({"metadata": {"ownerReferences": owned("DaemonSet")}});
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        let mut data = set.clone();
        data["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        let mut finished = data.clone();
        finished["status"]["phase"] = json!("Succeeded");
        let bare = json!({});
        let all = Choice { force: true, ignore_daemonsets: true, delete_emptydir_data: true, ..Choice::default() };
        let check =
            |pod: &Value, choice: Choice, expected: Verdict| assert_eq!(judge(pod, false, choice), expected, "{pod}");
        let none = Choice::default();
        check(&set, none, Verdict::Removed(None));
        check(
            &daemon,
            none,
            Verdict::Refused("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"),
        );
        check(&daemon, all, Verdict::Left(Some("ignoring DaemonSet-managed Pods")));
        check(&mirror, none, Verdict::Left(None));
        check(
            &data,
            none,
            Verdict::Refused("cannot delete Pods with local storage (use --delete-emptydir-data to override)"),
        );
        check(&data, all, Verdict::Removed(None));
        check(&finished, none, Verdict::Removed(None));
        check(&bare, none, Verdict::Refused("cannot delete Pods that declare no controller (use --force to override)"));
        check(&bare, all, Verdict::Removed(Some("deleting Pods that declare no controller")));
        assert!(judge(&daemon, true, none).refusal().is_some());
        assert!(judge(&daemon, true, all).is_removed());
        let going = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:10Z"}});
        check(&going, Choice { skips_going_for: 5, now: 16, ..none }, Verdict::Left(None));
        check(
            &going,
            Choice { skips_going_for: 5, now: 15, force: true, ..none },
            Verdict::Removed(Some("deleting Pods that declare no controller")),
        );
    }
}
