//! By what a request selects the objects that it is about, as authorizers see it (upstream's AuthorizeWithSelectors).
//!
//! What always holds: all requirements that are stated here hold for every object that the request is about. What cannot be
//! read is left out, so that more is asked for and not less.

use api::field::Path;
use api::selector::{field, label};
use k8s_openapi::api::authorization::v1::{FieldSelectorAttributes, LabelSelectorAttributes};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldSelectorRequirement, LabelSelectorRequirement};

use crate::request::Query;

/// The requirements of a selector, as far as they can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirements<R> {
    /// They hold together; without any, everything is selected.
    pub all: Vec<R>,
    /// Why some or all could not be read.
    pub error: Option<String>,
}

impl<R> Default for Requirements<R> {
    fn default() -> Self {
        Requirements { all: Vec::new(), error: None }
    }
}

impl<R> Requirements<R> {
    fn read(parsed: Result<Vec<R>, String>) -> Self {
        match parsed {
            Ok(all) => Requirements { all, error: None },
            Err(error) => Requirements { all: Vec::new(), error: Some(error) },
        }
    }

    /// Those that can be read, and all that is wrong with the others.
    fn collect(read: impl Iterator<Item = Result<R, String>>) -> Self {
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        for one in read {
            match one {
                Ok(requirement) => all.push(requirement),
                Err(error) => errors.push(error),
            }
        }
        Requirements { all, error: (!errors.is_empty()).then(|| errors.join(", ")) }
    }

    /// How much of a selector was ignored, in upstream's words.
    pub(crate) fn ignored(&self) -> Option<&'static str> {
        self.error.as_ref().map(|_| if self.all.is_empty() { "ignored" } else { "partially ignored" })
    }
}

