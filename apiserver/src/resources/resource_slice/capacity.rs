//! What is wrong with a capacity of a device that several requests share: how much of it one of them may take.
//!
//! Steps are counted in whole units, rounded up. Upstream counts in thousandths where its gate `DRAFractionalCapacityRange` is
//! on, which it is only in clusters that declare that no older server can be among them.

use std::collections::HashSet;

use api::field::{BadValue, Error, ErrorList, Path};
use api::quantity::Quantity;
use k8s_openapi::api::resource::v1::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

const MAX_OPTIONS: usize = 10;

/// `is_shared` says that the device may be allocated more than once.
pub(super) fn validate(capacity: &DeviceCapacity, is_shared: bool, path: &Path) -> ErrorList {
    let Some(policy) = &capacity.request_policy else { return ErrorList::new() };
    let path = path.child("requestPolicy");
    if !is_shared {
        return Error::forbidden(&path, "allowMultipleAllocations must be true").into();
    }
    validate_policy(policy, &quantity(&capacity.value), &path)
}

/// The quantity; what is none has been refused before.
fn quantity(value: &ApiQuantity) -> Quantity {
    Quantity::try_from(value).unwrap_or_default()
}

fn validate_policy(policy: &CapacityRequestPolicy, capacity: &Quantity, path: &Path) -> ErrorList {
    let values = policy.valid_values.as_deref().unwrap_or_default();
    let default = policy.default.as_ref().map(quantity);
    let missing =
        |field: &str| Error::required(&path.child("default"), format!("required when {field} is defined")).into();
    match (values, &policy.valid_range) {
        ([], None) => ErrorList::new(),
        ([], Some(range)) => match default {
            None => missing("validRange"),
            Some(default) => Range::of(range, default).validate(capacity, &path.child("validRange")),
        },
        (values, None) => match default {
            None => missing("validValues"),
            Some(default) => {
                let values: Vec<Quantity> = values.iter().map(quantity).collect();
                validate_values(&values, &default, capacity, &path.child("validValues"))
            }
        },
        (_, Some(_)) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same \
                          time";
            Error::forbidden(path, detail).into()
        }
    }
}

fn validate_values(values: &[Quantity], default: &Quantity, capacity: &Quantity, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (i, pair) in values.windows(2).enumerate() {
        if pair[0] > pair[1] {
            let detail = "values must be sorted in ascending order";
            errors.push(Error::invalid(&path.index(i + 1), pair[1].to_string(), detail));
        }
    }
    let is_known = values.len() <= MAX_OPTIONS && values.contains(default);
    if values.len() > MAX_OPTIONS {
        errors.push(Error::too_many(path, values.len(), MAX_OPTIONS));
    } else {
        for (i, value) in values.iter().enumerate().filter(|(_, value)| *value > capacity) {
            let detail = format!("option is larger than capacity value: {capacity}");
            errors.push(Error::invalid(&path.index(i), value.to_string(), detail));
        }
        let mut seen = HashSet::new();
        for (i, value) in values.iter().enumerate() {
            let key = value.value().to_string();
            if !seen.insert(key.clone()) {
                errors.push(Error::duplicate(&path.index(i), key));
            }
        }
    }
    if !is_known {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(Error::invalid(path, default.to_string(), detail));
    }
    errors
}

/// From what to what, by which steps, and what it is without being asked for.
struct Range {
    default: Quantity,
    min: Option<Quantity>,
    max: Option<Quantity>,
    step: Option<Quantity>,
}

impl Range {
    fn of(range: &CapacityRequestPolicyRange, default: Quantity) -> Range {
        let min = Some(&range.min).filter(|min| !min.0.is_empty()).map(quantity);
        Range { default, min, max: range.max.as_ref().map(quantity), step: range.step.as_ref().map(quantity) }
    }

    fn validate(&self, capacity: &Quantity, path: &Path) -> ErrorList {
        let Some(min) = &self.min else {
            return Error::required(&path.child("min"), "required when validRange is defined").into();
        };
        let mut errors = self.validate_order(min, capacity, path);
        let Some(step) = &self.step else { return errors };
        let step_path = path.child("step");
        if step.signum() <= 0 {
            errors.push(Error::invalid(&step_path, step.to_string(), "must be greater than zero"));
            return errors;
        }
        let mut next = min.clone();
        next.add(step);
        if next > *capacity {
            let detail = format!("one step {next} is larger than capacity value: {capacity}");
            errors.push(Error::invalid(&step_path, step.to_string(), detail));
        }
        let wrong: ErrorList = self.out_of_range(path).collect();
        if !wrong.is_empty() {
            errors.extend(wrong);
            return errors;
        }
        let units = |value: &Quantity| i128::from(value.value());
        for value in std::iter::once(&self.default).chain(&self.max) {
            if (units(value) - units(min)) % units(step) != 0 {
                let detail = format!("value is not a multiple of a given step ({step}) from ({min})");
                errors.push(Error::invalid(&step_path, value.to_string(), detail));
            }
        }
        errors
    }

    /// What is not between what it should be between. Upstream shows the minimum where it is above the maximum.
    fn validate_order(&self, min: &Quantity, capacity: &Quantity, path: &Path) -> ErrorList {
        let mut errors = ErrorList::new();
        let mut check = |is_wrong: bool, field: &str, shown: &Quantity, what: &str, than: &Quantity| {
            if is_wrong {
                let shown = BadValue::from(shown.to_string());
                errors.push(Error::invalid(&path.child(field), shown, format!("{what}: {than}")));
            }
        };
        check(min > capacity, "min", min, "min is larger than capacity value", capacity);
        check(self.default < *min, "default", &self.default, "default is less than min", min);
        if let Some(max) = &self.max {
            check(min > max, "max", min, "min is larger than max", max);
            check(max > capacity, "max", max, "max is larger than capacity value", capacity);
            check(self.default > *max, "default", &self.default, "default is more than max", max);
        }
        errors
    }

    fn bounds(&self) -> impl Iterator<Item = (&'static str, &Quantity)> {
        let fields = [("min", &self.min), ("max", &self.max), ("step", &self.step)];
        let others = fields.into_iter().filter_map(|(field, bound)| Some((field, bound.as_ref()?)));
        std::iter::once(("default", &self.default)).chain(others)
    }

    fn out_of_range(&self, path: &Path) -> impl Iterator<Item = Error> {
        let max = Quantity::new(i64::MAX, Default::default());
        self.bounds().filter_map(move |(field, bound)| {
            let detail = match bound {
                bound if bound.signum() < 0 => "must be greater than or equal to 0",
                bound if *bound > max => "must not be larger than 9223372036854775807",
                _ => return None,
            };
            Some(Error::invalid(&path.child(field), bound.to_string(), detail))
        })
    }
}
