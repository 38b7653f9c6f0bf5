//! What must hold for every graph of objects, whoever is deleted and how.

use std::collections::{BTreeMap, BTreeSet};

use client::resource::AnyObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use proptest::prelude::*;

use super::tests::{add, adopt, delete, key, nothing, texts};
use super::*;
use crate::plan::Effect;
use crate::testing::World;

/// All objects that there may be.
const NAMES: [&str; 9] = ["c-a", "c-b", "c-c", "c-d", "d-a", "d-b", "n-a", "m-a", "w-a"];

/// The collector, watched: it must not delete what has an owner that is there.
struct Watched;

impl Controller for Watched {
    const NAME: &'static str = GarbageCollector::NAME;
    type Observed = (Observed, Cache);

    fn watches(&self) -> Watches {
        GarbageCollector.watches()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<(Observed, Cache)> {
        Some((GarbageCollector.observe(cache, key)?, cache.clone()))
    }

    fn reconcile(&self, (observed, cache): &(Observed, Cache), moment: &Moment) -> Plan {
        let plan = GarbageCollector.reconcile(observed, moment);
        let deletes = plan.actions.iter().any(|action| matches!(action.effect, Effect::Delete(_)));
        let live = live_owners(cache, observed.object.meta());
        assert!(!deletes || live.is_empty(), "{} has {live:?}: {plan:#?}", observed.target.name);
        plan
    }
}

/// The owners of an object that are there and do not wait for it.
fn live_owners(cache: &Cache, meta: &ObjectMeta) -> Vec<String> {
    let lives = |reference: &&OwnerReference| {
        cache.with_uid(&reference.uid).is_some_and(|(resource, owner)| {
            let is_here = !resource.namespaced || owner.meta().namespace == meta.namespace;
            let goes_last = owner.meta().finalizers.iter().flatten().any(|it| it == "foregroundDeletion");
            is_here && !(goes_last && owner.meta().deletion_timestamp.is_some())
        })
    };
    meta.owner_references.iter().flatten().filter(lives).map(|reference| reference.name.clone()).collect()
}

/// An object of the model.
#[derive(Clone, Debug)]
struct Thing {
    name: &'static str,
    orphans: bool,
    /// The name of each owner, behind `!` or `~` or nothing.
    owners: Vec<(&'static str, &'static str)>,
}

impl Thing {
    fn text(&self) -> String {
        let owners: Vec<String> = self.owners.iter().map(|(mark, name)| format!("{mark}{name}")).collect();
        format!("{}{}: {}", self.name, if self.orphans { "+orphan" } else { "" }, owners.join(", "))
    }

    /// Whether a reference is to an object that could be its owner.
    fn can_see(&self, (mark, owner): (&str, &str)) -> bool {
        !mark.contains('~')
            && (owner.starts_with(['n', 'm']) || owner[..1] == self.name[..1] || both_in_one(owner, self.name))
    }

    /// The references for which it cannot be judged.
    fn invalid(&self) -> impl Iterator<Item = &(&'static str, &'static str)> {
        let namespaced = |name: &str| !name.starts_with(['n', 'm']);
        let is_invalid = move |owner: &str| owner.starts_with('u') || (!namespaced(self.name) && namespaced(owner));
        self.owners.iter().filter(move |(_, owner)| is_invalid(owner))
    }
}

fn both_in_one(one: &str, other: &str) -> bool {
    one.starts_with(['c', 'w']) && other.starts_with(['c', 'w'])
}

/// The things that satisfy `stays`, which may ask whether another stays: as many as can be.
fn most(things: &[Thing], stays: impl Fn(&Thing, &BTreeSet<&str>) -> bool) -> BTreeSet<&'static str> {
    let mut left: BTreeSet<&'static str> = things.iter().map(|thing| thing.name).collect();
    loop {
        let gone = things.iter().find(|thing| left.contains(thing.name) && !stays(thing, &left));
        let Some(gone) = gone else { return left };
        left.remove(gone.name);
    }
}

