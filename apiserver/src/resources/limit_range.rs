//! LimitRanges: bounds and defaults of what one pod, container or volume claim may ask for in a namespace.

use std::collections::{BTreeMap, BTreeSet};

use api::field::{BadValue, Error, ErrorList, Path};
use api::names::label_key;
use api::quantity::{Format, Quantity};
use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::resource_list::{self, List};
use super::{default_table, pod_spec};
use crate::strategy::{Column, Names, Strategy};

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
/// The greatest number of which thousandths can be told apart (upstream's `MaxMilliValue`).
const MAX_MILLI_VALUE: i64 = i64::MAX / 1000;

pub(crate) struct LimitRanges;

impl Strategy for LimitRanges {
    type Object = LimitRange;

    fn names(&self) -> Names {
        Names::of::<LimitRange>("limitrange", true).short(&["limits"])
    }

    fn default(&self, object: &mut LimitRange) {
        for item in object.spec.iter_mut().flat_map(|spec| &mut spec.limits) {
            let lists = [&mut item.max, &mut item.min, &mut item.default, &mut item.default_request];
            lists.into_iter().for_each(|list| resource_list::set_defaults(list.as_mut()));
            resource_list::set_defaults(item.max_limit_request_ratio.as_mut());
            if item.type_ == "Container" {
                default_container(item);
            }
        }
    }

    fn validate(&self, object: &LimitRange) -> ErrorList {
        let path = Path::new("spec").child("limits");
        let mut errors = ErrorList::new();
        let mut types = BTreeSet::new();
        for (i, item) in object.spec.iter().flat_map(|spec| &spec.limits).enumerate() {
            let path = path.index(i);
            errors.extend(validate_type(&item.type_, &path.child("type")));
            if !types.insert(&*item.type_) {
                errors.push(Error::duplicate(&path.child("type"), &item.type_));
            }
            errors.extend(validate_item(item, &path));
        }
        errors
    }

    fn validate_update(&self, new: &LimitRange, _: &LimitRange) -> ErrorList {
        self.validate(new)
    }

    fn columns(&self) -> &'static [Column] {
        default_table::COLUMNS
    }

    fn row(&self, object: &LimitRange, _: Timestamp) -> Vec<Value> {
        default_table::row(&object.metadata)
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }
}

/// A container's limit is the maximum unless stated, and its request the limit, or else the minimum.
fn default_container(item: &mut LimitRangeItem) {
    let fill = |list: &mut List, from: Option<&List>| {
        for (name, quantity) in from.into_iter().flatten() {
            list.entry(name.clone()).or_insert_with(|| quantity.clone());
        }
    };
    let mut limits = item.default.take().unwrap_or_default();
    fill(&mut limits, item.max.as_ref());
    let mut requests = item.default_request.take().unwrap_or_default();
    fill(&mut requests, Some(&limits));
    fill(&mut requests, item.min.as_ref());
    item.default = Some(limits).filter(|list| !list.is_empty());
    item.default_request = Some(requests).filter(|list| !list.is_empty());
}

fn validate_type(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.push_invalid(path, name, label_key(name));
    if errors.is_empty() && !name.contains('/') && !TYPES.contains(&name) {
        errors.push(Error::invalid(path, name, "must be a standard limit type or fully qualified"));
    }
    errors
}

