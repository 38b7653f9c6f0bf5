//! What is reserved for a pod is kept from others, and what is taken back was never done.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::cycle::Write;
use crate::snapshot::{ClaimKey, Storage};

/// Reserves for a pod with the claims.
fn reserve(snapshot: &mut Snapshot, uid: &str, info: &PodInfo, node: &str) -> Result<(), String> {
    let index = snapshot.index(node).unwrap();
    VolumeBinding::default().reserve(snapshot, &Candidate { uid, info, nominated_node: None }, index)
}

fn unreserve(snapshot: &mut Snapshot, uid: &str, info: &PodInfo, node: &str) {
    let index = snapshot.index(node).unwrap();
    VolumeBinding::default().unreserve(snapshot, &Candidate { uid, info, nominated_node: None }, index);
}

/// By which claim the volume is kept.
fn keeper<'a>(storage: &'a Storage, volume: &str) -> Option<&'a str> {
    storage.volume(volume).unwrap().claim.as_ref().map(|(claim, _)| claim.name.as_str())
}

#[test]
fn the_smallest_volumes_that_do_are_kept() {
    let check = |volumes: &[Value], claims: &[(&str, u8)], expected: &[(&str, &str)]| {
        let mut snapshot = cluster();
        let said: Vec<Value> = claims.iter().map(|(name, size)| claim(name, *size, "wait", NOTHING)).collect();
        add(&mut snapshot, volumes, &said);
        let names: Vec<&str> = claims.iter().map(|(name, _)| *name).collect();
        assert_eq!(reserve(&mut snapshot, "p", &PodInfo::new(&pod(&names)), "n1"), Ok(()));
        for (volume, claim) in expected {
            assert_eq!(keeper(snapshot.storage(), volume), Some(*claim).filter(|claim| !claim.is_empty()), "{volume}");
        }
    };
    let at = |name: &str, size, node| volume(name, size, node, NOTHING);
    let several = [at("a", 5, None), at("b", 2, Some("n1")), at("c", 1, None), at("d", 2, Some("n2"))];
    check(&several, &[("x", 1)], &[("c", "x"), ("b", "")]);
    check(&several, &[("x", 2)], &[("b", "x"), ("a", ""), ("d", "")]);
    check(&several, &[("x", 2), ("y", 2)], &[("b", "x"), ("a", "y")]);
    check(&several, &[("x", 4), ("y", 1)], &[("a", "x"), ("c", "y")]);
    check(&[at("b", 1, None), at("a", 1, None)], &[("x", 1)], &[("a", "x"), ("b", "")]);
}

#[test]
fn what_is_kept_for_one_pod_is_not_for_another() {
    let mut snapshot = cluster();
    let claims = ["c", "d"].map(|name| claim(name, 1, "wait", NOTHING));
    add(&mut snapshot, &[volume("v", 1, None, NOTHING)], &claims);
    let infos = ["c", "d"].map(|name| PodInfo::new(&pod(&[name])));
    assert_eq!(reserve(&mut snapshot, "p1", &infos[0], "n1"), Ok(()));
    assert_eq!(said(&snapshot, &["d"]), [NONE, NONE]);
    assert_eq!(reserve(&mut snapshot, "p2", &infos[1], "n1"), Err(NONE.to_owned()));
    unreserve(&mut snapshot, "p2", &infos[1], "n1");
    assert_eq!(keeper(snapshot.storage(), "v"), Some("c"));
    unreserve(&mut snapshot, "p1", &infos[0], "n1");
    assert_eq!(keeper(snapshot.storage(), "v"), None);
    assert_eq!(said(&snapshot, &["d"]), ["ok", "ok"]);
}

#[test]
fn pods_that_share_a_claim_go_to_the_same_node_and_do_not_take_back_each_others() {
    let mut snapshot = cluster();
    add(&mut snapshot, &[], &[claim("c", 1, "make", NOTHING)]);
    let info = PodInfo::new(&pod(&["c"]));
    assert_eq!(reserve(&mut snapshot, "p1", &info, "n1"), Ok(()));
    assert_eq!(said(&snapshot, &["c"]), ["ok", NONE]);
    assert_eq!(reserve(&mut snapshot, "p2", &info, "n1"), Ok(()));
    unreserve(&mut snapshot, "p2", &info, "n1");
    assert_eq!(said(&snapshot, &["c"]), ["ok", NONE]);
    unreserve(&mut snapshot, "p1", &info, "n1");
    assert_eq!(said(&snapshot, &["c"]), ["ok", "ok"]);
}

