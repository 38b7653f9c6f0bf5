//! What the arguments of plugins must keep to, in upstream's words.

use api::field::{BadValue, Error, ErrorList, Path};
use api::selector::label::{Operator, Requirement, validate_label_name};
use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm};

use super::arguments::{
    Arguments, DefaultPreemptionArgs, DynamicResourcesArgs, NodeResourcesFitArgs, PodTopologySpreadArgs, ResourceSpec,
    UtilizationShapePoint, VolumeBindingArgs,
};
use super::duration::GoDuration;
use super::validate::shown;

/// Everything that is wrong.
pub(super) fn validate_arguments(arguments: &Arguments, path: &Path) -> ErrorList {
    match arguments {
        Arguments::DefaultPreemption(args) => default_preemption(args, path),
        Arguments::DynamicResources(args) => dynamic_resources(args, path),
        Arguments::InterPodAffinity(args) => {
            let (weight, path) = (args.hard_pod_affinity_weight, path.child("hardPodAffinityWeight"));
            in_range(weight, 100, &path).into_iter().collect()
        }
        Arguments::NodeAffinity(args) => {
            let validate = |affinity| node_affinity(affinity, &path.child("addedAffinity"));
            args.added_affinity.as_ref().map(validate).unwrap_or_default()
        }
        Arguments::NodeResourcesBalancedAllocation(args) => balanced_resources(&args.resources, path),
        Arguments::NodeResourcesFit(args) => node_resources_fit(args, path),
        Arguments::PodTopologySpread(args) => pod_topology_spread(args, path),
        Arguments::VolumeBinding(args) => volume_binding(args, path),
        Arguments::Other(_) => ErrorList::new(),
    }
}

fn in_range(value: i32, greatest: i32, path: &Path) -> Option<Error> {
    let valid = (0..=greatest).contains(&value);
    (!valid).then(|| Error::invalid(path, value, format!("not in valid range [0, {greatest}]")))
}

fn default_preemption(args: &DefaultPreemptionArgs, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (percentage, absolute) = (args.min_candidate_nodes_percentage, args.min_candidate_nodes_absolute);
    let percentage_path = path.child("minCandidateNodesPercentage");
    let absolute_path = path.child("minCandidateNodesAbsolute");
    errors.extend(in_range(percentage, 100, &percentage_path));
    if absolute < 0 {
        errors.push(Error::invalid(&absolute_path, absolute, "not in valid range [0, inf)"));
    }
    if percentage == 0 && absolute == 0 {
        let with = |other| format!("cannot be zero at the same time as {other}");
        errors.push(Error::invalid(&percentage_path, percentage, with("minCandidateNodesAbsolute")));
        errors.push(Error::invalid(&absolute_path, absolute, with("minCandidateNodesPercentage")));
    }
    errors
}

fn dynamic_resources(args: &DynamicResourcesArgs, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if args.filter_timeout < GoDuration::default() {
        let path = path.child("filterTimeout");
        errors.push(Error::invalid(&path, shown(args.filter_timeout), "must be zero or positive"));
    }
    if args.binding_timeout < GoDuration::from_secs(1) {
        let path = path.child("bindingTimeout");
        errors.push(Error::invalid(&path, shown(args.binding_timeout), "must be at least 1 second"));
    }
    errors
}

fn node_affinity(affinity: &NodeAffinity, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        let path = path.child("requiredDuringSchedulingIgnoredDuringExecution").child("nodeSelectorTerms");
        for (i, term) in required.node_selector_terms.iter().enumerate() {
            errors.extend(node_selector_term(term, &path.index(i)));
        }
    }
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    let path = path.child("preferredDuringSchedulingIgnoredDuringExecution");
    for (i, term) in preferred.enumerate().filter(|(_, term)| term.weight != 0) {
        errors.extend(node_selector_term(&term.preference, &path.index(i)));
    }
    errors
}

fn node_selector_term(term: &NodeSelectorTerm, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, requirement) in term.match_expressions.iter().flatten().enumerate() {
        errors.extend(label_requirement(requirement, &path.child("matchExpressions").index(i)));
    }
    for (i, requirement) in term.match_fields.iter().flatten().enumerate() {
        errors.extend(field_requirement(requirement, &path.child("matchFields").index(i)));
    }
    errors
}

fn label_requirement(requirement: &NodeSelectorRequirement, path: &Path) -> ErrorList {
    let operator = match requirement.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        other => {
            let known = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
            return Error::not_supported(&path.child("operator"), other, &known).into();
        }
    };
    let values = requirement.values.clone().unwrap_or_default();
    Requirement::new(&requirement.key, operator, values, path).err().unwrap_or_default()
}

fn field_requirement(requirement: &NodeSelectorRequirement, path: &Path) -> Option<Error> {
    let values = requirement.values.as_deref().unwrap_or_default();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() == 1 => None,
        "In" | "NotIn" => {
            let shown = BadValue::json(&requirement.values);
            Some(Error::invalid(&path.child("values"), shown, "must have one element"))
        }
        other => Some(Error::not_supported(&path.child("operator"), other, &["In", "NotIn"])),
    }
}

