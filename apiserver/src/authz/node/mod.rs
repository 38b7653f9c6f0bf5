//! What nodes may do (upstream's node authorizer): a node reads what its pods refer to, one by one, and writes what is its own.
//!
//! What always holds: nothing that a node may read follows from what that node wrote; decisions are made from what this process
//! knows, without waiting, and what is known follows the store by watches. What a write says is judged where objects are
//! written (`admission/node_restriction`), as that needs the object.

mod follow;
mod graph;
mod references;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use api::field::go_quote;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use parking_lot::RwLock;

use self::follow::Sight;
use self::graph::{Graph, Kind, Place};
pub(crate) use self::references::{MIRROR, claim_of, environments};
use super::rbac::allows;
use super::{Attributes, Authorizer, Decision, NODES, Rules};
use crate::authn::Identity;

/// What the names of nodes' users begin with.
const NODE: &str = "system:node:";

/// The namespace of nodes' Leases.
pub(crate) const LEASES: &str = "kube-node-lease";

/// The node that somebody is: who has a node's name and is in the group of nodes. Empty for one without a name.
pub(crate) fn node_of(identity: &Identity) -> Option<&str> {
    identity.user.strip_prefix(NODE).filter(|_| identity.is_in(NODES))
}

/// What all nodes may do alike, which is the role of nodes.
static RULES: LazyLock<Vec<PolicyRule>> = LazyLock::new(|| {
    let roles = include_str!("../../../../manifests/born/cluster-roles.yaml");
    let roles: Vec<ClusterRole> = serde_saphyr::from_multiple(roles).expect("what is built in is well formed");
    let role = roles.into_iter().find(|role| role.metadata.name.as_deref() == Some("system:node"));
    role.and_then(|role| role.rules).expect("the role of nodes is built in")
});

/// What is known.
#[derive(Default)]
struct Known {
    graph: Graph,
    /// The pods that have nodes, as they were last looked at.
    pods: HashMap<Place, Sight>,
}

/// The authorizer. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub struct NodeAuthorizer(Arc<RwLock<Known>>);

impl Authorizer for NodeAuthorizer {
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision {
        let Some(node) = node_of(identity) else { return no("") };
        if node.is_empty() {
            return no(format!("unknown node for user {}", go_quote(&identity.user)));
        }
        if !attributes.is_resource() {
            return by_rules(attributes);
        }
        let asked = Asked { known: self, node, attributes };
        match (attributes.group.as_str(), attributes.resource.as_str()) {
            ("", "secrets") => asked.read(Kind::Secret),
            ("", "configmaps") => asked.read(Kind::ConfigMap),
            ("", "persistentvolumeclaims") if attributes.subresource == "status" => asked.write_status(Kind::Claim),
            ("", "persistentvolumeclaims") => asked.get(Kind::Claim),
            ("", "persistentvolumes") => asked.get(Kind::Volume),
            ("resource.k8s.io", "resourceclaims") => asked.get(Kind::ResourceClaim),
            ("storage.k8s.io", "volumeattachments") => asked.get(Kind::Attachment),
            ("", "serviceaccounts") => asked.create_token(),
            ("coordination.k8s.io", "leases") => asked.lease(),
            ("storage.k8s.io", "csinodes") => asked.csi_node(),
            ("resource.k8s.io", "resourceslices") => asked.slice(),
            ("certificates.k8s.io", "podcertificaterequests") => asked.certificate_request(),
            ("", "nodes") => asked.nodes(),
            ("", "pods") => asked.pods(),
            _ => by_rules(attributes),
        }
    }

    fn rules(&self, identity: &Identity, _: &str) -> Rules {
        let error = match node_of(identity) {
            Some(_) => "node authorizer does not support user rule resolution".to_owned(),
            None => String::new(),
        };
        Rules { error, ..Rules::default() }
    }
}

fn no(why: impl Into<String>) -> Decision {
    Decision::NoOpinion(why.into())
}

fn by_rules(attributes: &Attributes) -> Decision {
    if RULES.iter().any(|rule| allows(rule, attributes)) { Decision::allow() } else { no("") }
}

/// A request of a node for a resource.
struct Asked<'a> {
    known: &'a NodeAuthorizer,
    node: &'a str,
    attributes: &'a Attributes,
}

