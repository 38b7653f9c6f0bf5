//! DaemonSets: a pod of one template on every node that fits.
//!
//! The generation of the template is an annotation here, as in upstream's `apps/v1`: the server states it, and it grows with
//! every change of the template, whatever the client writes there.

use api::field::{BadValue, Error, ErrorList, Path, go_quote};
use api::selector::label::{from_api, validate_api};
use k8s_openapi::api::apps::v1::{
    DaemonSet, DaemonSetSpec, DaemonSetStatus, DaemonSetUpdateStrategy, RollingUpdateDaemonSet,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::replica_template::{self, CONTAINERS_COLUMN, IMAGES_COLUMN, validate_non_negative};
use super::{int_or_percent, pod_spec, replica_status, semantic};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy, UpdateSubresource};

const ROLLING_UPDATE: &str = "RollingUpdate";
const ON_DELETE: &str = "OnDelete";
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(crate) struct DaemonSets;

impl Strategy for DaemonSets {
    type Object = DaemonSet;

    fn names(&self) -> Names {
        Names::of::<DaemonSet>("daemonset", true).short(&["ds"]).within(&["all"])
    }

    fn default(&self, object: &mut DaemonSet) {
        object.status.get_or_insert_default();
        let spec = &mut object.spec;
        default_strategy(spec.update_strategy.get_or_insert_default());
        spec.revision_history_limit.get_or_insert(10);
        pod_spec::set_template_defaults(&mut spec.template);
    }

    fn prepare_create(&self, object: &mut DaemonSet, _: Context<'_>) {
        object.status = Some(DaemonSetStatus::default());
        set_template_generation(object, |stated| stated.max(1));
    }

    fn prepare_update(&self, new: &mut DaemonSet, old: &DaemonSet, _: Context<'_>) {
        new.status = old.status.clone();
        let changed = !semantic::equal(&new.spec.template, &old.spec.template);
        let generation = template_generation(old).unwrap_or(0).saturating_add(changed.into());
        set_template_generation(new, |_| generation);
    }

    fn generation(&self) -> Option<fn(new: &DaemonSet, old: &DaemonSet) -> bool> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &DaemonSet) -> ErrorList {
        let mut errors = validate_template_generation(object);
        errors.extend(validate_spec(&object.spec, None));
        errors
    }

    fn validate_update(&self, new: &DaemonSet, old: &DaemonSet) -> ErrorList {
        let mut errors = validate_template_generation(new);
        errors.extend(validate_spec(&new.spec, Some(&old.spec)));
        let path = Path::new("spec").child("selector");
        errors.extend(replica_template::validate_same_selector(&new.spec.selector, &old.spec.selector, &path));
        errors
    }

    fn warnings(&self, new: &DaemonSet, old: Option<&DaemonSet>) -> Vec<String> {
        if old.is_some_and(|old| semantic::equal(&new.spec, &old.spec)) {
            return Vec::new();
        }
        let path = Path::new("spec").child("template");
        replica_template::template_warnings(&path, &new.spec.template, old.map(|old| &old.spec.template))
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &DaemonSet, now: Timestamp) -> Vec<Value> {
        let status = object.status.clone().unwrap_or_default();
        let template = &object.spec.template;
        let [containers, images] = replica_template::container_cells(template);
        let node_selector = template.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
        vec![
            object.metadata.name.clone().into(),
            status.desired_number_scheduled.into(),
            status.current_number_scheduled.into(),
            status.number_ready.into(),
            status.updated_number_scheduled.unwrap_or(0).into(),
            status.number_available.unwrap_or(0).into(),
            replica_template::labels_cell(node_selector),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
            containers,
            images,
            replica_template::selector_cell(&object.spec.selector),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<DaemonSet>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                new.spec = old.spec.clone();
                let generation = template_generation(old).unwrap_or(0);
                set_template_generation(new, |_| generation);
            },
            validate: |new, old| {
                let status = |set: &DaemonSet| set.status.clone().unwrap_or_default();
                let mut errors = validate_template_generation(new);
                errors.extend(validate_status(&status(new), &status(old), &Path::new("status")));
                errors
            },
        }]
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Desired",
        "The total number of nodes that should be running the daemon pod (including nodes correctly running the daemon \
         pod). More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
    )
    .of_type("integer"),
    Column::new(
        "Current",
        "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. More info: \
         https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
    )
    .of_type("integer"),
    Column::new(
        "Ready",
        "numberReady is the number of nodes that should be running the daemon pod and have one or more of the daemon pod \
         running with a Ready Condition.",
    )
    .of_type("integer"),
    Column::new("Up-to-date", "The total number of nodes that are running updated daemon pod").of_type("integer"),
    Column::new(
        "Available",
        "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and \
         available (ready for at least spec.minReadySeconds)",
    )
    .of_type("integer"),
    Column::new(
        "Node Selector",
        "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a node's \
         labels for the pod to be scheduled on that node. More info: \
         https://kubernetes.io/docs/concepts/configuration/assign-pod-node/",
    ),
    AGE_COLUMN,
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    Column::new(
        "Selector",
        "A label query over pods that are managed by the daemon set. Must match in order to be controlled. It must match \
         the pod template's labels. More info: \
         https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    )
    .wide(),
];

