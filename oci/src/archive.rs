//! Reads archives of images, and believes nothing: before anything is handed on, every piece was found, is as long as it
//! should be, has the digest that points to it, and each layer unpacks to what the image's configuration says.

use std::fs::File;
use std::io;

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

use crate::blobs::{Files, check_digest};
use crate::descriptor::{self, Descriptor, Index, Manifest, Platform};
use crate::docker;
use crate::layout::{CONTAINERD_NAME, INDEX_FILE, LAYOUT_FILE, OCI_NAME};
use crate::reference::{InvalidReference, Reference};

pub use crate::blobs::Blob;

/// How deep an index may point to other indexes.
const NESTING: usize = 4;
/// The most images of an archive.
const IMAGES: usize = 1_000;
/// The most layers of an image. No kernel stacks as many.
const LAYERS: usize = 1_000;

/// An archive that was checked.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Its images for this machine, at least one.
    pub images: Vec<ArchivedImage>,
}

/// An image of an archive.
#[derive(Clone, Debug)]
pub struct ArchivedImage {
    /// Its names, each with a tag or a digest. There may be none.
    pub names: Vec<Reference>,
    /// What it consists of.
    pub manifest: Blob,
    /// How it is to be run.
    pub config: Blob,
    /// What its file system is made of, the lowest first.
    pub layers: Vec<Blob>,
}

