//! One transaction: stores it, and finds out what became of it when the disk fails.
//!
//! After a failed write the engine is opened anew, which brings it back to what is on the disk; the transaction is there
//! wholly or not at all. After a failed sync nothing on the disk can be relied on before the system has dropped what it
//! believes to have written, so no more is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Entry;
use super::compaction::{Slice, Superseded};
use super::engine::{Engine, Fault};
use super::log::{self, LOG, Meta, Record};
use super::slot::Slot;
use crate::key::Revision;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is on stable storage.
    Committed,
    /// It is certain that it is not stored.
    Absent,
    /// It may or may not be stored. If this is `resolvable`, [`Committer::resolve`] may find out later.
    Unknown {
        /// Whether it may still be found out by this process.
        resolvable: bool,
    },
}

/// Stores transactions in an engine, and opens the engine anew when that has failed.
pub(super) struct Committer {
    slot: Arc<Slot>,
    health: Health,
    retry_pause: Duration,
    /// What compaction may delete.
    pub(super) superseded: Superseded,
    /// The revision through which superseded changes are forgotten.
    pub(super) compacted: Revision,
}

#[derive(Debug)]
enum Health {
    Serving,
    /// A write failed. It is not tried again before `until`, since every failure costs opening the engine.
    Ailing {
        fault: Fault,
        until: Instant,
    },
    /// A sync failed, or something that should not have.
    Refusing {
        detail: String,
    },
}

impl Committer {
    /// Stores into the engine of `slot`. After a failed write it waits for `retry_pause` before it tries another.
    pub(super) fn new(slot: Arc<Slot>, retry_pause: Duration) -> Committer {
        Committer {
            slot,
            health: Health::Serving,
            retry_pause,
            superseded: Superseded::default(),
            compacted: Revision::ZERO,
        }
    }

    /// Whether it is worth trying to store something now.
    pub(super) fn accepts(&self) -> bool {
        match &self.health {
            Health::Serving => true,
            Health::Ailing { until, .. } => Instant::now() >= *until && self.slot.is_open(),
            Health::Refusing { .. } => false,
        }
    }

    /// When something that is due at `due` can be tried; `None` if never.
    pub(super) fn next_attempt(&self, due: Instant) -> Option<Instant> {
        match &self.health {
            Health::Serving => Some(due),
            Health::Ailing { until, .. } => Some(due.max(*until)),
            Health::Refusing { .. } => None,
        }
    }

    /// Why nothing was or is stored, if there is a reason.
    pub(super) fn refusal(&self) -> Option<String> {
        match &self.health {
            Health::Serving => None,
            Health::Ailing { fault, .. } if fault.no_space => {
                Some(format!("{}; make room on the disk that holds {}", fault.detail, self.slot.path().display()))
            }
            Health::Ailing { fault, .. } => Some(fault.detail.clone()),
            Health::Refusing { detail } => Some(detail.clone()),
        }
    }

    /// Whether the reason is that the disk is full.
    pub(super) fn lacks_space(&self) -> bool {
        matches!(&self.health, Health::Ailing { fault, .. } if fault.no_space)
    }

    /// Stores `behind`, then `batch`, then what `slice` compacts, wholly or not at all.
    pub(super) fn commit(&mut self, behind: &[Entry], batch: &[Entry], slice: Option<&Slice>) -> Outcome {
        let result = self.slot.with(|engine| write(engine, behind, batch, slice, None));
        match result {
            Some(Ok(())) => {
                self.health = Health::Serving;
                self.note_superseded(behind, batch);
                if let Some(slice) = slice {
                    self.superseded.done(slice);
                    self.compacted = slice.compacted;
                }
                Outcome::Committed
            }
            Some(Err(error)) => self.after_failure(&error, behind, batch, slice),
            None => Outcome::Absent,
        }
    }

    /// Finds out whether a transaction is stored of which it was not known.
    pub(super) fn resolve(&mut self, behind: &[Entry], batch: &[Entry]) -> Outcome {
        if let Health::Ailing { until, .. } = &self.health
            && Instant::now() < *until
        {
            return Outcome::Unknown { resolvable: true };
        }
        self.reopen(behind, batch, None)
    }

    /// Stores `behind`, and that nothing was lost.
    pub(super) fn finish(&mut self, behind: &[Entry]) {
        if matches!(self.health, Health::Refusing { .. }) {
            return;
        }
        let meta = Meta { compacted: self.compacted, clean: true };
        if let Some(Err(error)) = self.slot.with(|engine| write(engine, behind, &[], None, Some(meta))) {
            let lost = behind.len();
            tracing::error!(%error, lost, "could not close the store in an orderly way; the next opening recovers it");
        }
    }