fn validate_item(item: &LimitRangeItem, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut read = |list: &Option<List>, field: &str| {
        let path = path.child(field);
        let quantities = resource_list::parse(list.as_ref(), &path, &mut errors);
        for name in list.iter().flat_map(List::keys) {
            errors.extend(validate_resource_name(&item.type_, name, &path.key(name)));
        }
        quantities
    };
    let (max, min) = (read(&item.max, "max"), read(&item.min, "min"));
    let mut defaults = [BTreeMap::new(), BTreeMap::new()];
    if item.type_ == "Pod" {
        for (list, field) in [(&item.default, "default"), (&item.default_request, "defaultRequest")] {
            if list.as_ref().is_some_and(|list| !list.is_empty()) {
                let detail = "may not be specified when `type` is 'Pod'";
                errors.push(Error::forbidden(&path.child(field), detail));
            }
        }
    } else {
        defaults = [read(&item.default, "default"), read(&item.default_request, "defaultRequest")];
    }
    if item.type_ == "PersistentVolumeClaim" && !min.contains_key("storage") && !max.contains_key("storage") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(Error::required(&path.child("limits"), detail));
    }
    let ratio_path = path.child("maxLimitRequestRatio");
    let ratios = resource_list::parse(item.max_limit_request_ratio.as_ref(), &ratio_path, &mut errors);
    for name in ratios.keys() {
        errors.extend(validate_resource_name(&item.type_, name, &ratio_path.key(name)));
    }
    let [limits, requests] = &defaults;
    let lists = [&max, &min, limits, requests, &ratios];
    let names: BTreeSet<&String> = lists.into_iter().flat_map(BTreeMap::keys).collect();
    for name in names {
        let [max, min, limit, request, ratio] = lists.map(|list| list.get(name));
        let bounds = Bounds { name, max, min, limit, request, ratio };
        errors.extend(bounds.validate(path));
    }
    errors
}

fn validate_resource_name(kind: &str, name: &str, path: &Path) -> ErrorList {
    match kind {
        "Pod" | "Container" => pod_spec::validate_resource_name(name, path),
        _ => pod_spec::validate_any_resource_name(name, path),
    }
}

/// What is said of one resource.
struct Bounds<'a> {
    name: &'a str,
    max: Option<&'a Quantity>,
    min: Option<&'a Quantity>,
    limit: Option<&'a Quantity>,
    request: Option<&'a Quantity>,
    ratio: Option<&'a Quantity>,
}

