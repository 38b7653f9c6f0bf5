//! Images: pulled by policy and with the right credentials, loaded from archives, and removed when nobody needs them.
//!
//! What is said of an image, in Events and in statuses, is what upstream's kubelet says. Pulls of one image with the same
//! credentials are one pull; how many run at once is bounded; an image that could not be pulled is not tried again
//! before its back-off is over.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use oci::Reference;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cri::{Cri, v1};
use crate::pod_plan::Says;

mod access;
pub mod archive;
mod back_off;
mod collect;
mod containerd;
mod credentials;
pub mod pause;
mod pull;
mod records;
mod refusal;
mod secrets;

use access::Access;
use back_off::BackOff;
use credentials::Credential;
use pull::{Pulled, Pulls};
use records::Records;

pub use collect::NotCollected;
pub use records::{InvalidLimits, Limits};
pub use refusal::Refused;

/// How pulling is to be done. Upstream's numbers are the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many images are pulled at once (`maxParallelImagePulls`; one with `serializeImagePulls`).
    pub parallel_pulls: NonZeroUsize,
    /// How long an image waits that could not be pulled. Each further failure doubles it.
    pub first_back_off: Duration,
    /// How long it waits at most.
    pub longest_back_off: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            parallel_pulls: NonZeroUsize::MIN,
            first_back_off: Duration::from_secs(10),
            longest_back_off: Duration::from_secs(300),
        }
    }
}

/// An image that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// What the runtime is to be asked for when a container is made of it: its ID.
    pub image_ref: String,
    /// Who runs it unless the pod says otherwise.
    pub user: User,
    /// Its size in bytes.
    pub size: u64,
}

/// Who an image says runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A number. Whoever says nothing means 0, root.
    Uid(i64),
    /// A name, which the image itself gives a number.
    Name(String),
}

impl Default for User {
    fn default() -> User {
        User::Uid(0)
    }
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

/// An image that a container of a pod is to be made of.
struct Wanted<'a> {
    pod: &'a Pod,
    /// As the pod says it.
    image: &'a str,
    reference: Reference,
    /// As the runtime is asked for it.
    spec: v1::ImageSpec,
    sandbox: &'a v1::PodSandboxConfig,
}

/// The images of a node.
pub struct Images {
    cri: Cri,
    client: Client,
    pulls: Pulls,
    back_off: Mutex<BackOff>,
    access: Mutex<Access>,
    records: Mutex<Records>,
    /// As many as were pinned: the image of sandboxes.
    pinned: Mutex<BTreeSet<String>>,
}

impl Images {
    /// The images of the runtime behind `cri`. Secrets are read by `client`.
    #[must_use]
    pub fn new(cri: Cri, client: Client, options: Options) -> Images {
        Images {
            pulls: Pulls::new(cri.clone(), options.parallel_pulls),
            cri,
            client,
            back_off: Mutex::new(BackOff::new(options.first_back_off, options.longest_back_off)),
            access: Mutex::default(),
            records: Mutex::new(Records::new(Instant::now())),
            pinned: Mutex::default(),
        }
    }

    /// Keeps in `directory` who may use the images that were pulled, and goes on with what is there. Without, it is known
    /// only as long as this lives.
    ///
    /// # Errors
    ///
    /// The directory has something that cannot be read. Whoever goes on without it lets every pod use every image.
    pub fn keep_in(&self, directory: impl Into<PathBuf>) -> std::io::Result<()> {
        self.access.lock().keep_in(directory.into())
    }

