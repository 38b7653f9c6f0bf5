//! Upstream's cases for applying strategic merge patches (`patch_test.go`), over its `MergeItem` type, and our own over
//! published types.

use proptest::prelude::{prop, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;
use serde_json::json;

use super::*;
use crate::schema::Schema;

/// The type of upstream's cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Merge,
    RetainKeys,
    Items,
    Numbers,
    Map,
    Raw,
    Text,
    Number,
}

impl PatchSchema for Item {
    fn field(self, name: &str) -> Result<FieldMeta<Self>, Error> {
        let unknown = |of: &str| Error::UnknownField { of: of.to_owned(), field: name.to_owned() };
        let own = match self {
            Self::Merge => "MergeItem",
            Self::RetainKeys => "RetainKeysMergeItem",
            Self::Raw => return Err(unknown("RawExtension")),
            _ => return Err(Error::NotStruct { kind: self.kind() }),
        };
        let (of, strategy, merge_key) = match name {
            "name" | "value" | "other" => (Self::Text, Strategy::Unsaid, ""),
            "mergingList" => (Self::Items, Strategy::Merge, "name"),
            "nonMergingList" => (Self::Items, Strategy::Unsaid, ""),
            "mergingIntList" => (Self::Numbers, Strategy::Merge, ""),
            "simpleMap" => (Self::Map, Strategy::Unsaid, ""),
            "nonMergingIntList" if self == Self::Merge => (Self::Numbers, Strategy::Unsaid, ""),
            "mergeItemPtr" if self == Self::Merge => (Self::Merge, Strategy::Merge, "name"),
            "replacingItem" if self == Self::Merge => (Self::Raw, Strategy::Replace, ""),
            "retainKeysMap" if self == Self::Merge => (Self::RetainKeys, Strategy::Unsaid, ""),
            "retainKeysMergingList" if self == Self::Merge => (Self::Items, Strategy::Merge, "name"),
            _ => return Err(unknown(own)),
        };
        Ok(FieldMeta { of, strategy, merge_key })
    }

    fn element(self) -> Option<Self> {
        match self {
            Self::Items => Some(Self::Merge),
            Self::Numbers => Some(Self::Number),
            _ => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Merge | Self::RetainKeys | Self::Raw => "struct",
            Self::Items | Self::Numbers => "slice",
            Self::Map => "map",
            Self::Text => "string",
            Self::Number => "int",
        }
    }
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

#[test]
fn applies_upstreams_cases() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/data/strategic_merge.json")).unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let description = case["description"].as_str().unwrap();
        let original = map(case["original"].clone());
        let got = apply_to(&original, map(case["patch"].clone()), Item::Merge);
        match case["error"].as_str() {
            Some(error) => assert_eq!(got.expect_err(description).to_string(), error, "{description}"),
            None => assert_eq!(Value::Object(got.expect(description)), case["result"], "{description}"),
        }
    }
}

