//! Reads what `docker save` writes: a list of images, and for each its configuration and its layers as plain files. It has
//! no manifest of the kind that runtimes keep, so one is made.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::archive::{ArchiveError, ArchivedImage, Blob, Config, is_ours, parse_name};
use crate::blobs::{Content, Files, check_digest, parse};
use crate::descriptor::{self, Descriptor};

/// The file that says what images there are.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// An image, as the list has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(crate) fn images(files: &Files) -> Result<Vec<ArchivedImage>, ArchiveError> {
    let saved: Vec<Saved> = files.metadata(MANIFEST_FILE)?;
    let mut others = Vec::new();
    let mut images = Vec::new();
    for saved in saved {
        images.extend(image(files, &saved, &mut others)?);
    }
    if images.is_empty() && !others.is_empty() {
        return Err(ArchiveError::Platform { others: others.join(", ") });
    }
    Ok(images)
}

fn image(files: &Files, saved: &Saved, others: &mut Vec<String>) -> Result<Option<ArchivedImage>, ArchiveError> {
    let bytes = files.bytes(&saved.config)?;
    if let Some(digest) = digest_in_name(&saved.config) {
        check_digest(&saved.config, &digest, &mut bytes.as_slice())?;
    }
    let config: Config = parse(&saved.config, &bytes)?;
    if !is_ours(&config.platform, others) {
        return Ok(None);
    }
    let paths = saved.layers.as_deref().unwrap_or_default();
    if paths.len() != config.rootfs.diff_ids.len() {
        let problem = format!("has {} layers, its image {}", config.rootfs.diff_ids.len(), paths.len());
        return Err(ArchiveError::malformed(&saved.config, problem));
    }
    let layers = paths.iter().zip(&config.rootfs.diff_ids).map(|(path, diff_id)| layer(files, path, diff_id));
    let layers: Vec<Blob> = layers.collect::<Result<_, _>>()?;
    let config = in_memory(DOCKER_CONFIG, bytes);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": descriptor::DOCKER_MANIFEST,
        "config": config.descriptor,
        "layers": layers.iter().map(|layer| &layer.descriptor).collect::<Vec<_>>(),
    });
    let manifest = in_memory(descriptor::DOCKER_MANIFEST, manifest.to_string().into_bytes());
    let names = saved.repo_tags.iter().flatten().map(|name| parse_name(name)).collect::<Result<_, _>>()?;
    Ok(Some(ArchivedImage { names, manifest, config, layers }))
}

/// A layer, which `diff_id` is the digest of once it is unpacked. Docker writes plain layers; other tools compress them.
fn layer(files: &Files, path: &str, diff_id: &str) -> Result<Blob, ArchiveError> {
    let content = files.get(path)?;
    let mut descriptor = Descriptor { size: content.size(), ..Descriptor::default() };
    if content.is_gzip()? {
        let mut plain = flate2::bufread::MultiGzDecoder::new(std::io::BufReader::new(content.read()));
        check_digest(path, diff_id, &mut plain).map_err(|error| match error {
            ArchiveError::Read(error) => ArchiveError::malformed(path, format!("cannot be unpacked: {error}")),
            error => error,
        })?;
        descriptor.media_type = DOCKER_LAYER_GZIP.to_owned();
        descriptor.digest = descriptor::digest(&mut content.read())?;
    } else {
        check_digest(path, diff_id, &mut content.read())?;
        descriptor.media_type = DOCKER_LAYER.to_owned();
        descriptor.digest = diff_id.to_owned();
    }
    Ok(Blob::new(descriptor, content))
}

/// Configurations are named after their digests, in one of two ways. Other tools may call them anything.
fn digest_in_name(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let value = name.strip_suffix(".json").unwrap_or(name);
    let is_digest = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| format!("sha256:{value}"))
}

fn in_memory(media_type: &str, bytes: Vec<u8>) -> Blob {
    Blob::new(Descriptor::of(media_type, &bytes), Content::Memory(Arc::from(bytes)))
}
