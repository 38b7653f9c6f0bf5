//! Leases: who holds a lock, and since when it was not renewed. Nodes renew one each, leaders another.

use api::field::{Error, ErrorList, Path};
use api::names::label_key;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::strategy::{AGE_COLUMN, Column, Context, NAME_COLUMN, Names, Strategy};

/// Strategies of coordinated leader election that are not somebody else's.
const STRATEGIES: [&str; 1] = ["OldestEmulationVersion"];

pub(crate) struct Leases;

impl Strategy for Leases {
    type Object = Lease;

    fn names(&self) -> Names {
        Names::of::<Lease>("lease", true)
    }

    fn prepare_create(&self, object: &mut Lease, _: Context<'_>) {
        if let Some(spec) = &mut object.spec {
            drop_gated(spec, None);
        }
    }

    fn prepare_update(&self, new: &mut Lease, old: &Lease, _: Context<'_>) {
        if let Some(spec) = &mut new.spec {
            drop_gated(spec, old.spec.as_ref());
        }
    }

    fn validate(&self, object: &Lease) -> ErrorList {
        object.spec.as_ref().map_or_else(ErrorList::new, |spec| validate_spec(spec, &Path::new("spec")))
    }

    fn validate_update(&self, new: &Lease, _: &Lease) -> ErrorList {
        self.validate(new)
    }

    fn columns(&self) -> &'static [Column] {
        const HOLDER: Column = Column::new(
            "Holder",
            "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is \
             used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.",
        );
        const { &[NAME_COLUMN, HOLDER, AGE_COLUMN] }
    }

    fn row(&self, object: &Lease, now: Timestamp) -> Vec<Value> {
        let holder = object.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        let age = api::duration::age(object.metadata.creation_timestamp.as_ref(), now);
        vec![object.metadata.name.clone().into(), holder.into(), age.into()]
    }

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

/// Drops the fields of coordinated leader election, which upstream's gate `CoordinatedLeaderElection` keeps off, unless
/// the stored lease has them.
fn drop_gated(new: &mut LeaseSpec, old: Option<&LeaseSpec>) {
    if old.is_none_or(|old| old.strategy.is_none()) {
        new.strategy = None;
    }
    if old.is_none_or(|old| old.preferred_holder.is_none()) {
        new.preferred_holder = None;
    }
}

