//! containerd's own services, as far as loading images needs them: content, images, leases, snapshots.

mod unpack;

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{
    CreateImageRequest, CreateRequest, DeleteRequest, Image, Info, UpdateImageRequest, UpdateRequest, WriteAction,
    WriteContentRequest,
};
use containerd_client::types::Descriptor;
use oci::archive::{ArchivedImage, Blob};
use tokio::sync::mpsc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::archive::LoadError;
use crate::cri::{self, Cri, v1};

/// The namespace that containerd's CRI service keeps everything in.
const NAMESPACE: &str = "k8s.io";
/// How many bytes are sent at a time. A message may have 16 MiB.
const CHUNK: usize = 1 << 20;
/// How many of them may wait to be sent.
const CHUNKS: usize = 4;
/// How long what an import has sent is kept if it never comes to its end.
const LEASE: Duration = Duration::from_secs(3600);
/// How long any step may take.
const STEP: Duration = Duration::from_secs(600);
/// How often it is asked whether CRI shows an image, and how long between two times. It is told by an event.
const LOOKS: usize = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A containerd.
pub(super) struct Containerd {
    channel: Channel,
    cri: Cri,
    lease: String,
}

impl Containerd {
    /// The one behind a socket.
    pub(super) fn at(endpoint: &str) -> Result<Containerd, cri::EndpointError> {
        static IMPORTS: AtomicU64 = AtomicU64::new(0);
        let number = IMPORTS.fetch_add(1, Ordering::Relaxed);
        // One for each import, so that two at once do not write to one piece.
        let lease = format!("gantry-{}-{number}-{:x}", std::process::id(), rand::random::<u32>());
        Ok(Containerd { channel: cri::channel(endpoint)?, cri: Cri::at(endpoint)?, lease })
    }

    /// Imports images, each under every name that it has, and returns the names once CRI shows them.
    pub(super) async fn import(&self, images: &[ArchivedImage]) -> Result<Vec<String>, LoadError> {
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::try_from(LEASE).unwrap_or_default();
        let labels = HashMap::from([("containerd.io/gc.expire".to_owned(), expires.to_string())]);
        let lease = CreateRequest { id: self.lease.clone(), labels };
        LeasesClient::new(self.channel.clone()).create(self.request(lease)).await.map_err(failed)?;
        let imported = self.import_all(images).await;
        // Whatever has a name by now needs the lease no longer, and the rest is waste.
        let lease = DeleteRequest { id: self.lease.clone(), sync: imported.is_err() };
        if let Err(error) = LeasesClient::new(self.channel.clone()).delete(self.request(lease)).await {
            tracing::debug!(%error, "a lease ends by itself");
        }
        let names = imported?;
        for name in &names {
            self.seen(name).await?;
        }
        Ok(names)
    }

    async fn import_all(&self, images: &[ArchivedImage]) -> Result<Vec<String>, LoadError> {
        let snapshotter = self.snapshotter().await.map_err(failed)?;
        for image in images {
            for layer in &image.layers {
                self.send(layer, HashMap::new()).await.map_err(failed)?;
            }
            self.send(&image.config, HashMap::new()).await.map_err(failed)?;
            self.send(&image.manifest, children(image)).await.map_err(failed)?;
            if let Some(snapshotter) = &snapshotter {
                self.unpack(image, snapshotter).await?;
            }
        }
        let mut names = Vec::new();
        for image in images {
            for name in &image.names {
                self.name(name.to_string(), &image.manifest).await.map_err(failed)?;
                names.push(name.to_string());
            }
        }
        Ok(names)
    }

    /// Sends a piece, unless it is there. `labels` say what it needs, so that collection spares that, too.
    async fn send(&self, blob: &Blob, labels: HashMap<String, String>) -> cri::Answer<()> {
        let (requests, queued) = mpsc::channel(CHUNKS);
        let reference = format!("{}-{}", self.lease, blob.descriptor.digest);
        let reading = tokio::task::spawn_blocking({
            let (blob, labels) = (blob.clone(), labels.clone());
            move || read(&blob, &reference, labels, &requests)
        });
        let queued = futures::stream::unfold(queued, |mut queued| async {
            let request: WriteContentRequest = queued.recv().await?;
            Some((request, queued))
        });
        let written = self.write(queued).await;
        let read = reading.await.map_err(|error| Status::internal(error.to_string()))?;
        match written {
            Err(status) if status.code() == Code::AlreadyExists => self.label(&blob.descriptor.digest, labels).await,
            Err(status) => Err(status),
            // A piece that could not be read to its end was not committed either.
            Ok(()) => read.map_err(|error| Status::data_loss(format!("the archive cannot be read: {error}"))),
        }
    }

    async fn write(
        &self,
        requests: impl futures::Stream<Item = WriteContentRequest> + Send + 'static,
    ) -> cri::Answer<()> {
        let mut content = ContentClient::new(self.channel.clone());
        let mut answers = content.write(self.request(requests)).await?.into_inner();
        while answers.message().await?.is_some() {}
        Ok(())
    }

