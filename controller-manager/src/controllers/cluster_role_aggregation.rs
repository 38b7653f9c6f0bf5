//! Fills ClusterRoles that have an `aggregationRule` with the rules of the ClusterRoles that it selects.
//!
//! The rules are those of the selected roles in the order of their names, each once. What somebody writes into such a role
//! by hand is replaced.

use std::sync::Arc;

use api::selector::label::{self, Selector};
use client::cache::Cache;
use client::resource::Key;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};

use crate::controller::{Controller, Moment, Watches};
use crate::plan::Plan;

/// The controller.
pub struct ClusterRoleAggregation;

/// A ClusterRole that is put together of others.
pub struct Observed {
    role: Arc<ClusterRole>,
    /// The roles that its selectors select, itself excepted, by name.
    selected: Vec<Arc<ClusterRole>>,
}

impl Controller for ClusterRoleAggregation {
    const NAME: &'static str = "clusterrole-aggregation-controller";
    type Observed = Observed;

    fn watches(&self) -> Watches {
        // Any role may be selected by any other, and may have been before it changed.
        Watches::on::<ClusterRole>().mapped::<ClusterRole>(|cache, _| {
            let roles = cache.list::<ClusterRole>(None);
            roles.iter().filter(|role| role.aggregation_rule.is_some()).map(|role| Key::to(&**role)).collect()
        })
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Observed> {
        let role = cache.get::<ClusterRole>("", &key.name)?;
        let selectors = selectors(&role)?;
        let selects = |other: &Arc<ClusterRole>| {
            other.metadata.name != role.metadata.name
                && selectors.iter().any(|selector| selector.matches(&other.metadata.labels))
        };
        let selected = cache.list::<ClusterRole>(None).into_iter().filter(selects).collect();
        Some(Observed { role, selected })
    }

    fn reconcile(&self, observed: &Observed, _: &Moment) -> Plan {
        let mut plan = Plan::new();
        let mut rules: Vec<PolicyRule> = Vec::new();
        for rule in observed.selected.iter().flat_map(|role| role.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        if rules != observed.role.rules.clone().unwrap_or_default() {
            plan.update(&*observed.role, &ClusterRole { rules: Some(rules), ..ClusterRole::clone(&observed.role) });
        }
        plan
    }
}

/// The selectors of a role that is put together of others. Those that make no sense select nothing.
fn selectors(role: &ClusterRole) -> Option<Vec<Selector>> {
    let rule = role.aggregation_rule.as_ref()?;
    let selectors = rule.cluster_role_selectors.iter().flatten();
    Some(selectors.filter_map(|selector| label::from_api(Some(selector)).ok()).collect())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::AggregationRule;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

    use super::*;
    use crate::testing::{World, check_converges, nobody_else};

    fn role(name: &str, label: Option<&str>, resources: &[&str]) -> ClusterRole {
        let rule = |resource: &&str| PolicyRule {
            verbs: vec!["get".to_owned()],
            resources: Some(vec![(*resource).to_owned()]),
            ..PolicyRule::default()
        };
        ClusterRole {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: label.map(|label| [(label.to_owned(), "true".to_owned())].into()),
                ..ObjectMeta::default()
            },
            rules: Some(resources.iter().map(rule).collect()),
            ..ClusterRole::default()
        }
    }

    fn aggregated(name: &str, label: &str) -> ClusterRole {
        let selector = LabelSelector {
            match_labels: Some([(label.to_owned(), "true".to_owned())].into()),
            ..LabelSelector::default()
        };
        let rule = AggregationRule { cluster_role_selectors: Some(vec![selector]) };
        ClusterRole { aggregation_rule: Some(rule), ..role(name, None, &["by-hand"]) }
    }

    fn resources(world: &World<ClusterRoleAggregation>, name: &str) -> Vec<String> {
        let role = world.get::<ClusterRole>("", name).unwrap();
        role.rules.iter().flatten().flat_map(|rule| rule.resources.clone().unwrap_or_default()).collect()
    }

    #[test]
    fn rules_are_gathered_from_the_selected_roles() {
        let setup = || {
            let mut world = World::new(ClusterRoleAggregation);
            world.add(aggregated("view", "to-view"));
            world.add(role("b", Some("to-view"), &["pods", "secrets"]));
            world.add(role("a", Some("to-view"), &["pods"]));
            world.add(role("c", Some("to-edit"), &["nodes"]));
            world
        };
        let mut world = check_converges(setup, nobody_else);
        assert_eq!(resources(&world, "view"), ["pods", "secrets"]);
        assert_eq!(resources(&world, "c"), ["nodes"]);

        world.change::<ClusterRole>("", "b", |role| role.metadata.labels = None);
        world.settle();
        assert_eq!(resources(&world, "view"), ["pods"]);
        world.remove::<ClusterRole>("", "a");
        world.settle();
        assert!(resources(&world, "view").is_empty());
    }
}
