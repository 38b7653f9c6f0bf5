//! What is stored: a log of changes by revision, and a few facts about it.
//!
//! The log's key is the revision, because appending costs the engine a fraction of what random keys do; the key → revision
//! index is the mirror, which is in memory anyway. Always true of a store:
//!
//! - at and before the compacted revision there are only puts, and one for each key that exists at that revision;
//! - after it there is every change in order, and a [`Record::Skip`] where revisions may have been lost;
//! - no revision at or before the last one is ever given to another change.

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::key::Revision;

/// Revision → [`Record`].
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const COMPACTED: &str = "compacted";
const CLEAN: &str = "clean";

const PUT: u8 = 1;
const DELETE: u8 = 2;
const SKIP: u8 = 3;

/// Tag and length of the key.
const PREFIX_BYTES: usize = 3;

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// `key` was set to `value`.
    Put {
        /// The key's text.
        key: &'a str,
        /// The stored bytes.
        value: &'a [u8],
    },
    /// `key` was deleted.
    Delete {
        /// The key's text.
        key: &'a str,
    },
    /// The revisions between the one before this and this one may have been given to changes that a crash lost.
    Skip,
}

impl<'a> Record<'a> {
    /// Reads what [`append`] wrote; the error says what is wrong.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Record<'a>, String> {
        let Some((&[tag, low, high], rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Err(format!("a record of {} bytes is too short", bytes.len()));
        };
        let Some((key, value)) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high]))) else {
            return Err("a record's key is longer than the record".to_owned());
        };
        let key = std::str::from_utf8(key).map_err(|_| "a record's key is not UTF-8".to_owned())?;
        match tag {
            PUT => Ok(Record::Put { key, value }),
            DELETE if value.is_empty() => Ok(Record::Delete { key }),
            SKIP if value.is_empty() && key.is_empty() => Ok(Record::Skip),
            _ => Err(format!("a record has the unknown tag {tag} or bytes too many")),
        }
    }

    fn parts(&self) -> (u8, &'a str, &'a [u8]) {
        match *self {
            Record::Put { key, value } => (PUT, key, value),
            Record::Delete { key } => (DELETE, key, &[]),
            Record::Skip => (SKIP, "", &[]),
        }
    }
}

/// Puts `record` into the log at `revision`.
pub(super) fn append(
    log: &mut Table<'_, u64, &[u8]>,
    revision: Revision,
    record: Record<'_>,
) -> Result<(), redb::Error> {
    let (tag, key, value) = record.parts();
    let key_bytes = u16::try_from(key.len()).expect("a key has at most 1,024 bytes").to_le_bytes();
    let mut space = log.insert_reserve(revision.0, PREFIX_BYTES + key.len() + value.len())?;
    let (prefix, rest) = space.as_mut().split_at_mut(PREFIX_BYTES);
    prefix.copy_from_slice(&[tag, key_bytes[0], key_bytes[1]]);
    let (key_space, value_space) = rest.split_at_mut(key.len());
    key_space.copy_from_slice(key.as_bytes());
    value_space.copy_from_slice(value);
    Ok(())
}

/// The facts beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// The revision through which superseded changes are forgotten.
    pub(super) compacted: Revision,
    /// Whether the last process to write let go of the store in an orderly way, so that it lost nothing.
    pub(super) clean: bool,
}

impl Meta {
    /// Stores these facts.
    pub(super) fn write(self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut meta = transaction.open_table(META)?;
        meta.insert(COMPACTED, self.compacted.0)?;
        meta.insert(CLEAN, u64::from(self.clean))?;
        Ok(())
    }

    /// Reads them.
    pub(super) fn read(database: &Database) -> Result<Meta, redb::Error> {
        Meta::read_in(&database.begin_read()?)
    }

    /// Reads them as `transaction` sees them.
    pub(super) fn read_in(transaction: &ReadTransaction) -> Result<Meta, redb::Error> {
        let meta = transaction.open_table(META)?;
        let compacted = meta.get(COMPACTED)?.map(|fact| fact.value());
        let clean = meta.get(CLEAN)?.map(|fact| fact.value());
        match (compacted, clean) {
            (Some(compacted), Some(clean @ (0 | 1))) => Ok(Meta { compacted: Revision(compacted), clean: clean == 1 }),
            _ => Err(redb::Error::Corrupted(format!("its facts are compacted={compacted:?} clean={clean:?}"))),
        }
    }
}

/// Makes the tables of an empty store.
pub(super) fn initialise(database: &Database, meta: Meta) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(LOG)?;
    meta.write(&transaction)?;
    transaction.commit()?;
    Ok(())
}

/// The last revision in the log, if there is any.
pub(super) fn last_revision(database: &Database) -> Result<Option<Revision>, redb::Error> {
    let log = database.begin_read()?.open_table(LOG)?;
    Ok(log.last()?.map(|(revision, _)| Revision(revision.value())))
}

/// Whether the log has a record at `revision`.
pub(super) fn contains(database: &Database, revision: Revision) -> Result<bool, redb::Error> {
    let log = database.begin_read()?.open_table(LOG)?;
    Ok(log.get(revision.0)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_records_are_refused() {
        for (bytes, says) in [
            (&b""[..], "too short"),
            (b"\x01\x00", "too short"),
            (b"\x01\x05\x00/abc", "longer than the record"),
            (b"\x01\x02\x00\xff\xffv", "not UTF-8"),
            (b"\x02\x02\x00/av", "bytes too many"),
            (b"\x03\x02\x00/a", "bytes too many"),
            (b"\x07\x02\x00/a", "unknown tag 7"),
        ] {
            let error = Record::decode(bytes).unwrap_err();
            assert!(error.contains(says), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let database = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let records = [
            Record::Put { key: "/a", value: b"value" },
            Record::Put { key: "/a/b", value: b"" },
            Record::Delete { key: "/a" },
            Record::Skip,
        ];
        let transaction = database.begin_write().unwrap();
        {
            let mut log = transaction.open_table(LOG).unwrap();
            for (at, record) in (1..).zip(records) {
                append(&mut log, Revision(at), record).unwrap();
            }
        }
        transaction.commit().unwrap();
        let log = database.begin_read().unwrap().open_table(LOG).unwrap();
        for (at, record) in (1..).zip(records) {
            assert_eq!(Record::decode(log.get(at).unwrap().unwrap().value()), Ok(record));
        }
    }
}
