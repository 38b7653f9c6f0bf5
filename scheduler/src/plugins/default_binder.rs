//! DefaultBinder: a pod is bound by the API server.

use k8s_openapi::api::core::v1::Pod;

use crate::config::ExtensionPoint;
use crate::cycle::{Plugin, Write};

/// See the module.
pub struct DefaultBinder;

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        "DefaultBinder"
    }

    fn points(&self) -> &'static [ExtensionPoint] {
        &[ExtensionPoint::Bind]
    }

    fn bind(&self, _pod: &Pod, node: &str) -> Option<Write> {
        Some(Write::Bind(node.to_owned()))
    }
}
