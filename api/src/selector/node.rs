//! Node selectors: which nodes a pod, or a volume, may be on.
//!
//! Semantics are those of `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`: one of the terms must match, all
//! requirements of a term must hold, and a term without requirements, or with one that cannot be, matches no node.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeSelector as ApiSelector, NodeSelectorRequirement, NodeSelectorTerm};

use super::label::{Labels, Operator, Requirement};
use crate::field::Path;

/// The only field of nodes that can be selected by.
pub const NAME_FIELD: &str = "metadata.name";

/// A requirement on a node's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum NameRequirement {
    Is(String),
    IsNot(String),
}

/// Requirements on a node's labels and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    labels: Vec<Requirement>,
    names: Vec<NameRequirement>,
}

impl Term {
    /// Reads a term; `None` if it matches no node whatever its labels and name.
    #[must_use]
    pub fn from_api(term: &NodeSelectorTerm) -> Option<Self> {
        let labels = term.match_expressions.iter().flatten().map(label_requirement).collect::<Option<Vec<_>>>()?;
        let names = term.match_fields.iter().flatten().map(name_requirement).collect::<Option<Vec<_>>>()?;
        (!labels.is_empty() || !names.is_empty()).then_some(Self { labels, names })
    }

    /// Whether the term matches a node with this name and these labels.
    #[must_use]
    pub fn matches<L: Labels + ?Sized>(&self, name: &str, labels: &L) -> bool {
        let name_fits = |requirement: &NameRequirement| match requirement {
            NameRequirement::Is(wanted) => wanted == name,
            NameRequirement::IsNot(other) => other != name,
        };
        self.names.iter().all(name_fits) && self.labels.iter().all(|requirement| requirement.matches(labels))
    }

    /// The names that the term requires the node to have, if it requires any. More than one cannot be met.
    fn names(&self) -> Option<BTreeSet<&str>> {
        let wanted = self.names.iter().filter_map(|requirement| match requirement {
            NameRequirement::Is(name) => Some(name.as_str()),
            NameRequirement::IsNot(_) => None,
        });
        let wanted: BTreeSet<&str> = wanted.collect();
        match wanted.len() {
            0 => None,
            1 => Some(wanted),
            _ => Some(BTreeSet::new()),
        }
    }
}

/// Terms of which one must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    terms: Vec<Term>,
}

impl Selector {
    /// Reads a node selector. Terms that match no node are left out.
    #[must_use]
    pub fn from_api(selector: &ApiSelector) -> Self {
        Self { terms: selector.node_selector_terms.iter().filter_map(Term::from_api).collect() }
    }

    /// Whether a term matches a node with this name and these labels.
    #[must_use]
    pub fn matches<L: Labels + ?Sized>(&self, name: &str, labels: &L) -> bool {
        self.terms.iter().any(|term| term.matches(name, labels))
    }

    /// The names of the only nodes that can match, if every term names its node.
    #[must_use]
    pub fn names(&self) -> Option<BTreeSet<&str>> {
        let mut names = BTreeSet::new();
        for term in &self.terms {
            names.extend(term.names()?);
        }
        (!self.terms.is_empty()).then_some(names)
    }
}

fn label_requirement(requirement: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match requirement.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values = requirement.values.clone().unwrap_or_default();
    Requirement::new(&requirement.key, operator, values, &Path::nil()).ok()
}

fn name_requirement(requirement: &NodeSelectorRequirement) -> Option<NameRequirement> {
    let [name] = requirement.values.as_deref()? else { return None };
    match (requirement.key.as_str(), requirement.operator.as_str()) {
        (NAME_FIELD, "In") => Some(NameRequirement::Is(name.clone())),
        (NAME_FIELD, "NotIn") => Some(NameRequirement::IsNot(name.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(text: &str) -> NodeSelectorRequirement {
        let mut words = text.split(' ').map(str::to_owned);
        let (key, operator) = (words.next().unwrap(), words.next().unwrap());
        NodeSelectorRequirement { key, operator, values: Some(words.collect()) }
    }

    /// A term of requirements such as `zone In a b`, those of names among them.
    fn term(requirements: &[&str]) -> NodeSelectorTerm {
        let (fields, expressions): (Vec<_>, Vec<_>) =
            requirements.iter().map(|text| requirement(text)).partition(|requirement| requirement.key == NAME_FIELD);
        NodeSelectorTerm { match_expressions: Some(expressions), match_fields: Some(fields) }
    }

    fn selector(terms: &[&[&str]]) -> Selector {
        Selector::from_api(&ApiSelector { node_selector_terms: terms.iter().map(|texts| term(texts)).collect() })
    }

    #[test]
    fn one_term_must_match_and_all_its_requirements_hold() {
        let check = |terms: &[&[&str]], expected: bool| {
            let labels = [("zone", "a"), ("cores", "8")];
            assert_eq!(selector(terms).matches("n1", &labels[..]), expected, "{terms:?}");
        };
        check(&[], false);
        check(&[&[]], false);
        check(&[&["zone In a b"]], true);
        check(&[&["zone In b"]], false);
        check(&[&["zone In b"], &["zone In a"]], true);
        check(&[&["zone In a", "cores Gt 8"]], false);
        check(&[&["zone In a", "cores Gt 7"]], true);
        check(&[&["cores Lt 9"]], true);
        check(&[&["cores Gt many"]], false);
        check(&[&["zone NotIn b"]], true);
        check(&[&["disk NotIn ssd"]], true);
        check(&[&["disk Exists"]], false);
        check(&[&["disk DoesNotExist"]], true);
        check(&[&["zone Like a"]], false);
        check(&[&["zone Like a"], &["zone Exists"]], true);
        check(&[&["metadata.name In n1"]], true);
        check(&[&["metadata.name NotIn n1"]], false);
        check(&[&["metadata.name In n1 n2"]], false);
        check(&[&["metadata.name In n1", "zone In b"]], false);
    }

    #[test]
    fn names_are_known_if_every_term_names_its_node() {
        let check = |terms: &[&[&str]], expected: Option<&[&str]>| {
            let expected = expected.map(|names| names.iter().copied().collect::<BTreeSet<_>>());
            assert_eq!(selector(terms).names(), expected, "{terms:?}");
        };
        check(&[], None);
        check(&[&["metadata.name In n1"]], Some(&["n1"]));
        check(&[&["metadata.name In n1"], &["metadata.name In n2", "zone In a"]], Some(&["n1", "n2"]));
        check(&[&["metadata.name In n1"], &["zone In a"]], None);
        check(&[&["metadata.name In n1", "metadata.name In n2"]], Some(&[]));
        check(&[&["metadata.name NotIn n1"]], None);
    }
}
