//! Makes layers: tar archives that are the same bytes whenever and by whomever they are made. Everything in them belongs
//! to root and is as old as the epoch.

use std::io;

use tar::{Builder, EntryType, Header};

/// A layer that is being made.
pub struct Layer {
    tar: Builder<Vec<u8>>,
}

impl Default for Layer {
    fn default() -> Layer {
        Layer { tar: Builder::new(Vec::new()) }
    }
}

impl Layer {
    /// Adds a directory. Paths are relative to the image's root. Fails if one is too long or leads out of the image.
    pub fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.append(path, EntryType::Directory, mode, &[])
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.append(path, EntryType::Regular, mode, content)
    }

    /// Adds another name for a file that was added before.
    pub fn hard_link(&mut self, path: &str, existing: &str) -> io::Result<()> {
        let mut header = header(EntryType::Link, 0o755);
        self.tar.append_link(&mut header, path, existing)
    }

    /// Adds a symbolic link.
    pub fn symbolic_link(&mut self, path: &str, target: &str) -> io::Result<()> {
        let mut header = header(EntryType::Symlink, 0o777);
        self.tar.append_link(&mut header, path, target)
    }

    fn append(&mut self, path: &str, entry_type: EntryType, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = header(entry_type, mode);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content)
    }

    /// The layer's bytes, not compressed.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.tar.into_inner()
    }
}

fn header(entry_type: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}
