//! What goes wrong with volumes, as the pod's Events say it.

use std::fmt::Display;

/// What an API server says of an error, without how it was said.
pub(super) fn said(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        error => error.to_string(),
    }
}

/// Why a pod's volumes, or what a container gets of them, are not ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The reason of the Event: `FailedMount`, `FailedMapVolume` or `UnsupportedMountOption`; for a container `CreateContainerConfigError`.
    pub reason: &'static str,
    /// Upstream's message.
    pub message: String,
    /// The problems of the pod's other volumes.
    pub further: Vec<Problem>,
}

impl Problem {
    fn new(reason: &'static str, message: String) -> Problem {
        Problem { reason, message, further: Vec::new() }
    }

    /// A volume could not be made ready. `volume` is the name of the persistent volume, if it is one.
    pub(super) fn set_up(volume: &str, why: impl Display) -> Problem {
        Problem::new("FailedMount", format!("MountVolume.SetUp failed for volume \"{volume}\" : {why}"))
    }

    /// A device could not be made ready.
    pub(super) fn map(volume: &str, why: impl Display) -> Problem {
        Problem::new("FailedMapVolume", format!("MapVolume.SetUpDevice failed for volume \"{volume}\" : {why}"))
    }

    /// A volume asks for mount options that it cannot have.
    pub(super) fn options(volume: &str, why: impl Display) -> Problem {
        let message = format!("MountVolume.MountOptionSupport check failed for volume \"{volume}\" : {why}");
        Problem::new("UnsupportedMountOption", message)
    }

    /// It could not be found out what a volume is.
    pub(super) fn process(volume: &str, why: impl Display) -> Problem {
        let message = format!(
            "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached volumes=[], \
             failed to process volumes=[{volume}]: {why}"
        );
        Problem::new("FailedMount", message)
    }

    /// A pod's volumes could not be taken away.
    pub(super) fn tear_down(uid: &str, why: impl Display) -> Problem {
        Problem::new("FailedUnmount", format!("UnmountVolume.TearDown failed for pod {uid:?} : {why}"))
    }

    /// A container cannot have what it mounts.
    pub(super) fn container(why: impl Into<String>) -> Problem {
        Problem::new("CreateContainerConfigError", why.into())
    }

    /// One of several.
    pub(super) fn all(problems: Vec<Problem>) -> Result<(), Problem> {
        let mut problems = problems.into_iter();
        match problems.next() {
            None => Ok(()),
            Some(first) => Err(Problem { further: problems.collect(), ..first }),
        }
    }
}
