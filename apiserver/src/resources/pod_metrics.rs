//! PodMetrics: what the containers of pods use. It is known when it is asked for; see [`crate::usage`].

use api::field::ErrorList;
use api::quantity::Quantity;
use api::status::{GroupResource, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::node_metrics::{COLUMNS, cell, no_way};
use crate::engine::Call;
use crate::strategy::{Column, Names, Source, Strategy};
use crate::usage::types::{GROUP, PodMetrics, Usage};

pub(crate) struct PodsMetrics;

impl Strategy for PodsMetrics {
    type Object = PodMetrics;

    fn names(&self) -> Names {
        Names::of::<PodMetrics>("pod", true)
    }

    fn source(&self) -> Source<PodMetrics> {
        Source::Computed(compute)
    }

    fn validate(&self, _: &PodMetrics) -> ErrorList {
        // Nobody can write one.
        ErrorList::new()
    }

    fn validate_update(&self, _: &PodMetrics, _: &PodMetrics) -> ErrorList {
        ErrorList::new()
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &PodMetrics, _: Timestamp) -> Vec<Value> {
        let usage = sum(object);
        let name = object.metadata.name.clone();
        vec![name.into(), cell(&usage, "cpu"), cell(&usage, "memory"), object.window.clone().into()]
    }
}

/// What all containers use together.
fn sum(object: &PodMetrics) -> Usage {
    let mut sums: std::collections::BTreeMap<String, Quantity> = std::collections::BTreeMap::new();
    for (resource, quantity) in object.containers.iter().flat_map(|container| &container.usage) {
        let Ok(quantity) = Quantity::parse(&quantity.0) else { continue };
        match sums.get_mut(resource) {
            Some(sum) => sum.add(&quantity),
            None => _ = sums.insert(resource.clone(), quantity),
        }
    }
    sums.into_iter().map(|(resource, sum)| (resource, ApiQuantity(sum.canonical()))).collect()
}

fn compute<'a>(call: &'a Call<'a>, name: Option<&'a str>) -> BoxFuture<'a, Result<Vec<PodMetrics>, Status>> {
    async move {
        let Some(usage) = call.engine.usage() else { return Err(no_way()) };
        let found = usage.pods(call.namespace(), name).await?;
        match name {
            Some(name) if found.is_empty() => {
                let full = format!("{}/{name}", call.namespace());
                Err(Status::not_found(&GroupResource::new(GROUP, "podmetrics"), &full))
            }
            _ => Ok(found),
        }
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_of_all_containers() {
        let container = |cpu: &str, memory: &str| json!({"name": "a", "usage": {"cpu": cpu, "memory": memory}});
        let check = |containers: Value, cpu: &str, memory: &str| {
            let object = json!({"metadata": {"name": "p"}, "window": "10s", "containers": containers});
            let object: PodMetrics = serde_json::from_value(object).unwrap();
            let row = PodsMetrics.row(&object, Timestamp::UNIX_EPOCH);
            assert_eq!(row, ["p", cpu, memory, "10s"].map(|cell| json!(cell)));
        };
        check(json!([container("250m", "1Mi"), container("1500u", "512Ki")]), "251500u", "1536Ki");
        check(json!([container("5n", "7")]), "5n", "7");
        check(json!([]), "0", "0");
    }
}
