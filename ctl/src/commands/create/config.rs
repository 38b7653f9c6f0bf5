//! Config maps and secrets, out of files and texts.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{How, Made, Making};
use crate::Error;

/// What a config map or a secret is made of.
#[derive(Clone, Debug, Default, Args)]
struct Sources {
    /// A file, KEY=FILE, or a directory of files; can be given more than once.
    #[arg(long, value_name = "[KEY=]FILE", value_delimiter = ',')]
    from_file: Vec<String>,
    /// A key and its text; can be given more than once.
    #[arg(long, value_name = "KEY=TEXT")]
    from_literal: Vec<String>,
    /// A file of lines KEY=TEXT; can be given more than once.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    from_env_file: Vec<PathBuf>,
}

impl Sources {
    /// Keys and what they stand for, in the order of the arguments.
    fn read(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let others = !self.from_file.is_empty() || !self.from_literal.is_empty();
        if others && !self.from_env_file.is_empty() {
            return Err(Error::said("from-env-file cannot be combined with from-file or from-literal"));
        }
        let mut found = Vec::new();
        for source in &self.from_file {
            found.extend(of_file(source)?);
        }
        for literal in &self.from_literal {
            let pair = literal.split_once('=').filter(|(key, _)| !key.is_empty());
            let (key, text) =
                pair.ok_or_else(|| Error::said(format!("invalid literal source {literal}, expected key=value")))?;
            found.push((key.to_owned(), text.as_bytes().to_vec()));
        }
        for path in &self.from_env_file {
            let problem =
                |error: std::io::Error| Error::said(format!("error reading {}: {}", path.display(), words(&error)));
            let text = std::fs::read_to_string(path).map_err(problem)?;
            found.extend(of_env_file(path, &text)?);
        }
        Ok(found)
    }
}

/// What went wrong, as Go says it.
fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// A file, or the files of a directory, each by its name unless the key is said.
fn of_file(source: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let (key, path) = match source.split_once('=') {
        None => (None, source),
        Some(("", _)) => return Err(Error::said(format!("key name for file path {} missing", &source[1..]))),
        Some((key, "")) => return Err(Error::said(format!("file path for key name {key} missing"))),
        Some((_, rest)) if rest.contains('=') => {
            return Err(Error::said("key names or file paths cannot contain '='"));
        }
        Some((key, path)) => (Some(key), path),
    };
    let problem = |error: std::io::Error| Error::said(format!("error reading {path}: {}", words(&error)));
    if !std::fs::metadata(path).map_err(problem)?.is_dir() {
        let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
        let key = key.map(str::to_owned).or(name).unwrap_or_default();
        return Ok(vec![(key, std::fs::read(path).map_err(problem)?)]);
    }
    if key.is_some() {
        return Err(Error::said("cannot give a key name for a directory path"));
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(path).map_err(problem)?.flatten().map(|entry| entry.path()).collect();
    // Neither directories nor links, as kubectl has it.
    files.retain(|file| std::fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file()));
    files.sort();
    let read = |file: PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, std::fs::read(&file).map_err(problem)?))
    };
    files.into_iter().map(read).collect()
}

/// The variables of a file; one without a text has that of the environment, if there is one.
fn of_env_file(path: &Path, text: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut found = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value)));
        let is_name = key.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-'));
        if !is_name || key.is_empty() || key.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Error::said(format!(
                "{}:{}: {key:?} is not the name of a variable",
                path.display(),
                number + 1
            )));
        }
        if let Some(value) = value.map(str::to_owned).or_else(|| std::env::var(key).ok()) {
            found.push((key.to_owned(), value.into_bytes()));
        }
    }
    Ok(found)
}

