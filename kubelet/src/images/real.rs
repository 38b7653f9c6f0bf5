//! What only a real runtime can show: a containerd of the test's own, in a directory of its own. Skipped where there is no
//! containerd, and without root.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use oci::{Archive, Image, Layer};
use tokio::process::{Child, Command};

use super::{archive, pause};
use crate::cri::{Cri, v1};

/// How long containerd may take to start on a machine that has much else to do.
const START: Duration = Duration::from_secs(60);

struct Running {
    process: Child,
    directory: tempfile::TempDir,
    endpoint: String,
    cri: Cri,
}

impl Running {
    /// A containerd that is ready, or none where there can be none.
    #[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
    async fn start() -> Option<Running> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can run containerd");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"registry.example/pause:3.9\"\n\
             disable_tcp_service = true\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\nsnapshotter = \"native\"\n",
            at("root"),
            at("state"),
            at("socket"),
            at("ttrpc"),
        );
        std::fs::write(at("config.toml"), config).unwrap();
        let mut command = Command::new("containerd");
        command.args(["--config", &at("config.toml"), "--log-level", "error"]).kill_on_drop(true);
        let Ok(process) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            println!("skipped: containerd is not installed");
            return None;
        };
        let endpoint = format!("unix://{}", at("socket"));
        let cri = Cri::at(&endpoint).unwrap();
        let ready = async {
            while cri.version(v1::VersionRequest::default()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(START, ready).await.expect("containerd should start");
        Some(Running { process, directory, endpoint, cri })
    }

    async fn image(&self, name: &str) -> Option<v1::Image> {
        let spec = v1::ImageSpec { image: name.to_owned(), ..v1::ImageSpec::default() };
        self.cri.image_status(v1::ImageStatusRequest { image: Some(spec), verbose: false }).await.unwrap().image
    }

    /// How much is in the content store, names aside.
    fn blobs(&self) -> usize {
        let path = self.directory.path().join("root/io.containerd.content.v1.content/blobs/sha256");
        std::fs::read_dir(path).map_or(0, Iterator::count)
    }

    async fn stop(mut self) {
        let id = self.process.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.process.wait().await.unwrap();
    }
}

/// An image of `layers` layers, on which nothing else is built.
fn image(name: &str, content: &str, layers: usize) -> Image {
    let layer = |number: usize| {
        let mut layer = Layer::default();
        layer.file(&format!("file{number}"), 0o644, content.as_bytes()).unwrap();
        layer.finish().unwrap()
    };
    Image { name: name.to_owned(), layers: (0..layers).map(layer).collect(), ..Image::default() }
}

async fn write_and_open(path: &Path, images: &[Image]) -> Archive {
    std::fs::write(path, oci::layout::write(images).unwrap()).unwrap();
    archive::open(path).await.unwrap()
}

#[tokio::test]
async fn the_pause_image_is_imported_where_it_is_missing() {
    let Some(containerd) = Running::start().await else { return };
    let name = "registry.example/pause:3.9";
    assert_eq!(pause::configured(&containerd.cri).await.unwrap().as_deref(), Some(name));
    assert_eq!(containerd.image(name).await, None);
    // The second time there is nothing to do.
    for _ in 0..2 {
        let ensured = pause::ensure(&containerd.cri, &containerd.endpoint).await.unwrap();
        assert_eq!(ensured.as_deref(), Some(name));
        let image = containerd.image(name).await.unwrap();
        assert_eq!(image.repo_tags, [name]);
        assert_eq!(image.uid.unwrap().value, 65535);
        assert_eq!(containerd.blobs(), 3);
    }
    containerd.stop().await;
}

#[tokio::test]
async fn archives_are_loaded_whole_and_again() {
    let Some(containerd) = Running::start().await else { return };
    let path = containerd.directory.path().join("archive.tar");
    let names = ["gantry.local/a:1".to_owned(), "gantry.local/b:1".to_owned()];
    let archive = write_and_open(&path, &[image(&names[0], "one", 3), image(&names[1], "other", 1)]).await;
    assert_eq!(archive::load(&containerd.endpoint, &archive).await.unwrap(), names);
    let first = containerd.image(&names[0]).await.unwrap();
    assert!(containerd.image(&names[1]).await.is_some());

    // The same again changes nothing, and another image takes the name over.
    assert_eq!(archive::load(&containerd.endpoint, &archive).await.unwrap(), names);
    assert_eq!(containerd.image(&names[0]).await.unwrap(), first);
    let archive = write_and_open(&path, &[image(&names[0], "two", 2)]).await;
    archive::load(&containerd.endpoint, &archive).await.unwrap();
    let changed = async {
        while containerd.image(&names[0]).await.is_none_or(|image| image.id == first.id) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(START, changed).await.expect("the name should go over");
    containerd.stop().await;
}

#[tokio::test]
async fn an_archive_that_changes_once_it_was_checked_leaves_nothing() {
    let Some(containerd) = Running::start().await else { return };
    let path = containerd.directory.path().join("archive.tar");
    let archive = write_and_open(&path, &[image("gantry.local/a:1", "as it was", 1)]).await;
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|window| window == b"as it was").unwrap();
    bytes[at] = b'A';
    // In place: what was checked is the file, not its name.
    std::fs::write(&path, bytes).unwrap();
    let error = archive::load(&containerd.endpoint, &archive).await.unwrap_err();
    assert!(error.to_string().contains("sha256:"), "{error}");
    assert_eq!(containerd.image("gantry.local/a:1").await, None);
    assert_eq!(containerd.blobs(), 0);
    containerd.stop().await;
}
