//! What a configuration means that does not say everything.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::duration::GoDuration;
use super::types::{Configuration, Plugin, PluginConfig, PluginSet, Plugins, Profile};

/// The plugins that run if nothing else is said, with the weights of those that score.
const PLUGINS: &[(&str, i32)] = &[
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    // Before preemption: it is better to free a claim that nobody uses than to evict a pod.
    ("DynamicResources", 2),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
    ("NodeDeclaredFeatures", 0),
];

/// Fills in what is not said.
pub(super) fn complete(configuration: &mut Configuration) {
    if configuration.profiles.is_empty() {
        configuration.profiles.push(Profile {
            scheduler_name: String::new(),
            percentage_of_nodes_to_score: None,
            plugins: Plugins::default(),
            plugin_config: Vec::new(),
        });
    }
    // With several profiles, each must be named.
    if let [only] = configuration.profiles.as_mut_slice()
        && only.scheduler_name.is_empty()
    {
        only.scheduler_name = "default-scheduler".to_owned();
    }
    configuration.profiles.iter_mut().for_each(complete_profile);
    complete_election(configuration);
    let client = &mut configuration.client_connection;
    fill(&mut client.content_type, "application/vnd.kubernetes.protobuf");
    if client.qps == 0.0 {
        client.qps = 50.0;
    }
    if client.burst == 0 {
        client.burst = 100;
    }
    if configuration.enable_profiling {
        configuration.enable_contention_profiling.get_or_insert(true);
    }
}

fn complete_election(configuration: &mut Configuration) {
    let election = &mut configuration.leader_election;
    fill(&mut election.resource_lock, "leases");
    fill(&mut election.resource_namespace, "kube-system");
    fill(&mut election.resource_name, "kube-scheduler");
    for (duration, seconds) in
        [(&mut election.lease_duration, 15), (&mut election.renew_deadline, 10), (&mut election.retry_period, 2)]
    {
        if *duration == GoDuration::default() {
            *duration = GoDuration::from_secs(seconds);
        }
    }
    election.leader_elect.get_or_insert(true);
}

fn fill(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}

fn complete_profile(profile: &mut Profile) {
    profile.plugins = merge(&default_plugins(), &profile.plugins);
    for config in &mut profile.plugin_config {
        config.args.complete();
    }
    for name in profile.plugins.enabled() {
        if profile.plugin_config.iter().any(|config| config.name == name) {
            continue;
        }
        if let Some(Ok(mut args)) = Arguments::read(&name, Value::Object(Map::new())) {
            args.complete();
            profile.plugin_config.push(PluginConfig { name, args });
        }
    }
}

fn default_plugins() -> Plugins {
    let named = |(name, weight): &(&str, i32)| Plugin { name: (*name).to_owned(), weight: *weight };
    let enabled = PLUGINS.iter().map(named).collect();
    Plugins { multi_point: PluginSet { enabled, disabled: Vec::new() }, ..Plugins::default() }
}

/// The default plugins with what a profile says of them.
pub(super) fn merge(default: &Plugins, custom: &Plugins) -> Plugins {
    Plugins {
        pre_enqueue: merge_set(&default.pre_enqueue, &custom.pre_enqueue),
        queue_sort: merge_set(&default.queue_sort, &custom.queue_sort),
        pre_filter: merge_set(&default.pre_filter, &custom.pre_filter),
        filter: merge_set(&default.filter, &custom.filter),
        post_filter: merge_set(&default.post_filter, &custom.post_filter),
        pre_score: merge_set(&default.pre_score, &custom.pre_score),
        score: merge_set(&default.score, &custom.score),
        reserve: merge_set(&default.reserve, &custom.reserve),
        permit: merge_set(&default.permit, &custom.permit),
        pre_bind: merge_set(&default.pre_bind, &custom.pre_bind),
        bind: merge_set(&default.bind, &custom.bind),
        post_bind: merge_set(&default.post_bind, &custom.post_bind),
        multi_point: merge_set(&default.multi_point, &custom.multi_point),
    }
}

/// The default plugins that are not disabled, in their order, with what is said of them; then the others. A plugin that
/// is named twice stays so, which is an error later.
fn merge_set(default: &PluginSet, custom: &PluginSet) -> PluginSet {
    let unweighted = |plugin: &Plugin| Plugin { name: plugin.name.clone(), weight: 0 };
    let disabled: Vec<Plugin> = custom.disabled.iter().chain(&default.disabled).map(unweighted).collect();
    let is_disabled = |name: &str| disabled.iter().any(|plugin| plugin.name == name);
    let last: BTreeMap<&str, usize> =
        custom.enabled.iter().enumerate().map(|(i, plugin)| (plugin.name.as_str(), i)).collect();
    let mut replacing = Vec::new();
    let mut enabled = Vec::new();
    if !is_disabled("*") {
        for plugin in default.enabled.iter().filter(|plugin| !is_disabled(&plugin.name)) {
            let index = last.get(plugin.name.as_str());
            replacing.extend(index);
            enabled.push(index.map_or(plugin, |index| &custom.enabled[*index]).clone());
        }
    }
    let others = custom.enabled.iter().enumerate().filter(|(i, _)| !replacing.contains(i));
    enabled.extend(others.map(|(_, plugin)| plugin.clone()));
    PluginSet { enabled, disabled }
}
