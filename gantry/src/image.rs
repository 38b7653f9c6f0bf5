//! `gantry image`: what an operator does with the images of a node, without a registry.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use kubelet::cri::{Cri, v1};
use kubelet::images::{archive, pause};
use kubelet::runtime::Layout;

use crate::process;

/// The subcommands of `gantry image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load images from archives: OCI layouts in a tar file, and what `docker save` writes, plain or compressed with gzip.
    /// All archives are checked before anything is loaded.
    Load {
        /// The archives; `-` is standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// What the image is called, instead of what the archive calls it. For archives with one image.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        node: Node,
    },
    /// List the images that the node has.
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        node: Node,
    },
    /// Remove images, with all of their names.
    Rm {
        /// Names or IDs.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Remove images that containers are of, and the one that sandboxes are made of, too.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        node: Node,
    },
}

/// Which node's images.
#[derive(Debug, Args)]
pub(crate) struct Node {
    /// The node's data directory, in which its containerd has its socket [default: /var/lib/gantry for root,
    /// ~/.local/share/gantry for others]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The socket of the node's container runtime, such as unix:///run/containerd/containerd.sock, if it is not the node's own.
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    container_runtime_endpoint: Option<String>,
}

/// Does what was asked for.
pub(crate) fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Load { files, name, node } => load(&files, name.as_deref(), &node).await,
            Command::Ls { node } => list(&node).await,
            Command::Rm { names, force, node } => remove(&names, force, &node).await,
        }
    })
}

impl Node {
    fn endpoint(&self) -> Result<String, Box<dyn Error>> {
        if let Some(endpoint) = &self.container_runtime_endpoint {
            return Ok(endpoint.clone());
        }
        let data_dir = self.data_dir.clone().map_or_else(process::data_directory, Ok)?;
        // A socket has to be found from wherever the runtime was started.
        Ok(Layout::of(&std::path::absolute(data_dir)?).endpoint())
    }

    /// The node's runtime, which has answered.
    async fn connect(&self) -> Result<(String, Cri), Box<dyn Error>> {
        let endpoint = self.endpoint()?;
        let cri = Cri::at(&endpoint)?;
        match cri.version(v1::VersionRequest::default()).await {
            Ok(_) => Ok((endpoint, cri)),
            Err(status) => {
                let hint = match &self.container_runtime_endpoint {
                    Some(_) => "is it running, and may you use it?",
                    None => "is a node running with this --data-dir, and are you the one who started it?",
                };
                Err(format!("no container runtime answers at {endpoint}: {hint} ({})", status.message()).into())
            }
        }
    }
}

async fn load(files: &[PathBuf], name: Option<&str>, node: &Node) -> Result<(), Box<dyn Error>> {
    let about = |file: &Path, error: archive::LoadError| match &error {
        archive::LoadError::Runtime(_)
        | archive::LoadError::Foreign
        | archive::LoadError::Endpoint(_)
        | archive::LoadError::Name { .. } => error.to_string(),
        _ if file.as_os_str() == "-" => format!("standard input {error}"),
        _ => format!("{} {error}", file.display()),
    };
    if name.is_some() && files.len() > 1 {
        return Err("--name is for one archive".into());
    }
    let mut archives = Vec::new();
    for file in files {
        let mut archive = archive::open(file).await.map_err(|error| about(file, error))?;
        let named = match name {
            Some(name) => archive::rename(&mut archive, name),
            None => archive::check_names(&archive),
        };
        named.map_err(|error| about(file, error))?;
        archives.push((file, archive));
    }
    let (endpoint, _) = node.connect().await?;
    for (file, archive) in &archives {
        let loading = archive::load(&endpoint, archive);
        let loaded = process::patiently(&format!("loading {}", file.display()), loading).await;
        for name in loaded.map_err(|error| about(file, error))? {
            process::announce(&format!("loaded {name}"));
        }
    }
    Ok(())
}

async fn list(node: &Node) -> Result<(), Box<dyn Error>> {
    let (_, cri) = node.connect().await?;
    let images = cri.list_images(v1::ListImagesRequest::default()).await.map_err(said)?.images;
    process::announce(table(&images).trim_end());
    Ok(())
}

