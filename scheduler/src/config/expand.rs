//! Which plugins run at which extension point, in which order.

use std::collections::BTreeMap;

use super::types::{ExtensionPoint, Plugin, PluginSet, Profile};

/// The plugins of a profile, by extension point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// The names of the plugins, in the order in which they run.
    pub points: BTreeMap<ExtensionPoint, Vec<String>>,
    /// How much the scores of each plugin count.
    pub weights: BTreeMap<String, i32>,
}

/// Says which plugins of a completed profile run where. `implements` says at which extension points a plugin has something
/// to do, or nothing if there is no such plugin.
///
/// What is said at an extension point goes before what is said for all of them. There, plugins that are also enabled for
/// all come first, as they stand there; then those that are enabled for all; then the others.
///
/// # Errors
/// If a plugin does not exist, is named twice, or has nothing to do where it is enabled, or if there is not one plugin that
/// sorts the queue, or none that binds pods. In upstream's words.
pub fn expand<'a>(
    profile: &Profile,
    implements: impl Fn(&str) -> Option<&'a [ExtensionPoint]>,
) -> Result<Expanded, String> {
    let mut expanded = Expanded::default();
    for point in ExtensionPoint::ALL {
        check(profile.plugins.at(point), point, &implements)?;
    }
    for point in ExtensionPoint::ALL {
        let names = expand_point(profile, point, &implements)?;
        expanded.points.insert(point, names);
    }
    let count = |point| expanded.points.get(&point).map_or(0, Vec::len);
    let sorters = count(ExtensionPoint::QueueSort);
    let name = &profile.scheduler_name;
    if sorters != 1 {
        return Err(format!(
            "only one queue sort plugin required for profile with scheduler name {name:?}, but got {sorters}"
        ));
    }
    if count(ExtensionPoint::Bind) == 0 {
        return Err(format!("at least one bind plugin is needed for profile with scheduler name {name:?}"));
    }
    let said = profile.plugins.score.enabled.iter().chain(&profile.plugins.multi_point.enabled);
    for Plugin { name, weight } in said {
        if expanded.points[&ExtensionPoint::Score].contains(name) {
            let weight = if *weight == 0 { 1 } else { *weight };
            expanded.weights.entry(name.clone()).or_insert(weight);
        }
    }
    Ok(expanded)
}

fn check<'a>(
    set: &PluginSet,
    point: ExtensionPoint,
    implements: &impl Fn(&str) -> Option<&'a [ExtensionPoint]>,
) -> Result<(), String> {
    for (i, Plugin { name, .. }) in set.enabled.iter().enumerate() {
        let points = implements(name).ok_or_else(|| missing(point, name))?;
        if !points.contains(&point) {
            return Err(format!("plugin {name:?} does not extend {point:?}Plugin plugin"));
        }
        if set.enabled[..i].iter().any(|other| other.name == *name) {
            return Err(twice(point, name));
        }
    }
    Ok(())
}

fn expand_point<'a>(
    profile: &Profile,
    point: ExtensionPoint,
    implements: &impl Fn(&str) -> Option<&'a [ExtensionPoint]>,
) -> Result<Vec<String>, String> {
    let set = profile.plugins.at(point);
    let explicit: Vec<&str> = set.enabled.iter().map(|plugin| plugin.name.as_str()).collect();
    let is_disabled = |name: &str| set.disabled.iter().any(|plugin| plugin.name == name);
    let mut everywhere: Vec<&str> = Vec::new();
    let mut overridden: Vec<&str> = Vec::new();
    if !is_disabled("*") {
        for Plugin { name, .. } in &profile.plugins.multi_point.enabled {
            let points = implements(name).ok_or_else(|| missing(point, name))?;
            if !points.contains(&point) || is_disabled(name) {
                continue;
            }
            if explicit.contains(&name.as_str()) {
                overridden.push(name);
            } else if everywhere.contains(&name.as_str()) {
                return Err(twice(point, name));
            } else {
                everywhere.push(name);
            }
        }
    }
    let (first, last): (Vec<&str>, Vec<&str>) = explicit.iter().partition(|name| overridden.contains(name));
    Ok(first.into_iter().chain(everywhere).chain(last).map(str::to_owned).collect())
}

fn missing(point: ExtensionPoint, name: &str) -> String {
    format!("{point:?}Plugin {name:?} does not exist")
}

fn twice(point: ExtensionPoint, name: &str) -> String {
    format!("plugin {name:?} already registered as \"{point:?}Plugin\"")
}
