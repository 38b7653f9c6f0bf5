//! What happens in a cluster that may let a pod be scheduled: a kind of object, what was done to it, and the object.

use std::fmt;
use std::ops::BitOr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment};

/// The kind of object that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventResource {
    /// Whatever it is.
    WildCard,
    /// Pods, whether they have a node or not. Plugins register for this, and events are about one of the next two.
    Pod,
    /// A pod that has a node.
    AssignedPod,
    /// The pod itself that waits for a node.
    UnschedulablePod,
    /// A node.
    Node,
    /// A persistent volume.
    PersistentVolume,
    /// A claim to a persistent volume.
    PersistentVolumeClaim,
    /// What CSI drivers say of a node.
    CsiNode,
    /// A CSI driver.
    CsiDriver,
    /// How much room there is for volumes of a class.
    CsiStorageCapacity,
    /// A class of volumes.
    StorageClass,
    /// A volume at a node.
    VolumeAttachment,
    /// A claim to devices.
    ResourceClaim,
    /// Devices of a node.
    ResourceSlice,
    /// A class of devices.
    DeviceClass,
}

impl EventResource {
    const fn name(self) -> &'static str {
        match self {
            EventResource::WildCard => "*",
            EventResource::Pod => "Pod",
            EventResource::AssignedPod => "AssignedPod",
            EventResource::UnschedulablePod => "UnschedulablePod",
            EventResource::Node => "Node",
            EventResource::PersistentVolume => "PersistentVolume",
            EventResource::PersistentVolumeClaim => "PersistentVolumeClaim",
            EventResource::CsiNode => "storage.k8s.io/CSINode",
            EventResource::CsiDriver => "storage.k8s.io/CSIDriver",
            EventResource::CsiStorageCapacity => "storage.k8s.io/CSIStorageCapacity",
            EventResource::StorageClass => "storage.k8s.io/StorageClass",
            EventResource::VolumeAttachment => "storage.k8s.io/VolumeAttachment",
            EventResource::ResourceClaim => "resource.k8s.io/ResourceClaim",
            EventResource::ResourceSlice => "resource.k8s.io/ResourceSlice",
            EventResource::DeviceClass => "resource.k8s.io/DeviceClass",
        }
    }

    fn covers(self, other: EventResource) -> bool {
        let any_pod = matches!(other, EventResource::AssignedPod | EventResource::UnschedulablePod);
        self == EventResource::WildCard || self == other || self == EventResource::Pod && any_pod
    }
}

/// What was done to an object: a set, so that a plugin can register for several at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionType(u16);

impl ActionType {
    /// It was created, or came to count.
    pub const ADD: ActionType = ActionType(1);
    /// It was deleted, or no longer counts.
    pub const DELETE: ActionType = ActionType(1 << 1);
    /// What pods can have of a node.
    pub const UPDATE_NODE_ALLOCATABLE: ActionType = ActionType(1 << 2);
    /// Labels of a node.
    pub const UPDATE_NODE_LABEL: ActionType = ActionType(1 << 3);
    /// Taints of a node, or whether it is unschedulable.
    pub const UPDATE_NODE_TAINT: ActionType = ActionType(1 << 4);
    /// Conditions of a node.
    pub const UPDATE_NODE_CONDITION: ActionType = ActionType(1 << 5);
    /// Annotations of a node.
    pub const UPDATE_NODE_ANNOTATION: ActionType = ActionType(1 << 6);
    /// Features that a node declares.
    pub const UPDATE_NODE_DECLARED_FEATURE: ActionType = ActionType(1 << 7);
    /// Labels of a pod.
    pub const UPDATE_POD_LABEL: ActionType = ActionType(1 << 8);
    /// A pod wants less of some resource.
    pub const UPDATE_POD_SCALE_DOWN: ActionType = ActionType(1 << 9);
    /// A pod tolerates more.
    pub const UPDATE_POD_TOLERATION: ActionType = ActionType(1 << 10);
    /// The last scheduling gate of a pod has gone.
    pub const UPDATE_POD_SCHEDULING_GATES_ELIMINATED: ActionType = ActionType(1 << 11);
    /// The claims that were generated for a pod.
    pub const UPDATE_POD_GENERATED_RESOURCE_CLAIM: ActionType = ActionType(1 << 12);
    /// Any update. As what happened, it means one that is none of the above.
    pub const UPDATE: ActionType = ActionType(((1 << 13) - 1) & !0b11);
    /// Anything.
    pub const ALL: ActionType = ActionType((1 << 13) - 1);

    /// Whether everything in `other` is also in `self`.
    #[must_use]
    pub const fn contains(self, other: ActionType) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for ActionType {
    type Output = ActionType;

    fn bitor(self, other: ActionType) -> ActionType {
        ActionType(self.0 | other.0)
    }
}

impl fmt::Display for ActionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            ActionType::ADD => "Add",
            ActionType::DELETE => "Delete",
            ActionType::UPDATE_NODE_ALLOCATABLE => "UpdateNodeAllocatable",
            ActionType::UPDATE_NODE_LABEL => "UpdateNodeLabel",
            ActionType::UPDATE_NODE_TAINT => "UpdateNodeTaint",
            ActionType::UPDATE_NODE_CONDITION => "UpdateNodeCondition",
            ActionType::UPDATE_NODE_ANNOTATION => "UpdateNodeAnnotation",
            ActionType::UPDATE_NODE_DECLARED_FEATURE => "UpdateNodeDeclaredFeature",
            ActionType::UPDATE_POD_LABEL => "UpdatePodLabel",
            ActionType::UPDATE_POD_SCALE_DOWN => "UpdatePodScaleDown",
            ActionType::UPDATE_POD_TOLERATION => "UpdatePodToleration",
            ActionType::UPDATE_POD_SCHEDULING_GATES_ELIMINATED => "UpdatePodSchedulingGatesEliminated",
            ActionType::UPDATE_POD_GENERATED_RESOURCE_CLAIM => "UpdatePodGeneratedResourceClaim",
            ActionType::ALL => "All",
            ActionType::UPDATE => "Update",
            _ => "",
        })
    }
}

