//! A new node takes no pods until it is known to be ready (upstream's TaintNodesByCondition): the taint goes by the node's
//! conditions, which are looked after once it is there.

use api::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};

use super::{Operation, Plugin, Review, typed_mut};
use crate::object::Object;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const NO_SCHEDULE: &str = "NoSchedule";

pub(super) struct TaintNewNodes;

impl Plugin for TaintNewNodes {
    fn handles(&self, review: &Review<'_>) -> bool {
        review.operation == Operation::Create && review.is_of("core/nodes")
    }

    fn mutate<'a>(
        &'a self,
        _: &'a Review<'a>,
        object: &'a mut dyn Object,
        _: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        if let Some(node) = typed_mut::<Node>(object) {
            taint(node.spec.get_or_insert_default());
        }
        async { Ok(()) }.boxed()
    }
}

fn taint(spec: &mut NodeSpec) {
    let taints = spec.taints.get_or_insert_default();
    if !taints.iter().any(|taint| taint.key == NOT_READY && taint.effect == NO_SCHEDULE) {
        taints.push(Taint { key: NOT_READY.to_owned(), effect: NO_SCHEDULE.to_owned(), ..Taint::default() });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn new_nodes_are_tainted_once() {
        let check = |given: Value, expected: Value| {
            let mut spec: NodeSpec = serde_json::from_value(given).unwrap();
            taint(&mut spec);
            assert_eq!(json!(spec.taints), expected);
        };
        let not_ready = || json!({"key": NOT_READY, "effect": "NoSchedule"});
        let mine = || json!({"key": "mine", "effect": "NoExecute"});
        let valued = json!({"key": NOT_READY, "value": "x", "effect": "NoSchedule"});
        let other = json!({"key": NOT_READY, "effect": "NoExecute"});
        check(json!({}), json!([not_ready()]));
        check(json!({"taints": [mine()]}), json!([mine(), not_ready()]));
        check(json!({"taints": [valued]}), json!([valued]));
        check(json!({"taints": [other]}), json!([other, not_ready()]));
    }
}
