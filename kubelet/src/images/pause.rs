//! The image of the pause program, which every sandbox runs: carried along, so that a machine without a registry has it.

use oci::{Image, Layer, Reference};

use super::archive::{self, LoadError};
use crate::cri::{self, Cri, v1};

/// What the image is called where we say what it is called.
pub const NAME: &str = "gantry.local/pause:1";

/// The program, as `build.rs` made it.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// An archive of the image under this name (OCI layout).
#[must_use]
pub fn archive(name: &str) -> Vec<u8> {
    let mut layer = Layer::default();
    let added = layer.file("pause", 0o755, PROGRAM).and_then(|()| layer.finish());
    let image = Image {
        name: name.to_owned(),
        entrypoint: vec!["/pause".to_owned()],
        // As upstream's: whoever has no rights need not be root.
        user: "65535:65535".to_owned(),
        working_directory: "/".to_owned(),
        layers: vec![added.expect("a short path and a small file always fit into an archive")],
        ..Image::default()
    };
    oci::layout::write(&[image]).expect("writing to memory cannot fail, and the names of blobs are short")
}

/// Which image the runtime makes sandboxes of, if it says so: containerd does, in what it adds to its status.
pub async fn configured(cri: &Cri) -> cri::Answer<Option<String>> {
    let status = cri.status(v1::StatusRequest { verbose: true }).await?;
    let config = status.info.get("config").and_then(|config| serde_json::from_str::<serde_json::Value>(config).ok());
    // What the second name is for: newer ones keep it among the images that are pinned.
    let name = config.as_ref().and_then(|config| {
        let pinned = config.pointer("/imageConfig/pinnedImages/sandbox").or(config.pointer("/pinnedImages/sandbox"));
        config.get("sandboxImage").or(pinned)?.as_str()
    });
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

/// Sees to it that the runtime behind `endpoint` has the image that it makes sandboxes of, and imports ours under that
/// name if it has not. Returns the image's name, which collection must spare; none if the runtime does not say, and
/// then sees to the image itself.
pub async fn ensure(cri: &Cri, endpoint: &str) -> Result<Option<String>, LoadError> {
    let Some(name) = configured(cri).await.map_err(LoadError::Runtime)? else { return Ok(None) };
    let spec = v1::ImageSpec { image: name.clone(), ..v1::ImageSpec::default() };
    let request = v1::ImageStatusRequest { image: Some(spec), verbose: false };
    if cri.image_status(request).await.map_err(LoadError::Runtime)?.image.is_none() {
        let reference: Reference = name.parse().map_err(|problem| LoadError::Name { name: name.clone(), problem })?;
        tracing::info!(image = name, "the runtime lacks the image of its sandboxes, and gets ours");
        archive::load_bytes(endpoint, archive(&reference.with_default_tag().to_string())).await?;
    }
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_program_is_small_and_ends_when_it_is_told_to() {
        assert!(PROGRAM.len() < 4096, "{} bytes", PROGRAM.len());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pause");
        std::fs::write(&path, PROGRAM).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
            let mut child = Command::new(&path).stdin(Stdio::null()).spawn().unwrap();
            let id = rustix::process::Pid::from_child(&child);
            // The kernel shows what is waited for as not blocked, so this is all that can be seen.
            let waits = |status: &str| status.contains("State:\tS");
            while !waits(&std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap()) {
                assert_eq!(child.try_wait().unwrap(), None);
                std::thread::yield_now();
            }
            // Neither a child that ends nor being stopped and continued is an end.
            for other in [rustix::process::Signal::CHILD, rustix::process::Signal::CONT] {
                rustix::process::kill_process(id, other).unwrap();
            }
            rustix::process::kill_process(id, signal).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0));
        }
    }

    #[test]
    fn the_archive_is_one_and_always_the_same() {
        let bytes = archive(NAME);
        assert_eq!(bytes, archive(NAME));
        assert!(bytes.len() < 32 << 10, "{} bytes", bytes.len());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let archive = oci::Archive::read(file).unwrap();
        assert_eq!(archive.images[0].names[0].to_string(), NAME);
    }
}
