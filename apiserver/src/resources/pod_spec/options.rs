//! What validation lets pass because an object had it already (upstream's `PodValidationOptions`).
//!
//! Feature gates are at their v1.37 defaults. What was valid when it was stored stays valid in updates of that object.

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, PodSpec, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use api::field::Path;
use api::names;

use super::absent::{is_true, list};
use super::{affinity, annotations, containers, resources, rules, security, topology};

/// How strict validation is. The default is what a new template gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The spec is a pod's own, and not in a template.
    pub(crate) is_pod: bool,
    /// Lets `controller.kubernetes.io/pod-deletion-cost` be no number.
    pub(crate) allow_invalid_deletion_cost: bool,
    /// Lets selectors of pod affinity have values that no label can have.
    pub(crate) allow_invalid_selector_values: bool,
    /// The same for required node affinity.
    pub(crate) allow_invalid_node_affinity_values: bool,
    /// Lets quantities of huge pages be no multiple of the page's size.
    pub(crate) allow_indivisible_huge_pages: bool,
    /// Lets selectors of topology spread constraints be invalid.
    pub(crate) allow_invalid_spread_selectors: bool,
    /// Lets `matchLabelKeys` of topology spread constraints follow only the rules that held before v1.34.
    pub(crate) allow_invalid_spread_label_keys: bool,
    /// Lets projected tokens have paths that lead elsewhere.
    pub(crate) allow_non_local_token_path: bool,
    /// Lets pods in the host's network or IPC namespace set sysctls of that namespace.
    pub(crate) allow_host_sysctls: bool,
    /// Lets pods in a user namespace use block devices.
    pub(crate) allow_user_namespace_devices: bool,
    /// Lets ordinary init containers restart on resize.
    pub(crate) allow_init_resize_restart: bool,
    /// Lets image volumes name no image.
    pub(crate) allow_empty_image_reference: bool,
}

impl Options {
    /// For a spec in an object that had `old`.
    pub(crate) fn for_update(old: &PodSpec, old_meta: &ObjectMeta) -> Options {
        let spread = list(&old.topology_spread_constraints);
        Options {
            is_pod: false,
            allow_invalid_deletion_cost: annotations::deletion_cost(old_meta.annotations.as_ref()).is_none(),
            allow_invalid_selector_values: old.affinity.as_ref().is_some_and(has_invalid_selector_values),
            allow_invalid_node_affinity_values: old.affinity.as_ref().is_some_and(has_invalid_node_affinity_values),
            allow_indivisible_huge_pages: containers::each(old, &Path::nil())
                .any(|(_, container)| resources::has_indivisible_huge_pages(container.resources.as_ref())),
            allow_invalid_spread_selectors: spread.iter().any(has_invalid_selector),
            allow_invalid_spread_label_keys: spread
                .iter()
                .any(|constraint| !topology::validate_label_keys(constraint, &Path::nil()).is_empty()),
            allow_non_local_token_path: has_non_local_token_path(old),
            allow_host_sysctls: security::uses_host_sysctls(old),
            allow_user_namespace_devices: old.host_users == Some(false)
                && containers::each(old, &Path::nil())
                    .any(|(_, container)| !list(&container.volume_devices).is_empty()),
            allow_init_resize_restart: list(&old.init_containers).iter().any(|container| {
                !containers::is_sidecar(container)
                    && list(&container.resize_policy).iter().any(|policy| policy.restart_policy == "RestartContainer")
            }),
            allow_empty_image_reference: list(&old.volumes).iter().any(|volume| {
                volume.image.as_ref().is_some_and(|image| image.reference.as_deref().unwrap_or_default().is_empty())
            }),
        }
    }

    /// The same for a pod's own spec.
    #[must_use]
    pub(crate) fn of_pod(self) -> Options {
        Options { is_pod: true, ..self }
    }
}

fn has_invalid_value(selector: Option<&LabelSelector>) -> bool {
    let expressions = selector.map_or(&[][..], |selector| list(&selector.match_expressions));
    let values = expressions.iter().flat_map(|expression| list(&expression.values));
    values.into_iter().any(|value| !names::label_value(value).is_empty())
}

fn has_invalid_selector_values(affinity: &Affinity) -> bool {
    let term = |term: &PodAffinityTerm| {
        has_invalid_value(term.label_selector.as_ref()) || has_invalid_value(term.namespace_selector.as_ref())
    };
    affinity::pod_terms(affinity).any(term)
}

fn has_invalid_node_affinity_values(affinity: &Affinity) -> bool {
    let required = affinity.node_affinity.as_ref();
    let required = required.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.map_or(&[][..], |selector| &selector.node_selector_terms);
    let requirements = terms.iter().flat_map(|term| list(&term.match_expressions));
    let mut values = requirements.flat_map(|requirement| list(&requirement.values));
    values.any(|value| !names::label_value(value).is_empty())
}

fn has_invalid_selector(constraint: &TopologySpreadConstraint) -> bool {
    let selector = constraint.label_selector.as_ref();
    !api::selector::label::validate_api(selector, false, &Path::nil()).is_empty()
}

fn has_non_local_token_path(spec: &PodSpec) -> bool {
    let projected = list(&spec.volumes).iter().filter_map(|volume| volume.projected.as_ref());
    let mut tokens =
        projected.flat_map(|volume| list(&volume.sources)).filter_map(|source| source.service_account_token.as_ref());
    tokens.any(|token| !rules::local_path(&token.path, &Path::nil()).is_empty())
}

/// Whether the pod shares the host's network.
pub(super) fn uses_host_network(spec: &PodSpec) -> bool {
    is_true(spec.host_network)
}