#[test]
fn says_what_is_wrong_with_directives() {
    for (original, patch, code, message) in [
        (json!({}), json!({"$patch": "merge"}), 500, "unknown patch type: merge in map: map[$patch:merge]"),
        (json!({}), json!({"$patch": 1, "a": "b"}), 500, "unknown patch type: %!s(int64=1) in map: map[$patch:1 a:b]"),
        (json!({}), json!({"$retainKeys": "x"}), 400, "invalid patch format of retainKeys"),
        (json!({}), json!({"$retainKeys": ["name"], "value": "x"}), 400, "invalid patch format of retainKeys"),
        (json!({}), json!({"$setElementOrder": []}), 400, "invalid patch format of setElementOrder list"),
        (
            json!({}),
            json!({"$setElementOrder/mergingList": {}}),
            500,
            "expected a []interface {}, but received a map[string]interface {}",
        ),
        (
            json!({"mergingList": 1}),
            json!({"$setElementOrder/mergingList": []}),
            500,
            "expected a []interface {}, but received a int64",
        ),
        (
            json!({}),
            json!({"$setElementOrder/none": []}),
            500,
            "unable to find api field in struct MergeItem for the json field \"none\"",
        ),
        (json!({}), json!({"$setElementOrder/name": []}), 500, "expected slice or array type, but got: struct"),
        (
            json!({"mergingIntList": []}),
            json!({"$setElementOrder/mergingIntList": [1]}),
            500,
            "no elements in any of the given slices",
        ),
        (json!({}), json!({"$deleteFromPrimitiveList": [1]}), 400, "invalid patch format of primitive list"),
        (json!({"mergingIntList": [[1]]}), json!({"mergingIntList": [[1]]}), 422, "lists of lists are not supported"),
        (
            json!({"mergingIntList": [1]}),
            json!({"mergingIntList": ["1"]}),
            500,
            "list element types are not identical: [[1] [1]]",
        ),
        (
            json!({"mergingIntList": [{"a": 1}]}),
            json!({"mergingIntList": [{"a": 2}]}),
            500,
            "cannot merge lists without merge key for int",
        ),
    ] {
        let error = apply_to(&map(original.clone()), map(patch.clone()), Item::Merge).expect_err("does not apply");
        assert_eq!((error.code(), error.to_string().as_str()), (code, message), "{original} patched with {patch}");
    }
}

#[test]
fn says_what_is_wrong_with_lists() {
    for (original, patch, code, message) in [
        (
            json!({"mergingList": [{"name": "a"}]}),
            json!({"mergingList": [{"$patch": "delete"}]}),
            500,
            "map: map[$patch:delete] does not contain declared merge key: name",
        ),
        (
            json!({"mergingList": [{"name": "a"}]}),
            json!({"mergingList": [{"$patch": "merge"}]}),
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            json!({"mergingList": [{"name": "a"}]}),
            json!({"mergingList": [{"$patch": "x"}]}),
            500,
            "unknown patch type: x in map: map[$patch:x]",
        ),
        (
            json!({"mergingList": [{"value": "a"}]}),
            json!({"mergingList": [{"name": "x"}]}),
            500,
            "map: map[value:a] does not contain declared merge key: name",
        ),
        (
            json!({"none": {}}),
            json!({"none": {}}),
            500,
            "unable to find api field in struct MergeItem for the json field \"none\"",
        ),
        (
            json!({"simpleMap": {"a": {}}}),
            json!({"simpleMap": {"a": {}}}),
            500,
            "merging an object in json but data type is not struct, instead is: map",
        ),
        (
            json!({"mergingIntList": [1]}),
            json!({"$setElementOrder/mergingIntList": [1, 2], "mergingIntList": [2, 1]}),
            500,
            "the order in patch list:\n[2 1]\n doesn't match $setElementOrder list:\n[1 2]",
        ),
    ] {
        let error = apply_to(&map(original.clone()), map(patch.clone()), Item::Merge).expect_err("does not apply");
        assert_eq!((error.code(), error.to_string().as_str()), (code, message), "{original} patched with {patch}");
    }
}

