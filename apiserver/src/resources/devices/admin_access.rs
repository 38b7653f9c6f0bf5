//! Access to devices that are in use by others: only for namespaces that are marked for it.

use api::field::{Error, ErrorList, Path};
use api::status::{GroupKind, Status};
use k8s_openapi::api::resource::v1::ResourceClaimSpec;

use crate::reservation::Ledger;

/// The label of namespaces whose claims may ask for such access.
const LABEL: &str = "resource.kubernetes.io/admin-access";

/// Refuses a claim, or a template of claims, that asks for such access where that is not allowed.
///
/// # Errors
/// `422` with what upstream says, or why the namespace could not be looked at.
pub(crate) async fn authorize(
    ledger: &Ledger,
    spec: Option<&ResourceClaimSpec>,
    kind: GroupKind,
    namespace: &str,
    name: &str,
) -> Result<(), Status> {
    let requests = spec.and_then(|spec| spec.devices.as_ref()).and_then(|devices| devices.requests.as_deref());
    let asks = |request: &k8s_openapi::api::resource::v1::DeviceRequest| {
        request.exactly.as_ref().and_then(|exactly| exactly.admin_access) == Some(true)
    };
    let Some(at) = requests.and_then(|requests| requests.iter().position(asks)) else { return Ok(()) };
    let path = Path::new("spec").child("devices").child("requests").index(at).child("adminAccess");
    let error = match ledger.namespace_label(namespace, LABEL).await {
        Ok(Some(value)) if value == "true" => return Ok(()),
        Ok(_) => {
            let detail =
                format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
            Error::forbidden(&path, detail)
        }
        Err(why) => Error::internal(&path, format!("could not retrieve namespace to verify admin access: {why}")),
    };
    Err(Status::invalid(&kind, name, &ErrorList::from(error)))
}
