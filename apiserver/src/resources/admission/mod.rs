//! What decides about requests besides the server itself: webhooks, and policies in CEL with their bindings.
//!
//! Expressions in CEL are not compiled here: they are required where they are, and names and numbers are checked.

mod binding;
mod matching;
mod policy;
mod webhooks;

pub(crate) use binding::{MutatingAdmissionPolicyBindings, ValidatingAdmissionPolicyBindings};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
pub(crate) use policy::{MutatingAdmissionPolicies, ValidatingAdmissionPolicies};
pub(crate) use webhooks::{MutatingWebhookConfigurations, ValidatingWebhookConfigurations};

/// How names end of what upstream reads from files.
const RESERVED_SUFFIX: &str = ".static.k8s.io";

/// Warns of a name that belongs to what is read from files.
fn reserved_name_warnings(meta: &ObjectMeta) -> Vec<String> {
    let reserved = meta.name.as_deref().is_some_and(|name| name.ends_with(RESERVED_SUFFIX));
    let warning = format!(
        "metadata.name: names ending with \"{RESERVED_SUFFIX}\" are reserved for static manifest-based configurations and \
         cannot be managed via the API"
    );
    if reserved { vec![warning] } else { Vec::new() }
}
