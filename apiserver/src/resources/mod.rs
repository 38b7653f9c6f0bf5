//! The built-in kinds, one file each.

use std::sync::Arc;

use crate::kind::{Builtin, Kind};
use crate::registry::Registry;
use crate::strategy::Strategy;

// tidy: sorted
mod config_map;
// tidy: end

/// Registers every built-in kind.
pub fn register_all(registry: &Registry) {
    // tidy: sorted
    registry.register(builtin(config_map::ConfigMaps));
    // tidy: end
}

fn builtin<S: Strategy>(strategy: S) -> Arc<dyn Kind> {
    Arc::new(Builtin::new(strategy))
}
