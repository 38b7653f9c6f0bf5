//! Objects by patterns and selectors.

use api::selector::label;
use regex::Regex;

use crate::Error;
use crate::id::{Gvk, Id};
use crate::kustomization::Selector;
use crate::resource::Resource;

/// A selector whose patterns have been read.
pub(crate) struct Select {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Option<label::Selector>,
    annotations: Option<label::Selector>,
    selects_nothing: bool,
}

impl Select {
    /// Reads a selector's patterns; each stands for the whole of what it is for.
    pub(crate) fn new(selector: &Selector) -> Result<Select, Error> {
        let pattern = |text: &str| {
            let read = |text: &str| {
                Regex::new(&format!("^(?:{text})$"))
                    .map_err(|_| Error::said(format!("the target's {text:?} is no regular expression")))
            };
            Some(text).filter(|text| !text.is_empty()).map(read).transpose()
        };
        let labels = |text: &str| {
            let read = |text: &str| label::Selector::parse(text).map_err(|error| Error::said(error.to_string()));
            Some(text).filter(|text| !text.is_empty()).map(read).transpose()
        };
        Ok(Select {
            group: pattern(&selector.group)?,
            version: pattern(&selector.version)?,
            kind: pattern(&selector.kind)?,
            name: pattern(&selector.name)?,
            namespace: pattern(&selector.namespace)?,
            labels: labels(&selector.label_selector)?,
            annotations: labels(&selector.annotation_selector)?,
            selects_nothing: *selector == Selector::default(),
        })
    }

    /// Whether an object is, or was, what is selected.
    pub(crate) fn matches(&self, resource: &Resource) -> bool {
        resource.all_ids().iter().any(|id| self.matches_id(id)) && self.matches_texts(resource)
    }

    /// Whether nothing at all is said.
    pub(crate) fn is_empty(&self) -> bool {
        self.selects_nothing
    }

    /// Whether labels and annotations are those that are selected.
    pub(crate) fn matches_texts(&self, resource: &Resource) -> bool {
        let meets = |selector: &Option<label::Selector>, field: &str| {
            selector.as_ref().is_none_or(|selector| selector.matches(&resource.texts(field)))
        };
        meets(&self.labels, "labels") && meets(&self.annotations, "annotations")
    }

    fn matches_id(&self, id: &Id) -> bool {
        let meets = |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
        let Gvk { group, version, kind } = &id.gvk;
        meets(&self.group, group)
            && meets(&self.version, version)
            && meets(&self.kind, kind)
            && meets(&self.name, &id.name)
            && meets(&self.namespace, id.effective_namespace())
    }

    /// Whether an object is, or was, what is rejected: one by labels alone does not reject by names.
    pub(crate) fn rejects(&self, resource: &Resource) -> bool {
        let by_texts = self.labels.is_some() || self.annotations.is_some();
        let by_id = [&self.group, &self.version, &self.kind, &self.name, &self.namespace].iter().any(|it| it.is_some());
        (by_texts && self.matches_texts(resource)) || (by_id && resource.all_ids().iter().any(|id| self.matches_id(id)))
    }
}
