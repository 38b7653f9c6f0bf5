//! PriorityLevelConfigurations: the share of the server's attention that each level has, and what it lends and borrows.

use api::field::{Error, ErrorList, Path};
use k8s_openapi::api::flowcontrol::v1::{
    ExemptPriorityLevelConfiguration, LimitedPriorityLevelConfiguration, PriorityLevelConfiguration,
    PriorityLevelConfigurationSpec, PriorityLevelConfigurationStatus,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::super::semantic;
use super::{born_levels, is_mandatory, queuing, shown, validate_conditions};
use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, SpecChanged, Strategy, UpdateSubresource};

const EXEMPT: &str = "exempt";
const DEFAULT_SHARES: i32 = 30;
/// By this annotation an older version, which is not served, tells zero shares from none stated.
const ZERO_SHARES: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

pub(crate) struct PriorityLevels;

impl Strategy for PriorityLevels {
    type Object = PriorityLevelConfiguration;

    fn names(&self) -> Names {
        Names::of::<PriorityLevelConfiguration>("prioritylevelconfiguration", false)
    }

    fn default(&self, object: &mut PriorityLevelConfiguration) {
        let spec = &mut object.spec;
        if let Some(limited) = &mut spec.limited {
            limited.nominal_concurrency_shares.get_or_insert(DEFAULT_SHARES);
            limited.lendable_percent.get_or_insert(0);
            if let Some(queuing) = &mut limited.limit_response.queuing {
                queuing::set_defaults(queuing);
            }
        }
        if let Some(exempt) = &mut spec.exempt {
            exempt.nominal_concurrency_shares.get_or_insert(0);
            exempt.lendable_percent.get_or_insert(0);
        }
    }

    fn prepare_create(&self, object: &mut PriorityLevelConfiguration, _: Context<'_>) {
        object.status = Some(PriorityLevelConfigurationStatus::default());
    }

    fn prepare_update(&self, new: &mut PriorityLevelConfiguration, old: &PriorityLevelConfiguration, _: Context<'_>) {
        new.status.clone_from(&old.status);
    }

    fn generation(&self) -> Option<SpecChanged<PriorityLevelConfiguration>> {
        Some(|new, old| !semantic::equal(&new.spec, &old.spec))
    }

    fn validate(&self, object: &PriorityLevelConfiguration) -> ErrorList {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let mut errors = ErrorList::new();
        if object.metadata.annotations.iter().any(|annotations| annotations.contains_key(ZERO_SHARES)) {
            let path = Path::new("metadata").child("annotations");
            errors.push(Error::forbidden(&path, format!("annotation '{ZERO_SHARES}' is forbidden")));
        }
        let path = Path::new("spec");
        errors.extend(validate_spec(name, &object.spec, &path));
        errors.extend(validate_mandatory(name, &object.spec, &path));
        errors.extend(validate_status(object));
        errors
    }

    fn validate_update(&self, new: &PriorityLevelConfiguration, _: &PriorityLevelConfiguration) -> ErrorList {
        self.validate(new)
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &PriorityLevelConfiguration, now: Timestamp) -> Vec<Value> {
        let limited = object.spec.limited.as_ref();
        let queuing = limited.and_then(|limited| limited.limit_response.queuing.as_ref());
        let number = |number: Option<i32>| number.map_or_else(|| Value::from("<none>"), Value::from);
        vec![
            object.metadata.name.clone().into(),
            object.spec.type_.clone().into(),
            number(limited.map(|limited| limited.nominal_concurrency_shares.unwrap_or(0))),
            number(queuing.map(|queuing| queuing.queues.unwrap_or(0))),
            number(queuing.map(|queuing| queuing.hand_size.unwrap_or(0))),
            number(queuing.map(|queuing| queuing.queue_length_limit.unwrap_or(0))),
            api::duration::age(object.metadata.creation_timestamp.as_ref(), now).into(),
        ]
    }

    fn updates(&self) -> Vec<UpdateSubresource<PriorityLevelConfiguration>> {
        vec![UpdateSubresource {
            name: "status",
            prepare: |new, old, _| {
                super::keep_metadata(&mut new.metadata, &old.metadata);
                new.spec.clone_from(&old.spec);
            },
            validate: |new, _| validate_status(new),
        }]
    }
}

