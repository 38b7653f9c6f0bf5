//! How documents are made: piece by piece into a stream, so that no document is ever in memory as a tree of values, and
//! kept only in compressed form.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::{Digest as _, Sha512};

use super::definitions::{Definitions, Dialect, references};

/// The members of a JSON object, written one by one.
#[derive(Default)]
pub(super) struct Members {
    any: bool,
}

impl Members {
    pub(super) fn write(&mut self, out: &mut dyn Write, name: &str, value: &Value) -> io::Result<()> {
        if std::mem::replace(&mut self.any, true) {
            out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b":")?;
        serde_json::to_writer(out, value)?;
        Ok(())
    }
}

/// The names of schemas that a document refers to.
#[derive(Default)]
pub(super) struct Wanted(BTreeSet<String>);

impl Wanted {
    /// Adds what `value` refers to.
    pub(super) fn add(&mut self, value: &Value) {
        let mut found = Vec::new();
        references(value, &mut found);
        self.0.extend(found);
    }

    /// The schemas that are referred to, and those that they refer to in turn.
    pub(super) fn closure(self, definitions: &Definitions, dialect: Dialect) -> Closure<'_> {
        Closure { definitions, dialect, done: BTreeSet::new(), wanted: self.0 }
    }
}

/// See [`Wanted::closure`].
pub(super) struct Closure<'a> {
    definitions: &'a Definitions,
    dialect: Dialect,
    done: BTreeSet<String>,
    wanted: BTreeSet<String>,
}

impl Iterator for Closure<'_> {
    type Item = (String, Value);

    fn next(&mut self) -> Option<(String, Value)> {
        let name = self.wanted.pop_first()?;
        let schema = self.definitions.definition(&name, self.dialect);
        let mut found = Vec::new();
        references(&schema, &mut found);
        self.done.insert(name.clone());
        self.wanted.extend(found.into_iter().filter(|name| !self.done.contains(name)));
        Some((name, schema))
    }
}

/// A finished document.
#[derive(Clone)]
pub(super) struct Document {
    /// The SHA-512 of its bytes, in upper-case hexadecimal digits.
    pub(super) hash: String,
    gzip: Bytes,
    /// Of the bytes.
    length: usize,
}

impl Document {
    /// Takes what `write` writes.
    pub(super) fn make(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Document> {
        let mut tee = Tee { hash: Sha512::new(), gzip: GzEncoder::new(Vec::new(), Compression::new(5)), length: 0 };
        write(&mut tee)?;
        let mut gzip = tee.gzip.finish()?;
        gzip.shrink_to_fit();
        Ok(Document { hash: format!("{:X}", tee.hash.finalize()), gzip: gzip.into(), length: tee.length })
    }

    /// Compressed.
    pub(super) fn gzip(&self) -> Bytes {
        self.gzip.clone()
    }

    /// As it is, made for a client that takes nothing else.
    pub(super) fn bytes(&self) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(self.length);
        GzDecoder::new(&*self.gzip).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// The hash of what `write` writes, which is not kept.
pub(super) fn hash(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<String> {
    let mut hash = Sha512::new();
    write(&mut hash)?;
    Ok(format!("{:X}", hash.finalize()))
}

struct Tee {
    hash: Sha512,
    gzip: GzEncoder<Vec<u8>>,
    length: usize,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.gzip.write_all(bytes)?;
        self.length += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.gzip.flush()
    }
}
