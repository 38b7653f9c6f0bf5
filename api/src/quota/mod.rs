//! What objects take of ResourceQuotas: what is counted in a quota's status, and what a client that asks for more is refused by.
//!
//! The one who counts everything again and the one who charges a single write use the same rules, so that they agree.

pub mod claims;
pub mod devices;
pub mod names;
pub mod pods;
pub mod scopes;
pub mod services;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, ScopedResourceSelectorRequirement as Requirement, Service,
};
use k8s_openapi::api::resource::v1::ResourceClaim;

use crate::pod_resources::List;
use devices::Classes;

/// An object, as far as quotas tell kinds apart.
pub enum Subject<'a> {
    /// A pod.
    Pod(&'a Pod),
    /// A Service.
    Service(&'a Service),
    /// A claim of a volume.
    Volume(&'a PersistentVolumeClaim),
    /// A claim of devices.
    Devices {
        /// The claim.
        claim: &'a ResourceClaim,
        /// What device classes stand for.
        classes: &'a Classes,
        /// What a pod is charged for already.
        charged: &'a List,
    },
    /// One of any other resource, by the name of the resource and group, such as `deployments.apps`.
    Other(&'a str),
}

impl Subject<'_> {
    /// Whether such objects take what a name in a quota says.
    #[must_use]
    pub fn measures(&self, name: &str) -> bool {
        match self {
            Subject::Pod(_) => pods::measures(name),
            Subject::Service(_) => services::measures(name),
            Subject::Volume(_) => claims::measures(name),
            Subject::Devices { classes, .. } => classes.measures(name),
            Subject::Other(resource) => names::counted(name) == Some(resource),
        }
    }

    /// What the object takes.
    #[must_use]
    pub fn usage(&self, now: Timestamp) -> List {
        match self {
            Subject::Pod(pod) => pods::usage(pod, now),
            Subject::Service(service) => services::usage(service),
            Subject::Volume(claim) => claims::usage(claim),
            Subject::Devices { claim, classes, charged } => devices::usage(claim, classes, charged),
            Subject::Other(resource) => {
                let counted = |name: &str| names::counted(name) == Some(resource);
                let names = [format!("{}{resource}", names::COUNT), (*resource).to_owned()];
                names.into_iter().filter(|name| counted(name)).map(|name| (name, names::number(1))).collect()
            }
        }
    }

    /// Whether the object meets all that a quota requires of those that it is about. Scopes are about pods and volume claims,
    /// and nothing else is ever in them.
    #[must_use]
    pub fn meets(&self, requirements: &[Requirement]) -> bool {
        match self {
            Subject::Pod(pod) => requirements.iter().all(|requirement| scopes::covers_pod(requirement, pod)),
            Subject::Volume(claim) => requirements.iter().all(|requirement| scopes::covers_claim(requirement, claim)),
            _ => requirements.is_empty(),
        }
    }

    /// What the object would have to state because quotas limit it, and does not, in upstream's words.
    #[must_use]
    pub fn missing(&self, limited: &[&str]) -> Option<String> {
        match self {
            Subject::Pod(pod) => pods::missing(pod, limited),
            _ => None,
        }
    }
}