fn check_key(key: &str, kind: &str) -> Result<(), Error> {
    const LONGEST: usize = 253;
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
    if !key.is_empty() && key.len() <= LONGEST && key.chars().all(is_allowed) && key != "." && !key.starts_with("..") {
        return Ok(());
    }
    Err(Error::said(format!(
        "{key:?} is not a valid key name for a {kind}: a valid config key must consist of alphanumeric characters, '-', '_' or '.' \
         (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )))
}

/// The end of a name that says what is in it: the hash of the JSON of what is in it, in letters that spell no words.
fn hash(of: &Value) -> String {
    const LENGTH: usize = 10;
    let digest = Sha256::digest(crate::last_applied::go_json(of).trim_end());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let letter = |it: char| match it {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    hex.chars().take(LENGTH).map(letter).collect()
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigMap {
    /// Its name.
    name: String,
    #[command(flatten)]
    sources: Sources,
    /// With a hash of what is in it at the end of its name.
    #[arg(long)]
    append_hash: bool,
}

impl ConfigMap {
    pub(super) fn make(&self) -> Result<Made, Error> {
        let (mut data, mut binary) = (Map::new(), Map::new());
        for (key, bytes) in self.sources.read()? {
            check_key(&key, "ConfigMap")?;
            if data.contains_key(&key) || binary.contains_key(&key) {
                return Err(Error::said(format!(
                    "cannot add key {key:?}, another key by that name already exists in Data for ConfigMap {:?}",
                    self.name
                )));
            }
            match String::from_utf8(bytes) {
                Ok(text) => data.insert(key, json!(text)),
                Err(error) => binary.insert(key, json!(STANDARD.encode(error.into_bytes()))),
            };
        }
        let mut name = self.name.clone();
        if self.append_hash {
            let mut hashed = json!({"data": data, "kind": "ConfigMap", "name": self.name});
            if !binary.is_empty() {
                hashed["binaryData"] = json!(binary);
            }
            name = format!("{name}-{}", hash(&hashed));
        }
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        for (field, data) in [("data", data), ("binaryData", binary)] {
            if !data.is_empty() {
                object[field] = Value::Object(data);
            }
        }
        Ok(Made::new(object, "failed to create configmap:"))
    }
}

/// What can be in a secret.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Secret {
    // tidy: sorted
    /// Make a secret of who one is to a registry of images.
    DockerRegistry(Box<Making<DockerRegistry>>),
    /// Make a secret out of files and texts.
    Generic(Box<Making<Generic>>),
    /// Make a secret of a certificate and its key.
    Tls(Box<Making<Tls>>),
    // tidy: end
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Generic {
    /// Its name.
    name: String,
    #[command(flatten)]
    sources: Sources,
    /// What kind of secret it is.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    kind: String,
    /// With a hash of what is in it at the end of its name.
    #[arg(long)]
    append_hash: bool,
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct Tls {
    /// Its name.
    name: String,
    /// The file with the certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The file with its key, in PEM.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// With a hash of what is in it at the end of its name.
    #[arg(long)]
    append_hash: bool,
}

/// The arguments.
#[derive(Clone, Debug, Args)]
pub(crate) struct DockerRegistry {
    /// Its name.
    name: String,
    /// Where the registry is.
    #[arg(long, value_name = "URL", default_value = "https://index.docker.io/v1/")]
    docker_server: String,
    /// Who one is to it.
    #[arg(long, value_name = "NAME", default_value = "")]
    docker_username: String,
    /// The password.
    #[arg(long, value_name = "PASSWORD", default_value = "")]
    docker_password: String,
    /// The address for mail.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    docker_email: String,
    /// A file that has all this: .dockerconfigjson.
    #[arg(long, value_name = "[KEY=]FILE", value_delimiter = ',')]
    from_file: Vec<String>,
    /// With a hash of what is in it at the end of its name.
    #[arg(long)]
    append_hash: bool,
}

impl Secret {
    pub(super) fn make(&self) -> Result<(Made, &How), Error> {
        match self {
            Secret::DockerRegistry(making) => Ok((making.of.make()?, &making.how)),
            Secret::Generic(making) => Ok((making.of.make()?, &making.how)),
            Secret::Tls(making) => Ok((making.of.make()?, &making.how)),
        }
    }
}

/// The secret with these bytes.
fn secret(name: &str, kind: &str, content: Vec<(String, Vec<u8>)>, append_hash: bool) -> Result<Made, Error> {
    let mut data = Map::new();
    for (key, bytes) in content {
        check_key(&key, "Secret")?;
        if data.contains_key(&key) {
            return Err(Error::said(format!("cannot add key {key}, another key by that name already exists")));
        }
        data.insert(key, json!(STANDARD.encode(bytes)));
    }
    let mut name = name.to_owned();
    if append_hash {
        name = format!("{name}-{}", hash(&json!({"data": data, "kind": "Secret", "name": name, "type": kind})));
    }
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    if !data.is_empty() {
        object["data"] = Value::Object(data);
    }
    if !kind.is_empty() {
        object["type"] = json!(kind);
    }
    Ok(Made::new(object, "failed to create secret"))
}

impl Generic {
    fn make(&self) -> Result<Made, Error> {
        secret(&self.name, &self.kind, self.sources.read()?, self.append_hash)
    }
}

impl Tls {
    fn make(&self) -> Result<Made, Error> {
        let (Some(certificate), Some(key)) = (&self.cert, &self.key) else {
            return Err(Error::said("key and cert must be specified"));
        };
        let read = |path: &PathBuf| {
            let problem = |error: std::io::Error| {
                Error::said(format!("Cannot read file {}, open {}: {}", path.display(), path.display(), words(&error)))
            };
            std::fs::read(path).map_err(problem)
        };
        let (certificate, key) = (read(certificate)?, read(key)?);
        if CertificateDer::from_pem_slice(&certificate).is_err() {
            return Err(Error::said("tls: failed to find any PEM data in certificate input"));
        }
        if PrivateKeyDer::from_pem_slice(&key).is_err() {
            return Err(Error::said("tls: failed to find any PEM data in key input"));
        }
        let content = vec![("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key)];
        secret(&self.name, "kubernetes.io/tls", content, self.append_hash)
    }
}

impl DockerRegistry {
    fn make(&self) -> Result<Made, Error> {
        const KEY: &str = ".dockerconfigjson";
        const KIND: &str = "kubernetes.io/dockerconfigjson";
        if !self.from_file.is_empty() {
            let mut content = Vec::new();
            for source in &self.from_file {
                content.extend(of_file(source)?);
            }
            return secret(&self.name, KIND, content, self.append_hash);
        }
        if self.docker_username.is_empty() || self.docker_password.is_empty() || self.docker_server.is_empty() {
            return Err(Error::said(
                "either --from-file or the combination of --docker-username, --docker-password and --docker-server is \
                 required",
            ));
        }
        // In the order that kubectl writes, so that the same is the same.
        let text = |text: &str| crate::last_applied::go_json(&json!(text)).trim_end().to_owned();
        let email = match self.docker_email.as_str() {
            "" => String::new(),
            email => format!("\"email\":{},", text(email)),
        };
        let auth = STANDARD.encode(format!("{}:{}", self.docker_username, self.docker_password));
        let json = format!(
            "{{\"auths\":{{{}:{{\"username\":{},\"password\":{},{email}\"auth\":{}}}}}}}",
            text(&self.docker_server),
            text(&self.docker_username),
            text(&self.docker_password),
            text(&auth)
        );
        secret(&self.name, KIND, vec![(KEY.to_owned(), json.into_bytes())], self.append_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_in_them() {
        let map = ConfigMap {
            name: "c".to_owned(),
            sources: Sources { from_literal: vec!["x=y".to_owned()], ..Sources::default() },
            append_hash: true,
        };
        assert_eq!(map.make().unwrap().object["metadata"]["name"], "c-cm295hb2h7");
        let made = secret("c", "", vec![("x".to_owned(), b"y".to_vec())], true).unwrap();
        assert_eq!(made.object["metadata"]["name"], "c-gm6fk76h72");
    }

    #[test]
    fn files_have_variables() {
        let read = |text: &str| of_env_file(Path::new("f"), text).map_err(|error| error.to_string());
        let expected = vec![("a".to_owned(), b"b=c".to_vec()), ("d".to_owned(), b"".to_vec())];
        assert_eq!(read("# x\n\n  a=b=c\nd=\nSURELY_NOT_SET_ANYWHERE\n"), Ok(expected));
        assert_eq!(read("a b=c"), Err("error: f:1: \"a b\" is not the name of a variable".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_binary() {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("b"), [0xff]).unwrap();
        std::fs::write(files.path().join("t"), "text").unwrap();
        let sources = Sources { from_file: vec![files.path().display().to_string()], ..Sources::default() };
        let object = ConfigMap { name: "c".to_owned(), sources, append_hash: false }.make().unwrap().object;
        assert_eq!(object["data"], json!({"t": "text"}));
        assert_eq!(object["binaryData"], json!({"b": "/w=="}));
    }

    #[test]
    fn sources_that_make_no_sense_are_refused() {
        let check = |source: &str, expected: &str| {
            assert!(of_file(source).unwrap_err().to_string().contains(expected), "{source}");
        };
        check("=a", "key name for file path a missing");
        check("a=", "file path for key name a missing");
        check("a=b=c", "cannot contain '='");
        check("/no/such/file", "error reading /no/such/file: no such file or directory");
        assert!(check_key("a/b", "Secret").is_err() && check_key("..a", "Secret").is_err());
        assert!(check_key("a.b-c_d", "Secret").is_ok());
    }
}
