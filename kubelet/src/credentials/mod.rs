//! The certificates by which a node is known: to the API server as a client, and to those who call it as a server.
//!
//! Both are asked for by CertificateSigningRequests, kept in files that only root may read, and asked for anew when most of
//! their time is over. A node that has no certificate yet asks with a bootstrap kubeconfig's identity.

mod files;
mod request;
mod rotation;
mod swap;

pub use files::{Pair, PairError};
pub use request::{Purpose, RequestError, Wish, obtain};
pub use rotation::{Bootstrap, BootstrapError, Names, Serving, connect};
pub use swap::Swap;
