//! Keeps the authorities of clients' certificates as a file has them (upstream's `DynamicFileCAContent`): they are replaced
//! before they expire, and no node has to be started again for that.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::tls::ClientAuthority;

/// How often the file is read if nobody says that it changed (upstream's interval).
const READ_AGAIN: Duration = Duration::from_secs(60);

impl ClientAuthority {
    /// Has the certificates in a file be trusted from now on, whenever it changes, until it is dropped. While it cannot be
    /// read, or there are none in it, those before stay.
    pub async fn follow(&self, path: &Path) -> Infallible {
        let changed = Arc::new(Notify::new());
        // Without one, the file is read now and then all the same.
        let _watcher = watcher(path, &changed);
        let mut known = None;
        loop {
            self.take_from(path, &mut known).await;
            let _ = timeout(READ_AGAIN, changed.notified()).await;
        }
    }

    /// Takes over what a file says, if that is not what was read last.
    async fn take_from(&self, path: &Path, known: &mut Option<String>) {
        let read = tokio::fs::read_to_string(path).await;
        let pem = match read {
            Ok(pem) if known.as_ref() == Some(&pem) => return,
            Ok(pem) => pem,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the authority of clients cannot be read");
                return;
            }
        };
        match self.replace(&pem) {
            Ok(()) => tracing::debug!(path = %path.display(), "clients' certificates are judged by what the file says"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "the authority of clients stays as it was"),
        }
        // What is of no use is said once.
        *known = Some(pem);
    }
}

/// Rings when something of the file's directory changes: a file that is replaced is another one, and may be behind links.
fn watcher(path: &Path, changed: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let tell = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    watcher.watch(directory.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    fn authority() -> String {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.crt");
        let write = |pem: &str| std::fs::write(&path, pem).unwrap();
        write(&authority());
        let followed = ClientAuthority::new(&authority()).unwrap();
        let first = followed.current();
        let following = followed.follow(&path);
        let mut following = std::pin::pin!(following);
        let mut pass = async || {
            assert!(timeout(READ_AGAIN * 2, &mut following).await.is_err(), "it goes on");
            followed.current()
        };
        let second = pass().await;
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &pass().await), "what is the same replaces nothing");
        write("nothing");
        assert!(Arc::ptr_eq(&second, &pass().await), "what is of no use replaces nothing");
        std::fs::remove_file(&path).unwrap();
        assert!(Arc::ptr_eq(&second, &pass().await));
        write(&authority());
        assert!(!Arc::ptr_eq(&second, &pass().await));
    }
}
