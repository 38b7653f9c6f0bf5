//! What the rules make of Services: as text for each feature ([`features`]), and as what happens to packets for arbitrary
//! Services ([`property`]), by going through the table as the kernel does ([`interpret`]) and by what the documentation says
//! ([`reference`]).

mod features;
mod interpret;
mod property;
mod reference;
mod worlds;

use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;

/// An object, as the API has it.
fn object<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}