impl Bounds<'_> {
    fn validate(&self, path: &Path) -> ErrorList {
        let mut errors = ErrorList::new();
        // Which of two quantities is shown is upstream's choice.
        let mut in_order =
            |field: &str, low: (Option<&Quantity>, &str), high: (Option<&Quantity>, &str), shown: usize| {
                let (Some(lower), Some(higher)) = (low.0, high.0) else { return };
                if lower > higher {
                    let detail = format!("{} value {lower} is greater than {} value {higher}", low.1, high.1);
                    let shown = BadValue::json([lower, higher][shown]);
                    errors.push(Error::invalid(&path.child(field).key(self.name), shown, detail));
                }
            };
        let (max, min, limit, request) = (self.max, self.min, self.limit, self.request);
        in_order("min", (min, "min"), (max, "max"), 0);
        in_order("defaultRequest", (min, "min"), (request, "default request"), 1);
        in_order("defaultRequest", (request, "default request"), (max, "max"), 0);
        in_order("defaultRequest", (request, "default request"), (limit, "default limit"), 0);
        in_order("default", (min, "min"), (limit, "default"), 0);
        in_order("default", (limit, "default"), (max, "max"), 1);
        errors.extend(self.validate_ratio(path));
        if let (Some(limit), Some(request), false) = (limit, request, pod_spec::is_overcommittable(self.name))
            && limit != request
        {
            let name = self.name;
            let detail = format!("default value {limit} must equal to defaultRequest value {request} in {name}");
            errors.push(Error::invalid(&path.child("defaultRequest").key(name), BadValue::json(request), detail));
        }
        errors
    }

    fn validate_ratio(&self, path: &Path) -> ErrorList {
        let mut errors = ErrorList::new();
        let Some(ratio) = self.ratio else { return errors };
        let mut invalid = |detail: String| {
            let path = path.child("maxLimitRequestRatio").key(self.name);
            errors.push(Error::invalid(&path, BadValue::json(ratio), detail));
        };
        if *ratio < Quantity::new(1, Format::DecimalSi) {
            invalid(format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (self.min, self.max) {
            let (stated, possible) = ratios(ratio, min, max);
            if stated > possible {
                invalid(format!("ratio {ratio} is greater than max/min = {}", go_float(possible)));
            }
        }
        errors
    }
}

/// The ratio that is stated, and the one of the bounds, as upstream computes them.
#[allow(clippy::cast_precision_loss, reason = "upstream loses it, too, and its decisions are to be met")]
fn ratios(ratio: &Quantity, min: &Quantity, max: &Quantity) -> (f64, f64) {
    let fits = [ratio, min, max].iter().all(|quantity| quantity.value() < MAX_MILLI_VALUE);
    if fits {
        (ratio.milli_value() as f64 / 1000.0, max.milli_value() as f64 / min.milli_value() as f64)
    } else {
        (ratio.value() as f64, max.value() as f64 / min.value() as f64)
    }
}

/// A number as Go's `%f` writes it.
fn go_float(number: f64) -> String {
    if number.is_infinite() { if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned() } else { format!("{number:.6}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range(limits: Value) -> LimitRange {
        let metadata = json!({"name": "l", "namespace": "default", "creationTimestamp": "2026-03-01T10:00:00Z"});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"limits": limits}})).unwrap()
    }

    fn check(item: Value, expected: &[&str]) {
        let object = range(json!([item]));
        let shown = |errors: ErrorList| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(LimitRanges.validate(&object)), expected, "{item}");
        assert_eq!(shown(LimitRanges.validate_update(&object, &LimitRange::default())), expected, "{item}");
    }

    #[test]
    fn types() {
        check(json!({"type": "Pod"}), &[]);
        check(json!({"type": "example.com/Disk", "max": {"storage": "1Gi"}}), &[]);
        let standard = "must be a standard limit type or fully qualified";
        check(json!({"type": "Node"}), &[&format!("spec.limits[0].type: Invalid value: \"Node\": {standard}")]);
        let name = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        check(
            json!({}),
            &[
                "spec.limits[0].type: Invalid value: \"\": name part must be non-empty",
                &format!("spec.limits[0].type: Invalid value: \"\": name part {name}"),
            ],
        );
        let errors = LimitRanges.validate(&range(json!([{"type": "Pod"}, {"type": "Container"}, {"type": "Pod"}])));
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["spec.limits[2].type: Duplicate value: \"Pod\""]
        );
        assert!(LimitRanges.validate(&LimitRange::default()).is_empty());
    }

    #[test]
    fn resources() {
        let container = "must be a standard resource for containers";
        check(json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "1Ti"}}), &[]);
        check(
            json!({"type": "Pod", "max": {"storage": "1Gi"}}),
            &[&format!("spec.limits[0].max[storage]: Invalid value: \"storage\": {container}")],
        );
        check(
            json!({"type": "Container", "default": {"pods": "1"}, "maxLimitRequestRatio": {"services": "2"}}),
            &[
                &format!("spec.limits[0].default[pods]: Invalid value: \"pods\": {container}"),
                &format!("spec.limits[0].maxLimitRequestRatio[services]: Invalid value: \"services\": {container}"),
            ],
        );
        check(
            json!({"type": "PersistentVolumeClaim", "min": {"bananas": "1"}}),
            &[
                "spec.limits[0].min[bananas]: Invalid value: \"bananas\": must be a standard resource type or fully \
                 qualified",
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but \
                 neither was provided",
            ],
        );
        let forbidden = "Forbidden: may not be specified when `type` is 'Pod'";
        check(
            json!({"type": "Pod", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}),
            &[&format!("spec.limits[0].default: {forbidden}"), &format!("spec.limits[0].defaultRequest: {forbidden}")],
        );
    }

    #[test]
    fn bounds() {
        let container = |mut item: Value| {
            item["type"] = json!("Container");
            item
        };
        let (cpu, request, limit) =
            ("spec.limits[0].min[cpu]", "spec.limits[0].defaultRequest[cpu]", "spec.limits[0].default[cpu]");
        check(
            container(
                json!({"min": {"cpu": "100m"}, "max": {"cpu": "1"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "0.2"}}),
            ),
            &[],
        );
        check(
            container(json!({"min": {"cpu": "2"}, "max": {"cpu": "1"}})),
            &[&format!("{cpu}: Invalid value: \"2\": min value 2 is greater than max value 1")],
        );
        check(
            container(json!({"min": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}})),
            &[&format!("{request}: Invalid value: \"1\": min value 2 is greater than default request value 1")],
        );
        check(
            container(json!({"max": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}})),
            &[&format!("{request}: Invalid value: \"2\": default request value 2 is greater than max value 1")],
        );
        check(
            container(json!({"default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}})),
            &[&format!(
                "{request}: Invalid value: \"2\": default request value 2 is greater than default limit value 1"
            )],
        );
        check(
            container(json!({"min": {"cpu": "2"}, "default": {"cpu": "1"}})),
            &[&format!("{limit}: Invalid value: \"2\": min value 2 is greater than default value 1")],
        );
        check(
            container(json!({"max": {"cpu": "1"}, "default": {"cpu": "2"}})),
            &[&format!("{limit}: Invalid value: \"1\": default value 2 is greater than max value 1")],
        );
        check(
            container(json!({"default": {"example.com/gpu": "2"}, "defaultRequest": {"example.com/gpu": "1"}})),
            &["spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: \"1\": default value 2 must equal to \
               defaultRequest value 1 in example.com/gpu"],
        );
    }

    #[test]
    fn ratios_of_limits_to_requests() {
        const AT: &str = "spec.limits[0].maxLimitRequestRatio[cpu]";
        let pod = |ratio: &str, min: &str, max: &str| json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": ratio}, "min": {"cpu": min}, "max": {"cpu": max}});
        check(json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "1"}}), &[]);
        check(pod("10", "100m", "1"), &[]);
        check(pod("1", "0", "1"), &[]);
        check(
            pod("10", "200m", "1"),
            &[&format!("{AT}: Invalid value: \"10\": ratio 10 is greater than max/min = 5.000000")],
        );
        check(
            pod("3", "3", "8"),
            &[&format!("{AT}: Invalid value: \"3\": ratio 3 is greater than max/min = 2.666667")],
        );
        check(pod("500m", "1", "1"), &[&format!("{AT}: Invalid value: \"500m\": ratio 500m is less than 1")]);
        check(
            pod("2", "1E", "1E"),
            &[&format!("{AT}: Invalid value: \"2\": ratio 2 is greater than max/min = 1.000000")],
        );
        assert_eq!([1.0 / 0.0, -1.0 / 0.0, 0.5].map(go_float), ["+Inf", "-Inf", "0.500000"]);
    }

    #[test]
    fn defaults() {
        let check = |item: Value, expected: Value| {
            let mut object = range(json!([item]));
            LimitRanges.default(&mut object);
            assert_eq!(json!(object.spec), json!({"limits": [expected]}));
            let before = object.clone();
            LimitRanges.default(&mut object);
            assert_eq!(object, before);
        };
        let pod = json!({"type": "Pod", "max": {"cpu": "1"}});
        check(pod.clone(), pod);
        check(json!({"type": "Container"}), json!({"type": "Container"}));
        check(
            json!({"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}, "min": {"cpu": "1", "example.com/x": "1"},
                   "default": {"cpu": "1.5"}}),
            json!({"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}, "min": {"cpu": "1", "example.com/x": "1"},
                   "default": {"cpu": "1500m", "memory": "1Gi"},
                   "defaultRequest": {"cpu": "1500m", "memory": "1Gi", "example.com/x": "1"}}),
        );
    }

    #[test]
    fn rows() {
        let row = LimitRanges.row(&range(json!([])), Timestamp::UNIX_EPOCH);
        assert_eq!(json!(row), json!(["l", "2026-03-01T10:00:00Z"]));
        assert_eq!(row.len(), LimitRanges.columns().len());
    }
}