impl Requirements<field::Requirement> {
    /// What the parameter of a list says.
    pub(super) fn of_query(query: &Query) -> Self {
        query.text("fieldSelector").map(Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let parsed = field::Selector::parse(text);
        Self::read(parsed.map(|selector| selector.requirements().to_vec()).map_err(|error| error.to_string()))
    }

    /// What a review says.
    pub(crate) fn of_review(stated: Option<&FieldSelectorAttributes>) -> Self {
        let Some(FieldSelectorAttributes { raw_selector, requirements }) = stated else { return Self::default() };
        match requirements.as_deref().unwrap_or_default() {
            [] => raw_selector.as_deref().filter(|raw| !raw.is_empty()).map(Self::parse).unwrap_or_default(),
            stated => Self::collect(stated.iter().map(stated_field)),
        }
    }

    /// The value that `field` must have.
    pub(crate) fn value_of(&self, field: &str) -> Option<&str> {
        let exact = |one: &&field::Requirement| one.operator == field::Operator::Equals && one.field == field;
        self.all.iter().find(exact).map(|one| one.value.as_str())
    }

    /// Whether every object that is selected has this value in `field`.
    pub(crate) fn require(&self, field: &str, value: &str) -> bool {
        let exact = |one: &field::Requirement| {
            one.operator == field::Operator::Equals && one.field == field && one.value == value
        };
        self.all.iter().any(exact)
    }
}

impl Requirements<label::Requirement> {
    /// What the parameter of a list says.
    pub(super) fn of_query(query: &Query) -> Self {
        query.text("labelSelector").map(Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        Self::read(label::Selector::parse(text).map_err(|error| error.to_string()).map(|selector| match selector {
            label::Selector::Requirements(all) => all,
            label::Selector::Nothing => Vec::new(),
        }))
    }

    /// What a review says.
    pub(crate) fn of_review(stated: Option<&LabelSelectorAttributes>) -> Self {
        let Some(LabelSelectorAttributes { raw_selector, requirements }) = stated else { return Self::default() };
        match requirements.as_deref().unwrap_or_default() {
            [] => raw_selector.as_deref().filter(|raw| !raw.is_empty()).map(Self::parse).unwrap_or_default(),
            stated => Self::collect(stated.iter().map(stated_label)),
        }
    }
}

/// A field selector has one value to compare with, and nothing else.
fn stated_field(stated: &FieldSelectorRequirement) -> Result<field::Requirement, String> {
    let values = stated.values.as_deref().unwrap_or_default();
    if values.len() > 1 {
        return Err("fieldSelectors do not yet support multiple values".to_owned());
    }
    let of = |operator, needs: &str| match values {
        [value] => Ok(field::Requirement { field: stated.key.clone(), operator, value: value.clone() }),
        _ => Err(format!("fieldSelectors {needs} must have one value")),
    };
    match stated.operator.as_str() {
        "In" => of(field::Operator::Equals, "in"),
        "NotIn" => of(field::Operator::NotEquals, "not in"),
        operator @ ("Exists" | "DoesNotExist") => Err(format!("fieldSelectors do not yet support {operator}")),
        operator => Err(format!("{} is not a valid field selector operator", api::field::go_quote(operator))),
    }
}

fn stated_label(stated: &LabelSelectorRequirement) -> Result<label::Requirement, String> {
    let operator = match stated.operator.as_str() {
        "In" => label::Operator::In,
        "NotIn" => label::Operator::NotIn,
        "Exists" => label::Operator::Exists,
        "DoesNotExist" => label::Operator::DoesNotExist,
        other => return Err(format!("{} is not a valid label selector operator", api::field::go_quote(other))),
    };
    let values = stated.values.clone().unwrap_or_default();
    label::Requirement::new(&stated.key, operator, values, &Path::new("requirements"))
        .map_err(|errors| errors.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn fields_of_reviews_are_read() {
        let check = |stated: Value, expected: &[&str], error: Option<&str>| {
            let stated: FieldSelectorAttributes = serde_json::from_value(stated).unwrap();
            let Requirements { all, error: found } = Requirements::<field::Requirement>::of_review(Some(&stated));
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            assert_eq!(
                (all.iter().map(String::as_str).collect::<Vec<_>>(), found.as_deref()),
                (expected.to_vec(), error)
            );
        };
        let one = |operator: &str, values: Value| json!({"requirements": [{"key": "a", "operator": operator, "values": values}]});
        check(json!({"rawSelector": "a=b,c!=d"}), &["a=b", "c!=d"], None);
        check(json!({"rawSelector": "a"}), &[], Some("invalid selector: 'a'; can't understand 'a'"));
        check(one("In", json!(["b"])), &["a=b"], None);
        check(one("NotIn", json!(["b"])), &["a!=b"], None);
        check(one("In", json!(["b", "c"])), &[], Some("fieldSelectors do not yet support multiple values"));
        check(one("In", json!([])), &[], Some("fieldSelectors in must have one value"));
        check(one("Exists", json!([])), &[], Some("fieldSelectors do not yet support Exists"));
        check(one("Like", json!([])), &[], Some("\"Like\" is not a valid field selector operator"));
    }

    #[test]
    fn labels_of_reviews_are_read() {
        let check = |stated: Value, expected: &[&str], error: bool| {
            let stated: LabelSelectorAttributes = serde_json::from_value(stated).unwrap();
            let Requirements { all, error: found } = Requirements::<label::Requirement>::of_review(Some(&stated));
            let all: Vec<&str> = all.iter().map(label::Requirement::key).collect();
            assert_eq!((all.as_slice(), found.is_some()), (expected, error));
        };
        check(json!({"rawSelector": "a in (b),c"}), &["a", "c"], false);
        check(json!({"rawSelector": "&"}), &[], true);
        check(
            json!({"requirements": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Like"}]}),
            &["a"],
            true,
        );
        check(json!({"requirements": [{"key": "a", "operator": "In", "values": []}]}), &[], true);
    }

    #[test]
    fn one_exact_requirement_is_enough() {
        let check = |text: &str, expected: bool| {
            let fields = Requirements::<field::Requirement>::of_query(&Query::parse(&format!("fieldSelector={text}")));
            assert_eq!(fields.require("spec.nodeName", "n1"), expected, "{text}");
        };
        check("spec.nodeName%3Dn1", true);
        check("status.phase%3DRunning,spec.nodeName%3D%3Dn1", true);
        check("spec.nodeName!%3Dn1", false);
        check("spec.nodeName%3Dn2", false);
        check("spec.nodeName%3DN1", false);
        check("spec.nodeName%3Dn1\\", false);
        check("", false);
    }
}