/// Why an archive is of no use. The sentences go on after the archive's name.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or not be copied to where it can be.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is a directory.
    #[error("is a directory: pack it with `tar -cf FILE -C DIRECTORY .`")]
    Directory,
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It is no tar archive.
    #[error("is not a tar archive, plain or compressed with gzip, or is damaged: {0}")]
    Tar(String),
    /// What is compressed ends early, or is damaged.
    #[error("is damaged: it cannot be decompressed: {0}")]
    Compression(String),
    /// It ends within a file.
    #[error("is not complete: it ends in the middle of {0}")]
    Truncated(String),
    /// It has more files than any image.
    #[error("has more than {0} files: it is no archive of images")]
    TooMany(usize),
    /// It is a tar archive of something else.
    #[error(
        "is not an archive of images: it has neither index.json, as OCI layouts do, nor manifest.json, as `docker save` writes it"
    )]
    Foreign,
    /// It points to a file that it does not have.
    #[error("is not complete: {0} is missing")]
    Missing(String),
    /// A file is not as long as what points to it says.
    #[error("is damaged: {path} has {found} bytes, not {expected}")]
    Size {
        /// Which.
        path: String,
        /// As it should be.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// A file has another digest than what points to it says.
    #[error("is damaged: {path} has the digest {found}, not {expected}")]
    Damaged {
        /// Which.
        path: String,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A digest is of a kind that is not known here.
    #[error("has the digest {0:?}, of which only the kind sha256 is understood")]
    Digest(String),
    /// A file makes no sense.
    #[error("is malformed: {path} {problem}")]
    Malformed {
        /// Which.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It has a name that is none.
    #[error("names an image {name:?}: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: InvalidReference,
    },
    /// None of its images is for this machine.
    #[error("has no image for linux/{ours}, but for: {others}", ours = crate::architecture())]
    Platform {
        /// Which machines they are for.
        others: String,
    },
    /// It has no images at all.
    #[error("has no images")]
    NoImages,
}

impl ArchiveError {
    pub(crate) fn malformed(path: &str, problem: impl Into<String>) -> ArchiveError {
        ArchiveError::Malformed { path: path.to_owned(), problem: problem.into() }
    }
}

impl Archive {
    /// Reads and checks an archive, plain or compressed with gzip; `file` may be a pipe, too. Blocks until all of it was
    /// read.
    pub fn read(file: File) -> Result<Archive, ArchiveError> {
        let files = Files::find(file)?;
        let images = if files.contains(INDEX_FILE) {
            layout(&files)?
        } else if files.contains(docker::MANIFEST_FILE) {
            docker::images(&files)?
        } else {
            return Err(ArchiveError::Foreign);
        };
        if images.is_empty() {
            return Err(ArchiveError::NoImages);
        }
        Ok(Archive { images })
    }
}

/// What a layout says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

/// What matters here of how an image is to be run.
#[derive(Deserialize)]
pub(crate) struct Config {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    pub(crate) rootfs: RootFilesystem,
}

#[derive(Deserialize)]
pub(crate) struct RootFilesystem {
    #[serde(default)]
    pub(crate) diff_ids: Vec<String>,
}

fn layout(files: &Files) -> Result<Vec<ArchivedImage>, ArchiveError> {
    let layout: Layout = files.metadata(LAYOUT_FILE)?;
    if !layout.image_layout_version.starts_with("1.") {
        let problem = format!("says version {:?}, of which only 1 is understood", layout.image_layout_version);
        return Err(ArchiveError::malformed(LAYOUT_FILE, problem));
    }
    let index: Index = files.metadata(INDEX_FILE)?;
    let mut images = Vec::new();
    let mut others = Vec::new();
    for descriptor in &index.manifests {
        if let Some(mut image) = resolve(files, descriptor, NESTING, &mut others)? {
            image.names = names(descriptor)?;
            images.push(image);
        }
        if images.len() > IMAGES {
            return Err(ArchiveError::malformed(INDEX_FILE, format!("has more than {IMAGES} images")));
        }
    }
    if images.is_empty() && !others.is_empty() {
        others.sort();
        others.dedup();
        return Err(ArchiveError::Platform { others: others.join(", ") });
    }
    Ok(images)
}

/// The name that an index gives to what it points to. A bare tag is no name.
fn names(descriptor: &Descriptor) -> Result<Vec<Reference>, ArchiveError> {
    let annotation = |key: &str| descriptor.annotations.as_ref().and_then(|annotations| annotations.get(key));
    let qualified = annotation(OCI_NAME).filter(|name| name.contains(['/', ':', '@']));
    annotation(CONTAINERD_NAME).or(qualified).map(|name| parse_name(name)).into_iter().collect()
}

pub(crate) fn parse_name(name: &str) -> Result<Reference, ArchiveError> {
    let parsed: Result<Reference, _> = name.parse();
    parsed.map(Reference::with_default_tag).map_err(|problem| ArchiveError::Name { name: name.to_owned(), problem })
}

/// The image for this machine that a descriptor points to, directly or through an index. The machines that it has others
/// for are added to `others`.
fn resolve(
    files: &Files,
    descriptor: &Descriptor,
    nesting: usize,
    others: &mut Vec<String>,
) -> Result<Option<ArchivedImage>, ArchiveError> {
    if descriptor.platform.as_ref().is_some_and(|platform| !is_ours(platform, others)) {
        return Ok(None);
    }
    match descriptor.media_type.as_str() {
        descriptor::MANIFEST | descriptor::DOCKER_MANIFEST => {
            let (blob, manifest) = files.parsed(descriptor)?;
            image(files, blob, &manifest, others)
        }
        descriptor::INDEX | descriptor::DOCKER_INDEX => {
            let (_, index): (_, Index) = files.parsed(descriptor)?;
            if nesting == 0 {
                return Err(ArchiveError::malformed(&descriptor.digest, "is an index too deep within others"));
            }
            for inner in &index.manifests {
                if let Some(image) = resolve(files, inner, nesting - 1, others)? {
                    return Ok(Some(image));
                }
            }
            Ok(None)
        }
        // Signatures, and whatever else a registry may keep beside images.
        _ => Ok(None),
    }
}

/// Whether an image is for this machine. If not, what it is for is added to `others`.
pub(crate) fn is_ours(platform: &Platform, others: &mut Vec<String>) -> bool {
    let ours = platform.os == "linux" && platform.architecture == crate::architecture();
    // Attestations are said to be for `unknown/unknown`.
    if !ours && platform.os != "unknown" {
        others.push(format!("{}/{}", platform.os, platform.architecture));
    }
    ours
}

fn image(
    files: &Files,
    blob: Blob,
    manifest: &Manifest,
    others: &mut Vec<String>,
) -> Result<Option<ArchivedImage>, ArchiveError> {
    let digest = &blob.descriptor.digest;
    if manifest.layers.len() > LAYERS {
        return Err(ArchiveError::malformed(digest, format!("has more than {LAYERS} layers")));
    }
    let (config_blob, config): (_, Config) = files.parsed(&manifest.config)?;
    if !is_ours(&config.platform, others) {
        return Ok(None);
    }
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        let problem = format!("has {} layers, its image {}", config.rootfs.diff_ids.len(), manifest.layers.len());
        return Err(ArchiveError::malformed(&manifest.config.digest, problem));
    }
    let mut layers = Vec::new();
    for (descriptor, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let layer = files.blob(descriptor)?;
        check_unpacked(&layer, diff_id)?;
        layers.push(layer);
    }
    Ok(Some(ArchivedImage { names: Vec::new(), manifest: blob, config: config_blob, layers }))
}

/// Checks that a layer unpacks to what the image's configuration says. What is compressed in a way not known here is the
/// runtime's to check.
fn check_unpacked(layer: &Blob, diff_id: &str) -> Result<(), ArchiveError> {
    let media_type = &layer.descriptor.media_type;
    let digest = &layer.descriptor.digest;
    if media_type.ends_with("gzip") {
        let mut plain = MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, layer.read()));
        return match check_digest(digest, diff_id, &mut plain) {
            Err(ArchiveError::Read(error)) => {
                Err(ArchiveError::malformed(digest, format!("cannot be unpacked: {error}")))
            }
            checked => checked,
        };
    }
    if media_type.ends_with("tar") && digest != diff_id {
        return Err(ArchiveError::malformed(digest, format!("is a layer that should be {diff_id}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