fn default_strategy(strategy: &mut DaemonSetUpdateStrategy) {
    let kind = strategy.type_.take().filter(|kind| !kind.is_empty()).unwrap_or_else(|| ROLLING_UPDATE.to_owned());
    if kind == ROLLING_UPDATE {
        let rolling = strategy.rolling_update.get_or_insert_default();
        rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
        rolling.max_surge.get_or_insert(IntOrString::Int(0));
    }
    strategy.type_ = Some(kind);
}

fn stated_generation(object: &DaemonSet) -> Option<&String> {
    object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(TEMPLATE_GENERATION))
}

fn template_generation(object: &DaemonSet) -> Option<i64> {
    stated_generation(object).and_then(|text| text.parse().ok())
}

/// Writes the annotation, which may follow from what it says now. What is no number stays there, to be refused.
fn set_template_generation(object: &mut DaemonSet, generation: impl FnOnce(i64) -> i64) {
    let stated = match stated_generation(object).map(|text| text.parse()) {
        None => 0,
        Some(Ok(stated)) => stated,
        Some(Err(_)) => return,
    };
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(TEMPLATE_GENERATION.to_owned(), generation(stated).to_string());
}

fn validate_template_generation(object: &DaemonSet) -> ErrorList {
    let Some(text) = stated_generation(object).filter(|text| text.parse::<i64>().is_err()) else {
        return ErrorList::new();
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let reason = if is_number { "value out of range" } else { "invalid syntax" };
    let path = Path::new("metadata").child("annotations").key(TEMPLATE_GENERATION);
    Error::invalid(&path, text, format!("strconv.ParseInt: parsing {}: {reason}", go_quote(text))).into()
}

fn validate_spec(spec: &DaemonSetSpec, old: Option<&DaemonSetSpec>) -> ErrorList {
    let path = Path::new("spec");
    let (selector_path, template_path) = (path.child("selector"), path.child("template"));
    let template = &spec.template;
    let mut errors = validate_api(Some(&spec.selector), false, &selector_path);
    if let Ok(selector) = from_api(Some(&spec.selector)) {
        errors.extend(replica_template::validate_match(&selector, template, &template_path));
    }
    errors.extend(replica_template::validate_not_empty(&spec.selector, "daemonset", &selector_path));
    let options = replica_template::options(old.map(|old| &old.template));
    errors.extend(pod_spec::validate_template(template, &template_path, &options));
    errors.extend(replica_template::validate_endless(template, "DaemonSet", &template_path));
    errors.extend(validate_non_negative(spec.min_ready_seconds.unwrap_or(0).into(), &path.child("minReadySeconds")));
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    errors.extend(validate_strategy(&strategy, &path.child("updateStrategy")));
    let limit = i64::from(spec.revision_history_limit.unwrap_or(0));
    errors.extend(validate_non_negative(limit, &path.child("revisionHistoryLimit")));
    errors
}

fn validate_strategy(strategy: &DaemonSetUpdateStrategy, path: &Path) -> ErrorList {
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        (ON_DELETE, _) => ErrorList::new(),
        (ROLLING_UPDATE, None) => Error::required(&path.child("rollingUpdate"), "").into(),
        (ROLLING_UPDATE, Some(rolling)) => validate_rolling_update(rolling, &path.child("rollingUpdate")),
        (other, rolling) => {
            let shown = rolling.as_ref().map(|rolling| {
                int_or_percent::shown_rolling_update(rolling.max_unavailable.as_ref(), rolling.max_surge.as_ref())
            });
            let shown = int_or_percent::shown_strategy(other, shown);
            Error::not_supported(path, shown, &[ROLLING_UPDATE, ON_DELETE]).into()
        }
    }
}

fn validate_rolling_update(rolling: &RollingUpdateDaemonSet, path: &Path) -> ErrorList {
    let zero = IntOrString::Int(0);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
    let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
    let (unavailable_path, surge_path) = (path.child("maxUnavailable"), path.child("maxSurge"));
    let mut errors = int_or_percent::validate(unavailable, &unavailable_path);
    errors.extend(int_or_percent::validate(surge, &surge_path));
    errors.extend(int_or_percent::validate_at_most_all(unavailable, &unavailable_path));
    errors.extend(int_or_percent::validate_at_most_all(surge, &surge_path));
    match (int_or_percent::number(unavailable) != 0, int_or_percent::number(surge) != 0) {
        (true, true) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.push(Error::invalid(&surge_path, BadValue::json(surge), detail));
        }
        (false, false) => errors.push(Error::required(&unavailable_path, "cannot be 0 when maxSurge is 0")),
        _ => {}
    }
    errors
}

fn validate_status(new: &DaemonSetStatus, old: &DaemonSetStatus, path: &Path) -> ErrorList {
    let number = |number: Option<i32>| i64::from(number.unwrap_or(0));
    let mut errors = replica_status::non_negative(
        &[
            ("currentNumberScheduled", new.current_number_scheduled.into()),
            ("numberMisscheduled", new.number_misscheduled.into()),
            ("desiredNumberScheduled", new.desired_number_scheduled.into()),
            ("numberReady", new.number_ready.into()),
            ("observedGeneration", new.observed_generation.unwrap_or(0)),
            ("updatedNumberScheduled", number(new.updated_number_scheduled)),
            ("numberAvailable", number(new.number_available)),
            ("numberUnavailable", number(new.number_unavailable)),
            ("collisionCount", number(new.collision_count)),
        ],
        path,
    );
    errors.extend(replica_status::not_decremented(new.collision_count, old.collision_count, path));
    errors
}

#[cfg(test)]
mod tests;
