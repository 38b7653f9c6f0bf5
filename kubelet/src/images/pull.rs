//! Pulls images: a bounded number at once, and what several want at the same time once.
//!
//! A pull is given up when nobody waits for it any more.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::credentials::Credential;
use super::refusal::{together, told};
use crate::cri::{Cri, v1};

/// An image that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pulled {
    /// What the runtime calls it.
    pub(super) image_ref: String,
    /// How long it took, without waiting for others.
    pub(super) took: Duration,
    /// Who the registry gave it to, if not to anybody.
    pub(super) credential: Option<Credential>,
}

/// The error is what the runtime said.
type Outcome = Result<Pulled, String>;
type Pull = BoxFuture<'static, Outcome>;
/// What makes two pulls one: the image, whose credentials, and for which kind of sandbox.
type Key = (String, Vec<Credential>);

pub(super) struct Pulls {
    cri: Cri,
    room: Arc<Semaphore>,
    /// As many as there are containers that wait for images, at most.
    under_way: Mutex<BTreeMap<Key, WeakShared<Pull>>>,
}

impl Pulls {
    pub(super) fn new(cri: Cri, at_once: NonZeroUsize) -> Pulls {
        let room = Arc::new(Semaphore::new(at_once.get().min(Semaphore::MAX_PERMITS)));
        Pulls { cri, room, under_way: Mutex::default() }
    }

    /// Pulls an image with the first of the credentials that works; without any if there is none.
    pub(super) async fn pull(
        &self,
        image: v1::ImageSpec,
        sandbox: &v1::PodSandboxConfig,
        credentials: Vec<Credential>,
    ) -> Outcome {
        let key = (image.image.clone(), credentials);
        let pull = self.join(key, image, sandbox);
        pull.await
    }

    fn join(&self, key: Key, image: v1::ImageSpec, sandbox: &v1::PodSandboxConfig) -> Shared<Pull> {
        let mut under_way = self.under_way.lock();
        under_way.retain(|_, pull| pull.upgrade().is_some_and(|pull| pull.peek().is_none()));
        if let Some(pull) = under_way.get(&key).and_then(WeakShared::upgrade) {
            return pull;
        }
        let request = v1::PullImageRequest { image: Some(image), auth: None, sandbox_config: Some(sandbox.clone()) };
        let pull = pull(self.cri.clone(), Arc::clone(&self.room), request, key.1.clone()).boxed().shared();
        if let Some(weak) = pull.downgrade() {
            under_way.insert(key, weak);
        }
        pull
    }
}

async fn pull(cri: Cri, room: Arc<Semaphore>, request: v1::PullImageRequest, credentials: Vec<Credential>) -> Outcome {
    let _place = room.acquire().await.map_err(|error| error.to_string())?;
    let began = Instant::now();
    let attempts =
        if credentials.is_empty() { vec![None] } else { credentials.into_iter().map(Some).collect::<Vec<_>>() };
    let mut errors = Vec::new();
    for credential in attempts {
        let auth = credential.clone().map(Into::into);
        match cri.pull_image(v1::PullImageRequest { auth, ..request.clone() }).await {
            Ok(pulled) => return Ok(Pulled { image_ref: pulled.image_ref, took: began.elapsed(), credential }),
            Err(status) => errors.push(told(&status)),
        }
    }
    Err(together(errors))
}
