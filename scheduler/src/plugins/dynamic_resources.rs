//! DynamicResources: pods that claim devices are refused, as this scheduler does not allocate any. To send them to just any
//! node would be worse: nobody would ever prepare their devices. Costs a look at a flag a pod.

use crate::config::ExtensionPoint;
use crate::cycle::{Plugin, PreFilter};
use crate::queue::ClusterEvent;
use crate::snapshot::{PodInfo, Snapshot};

const REASON: &str = "pod has resource claims, and this scheduler does not allocate devices";

/// See the module. It can be configured wherever upstream's has something to do.
pub struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[
            ExtensionPoint::PreEnqueue,
            ExtensionPoint::PreFilter,
            ExtensionPoint::Filter,
            ExtensionPoint::PostFilter,
            ExtensionPoint::Score,
            ExtensionPoint::Reserve,
            ExtensionPoint::PreBind,
        ]
    }

    fn events(&self) -> Vec<ClusterEvent> {
        // Nothing helps.
        Vec::new()
    }

    fn pre_filter<'a>(&'a self, _snapshot: &'a Snapshot, pod: &'a PodInfo) -> PreFilter<'a> {
        if pod.claims_devices { PreFilter::Reject(REASON.to_owned()) } else { PreFilter::Skip }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::json;

    use super::*;
    use crate::cycle::{Candidate, Profile, schedule};
    use crate::testing;

    #[test]
    fn pods_that_claim_devices_are_refused() {
        let check = |spec, expected: &str| {
            let snapshot = testing::snapshot(&[testing::node("n", json!({}))], &[]);
            let info = PodInfo::new(&testing::pod("p", spec));
            let candidate = Candidate { uid: "p", info: &info, nominated_node: None };
            let profile = Profile::default();
            let decision = schedule(&snapshot, &profile, &candidate, 0, &mut StdRng::seed_from_u64(0));
            let told = decision.node.map_or_else(|| decision.verdicts.message(""), |_| "scheduled".to_owned());
            assert_eq!(told, expected);
        };
        check(json!({}), "scheduled");
        check(json!({"resourceClaims": []}), "scheduled");
        let refused = format!("0/1 nodes are available: {REASON}.");
        check(json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}]}), &refused);
        check(json!({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]}), &refused);
    }
}
