//! Addresses of Services: ServiceCIDRs, and IPAddresses.

use super::Subject;
use super::page::{Page, shown, texts};

/// A ServiceCIDR.
pub(super) fn service_cidr(page: &mut Page, subject: &Subject) {
    let range = &subject.object;
    page.field(0, "Name", &shown(&range["metadata"]["name"]));
    page.notes(range);
    page.field(0, "CIDRs", &texts(&range["spec"]["cidrs"]).join(", "));
    if range["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty()) {
        page.line(0, "Status:");
        page.transitions(range);
    }
    page.events(subject.events.as_deref());
}

/// An IPAddress.
pub(super) fn address(page: &mut Page, subject: &Subject) {
    let address = &subject.object;
    page.field(0, "Name", &shown(&address["metadata"]["name"]));
    page.notes(address);
    let parent = &address["spec"]["parentRef"];
    if !parent.is_null() {
        page.line(0, "Parent Reference:");
        for (title, field) in
            [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")]
        {
            page.field(1, title, &shown(&parent[field]));
        }
    }
    page.events(subject.events.as_deref());
}
