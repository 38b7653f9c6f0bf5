//! What went wrong, in one sentence, with kustomize's words where scripts look for them.

use crate::id::Id;

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was done when it went wrong, and what went wrong.
    #[error("{doing}: {cause}")]
    While {
        /// What was done.
        doing: String,
        /// What went wrong.
        cause: Box<Error>,
    },
    /// A path leads nowhere.
    #[error("evalsymlink failure on '{named}' : lstat {path}: no such file or directory")]
    Missing {
        /// The path as it was named.
        named: String,
        /// The part of the whole path that is not there.
        path: String,
    },
    /// A file cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A directory stands where a file belongs.
    #[error("'{0}' must resolve to a file")]
    NotAFile(String),
    /// A file stands where a directory belongs.
    #[error("'{0}': file is not directory")]
    NotADirectory(String),
    /// A file is outside of the directory that names it.
    #[error("security; file '{path}' is not in or below '{root}'")]
    Outside {
        /// The file.
        path: String,
        /// The directory.
        root: String,
    },
    /// A base leads back to what is being built.
    #[error("cycle detected: candidate root '{candidate}' contains visited root '{visited}'")]
    Cycle {
        /// The base.
        candidate: String,
        /// What is being built.
        visited: String,
    },
    /// A base or file is elsewhere.
    #[error(
        "'{0}' is a URL or a repository, and nothing is fetched from elsewhere: download it, and name the directory or \
         file"
    )]
    Remote(String),
    /// A directory has no kustomization.
    #[error("unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{0}'")]
    NoKustomization(String),
    /// A directory has several.
    #[error("Found multiple kustomization files under: {0}")]
    ManyKustomizations(String),
    /// A kustomization says something that it cannot say.
    #[error("invalid Kustomization: {0}")]
    Invalid(String),
    /// A text is not YAML.
    #[error("MalformedYAMLError: yaml: {0}")]
    Malformed(String),
    /// Two objects have one name.
    #[error("may not add resource with an already registered id: {0}")]
    SameId(Id),
    /// Something is known and not done here.
    #[error("{0} is not supported: {1}")]
    Unsupported(String, &'static str),
    /// All else, in its own words.
    #[error("{0}")]
    Said(String),
}

impl Error {
    /// In a sentence.
    pub(crate) fn said(sentence: impl Into<String>) -> Error {
        Error::Said(sentence.into())
    }

    /// With what was done.
    pub(crate) fn doing(self, doing: impl Into<String>) -> Error {
        Error::While { doing: doing.into(), cause: Box::new(self) }
    }

    /// Whether it is that a text is not YAML.
    pub(crate) fn is_malformed(&self) -> bool {
        match self {
            Error::While { cause, .. } => cause.is_malformed(),
            Error::Malformed(_) => true,
            _ => false,
        }
    }
}
