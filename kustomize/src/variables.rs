//! `vars`: names for the values of fields, and `$(NAME)` where they go.

use serde_json::{Value, json};

use crate::Error;
use crate::kustomization::Var;
use crate::set::Set;
use crate::spec::{FieldSpec, Made, change, split};
use crate::yaml::is_null;

/// Remembers which objects give the variables their values.
pub(crate) fn declare(set: &mut Set, known: &mut Vec<Var>, more: &[Var]) -> Result<(), Error> {
    for var in more {
        let id = var.objref.id();
        let strict = !id.namespace.is_empty() || id.is_cluster_scoped();
        let same = |other: &crate::id::Id| {
            if strict { other.is(&id) } else { other.gvk == id.gvk && other.name == id.name }
        };
        match set.by_any_id(same)[..] {
            [] => {}
            [index] => set.list[index].variables.push(var.name.clone()),
            ref many => {
                let (count, name) = (many.len(), &var.name);
                return Err(Error::said(format!(
                    "found {count} resId matches for var {name} (unable to disambiguate): {id}"
                )));
            }
        }
    }
    unite(known, more)
}

/// Adds variables to others. No two have the same name.
pub(crate) fn unite(known: &mut Vec<Var>, more: &[Var]) -> Result<(), Error> {
    for var in more {
        if known.iter().any(|other| other.name == var.name) {
            return Err(Error::said(format!("var '{}' already encountered", var.name)));
        }
        known.push(var.clone());
    }
    Ok(())
}

/// Puts the values where the names are; the names that were nowhere come back.
pub(crate) fn resolve(set: &mut Set, vars: &[Var], fields: &[FieldSpec]) -> Result<Vec<String>, Error> {
    let mut sorted: Vec<&Var> = vars.iter().collect();
    sorted.sort_by(|left, right| left.name.cmp(&right.name));
    let mut values: Vec<(&str, Value, bool)> = Vec::new();
    for var in sorted {
        values.push((&var.name, find(set, var)?, false));
    }
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut expand = |text: &str| expanded(text, &mut values);
    for resource in &mut set.list {
        for field in fields {
            change(&mut resource.object, field, Made::Never, &mut |value| {
                match value {
                    Value::String(text) if !is_null(&json!(text)) => *value = expand(text),
                    Value::Array(elements) => {
                        for element in elements {
                            match element {
                                Value::String(text) => *element = expand(text),
                                _ => return Err(Error::said("invalid value type expect a string")),
                            }
                        }
                    }
                    Value::Object(map) => {
                        for element in map.values_mut() {
                            if let Value::String(text) = element {
                                *element = expand(text);
                            }
                        }
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
    }
    let unused = values.iter().filter(|(_, _, used)| !used);
    Ok(unused.map(|(name, ..)| (*name).to_owned()).collect())
}

fn find(set: &Set, var: &Var) -> Result<Value, Error> {
    let path = if var.fieldref.fieldpath.is_empty() { "metadata.name" } else { &var.fieldref.fieldpath };
    let shown = || format!("{{{} {} {{{path}}}}}", var.name, var.objref.id().gvk);
    let Some(resource) = set.list.iter().find(|resource| resource.variables.contains(&var.name)) else {
        let shown = shown();
        return Err(Error::said(format!("var '{shown}' cannot be mapped to a field in the set of known resources")));
    };
    let mut value = &resource.object;
    for part in split(path, '.') {
        let (name, indexes) = match part.split_once('[') {
            Some((name, rest)) if rest.ends_with(']') => (name.to_owned(), rest.trim_end_matches(']').to_owned()),
            _ => (part, String::new()),
        };
        if !name.is_empty() {
            value = &value[name.as_str()];
        }
        for index in indexes.split("][").filter(|index| !index.is_empty()) {
            value = index.parse::<usize>().map_or(&Value::Null, |index| &value[index]);
        }
    }
    match value {
        Value::Null | Value::Object(_) | Value::Array(_) => {
            let shown = shown();
            Err(Error::said(format!("field specified in var '{shown}' not found in corresponding resource")))
        }
        other => Ok(other.clone()),
    }
}

/// A text with values where names were. If a name is all of it, it becomes what the value is; `$$` stands for `$`.
fn expanded(text: &str, values: &mut [(&str, Value, bool)]) -> Value {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let Some((name, after)) = name else {
            result.push('$');
            continue;
        };
        match values.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, value, used)) => {
                *used = true;
                if result.is_empty() && after.is_empty() && text.len() == name.len() + 3 {
                    return value.clone();
                }
                result.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            None => result.push_str(&format!("$({name})")),
        }
        rest = after;
    }
    result.push_str(rest);
    json!(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_values() {
        let check = |text: &str, expected: Value| {
            let mut values = [("A", json!("a"), false), ("N", json!(80), false)];
            assert_eq!(expanded(text, &mut values), expected, "{text}");
        };
        check("$(A)", json!("a"));
        check("$(N)", json!(80));
        check("x$(N)$(A)", json!("x80a"));
        check("$$(A)", json!("$(A)"));
        check("$(B) $", json!("$(B) $"));
        check("$(A", json!("$(A"));
    }
}
