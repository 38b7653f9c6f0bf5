//! Where the open engine is, shared by the writer and by backups, and replaced when the engine has to be opened anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::disk::Disk;
use super::engine::Engine;
use crate::error::OpenError;

/// A disk, and the engine that is open on it, if one is.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    cache_bytes: usize,
    disk: Mutex<Option<Arc<dyn Disk>>>,
    engine: RwLock<Option<Engine>>,
    closing: AtomicBool,
}

impl Slot {
    /// A slot for the store on `disk`; `path` is how errors name it.
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf, cache_bytes: usize) -> Slot {
        Slot {
            path,
            cache_bytes,
            disk: Mutex::new(Some(disk)),
            engine: RwLock::new(None),
            closing: AtomicBool::new(false),
        }
    }

    /// How errors name the store.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the engine, in place of one that may be open.
    pub(super) fn reopen(&self) -> Result<(), OpenError> {
        let mut engine = self.engine.write();
        if let Some(engine) = engine.take() {
            engine.fence();
        }
        let Some(disk) = self.disk.lock().clone() else {
            return Err(super::disk::io_error(&self.path, std::io::Error::other("the store is closed")));
        };
        *engine = Some(Engine::open(disk, &self.path, self.cache_bytes, false)?);
        Ok(())
    }

    /// Whether an engine is open.
    pub(super) fn is_open(&self) -> bool {
        self.engine.read().is_some()
    }

    /// Does something with the engine, which stays open meanwhile; `None` if there is none.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Engine) -> T) -> Option<T> {
        self.engine.read().as_ref().map(act)
    }

    /// Asks whoever uses the engine for long to stop.
    pub(super) fn set_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Whether whoever uses the engine for long is to stop.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Closes the engine and lets go of the disk, and so of its lock.
    pub(super) fn release(&self) {
        self.set_closing();
        drop(self.engine.write().take());
        drop(self.disk.lock().take());
    }
}
