//! What a scheduler is configured to do: `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`.
//!
//! [`load`] reads a file strictly, so that a misspelled field is an error and not a default, fills in what is not said,
//! and checks the whole, so that a [`Configuration`] that it gives is complete and consistent. [`expand`](expand()) then
//! says which plugins run at which extension point.

mod arguments;
mod decode;
mod defaults;
mod duration;
mod expand;
#[cfg(test)]
mod testing;
mod types;
mod validate;
mod validate_arguments;

use api::field::ErrorList;

pub use arguments::{
    Arguments, DefaultPreemptionArgs, DynamicResourcesArgs, InterPodAffinityArgs, NodeAffinityArgs,
    NodeResourcesBalancedAllocationArgs, NodeResourcesFitArgs, PodTopologySpreadArgs, RequestedToCapacityRatio,
    ResourceSpec, ScoringStrategy, UtilizationShapePoint, VolumeBindingArgs,
};
pub use duration::GoDuration;
pub use expand::{Expanded, expand};
pub use types::{
    ClientConnection, Configuration, Extender, ExtenderManagedResource, ExtenderTlsConfig, ExtensionPoint,
    LeaderElection, Plugin, PluginConfig, PluginSet, Plugins, Profile,
};

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It says something that cannot be.
    #[error("{0}")]
    Invalid(#[from] ErrorList),
}

/// Reads a configuration from YAML or JSON, and completes and checks it.
///
/// # Errors
/// Everything that is wrong with it, by the names of the fields.
pub fn load(text: &str) -> Result<Configuration, ConfigError> {
    let mut configuration = decode::decode(text).map_err(ConfigError::Unreadable)?;
    defaults::complete(&mut configuration);
    validate::validate(&configuration).into_result()?;
    Ok(configuration)
}

impl Default for Configuration {
    /// What a scheduler does that is not configured.
    fn default() -> Configuration {
        let mut configuration = decode::nothing();
        defaults::complete(&mut configuration);
        configuration
    }
}
