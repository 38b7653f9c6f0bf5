//! A containerd of our own, for nodes whose administrator names no runtime.
//!
//! It has everything below the data directory: its root, state, socket, configuration, log and network configuration. A
//! containerd or Docker that the machine has otherwise is left alone; only the directory of the shims' sockets
//! (`/run/containerd/s`), which cannot be chosen, is shared, and names in it follow from our socket's.
//!
//! One agent at a time has it ([`Private`] holds a lock). It is started again when it dies, and ended with the agent.
//! Containers go on without it, under shims of their own, and are found again by the next one. [`reset()`] ends them all.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

mod bridge;
pub mod cni;
mod config;
mod leftovers;
mod log_file;
mod private;
mod processes;
mod requirements;
mod reset;
mod teardown;
#[cfg(test)]
pub(crate) mod tests;

pub use private::{Health, Private, PrivateOptions, StartError};
pub use requirements::{Found, Missing, Requirements};
pub use reset::{Done, ResetError, ResetOptions, reset};

/// How long the path of a socket may be: the kernel has room for 108 bytes, the last of which is zero.
const SOCKET_PATH: usize = 107;
/// What containerd appends to the path of its socket for that of a second one.
const SECOND_SOCKET: &str = ".ttrpc";

/// Where a private containerd has what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// Below a data directory.
    #[must_use]
    pub fn of(data_directory: &Path) -> Layout {
        Layout { directory: data_directory.join("containerd") }
    }

    /// The directory that everything is below.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.join("config.toml")
    }

    /// What outlives a restart of the machine: images, and what containers write.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// What does not.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Where runc keeps what it knows of containers.
    #[must_use]
    pub fn runc(&self) -> PathBuf {
        self.directory.join("state/runc")
    }

    /// What it says.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Where network configurations are looked for.
    #[must_use]
    pub fn networks(&self) -> PathBuf {
        self.directory.join("cni/net.d")
    }

    /// Where it is written down which addresses pods have.
    #[must_use]
    pub fn addresses(&self) -> PathBuf {
        self.directory.join("cni/addresses")
    }

    /// Its socket: in its directory, or, where that has too long a path for a socket, in `/run`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let socket = self.directory.join("containerd.sock");
        if socket.as_os_str().len() + SECOND_SOCKET.len() <= SOCKET_PATH {
            return socket;
        }
        let sum = Sha256::digest(self.directory.as_os_str().as_encoded_bytes());
        let name: String = sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Path::new("/run/gantry").join(name).join("containerd.sock")
    }

    /// Its socket, as [`Cri::at`](crate::cri::Cri::at) takes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

#[cfg(test)]
mod layout_tests {
    use super::*;

    #[test]
    fn sockets_have_paths_that_the_kernel_takes() {
        let short = Layout::of(Path::new("/var/lib/gantry"));
        assert_eq!(short.endpoint(), "unix:///var/lib/gantry/containerd/containerd.sock");
        let long = Layout::of(Path::new(&format!("/{}", "d".repeat(100))));
        let other = Layout::of(Path::new(&format!("/{}", "e".repeat(100))));
        assert!(long.socket().starts_with("/run/gantry"));
        assert_ne!(long.socket(), other.socket());
        for length in 60..90 {
            let layout = Layout::of(Path::new(&format!("/{}", "d".repeat(length))));
            assert!(layout.socket().as_os_str().len() + ".ttrpc".len() < 108, "{length}");
        }
    }
}
