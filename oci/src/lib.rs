//! Container images as files: their names, archives of them, and how both are checked.
//!
//! Knows no runtime and no registry. Archives are the [OCI image layout](https://github.com/opencontainers/image-spec) in
//! a tar file, which this crate writes and reads, and what `docker save` wrote before that, which it reads.

pub mod archive;
mod blobs;
pub mod descriptor;
mod docker;
pub mod layer;
pub mod layout;
pub mod reference;

pub use archive::{Archive, ArchiveError};
pub use descriptor::Descriptor;
pub use layer::Layer;
pub use layout::Image;
pub use reference::Reference;

/// What images for this machine say of its processor, in the words of Go.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
