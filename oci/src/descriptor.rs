//! How one piece of an image points to another: by the digest of its bytes, so that whoever has the first can check
//! every other.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An index of images, for one platform each or with one name each.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// What an image consists of.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// How an image is to be run.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer, as it is.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer, by gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Docker's name for an index.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's name for a manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Points to a piece of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:` and the digest in hexadecimal.
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// Who it is for, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What else is known of it: in an index of a layout, the image's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What machine an image is for, in the words of Go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// The system, such as `linux`.
    #[serde(default)]
    pub os: String,
}

/// What an image consists of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// An index of images.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) manifests: Vec<Descriptor>,
}

impl Descriptor {
    /// Points to these bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        let digest = digest(&mut &*bytes).expect("reading from memory cannot fail");
        Descriptor { media_type: media_type.to_owned(), digest, size: bytes.len() as u64, ..Descriptor::default() }
    }
}

/// The digest of all that can be read.
pub(crate) fn digest(from: &mut impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut text = String::from("sha256:");
    for byte in hash.finalize() {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    Ok(text)
}
