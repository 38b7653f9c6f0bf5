//! Loads images from archives into the node's runtime.
//!
//! CRI has no call for that, so this is for containerd alone, whose own services are behind the same socket. An archive is
//! checked as a whole before anything is sent. Pieces are sent first and names given last; until then they belong to a
//! lease, so that nothing half loaded can be seen, and what a failed attempt leaves behind is collected.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use oci::reference::InvalidReference;
use oci::{Archive, ArchiveError, Reference};

use super::containerd::Containerd;
use crate::cri::EndpointError;

/// Why an archive could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file, or it may not be read.
    #[error("cannot be opened: {0}")]
    Open(#[source] std::io::Error),
    /// It is of no use.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An image in it has no name.
    #[error("has an image without a name: give it one with --name")]
    Unnamed,
    /// The name that was given fits several images.
    #[error("has {0} images: --name is for archives with one")]
    Several(usize),
    /// It is to have a name that is none.
    #[error("{name:?} is no name of an image: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: InvalidReference,
    },
    /// The endpoint is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The runtime could not be asked, or did not take it.
    #[error("the container runtime failed: {}", .0.message())]
    Runtime(#[source] tonic::Status),
    /// What is behind the endpoint does not have containerd's services.
    #[error("the container runtime is not containerd, and other runtimes have no way to load images")]
    Foreign,
    /// The runtime took everything and does not show it.
    #[error("the container runtime has taken the image {0} and does not show it")]
    Unseen(String),
}

/// Opens an archive, `-` for standard input, and checks all of it.
pub async fn open(path: &Path) -> Result<Archive, LoadError> {
    let path = path.to_owned();
    blocking(move || {
        let file = if path.as_os_str() == "-" {
            use std::os::fd::AsFd;
            std::io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(&path)
        };
        Ok(Archive::read(file.map_err(LoadError::Open)?)?)
    })
    .await
}

/// Gives the one image of an archive a name.
pub fn rename(archive: &mut Archive, name: &str) -> Result<(), LoadError> {
    let reference: Result<Reference, _> = name.parse();
    let name = reference.map_err(|problem| LoadError::Name { name: name.to_owned(), problem })?;
    match archive.images.as_mut_slice() {
        [image] => image.names = vec![name.with_default_tag()],
        images => return Err(LoadError::Several(images.len())),
    }
    Ok(())
}

/// Checks that every image of an archive has a name.
pub fn check_names(archive: &Archive) -> Result<(), LoadError> {
    if archive.images.iter().any(|image| image.names.is_empty()) { Err(LoadError::Unnamed) } else { Ok(()) }
}

/// Loads the images of an archive into the containerd behind `endpoint`, all or none, replacing others of their names.
/// Returns their names, once the runtime shows them.
pub async fn load(endpoint: &str, archive: &Archive) -> Result<Vec<String>, LoadError> {
    check_names(archive)?;
    Containerd::at(endpoint)?.import(&archive.images).await
}

/// Loads an archive that is in memory.
pub async fn load_bytes(endpoint: &str, bytes: Vec<u8>) -> Result<Vec<String>, LoadError> {
    let archive = blocking(move || {
        let mut file = tempfile::tempfile().map_err(LoadError::Open)?;
        file.write_all(&bytes).and_then(|()| file.rewind()).map_err(LoadError::Open)?;
        Ok(Archive::read(file)?)
    });
    load(endpoint, &archive.await?).await
}

/// Does what waits for disks where that holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LoadError::Open(std::io::Error::other(error))),
    }
}