#[test]
fn applies_to_published_types() {
    for (group, version, kind, original, patch, expected) in [
        (
            "apps",
            "v1",
            "Deployment",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:2"}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}]}}}}),
        ),
        (
            "apps",
            "v1",
            "Deployment",
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        ),
        // Ports are told apart by containerPort alone, as published.
        (
            "",
            "v1",
            "Pod",
            json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": "UDP"}]}]}}),
            json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": "TCP"}]}]}}),
            json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 53, "protocol": "TCP"}]}]}}),
        ),
        // Tolerations have no merge key, so they are replaced.
        (
            "",
            "v1",
            "Pod",
            json!({"spec": {"tolerations": [{"key": "a"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
            json!({"spec": {"tolerations": [{"key": "b"}]}}),
        ),
        (
            "",
            "v1",
            "ConfigMap",
            json!({"metadata": {"finalizers": ["x/a", "x/b"]}, "data": {"a": "1", "b": "2"}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"], "finalizers": ["x/c"]}, "data": {"a": null}}),
            // What the patch adds comes before what only the server has.
            json!({"metadata": {"finalizers": ["x/c", "x/b"]}, "data": {"b": "2"}}),
        ),
        // A disruption budget's selector is replaced whole.
        (
            "policy",
            "v1",
            "PodDisruptionBudget",
            json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"b": "1"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"b": "1"}}}}),
        ),
        // Status conditions merge by type: what every controller relies on.
        (
            "",
            "v1",
            "Node",
            json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}}),
            json!({"status": {"$setElementOrder/conditions": [{"type": "DiskPressure"}, {"type": "Ready"}], "conditions": [{"type": "Ready", "status": "False"}]}}),
            json!({"status": {"conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "False"}]}}),
        ),
    ] {
        let of = Schema::of(group, version, kind).unwrap();
        let got = apply(&map(original), map(patch), of).unwrap();
        assert_eq!(Value::Object(got), expected, "{kind}");
    }
}

#[test]
fn bounds_depth() {
    let deep = (0..200).fold(json!(1), |inner, _| json!({"simpleMap": inner}));
    assert_eq!(apply_to(&Map::new(), map(deep), Item::Merge), Err(Error::TooDeep));
}

/// A list as long as a request may carry sorts in no time, also where Go's comparison is no order.
#[test]
fn sorts_long_lists_quickly() {
    let numbers: Vec<Value> = (0..100_000).map(Value::from).collect();
    let reversed: Vec<Value> = numbers.iter().rev().cloned().collect();
    let original = map(json!({"mergingIntList": numbers.clone()}));
    let patch = map(json!({"mergingIntList": reversed.clone()}));
    let got = apply_to(&original, patch, Item::Merge).unwrap();
    assert_eq!(got["mergingIntList"], Value::Array(reversed.clone()));
    let patch = map(json!({"$setElementOrder/mergingIntList": [], "mergingIntList": numbers}));
    let got = apply_to(&Map::new(), patch, Item::Merge).unwrap();
    assert_eq!(got["mergingIntList"], Value::Array(reversed));
}

