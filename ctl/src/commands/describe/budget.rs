//! PodDisruptionBudgets.

use super::Subject;
use super::page::{Page, or_none, selector, shown};

/// A budget.
pub(super) fn describe(page: &mut Page, subject: &Subject) {
    let budget = &subject.object;
    let (spec, status) = (&budget["spec"], &budget["status"]);
    page.head(budget);
    if spec["minAvailable"].is_null() {
        page.field_if(0, "Max unavailable", &spec["maxUnavailable"]);
    } else {
        page.field(0, "Min available", &shown(&spec["minAvailable"]));
    }
    let by = if spec["selector"].is_null() { "<unset>".to_owned() } else { or_none(selector(&spec["selector"])) };
    page.field(0, "Selector", &by);
    page.line(0, "Status:");
    for (title, field) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        page.field(2, title, &status[field].as_i64().unwrap_or(0).to_string());
    }
    page.events(subject.events.as_deref());
}
