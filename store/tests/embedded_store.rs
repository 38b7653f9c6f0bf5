//! The suite over the embedded backend, in a directory of the file system.

use std::sync::Arc;

use store::{Backend, Embedded, EmbeddedOptions};

mod suite;

struct OnDisk(tempfile::TempDir);

impl suite::Fixture for OnDisk {
    const KEEPS: bool = true;

    async fn create() -> Self {
        OnDisk(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    async fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(Embedded::open(self.0.path(), EmbeddedOptions::default()).expect("the store is free"))
    }
}

backend_suite!(OnDisk);
