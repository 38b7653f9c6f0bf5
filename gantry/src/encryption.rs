//! `gantry encryption`: by which keys a cluster's Secrets are stored, and replacing them.
//!
//! A rotation is three steps, each of which may be the last one before a power failure, and which another run goes on with: a
//! new key in front of the file, everything written anew by it, the old key taken away. A key is taken away only after the
//! server has said that it writes by the new one alone, and that nothing is stored by another one.

use std::error::Error;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apiserver::encryption::{self, Configuration, OWN_FILE};
use clap::{Args, Subcommand};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, Client};

use crate::process;

mod figures;

use figures::{Figures, Line};

/// For how long, and how often, it is asked whether the server has taken over a file.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);
/// How many objects are asked for at once.
const PAGE: u32 = 500;
/// How often all is written anew if something is left each time: somebody may write beside us.
const ROUNDS: usize = 5;

/// The subcommands of `gantry encryption`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say by which keys how many objects are stored.
    Status {
        #[command(flatten)]
        place: Place,
    },
    /// Replace the key: make a new one, write everything anew by it, and take the old ones away. If that was interrupted, go on
    /// with it. The server runs meanwhile.
    Rotate {
        #[command(flatten)]
        place: Place,
        /// No other API server is on the same etcd. Where there are several, every one has to have a key before the first writes
        /// by it: the file is changed on all of them by hand, as docs/operating.md says.
        #[arg(long)]
        only_server: bool,
    },
}

/// Whose keys.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where the cluster keeps its files [default: /var/lib/gantry, and for others than root ~/.local/share/gantry].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file that the server was given as --encryption-provider-config [default: pki/encryption.yaml in the data directory].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does what was asked for.
pub(crate) fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Status { place } => runtime.block_on(async {
            let keeper = Keeper::new(place).await?;
            keeper.check_loaded(&keeper.figures().await?)?;
            keeper.status().await
        }),
        Command::Rotate { place, only_server } => runtime.block_on(async {
            let keeper = Keeper::new(place).await?;
            process::patiently("replacing the key", keeper.rotate(only_server)).await
        }),
    }
}

/// A file of keys, and the server that uses it.
struct Keeper {
    path: PathBuf,
    client: Client,
}

impl Keeper {
    async fn new(place: Place) -> Result<Keeper, Box<dyn Error>> {
        let data_dir = process::data_directory_or(place.data_dir)?;
        let path = place.config.unwrap_or_else(|| data_dir.join(OWN_FILE));
        let client = process::connect(&data_dir.join("admin.kubeconfig")).await?;
        Ok(Keeper { path, client })
    }

