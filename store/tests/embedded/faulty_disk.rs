//! A disk in memory that crashes, tears, loses, fails and delays.
//!
//! It keeps what is certain to survive a crash apart from what was written since the last sync. A crash keeps a random
//! subset of the latter, sector by sector.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use store::Disk;

const SECTOR: usize = 512;
const BLOCK: u64 = 4096;

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Power fails: this call and every later one does nothing and fails.
    Crash,
    /// This call fails. A write has written the first half.
    Error(io::ErrorKind),
}

/// A faulty disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Pending>,
    /// How many writes, syncs and changes of length there were.
    calls: u64,
    syncs: u64,
    fault: Option<(u64, Fault)>,
    fail_syncs: bool,
    dead: bool,
    blocks: BTreeSet<u64>,
    max_blocks: Option<usize>,
    held: bool,
    waiting: usize,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Pending {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Pending::Write(at, data) => {
                let at = *at as usize;
                let end = (at + data.len()).max(to.len());
                to.resize(end, 0);
                to[at..at + data.len()].copy_from_slice(data);
            }
            Pending::SetLen(len) => to.resize(*len as usize, 0),
        }
    }
}

impl FaultyDisk {
    /// A disk on which exactly this is stored.
    pub(crate) fn holding(bytes: Vec<u8>) -> FaultyDisk {
        let disk = FaultyDisk::default();
        {
            let mut state = disk.0.0.lock();
            state.blocks = (0..bytes.len() as u64).step_by(BLOCK as usize).map(|at| at / BLOCK).collect();
            state.now = bytes.clone();
            state.synced = bytes;
        }
        disk
    }

    /// Makes the call after `calls` others fault.
    pub(crate) fn fault_after(&self, calls: u64, fault: Fault) {
        let mut state = self.0.0.lock();
        state.fault = Some((state.calls + calls, fault));
    }

    /// Makes every sync from here on fail.
    pub(crate) fn fail_syncs(&self) {
        self.0.0.lock().fail_syncs = true;
    }

    /// Lets the disk have room for only so many blocks more, or for any number.
    pub(crate) fn limit(&self, more: Option<usize>) {
        let mut state = self.0.0.lock();
        state.max_blocks = more.map(|more| state.blocks.len() + more);
    }

    /// Stops syncs until [`release`](FaultyDisk::release).
    pub(crate) fn hold(&self) {
        self.0.0.lock().held = true;
    }

    /// Lets syncs go on.
    pub(crate) fn release(&self) {
        self.0.0.lock().held = false;
        self.0.1.notify_all();
    }

    /// Waits until a sync is being held.
    pub(crate) fn wait_for_held_sync(&self) {
        let mut state = self.0.0.lock();
        while state.waiting == 0 {
            self.0.1.wait(&mut state);
        }
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.0.0.lock().calls
    }

    /// How many syncs succeeded.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.0.lock().syncs
    }

    /// What is on the disk now, as a process that is killed leaves it.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.0.0.lock().now.clone()
    }

    /// What a power failure at this moment might leave: what was synced, and any of what was written since, torn.
    pub(crate) fn after_power_failure(&self, seed: u64) -> FaultyDisk {
        let state = self.0.0.lock();
        let mut random = SmallRng::seed_from_u64(seed);
        let mut left = state.synced.clone();
        // Some crashes lose nearly everything, and some nearly nothing.
        let kept = random.random_range(0.0..=1.0);
        for pending in &state.pending {
            match pending {
                Pending::Write(at, data) => {
                    let torn = random.random_bool(0.3);
                    let whole = random.random_bool(kept);
                    for (sector, data) in data.chunks(SECTOR).enumerate() {
                        if if torn { random.random_bool(kept) } else { whole } {
                            Pending::Write(at + (sector * SECTOR) as u64, data.to_vec()).apply(&mut left);
                        }
                    }
                }
                Pending::SetLen(len) if *len as usize >= left.len() || random.random_bool(kept) => {
                    pending.apply(&mut left);
                }
                Pending::SetLen(_) => {}
            }
        }
        FaultyDisk::holding(left)
    }

    fn enter(&self) -> io::Result<(parking_lot::MutexGuard<'_, State>, Option<io::ErrorKind>)> {
        let mut state = self.0.0.lock();
        if state.dead {
            return Err(io::Error::other("the power has failed"));
        }
        let call = state.calls;
        state.calls += 1;
        match state.fault {
            Some((at, Fault::Crash)) if call >= at => {
                state.dead = true;
                Err(io::Error::other("the power fails"))
            }
            Some((at, Fault::Error(kind))) if call == at => Ok((state, Some(kind))),
            _ => Ok((state, None)),
        }
    }
}

impl Disk for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.0.lock().now.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.0.0.lock();
        if state.dead {
            return Err(io::Error::other("the power has failed"));
        }
        let offset = offset as usize;
        let from = state.now.get(offset..offset + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(from);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut state, fails) = self.enter()?;
        let mut fails = fails;
        let mut data = data;
        if fails.is_some() {
            data = &data[..data.len() / 2];
        }
        let touched = offset / BLOCK..(offset + data.len() as u64).div_ceil(BLOCK);
        let new: Vec<u64> = touched.filter(|block| !state.blocks.contains(block)).collect();
        if state.max_blocks.is_some_and(|max| state.blocks.len() + new.len() > max) && !new.is_empty() {
            // As a file system does it, that finds the room for what comes before.
            data = &data[..((new[0] * BLOCK).saturating_sub(offset) as usize).min(data.len())];
            fails = Some(io::ErrorKind::StorageFull);
        } else {
            state.blocks.extend(new);
        }
        let write = Pending::Write(offset, data.to_vec());
        write.apply(&mut state.now);
        state.pending.push(write);
        fails.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, fails) = self.enter()?;
        if let Some(kind) = fails {
            return Err(kind.into());
        }
        let set = Pending::SetLen(len);
        set.apply(&mut state.now);
        drop(state.blocks.split_off(&len.div_ceil(BLOCK)));
        state.pending.push(set);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, fails) = self.enter()?;
        while state.held {
            state.waiting += 1;
            self.0.1.notify_all();
            self.0.1.wait(&mut state);
            state.waiting -= 1;
        }
        if let Some(kind) = fails.or(state.fail_syncs.then_some(io::ErrorKind::Other)) {
            // What was to be written stays in doubt for good.
            return Err(kind.into());
        }
        state.synced = state.now.clone();
        state.syncs += 1;
        state.pending.clear();
        Ok(())
    }
}