const COLUMNS: &[Column] = &[
    NAME_COLUMN,
    Column::new(
        "Type",
        "`type` indicates whether this priority level is subject to limitation on request execution.  A value of `\"Exempt\"` \
         means that requests of this priority level are not subject to a limit (and thus are never queued) and do not \
         detract from the capacity made available to other priority levels.  A value of `\"Limited\"` means that (a) requests \
         of this priority level _are_ subject to limits and (b) some of the server's limited capacity is made available \
         exclusively to this priority level. Required.",
    ),
    Column::new(
        "NominalConcurrencyShares",
        "`nominalConcurrencyShares` (NCS) contributes to the computation of the NominalConcurrencyLimit (NominalCL) of this \
         level. This is the number of execution seats available at this priority level. This is used both for requests \
         dispatched from this priority level as well as requests dispatched from other priority levels borrowing seats from \
         this level. The server's concurrency limit (ServerCL) is divided among the Limited priority levels in proportion to \
         their NCS values:\n\nNominalCL(i)  = ceil( ServerCL * NCS(i) / sum_ncs ) sum_ncs = sum[priority level k] \
         NCS(k)\n\nBigger numbers mean a larger nominal concurrency limit, at the expense of every other priority \
         level.\n\nIf not specified, this field defaults to a value of 30.\n\nSetting this field to zero supports the \
         construction of a \"jail\" for this priority level that is used to hold some request(s)",
    ),
    Column::new(
        "Queues",
        "`queues` is the number of queues for this priority level. The queues exist independently at each apiserver. The \
         value must be positive.  Setting it to 1 effectively precludes shufflesharding and thus makes the distinguisher \
         method of associated flow schemas irrelevant.  This field has a default value of 64.",
    ),
    Column::new(
        "HandSize",
        "`handSize` is a small positive number that configures the shuffle sharding of requests into queues.  When enqueuing \
         a request at this priority level the request's flow identifier (a string pair) is hashed and the hash value is used \
         to shuffle the list of queues and deal a hand of the size specified here.  The request is put into one of the \
         shortest queues in that hand. `handSize` must be no larger than `queues`, and should be significantly smaller (so \
         that a few heavy flows do not saturate most of the queues).  See the user-facing documentation for more extensive \
         guidance on setting this field.  This field has a default value of 8.",
    ),
    Column::new(
        "QueueLengthLimit",
        "`queueLengthLimit` is the maximum number of requests allowed to be waiting in a given queue of this priority level \
         at a time; excess requests are rejected.  This value must be positive.  If not specified, it will be defaulted to \
         50.",
    ),
    AGE_COLUMN,
];

fn validate_spec(name: &str, spec: &PriorityLevelConfigurationSpec, path: &Path) -> ErrorList {
    let kind = &*spec.type_;
    let mut errors = ErrorList::new();
    if (name == EXEMPT) != (kind == "Exempt") {
        let detail = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(Error::invalid(&path.child("type"), kind, detail));
    }
    let (limited_path, exempt_path) = (path.child("limited"), path.child("exempt"));
    match kind {
        "Exempt" => {
            if spec.limited.is_some() {
                errors.push(Error::forbidden(&limited_path, "must be nil if the type is not Limited"));
            }
            if let Some(exempt) = &spec.exempt {
                errors.extend(validate_exempt(exempt, &exempt_path));
            }
        }
        "Limited" => {
            if spec.exempt.is_some() {
                errors.push(Error::forbidden(&exempt_path, "must be nil if the type is Limited"));
            }
            match &spec.limited {
                None => errors.push(Error::required(&limited_path, "must not be empty when type is Limited")),
                Some(limited) => errors.extend(validate_limited(limited, &limited_path)),
            }
        }
        other => errors.push(Error::not_supported(&path.child("type"), other, &["Exempt", "Limited"])),
    }
    errors
}

