//! Who may use an image that is there. What was pulled with credentials is for those who have them (KEP-2535): a pod that
//! has not cannot get at the image by being sent to the node that has it.
//!
//! What was there before, or was loaded, is for everybody. What is known outlives the agent, in one file of the agent's
//! directory; it has digests of credentials, and no credentials. A pull that was under way when the agent ended counts
//! against the image, since nobody knows what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::credentials::Credential;

/// The file.
const FILE: &str = "pulled-images.json";

/// What is known. There is an entry for each image that was pulled and is there, and for each pull that is under way.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Access {
    #[serde(skip)]
    directory: Option<PathBuf>,
    /// By the image's ID, then by the repository that it was pulled from.
    #[serde(default)]
    pulled: BTreeMap<String, BTreeMap<String, Grant>>,
    /// By name, how many pulls are under way, or were when the agent ended.
    #[serde(default)]
    pulling: BTreeMap<String, u32>,
}

/// To whom a repository gave an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Grant {
    #[serde(default)]
    everybody: bool,
    #[serde(default)]
    credentials: BTreeSet<String>,
}

impl Access {
    /// Takes over what an agent before knew, and keeps it in `directory` from now on.
    pub(super) fn keep_in(&mut self, directory: PathBuf) -> io::Result<()> {
        match std::fs::read(directory.join(FILE)) {
            Ok(text) => *self = serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.directory = Some(directory);
        Ok(())
    }

    /// Whether anybody may use an image.
    pub(super) fn is_free(&self, name: &str, id: &str, repository: &str) -> bool {
        match self.pulled.get(id) {
            Some(grants) => grants.get(repository).is_some_and(|grant| grant.everybody),
            None => !self.pulling.contains_key(name),
        }
    }

    /// Whether somebody with these credentials may.
    pub(super) fn is_granted(&self, id: &str, repository: &str, credentials: &[Credential]) -> bool {
        let grant = self.pulled.get(id).and_then(|grants| grants.get(repository));
        grant.is_some_and(|grant| credentials.iter().any(|it| grant.credentials.contains(&fingerprint(it))))
    }

    /// Writes down that a pull begins. It must not begin if that fails.
    pub(super) fn begin(&mut self, name: &str) -> io::Result<()> {
        *self.pulling.entry(name.to_owned()).or_default() += 1;
        self.save()
    }

    /// Writes down what came of it, with the credential that was used, if it came to anything.
    pub(super) fn end(&mut self, name: &str, came: Option<(&str, &str, Option<&Credential>)>) -> io::Result<()> {
        if let Some((id, repository, credential)) = came {
            let grant = self.pulled.entry(id.to_owned()).or_default().entry(repository.to_owned()).or_default();
            match credential {
                None => grant.everybody = true,
                Some(credential) => drop(grant.credentials.insert(fingerprint(credential))),
            }
            // Whatever was unknown of it is known now.
            self.pulling.remove(name);
        } else if let Some(count) = self.pulling.get_mut(name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.pulling.remove(name);
            }
        }
        self.save()
    }

    /// Forgets the images that are there no longer.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) -> io::Result<()> {
        let before = self.pulled.len();
        self.pulled.retain(|id, _| is_there(id));
        if self.pulled.len() == before { Ok(()) } else { self.save() }
    }

    /// Replaces the file as a whole. It is small, and pulls are rare.
    fn save(&self) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        std::fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        io::Write::write_all(&mut file, &serde_json::to_vec(self)?)?;
        file.as_file().sync_data()?;
        file.persist(directory.join(FILE))?;
        Ok(())
    }
}

fn fingerprint(credential: &Credential) -> String {
    let mut hash = Sha256::new();
    // The length tells where the one ends and the other begins.
    hash.update((credential.username.len() as u64).to_be_bytes());
    hash.update(&credential.username);
    hash.update(&credential.password);
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str) -> Credential {
        Credential { username: name.to_owned(), password: "secret".to_owned() }
    }

    #[test]
    fn what_was_pulled_with_credentials_is_for_those_who_have_them() {
        let mut access = Access::default();
        assert!(access.is_free("a.b/c:1", "id", "a.b/c"), "what was there before is for everybody");
        access.begin("a.b/c:1").unwrap();
        assert!(!access.is_free("a.b/c:1", "id", "a.b/c"));
        let me = credential("me");
        access.end("a.b/c:1", Some(("id", "a.b/c", Some(&me)))).unwrap();
        assert!(!access.is_free("a.b/c:1", "id", "a.b/c"));
        assert!(access.is_granted("id", "a.b/c", &[credential("other"), me.clone()]));
        assert!(!access.is_granted("id", "a.b/c", &[credential("other")]));
        assert!(!access.is_granted("id", "a.b/d", std::slice::from_ref(&me)), "another repository may know others");
        access.end("a.b/c:1", Some(("id", "a.b/c", None))).unwrap();
        assert!(access.is_free("a.b/c:1", "id", "a.b/c"));
        access.retain(|_| false).unwrap();
        assert!(access.is_free("a.b/c:1", "id", "a.b/d"));
    }

    #[test]
    fn what_is_known_outlives_the_agent() {
        let directory = tempfile::tempdir().unwrap();
        let start = || {
            let mut access = Access::default();
            access.keep_in(directory.path().join("images")).map(|()| access)
        };
        let mut access = start().unwrap();
        access.begin("a.b/c:1").unwrap();
        access.end("a.b/c:1", Some(("id", "a.b/c", Some(&credential("me"))))).unwrap();
        access.begin("a.b/failed:1").unwrap();
        access.end("a.b/failed:1", None).unwrap();
        access.begin("a.b/unknown:1").unwrap();
        let access = start().unwrap();
        assert!(access.is_granted("id", "a.b/c", &[credential("me")]));
        assert!(access.is_free("a.b/failed:1", "x", "a.b/failed"));
        assert!(!access.is_free("a.b/unknown:1", "x", "a.b/unknown"));
        let path = directory.path().join("images").join(FILE);
        assert!(!std::fs::read_to_string(&path).unwrap().contains("secret"));
        std::fs::write(path, "{").unwrap();
        assert!(start().is_err());
    }
}
