//! What a claim asks for: requests, constraints across them, and configuration. Templates of claims share it.

use std::collections::{HashMap, HashSet};

use api::field::{BadValue, Error, ErrorList, Path};
use k8s_openapi::api::resource::v1::{
    DeviceClaim, DeviceConstraint, DeviceDerivedAttribute, DeviceRequest, DeviceSelector, DeviceToleration,
    ResourceClaimSpec,
};

use crate::resources::devices::{
    MAX_ITEMS, fully_qualified_name, label, object_name, validate_list, validate_opaque, validate_selectors,
    validate_set, validate_toleration,
};

const MAX_ALTERNATIVES: usize = 8;
const ALL: &str = "All";
const EXACT_COUNT: &str = "ExactCount";

/// What one request for devices says, be it the only one or one of several alternatives.
struct Wish<'a> {
    class: &'a str,
    selectors: Option<&'a [DeviceSelector]>,
    mode: &'a str,
    count: i64,
    tolerations: Option<&'a [DeviceToleration]>,
}

/// Fills in how many devices are wanted, and how tolerations compare. Claims of nothing say so, as Go writes them.
pub(in crate::resources) fn set_defaults(spec: &mut ResourceClaimSpec) {
    let devices = spec.devices.get_or_insert_default();
    for request in devices.requests.iter_mut().flatten() {
        if let Some(exactly) = &mut request.exactly {
            set_request_defaults(&mut exactly.allocation_mode, &mut exactly.count, &mut exactly.tolerations);
        }
        for alternative in request.first_available.iter_mut().flatten() {
            let (mode, count) = (&mut alternative.allocation_mode, &mut alternative.count);
            set_request_defaults(mode, count, &mut alternative.tolerations);
        }
    }
}

fn set_request_defaults(
    mode: &mut Option<String>,
    count: &mut Option<i64>,
    tolerations: &mut Option<Vec<DeviceToleration>>,
) {
    if mode.as_deref().unwrap_or_default().is_empty() {
        *mode = Some(EXACT_COUNT.to_owned());
    }
    if mode.as_deref() == Some(EXACT_COUNT) && count.unwrap_or(0) == 0 {
        *count = Some(1);
    }
    set_toleration_defaults(tolerations);
}

pub(super) fn set_toleration_defaults(tolerations: &mut Option<Vec<DeviceToleration>>) {
    for toleration in tolerations.iter_mut().flatten() {
        if toleration.operator.as_deref().unwrap_or_default().is_empty() {
            toleration.operator = Some("Equal".to_owned());
        }
    }
}

/// Drops derived attributes, which upstream's gate `DRADerivedAttributes` keeps off, unless what is stored has some.
pub(in crate::resources) fn drop_gated(new: Option<&mut ResourceClaimSpec>, old: Option<&ResourceClaimSpec>) {
    let is_used = old.is_some_and(|old| {
        requests(old.devices.as_ref()).iter().any(|request| {
            let alternatives = request.first_available.iter().flatten();
            let of_alternatives = alternatives.filter_map(|alternative| alternative.derived_attributes.as_ref());
            let own = request.exactly.as_ref().and_then(|exactly| exactly.derived_attributes.as_ref());
            own.into_iter().chain(of_alternatives).any(|list: &Vec<DeviceDerivedAttribute>| !list.is_empty())
        })
    });
    if is_used {
        return;
    }
    let requests = new.into_iter().flat_map(|spec| &mut spec.devices).flat_map(|devices| &mut devices.requests);
    for request in requests.flatten() {
        if let Some(exactly) = &mut request.exactly {
            exactly.derived_attributes = None;
        }
        for alternative in request.first_available.iter_mut().flatten() {
            alternative.derived_attributes = None;
        }
    }
}

/// The requests of a claim, by whose names other parts refer to them, with the names of their alternatives.
pub(super) struct RequestNames<'a>(HashMap<&'a str, HashSet<&'a str>>);

