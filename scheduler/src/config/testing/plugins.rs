//! Which plugins run where.

use super::super::defaults::merge;
use super::*;

const DEFAULT: &str = "SchedulingGates PrioritySort NodeUnschedulable NodeName TaintToleration:3 NodeAffinity:2 NodePorts \
     NodeResourcesFit:1 VolumeRestrictions NodeVolumeLimits VolumeBinding VolumeZone PodTopologySpread:2 \
     InterPodAffinity:2 DynamicResources:2 DefaultPreemption NodeResourcesBalancedAllocation:1 ImageLocality:1 \
     DefaultBinder NodeDeclaredFeatures";

#[test]
fn default_plugins_run_if_nothing_is_said() {
    let plugins = Configuration::default().profiles[0].plugins.clone();
    assert_eq!(brief(&plugins.multi_point), DEFAULT);
    assert_eq!(Plugins { multi_point: PluginSet::default(), ..plugins }, Plugins::default());
}

#[test]
fn what_is_said_is_merged_with_the_default() {
    let check = |default: &str, custom: &str, expected: &str| {
        let filter = |brief| Plugins { filter: set(brief), ..Plugins::default() };
        let merged = merge(&filter(default), &filter(custom));
        assert_eq!(brief(&merged.filter), expected, "{default} with {custom}");
        let everywhere = |brief| Plugins { multi_point: set(brief), ..Plugins::default() };
        let merged = merge(&everywhere(default), &everywhere(custom));
        assert_eq!(brief(&merged.multi_point), expected, "{default} with {custom}");
    };
    check("a b", "", "a b");
    check("a b", "c", "a b c");
    check("a b", "-a", "b -a");
    check("a b", "-*", "-*");
    check("a b", "c -*", "c -*");
    check("a b", "b a -*", "b a -*");
    check("a b", "b -b", "a b -b");
    check("a b:1", "b:5", "a b:5");
    check("a b:1 c", "d b:5", "a b:5 c d");
    check("a b", "c c", "a b c c");
    check("a b", "b:1 b:2", "a b:2 b:1");
    check("a b -c", "d -e", "a b d -e -c");
    check("", "-a:3 b", "b -a");
}

/// Which of the points each of some plugins has something to do at.
fn implements(name: &str) -> Option<&'static [ExtensionPoint]> {
    use ExtensionPoint::{Bind, Filter, PreFilter, QueueSort, Score};
    match name {
        "sort" | "sort2" => Some(&[QueueSort]),
        "bind" => Some(&[Bind]),
        "f" => Some(&[Filter]),
        "fs" | "fs2" | "fs3" => Some(&[Filter, Score]),
        "pfs" => Some(&[PreFilter, Filter, Score]),
        _ => None,
    }
}

/// What runs at the filter and score extension points if these are said there and for all.
fn expanded(everywhere: &str, filter: &str, score: &str) -> Result<[String; 2], String> {
    let plugins = Plugins {
        multi_point: set(&format!("{everywhere} sort bind")),
        filter: set(filter),
        score: set(score),
        ..Plugins::default()
    };
    let profile = Profile { plugins, ..Configuration::default().profiles.remove(0) };
    let expanded = expand(&profile, implements)?;
    let filter = expanded.points[&ExtensionPoint::Filter].join(" ");
    let score = &expanded.points[&ExtensionPoint::Score];
    let weighted = score.iter().map(|name| format!("{name}:{}", expanded.weights[name]));
    Ok([filter, weighted.collect::<Vec<_>>().join(" ")])
}

#[test]
fn plugins_for_all_points_run_where_they_have_something_to_do() {
    let check = |(everywhere, filter, score): (&str, &str, &str), expected: [&str; 2]| {
        let found = expanded(everywhere, filter, score).unwrap();
        assert_eq!(found, expected, "{everywhere}, filter: {filter}, score: {score}");
    };
    check(("f fs:3 pfs", "", ""), ["f fs pfs", "fs:3 pfs:1"]);
    check(("f fs pfs", "-fs", ""), ["f pfs", "fs:1 pfs:1"]);
    check(("f fs pfs", "-*", ""), ["", "fs:1 pfs:1"]);
    check(("f fs pfs", "fs2 -*", ""), ["fs2", "fs:1 pfs:1"]);
    check(("fs:3 fs2:4", "", "fs2:7"), ["fs fs2", "fs2:7 fs:3"]);
    check(("fs fs2", "fs3", "fs3:2 fs2"), ["fs fs2 fs3", "fs2:1 fs:1 fs3:2"]);
    check(("fs fs2 fs3", "", "fs3:5 fs2:6"), ["fs fs2 fs3", "fs3:5 fs2:6 fs:1"]);
    check(("fs:9", "", "fs -fs"), ["fs", "fs:1"]);
    check(("", "f", "pfs"), ["f", "pfs:1"]);
}

#[test]
fn plugins_that_cannot_run_are_refused() {
    let check = |(everywhere, filter, score): (&str, &str, &str), expected: &str| {
        assert_eq!(expanded(everywhere, filter, score).unwrap_err(), expected);
    };
    check(("nobody", "", ""), "PreEnqueuePlugin \"nobody\" does not exist");
    check(("", "nobody", ""), "FilterPlugin \"nobody\" does not exist");
    check(("", "", "f"), "plugin \"f\" does not extend ScorePlugin plugin");
    check(("", "fs fs", ""), "plugin \"fs\" already registered as \"FilterPlugin\"");
    check(("fs fs", "", ""), "plugin \"fs\" already registered as \"FilterPlugin\"");
    check(
        ("sort2", "", ""),
        "only one queue sort plugin required for profile with scheduler name \"default-scheduler\", but got 2",
    );
    let mut profile = Configuration::default().profiles.remove(0);
    profile.plugins = Plugins { multi_point: set("sort"), ..Plugins::default() };
    let refused = expand(&profile, implements).unwrap_err();
    assert_eq!(refused, "at least one bind plugin is needed for profile with scheduler name \"default-scheduler\"");
}