    /// Adds labels to a piece that was there before.
    async fn label(&self, digest: &str, labels: HashMap<String, String>) -> cri::Answer<()> {
        if labels.is_empty() {
            return Ok(());
        }
        let paths = labels.keys().map(|key| format!("labels.{key}")).collect();
        let info = Info { digest: digest.to_owned(), labels, ..Info::default() };
        let update = UpdateRequest { info: Some(info), update_mask: Some(prost_types::FieldMask { paths }) };
        ContentClient::new(self.channel.clone()).update(self.request(update)).await.map(drop)
    }

    /// Gives an image a name, and takes it from the one that had it.
    async fn name(&self, name: String, manifest: &Blob) -> cri::Answer<()> {
        let image = Image { name, target: Some(descriptor(manifest)), ..Image::default() };
        let create = CreateImageRequest { image: Some(image.clone()), ..CreateImageRequest::default() };
        let mut images = ImagesClient::new(self.channel.clone());
        match images.create(self.request(create)).await {
            Err(status) if status.code() == Code::AlreadyExists => {
                let mask = prost_types::FieldMask { paths: vec!["target".to_owned()] };
                let update =
                    UpdateImageRequest { image: Some(image), update_mask: Some(mask), ..UpdateImageRequest::default() };
                images.update(self.request(update)).await.map(drop)
            }
            created => created.map(drop),
        }
    }

    /// Which snapshotter CRI starts containers from, if it says so.
    async fn snapshotter(&self) -> cri::Answer<Option<String>> {
        let status = self.cri.status(v1::StatusRequest { verbose: true }).await?;
        let config = status.info.get("config").and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        let snapshotter = config.as_ref().and_then(|config| config.pointer("/containerd/snapshotter"));
        Ok(snapshotter.and_then(|name| name.as_str()).filter(|name| !name.is_empty()).map(str::to_owned))
    }

    /// Waits until CRI shows an image, of which containerd tells it.
    async fn seen(&self, name: &str) -> Result<(), LoadError> {
        for _ in 0..LOOKS {
            let spec = v1::ImageSpec { image: name.to_owned(), ..v1::ImageSpec::default() };
            let request = v1::ImageStatusRequest { image: Some(spec), verbose: false };
            if self.cri.image_status(request).await.map_err(LoadError::Runtime)?.image.is_some() {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(LoadError::Unseen(name.to_owned()))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(STEP);
        request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
        let lease = MetadataValue::try_from(&self.lease).expect("a lease's name has letters, digits and dashes only");
        request.metadata_mut().insert("containerd-lease", lease);
        request
    }
}

/// Why a call failed, or that there is nobody who takes such calls.
fn failed(status: Status) -> LoadError {
    if status.code() == Code::Unimplemented { LoadError::Foreign } else { LoadError::Runtime(status) }
}

fn descriptor(blob: &Blob) -> Descriptor {
    let oci::Descriptor { media_type, digest, size, .. } = blob.descriptor.clone();
    // No file is longer than can be said.
    Descriptor { media_type, digest, size: i64::try_from(size).unwrap_or(i64::MAX), ..Descriptor::default() }
}

/// What an image needs, in the labels that containerd's collection goes by.
fn children(image: &ArchivedImage) -> HashMap<String, String> {
    let layers = image.layers.iter().enumerate().map(|(index, layer)| (format!("l.{index}"), layer));
    let all = layers.chain([("config".to_owned(), &image.config)]);
    all.map(|(name, blob)| (format!("containerd.io/gc.ref.content.{name}"), blob.descriptor.digest.clone())).collect()
}

/// Reads a piece into the messages that send it. Ends early if nobody wants them any more.
fn read(
    blob: &Blob,
    reference: &str,
    labels: HashMap<String, String>,
    requests: &mpsc::Sender<WriteContentRequest>,
) -> std::io::Result<()> {
    let total = i64::try_from(blob.descriptor.size).unwrap_or(i64::MAX);
    let message = |action: WriteAction, offset: i64, data: Vec<u8>| WriteContentRequest {
        action: action.into(),
        r#ref: reference.to_owned(),
        total,
        expected: blob.descriptor.digest.clone(),
        offset,
        data,
        labels: HashMap::new(),
    };
    let mut from = blob.read();
    let mut offset = 0;
    loop {
        let mut data = Vec::new();
        from.by_ref().take(CHUNK as u64).read_to_end(&mut data)?;
        if data.is_empty() {
            break;
        }
        let read = i64::try_from(data.len()).unwrap_or(i64::MAX);
        if requests.blocking_send(message(WriteAction::Write, offset, data)).is_err() {
            return Ok(());
        }
        offset += read;
    }
    let commit = WriteContentRequest { labels, ..message(WriteAction::Commit, offset, Vec::new()) };
    // Whoever no longer listens has said why.
    let _ = requests.blocking_send(commit);
    Ok(())
}
