//! Which controllers run.

use std::collections::BTreeSet;

/// Which controllers run, as upstream's `--controllers` states it: names of controllers, names with `-` in front for those
/// that do not, and `*` for all that are not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    by_default: bool,
    on: BTreeSet<String>,
    off: BTreeSet<String>,
}

/// A selection that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no controller; there are: {}", known.join(", "))]
pub struct SelectionError {
    name: String,
    known: Vec<String>,
}

impl Default for Selection {
    /// All.
    fn default() -> Self {
        Selection { by_default: true, on: BTreeSet::new(), off: BTreeSet::new() }
    }
}

impl Selection {
    /// The controllers that `names` say, of those that are `known`.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>, known: &[&str]) -> Result<Selection, SelectionError> {
        let mut selection = Selection { by_default: false, on: BTreeSet::new(), off: BTreeSet::new() };
        for name in names {
            if name == "*" {
                selection.by_default = true;
                continue;
            }
            let (set, name) = match name.strip_prefix('-') {
                Some(name) => (&mut selection.off, name),
                None => (&mut selection.on, name),
            };
            if !known.contains(&name) {
                let known = known.iter().map(|name| (*name).to_owned()).collect();
                return Err(SelectionError { name: name.to_owned(), known });
            }
            set.insert(name.to_owned());
        }
        Ok(selection)
    }

    /// Whether the controller of this name runs.
    #[must_use]
    pub fn selects(&self, name: &str) -> bool {
        !self.off.contains(name) && (self.by_default || self.on.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_selected_by_name() {
        let check = |names: &[&str], expected: [bool; 2]| {
            let selection = Selection::of(names.iter().copied(), &["a", "b"]).unwrap();
            assert_eq!(["a", "b"].map(|name| selection.selects(name)), expected, "{names:?}");
        };
        check(&["*"], [true, true]);
        check(&["a"], [true, false]);
        check(&["*", "-a"], [false, true]);
        check(&["-a"], [false, false]);
        check(&[], [false, false]);
        assert_eq!(
            Selection::of(["c"], &["a", "b"]).unwrap_err().to_string(),
            "\"c\" is no controller; there are: a, b"
        );
        assert!(Selection::default().selects("a"));
    }
}
