//! A certificate and its key, in one file.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// A certificate with those that vouch for it, and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificates, PEM.
    pub chain: String,
    /// The key, PEM.
    pub key: String,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no certificate in it.
    #[error("{0}: there is no certificate in it")]
    Empty(PathBuf),
}

impl std::fmt::Debug for Pair {
    /// Without the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pair").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Pair {
    /// What a file has, if it is there.
    pub fn read(path: &Path) -> Result<Option<Pair>, PairError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| PairError::File { path: path.to_owned(), source })?,
        };
        Pair::parse(&text).map(Some).ok_or_else(|| PairError::Empty(path.to_owned()))
    }

    /// The certificates and the key of a text.
    fn parse(text: &str) -> Option<Pair> {
        let mut pair = Pair { chain: String::new(), key: String::new() };
        let mut block = None;
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("-----BEGIN ") {
                block = Some(kind.starts_with("CERTIFICATE"));
            }
            let Some(is_certificate) = block else { continue };
            let into = if is_certificate { &mut pair.chain } else { &mut pair.key };
            into.extend([line, "\n"]);
            if line.starts_with("-----END ") {
                block = None;
            }
        }
        if pair.chain.is_empty() || pair.key.is_empty() { None } else { Some(pair) }
    }

    /// Writes it, so that others see the old file or the new one, and only root sees either.
    pub fn write(&self, path: &Path) -> Result<(), PairError> {
        let failed = |source| PairError::File { path: path.to_owned(), source };
        write_private(path, format!("{}{}", self.chain, self.key).as_bytes()).map_err(failed)
    }

    /// Who is meant by it: DNS names and addresses.
    #[must_use]
    pub fn names(&self) -> (Vec<String>, Vec<IpAddr>) {
        let (mut names, mut addresses) = (Vec::new(), Vec::new());
        let pem = Pem::iter_from_buffer(self.chain.as_bytes()).next().and_then(Result::ok);
        let Some(certificate) = pem.as_ref().and_then(|pem| pem.parse_x509().ok()) else { return (names, addresses) };
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    addresses.extend(four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
                }
                _ => {}
            }
        }
        (names, addresses)
    }

    /// From when and until when the certificate counts.
    #[must_use]
    pub fn validity(&self) -> Option<(Timestamp, Timestamp)> {
        let pem = Pem::iter_from_buffer(self.chain.as_bytes()).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let of = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        Some((of(certificate.validity().not_before)?, of(certificate.validity().not_after)?))
    }

    /// The first name in its subject.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        let pem = Pem::iter_from_buffer(self.chain.as_bytes()).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let name = certificate.subject().iter_common_name().next()?;
        Some(name.as_str().ok()?.to_owned())
    }

    /// Whether it counts at a time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.validity().is_some_and(|(from, until)| from <= now && now < until)
    }
}

/// Writes a file, so that others see the old content or the new one, and only its owner sees either.
pub(super) fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let fresh = path.with_extension("new");
    // One that was left behind may have other rights.
    let _ = std::fs::remove_file(&fresh);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn made() -> Pair {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "system:node:n");
        let certificate = parameters.self_signed(&key).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }

    #[test]
    fn what_is_written_is_read_and_nobody_else_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pki/current.pem");
        assert_eq!(Pair::read(&path).unwrap(), None);
        let pair = made();
        pair.write(&path).unwrap();
        let read = Pair::read(&path).unwrap().unwrap();
        assert_eq!((read.chain.trim(), read.key.trim()), (pair.chain.trim(), pair.key.trim()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read.common_name().as_deref(), Some("system:node:n"));
        assert!(read.is_valid(Timestamp::now()));
        assert!(!read.is_valid(Timestamp::UNIX_EPOCH));
        made().write(&path).unwrap();
        std::fs::write(&path, "nothing").unwrap();
        assert!(Pair::read(&path).unwrap_err().to_string().contains("no certificate"));
    }
}
