//! Objects that a decision hangs on, where not knowing of one would be an answer.
//!
//! What always holds: that an object is not there is said by the store, and not by what this process knows of it, which may be
//! older than the object.

use api::status::Status;
use serde::de::DeserializeOwned;
use store::{At, Key};

use super::Review;
use crate::engine::read_failed;
use crate::entry::ROOT;

impl Review<'_> {
    /// An object that is stored at `path`, such as `core/namespaces`, as this process knows it, and if it does not, as the
    /// store has it. The namespace is empty for kinds without.
    pub(super) async fn look_up<T: DeserializeOwned>(
        &self,
        path: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, Status> {
        if let Some(known) = self.get(path, namespace, name).await? {
            return Ok(Some(known));
        }
        let within = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let Ok(key) = Key::new(&format!("{ROOT}{path}/{within}{name}")) else { return Ok(None) };
        let stored = self.call.engine.store().get(&key, At::Latest).await.map_err(read_failed)?;
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(Status::internal_error);
        stored.map(|stored| read(stored.entry.bytes())).transpose()
    }
}
