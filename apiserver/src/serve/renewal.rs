//! Keeps what a server shows good while it runs: looks at certificates again and again, so that none has to be waited for.
//!
//! What always holds:
//!
//! - what cannot be renewed stays as it is, is said once, and keeps nothing else from being renewed;
//! - looks are about a minute apart (upstream reads its files as often), and not at the same moment on all servers.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Authority, BoxError, PemPair, Random};

/// How long it is from one look to the next, at least; at most it is half as long again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How many looks are between two warnings of the authority's end: about a day.
const LOOKS_A_DAY: u32 = 24 * 60;

/// What is looked at again and again. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub struct Renewal {
    kept: Arc<Mutex<Vec<Kept>>>,
}

type Look = Box<dyn FnMut() -> Result<(), BoxError> + Send>;

struct Kept {
    name: String,
    look: Look,
    /// What was said last.
    failed: Option<String>,
}

impl Renewal {
    /// Has `look` be called at each look, from the next one on. It blocks no longer than it takes to read and write small
    /// files.
    pub fn keep(&self, name: &str, look: impl FnMut() -> Result<(), BoxError> + Send + 'static) {
        self.kept.lock().push(Kept { name: name.to_owned(), look: Box::new(look), failed: None });
    }

    /// Has `show` be called with a certificate whenever it is another one than `first`, and then than the last one that
    /// `show` took.
    pub fn keep_pair<E: Into<BoxError>, F: Into<BoxError>>(
        &self,
        name: &str,
        first: &PemPair,
        current: impl Fn() -> Result<PemPair, E> + Send + 'static,
        show: impl Fn(&PemPair) -> Result<(), F> + Send + 'static,
    ) {
        let mut known = first.clone();
        let named = name.to_owned();
        self.keep(name, move || {
            let pair = current().map_err(Into::into)?;
            if pair != known {
                show(&pair).map_err(Into::into)?;
                tracing::info!(certificate = named, "another certificate is shown from now on");
                known = pair;
            }
            Ok(())
        });
    }

    /// Says now and then that the authority's time comes to its end.
    pub fn warn_of_end(&self, authority: Arc<Authority>) {
        let mut looks = 0;
        self.keep("ca", move || {
            if looks % LOOKS_A_DAY == 0
                && let Some(left) = authority.is_ending_in()
            {
                let days = left.as_secs() / (24 * 60 * 60);
                tracing::warn!(
                    days,
                    "the certificate authority's time ends soon, and with it that of every certificate"
                );
            }
            looks = (looks + 1) % LOOKS_A_DAY;
            Ok(())
        });
    }

    /// Looks at everything once.
    pub fn look(&self) {
        for kept in self.kept.lock().iter_mut() {
            match (kept.look)() {
                Ok(()) => kept.failed = None,
                Err(error) => {
                    let words = error.to_string();
                    if kept.failed.as_ref() != Some(&words) {
                        tracing::warn!(certificate = kept.name, %error, "a certificate is not renewed");
                    }
                    kept.failed = Some(words);
                }
            }
        }
    }

    /// Looks again and again, until `stopping`.
    pub async fn run(self, random: Random, stopping: CancellationToken) {
        while let Some(()) = stopping.run_until_cancelled(tokio::time::sleep(pause(random()))).await {
            let renewal = self.clone();
            // It reads and writes files. A look that panics must not keep the next one from being made.
            let _ = tokio::task::spawn_blocking(move || renewal.look()).await;
        }
    }
}

/// Until the next look.
fn pause(random: u128) -> Duration {
    let half = LOOK_AGAIN.as_millis() / 2;
    LOOK_AGAIN + Duration::from_millis(u64::try_from(random % half).unwrap_or_default())
}

#[cfg(test)]
mod tests;