    /// Lets go of the engine and the disk.
    pub(super) fn release(&self) {
        self.slot.release();
    }

    fn after_failure(
        &mut self,
        error: &redb::Error,
        behind: &[Entry],
        batch: &[Entry],
        slice: Option<&Slice>,
    ) -> Outcome {
        let unexplained = || Fault { sync: false, no_space: false, detail: error.to_string() };
        let fault = self.slot.with(Engine::fault).flatten().unwrap_or_else(unexplained);
        tracing::error!(%error, fault = fault.detail, "a transaction failed");
        if fault.sync {
            let detail = format!("{}, so it is not known what is on the disk: restart the process", fault.detail);
            self.health = Health::Refusing { detail };
            return Outcome::Unknown { resolvable: false };
        }
        self.health = Health::Ailing { fault, until: Instant::now() };
        self.reopen(behind, batch, slice)
    }

    /// Opens the engine anew and looks whether the transaction is there.
    fn reopen(&mut self, behind: &[Entry], batch: &[Entry], slice: Option<&Slice>) -> Outcome {
        let began = Instant::now();
        let reopened = self.slot.reopen();
        // Opening may have taken long; trying must not become all that this thread does.
        let pause = self.retry_pause.max(began.elapsed() * 4).min(self.retry_pause * 100);
        if let Health::Ailing { until, .. } = &mut self.health {
            *until = Instant::now() + pause;
        }
        if let Err(error) = reopened {
            tracing::error!(%error, "could not open the store anew");
            return Outcome::Unknown { resolvable: true };
        }
        let first = behind.first().or(batch.first()).map(|entry| entry.change.revision);
        let found = self.slot.with(|engine| {
            let meta = Meta::read(&engine.database)?;
            let present = match (first, slice) {
                (Some(first), _) => log::contains(&engine.database, first)?,
                (None, Some(slice)) => meta.compacted == slice.compacted,
                (None, None) => false,
            };
            Ok::<_, redb::Error>((present, meta))
        });
        match found {
            Some(Ok((false, meta))) => {
                self.refresh_compacted(meta.compacted);
                Outcome::Absent
            }
            Some(Ok((true, meta))) if self.sync_again(meta) => {
                self.health = Health::Serving;
                self.note_superseded(behind, batch);
                self.refresh_compacted(meta.compacted);
                Outcome::Committed
            }
            _ => {
                let detail = "a transaction was found whose flush had failed: restart the process".to_owned();
                self.health = Health::Refusing { detail };
                Outcome::Unknown { resolvable: false }
            }
        }
    }

    /// Commits something of no effect, after which everything before is on stable storage too.
    fn sync_again(&self, meta: Meta) -> bool {
        let meta = Meta { clean: false, ..meta };
        matches!(self.slot.with(|engine| write(engine, &[], &[], None, Some(meta))), Some(Ok(())))
    }

    fn note_superseded(&mut self, behind: &[Entry], batch: &[Entry]) {
        for entry in behind.iter().chain(batch) {
            self.superseded.changed(entry.change.revision, entry.before, entry.change.value.is_none());
        }
    }

    /// Takes over a compaction of which it was not known whether it had happened.
    fn refresh_compacted(&mut self, compacted: Revision) {
        if compacted > self.compacted {
            let slice = self.superseded.slice(compacted, usize::MAX);
            self.superseded.done(&slice);
            self.compacted = compacted;
        }
    }
}

fn write(
    engine: &Engine,
    behind: &[Entry],
    batch: &[Entry],
    slice: Option<&Slice>,
    meta: Option<Meta>,
) -> Result<(), redb::Error> {
    let mut transaction = engine.database.begin_write()?;
    transaction.set_quick_repair(super::QUICK_REPAIR);
    {
        let mut log = transaction.open_table(LOG)?;
        for Entry { change, .. } in behind.iter().chain(batch) {
            let key = change.key.as_str();
            let record = match &change.value {
                Some(value) => Record::Put { key, value },
                None => Record::Delete { key },
            };
            log::append(&mut log, change.revision, record)?;
        }
        for revision in slice.iter().flat_map(|slice| &slice.delete) {
            log.remove(revision.0)?;
        }
    }
    let compacted = slice.map(|slice| Meta { compacted: slice.compacted, clean: false });
    if let Some(meta) = meta.or(compacted) {
        meta.write(&transaction)?;
    }
    transaction.commit()?;
    Ok(())
}