impl<'a> RequestNames<'a> {
    pub(super) fn of(devices: Option<&'a DeviceClaim>) -> RequestNames<'a> {
        let names = requests(devices).iter().map(|request| {
            let alternatives = request.first_available.iter().flatten();
            (request.name.as_str(), alternatives.map(|alternative| alternative.name.as_str()).collect())
        });
        RequestNames(names.collect())
    }

    fn has(&self, request: &str, alternative: Option<&str>) -> bool {
        self.0.get(request).is_some_and(|names| alternative.is_none_or(|alternative| names.contains(alternative)))
    }

    /// What is wrong with `name`, which should be that of a request, or of a request and one of its alternatives.
    pub(super) fn validate(&self, name: &str, path: &Path) -> ErrorList {
        const DETAIL: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated \
                              by '/'";
        let parts: Vec<&str> = name.split('/').collect();
        let (request, alternative) = match parts.as_slice() {
            [request] => (*request, None),
            [request, alternative] => (*request, Some(*alternative)),
            _ => return Error::invalid(path, name, DETAIL).into(),
        };
        let mut errors: ErrorList = parts.iter().flat_map(|part| label(part, path)).collect();
        if !self.has(request, alternative) {
            errors.push(Error::invalid(path, name, DETAIL));
        }
        errors
    }

    /// What is wrong with a set of such names.
    pub(super) fn validate_set(&self, names: Option<&[String]>, path: &Path) -> ErrorList {
        let validate = |name: &String, path: &Path| self.validate(name, path);
        validate_set(names.unwrap_or_default(), MAX_ITEMS, path, validate, |name| name.into())
    }
}

fn requests(devices: Option<&DeviceClaim>) -> &[DeviceRequest] {
    devices.and_then(|devices| devices.requests.as_deref()).unwrap_or_default()
}

/// What is wrong with the spec of a new claim.
pub(in crate::resources) fn validate(spec: &ResourceClaimSpec, path: &Path) -> ErrorList {
    let Some(devices) = &spec.devices else { return ErrorList::new() };
    let path = path.child("devices");
    let names = RequestNames::of(Some(devices));
    let requests = requests(Some(devices));
    let mut errors =
        validate_set(requests, MAX_ITEMS, &path.child("requests"), validate_request, |request| (&request.name).into());
    let constraints = devices.constraints.as_deref().unwrap_or_default();
    errors.extend(validate_list(constraints, MAX_ITEMS, &path.child("constraints"), |constraint, path| {
        validate_constraint(constraint, &names, path)
    }));
    let config = devices.config.as_deref().unwrap_or_default();
    errors.extend(validate_list(config, MAX_ITEMS, &path.child("config"), |config, path| {
        let mut errors = names.validate_set(config.requests.as_deref(), &path.child("requests"));
        errors.extend(validate_opaque(config.opaque.as_ref(), false, path));
        errors
    }));
    errors
}

fn validate_request(request: &DeviceRequest, path: &Path) -> ErrorList {
    let mut errors = label(&request.name, &path.child("name"));
    let alternatives = request.first_available.as_deref().unwrap_or_default();
    match (&request.exactly, alternatives) {
        (None, []) => {
            errors.push(Error::required(path, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (Some(exactly), []) => {
            let wish = Wish {
                class: &exactly.device_class_name,
                selectors: exactly.selectors.as_deref(),
                mode: exactly.allocation_mode.as_deref().unwrap_or_default(),
                count: exactly.count.unwrap_or(0),
                tolerations: exactly.tolerations.as_deref(),
            };
            errors.extend(validate_wish(&wish, &path.child("exactly")));
        }
        (None, alternatives) => {
            let validate = |alternative: &k8s_openapi::api::resource::v1::DeviceSubRequest, path: &Path| {
                let wish = Wish {
                    class: &alternative.device_class_name,
                    selectors: alternative.selectors.as_deref(),
                    mode: alternative.allocation_mode.as_deref().unwrap_or_default(),
                    count: alternative.count.unwrap_or(0),
                    tolerations: alternative.tolerations.as_deref(),
                };
                let mut errors = label(&alternative.name, &path.child("name"));
                errors.extend(validate_wish(&wish, path));
                errors
            };
            let path = path.child("firstAvailable");
            errors.extend(validate_set(alternatives, MAX_ALTERNATIVES, &path, validate, |it| (&it.name).into()));
        }
        (Some(_), _) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(Error::invalid(path, BadValue::null(), detail));
        }
    }
    errors
}

fn validate_wish(wish: &Wish<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let class_path = path.child("deviceClassName");
    if wish.class.is_empty() {
        errors.push(Error::required(&class_path, ""));
    } else {
        errors.extend(object_name(wish.class, &class_path));
    }
    errors.extend(validate_selectors(wish.selectors.unwrap_or_default(), false, &path.child("selectors")));
    let count_path = path.child("count");
    match wish.mode {
        ALL if wish.count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.push(Error::invalid(&count_path, wish.count, detail));
        }
        EXACT_COUNT if wish.count <= 0 => {
            errors.push(Error::invalid(&count_path, wish.count, "must be greater than zero"));
        }
        ALL | EXACT_COUNT => {}
        other => errors.push(Error::not_supported(&path.child("allocationMode"), other, &[ALL, EXACT_COUNT])),
    }
    errors.extend(validate_tolerations(wish.tolerations, path));
    errors
}

/// What is wrong with the tolerations of what is at `path`.
pub(super) fn validate_tolerations(tolerations: Option<&[DeviceToleration]>, path: &Path) -> ErrorList {
    let path = path.child("tolerations");
    let tolerations = tolerations.unwrap_or_default().iter().enumerate();
    tolerations.flat_map(|(i, toleration)| validate_toleration(toleration, &path.index(i))).collect()
}

fn validate_constraint(constraint: &DeviceConstraint, names: &RequestNames<'_>, path: &Path) -> ErrorList {
    let mut errors = names.validate_set(constraint.requests.as_deref(), &path.child("requests"));
    if let Some(name) = &constraint.match_attribute {
        errors.extend(fully_qualified_name(name, &path.child("matchAttribute")));
    } else if let Some(name) = &constraint.distinct_attribute {
        errors.extend(fully_qualified_name(name, &path.child("distinctAttribute")));
    } else {
        // Upstream's words, though nothing is set here.
        let detail =
            "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
        errors.push(Error::required(path, detail));
    }
    errors
}
