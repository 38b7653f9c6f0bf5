//! The certificates of a data directory, and new ones in their place because somebody asks for them.
//!
//! A file that is broken is named, and keeps no other from being shown. The authority is never replaced, nor is what it did
//! not issue: whoever did has its key.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{ExtendedKeyUsagePurpose, Issuer};

use super::certificates::{self, Facts, Leaf};
use super::{AuthorityError, LEAF_TIME, files};
use crate::serve::{Clock, Random};

/// What servers renew themselves while they run, by the names of the files.
const BY_SERVER: [&str; 7] =
    ["admin", "apiserver", "apiserver-kubelet-client", "controller-manager", "kubelet", "proxy", "scheduler"];
/// What the agent of a node has the cluster issue anew.
const BY_AGENT: [&str; 2] = ["kubelet-client-current", "kubelet-server-current"];
/// Files of a data directory in which the certificates of clients stand as well.
const KUBECONFIGS: [&str; 5] = [
    "admin.kubeconfig",
    "controller-manager.kubeconfig",
    "node.kubeconfig",
    "proxy.kubeconfig",
    "scheduler.kubeconfig",
];

/// A certificate of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called by: its file's name, without what is behind the dot.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// DNS names and IP addresses of its holder.
    pub names: Vec<String>,
    /// To be a server.
    pub is_server: bool,
    /// To be a client.
    pub is_client: bool,
    /// To issue others.
    pub is_authority: bool,
    /// From when on it is good.
    pub valid_from: SystemTime,
    /// Until when.
    pub valid_until: SystemTime,
    /// Who renews it without being asked.
    pub keeper: Keeper,
}

/// Who renews a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The server, while it runs and when it starts.
    Server,
    /// The agent of the node, while it runs.
    Agent,
    /// Nobody.
    Nobody,
}

/// All certificates in `<data_dir>/pki`, by name. Those that cannot be read say why.
pub fn inventory(data_dir: &Path) -> Result<Vec<Result<Entry, AuthorityError>>, AuthorityError> {
    let directory = data_dir.join("pki");
    let failed = |source| AuthorityError::Io { path: directory.clone(), source };
    let mut paths = Vec::new();
    for file in fs::read_dir(&directory).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "crt" || end == "pem") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.iter().map(|path| entry(path)).collect())
}

/// What a file is called by.
fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn entry(path: &Path) -> Result<Entry, AuthorityError> {
    let gone = || AuthorityError::Broken { path: path.to_owned(), why: "is gone".to_owned() };
    let facts = Facts::read(path, &files::read(path)?.ok_or_else(gone)?)?;
    let name = name_of(path);
    let keeper = if BY_SERVER.contains(&name.as_str()) {
        Keeper::Server
    } else if BY_AGENT.contains(&name.as_str()) {
        Keeper::Agent
    } else {
        Keeper::Nobody
    };
    Ok(Entry {
        path: path.to_owned(),
        name,
        subject: facts.subject,
        issuer: facts.issuer,
        names: facts.names,
        is_server: facts.is_server,
        is_client: facts.is_client,
        is_authority: facts.is_authority,
        valid_from: facts.valid_from,
        valid_until: facts.valid_until,
        keeper,
    })
}

