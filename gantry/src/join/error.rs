//! Why a machine does not join: in each case a sentence that says what to do.

use std::path::PathBuf;

use kubelet::credentials::BootstrapError;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    #[error("only root can make this machine a node: run it with sudo")]
    NotRoot,
    #[error("nobody answers at {url} ({why}): check the address, and that no firewall is in between")]
    Unreachable { url: String, why: String },
    #[error(
        "{url} does not say which cluster it is of ({why}): check the address, and that the cluster's controllers run, \
         which write that into the ConfigMap kube-public/cluster-info"
    )]
    Silent { url: String, why: String },
    #[error(
        "the cluster at {url} has another authority than --ca-hash says, {found}: check the address and the hash; if both are \
         right, somebody is in between"
    )]
    Authority { url: String, found: String },
    #[error(
        "the cluster at {url} does not know the token {id}, or its time has passed: have another made by `gantry token create \
         --print-join-command`"
    )]
    Token { url: String, id: String },
    #[error(
        "{url} does not know the secret of the token {id}: check what stands behind the dot; if it is right, somebody is in \
         between"
    )]
    Signature { url: String, id: String },
    #[error(
        "who answers at {url} has no certificate of the cluster's authority ({why}): check the address; if it is right, \
         somebody is in between"
    )]
    Impostor { url: String, why: String },
    #[error("the cluster's API server is not meant by {url}, as its certificate says: join by {told}")]
    Name { url: String, told: String },
    #[error("by this machine's clock, which says {now}, the certificate of {url} does not count: set the clock")]
    Clock { url: String, now: String },
    #[error(
        "the token {id} lets nobody join: have one made by `gantry token create --print-join-command`, whose groups and \
         usages are right"
    )]
    Powerless { id: String },
    #[error(
        "this machine is a node of another cluster already, as {0} says: give it a --data-dir of its own, or `gantry reset` and \
         remove that file"
    )]
    AnotherCluster(PathBuf),
    #[error("{0}")]
    Kubeconfig(String),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Certificate(#[from] BootstrapError),
}