/// What must be left, and what may be left, of things of which some are deleted. What lies between depends on what is
/// looked at first: an object with an owner that orphans it and one that is absent goes if the first forgets it first.
fn bounds(things: &[Thing], deleted: &BTreeMap<&str, &str>) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let orphaning = |name: &str| deleted.get(name) == Some(&"orphan");
    let exists = |name: &str| things.iter().any(|thing| thing.name == name);
    let may_orphan = |(mark, name): &(&str, &str)| {
        !mark.contains('~') && things.iter().any(|it| it.name == *name && (it.orphans || orphaning(name)))
    };
    let must = most(things, |thing, left| {
        let kept = |owner: &(&str, &str)| thing.can_see(*owner) && left.contains(owner.1);
        let forgotten = |owner: &(&str, &str)| thing.can_see(*owner) && exists(owner.1) && orphaning(owner.1);
        let has_owner = thing.owners.iter().any(kept) || thing.owners.iter().all(forgotten);
        let is_frozen = thing.invalid().any(|owner| !may_orphan(owner));
        !deleted.contains_key(thing.name) && (is_frozen || has_owner)
    });
    let may = most(things, |thing, left| {
        let kept = |owner: &(&str, &str)| (thing.can_see(*owner) && left.contains(owner.1)) || may_orphan(owner);
        // It may have been made to wait for what blocks it.
        let holds = |it: &&Thing| left.contains(it.name) && it.owners.contains(&("!", thing.name));
        let is_held =
            things.iter().any(|it| it.name != thing.name && holds(&it) && deleted_last(thing, things, deleted));
        let stays = thing.owners.is_empty() || thing.invalid().next().is_some() || thing.owners.iter().any(kept);
        is_held || (!deleted.contains_key(thing.name) && stays)
    });
    (must, may)
}

/// Whether a thing may be made to wait for those that block its deletion.
fn deleted_last(thing: &Thing, things: &[Thing], deleted: &BTreeMap<&str, &str>) -> bool {
    let mut seen = BTreeSet::from([thing.name]);
    let mut rest = vec![thing.name];
    while let Some(name) = rest.pop() {
        if deleted.get(name) == Some(&"foreground") {
            return true;
        }
        let owners =
            things.iter().filter(|it| it.name == name && !deleted.contains_key(name)).flat_map(|it| &it.owners);
        rest.extend(owners.map(|(_, owner)| *owner).filter(|owner| seen.insert(owner)));
    }
    false
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let names: Vec<&'static str> = NAMES.into_iter().chain(["c-never", "u-a"]).collect();
    let mark = prop_oneof![4 => Just("!"), 4 => Just(""), 1 => Just("~")];
    let owner = (mark, prop::sample::select(names));
    let owners = prop_oneof![1 => Just(Vec::new()), 3 => prop::collection::vec(owner, 1..4)];
    let thing = (owners, prop::bool::weighted(0.1));
    prop::collection::vec(thing, NAMES.len()).prop_map(|drawn| {
        let named = NAMES.into_iter().zip(drawn);
        named.map(|(name, (owners, orphans))| Thing { name, orphans, owners: valid(name, owners) }).collect()
    })
}

/// Objects without namespace rarely refer to others that have one, since those stay whatever happens; and an object that is
/// referred to twice is referred to in one way.
fn valid(name: &str, owners: Vec<(&'static str, &'static str)>) -> Vec<(&'static str, &'static str)> {
    let mut seen = BTreeSet::new();
    let is_valid = |owner: &str| owner == "u-a" || !name.starts_with(['n', 'm']) || !owner.starts_with(['c', 'd', 'w']);
    owners.into_iter().filter(|(_, owner)| (is_valid(owner) || owner == &"c-a") && seen.insert(*owner)).collect()
}

fn deletions() -> impl Strategy<Value = BTreeMap<&'static str, &'static str>> {
    let how = prop::sample::select(&["background", "foreground", "orphan"][..]);
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), how, 0..5)
}

