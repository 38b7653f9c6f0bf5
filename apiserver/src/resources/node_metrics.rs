//! NodeMetrics: what nodes use. It is known when it is asked for; see [`crate::usage`].

use api::field::ErrorList;
use api::status::{GroupResource, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::engine::Call;
use crate::strategy::{Column, Names, Source, Strategy};
use crate::usage::types::{GROUP, NodeMetrics, Usage};

/// Upstream's columns, which its metrics-server makes of what it knows.
pub(super) const COLUMNS: [Column; 4] = [
    Column { format: "name", ..Column::new("Name", "Name of the resource") },
    Column { format: "quantity", ..Column::new("cpu", "") },
    Column { format: "quantity", ..Column::new("memory", "") },
    Column { format: "duration", ..Column::new("Window", "") },
];

pub(crate) struct NodesMetrics;

impl Strategy for NodesMetrics {
    type Object = NodeMetrics;

    fn names(&self) -> Names {
        Names::of::<NodeMetrics>("node", false)
    }

    fn source(&self) -> Source<NodeMetrics> {
        Source::Computed(compute)
    }

    fn validate(&self, _: &NodeMetrics) -> ErrorList {
        // Nobody can write one.
        ErrorList::new()
    }

    fn validate_update(&self, _: &NodeMetrics, _: &NodeMetrics) -> ErrorList {
        ErrorList::new()
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &NodeMetrics, _: Timestamp) -> Vec<Value> {
        let name = object.metadata.name.clone();
        vec![name.into(), cell(&object.usage, "cpu"), cell(&object.usage, "memory"), object.window.clone().into()]
    }
}

pub(super) fn cell(usage: &Usage, resource: &str) -> Value {
    usage.get(resource).map_or("0".into(), |quantity| quantity.0.clone().into())
}

fn compute<'a>(call: &'a Call<'a>, name: Option<&'a str>) -> BoxFuture<'a, Result<Vec<NodeMetrics>, Status>> {
    async move {
        let Some(usage) = call.engine.usage() else { return Err(no_way()) };
        let found = usage.nodes(name).await?;
        match name {
            Some(name) if found.is_empty() => Err(Status::not_found(&GroupResource::new(GROUP, "nodemetrics"), name)),
            _ => Ok(found),
        }
    }
    .boxed()
}

/// What is answered by a server that cannot ask kubelets.
pub(super) fn no_way() -> Status {
    Status::service_unavailable("this server has no way to kubelets")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows() {
        let object = json!({
            "metadata": {"name": "n"}, "timestamp": "2026-03-01T12:00:00Z", "window": "10s",
            "usage": {"cpu": "250m", "memory": "12Mi"},
        });
        let object: NodeMetrics = serde_json::from_value(object).unwrap();
        assert_eq!(
            NodesMetrics.row(&object, Timestamp::UNIX_EPOCH),
            ["n", "250m", "12Mi", "10s"].map(|cell| json!(cell))
        );
    }
}
