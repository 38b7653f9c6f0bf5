//! Writes archives of images: an OCI image layout in a tar file. The same images make the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::Serialize;
use serde_json::json;

use crate::Layer;
use crate::descriptor::{self, Descriptor, Index, Manifest, Platform};

/// Under which annotation of an index containerd finds an image's name.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Under which annotation the specification has it.
pub(crate) const OCI_NAME: &str = "org.opencontainers.image.ref.name";
/// The file that says that this is a layout.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";
/// The file that says what images there are.
pub(crate) const INDEX_FILE: &str = "index.json";

/// An image to be written, for this machine's kind.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Its full name with a tag, such as `gantry.local/pause:1`.
    pub name: String,
    /// What is always run.
    pub entrypoint: Vec<String>,
    /// Arguments, or what is run if there is no entrypoint, unless somebody says otherwise.
    pub command: Vec<String>,
    /// Variables, as `NAME=value`.
    pub environment: Vec<String>,
    /// Who runs it: `uid:gid`, or names. Root if it is empty.
    pub user: String,
    /// Where it is run.
    pub working_directory: String,
    /// What its file system is made of, the lowest first: tar archives as [`Layer`] makes them.
    pub layers: Vec<Vec<u8>>,
}

/// An archive of the images. Fails only if it becomes too large to be one.
pub fn write(images: &[Image]) -> io::Result<Vec<u8>> {
    let mut blobs = Blobs::default();
    blobs.archive.directory("blobs", 0o755)?;
    blobs.archive.directory("blobs/sha256", 0o755)?;
    let manifests = images.iter().map(|image| blobs.image(image)).collect::<io::Result<_>>()?;
    let index = Index { schema_version: 2, media_type: descriptor::INDEX.to_owned(), manifests };
    blobs.archive.file(INDEX_FILE, 0o644, &serde_json::to_vec(&index)?)?;
    blobs.archive.file(LAYOUT_FILE, 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    blobs.archive.finish()
}

/// The archive, and what is in it.
#[derive(Default)]
struct Blobs {
    archive: Layer,
    written: BTreeSet<String>,
}

impl Blobs {
    fn image(&mut self, image: &Image) -> io::Result<Descriptor> {
        let platform = Platform { architecture: crate::architecture().to_owned(), os: "linux".to_owned() };
        let layers = image.layers.iter().map(|layer| self.blob(descriptor::LAYER, layer));
        let layers: Vec<Descriptor> = layers.collect::<io::Result<_>>()?;
        let digests: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = Config {
            architecture: &platform.architecture,
            os: &platform.os,
            config: Run {
                user: &image.user,
                env: &image.environment,
                entrypoint: &image.entrypoint,
                cmd: &image.command,
                working_dir: &image.working_directory,
            },
            // A layer that is not compressed is what its digest says.
            rootfs: json!({"type": "layers", "diff_ids": digests}),
        };
        let config = self.blob(descriptor::CONFIG, &serde_json::to_vec(&config)?)?;
        let manifest = Manifest { schema_version: 2, media_type: descriptor::MANIFEST.to_owned(), config, layers };
        let mut manifest = self.blob(descriptor::MANIFEST, &serde_json::to_vec(&manifest)?)?;
        manifest.platform = Some(platform);
        let names = [CONTAINERD_NAME, OCI_NAME].map(|key| (key.to_owned(), image.name.clone()));
        manifest.annotations = Some(BTreeMap::from(names));
        Ok(manifest)
    }

    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> io::Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, bytes);
        if self.written.insert(descriptor.digest.clone()) {
            self.archive.file(&format!("blobs/{}", descriptor.digest.replace(':', "/")), 0o644, bytes)?;
        }
        Ok(descriptor)
    }
}

#[derive(Serialize)]
struct Config<'a> {
    architecture: &'a str,
    os: &'a str,
    config: Run<'a>,
    rootfs: serde_json::Value,
}

/// How an image is to be run.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    env: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
}
