//! The images of a runtime in memory: those that it has, and those that can be pulled.
//!
//! Names are completed as containerd does it: `web` is `docker.io/library/web:latest`. An image's ID and digest follow
//! from its name, so that they are the same on every node.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tonic::Status;

use super::v1;

/// An image that is there, or can be pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its name, as short as pods may write it.
    pub name: String,
    /// How many bytes it takes.
    pub size: u64,
    /// The user that it runs as: a number or a name; root if empty.
    pub user: String,
}

/// What a pull that does not work is answered with, by the image's full name.
type Refusals = BTreeMap<String, Status>;

/// The images.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// By ID.
    present: BTreeMap<String, v1::Image>,
    /// By full name.
    offers: BTreeMap<String, Offer>,
    refusals: Refusals,
    /// Bytes of images of which nobody knows anything else, if they can be pulled.
    anything: Option<u64>,
}

impl Offer {
    /// An image of a megabyte that runs as root.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Offer {
        Offer { name: name.into(), size: 1 << 20, user: String::new() }
    }
}

impl Images {
    /// With these, and with whatever else is asked for, if a size is given for it.
    pub(super) fn new(present: Vec<Offer>, anything: Option<u64>) -> Images {
        let mut images = Images { anything, ..Images::default() };
        for offer in present {
            images.add(&offer);
        }
        images
    }

    /// Has an image be there.
    pub(super) fn add(&mut self, offer: &Offer) -> String {
        let name = full_name(&offer.name);
        let image = made(&name, offer);
        let id = image.id.clone();
        self.present.insert(id.clone(), image);
        id
    }

    /// Has an image be there to be pulled.
    pub(super) fn offer(&mut self, offer: Offer) {
        let name = full_name(&offer.name);
        self.refusals.remove(&name);
        self.offers.insert(name, offer);
    }

    /// Has an image be refused, until it is offered.
    pub(super) fn refuse(&mut self, name: &str, status: Status) {
        self.refusals.insert(full_name(name), status);
    }

    /// Pulls an image, and gives its ID.
    pub(super) fn pull(&mut self, reference: &str) -> Result<String, Status> {
        if reference.is_empty() {
            return Err(Status::unknown("failed to parse image reference \"\": invalid reference format"));
        }
        let name = full_name(reference);
        if let Some(status) = self.refusals.get(&name) {
            return Err(status.clone());
        }
        if let Some(offer) = self.offers.get(&name).cloned() {
            return Ok(self.add(&offer));
        }
        let Some(size) = self.anything else {
            return Err(Status::not_found(format!(
                "failed to pull and unpack image {name:?}: failed to resolve reference {name:?}: {name}: not found"
            )));
        };
        Ok(self.add(&Offer { name, size, user: String::new() }))
    }

    /// The image that an ID or a name refers to.
    pub(super) fn find(&self, reference: &str) -> Option<&v1::Image> {
        let id = if reference.len() == 64 { format!("sha256:{reference}") } else { reference.to_owned() };
        if let Some(image) = self.present.get(&id) {
            return Some(image);
        }
        let name = full_name(reference);
        self.present.values().find(|image| image.repo_tags.contains(&name) || image.repo_digests.contains(&name))
    }

    /// Removes an image, with all of its names. One that is not there is gone already.
    pub(super) fn remove(&mut self, reference: &str) {
        if let Some(id) = self.find(reference).map(|image| image.id.clone()) {
            self.present.remove(&id);
        }
    }

    /// The images that there are, or the one that is asked for.
    pub(super) fn list(&self, only: &str) -> Vec<v1::Image> {
        if only.is_empty() {
            return self.present.values().cloned().collect();
        }
        self.find(only).cloned().into_iter().collect()
    }

    /// How many bytes all of them take.
    pub(super) fn bytes(&self) -> u64 {
        self.present.values().map(|image| image.size).sum()
    }
}

/// An image as CRI has it.
fn made(name: &str, offer: &Offer) -> v1::Image {
    let (repository, digest) = match name.split_once('@') {
        Some((repository, digest)) => (repository, digest.to_owned()),
        None => (without_tag(name), format!("sha256:{}", hash("digest", name))),
    };
    let repository = without_tag(repository);
    let uid = if offer.user.is_empty() { Some(0) } else { offer.user.parse().ok() };
    v1::Image {
        id: format!("sha256:{}", hash("id", &digest)),
        repo_tags: if name.contains('@') { Vec::new() } else { vec![name.to_owned()] },
        repo_digests: vec![format!("{repository}@{digest}")],
        size: offer.size,
        uid: uid.map(|value| v1::Int64Value { value }),
        username: if uid.is_some() { String::new() } else { offer.user.clone() },
        spec: None,
        pinned: false,
    }
}

fn hash(what: &str, name: &str) -> String {
    let sum = Sha256::new().chain_update(what).chain_update(name).finalize();
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name without its tag. A colon before the last slash belongs to a port.
fn without_tag(name: &str) -> &str {
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    name[path..].find(':').map_or(name, |colon| &name[..path + colon])
}

/// A name with everything that may be left out.
pub(super) fn full_name(name: &str) -> String {
    let (domain, path) = match name.split_once('/') {
        Some((domain, path)) if domain.contains(['.', ':']) || domain == "localhost" => (domain, path.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let tag = if path.contains('@') || without_tag(&path) != path { "" } else { ":latest" };
    format!("{domain}/{path}{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        for (short, full) in [
            ("web", "docker.io/library/web:latest"),
            ("web:1", "docker.io/library/web:1"),
            ("library/web:1", "docker.io/library/web:1"),
            ("team/web", "docker.io/team/web:latest"),
            ("localhost/web", "localhost/web:latest"),
            ("registry:5000/web", "registry:5000/web:latest"),
            ("a.example/b/c:2", "a.example/b/c:2"),
            ("web@sha256:aa", "docker.io/library/web@sha256:aa"),
        ] {
            assert_eq!(full_name(short), full);
        }
    }

    #[test]
    fn an_image_is_found_by_every_name() {
        let mut images = Images::new(vec![Offer::named("web:1")], None);
        let image = images.find("docker.io/library/web:1").unwrap().clone();
        let bare = image.id.trim_start_matches("sha256:").to_owned();
        for reference in ["web:1", &image.id, &bare, &image.repo_digests[0]] {
            assert_eq!(images.find(reference), Some(&image), "{reference}");
        }
        assert_eq!(images.find("web:2"), None);
        // By its digest it is the same image.
        images.offer(Offer::named(image.repo_digests[0].clone()));
        assert_eq!(images.pull(&image.repo_digests[0]).unwrap(), image.id);
        images.remove("web:1");
        images.remove(&image.id);
        assert_eq!(images.list(""), []);
        assert_eq!(images.pull("web:2").unwrap_err().code(), tonic::Code::NotFound);
    }
}
