//! Unpacks images when they are loaded, so that the first container of one need not wait for it.
//!
//! A snapshot of a layer is called by the chain of layers below it, as everybody does who uses containerd: images share
//! them, and whoever finds one need not make it.

use std::collections::HashMap;
use std::io::Read;

use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use oci::archive::{ArchivedImage, Blob};
use serde::Deserialize;
use tonic::Code;

use super::{Containerd, descriptor, failed};
use crate::cri;
use crate::images::archive::LoadError;

/// What matters of an image's configuration.
#[derive(Deserialize)]
struct Config {
    rootfs: RootFilesystem,
}

#[derive(Deserialize)]
struct RootFilesystem {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Containerd {
    /// Unpacks an image whose pieces are there, as far as it is not unpacked.
    pub(super) async fn unpack(&self, image: &ArchivedImage, snapshotter: &str) -> Result<(), LoadError> {
        let mut text = Vec::new();
        // It was checked to be small, and to be JSON.
        image.config.read().read_to_end(&mut text).map_err(oci::ArchiveError::Read)?;
        let config: Config = serde_json::from_slice(&text).map_err(|error| oci::ArchiveError::Malformed {
            path: image.config.descriptor.digest.clone(),
            problem: error.to_string(),
        })?;
        let mut chain = String::new();
        for (layer, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            let parent = chain;
            chain = chain_id(&parent, diff_id);
            self.unpack_layer(layer, &parent, &chain, snapshotter).await.map_err(failed)?;
        }
        if chain.is_empty() {
            return Ok(());
        }
        let label = format!("containerd.io/gc.ref.snapshot.{snapshotter}");
        let labels = HashMap::from([(label, chain)]);
        self.label(&image.config.descriptor.digest, labels).await.map_err(failed)
    }

    async fn unpack_layer(&self, layer: &Blob, parent: &str, chain: &str, snapshotter: &str) -> cri::Answer<()> {
        let mut snapshots = SnapshotsClient::new(self.channel.clone());
        let stat = StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: chain.to_owned() };
        match snapshots.stat(self.request(stat)).await {
            Ok(_) => return Ok(()),
            Err(status) if status.code() == Code::NotFound => {}
            Err(status) => return Err(status),
        }
        let key = format!("{}-extract-{chain}", self.lease);
        let prepare = PrepareSnapshotRequest {
            snapshotter: snapshotter.to_owned(),
            key: key.clone(),
            parent: parent.to_owned(),
            labels: HashMap::new(),
        };
        let mounts = match snapshots.prepare(self.request(prepare)).await {
            Ok(prepared) => prepared.into_inner().mounts,
            // Somebody else was quicker.
            Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
            Err(status) => return Err(status),
        };
        let apply = ApplyRequest { diff: Some(descriptor(layer)), mounts, ..ApplyRequest::default() };
        let applied = DiffClient::new(self.channel.clone()).apply(self.request(apply)).await;
        let committed = match applied {
            Ok(_) => {
                let commit = CommitSnapshotRequest {
                    snapshotter: snapshotter.to_owned(),
                    name: chain.to_owned(),
                    key: key.clone(),
                    labels: HashMap::new(),
                };
                snapshots.commit(self.request(commit)).await.map(drop)
            }
            Err(status) => Err(status),
        };
        let Err(status) = committed else { return Ok(()) };
        let remove = RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key };
        if let Err(error) = snapshots.remove(self.request(remove)).await {
            tracing::debug!(%error, "a snapshot goes with its lease");
        }
        if status.code() == Code::AlreadyExists { Ok(()) } else { Err(status) }
    }
}

/// What a layer on others is called: a digest of the chain, as the image specification defines it.
fn chain_id(parent: &str, diff_id: &str) -> String {
    if parent.is_empty() {
        return diff_id.to_owned();
    }
    oci::Descriptor::of("", format!("{parent} {diff_id}").as_bytes()).digest
}

#[cfg(test)]
mod tests {
    use super::chain_id;

    #[test]
    fn chains_are_called_as_everybody_calls_them() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(chain_id("", empty), empty);
        // printf '%s %s' sha256:e3b0… sha256:e3b0… | sha256sum
        assert_eq!(chain_id(empty, empty), "sha256:de9d9016b852e46e9f3973e20d3a6d17e120f7144931d50cd6e2a8ad53e81960");
    }
}
