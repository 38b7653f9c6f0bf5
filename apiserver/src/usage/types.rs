//! `NodeMetrics` and `PodMetrics` of metrics.k8s.io/v1beta1, which no generated type is there for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::{ClusterResourceScope, Metadata, NamespaceResourceScope, Resource};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

/// The group.
pub const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";
const API_VERSION: &str = "metrics.k8s.io/v1beta1";

/// How much of what is used, by the resource: `cpu` and `memory`.
pub type Usage = BTreeMap<String, Quantity>;

/// What a node uses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeMetrics {
    /// The Node's name and labels.
    pub metadata: ObjectMeta,
    /// When it was read.
    pub timestamp: Option<Time>,
    /// Over which time before that it was seen, as Go writes durations.
    pub window: String,
    /// How much.
    pub usage: Usage,
}

/// What the containers of a pod use.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodMetrics {
    /// The Pod's name, namespace and labels.
    pub metadata: ObjectMeta,
    /// When it was read.
    pub timestamp: Option<Time>,
    /// Over which time before that it was seen, as Go writes durations.
    pub window: String,
    /// Each of them.
    pub containers: Vec<ContainerMetrics>,
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMetrics {
    /// Its name in the pod.
    pub name: String,
    /// How much.
    pub usage: Usage,
}

/// With what every object begins, which derived code would leave out.
fn begin<S: Serializer>(
    serializer: S,
    kind: &'static str,
    metadata: &ObjectMeta,
    timestamp: &Option<Time>,
    window: &str,
) -> Result<S::SerializeStruct, S::Error> {
    let mut object = serializer.serialize_struct(kind, 6)?;
    object.serialize_field("apiVersion", API_VERSION)?;
    object.serialize_field("kind", kind)?;
    object.serialize_field("metadata", metadata)?;
    object.serialize_field("timestamp", timestamp)?;
    object.serialize_field("window", window)?;
    Ok(object)
}

impl Serialize for NodeMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = begin(serializer, Self::KIND, &self.metadata, &self.timestamp, &self.window)?;
        object.serialize_field("usage", &self.usage)?;
        object.end()
    }
}

impl Serialize for PodMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = begin(serializer, Self::KIND, &self.metadata, &self.timestamp, &self.window)?;
        object.serialize_field("containers", &self.containers)?;
        object.end()
    }
}

impl Resource for NodeMetrics {
    const API_VERSION: &'static str = API_VERSION;
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = "NodeMetrics";
    const VERSION: &'static str = VERSION;
    const URL_PATH_SEGMENT: &'static str = "nodes";
    type Scope = ClusterResourceScope;
}

impl Resource for PodMetrics {
    const API_VERSION: &'static str = API_VERSION;
    const GROUP: &'static str = GROUP;
    const KIND: &'static str = "PodMetrics";
    const VERSION: &'static str = VERSION;
    const URL_PATH_SEGMENT: &'static str = "pods";
    type Scope = NamespaceResourceScope;
}

impl Metadata for NodeMetrics {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Metadata for PodMetrics {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
