//! Removes images that nobody needs: when the disk fills up, when they have not been used for long, or when the node is
//! about to evict pods.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ContainerImage;
use tokio::time::Instant;

use super::records::{Candidate, Limits};
use super::refusal::told;
use super::{Images, refusal};
use crate::cri::{self, v1};
use crate::stats::Filesystem;

/// How many images a Node's status names, and by how many names each (upstream's numbers).
const IMAGES_OF_A_NODE: usize = 50;
const NAMES_OF_AN_IMAGE: usize = 5;

/// Why not enough could be collected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotCollected {
    /// The word for the Event about the Node that tells it now, if there is one: `FreeDiskSpaceFailed` or
    /// `InvalidDiskCapacity`. Upstream's agent also says `ImageGCFailed`, with the same sentence, when that happens a second
    /// time in a row.
    pub reason: Option<&'static str>,
    /// The sentence.
    pub message: String,
    /// How many bytes were freed all the same.
    pub freed: u64,
}

impl Images {
    /// Looks at which images there are and which are used. To be called every five minutes, so that there is something to
    /// go by when images have to go. `in_use` has the IDs of the images that containers are of, ended ones included.
    pub async fn notice(&self, in_use: &BTreeSet<String>) -> cri::Answer<()> {
        let images = self.list().await?;
        self.records.lock().see(&images, in_use, &self.pinned.lock(), Instant::now());
        if let Err(error) = self.access.lock().retain(|id| images.iter().any(|image| image.id == id)) {
            tracing::warn!(%error, "it cannot be written down which pulled images are gone");
        }
        Ok(())
    }

    /// Removes images that were not used for too long, and, if there is too little room on their file system, as many
    /// others as make enough. Returns how many bytes were freed. `in_use` is as for [`Images::notice`].
    ///
    /// # Errors
    ///
    /// Why there is still too little room.
    pub async fn collect(
        &self,
        in_use: &BTreeSet<String>,
        filesystem: &Filesystem,
        limits: &Limits,
    ) -> Result<u64, NotCollected> {
        let now = Instant::now();
        let mut candidates = self.candidates(in_use, limits, now).await?;
        let mut freed = 0;
        if let Some(most) = limits.maximum_age {
            let (old, others) = candidates.into_iter().partition(|candidate| candidate.unused > most);
            candidates = others;
            freed += self.remove_all(old, u64::MAX).await?;
        }
        let Filesystem { capacity, .. } = *filesystem;
        let available = filesystem.available.min(capacity);
        if capacity == 0 {
            let message = "invalid capacity 0 on image filesystem".to_owned();
            return Err(NotCollected { reason: Some("InvalidDiskCapacity"), message, freed });
        }
        let share = |percent: u8| u64::try_from(u128::from(capacity) * u128::from(percent) / 100).unwrap_or(u64::MAX);
        let used_percent = 100 - u64::try_from(u128::from(available) * 100 / u128::from(capacity)).unwrap_or(100);
        if limits.high_percent >= 100 || used_percent < u64::from(limits.high_percent) {
            return Ok(freed);
        }
        let wanted = share(100 - limits.low_percent.min(100)).saturating_sub(available);
        let more = self.remove_all(candidates, wanted).await?;
        if more < wanted {
            let message = format!(
                "Insufficient free disk space on the node's image filesystem ({used_percent}% of {} used). Failed to free \
                 sufficient space by deleting unused images (freed {more} bytes). Investigate disk usage, as it could be \
                 used by active images, logs, volumes, or other data.",
                bytes(capacity)
            );
            return Err(NotCollected { reason: Some("FreeDiskSpaceFailed"), message, freed: freed + more });
        }
        Ok(freed + more)
    }

    /// Removes every image that may go. Returns how many bytes were freed.
    pub async fn collect_all(&self, in_use: &BTreeSet<String>, limits: &Limits) -> Result<u64, NotCollected> {
        let candidates = self.candidates(in_use, limits, Instant::now()).await?;
        self.remove_all(candidates, u64::MAX).await
    }

    /// The images that a Node's status names: the largest ones.
    pub async fn on_node(&self) -> cri::Answer<Vec<ContainerImage>> {
        let mut images = self.list().await?;
        images.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.id.cmp(&other.id)));
        images.truncate(IMAGES_OF_A_NODE);
        let stated = |image: v1::Image| {
            let names = image.repo_digests.into_iter().chain(image.repo_tags).take(NAMES_OF_AN_IMAGE);
            let names = Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty());
            ContainerImage { names, size_bytes: Some(i64::try_from(image.size).unwrap_or(i64::MAX)) }
        };
        Ok(images.into_iter().map(stated).collect())
    }

    /// Has an image stay whatever happens: the one that sandboxes are made of, which no container says it uses.
    pub fn pin(&self, name: &str) {
        // Runtimes list images by their full names.
        let full =
            name.parse().map_or_else(|_| name.to_owned(), |it: oci::Reference| it.with_default_tag().to_string());
        self.pinned.lock().insert(full);
    }

    async fn list(&self) -> cri::Answer<Vec<v1::Image>> {
        Ok(self.cri.list_images(v1::ListImagesRequest::default()).await?.images)
    }

    async fn candidates(
        &self,
        in_use: &BTreeSet<String>,
        limits: &Limits,
        now: Instant,
    ) -> Result<Vec<Candidate>, NotCollected> {
        let failed = |status| NotCollected { reason: None, message: told(&status), freed: 0 };
        let images = self.list().await.map_err(failed)?;
        let mut records = self.records.lock();
        records.see(&images, in_use, &self.pinned.lock(), now);
        Ok(records.candidates(limits, now))
    }

    /// Removes one after the other until `wanted` bytes are free. What cannot be removed does not keep the others.
    async fn remove_all(&self, candidates: Vec<Candidate>, wanted: u64) -> Result<u64, NotCollected> {
        let mut freed: u64 = 0;
        let mut errors = Vec::new();
        for candidate in candidates {
            if freed >= wanted {
                break;
            }
            tracing::info!(image = candidate.id, bytes = candidate.size, "removing an image that is not used");
            let spec = v1::ImageSpec { image: candidate.id.clone(), ..v1::ImageSpec::default() };
            match self.cri.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await {
                Ok(_) => {
                    self.records.lock().gone(&candidate.id);
                    freed = freed.saturating_add(candidate.size);
                }
                Err(status) => errors.push(told(&status)),
            }
        }
        if errors.is_empty() {
            return Ok(freed);
        }
        // Nobody wants more bytes than a signed number holds, which is what upstream says for all.
        let message = format!(
            "wanted to free {}, but freed {freed} space with errors in image deletion: {}",
            wanted.min(i64::MAX as u64),
            refusal::together(errors)
        );
        Err(NotCollected { reason: None, message, freed })
    }
}

/// A number of bytes for people: `26.4 GiB`.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = None;
    #[allow(clippy::cast_precision_loss, reason = "one digit behind the point is all that is shown")]
    let mut rest = count as f64;
    for larger in UNITS {
        if rest < 1024.0 {
            break;
        }
        rest /= 1024.0;
        unit = Some(larger);
    }
    unit.map_or_else(|| format!("{count} B"), |unit| format!("{rest:.1} {unit}"))
}

#[cfg(test)]
mod tests;
