//! PriorityClasses.

use super::Subject;
use super::page::{Page, or_none, pairs, shown};

/// A class.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let class = &subject.object;
    page.field(0, "Name", &shown(&class["metadata"]["name"]));
    page.field(0, "Value", &class["value"].as_i64().unwrap_or(0).to_string());
    page.field(0, "GlobalDefault", &(class["globalDefault"] == true).to_string());
    page.field(0, "PreemptionPolicy", &shown(&class["preemptionPolicy"]));
    page.field(0, "Description", &shown(&class["description"]));
    page.field(0, "Annotations", &or_none(pairs(&class["metadata"]["annotations"]).join(",")));
    page.events(subject.events.as_deref());
}
