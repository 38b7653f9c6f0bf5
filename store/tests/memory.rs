//! The suite over the memory backend, which is the mirror with next to nothing below it.

use std::sync::Arc;

use store::{Backend, MemoryBackend};

mod suite;

struct Memory;

impl suite::Fixture for Memory {
    const KEEPS: bool = false;

    async fn create() -> Self {
        Memory
    }

    async fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(MemoryBackend::new())
    }
}

backend_suite!(Memory);