    /// Keeps others from replacing keys in the same file until the lock is dropped, however this process ends.
    fn lock(&self) -> Result<File, Box<dyn Error>> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let failed = |error| format!("{}: {error}", directory.display());
        let lock = File::open(directory).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => {
                Err(format!("keys in {} are being replaced by another process already", directory.display()).into())
            }
            Err(TryLockError::Error(error)) => Err(failed(error).into()),
        }
    }

    /// What the server says of itself.
    async fn figures(&self) -> Result<Figures, Box<dyn Error>> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = self.client.request_text(request).await;
        Ok(Figures::read(&text.map_err(|error| format!("the API server cannot be asked: {error}; is it running?"))?))
    }

    /// Fails unless the server goes by the file.
    fn check_loaded(&self, figures: &Figures) -> Result<(), Box<dyn Error>> {
        let wanted = self.load()?.rules.hash().to_owned();
        if figures.loaded.as_deref() == Some(&*wanted) {
            return Ok(());
        }
        let path = self.path.display();
        Err(match figures.loaded {
            None => format!("the API server encrypts nothing: start it with --encryption-provider-config {path}"),
            Some(_) => format!(
                "the API server does not use {path} as it is: name the file that it uses by --config, or restart it if it was not \
                 started with --encryption-provider-config-automatic-reload"
            ),
        }
        .into())
    }

    fn load(&self) -> Result<encryption::Loaded, Box<dyn Error>> {
        Ok(encryption::load(&self.path)?)
    }

    async fn status(&self) -> Result<(), Box<dyn Error>> {
        let figures = self.figures().await?;
        process::announce(&format!("keys: {}", self.path.display()));
        process::announce(figures.table().trim_end());
        Ok(())
    }

    async fn rotate(&self, only_server: bool) -> Result<(), Box<dyn Error>> {
        let _alone = self.lock()?;
        let figures = self.loaded().await?;
        if figures.shared && !only_server {
            return Err(
                "several API servers may be on this etcd, and none may write by a key that another one lacks: change \
                        their files by hand, as docs/operating.md says, or state --only-server if there is no other"
                    .into(),
            );
        }
        let mut configuration = self.load()?.configuration;
        match configuration.most_keys() {
            0 => {
                let path = self.path.display();
                return Err(format!("{path} names no provider with keys first: there is no key to replace").into());
            }
            1 => {
                encryption::add_keys(&mut configuration)?;
                self.write(&configuration).await?;
                process::announce("a new key is in use");
            }
            _ => process::announce("going on with what was begun: the first key is the new one"),
        }
        let (written, figures) = self.write_all().await?;
        process::announce(&match written {
            1 => "1 object was written anew".to_owned(),
            _ => format!("{written} objects were written anew"),
        });
        let loaded = self.load()?;
        if figures.loaded.as_deref() != Some(loaded.rules.hash()) {
            let path = self.path.display();
            return Err(format!("{path} was changed meanwhile, and no key was taken away: begin again").into());
        }
        let mut configuration = loaded.configuration;
        configuration.drop_old_keys();
        self.write(&configuration).await?;
        process::announce("the old keys are gone; back up the new one");
        self.status().await
    }

    /// Replaces the file, and waits until the server writes by nothing else.
    async fn write(&self, configuration: &Configuration) -> Result<(), Box<dyn Error>> {
        encryption::write(&self.path, configuration)?;
        self.loaded().await.map(drop)
    }

    /// Waits until the server goes by the file: it looks at it every second.
    async fn loaded(&self) -> Result<Figures, Box<dyn Error>> {
        let began = Instant::now();
        loop {
            let figures = self.figures().await?;
            match self.check_loaded(&figures) {
                Ok(()) => return Ok(figures),
                Err(error) if began.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Writes everything anew that is stored by another key than the first, and returns how many objects that were.
    async fn write_all(&self) -> Result<(usize, Figures), Box<dyn Error>> {
        let mut written = 0;
        let mut figures = self.loaded().await?;
        for _ in 0..ROUNDS {
            let left = figures.left();
            if left.is_empty() {
                break;
            }
            written += self.write_those(&left).await?;
            // What is counted is counted by a server that goes by the file.
            figures = self.loaded().await?;
        }
        let left = figures.left();
        if left.is_empty() {
            return Ok((written, figures));
        }
        let left: Vec<String> = left.iter().map(Line::to_string).collect();
        Err(format!(
            "not everything could be written anew, and no key was taken away; there are still {}",
            left.join(", ")
        )
        .into())
    }

    async fn write_those(&self, lines: &[Line]) -> Result<usize, Box<dyn Error>> {
        let discovery = Discovery::new(self.client.clone()).run().await?;
        let mut written = 0;
        let mut names: Vec<&str> = lines.iter().map(|line| line.resource.as_str()).collect();
        names.dedup();
        for name in names {
            let (plural, group) = name.split_once('.').unwrap_or((name, ""));
            let found = discovery.get(group).and_then(|group| {
                let mut resources = group.recommended_resources().into_iter();
                resources.find(|(resource, _)| resource.plural == plural)
            });
            let Some((resource, capabilities)) = found else {
                return Err(format!("{name} are stored, and not served: they cannot be written anew").into());
            };
            if !capabilities.supports_operation(verbs::UPDATE) {
                return Err(format!("{name} cannot be updated, and so not be written anew").into());
            }
            let mut params = ListParams::default().limit(PAGE);
            loop {
                let page = Api::<DynamicObject>::all_with(self.client.clone(), &resource).list(&params).await?;
                for mut object in page.items {
                    object.types = Some(kube::api::TypeMeta {
                        api_version: resource.api_version.clone(),
                        kind: resource.kind.clone(),
                    });
                    let namespace = object.metadata.namespace.clone();
                    let api: Api<DynamicObject> = match namespace {
                        Some(namespace) => Api::namespaced_with(self.client.clone(), &namespace, &resource),
                        None => Api::all_with(self.client.clone(), &resource),
                    };
                    written += usize::from(replace(&api, &object).await?);
                }
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params = ListParams::default().limit(PAGE).continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(written)
    }
}

/// Updates an object to what it is. Whoever was quicker has written it anew as well.
async fn replace(api: &Api<DynamicObject>, object: &DynamicObject) -> Result<bool, Box<dyn Error>> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match api.replace(name, &PostParams::default(), object).await {
        Ok(after) => Ok(after.metadata.resource_version != object.metadata.resource_version),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(format!("{name} could not be written anew: {error}").into()),
    }
}
