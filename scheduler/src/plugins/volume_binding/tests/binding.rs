//! What is waited for before a pod is bound.

use super::*;
use crate::cycle::Ready;

/// A pod with claim `made` of class `make` and claim `there` of class `wait`, for which volume `v` of node `n1` is kept.
fn reserved() -> (Snapshot, Ready) {
    let mut snapshot = cluster();
    let claims = [claim("made", 1, "make", NOTHING), claim("there", 1, "wait", NOTHING)];
    add(&mut snapshot, &[volume("v", 1, Some("n1"), NOTHING)], &claims);
    let wanted = pod(&["made", "there"]);
    let info = PodInfo::new(&wanted);
    let candidate = Candidate { uid: "p", info: &info, nominated_node: None };
    let (plugin, node) = (VolumeBinding::default(), snapshot.index("n1").unwrap());
    snapshot.assume(&wanted, "n1");
    assert_eq!(plugin.reserve(&mut snapshot, &candidate, node), Ok(()));
    let told = plugin.pre_bind(&snapshot, &candidate, node).unwrap();
    assert_eq!(told.writes.len(), 2);
    (snapshot, told.ready)
}

/// The volume as it was written, and what has happened to it since.
fn written_volume(over: &Value) -> Value {
    let mut value = volume(
        "v",
        1,
        Some("n1"),
        &json!({
            "metadata": {"resourceVersion": "2"},
            "spec": {"claimRef": {"namespace": "default", "name": "there", "uid": "there"}},
        }),
    );
    say(&mut value, over);
    value
}

/// The claim as it was written, and what has happened to it since.
fn written_claim(over: &Value) -> Value {
    let mut value = claim(
        "made",
        1,
        "make",
        &json!({
            "metadata": {"resourceVersion": "2", "annotations": {SELECTED: "n1"}},
        }),
    );
    say(&mut value, over);
    value
}

fn is_bound(name: &str, class: &str, volume: &str) -> Value {
    claim(
        name,
        1,
        class,
        &json!({
            "metadata": {"resourceVersion": "3", "annotations": {SELECTED: "n1", "pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": volume},
        }),
    )
}

#[test]
fn all_claims_are_waited_for() {
    let (mut snapshot, ready) = reserved();
    assert_eq!(ready(&snapshot), Ok(false), "nothing was written yet");
    add(&mut snapshot, &[written_volume(NOTHING)], &[written_claim(NOTHING)]);
    assert_eq!(ready(&snapshot), Ok(false), "nothing is bound yet");
    add(&mut snapshot, &[], &[is_bound("there", "wait", "v")]);
    assert_eq!(ready(&snapshot), Ok(false), "one is not bound yet");
    add(&mut snapshot, &[], &[is_bound("made", "make", "w")]);
    assert_eq!(ready(&snapshot), Ok(false), "its volume was not heard of yet");
    add(&mut snapshot, &[volume("w", 1, Some("n1"), NOTHING)], &[]);
    assert_eq!(ready(&snapshot), Ok(true));
}

#[test]
fn what_can_no_longer_be_is_told() {
    let check = |change: &dyn Fn(&mut Snapshot), expected: &str| {
        let (mut snapshot, ready) = reserved();
        add(&mut snapshot, &[written_volume(NOTHING)], &[written_claim(NOTHING)]);
        change(&mut snapshot);
        assert_eq!(ready(&snapshot), Err(format!("binding volumes: {expected}")));
    };
    let node_moved = |snapshot: &mut Snapshot| {
        snapshot.set_node(&testing::node("n1", json!({"metadata": {"labels": {HOST: "other"}}})));
    };
    check(&node_moved, "pv \"v\" node affinity doesn't match node \"n1\": no matching NodeSelectorTerms");
    check(&|snapshot| snapshot.remove_node("n1"), "failed to get node \"n1\": node \"n1\" not found");
    check(&|snapshot| snapshot.remove_pod("p"), "pod does not exist any more: pod \"p\" not found");
    let gone = "failed to check binding: persistentvolumes \"v\" not found";
    check(&|snapshot| snapshot.remove_persistent_volume("v"), gone);
    let gone = "failed to check binding: persistentvolumeclaims \"default/there\" not found";
    check(&|snapshot| snapshot.remove_persistent_volume_claim("default", "there"), gone);
    let unbound = volume("v", 1, Some("n1"), &json!({"metadata": {"resourceVersion": "3"}}));
    check(&|snapshot| add(snapshot, std::slice::from_ref(&unbound), &[]), "ClaimRef got reset for pv \"v\"");
    let after = |change: Value| {
        move |snapshot: &mut Snapshot| add(snapshot, &[], &[is_bound("there", "wait", "v"), change.clone()])
    };
    let gone = "failed to check provisioning pvc: persistentvolumeclaims \"default/made\" not found";
    check(
        &|snapshot| {
            add(snapshot, &[], &[is_bound("there", "wait", "v")]);
            snapshot.remove_persistent_volume_claim("default", "made");
        },
        gone,
    );
    let version = json!({"metadata": {"resourceVersion": "3"}});
    check(&after(claim("made", 1, "make", &version)), "selectedNode annotation reset for PVC \"made\"");
    let elsewhere = json!({"metadata": {"resourceVersion": "3", "annotations": {SELECTED: "n2"}}});
    check(&after(written_claim(&elsewhere)), "provisioning failed for PVC \"made\"");
    let elsewhere = |snapshot: &mut Snapshot| {
        after(is_bound("made", "make", "w"))(snapshot);
        add(snapshot, &[volume("w", 1, Some("n2"), NOTHING)], &[]);
    };
    check(&elsewhere, "pv \"w\" node affinity doesn't match node \"n1\": no matching NodeSelectorTerms");
}

#[test]
fn nothing_is_waited_for_if_all_is_bound() {
    let mut snapshot = cluster();
    add(&mut snapshot, &[volume("v", 1, None, NOTHING)], &[bound("c", "v")]);
    let node = snapshot.index("n1").unwrap();
    for claims in [&["c"][..], &[]] {
        let info = PodInfo::new(&pod(claims));
        let candidate = Candidate { uid: "p", info: &info, nominated_node: None };
        assert_eq!(VolumeBinding::default().reserve(&mut snapshot, &candidate, node), Ok(()));
        assert!(VolumeBinding::default().pre_bind(&snapshot, &candidate, node).is_none());
    }
}

#[test]
fn what_was_decided_may_have_been_overtaken() {
    let mut snapshot = cluster();
    add(&mut snapshot, &[volume("v", 1, None, NOTHING)], &[claim("c", 1, "wait", NOTHING)]);
    let info = PodInfo::new(&pod(&["c"]));
    let candidate = Candidate { uid: "p", info: &info, nominated_node: None };
    let (plugin, node) = (VolumeBinding::default(), snapshot.index("n1").unwrap());
    assert_eq!(plugin.reserve(&mut snapshot, &candidate, node), Ok(()));
    add(&mut snapshot, &[volume("v", 1, None, &json!({"metadata": {"resourceVersion": "2"}}))], &[]);
    let told = plugin.pre_bind(&snapshot, &candidate, node).unwrap();
    assert!(told.writes.is_empty());
    assert!((told.ready)(&snapshot).unwrap_err().contains("no longer kept"));
}
