//! Makes the plugins of a profile.

use std::sync::Arc;

use super::default_binder::DefaultBinder;
use super::default_preemption::DefaultPreemption;
use super::dynamic_resources::DynamicResources;
use super::image_locality::ImageLocality;
use super::inter_pod_affinity::InterPodAffinity;
use super::node_affinity::NodeAffinity;
use super::node_declared_features::NodeDeclaredFeatures;
use super::node_name::NodeName;
use super::node_ports::NodePorts;
use super::node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
use super::node_resources_fit::NodeResourcesFit;
use super::node_unschedulable::NodeUnschedulable;
use super::node_volume_limits::NodeVolumeLimits;
use super::pod_topology_spread::PodTopologySpread;
use super::priority_sort::PrioritySort;
use super::scheduling_gates::SchedulingGates;
use super::taint_toleration::TaintToleration;
use super::volume_binding::VolumeBinding;
use super::volume_restrictions::VolumeRestrictions;
use super::volume_zone::VolumeZone;
use crate::config::{Arguments, PluginConfig};
use crate::cycle::Plugin;

/// All plugins, told what the configuration says. It was checked when it was read.
///
/// # Errors
/// What of that they cannot do.
pub fn all(configs: &[PluginConfig]) -> Result<Vec<Arc<dyn Plugin>>, String> {
    let told = |name: &str| configs.iter().find(|config| config.name == name).map(|config| &config.args);
    /// The plugin as it is told to be, or as it is by itself.
    macro_rules! made {
        ($plugin:ident) => {
            Arc::new(match told(stringify!($plugin)) {
                Some(Arguments::$plugin(args)) => $plugin::from(args),
                _ => $plugin::default(),
            })
        };
    }
    Ok(vec![
        Arc::new(SchedulingGates),
        Arc::new(PrioritySort),
        Arc::new(NodeUnschedulable),
        Arc::new(NodeName),
        Arc::new(TaintToleration),
        made!(NodeAffinity),
        Arc::new(NodePorts),
        made!(NodeResourcesFit),
        made!(PodTopologySpread),
        made!(InterPodAffinity),
        made!(DefaultPreemption),
        made!(NodeResourcesBalancedAllocation),
        Arc::new(ImageLocality),
        Arc::new(DefaultBinder),
        Arc::new(VolumeRestrictions),
        Arc::new(NodeVolumeLimits),
        made!(VolumeBinding),
        Arc::new(VolumeZone),
        Arc::new(DynamicResources),
        Arc::new(NodeDeclaredFeatures),
    ])
}