    /// Sees to it that a container's image is there, by its policy (`imagePullPolicy`): what is not said is what upstream
    /// defaults it to. What is to be said in Events on the way goes to `says`, about the container.
    ///
    /// # Errors
    ///
    /// Why there is no image to make the container of, in words for its status. Asking again is how it is tried again.
    pub async fn ensure(
        &self,
        pod: &Pod,
        container: &str,
        image: &str,
        policy: Option<&str>,
        sandbox: &v1::PodSandboxConfig,
        mut says: impl FnMut(Says),
    ) -> Result<Present, Refused> {
        let field = field_of(pod, container);
        let mut says = |warning: bool, reason: &'static str, message: String| {
            says(Says { warning, reason, message, field: field.clone() });
        };
        let ensured = self.try_ensure(pod, image, policy, sandbox, &mut says).await;
        match &ensured {
            Ok(present) => self.records.lock().want(&present.image_ref, Instant::now()),
            Err(refused) => says(true, "Failed", format!("Error: {}", refused.reason)),
        }
        ensured
    }

    async fn try_ensure(
        &self,
        pod: &Pod,
        image: &str,
        policy: Option<&str>,
        sandbox: &v1::PodSandboxConfig,
        says: &mut impl FnMut(bool, &'static str, String),
    ) -> Result<Present, Refused> {
        let wanted = Wanted::of(pod, image, sandbox).inspect_err(|refused| {
            says(true, "InspectFailed", refused.message.clone());
        })?;
        let found = self.look(&wanted.spec).await.map_err(|status| refusal::not_inspected(image, &status));
        let found = found.inspect_err(|refused| says(true, "InspectFailed", refused.message.clone()))?;
        let policy = Policy::of(policy, &wanted.reference);
        let refused = match found {
            Some(_) if policy == Policy::Always => return self.pull(&wanted, says).await,
            Some(present) if self.may_use(&wanted, &present).await => {
                let message =
                    format!("Container image {image:?} already present on machine and can be accessed by the pod");
                says(false, "Pulled", message);
                return Ok(present);
            }
            Some(_) if policy == Policy::Never => refusal::not_accessible(image),
            None if policy == Policy::Never => refusal::never_pulled(image),
            _ => return self.pull(&wanted, says).await,
        };
        says(true, "ErrImageNeverPull", refused.message.clone());
        Err(refused)
    }

    /// Whether a pod may use an image that is there, because everybody may or because it has the credentials.
    async fn may_use(&self, wanted: &Wanted<'_>, present: &Present) -> bool {
        let repository = wanted.reference.repository();
        if self.access.lock().is_free(&wanted.reference.to_string(), &present.image_ref, &repository) {
            return true;
        }
        let secrets = secrets::of(&self.client, wanted.pod).await;
        let credentials = secrets.keyring().map(|keyring| keyring.find(&repository)).unwrap_or_default();
        self.access.lock().is_granted(&present.image_ref, &repository, &credentials)
    }

    /// Pulls an image, unless it is not yet time to try again.
    async fn pull(
        &self,
        wanted: &Wanted<'_>,
        says: &mut impl FnMut(bool, &'static str, String),
    ) -> Result<Present, Refused> {
        let image = wanted.image;
        let key = format!("{}_{image}", wanted.pod.metadata.uid.as_deref().unwrap_or_default());
        let waiting = self.back_off.lock().waiting(&key, Instant::now());
        if let Some((left, why)) = waiting {
            let message = format!("Back-off pulling image {image:?}");
            says(false, "BackOff", message.clone());
            return Err(Refused { reason: "ImagePullBackOff", message: format!("{message}: {why}"), again: left });
        }
        let secrets = secrets::of(&self.client, wanted.pod).await;
        if let Some(message) = secrets.unreadable() {
            says(true, "FailedToRetrieveImagePullSecret", message);
        }
        says(false, "Pulling", format!("Pulling image {image:?}"));
        let began = Instant::now();
        let pulled = match secrets.keyring() {
            Ok(keyring) => self.pull_with(wanted, keyring.find(&wanted.reference.repository())).await,
            Err(error) => Err(error.to_string()),
        };
        match pulled {
            Ok(Pulled { image_ref, took, .. }) => {
                let present = self.pulled(&wanted.spec, image_ref).await;
                let (took, waited) = (refusal::duration(took), refusal::duration(began.elapsed()));
                let message = format!(
                    "Successfully pulled image {image:?} in {took} ({waited} including waiting). Image size: {} bytes.",
                    present.size
                );
                says(false, "Pulled", message);
                self.back_off.lock().succeeded(&key);
                Ok(present)
            }
            Err(error) => {
                says(true, "Failed", format!("Failed to pull image {image:?}: {error}"));
                let mut refused = refusal::not_pulled(image, &error);
                let why = format!("{}: {}", refused.reason, refused.message);
                let wait = self.back_off.lock().failed(&key, why, Instant::now());
                // Soon enough that the back-off itself is seen, too.
                refused.again = refusal::AGAIN.min(wait / 2);
                Err(refused)
            }
        }
    }

    /// Pulls an image and writes down for whom.
    async fn pull_with(&self, wanted: &Wanted<'_>, credentials: Vec<Credential>) -> Result<Pulled, String> {
        let name = wanted.reference.to_string();
        let unwritten = |error: std::io::Error| format!("it cannot be written down who may use the image: {error}");
        self.access.lock().begin(&name).map_err(unwritten)?;
        // If this is given up the image stays under suspicion until it is pulled: the runtime may go on all the same.
        let outcome = self.pulls.pull(wanted.spec.clone(), wanted.sandbox, credentials).await;
        let repository = wanted.reference.repository();
        let came = outcome.as_ref().ok().map(|it| (it.image_ref.as_str(), repository.as_str(), it.credential.as_ref()));
        self.access.lock().end(&name, came).map_err(unwritten)?;
        outcome
    }

    /// What is known of an image that was just pulled.
    async fn pulled(&self, spec: &v1::ImageSpec, image_ref: String) -> Present {
        let by_id = v1::ImageSpec { image: image_ref.clone(), ..spec.clone() };
        match self.look(&by_id).await {
            Ok(Some(present)) => Present { image_ref, ..present },
            // It is there, whatever is known of it. Whoever must not be root is not let pass for that.
            _ => Present { image_ref, ..Present::default() },
        }
    }

    async fn look(&self, spec: &v1::ImageSpec) -> crate::cri::Answer<Option<Present>> {
        let request = v1::ImageStatusRequest { image: Some(spec.clone()), verbose: false };
        let image = self.cri.image_status(request).await?.image;
        Ok(image.map(|image| Present {
            image_ref: image.id,
            user: match image.uid {
                Some(uid) => User::Uid(uid.value),
                None if image.username.is_empty() => User::default(),
                None => User::Name(image.username),
            },
            size: image.size,
        }))
    }
}

impl Policy {
    /// What is not said is said by the tag: what may be another image tomorrow is always pulled.
    fn of(said: Option<&str>, reference: &Reference) -> Policy {
        match said {
            Some("Always") => Policy::Always,
            Some("Never") => Policy::Never,
            Some("IfNotPresent") => Policy::IfNotPresent,
            _ if reference.tag() == Some(oci::reference::DEFAULT_TAG) && reference.digest().is_none() => Policy::Always,
            _ => Policy::IfNotPresent,
        }
    }
}

impl<'a> Wanted<'a> {
    fn of(pod: &'a Pod, image: &'a str, sandbox: &'a v1::PodSandboxConfig) -> Result<Wanted<'a>, Refused> {
        let (reference, name) = named(image)?;
        let spec = v1::ImageSpec {
            image: name,
            user_specified_image: image.to_owned(),
            annotations: pod.metadata.annotations.clone().unwrap_or_default().into_iter().collect(),
            ..v1::ImageSpec::default()
        };
        Ok(Wanted { pod, image, reference, spec, sandbox })
    }
}

/// An image's full name, and what the runtime is asked for: what the pod says, with a tag. Which domain a short name is of
/// is the runtime's to say.
fn named(image: &str) -> Result<(Reference, String), Refused> {
    let reference: Reference = image.parse().map_err(|error| refusal::misnamed(image, &error))?;
    let bare = reference.tag().is_none() && reference.digest().is_none();
    let name = if bare { format!("{image}:{}", oci::reference::DEFAULT_TAG) } else { image.to_owned() };
    Ok((reference.with_default_tag(), name))
}

/// Where a container stands in its pod, as Events say it.
fn field_of(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let list = if spec.containers.iter().any(|it| it.name == container) {
        "containers"
    } else if spec.init_containers.iter().flatten().any(|it| it.name == container) {
        "initContainers"
    } else if spec.ephemeral_containers.iter().flatten().any(|it| it.name == container) {
        "ephemeralContainers"
    } else {
        return None;
    };
    Some(format!("spec.{list}{{{container}}}"))
}

#[cfg(test)]
mod real;
#[cfg(test)]
mod tests;
