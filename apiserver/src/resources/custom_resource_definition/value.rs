//! Whether a value is what a schema describes, as kube-openapi's validator says it.
//!
//! Formats are not looked at, nor are rules in CEL.

use api::field::{BadValue, Error, ErrorList, Path, go_quote};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::{Map, Value};

use super::pattern;
use super::walk::{items, of_bool, set, type_of};

/// What is wrong with the value at `path`.
pub(super) fn validate(value: &Value, schema: &JSONSchemaProps, path: &Path) -> ErrorList {
    Place { path, name: String::new() }.check(value, schema)
}

/// Where a value is: the path of the whole, and the name within it.
struct Place<'a> {
    path: &'a Path,
    name: String,
}

impl Place<'_> {
    fn at(&self) -> Path {
        if self.name.is_empty() { self.path.clone() } else { self.path.child(&self.name) }
    }

    fn field(&self, name: &str) -> Self {
        let name = if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) };
        Place { path: self.path, name }
    }

    fn item(&self, index: usize) -> Self {
        Place { path: self.path, name: format!("{}[{index}]", self.name) }
    }

    fn says(&self, what: &str) -> String {
        format!("{} in body {what}", self.name)
    }

    fn check(&self, value: &Value, schema: &JSONSchemaProps) -> ErrorList {
        let mut errors = ErrorList::new();
        errors.extend(self.kind(value, schema));
        if !value.is_null() {
            errors.extend(self.junctors(value, schema));
            match value {
                Value::String(text) => errors.extend(self.text(text, schema)),
                Value::Number(_) => errors.extend(self.number(value, schema)),
                Value::Array(list) => errors.extend(self.list(list, schema)),
                _ => {}
            }
        }
        errors.extend(self.one_of_enum(value, schema));
        if let Value::Object(fields) = value {
            errors.extend(self.object(fields, schema));
        }
        errors
    }

    fn kind(&self, value: &Value, schema: &JSONSchemaProps) -> Option<Error> {
        let wanted = type_of(schema);
        if wanted.is_empty() || (value.is_null() && set(schema.nullable)) {
            return None;
        }
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if is_whole(number) => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = found == wanted || (found == "integer" && wanted == "number");
        let says = || self.says(&format!("must be of type {wanted}: \"{found}\""));
        (!fits).then(|| Error::type_invalid(&self.at(), found, says()))
    }

    fn one_of_enum(&self, value: &Value, schema: &JSONSchemaProps) -> Option<Error> {
        let allowed = schema.enum_.as_ref().filter(|allowed| !allowed.is_empty())?;
        if (value.is_null() && set(schema.nullable)) || allowed.iter().any(|allowed| equal(&allowed.0, value)) {
            return None;
        }
        let shown = allowed.iter().map(|allowed| match &allowed.0 {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        Some(Error::not_supported(&self.at(), shown_value(value), &shown.collect::<Vec<_>>()))
    }

    fn text(&self, text: &str, schema: &JSONSchemaProps) -> ErrorList {
        let mut errors = ErrorList::new();
        let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        if let Some(max) = schema.max_length.filter(|max| length > *max) {
            errors.push(Error::too_long(&self.at(), usize::try_from(max).unwrap_or_default()));
        }
        if let Some(min) = schema.min_length.filter(|min| length < *min) {
            let detail = self.says(&format!("should be at least {min} chars long"));
            errors.push(Error::invalid(&self.at(), text, detail));
        }
        if let Some(wanted) = schema.pattern.as_deref().filter(|wanted| !wanted.is_empty())
            && pattern::compile(wanted).is_ok_and(|pattern| !pattern.is_match(text))
        {
            errors.push(Error::invalid(&self.at(), text, self.says(&format!("should match '{wanted}'"))));
        }
        errors
    }

    fn number(&self, value: &Value, schema: &JSONSchemaProps) -> ErrorList {
        let mut errors = ErrorList::new();
        let Some(number) = value.as_f64() else { return errors };
        let mut refuse = |what: String| {
            errors.push(Error::invalid(&self.at(), BadValue::json(value), self.says(&what)));
        };
        if let Some(factor) = schema.multiple_of.filter(|factor| *factor > 0.0 && (number / factor).fract() != 0.0) {
            refuse(format!("should be a multiple of {factor}"));
        }
        match schema.maximum {
            Some(max) if set(schema.exclusive_maximum) && number >= max => refuse(format!("should be less than {max}")),
            Some(max) if number > max => refuse(format!("should be less than or equal to {max}")),
            _ => {}
        }
        match schema.minimum {
            Some(min) if set(schema.exclusive_minimum) && number <= min => {
                refuse(format!("should be greater than {min}"));
            }
            Some(min) if number < min => refuse(format!("should be greater than or equal to {min}")),
            _ => {}
        }
        errors
    }

    fn list(&self, list: &[Value], schema: &JSONSchemaProps) -> ErrorList {
        let mut errors = ErrorList::new();
        if let Some(items) = items(schema) {
            for (i, value) in list.iter().enumerate() {
                errors.extend(self.item(i).check(value, items));
            }
        }
        let count = i64::try_from(list.len()).unwrap_or(i64::MAX);
        if let Some(min) = schema.min_items.filter(|min| count < *min) {
            let detail = self.says(&format!("should have at least {min} items"));
            errors.push(Error::invalid(&self.at(), count, detail));
        }
        if let Some(max) = schema.max_items.filter(|max| count > *max) {
            errors.push(Error::too_many(&self.at(), list.len(), usize::try_from(max).unwrap_or_default()));
        }
        errors
    }

    fn object(&self, fields: &Map<String, Value>, schema: &JSONSchemaProps) -> ErrorList {
        let mut errors = ErrorList::new();
        let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
        if let Some(min) = schema.min_properties.filter(|min| count < *min) {
            let detail = self.says(&format!("should have at least {min} properties"));
            errors.push(Error::invalid(&self.at(), count, detail));
        }
        if let Some(max) = schema.max_properties.filter(|max| count > *max) {
            errors.push(Error::too_many(&self.at(), fields.len(), usize::try_from(max).unwrap_or_default()));
        }
        for (name, value) in fields {
            let property = schema.properties.as_ref().and_then(|properties| properties.get(name));
            let described = property.or_else(|| schema.additional_properties.as_ref().and_then(of_bool));
            errors.extend(described.map(|schema| self.field(name).check(value, schema)).unwrap_or_default());
        }
        for name in schema.required.iter().flatten().filter(|name| !fields.contains_key(*name)) {
            errors.push(Error::required(&self.field(name).at(), ""));
        }
        errors
    }

    fn junctors(&self, value: &Value, schema: &JSONSchemaProps) -> ErrorList {
        let mut errors = ErrorList::new();
        let quoted = go_quote(&self.name);
        let mut refuse = |what: String| errors.push(Error::invalid(self.path, "", format!("{quoted} {what}")));
        let outcomes =
            |list: &[JSONSchemaProps]| list.iter().map(|schema| self.check(value, schema)).collect::<Vec<_>>();
        let (any, one, all) = (
            outcomes(schema.any_of.as_deref().unwrap_or_default()),
            outcomes(schema.one_of.as_deref().unwrap_or_default()),
            outcomes(schema.all_of.as_deref().unwrap_or_default()),
        );
        let mut causes = ErrorList::new();
        if !any.is_empty() && !any.iter().any(ErrorList::is_empty) {
            refuse("must validate at least one schema (anyOf)".to_owned());
            causes.extend(best(&any));
        }
        let valid = one.iter().filter(|errors| errors.is_empty()).count();
        if !one.is_empty() && valid != 1 {
            let found = if valid == 0 { "none valid".to_owned() } else { format!("{valid} valid alternatives") };
            refuse(format!("must validate one and only one schema (oneOf). Found {found}"));
            causes.extend(if valid == 0 { best(&one) } else { ErrorList::new() });
        }
        if !all.iter().all(ErrorList::is_empty) {
            let none = if all.iter().any(ErrorList::is_empty) { "" } else { ". None validated" };
            refuse(format!("must validate all the schemas (allOf){none}"));
            causes.extend(all.iter().flat_map(|errors| errors.iter().cloned()));
        }
        if schema.not.as_ref().is_some_and(|schema| self.check(value, schema).is_empty()) {
            refuse("must not validate the schema (not)".to_owned());
        }
        errors.extend(causes);
        errors
    }
}

/// What is wrong in the alternative that comes closest.
fn best(outcomes: &[ErrorList]) -> ErrorList {
    outcomes.iter().min_by_key(|errors| errors.len()).cloned().unwrap_or_default()
}

/// Numbers are compared by what they are worth.
fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn shown_value(value: &Value) -> BadValue {
    match value {
        Value::String(text) => text.into(),
        other => BadValue::json(other),
    }
}

/// Takes out of `value` what `schema` does not specify. Fields of embedded resources that every resource has stay.
pub(super) fn prune(value: &mut Value, schema: Option<&JSONSchemaProps>) {
    let is_open = schema.is_some_and(|schema| set(schema.x_kubernetes_preserve_unknown_fields));
    match value {
        Value::Object(fields) => {
            let embedded = schema.is_some_and(|schema| set(schema.x_kubernetes_embedded_resource));
            fields.retain(|name, value| {
                if embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    return true;
                }
                let property = schema.and_then(|schema| schema.properties.as_ref()?.get(name));
                let more = schema.and_then(|schema| schema.additional_properties.as_ref());
                if property.is_none() && more.is_none() {
                    return is_open;
                }
                prune(value, property.or_else(|| more.and_then(of_bool)));
                true
            });
        }
        Value::Array(list) => {
            let described = schema.and_then(items);
            list.iter_mut().filter(|_| described.is_some() || !is_open).for_each(|value| prune(value, described));
        }
        _ => {}
    }
}