fn validate_limited(limited: &LimitedPriorityLevelConfiguration, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(validate_shares(limited.nominal_concurrency_shares, path));
    errors.extend(queuing::validate(&limited.limit_response, &path.child("limitResponse")));
    errors.extend(validate_lendable(limited.lendable_percent, path));
    if let Some(percent) = limited.borrowing_limit_percent.filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(Error::invalid(&path.child("borrowingLimitPercent"), percent, detail));
    }
    errors
}

fn validate_exempt(exempt: &ExemptPriorityLevelConfiguration, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(validate_shares(exempt.nominal_concurrency_shares, path));
    errors.extend(validate_lendable(exempt.lendable_percent, path));
    errors
}

fn validate_shares(shares: Option<i32>, path: &Path) -> Option<Error> {
    let shares = shares.filter(|shares| *shares < 0)?;
    Some(Error::invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer"))
}

fn validate_lendable(percent: Option<i32>, path: &Path) -> Option<Error> {
    let percent = percent.filter(|percent| !(0..=100).contains(percent))?;
    Some(Error::invalid(&path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive"))
}

/// Of the exempt level only the part that says what it lends may be changed.
fn validate_mandatory(name: &str, spec: &PriorityLevelConfigurationSpec, path: &Path) -> Option<Error> {
    if !is_mandatory(name) {
        return None;
    }
    let mut fixed = born_levels().into_iter().find(|level| level.metadata.name.as_deref() == Some(name))?.spec;
    let mut except = "";
    if name == EXEMPT {
        fixed.exempt.clone_from(&spec.exempt);
        except = " except the 'spec.exempt' field";
    }
    let detail = format!("spec of '{name}'{except} must equal the fixed value");
    (!semantic::equal(spec, &fixed)).then(|| Error::invalid(path, shown::level(spec), detail))
}

fn validate_status(object: &PriorityLevelConfiguration) -> ErrorList {
    let conditions = object.status.iter().flat_map(|status| status.conditions.iter().flatten());
    validate_conditions(conditions.map(|condition| &*condition.type_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn level(name: &str, spec: Value) -> PriorityLevelConfiguration {
        let metadata = json!({"name": name, "creationTimestamp": "1970-01-01T00:00:00Z"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn shown(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn check(name: &str, spec: Value, expected: &[&str]) {
        let object = level(name, spec);
        assert_eq!(shown(PriorityLevels.validate(&object)), expected);
        let updated = PriorityLevels.validate_update(&object, &PriorityLevelConfiguration::default());
        assert_eq!(shown(updated), expected);
    }

    fn limited(fields: Value) -> Value {
        let mut limited = json!({"nominalConcurrencyShares": 42, "limitResponse": {"type": "Reject"}});
        limited.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"type": "Limited", "limited": limited})
    }

    #[test]
    fn validation() {
        check("a", limited(json!({})), &[]);
        check("a", limited(json!({"nominalConcurrencyShares": 0, "lendablePercent": 100})), &[]);
        check("a", limited(json!({"lendablePercent": 0, "borrowingLimitPercent": 250})), &[]);
        let natural = "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer";
        check("a", limited(json!({"nominalConcurrencyShares": -1})), &[natural]);
        for percent in [-1, 101] {
            let lendable =
                format!("spec.limited.lendablePercent: Invalid value: {percent}: must be between 0 and 100, inclusive");
            check("a", limited(json!({"lendablePercent": percent})), &[&lendable]);
        }
        let borrowing = "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative \
                         integer";
        check("a", limited(json!({"borrowingLimitPercent": -1})), &[borrowing]);
        let response =
            "spec.limited.limitResponse.type: Unsupported value: \"\": supported values: \"Queue\", \"Reject\"";
        check("a", limited(json!({"limitResponse": {}})), &[response]);
        let required = "spec.limited: Required value: must not be empty when type is Limited";
        let nil = "spec.exempt: Forbidden: must be nil if the type is Limited";
        check("a", json!({"type": "Limited"}), &[required]);
        check("a", json!({"type": "Limited", "exempt": {}}), &[nil, required]);
        let kind = |kind: &str| {
            format!("spec.type: Invalid value: \"{kind}\": type must be 'Exempt' if and only if name is 'exempt'")
        };
        check("a", json!({"type": "Exempt"}), &[&kind("Exempt")]);
        let unsupported = "spec.type: Unsupported value: \"Open\": supported values: \"Exempt\", \"Limited\"";
        check("a", json!({"type": "Open"}), &[unsupported]);
        let mut annotated = level("a", limited(json!({})));
        annotated.metadata.annotations = Some([(ZERO_SHARES.to_owned(), String::new())].into());
        let expected = format!("metadata.annotations: Forbidden: annotation '{ZERO_SHARES}' is forbidden");
        assert_eq!(shown(PriorityLevels.validate(&annotated)), [expected]);
    }

    #[test]
    fn mandatory_levels_are_as_they_are() {
        let fixed = |name: &str, shown: &str, except: &str| {
            format!("spec: Invalid value: {shown}: spec of '{name}'{except} must equal the fixed value")
        };
        let except = " except the 'spec.exempt' field";
        check(
            "exempt",
            json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 10, "lendablePercent": 7}}),
            &[],
        );
        check("exempt", json!({"type": "Exempt"}), &[]);
        check(
            "exempt",
            json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": -1, "lendablePercent": 101}}),
            &[
                "spec.exempt.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
                "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
            ],
        );
        let reject = "{\"Type\":\"Limited\",\"Limited\":{\"NominalConcurrencyShares\":42,\"LimitResponse\":{\"Type\":\
                      \"Reject\",\"Queuing\":null},\"LendablePercent\":null,\"BorrowingLimitPercent\":null},\"Exempt\":null}";
        let kind = "spec.type: Invalid value: \"Limited\": type must be 'Exempt' if and only if name is 'exempt'";
        check("exempt", limited(json!({})), &[kind, &fixed("exempt", reject, except)]);
        check("catch-all", limited(json!({})), &[&fixed("catch-all", reject, "")]);
        let both = limited(json!({}))["limited"].clone();
        let expected = reject.replace("\"Type\":\"Limited\"", "\"Type\":\"Exempt\"");
        check(
            "exempt",
            json!({"type": "Exempt", "limited": both}),
            &["spec.limited: Forbidden: must be nil if the type is not Limited", &fixed("exempt", &expected, except)],
        );
        for born in born_levels() {
            assert!(PriorityLevels.validate(&born).is_empty());
            let mut defaulted = born.clone();
            PriorityLevels.default(&mut defaulted);
            assert_eq!(born, defaulted);
        }
    }

    #[test]
    fn defaults() {
        let check = |spec: Value, expected: Value| {
            let mut object = level("a", spec);
            PriorityLevels.default(&mut object);
            assert_eq!(json!(object.spec), expected);
        };
        check(
            json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}),
            json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": 30, "lendablePercent": 0,
                "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
            }}),
        );
        let jail = json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": 0, "lendablePercent": 3, "limitResponse": {"type": "Reject"},
        }});
        check(jail.clone(), jail);
        check(
            json!({"type": "Exempt", "exempt": {}}),
            json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
        );
        check(json!({"type": "Exempt"}), json!({"type": "Exempt"}));
    }

    #[test]
    fn rows() {
        let now = Timestamp::new(3 * 86_400, 0).unwrap();
        let queuing = json!({"queues": 64, "handSize": 6, "queueLengthLimit": 50});
        let queued = level("a", limited(json!({"limitResponse": {"type": "Queue", "queuing": queuing}})));
        assert_eq!(json!(PriorityLevels.row(&queued, now)), json!(["a", "Limited", 42, 64, 6, 50, "3d"]));
        let none = "<none>";
        let rejected = level("a", limited(json!({})));
        assert_eq!(json!(PriorityLevels.row(&rejected, now)), json!(["a", "Limited", 42, none, none, none, "3d"]));
        let exempt = level("exempt", json!({"type": "Exempt", "exempt": {}}));
        assert_eq!(json!(PriorityLevels.row(&exempt, now)), json!(["exempt", "Exempt", none, none, none, none, "3d"]));
    }
}
