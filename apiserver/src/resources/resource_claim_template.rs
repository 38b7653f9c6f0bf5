//! ResourceClaimTemplates: what the claims are made of that pods get for themselves.

use api::field::{BadValue, Error, ErrorList, Path};
use api::status::Status;
use api::validate::meta::FIELD_IMMUTABLE;
use futures::future::BoxFuture;
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;

use super::{devices, resource_claim, semantic, template_meta};
use crate::reservation::{Ledger, Reservation};
use crate::strategy::{Context, Names, Strategy};

pub(crate) struct ResourceClaimTemplates;

impl Strategy for ResourceClaimTemplates {
    type Object = ResourceClaimTemplate;

    fn names(&self) -> Names {
        Names::of::<ResourceClaimTemplate>("resourceclaimtemplate", true)
    }

    fn default(&self, object: &mut ResourceClaimTemplate) {
        let spec = object.spec.get_or_insert_default();
        spec.metadata.get_or_insert_default();
        resource_claim::set_defaults(spec.spec.get_or_insert_default());
    }

    fn prepare_create(&self, object: &mut ResourceClaimTemplate, _: Context<'_>) {
        resource_claim::drop_gated(object.spec.as_mut().and_then(|spec| spec.spec.as_mut()), None);
    }

    fn prepare_update(&self, new: &mut ResourceClaimTemplate, old: &ResourceClaimTemplate, _: Context<'_>) {
        let old = old.spec.as_ref().and_then(|spec| spec.spec.as_ref());
        resource_claim::drop_gated(new.spec.as_mut().and_then(|spec| spec.spec.as_mut()), old);
    }

    fn validate(&self, object: &ResourceClaimTemplate) -> ErrorList {
        let (spec, path) = (object.spec.clone().unwrap_or_default(), Path::new("spec"));
        let mut errors = template_meta::validate(&spec.metadata.unwrap_or_default(), &path.child("metadata"));
        errors.extend(resource_claim::validate_spec(&spec.spec.unwrap_or_default(), &path.child("spec")));
        errors
    }

    fn validate_update(&self, new: &ResourceClaimTemplate, old: &ResourceClaimTemplate) -> ErrorList {
        if semantic::equal(&new.spec, &old.spec) {
            return ErrorList::new();
        }
        Error::invalid(&Path::new("spec"), BadValue::json(&new.spec), FIELD_IMMUTABLE).into()
    }

    fn reserve<'a>(
        &'a self,
        ledger: &'a Ledger,
        new: &'a mut ResourceClaimTemplate,
        old: Option<&'a ResourceClaimTemplate>,
        _: bool,
    ) -> BoxFuture<'a, Result<Reservation, Status>> {
        Box::pin(async move {
            if old.is_none() {
                let meta = &new.metadata;
                let spec = new.spec.as_ref().and_then(|spec| spec.spec.as_ref());
                let text = |field: &'a Option<String>| field.as_deref().unwrap_or_default();
                let kind = self.names().group_kind();
                devices::authorize_admin_access(ledger, spec, kind, text(&meta.namespace), text(&meta.name)).await?;
            }
            Ok(Reservation::none())
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn template(metadata: Value, devices: Value) -> ResourceClaimTemplate {
        let spec = json!({"metadata": metadata, "spec": {"devices": devices}});
        serde_json::from_value(json!({"metadata": {"name": "gpus"}, "spec": spec})).unwrap()
    }

    fn requests(class: &str) -> Value {
        json!({"requests": [{"name": "gpu", "exactly": {
            "deviceClassName": class, "derivedAttributes": [{"name": "a/b", "expression": "1"}],
        }}]})
    }

    fn defaulted(metadata: Value, devices: Value) -> ResourceClaimTemplate {
        let mut object = template(metadata, devices);
        ResourceClaimTemplates.default(&mut object);
        object
    }

    #[test]
    fn validation() {
        let check = |metadata: Value, devices: Value, expected: &[&str]| {
            let errors = ResourceClaimTemplates.validate(&defaulted(metadata, devices));
            let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(shown.len(), expected.len(), "{shown:?}");
            assert!(shown.iter().zip(expected).all(|(shown, start)| shown.starts_with(start)), "{shown:?}");
        };
        check(json!({"labels": {"a": "b"}, "annotations": {"c": "d"}}), requests("gpu"), &[]);
        check(json!({}), json!({}), &[]);
        for (field, value) in [
            ("name", json!("a")),
            ("generateName", json!("a-")),
            ("namespace", json!("a")),
            ("resourceVersion", json!("1")),
            ("generation", json!(1)),
            ("finalizers", json!(["a/b"])),
            ("creationTimestamp", json!("2026-03-01T12:00:00Z")),
        ] {
            let expected = format!("spec.metadata.{field}: Forbidden: cannot be set");
            check(json!({field: value}), requests("gpu"), &[&expected]);
        }
        check(json!({"uid": "a"}), requests("gpu"), &["spec.metadata.uID: Forbidden: cannot be set"]);
        check(
            json!({"labels": {"a b": "c"}}),
            requests("gpu"),
            &["spec.metadata.labels: Invalid value: \"a b\": name part"],
        );
        let class = "spec.spec.devices.requests[0].exactly.deviceClassName";
        check(json!({}), requests(""), &[&format!("{class}: Required value")]);
        check(json!({}), requests("A"), &[&format!("{class}: Invalid value: \"A\": a lowercase RFC 1123 subdomain")]);
    }

    #[test]
    fn defaults_gates_and_immutability() {
        let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None };
        let mut bare = ResourceClaimTemplate::default();
        ResourceClaimTemplates.default(&mut bare);
        let expected = json!({"metadata": {}, "spec": {"devices": {}}});
        assert_eq!(serde_json::to_value(&bare.spec).unwrap(), expected);
        let mut object = defaulted(json!({}), requests("gpu"));
        ResourceClaimTemplates.prepare_create(&mut object, context);
        let exactly = json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1});
        let expected = json!({"requests": [{"name": "gpu", "exactly": exactly}]});
        assert_eq!(serde_json::to_value(&object.spec).unwrap()["spec"]["devices"], expected);
        assert!(ResourceClaimTemplates.validate_update(&object, &object).is_empty());
        let mut other = defaulted(json!({}), requests("other"));
        ResourceClaimTemplates.prepare_update(&mut other, &object, context);
        let errors = ResourceClaimTemplates.validate_update(&other, &object).to_string();
        assert!(errors.starts_with("spec: Invalid value: {") && errors.ends_with("field is immutable"), "{errors}");
    }
}