#[test]
fn claims_and_volumes_are_written_as_upstream_writes_them() {
    let mut snapshot = cluster();
    let claims = [claim("d", 1, "make", NOTHING), claim("c", 1, "wait", NOTHING), bound("e", "w")];
    let taken = json!({"spec": {"claimRef": {"namespace": "default", "name": "e", "uid": "e"}}});
    add(&mut snapshot, &[volume("v", 1, None, NOTHING), volume("w", 1, None, &taken)], &claims);
    let info = PodInfo::new(&pod(&["d", "c", "e"]));
    let candidate = Candidate { uid: "p", info: &info, nominated_node: None };
    let (plugin, node) = (VolumeBinding::default(), snapshot.index("n1").unwrap());
    assert_eq!(plugin.reserve(&mut snapshot, &candidate, node), Ok(()));
    let told = plugin.pre_bind(&snapshot, &candidate, node).unwrap();
    assert_eq!(told.timeout, Duration::from_secs(600));
    let [Write::PersistentVolume(kept), Write::PersistentVolumeClaim(selected)] = told.writes.as_slice() else {
        panic!("{:?}", told.writes)
    };
    let reference = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "default", "name": "c",
        "uid": "c", "resourceVersion": "1"});
    let by_controller = json!({"metadata": {"annotations": {"pv.kubernetes.io/bound-by-controller": "yes"}},
        "spec": {"claimRef": reference}});
    assert_eq!(**kept, object(volume("v", 1, None, &by_controller)));
    let annotations = json!({"metadata": {"annotations": {SELECTED: "n1"}}});
    assert_eq!(**selected, object(claim("d", 1, "make", &annotations)));
}

#[test]
fn volumes_that_users_kept_stay_theirs() {
    let mut snapshot = cluster();
    let by_user = json!({"spec": {"claimRef": {"namespace": "default", "name": "c"}}});
    add(&mut snapshot, &[volume("v", 1, None, &by_user)], &[claim("c", 1, "wait", NOTHING)]);
    assert_eq!(reserve(&mut snapshot, "p", &PodInfo::new(&pod(&["c"])), "n1"), Ok(()));
    let volume = snapshot.storage().volume("v").unwrap();
    assert_eq!(volume.claim, Some((ClaimKey::new("default", "c"), "c".to_owned())));
    assert_eq!(volume.object.metadata.annotations, None);
}

fn some_volumes() -> impl Strategy<Value = Vec<Value>> {
    let one = (1..4u8, proptest::option::of(select(&["n1", "n2"])), proptest::option::of(select(&["a", "b"])));
    let volumes = proptest::collection::vec(one, 0..5);
    volumes.prop_map(|volumes| {
        let named = |(number, (size, node, claim)): (usize, (u8, Option<&str>, Option<&str>))| {
            let kept =
                claim.map_or(json!({}), |claim| json!({"spec": {"claimRef": {"namespace": "default", "name": claim}}}));
            volume(&format!("v{number}"), size, node, &kept)
        };
        volumes.into_iter().enumerate().map(named).collect()
    })
}

fn some_claims() -> impl Strategy<Value = Vec<Value>> {
    let claim_of = |name: &'static str| {
        let node = proptest::option::of(select(&["n1", "n2"]));
        (1..4u8, select(&["wait", "make", "zoned"]), node).prop_map(move |(size, class, node)| {
            let annotations = node.map_or(json!({}), |node| json!({"metadata": {"annotations": {SELECTED: node}}}));
            claim(name, size, class, &annotations)
        })
    };
    (claim_of("a"), claim_of("b"), claim_of("c")).prop_map(|(a, b, c)| vec![a, b, c])
}

proptest! {
    #[test]
    fn what_is_taken_back_was_never_done(
        volumes in some_volumes(),
        claims in some_claims(),
        pods in proptest::collection::vec((proptest::sample::subsequence(vec!["a", "b", "c"], 1..=3), select(&["n1", "n2"])), 2),
    ) {
        let mut snapshot = cluster();
        add(&mut snapshot, &volumes, &claims);
        let before = snapshot.clone();
        let infos: Vec<PodInfo> = pods.iter().map(|(claims, _)| PodInfo::new(&pod(claims))).collect();
        let fits = said(&snapshot, &pods[0].0)[usize::from(pods[0].1 == "n2")] == "ok";
        let first = reserve(&mut snapshot, "p0", &infos[0], pods[0].1);
        prop_assert_eq!(first.is_ok(), fits, "reserving finds what filtering found");
        if !fits {
            prop_assert_eq!(snapshot.storage(), before.storage());
            return Ok(());
        }
        prop_assert_eq!(&said(&snapshot, &pods[0].0)[usize::from(pods[0].1 == "n2")], "ok", "it still fits there");
        let between = snapshot.clone();
        let second = reserve(&mut snapshot, "p1", &infos[1], pods[1].1);
        if second.is_err() {
            prop_assert_eq!(snapshot.storage(), between.storage());
        }
        unreserve(&mut snapshot, "p1", &infos[1], pods[1].1);
        prop_assert_eq!(snapshot.storage(), between.storage());
        unreserve(&mut snapshot, "p0", &infos[0], pods[0].1);
        unreserve(&mut snapshot, "p0", &infos[0], pods[0].1);
        prop_assert_eq!(snapshot.storage(), before.storage());
    }
}