fn validate_spec(spec: &LeaseSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(seconds) = spec.lease_duration_seconds.filter(|seconds| *seconds <= 0) {
        errors.push(Error::invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    if let Some(count) = spec.lease_transitions.filter(|count| *count < 0) {
        errors.push(Error::invalid(&path.child("leaseTransitions"), count, "must be greater than or equal to 0"));
    }
    if let Some(strategy) = &spec.strategy {
        // Upstream names the field twice.
        errors.extend(validate_strategy(strategy, &path.child("strategy").child("strategy")));
    }
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if is_set(&spec.preferred_holder) && !is_set(&spec.strategy) {
        let detail = "may only be specified if `strategy` is defined";
        errors.push(Error::forbidden(&path.child("preferredHolder"), detail));
    }
    errors
}

fn validate_strategy(strategy: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if strategy.contains('/') {
        errors.push_invalid(path, strategy, label_key(strategy));
    } else if !STRATEGIES.contains(&strategy) {
        errors.push(Error::not_supported(path, strategy, &STRATEGIES));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(spec: Value) -> Lease {
        let metadata =
            json!({"name": "n1", "namespace": "kube-node-lease", "creationTimestamp": "1970-01-01T00:00:00Z"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn validation() {
        let positive = "must be greater than 0";
        let natural = "must be greater than or equal to 0";
        let supported = "supported values: \"OldestEmulationVersion\"";
        let strategy = "spec.strategy.strategy";
        let holder = "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined";
        let name = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        let key = format!(
            "a valid label key {name} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        );
        let cases = [
            (json!({}), vec![]),
            (json!({"holderIdentity": "", "leaseDurationSeconds": 40, "leaseTransitions": 0}), vec![]),
            (json!({"strategy": "OldestEmulationVersion", "preferredHolder": "b"}), vec![]),
            (json!({"strategy": "example.com/mine", "preferredHolder": "b"}), vec![]),
            (json!({"preferredHolder": ""}), vec![]),
            (
                json!({"leaseDurationSeconds": 0}),
                vec![format!("spec.leaseDurationSeconds: Invalid value: 0: {positive}")],
            ),
            (
                json!({"leaseDurationSeconds": -1}),
                vec![format!("spec.leaseDurationSeconds: Invalid value: -1: {positive}")],
            ),
            (
                json!({"leaseTransitions": -1, "leaseDurationSeconds": -2}),
                vec![
                    format!("spec.leaseDurationSeconds: Invalid value: -2: {positive}"),
                    format!("spec.leaseTransitions: Invalid value: -1: {natural}"),
                ],
            ),
            (json!({"strategy": "Mine"}), vec![format!("{strategy}: Unsupported value: \"Mine\": {supported}")]),
            (
                json!({"strategy": "", "preferredHolder": "b"}),
                vec![format!("{strategy}: Unsupported value: \"\": {supported}"), holder.to_owned()],
            ),
            (
                json!({"strategy": "/a"}),
                vec![format!("{strategy}: Invalid value: \"/a\": prefix part must be non-empty")],
            ),
            (
                json!({"strategy": "a/"}),
                vec![
                    format!("{strategy}: Invalid value: \"a/\": name part must be non-empty"),
                    format!("{strategy}: Invalid value: \"a/\": name part {name}"),
                ],
            ),
            (json!({"strategy": "a/b/c"}), vec![format!("{strategy}: Invalid value: \"a/b/c\": {key}")]),
            (json!({"preferredHolder": "b"}), vec![holder.to_owned()]),
        ];
        for (spec, expected) in cases {
            let object = lease(spec);
            let shown = |errors: ErrorList| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(shown(Leases.validate(&object)), expected);
            assert_eq!(shown(Leases.validate_update(&object, &lease(json!({})))), expected);
        }
        assert!(Leases.validate(&Lease::default()).is_empty());
    }

    #[test]
    fn gated_fields_are_dropped_unless_stored() {
        let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
        let gated = json!({"strategy": "OldestEmulationVersion", "preferredHolder": "b"});
        let mut created = lease(gated.clone());
        Leases.prepare_create(&mut created, context);
        assert_eq!(created.spec, lease(json!({})).spec);
        let check = |stored: Value, expected: Value| {
            let mut new = lease(gated.clone());
            Leases.prepare_update(&mut new, &lease(stored), context);
            assert_eq!(serde_json::to_value(&new.spec).unwrap(), expected);
        };
        check(json!({}), json!({}));
        check(json!({"strategy": "a/b"}), json!({"strategy": "OldestEmulationVersion"}));
        check(json!({"strategy": "a/b", "preferredHolder": "c"}), gated.clone());
    }

    #[test]
    fn defaults_are_none() {
        let mut object = lease(json!({"holderIdentity": "n1", "renewTime": "2026-01-01T00:00:00.000001Z"}));
        let before = object.clone();
        Leases.default(&mut object);
        assert_eq!(object, before);
    }

    #[test]
    fn rows() {
        let now = Timestamp::new(3 * 86_400, 0).unwrap();
        assert_eq!(Leases.row(&lease(json!({"holderIdentity": "n1"})), now), ["n1", "n1", "3d"].map(Value::from));
        assert_eq!(Leases.row(&lease(json!({})), now), ["n1", "", "3d"].map(Value::from));
        assert_eq!(Leases.columns().iter().map(|column| column.name).collect::<Vec<_>>(), ["Name", "Holder", "Age"]);
    }
}
