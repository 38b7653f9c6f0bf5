//! What OpenAPI says of metrics.k8s.io, for which no descriptions are generated.

use serde_json::{Value, json};

use super::types::GROUP;
use crate::openapi::SchemaSource;
use crate::strategy::Names;

/// Knows the kinds of [`types`](super::types).
#[derive(Clone, Copy, Debug, Default)]
pub struct Schemas;

impl SchemaSource for Schemas {
    fn schema(&self, names: &Names) -> Option<Value> {
        if names.group != GROUP {
            return None;
        }
        let usage = json!({
            "type": "object",
            "description": "How much is used, by resource: of cpu in cores over the window, of memory in bytes of the working set.",
            "additionalProperties": {"type": "string"},
        });
        let containers = json!({
            "type": "array",
            "description": "What each container uses.",
            "items": {
                "type": "object",
                "required": ["name", "usage"],
                "properties": {
                    "name": {"type": "string", "description": "The name of the container in its pod."},
                    "usage": usage,
                },
            },
        });
        let (description, field, schema) = if names.kind == "NodeMetrics" {
            ("NodeMetrics is what a node used lately, as its kubelet says.", "usage", usage)
        } else {
            ("PodMetrics is what the containers of a pod used lately, as the kubelet says.", "containers", containers)
        };
        let mut properties = json!({
            "timestamp": {
                "type": "string", "format": "date-time",
                "description": "The end of the window, at which memory was read.",
            },
            "window": {"type": "string", "description": "Over which time the use of cpu was seen."},
        });
        properties[field] = schema;
        let required = json!(["timestamp", "window", field]);
        Some(json!({"type": "object", "description": description, "required": required, "properties": properties}))
    }
}
