//! What is in a tar archive, found once and read in place, in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use crate::archive::ArchiveError;
use crate::descriptor::{self, Descriptor};

/// The most entries of an archive.
const ENTRIES: usize = 100_000;
/// The most bytes of a manifest, an index or a configuration. Runtimes take no larger ones.
const METADATA: u64 = 4 << 20;
/// The most links that are followed from one file of an archive to another.
const LINKS: usize = 8;
/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The files of an archive.
pub(crate) struct Files {
    file: Arc<File>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    Content { offset: u64, size: u64 },
    Link(String),
}

/// One piece of an image, whose digest was seen to be right.
#[derive(Clone, Debug)]
pub struct Blob {
    /// What it is.
    pub descriptor: Descriptor,
    content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Memory(Arc<[u8]>),
    File { file: Arc<File>, offset: u64, size: u64 },
}

impl Blob {
    pub(crate) fn new(descriptor: Descriptor, content: Content) -> Blob {
        Blob { descriptor, content }
    }

    /// Its bytes, from the beginning.
    #[must_use]
    pub fn read(&self) -> Box<dyn Read + Send> {
        self.content.read()
    }
}

impl Content {
    pub(crate) fn read(&self) -> Box<dyn Read + Send> {
        match self {
            Content::Memory(bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
            Content::File { file, offset, size } => {
                Box::new(Section { file: Arc::clone(file), offset: *offset, end: offset + size })
            }
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File { size, .. } => *size,
        }
    }

    pub(crate) fn is_gzip(&self) -> Result<bool, ArchiveError> {
        let mut beginning = Vec::new();
        self.read().take(2).read_to_end(&mut beginning)?;
        Ok(beginning == GZIP)
    }
}

/// A part of a file.
struct Section {
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.end - self.offset).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..most], self.offset)?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive became shorter while it was read"));
        }
        self.offset += read as u64;
        Ok(read)
    }
}

impl Files {
    /// Finds what is in `file`. What is compressed, or no file that can be read anywhere, is copied to a temporary one.
    pub(crate) fn find(mut file: File) -> Result<Files, ArchiveError> {
        if file.metadata()?.is_dir() {
            return Err(ArchiveError::Directory);
        }
        if file.seek(SeekFrom::Start(0)).is_err() {
            let mut copy = tempfile::tempfile()?;
            io::copy(&mut file, &mut copy)?;
            file = copy;
        }
        file.seek(SeekFrom::Start(0))?;
        let mut beginning = Vec::new();
        (&file).take(2).read_to_end(&mut beginning)?;
        file.seek(SeekFrom::Start(0))?;
        if beginning == GZIP {
            let mut plain = tempfile::tempfile()?;
            let mut decoder = Decoder(MultiGzDecoder::new(BufReader::new(file)));
            io::copy(&mut decoder, &mut plain).map_err(|error| match error.get_ref() {
                Some(inner) if inner.is::<Damaged>() => ArchiveError::Compression(inner.to_string()),
                _ => ArchiveError::Read(error),
            })?;
            file = plain;
            file.seek(SeekFrom::Start(0))?;
        }
        Files::index(file)
    }

    fn index(file: File) -> Result<Files, ArchiveError> {
        let length = file.metadata()?.len();
        if length == 0 {
            return Err(ArchiveError::Empty);
        }
        let mut archive = tar::Archive::new(BufReader::new(file.try_clone()?));
        let mut entries = BTreeMap::new();
        for entry in archive.entries_with_seek()? {
            let entry = entry.map_err(|error| ArchiveError::Tar(error.to_string()))?;
            let path = entry.path().map_err(|error| ArchiveError::Tar(error.to_string()))?;
            let Some(path) = path.to_str().map(normal) else { continue };
            let target = || entry.link_name().ok().flatten().and_then(|link| link.to_str().map(str::to_owned));
            let found = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let (offset, size) = (entry.raw_file_position(), entry.size());
                    if offset.checked_add(size).is_none_or(|end| end > length) {
                        return Err(ArchiveError::Truncated(path));
                    }
                    Entry::Content { offset, size }
                }
                EntryType::Link => Entry::Link(normal(&target().unwrap_or_default())),
                EntryType::Symlink => Entry::Link(beside(&path, &target().unwrap_or_default())),
                _ => continue,
            };
            if entries.len() == ENTRIES {
                return Err(ArchiveError::TooMany(ENTRIES));
            }
            // As with any tar archive, what comes later replaces what came before.
            entries.insert(path, found);
        }
        Ok(Files { file: Arc::new(file), entries })
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// A file, which has to be there.
    pub(crate) fn get(&self, path: &str) -> Result<Content, ArchiveError> {
        let mut at = normal(path);
        for _ in 0..=LINKS {
            match self.entries.get(&at) {
                Some(Entry::Content { offset, size }) => {
                    return Ok(Content::File { file: Arc::clone(&self.file), offset: *offset, size: *size });
                }
                Some(Entry::Link(target)) => at.clone_from(target),
                None => break,
            }
        }
        Err(ArchiveError::Missing(path.to_owned()))
    }

    /// A file that is not large, and JSON.
    pub(crate) fn metadata<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ArchiveError> {
        parse(path, &self.bytes(path)?)
    }

    pub(crate) fn bytes(&self, path: &str) -> Result<Vec<u8>, ArchiveError> {
        let content = self.get(path)?;
        if content.size() > METADATA {
            return Err(ArchiveError::malformed(path, format!("is larger than {METADATA} bytes")));
        }
        let mut bytes = Vec::new();
        content.read().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What a descriptor points to, once its length and its digest have been seen to be right.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> Result<Blob, ArchiveError> {
        let path = blob_path(descriptor)?;
        let content = self.get(&path)?;
        if content.size() != descriptor.size {
            return Err(ArchiveError::Size { path, expected: descriptor.size, found: content.size() });
        }
        check_digest(&path, &descriptor.digest, &mut content.read())?;
        Ok(Blob::new(descriptor.clone(), content))
    }

    /// The same of JSON that is not large.
    pub(crate) fn parsed<T: serde::de::DeserializeOwned>(&self, it: &Descriptor) -> Result<(Blob, T), ArchiveError> {
        let blob = self.blob(it)?;
        let path = blob_path(it)?;
        let parsed = self.metadata(&path)?;
        Ok((blob, parsed))
    }
}

/// Where a layout has what a descriptor points to.
fn blob_path(descriptor: &Descriptor) -> Result<String, ArchiveError> {
    let value = descriptor.digest.strip_prefix("sha256:");
    let value = value.filter(|value| value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let value = value.ok_or_else(|| ArchiveError::Digest(descriptor.digest.clone()))?;
    Ok(format!("blobs/sha256/{value}"))
}

pub(crate) fn check_digest(path: &str, expected: &str, from: &mut impl Read) -> Result<(), ArchiveError> {
    let found = descriptor::digest(from)?;
    if found == expected {
        return Ok(());
    }
    Err(ArchiveError::Damaged { path: path.to_owned(), expected: expected.to_owned(), found })
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| ArchiveError::malformed(path, format!("does not parse: {error}")))
}

/// A path without `./` and slashes that say nothing.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Where a symbolic link at `path` leads within the archive.
fn beside(path: &str, target: &str) -> String {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    if target.starts_with('/') { normal(target) } else { normal(&format!("{directory}/{target}")) }
}

/// Tells an error of what is compressed from one of the disk.
struct Decoder<R>(MultiGzDecoder<R>);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Damaged(io::Error);

impl<R: io::BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                io::Error::other(Damaged(error))
            }
            _ => error,
        })
    }
}