/// Issues certificates of `<data_dir>/pki` anew, by their names, or all that the authority issued if none is named: for the
/// same holder and purpose, and with the same key. A server that runs takes them over by itself. Kubeconfigs of the directory
/// get theirs, too. Nothing is renewed if one of them cannot be.
///
/// Returns the files that were written.
pub fn renew(
    data_dir: &Path,
    names: &[String],
    clock: &Clock,
    random: &Random,
) -> Result<Vec<PathBuf>, AuthorityError> {
    let directory = data_dir.join("pki");
    let (certificate_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
    let missing = |path: &Path| AuthorityError::Broken {
        path: path.to_owned(),
        why: "is missing, without which nothing can be issued".to_owned(),
    };
    let certificate = files::read(&certificate_path)?.ok_or_else(|| missing(&certificate_path))?;
    let key = certificates::read_key(&key_path, &files::read(&key_path)?.ok_or_else(|| missing(&key_path))?)?;
    let root = Facts::read(&certificate_path, &certificate)?;
    if !root.is_valid_at(clock()) {
        return Err(AuthorityError::NotValid { path: certificate_path });
    }
    if root.public_key != key.public_key_raw() {
        let why = "does not belong to the key in ca.key".to_owned();
        return Err(AuthorityError::Broken { path: certificate_path, why });
    }
    let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
    let mut made = Vec::new();
    for name in chosen(&directory, names, &root)? {
        let path = directory.join(format!("{name}.crt"));
        let gone = || AuthorityError::Broken { path: path.clone(), why: "is gone".to_owned() };
        let before = files::read(&path)?.ok_or_else(gone)?;
        let facts = Facts::read(&path, &before)?;
        let key_path = directory.join(format!("{name}.key"));
        let key = certificates::read_key(&key_path, &files::read(&key_path)?.ok_or_else(|| missing(&key_path))?)?;
        let purpose =
            if facts.is_server { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth };
        let user = facts.user.as_deref().unwrap_or_default();
        let leaf = Leaf { user, group: facts.group.as_deref(), names: &facts.names, purpose, time: LEAF_TIME };
        let after = leaf.params(clock(), random())?.signed_by(&key, &issuer)?.pem();
        made.push((path, before, after));
    }
    let mut written = Vec::new();
    for (path, before, after) in made {
        files::write(&path, &after)?;
        written.push(path);
        written.extend(put_into_kubeconfigs(data_dir, &before, &after)?);
    }
    Ok(written)
}

/// The names of those that are to be renewed, which can be.
fn chosen(directory: &Path, names: &[String], root: &Facts) -> Result<Vec<String>, AuthorityError> {
    let is_own = |facts: &Facts| facts.issuer_key_id == root.key_id && !facts.is_authority;
    if names.is_empty() {
        let all = inventory(directory.parent().unwrap_or(directory))?;
        let mut chosen = Vec::new();
        for entry in all {
            let entry = entry?;
            let has_key = directory.join(format!("{}.key", entry.name)).exists();
            if has_key
                && files::read(&entry.path)?
                    .is_some_and(|pem| Facts::read(&entry.path, &pem).is_ok_and(|facts| is_own(&facts)))
            {
                chosen.push(entry.name);
            }
        }
        return Ok(chosen);
    }
    for name in names {
        let path = directory.join(format!("{name}.crt"));
        let refused = |why: &str| Err(AuthorityError::Refused { name: name.clone(), why: why.to_owned() });
        if BY_AGENT.contains(&name.as_str()) {
            return refused("the node's agent has the cluster issue it anew by itself");
        }
        // A name is no path.
        let pem = if name.contains('/') { None } else { files::read(&path)? };
        let Some(pem) = pem else {
            return refused("there is none of this name; `gantry certs list` shows which there are");
        };
        let facts = Facts::read(&path, &pem)?;
        if facts.is_authority {
            return refused("an authority is never replaced: everybody would have to trust the new one first");
        }
        if !is_own(&facts) {
            return refused("the authority in ca.crt did not issue it");
        }
    }
    Ok(names.to_vec())
}

/// Puts a certificate in the place of another one in kubeconfigs that have that. Returns those that were written.
fn put_into_kubeconfigs(data_dir: &Path, before: &str, after: &str) -> Result<Vec<PathBuf>, AuthorityError> {
    let (before, after) = (STANDARD.encode(before), STANDARD.encode(after));
    let mut written = Vec::new();
    for path in KUBECONFIGS.map(|name| data_dir.join(name)) {
        let Some(text) = files::read(&path)?.filter(|text| text.contains(&before)) else { continue };
        files::write(&path, &text.replace(&before, &after))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests;
