//! `gantry join`: make this machine a node of a cluster that it knows nothing of but an address, a token and the hash of an
//! authority.
//!
//! What always holds: nothing is sent to anybody, the token least of all, before they have shown a certificate of the
//! authority with that hash and proved that they know the token (`discovery`). A machine that is a node already needs no
//! token. Where joining fails, the machine is as it was.

mod discovery;
mod error;
mod files;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::path::{Path, PathBuf};

use api::bootstrap_token::Token;
use clap::Args;
use client::clock::Clock;
use kubelet::credentials::{self, Bootstrap};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::{kubelet as agent, node, process};
use discovery::{Discovery, TRIES};
use error::JoinError;

/// The options of `gantry join`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where the cluster's API server is, such as https://192.0.2.1:6443.
    #[arg(value_name = "URL", value_parser = server)]
    server: String,
    /// The token to join by, ID.SECRET. Once this machine is a node, it does not matter any more.
    #[arg(long, value_name = "TOKEN")]
    token: Token,
    /// By what the cluster's authority is known: sha256: and the hash of its public key. Can be given more than once, for
    /// any of these.
    #[arg(long, value_name = "HASH", required = true, value_parser = hash)]
    ca_hash: Vec<String>,
    /// Where the node keeps its files [default: /var/lib/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    options: node::Options,
}

/// An address of an API server, as it stands in kubeconfigs.
fn server(text: &str) -> Result<String, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let wrong = || "write it as https://192.0.2.1:6443".to_owned();
    let uri: http::Uri = url.parse().map_err(|_| wrong())?;
    let plain = uri.scheme_str() == Some("https") && uri.host().is_some() && matches!(uri.path(), "" | "/");
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if !plain || has_user || uri.query().is_some() {
        return Err(wrong());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// The hash of an authority, in lower case.
fn hash(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.strip_prefix(ctl::HASH_PREFIX).unwrap_or_default();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(lower);
    }
    Err("write sha256: and 64 hexadecimal digits, as `gantry token create --print-join-command` prints them".to_owned())
}

/// Joins, and runs until the process is asked to end.
pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    if node::is_possible().is_err() {
        return Err(JoinError::NotRoot.into());
    }
    arguments.options.check()?;
    process::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let Arguments { server, token, ca_hash, data_dir, options } = arguments;
        let data_dir = process::data_directory_or(data_dir)?;
        let joining = Joining::new(options.name()?, &data_dir);
        joining.join(&Discovery { server, token, hashes: ca_hash, tries: TRIES }).await?;
        let kubeconfigs = (joining.bootstrap.kubeconfig, joining.first);
        agent::run_node(agent::Arguments::of_joined(data_dir, kubeconfigs, options)).await
    })
}

/// A machine that is to be a node.
struct Joining {
    bootstrap: Bootstrap,
    /// The kubeconfig with the token.
    first: PathBuf,
}

impl Joining {
    fn new(node: String, data_dir: &Path) -> Joining {
        let first = data_dir.join("bootstrap.kubeconfig");
        let bootstrap = Bootstrap {
            node,
            kubeconfig: data_dir.join("kubelet.kubeconfig"),
            bootstrap: Some(first.clone()),
            directory: data_dir.join("pki"),
        };
        Joining { bootstrap, first }
    }

    /// Gets the machine a certificate by which it is known as the node, unless it has one.
    async fn join(&self, discovery: &Discovery) -> Result<(), JoinError> {
        if self.bootstrap.kept(Clock::Machine.now()).map_err(credentials::BootstrapError::from)?.is_some() {
            return self.check_same(&discovery.hashes);
        }
        let cluster = discovery.find().await?;
        let written = files::write_private(&self.first, &cluster.kubeconfig(&discovery.token));
        written.map_err(|source| JoinError::File { path: self.first.clone(), source })?;
        match credentials::connect(self.bootstrap.clone(), Clock::Machine).await {
            // The agent renews it.
            Ok((_, _)) => Ok(()),
            Err(error) => {
                // The token is of no use, and nobody's business.
                let _ = std::fs::remove_file(&self.first);
                Err(error.into())
            }
        }
    }

    /// Refuses to go on as a node of another cluster than the one that is meant.
    fn check_same(&self, hashes: &[String]) -> Result<(), JoinError> {
        let kubeconfig = &self.bootstrap.kubeconfig;
        let authority = process::authority_of(kubeconfig).map_err(|error| JoinError::Kubeconfig(error.to_string()))?;
        let pem = authority.unwrap_or_default();
        let known = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
        if known.filter_map(|certificate| ctl::authority_hash(&certificate)).any(|hash| hashes.contains(&hash)) {
            return Ok(());
        }
        Err(JoinError::AnotherCluster(kubeconfig.clone()))
    }
}