impl Asked<'_> {
    fn verb(&self) -> &str {
        &self.attributes.verb
    }

    fn is_own_name(&self) -> bool {
        self.attributes.name == self.node
    }

    /// Whether the object has to do with the node.
    fn related(&self, kind: Kind) -> Decision {
        let Attributes { namespace, name, .. } = self.attributes;
        if name.is_empty() {
            return no("No Object name found");
        }
        if self.known.0.read().graph.is_of(&Place::new(kind, namespace, name), self.node) {
            return Decision::allow();
        }
        no(format!("no relationship found between node '{}' and this object", self.node))
    }

    fn get(&self, kind: Kind) -> Decision {
        match (self.verb(), self.attributes.subresource.as_str()) {
            ("get", "") => self.related(kind),
            ("get", _) => no("cannot get subresource"),
            _ => no("can only get individual resources of this type"),
        }
    }

    fn read(&self, kind: Kind) -> Decision {
        if !matches!(self.verb(), "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !self.attributes.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if self.attributes.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(kind)
    }

    fn write_status(&self, kind: Kind) -> Decision {
        match self.verb() {
            "update" | "patch" => self.related(kind),
            _ => no("can only get/update/patch this type"),
        }
    }

    fn create_token(&self) -> Decision {
        if self.verb() != "create" || self.attributes.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if self.attributes.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(Kind::ServiceAccount)
    }

    fn lease(&self) -> Decision {
        if !matches!(self.verb(), "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.attributes.namespace != LEASES {
            return no(format!("can only access leases in the \"{LEASES}\" system namespace"));
        }
        // What is created has no name yet.
        if self.verb() != "create" && !self.is_own_name() {
            return no("can only access node lease with the same name as the requesting node");
        }
        Decision::allow()
    }

    fn csi_node(&self) -> Decision {
        if !matches!(self.verb(), "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.attributes.subresource.is_empty() {
            return no("cannot authorize CSINode subresources");
        }
        if self.verb() != "create" && !self.is_own_name() {
            return no("can only access CSINode with the same name as the requesting node");
        }
        Decision::allow()
    }

    fn slice(&self) -> Decision {
        if !self.attributes.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.verb() {
            "create" => Decision::allow(),
            "get" | "update" | "patch" | "delete" => self.related(Kind::Slice),
            "watch" | "list" | "deletecollection" if self.selects_own() => Decision::allow(),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, \
                 deletecollection",
            ),
        }
    }

    fn certificate_request(&self) -> Decision {
        if !self.attributes.subresource.is_empty() {
            return no("nodes may not access the status subresource of PodCertificateRequests");
        }
        match self.verb() {
            "create" => Decision::allow(),
            "get" => self.related(Kind::CertificateRequest),
            "watch" | "list" if self.selects_own() => Decision::allow(),
            "watch" | "list" => no("can only list/watch podcertificaterequests with nodeName field selector"),
            _ => no(""),
        }
    }

    fn nodes(&self) -> Decision {
        match (self.attributes.subresource.as_str(), self.verb()) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Decision::allow(),
            // By name, so that a node may look for itself before it is there.
            ("", "get" | "list" | "watch") if self.is_own_name() => Decision::allow(),
            ("", "get" | "list" | "watch") if self.attributes.name.is_empty() => {
                no(format!("node '{}' cannot read all nodes, only its own Node object", self.node))
            }
            ("", "get" | "list" | "watch") => {
                let other = &self.attributes.name;
                no(format!("node '{}' cannot read '{other}', only its own Node object", self.node))
            }
            _ => no(""),
        }
    }

    fn pods(&self) -> Decision {
        match (self.attributes.subresource.as_str(), self.verb()) {
            ("", "get") => self.related(Kind::Pod),
            ("", "list" | "watch") if self.selects_own() => Decision::allow(),
            ("", "list" | "watch") if !self.attributes.name.is_empty() => self.related(Kind::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Decision::allow(),
            _ => no(""),
        }
    }

    /// Whether only what names the node is selected.
    fn selects_own(&self) -> bool {
        self.attributes.fields.require("spec.nodeName", self.node)
    }
}