/// What happens between a decision and the moment when it is carried out.
#[derive(Clone, Debug)]
struct Round {
    /// What the decision is about.
    late: &'static str,
    adopted_by: Option<&'static str>,
    /// Whether the owner comes that was never there.
    comes: bool,
    deleted: BTreeMap<&'static str, &'static str>,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let adopted_by = prop::option::of(prop::sample::select(&["c-a", "c-never", "n-a", "w-a"][..]));
    let round = (prop::sample::select(&NAMES[..]), adopted_by, prop::bool::weighted(0.2), deletions());
    let round = round.prop_map(|(late, adopted_by, comes, deleted)| Round { late, adopted_by, comes, deleted });
    prop::collection::vec(round, 1..4)
}

/// Checks what there is at rest, whatever the order in which it came about.
fn check_rest(world: &World<Watched>) {
    let names = ["configmaps", "nodes", "machines.example.com", "widgets.example.com"];
    let objects: Vec<AnyObject> = names.iter().flat_map(|name| world.cache.list_any(name, None)).collect();
    let is_namespaced = |reference: &OwnerReference| ["ConfigMap", "Widget"].contains(&&*reference.kind);
    for meta in objects.iter().map(|object| object.meta()) {
        let references = meta.owner_references.as_deref().unwrap_or_default();
        let is_invalid =
            |it: &OwnerReference| it.kind == "Unheardof" || (meta.namespace.is_none() && is_namespaced(it));
        let is_clean = live_owners(&world.cache, meta).len() == references.len();
        let is_frozen = references.iter().any(is_invalid);
        // Nothing but solid owners is left, unless it cannot be judged or goes.
        assert!(is_going(meta) || is_frozen || is_clean, "{:?} is not at rest: {:#?}", meta.name, texts(world));
        let blocks = |it: &&OwnerReference| Some(&it.uid) == meta.uid.as_ref() && it.block_owner_deletion == Some(true);
        let is_held = objects.iter().flat_map(|it| it.meta().owner_references.iter().flatten()).any(|it| blocks(&it));
        assert!(!is_going(meta) || is_held, "{:?} does not go: {:#?}", meta.name, texts(world));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_must_stay_stays_and_what_must_go_goes(things in things(), deleted in deletions()) {
        let deleted: BTreeMap<&str, &str> = deleted.into_iter().collect();
        let mut world = nothing(Watched);
        things.iter().for_each(|thing| add(&mut world, &thing.text()));
        deleted.iter().for_each(|(name, how)| delete(&mut world, &format!("{name} {how}")));
        world.settle();
        let left: Vec<String> = texts(&world);
        let name = |text: &String| text.split([':', '+', ' ']).next().unwrap().to_owned();
        let left: BTreeSet<String> = left.iter().map(name).collect();
        let (must, may) = bounds(&things, &deleted);
        let missing: Vec<&&str> = must.iter().filter(|name| !left.contains(**name)).collect();
        let surplus: Vec<&String> = left.iter().filter(|name| !may.contains(name.as_str())).collect();
        prop_assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:?}, surplus: {surplus:?}");
        check_rest(&world);
    }

    #[test]
    fn decisions_that_come_too_late_delete_nothing_that_has_an_owner(things in things(), rounds in rounds()) {
        let mut world = nothing(Watched);
        things.iter().for_each(|thing| add(&mut world, &thing.text()));
        for Round { late, adopted_by, comes, deleted } in rounds {
            let plan = world.plan(&key(late));
            for (name, how) in deleted {
                delete(&mut world, &format!("{name} {how}"));
            }
            if comes && world.json(&key("c-never")).is_none() {
                add(&mut world, "c-never");
            }
            if let Some(owner) = adopted_by.filter(|_| world.json(&key(late)).is_some()) {
                adopt(&mut world, late, owner);
            }
            let meta = world.cache.any(&key(late)).map(|object| object.meta().clone()).filter(|meta| !is_going(meta));
            if let (Some(plan), Some(meta)) = (plan, meta) {
                let live = live_owners(&world.cache, &meta);
                world.carry_out(&plan);
                let stays = world.cache.any(&key(late)).is_some_and(|object| !is_going(object.meta()));
                prop_assert!(stays || live.is_empty(), "{late} went, and had {live:?}");
            }
            world.settle();
            check_rest(&world);
        }
    }
}