/// A merge item of scalars, lists without repetition and a map.
fn item() -> impl proptest::strategy::Strategy<Value = Value> {
    let names = || prop::sample::subsequence(vec!["1", "2", "3", "4"], 0..4).prop_shuffle();
    let value = || prop::option::of(prop::sample::select(vec!["x", "y"]));
    let elements = (names(), prop::collection::vec((value(), value()), 4)).prop_map(|(names, values)| {
        let element = |(name, (value, other)): (&str, (Option<&str>, Option<&str>))| {
            let mut element = map(json!({"name": name}));
            element.extend(value.map(|value| ("value".to_owned(), json!(value))));
            element.extend(other.map(|other| ("other".to_owned(), json!(other))));
            Value::Object(element)
        };
        names.into_iter().zip(values).map(element).collect::<Vec<_>>()
    });
    let numbers = prop::sample::subsequence(vec![1, 2, 3, 4], 1..4).prop_shuffle();
    let flat = prop::collection::btree_map("[ab]", "[xy]", 0..3);
    (value(), prop::option::of(elements), prop::option::of(numbers), prop::option::of(flat)).prop_map(
        |(value, elements, numbers, flat)| {
            let mut item = Map::new();
            item.extend(value.map(|value| ("value".to_owned(), json!(value))));
            item.extend(elements.map(|elements| ("mergingList".to_owned(), json!(elements))));
            item.extend(numbers.map(|numbers| ("mergingIntList".to_owned(), json!(numbers))));
            item.extend(flat.map(|flat| ("simpleMap".to_owned(), json!(flat))));
            Value::Object(item)
        },
    )
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing_more(original in item(), patch in item(), gone in prop::collection::vec(1..4, 0..3)) {
        let mut patch = map(patch);
        let added = patch.get("mergingIntList").and_then(Value::as_array).cloned().unwrap_or_default();
        let gone: Vec<Value> = gone.into_iter().map(Value::from).filter(|gone| !added.contains(gone)).collect();
        patch.insert("$deleteFromPrimitiveList/mergingIntList".to_owned(), Value::Array(gone));
        let once = apply_to(&map(original), patch.clone(), Item::Merge).unwrap();
        let twice = apply_to(&once, patch, Item::Merge).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn a_patch_does_not_depend_on_the_order_of_its_keys(original in item(), patch in item()) {
        let patch = map(patch);
        let reversed: Map<String, Value> = patch.clone().into_iter().rev().collect();
        let original = map(original);
        prop_assert_eq!(apply_to(&original, patch, Item::Merge), apply_to(&original, reversed, Item::Merge));
    }

    #[test]
    fn an_empty_patch_changes_nothing(original in item()) {
        let original = map(original);
        prop_assert_eq!(apply_to(&original, Map::new(), Item::Merge), Ok(original));
    }

    /// Upstream's rule as its own tests state it: places are sought one by one.
    #[test]
    fn interleaves_as_a_search_one_by_one_would(
        order in prop::sample::subsequence((0..30).collect::<Vec<i32>>(), 0..12).prop_shuffle(),
        server in prop::sample::subsequence((0..30).collect::<Vec<i32>>(), 0..12).prop_shuffle(),
        merged in prop::sample::subsequence((0..30).collect::<Vec<i32>>(), 0..18).prop_shuffle(),
    ) {
        let place = |list: &[i32], item: i32| list.iter().position(|other| *other == item);
        let sorted = |mut items: Vec<i32>, by: &[i32]| {
            for end in 1..items.len() {
                let mut at = end;
                while at > 0 && place(by, items[at]).zip(place(by, items[at - 1])).is_none_or(|(l, r)| l < r) {
                    items.swap(at, at - 1);
                    at -= 1;
                }
            }
            items
        };
        let (named, server_only): (Vec<i32>, Vec<i32>) = merged.iter().partition(|item| order.contains(item));
        let (named, server_only) = (sorted(named, &order), sorted(server_only, &server));
        let (mut expected, mut left, mut right) = (Vec::new(), &server_only[..], &named[..]);
        while let ([l, left_rest @ ..], [r, right_rest @ ..]) = (left, right) {
            if place(&server, *l).zip(place(&server, *r)).is_some_and(|(l, r)| l < r) {
                expected.push(*l);
                left = left_rest;
            } else {
                expected.push(*r);
                right = right_rest;
            }
        }
        expected.extend(left);
        expected.extend(right);

        let values = |items: &[i32]| items.iter().copied().map(Value::from).collect::<Vec<_>>();
        let (named, server_only) = order::partition(values(&merged), &values(&order), "").unwrap();
        let got = order::interleave(named, server_only, &values(&order), &values(&server), "", false).unwrap();
        prop_assert_eq!(got, values(&expected));
    }

    #[test]
    fn every_element_of_the_patch_arrives_in_its_order(original in item(), patch in item()) {
        let names = |map: &Map<String, Value>| -> Vec<Value> {
            map.get("mergingList").and_then(Value::as_array).into_iter().flatten().map(|item| item["name"].clone()).collect()
        };
        let (original, patch) = (map(original), map(patch));
        let wanted = names(&patch);
        let merged = names(&apply_to(&original, patch, Item::Merge).unwrap());
        let patched: Vec<_> = merged.iter().filter(|name| wanted.contains(name)).cloned().collect();
        prop_assert_eq!(patched, wanted.clone());
        let server_only = |names: &[Value]| names.iter().filter(|name| !wanted.contains(name)).cloned().collect::<Vec<_>>();
        prop_assert_eq!(server_only(&merged), server_only(&names(&original)));
    }

    #[test]
    fn never_panics(original in crate::patch::json::tests::document(), patch in crate::patch::json::tests::document()) {
        let of = Schema::of("", "v1", "Pod").unwrap();
        let _ = apply(&map(original), map(patch), of);
    }
}