fn balanced_resources(resources: &[ResourceSpec], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, resource) in resources.iter().enumerate() {
        let path = path.child("resources").index(i);
        if resources[..i].iter().any(|other| other.name == resource.name) {
            errors.push(Error::duplicate(&path.child("name"), &resource.name));
        }
        if resource.weight != 1 {
            errors.push(Error::invalid(&path.child("weight"), resource.weight, "must be 1"));
        }
    }
    errors
}

fn node_resources_fit(args: &NodeResourcesFitArgs, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, name) in args.ignored_resources.iter().enumerate() {
        errors.extend(validate_label_name(name, &path.child("ignoredResources").index(i)));
    }
    for (i, group) in args.ignored_resource_groups.iter().enumerate() {
        let path = path.child("ignoredResourceGroups").index(i);
        if group.contains('/') {
            errors.push(Error::invalid(&path, group, "resource group name can't contain '/'"));
        }
        errors.extend(validate_label_name(group, &path));
    }
    let (strategy, path) = (&args.scoring_strategy, path.child("scoringStrategy"));
    let known = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
    if !known.contains(&strategy.kind.as_str()) {
        errors.push(Error::not_supported(&path.child("type"), &strategy.kind, &known));
    }
    for (i, resource) in strategy.resources.iter().enumerate().filter(|(_, of)| !(1..=100).contains(&of.weight)) {
        let detail = format!("resource weight of {} not in valid range (0, 100]", resource.name);
        errors.push(Error::invalid(&path.child("resources").index(i).child("weight"), resource.weight, detail));
    }
    let path = path.child("requestedToCapacityRatio");
    match (&strategy.requested_to_capacity_ratio, strategy.kind.as_str()) {
        (Some(ratio), "RequestedToCapacityRatio") => errors.extend(shape(&ratio.shape, &path.child("shape"))),
        (None, "RequestedToCapacityRatio") => {
            errors.push(Error::required(&path, "must be specified when type is RequestedToCapacityRatio"));
        }
        (Some(_), _) => errors.push(Error::forbidden(&path, "must be nil when type is not RequestedToCapacityRatio")),
        (None, _) => {}
    }
    errors
}

fn shape(points: &[UtilizationShapePoint], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if points.is_empty() {
        errors.push(Error::required(path, "at least one point must be specified"));
    }
    let unsorted = points.windows(2).position(|pair| pair[0].utilization >= pair[1].utilization);
    if let Some(i) = unsorted.map(|i| i + 1) {
        let path = path.index(i).child("utilization");
        errors.push(Error::invalid(&path, points[i].utilization, "values must be sorted in increasing order"));
    }
    for (i, point) in points.iter().enumerate() {
        errors.extend(in_range(point.utilization, 100, &path.index(i).child("utilization")));
        errors.extend(in_range(point.score, 10, &path.index(i).child("score")));
    }
    errors
}

fn pod_topology_spread(args: &PodTopologySpreadArgs, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (kind, constraints) = (&args.defaulting_type, &args.default_constraints);
    let kind_path = path.child("defaultingType");
    match kind.as_str() {
        "List" => {}
        "System" if constraints.is_empty() => {}
        "System" => errors.push(Error::invalid(&kind_path, kind, "when .defaultConstraints are not empty")),
        _ => errors.push(Error::not_supported(&kind_path, kind, &["System", "List"])),
    }
    let list = path.child("defaultConstraints");
    for (i, constraint) in constraints.iter().enumerate() {
        let path = list.index(i);
        if constraint.max_skew <= 0 {
            let detail = "not in valid range (0, inf)";
            errors.push(Error::invalid(&path.child("maxSkew"), constraint.max_skew, detail));
        }
        let (key, key_path) = (&constraint.topology_key, path.child("topologyKey"));
        if key.is_empty() {
            errors.push(Error::required(&key_path, "can not be empty"));
        } else {
            errors.extend(validate_label_name(key, &key_path));
        }
        let (action, action_path) = (&constraint.when_unsatisfiable, path.child("whenUnsatisfiable"));
        match action.as_str() {
            "DoNotSchedule" | "ScheduleAnyway" => {}
            "" => errors.push(Error::required(&action_path, "can not be empty")),
            _ => errors.push(Error::not_supported(&action_path, action, &["DoNotSchedule", "ScheduleAnyway"])),
        }
        if constraint.label_selector.is_some() {
            let detail = "constraint must not define a selector, as they deduced for each pod";
            errors.push(Error::forbidden(&path.child("labelSelector"), detail));
        }
        let same =
            constraints[..i].iter().any(|other| other.topology_key == *key && other.when_unsatisfiable == *action);
        if same {
            errors.push(Error::duplicate(&path, format!("{{{key}, {action}}}")));
        }
    }
    errors
}

fn volume_binding(args: &VolumeBindingArgs, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let timeout = args.bind_timeout_seconds;
    if timeout < 0 {
        let detail = "invalid BindTimeoutSeconds, should not be a negative value";
        errors.push(Error::invalid(&path.child("bindTimeoutSeconds"), timeout, detail));
    }
    errors.extend(shape(&args.shape, &path.child("shape")));
    errors
}
