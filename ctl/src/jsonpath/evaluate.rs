//! What paths lead to, and what templates say.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Comparison, Operand, Part, Path, Step, text};

/// The text of these pieces. `root` is the whole object, `here` what is at hand.
pub(super) fn parts(parts: &[Part], root: &Value, here: &Value, to: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => to.push_str(text),
            Part::Path(wanted) => {
                let found: Vec<String> = path(wanted, root, here).into_iter().map(text).collect();
                to.push_str(&found.join(" "));
            }
            Part::Range(over, inside) => {
                for element in path(over, root, here) {
                    self::parts(inside, root, element, to);
                }
            }
        }
    }
}

/// What each of these pieces leads to, one after the other.
pub(super) fn lists<'a>(parts: &[Part], root: &'a Value, here: &'a Value, each: &mut dyn FnMut(Vec<&Value>)) {
    for part in parts {
        match part {
            Part::Text(text) => each(vec![&Value::String(text.clone())]),
            Part::Path(wanted) => each(path(wanted, root, here)),
            Part::Range(over, inside) => {
                for element in path(over, root, here) {
                    lists(inside, root, element, each);
                }
            }
        }
    }
}

/// The first field that these pieces name and that is not there.
pub(super) fn missing(parts: &[Part], root: &Value, here: &Value) -> Option<String> {
    let of_path = |wanted: &Path| {
        let mut found = vec![if wanted.from_root { root } else { here }];
        wanted.steps.iter().find_map(|step| {
            found = found.iter().flat_map(|value| follow(step, root, value)).collect();
            match step {
                Step::Field(name) if found.is_empty() => Some(name.clone()),
                _ => None,
            }
        })
    };
    parts.iter().find_map(|part| match part {
        Part::Text(_) => None,
        Part::Path(wanted) => of_path(wanted),
        Part::Range(over, inside) => of_path(over)
            .or_else(|| path(over, root, here).into_iter().find_map(|element| missing(inside, root, element))),
    })
}

/// What a path leads to.
pub(super) fn path<'a>(path: &Path, root: &'a Value, here: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![if path.from_root { root } else { here }];
    for step in &path.steps {
        found = found.into_iter().flat_map(|value| follow(step, root, value)).collect();
    }
    found
}

fn follow<'a>(step: &Step, root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::All => children(value),
        Step::Descend => descend(value),
        Step::Index(index) => {
            let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
            position(*index, elements.len()).and_then(|index| elements.get(index)).into_iter().collect()
        }
        Step::Slice(from, to, every) => slice(value, *from, *to, *every),
        Step::Union(steps) => steps.iter().flat_map(|step| follow(step, root, value)).collect(),
        Step::Filter(left, comparison) => {
            children(value).into_iter().filter(|child| holds(left, comparison.as_ref(), root, child)).collect()
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

/// A value and all that is below it.
fn descend(value: &Value) -> Vec<&Value> {
    let mut found = vec![value];
    let mut next = 0;
    while let Some(value) = found.get(next).copied() {
        found.splice(next + 1..next + 1, children(value));
        next += 1;
    }
    found
}

/// An index, from the end if it is negative.
fn position(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { length + index } else { index }).ok()
}

fn slice(value: &Value, from: Option<i64>, to: Option<i64>, every: Option<i64>) -> Vec<&Value> {
    let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let from = from.map_or(Some(0), |from| position(from, elements.len())).unwrap_or(0);
    let to = to.map_or(Some(elements.len()), |to| position(to, elements.len())).unwrap_or(0).min(elements.len());
    let every = usize::try_from(every.unwrap_or(1)).unwrap_or(1).max(1);
    elements.get(from..to).unwrap_or_default().iter().step_by(every).collect()
}

fn holds(left: &Operand, comparison: Option<&(Comparison, Operand)>, root: &Value, here: &Value) -> bool {
    let value = |operand: &Operand| match operand {
        Operand::Path(wanted) => path(wanted, root, here).first().map(|value| (*value).clone()),
        Operand::Value(value) => Some(value.clone()),
    };
    // Alone, it asks whether it is there.
    let Some((comparison, right)) = comparison else { return value(left).is_some() };
    let (Some(left), Some(right)) = (value(left), value(right)) else { return false };
    let order = match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.partial_cmp(&right),
        _ if left == right => Some(Ordering::Equal),
        _ => match (left.as_str(), right.as_str()) {
            (Some(left), Some(right)) => Some(left.cmp(right)),
            _ => None,
        },
    };
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}