/// A kind of event: of which objects, and what is done to them. Displays as its label in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterEvent {
    /// Of which objects.
    pub resource: EventResource,
    /// What is done to them.
    pub action: ActionType,
}

impl ClusterEvent {
    /// What every pod waits for.
    pub const WILD_CARD: ClusterEvent = ClusterEvent::new(EventResource::WildCard, ActionType::ALL);

    /// An action on a kind of object.
    #[must_use]
    pub const fn new(resource: EventResource, action: ActionType) -> ClusterEvent {
        ClusterEvent { resource, action }
    }

    /// Whether an event of the kind `happened` concerns those who registered for `self`.
    ///
    /// A general update (`Update`) concerns only those who registered for every update, since it is no special one.
    #[must_use]
    pub fn covers(self, happened: ClusterEvent) -> bool {
        self == ClusterEvent::WILD_CARD
            || self.resource.covers(happened.resource) && self.action.contains(happened.action)
    }
}

impl fmt::Display for ClusterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.resource.name(), self.action)
    }
}

/// An object that an event is about.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each is named as the kind that it holds")]
pub enum Object {
    Pod(Arc<Pod>),
    Node(Arc<Node>),
    PersistentVolume(Arc<PersistentVolume>),
    PersistentVolumeClaim(Arc<PersistentVolumeClaim>),
    CsiNode(Arc<CSINode>),
    CsiDriver(Arc<CSIDriver>),
    CsiStorageCapacity(Arc<CSIStorageCapacity>),
    StorageClass(Arc<StorageClass>),
    VolumeAttachment(Arc<VolumeAttachment>),
    ResourceClaim(Arc<ResourceClaim>),
    ResourceSlice(Arc<ResourceSlice>),
    DeviceClass(Arc<DeviceClass>),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Of which kind it is.
    pub kind: ClusterEvent,
    /// The object before, unless it was created.
    pub old: Option<Object>,
    /// The object after, unless it was deleted.
    pub new: Option<Object>,
}

/// What an event is about, before and after. What was created has no before, what was deleted no after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change<'a> {
    /// A pod.
    Pod(Option<&'a Pod>, Option<&'a Pod>),
    /// A node.
    Node(Option<&'a Node>, Option<&'a Node>),
    /// Something else, or nothing in particular.
    Other,
}

impl Event {
    /// What the event is about.
    #[must_use]
    pub fn change(&self) -> Change<'_> {
        match (self.old.as_ref(), self.new.as_ref()) {
            (Some(Object::Pod(old)), Some(Object::Pod(new))) => Change::Pod(Some(old), Some(new)),
            (Some(Object::Pod(old)), None) => Change::Pod(Some(old), None),
            (None, Some(Object::Pod(new))) => Change::Pod(None, Some(new)),
            (Some(Object::Node(old)), Some(Object::Node(new))) => Change::Node(Some(old), Some(new)),
            (Some(Object::Node(old)), None) => Change::Node(Some(old), None),
            (None, Some(Object::Node(new))) => Change::Node(None, Some(new)),
            _ => Change::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_cover_what_happens() {
        use EventResource::{AssignedPod, Node, Pod, UnschedulablePod, WildCard};
        let check = |(resource, action), (other, happened), expected: bool| {
            let registered = ClusterEvent::new(resource, action);
            let happened = ClusterEvent::new(other, happened);
            assert_eq!(registered.covers(happened), expected, "{registered} {happened}");
        };
        let label = ActionType::UPDATE_NODE_LABEL;
        check((Node, ActionType::ADD), (Node, ActionType::ADD), true);
        check((Node, ActionType::ADD), (Node, ActionType::DELETE), false);
        check((Node, ActionType::ADD | label), (Node, label), true);
        check((Node, ActionType::UPDATE), (Node, label), true);
        check((Node, label), (Node, ActionType::UPDATE), false);
        check((Node, ActionType::ALL), (AssignedPod, ActionType::ADD), false);
        check((Pod, ActionType::ADD), (AssignedPod, ActionType::ADD), true);
        check((Pod, ActionType::UPDATE_POD_LABEL), (UnschedulablePod, ActionType::UPDATE_POD_LABEL), true);
        check((AssignedPod, ActionType::ADD), (UnschedulablePod, ActionType::ADD), false);
        check((WildCard, ActionType::ALL), (Node, label), true);
        check((WildCard, ActionType::DELETE), (Node, ActionType::DELETE), true);
        check((Node, ActionType::ALL), (WildCard, ActionType::ALL), false);
    }

    #[test]
    fn labels_are_those_of_upstreams_metrics() {
        let check = |resource, action, expected: &str| {
            assert_eq!(ClusterEvent::new(resource, action).to_string(), expected);
        };
        check(EventResource::Node, ActionType::UPDATE_NODE_ALLOCATABLE, "NodeUpdateNodeAllocatable");
        check(EventResource::AssignedPod, ActionType::DELETE, "AssignedPodDelete");
        check(EventResource::CsiNode, ActionType::UPDATE, "storage.k8s.io/CSINodeUpdate");
    }
}
