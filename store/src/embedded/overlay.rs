//! A disk that can be written to and stays as it is: for looking at a store that has to be repaired to be read.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;

use super::disk::Disk;

const PAGE: u64 = 4096;

/// What was written over a disk, in memory. It grows with what is written, which for opening a store is a part of the
/// engine's free lists.
#[derive(Debug)]
pub(super) struct Overlay<D> {
    below: D,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    len: u64,
    /// How much of the disk below still counts: what was cut off stays away.
    below: u64,
}

impl<D: Disk> Overlay<D> {
    /// An overlay of `below` with nothing written.
    pub(super) fn new(below: D) -> io::Result<Overlay<D>> {
        let len = below.len()?;
        Ok(Overlay { below, written: Mutex::new(Written { pages: BTreeMap::new(), len, below: len }) })
    }

    fn read_below(&self, visible: u64, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let present = usize::try_from(visible.saturating_sub(offset)).unwrap_or(usize::MAX).min(into.len());
        let (present, beyond) = into.split_at_mut(present);
        beyond.fill(0);
        if present.is_empty() { Ok(()) } else { self.below.read_at(offset, present) }
    }
}

/// The pages that `len` bytes at `offset` touch: for each its number, where in it they begin, and where in them.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE) as usize;
        let piece = done..len.min(done + PAGE as usize - within);
        done = piece.end;
        (!piece.is_empty()).then_some((at / PAGE, within, piece))
    })
}

impl<D: Disk> Disk for Overlay<D> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        if offset + into.len() as u64 > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_below(written.below, offset, into)?;
        for (page, within, piece) in pieces(offset, into.len()) {
            if let Some(content) = written.pages.get(&page) {
                into[piece.clone()].copy_from_slice(&content[within..within + piece.len()]);
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        let visible = written.below;
        for (page, within, piece) in pieces(offset, data.len()) {
            let content = match written.pages.entry(page) {
                std::collections::btree_map::Entry::Occupied(content) => content.into_mut(),
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    let mut content = Box::new([0; PAGE as usize]);
                    self.read_below(visible, page * PAGE, &mut content[..])?;
                    vacant.insert(content)
                }
            };
            content[within..within + piece.len()].copy_from_slice(&data[piece]);
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        written.len = len;
        written.below = written.below.min(len);
        drop(written.pages.split_off(&len.div_ceil(PAGE)));
        if let Some(cut) = written.pages.get_mut(&(len / PAGE)) {
            cut[(len % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::FileDisk;
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000u64, proptest::collection::vec(any::<u8>(), 1..9000))
                .prop_map(|(at, data)| Step::Write(at, data)),
            (0..30_000u64).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn reads_as_a_disk_that_was_written_to(
            base in proptest::collection::vec(any::<u8>(), 0..10_000),
            steps in proptest::collection::vec(step(), 0..12),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("base");
            std::fs::write(&path, &base).unwrap();
            let overlay = Overlay::new(FileDisk::open_read_only(&path).unwrap()).unwrap();
            let mut model = base.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        overlay.write_at(at, &data).unwrap();
                        let at = at as usize;
                        model.resize(model.len().max(at + data.len()), 0);
                        model[at..at + data.len()].copy_from_slice(&data);
                    }
                    Step::SetLen(len) => {
                        overlay.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                }
                let mut read = vec![0; overlay.len().unwrap() as usize];
                overlay.read_at(0, &mut read).unwrap();
                prop_assert_eq!(&read, &model);
            }
            prop_assert_eq!(std::fs::read(&path).unwrap(), base);
        }
    }
}
