//! What names in a quota mean, as far as the name tells.

use crate::names;
use crate::quantity::{Format, Quantity};

/// Before the name of a resource, for the number of its objects: `count/deployments.apps`.
pub const COUNT: &str = "count/";
/// Before what is requested of a resource of pods.
pub const REQUESTS: &str = "requests.";
/// Before the size of huge pages.
pub const HUGE_PAGES: &str = "hugepages-";

/// Resources whose objects can be counted by their bare name, too.
const ALIASES: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
/// Resources whose objects are never counted.
const IGNORED: [&str; 2] = ["events", "events.events.k8s.io"];

/// The resource whose objects a name counts, and nothing else about them.
#[must_use]
pub fn counted(name: &str) -> Option<&str> {
    let resource = name.strip_prefix(COUNT).or_else(|| ALIASES.contains(&name).then_some(name))?;
    (!IGNORED.contains(&resource)).then_some(resource)
}

/// Whether Kubernetes itself gives the resource its meaning.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether pods can request the resource although Kubernetes does not know it, such as `example.com/gpu`.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with(REQUESTS) && names::label_key(&format!("{REQUESTS}{name}")).is_empty()
}

/// Whether the name is what is requested of such a resource.
#[must_use]
pub fn is_extended_request(name: &str) -> bool {
    !is_native(name) && name.starts_with(REQUESTS)
}

/// A number of objects.
#[must_use]
pub fn number(count: usize) -> Quantity {
    Quantity::new(i64::try_from(count).unwrap_or(i64::MAX), Format::DecimalSi)
}
