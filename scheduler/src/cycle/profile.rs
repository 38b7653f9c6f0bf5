//! Which plugins decide, in which order, and how much each score counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::framework::Plugin;
use crate::config::{self, ConfigError, Configuration, ExtensionPoint, expand};
use crate::plugins;

/// Fewer feasible nodes than this are never enough, if there are more.
const MIN_FEASIBLE_NODES: usize = 100;
/// The least percentage of nodes that is chosen for large clusters.
const MIN_PERCENTAGE: usize = 5;

/// A plugin that judges nodes.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// Its position in the profile.
    pub position: usize,
    /// The plugin.
    pub plugin: &'a dyn Plugin,
    /// Whether what it says of single nodes counts, and not only what it says of the pod.
    pub filters: bool,
}

/// How pods of one scheduler name are scheduled.
#[derive(Clone)]
pub struct Profile {
    /// The name that pods call their scheduler.
    pub name: String,
    /// Every plugin once.
    plugins: Arc<[Arc<dyn Plugin>]>,
    /// The positions of the plugins at each point, in the order in which they are asked.
    points: BTreeMap<ExtensionPoint, Vec<usize>>,
    /// Which plugins judge nodes, and whether node by node.
    judges: Vec<(usize, bool)>,
    /// What each score is multiplied by.
    scores: Vec<(usize, i64)>,
    /// Of how many percent of all nodes it has to be known that they are feasible; none to choose by their number.
    pub percentage_of_nodes_to_score: Option<u8>,
}

impl Default for Profile {
    /// Upstream's default plugins, in its order and with its weights.
    fn default() -> Self {
        let configuration = Configuration::default();
        let mut profiles = Profile::all(&configuration).expect("the default configuration is good");
        profiles.pop().expect("it has one profile")
    }
}

impl Profile {
    /// The profiles of a configuration.
    ///
    /// # Errors
    /// What of it cannot be, in upstream's words.
    pub fn all(configuration: &Configuration) -> Result<Vec<Profile>, ConfigError> {
        configuration.profiles.iter().map(|profile| Profile::new(configuration, profile)).collect()
    }

    fn new(configuration: &Configuration, profile: &config::Profile) -> Result<Profile, ConfigError> {
        let made: BTreeMap<&str, Arc<dyn Plugin>> = plugins::all(&profile.plugin_config)
            .map_err(ConfigError::Unreadable)?
            .into_iter()
            .map(|plugin| (plugin.name(), plugin))
            .collect();
        let expanded = expand(profile, |name| made.get(name).map(|plugin| plugin.points()));
        let expanded = expanded.map_err(ConfigError::Unreadable)?;
        let mut plugins: Vec<Arc<dyn Plugin>> = Vec::new();
        let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
        let mut points: BTreeMap<ExtensionPoint, Vec<usize>> = BTreeMap::new();
        for (point, names) in &expanded.points {
            for name in names {
                let Some((name, plugin)) = made.get_key_value(name.as_str()) else { continue };
                let position = *positions.entry(name).or_insert_with(|| {
                    plugins.push(Arc::clone(plugin));
                    plugins.len() - 1
                });
                points.entry(*point).or_default().push(position);
            }
        }
        let at = |point| points.get(&point).map(Vec::as_slice).unwrap_or_default();
        let filters = at(ExtensionPoint::Filter);
        let before = at(ExtensionPoint::PreFilter).iter().filter(|position| !filters.contains(position));
        let judges = filters.iter().map(|position| (*position, true)).chain(before.map(|position| (*position, false)));
        let weight =
            |position: &usize| expanded.weights.get(plugins[*position].name()).map_or(1, |weight| (*weight).into());
        let percentage = profile.percentage_of_nodes_to_score.unwrap_or(configuration.percentage_of_nodes_to_score);
        Ok(Profile {
            name: profile.scheduler_name.clone(),
            judges: judges.collect(),
            scores: at(ExtensionPoint::Score).iter().map(|position| (*position, weight(position))).collect(),
            plugins: plugins.into(),
            points,
            percentage_of_nodes_to_score: u8::try_from(percentage).ok().filter(|percentage| *percentage > 0),
        })
    }

    /// The plugin at a position.
    #[must_use]
    pub fn plugin(&self, position: usize) -> &Arc<dyn Plugin> {
        &self.plugins[position]
    }

    /// All plugins, each once.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<dyn Plugin>] {
        &self.plugins
    }

    /// All plugins as one, by which it is seen whether profiles are the same but for their names.
    pub(super) fn shared_plugins(&self) -> &Arc<[Arc<dyn Plugin>]> {
        &self.plugins
    }

    /// The plugins at a point, in the order in which they are asked.
    pub fn at(&self, point: ExtensionPoint) -> impl DoubleEndedIterator<Item = &Arc<dyn Plugin>> {
        self.points.get(&point).into_iter().flatten().map(|position| &self.plugins[*position])
    }

    /// The plugins that judge nodes. Of those that reject a node, the first is told of.
    pub fn judges(&self) -> impl Iterator<Item = Judge<'_>> {
        self.judges.iter().map(|(position, filters)| Judge {
            position: *position,
            plugin: &*self.plugins[*position],
            filters: *filters,
        })
    }

    /// The plugins that score nodes, and what each score is multiplied by.
    pub fn scores(&self) -> impl Iterator<Item = (&Arc<dyn Plugin>, i64)> {
        self.scores.iter().map(|(position, weight)| (&self.plugins[*position], *weight))
    }

    /// How many feasible nodes of so many are enough to choose the best from.
    #[must_use]
    pub fn enough(&self, nodes: usize) -> usize {
        if nodes < MIN_FEASIBLE_NODES {
            return nodes;
        }
        let percentage = match self.percentage_of_nodes_to_score {
            Some(percentage @ 1..) => usize::from(percentage),
            _ => 50usize.saturating_sub(nodes / 125).max(MIN_PERCENTAGE),
        };
        (nodes * percentage / 100).max(MIN_FEASIBLE_NODES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_clusters_need_not_be_searched_whole() {
        let check = |percentage, nodes, expected| {
            let profile = Profile { percentage_of_nodes_to_score: percentage, ..Profile::default() };
            assert_eq!(profile.enough(nodes), expected, "{percentage:?} of {nodes}");
        };
        check(None, 0, 0);
        check(None, 99, 99);
        check(None, 100, 100);
        check(None, 1000, 420);
        check(None, 5000, 500);
        check(None, 6000, 300);
        check(Some(0), 1000, 420);
        check(Some(40), 1000, 400);
        check(Some(5), 1000, 100);
        check(Some(100), 1000, 1000);
    }
}