/// A line for each name of each image, in the order of names.
fn table(images: &[v1::Image]) -> String {
    let mut rows = Vec::new();
    for image in images {
        let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        let id = id.get(..12).unwrap_or(id);
        let nameless = ["<none>".to_owned()];
        for name in if names.is_empty() { nameless.as_slice() } else { names } {
            rows.push([name.clone(), id.to_owned(), size(image.size)]);
        }
    }
    rows.sort();
    rows.insert(0, ["NAME", "IMAGE ID", "SIZE"].map(str::to_owned));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter().map(|[name, id, size]| format!("{name:first$}   {id:second$}   {size}\n")).collect()
}

/// A number of bytes as registries count them, in powers of 1000.
fn size(bytes: u64) -> String {
    let mut unit = ("B", 1);
    for larger in [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)] {
        if bytes >= larger.1 {
            unit = larger;
        }
    }
    if unit.1 == 1 {
        return format!("{bytes} B");
    }
    format!("{}.{} {}", bytes / unit.1, bytes % unit.1 * 10 / unit.1, unit.0)
}

async fn remove(names: &[String], force: bool, node: &Node) -> Result<(), Box<dyn Error>> {
    let (_, cri) = node.connect().await?;
    let mut found = Vec::new();
    for name in names {
        let image = find(&cri, name).await?.ok_or_else(|| format!("there is no image {name}"))?;
        if !force && let Some(user) = user(&cri, &image).await? {
            return Err(format!("{name} is used by {user}: use --force to remove it all the same").into());
        }
        found.push((name, image));
    }
    for (name, image) in found {
        let spec = v1::ImageSpec { image: image.id, ..v1::ImageSpec::default() };
        cri.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await.map_err(said)?;
        process::announce(&format!("removed {name}"));
    }
    Ok(())
}

async fn find(cri: &Cri, name: &str) -> Result<Option<v1::Image>, Box<dyn Error>> {
    let spec = v1::ImageSpec { image: name.to_owned(), ..v1::ImageSpec::default() };
    Ok(cri.image_status(v1::ImageStatusRequest { image: Some(spec), verbose: false }).await.map_err(said)?.image)
}

/// Who needs an image.
async fn user(cri: &Cri, image: &v1::Image) -> Result<Option<String>, Box<dyn Error>> {
    if let Some(name) = pause::configured(cri).await.map_err(said)?
        && find(cri, &name).await?.is_some_and(|sandboxes| sandboxes.id == image.id)
    {
        return Ok(Some("every pod's sandbox".to_owned()));
    }
    let containers = cri.list_containers(v1::ListContainersRequest::default()).await.map_err(said)?.containers;
    let of_image = |container: &&v1::Container| {
        container.image_ref == image.id || image.repo_digests.contains(&container.image_ref)
    };
    Ok(containers.iter().find(of_image).map(|container| {
        let label = |name: &str| container.labels.get(name).map_or("", String::as_str);
        let (namespace, pod) = (label("io.kubernetes.pod.namespace"), label("io.kubernetes.pod.name"));
        format!("a container of the pod {namespace}/{pod}")
    }))
}

fn said(status: impl std::fmt::Display) -> Box<dyn Error> {
    format!("the container runtime failed: {status}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_listed_by_name() {
        let image = |id: &str, tags: &[&str], size| v1::Image {
            id: format!("sha256:{id}"),
            repo_tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            size,
            ..v1::Image::default()
        };
        let images = [image("0123456789abcdef", &["b/c:1", "a/longer:1"], 12_345), image("f", &[], 5)];
        let expected = "\
NAME         IMAGE ID       SIZE
<none>       f              5 B
a/longer:1   0123456789ab   12.3 kB
b/c:1        0123456789ab   12.3 kB
";
        assert_eq!(table(&images), expected);
        assert_eq!(size(1_999_999_999), "1.9 GB");
    }

    #[test]
    fn the_socket_is_below_the_data_directory() {
        let node = |data_dir: Option<&str>, endpoint: Option<&str>| Node {
            data_dir: data_dir.map(PathBuf::from),
            container_runtime_endpoint: endpoint.map(str::to_owned),
        };
        let check = |node: Node, expected: &str| assert_eq!(node.endpoint().unwrap(), expected);
        check(node(Some("/data"), None), "unix:///data/containerd/containerd.sock");
        check(node(None, Some("unix:///run/x.sock")), "unix:///run/x.sock");
    }
}
