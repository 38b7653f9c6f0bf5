//! Why a plan was not carried out to its end, in terms that a controller can decide by: no text of a message has to be read.

use api::status::CAUSE_NAMESPACE_TERMINATING;
use client::resource::Kind;

use super::{Action, Effect, Target};

/// Why a plan was not carried out to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the action that failed was about.
    pub target: Target,
    /// What it was to do.
    pub attempt: Attempt,
    /// The reason, as `metav1.Status` has it; empty if the server did not answer.
    pub reason: String,
    /// The reasons of the causes in the details of that status.
    pub causes: Vec<String>,
    /// The message.
    pub message: String,
}

/// What an action was to do: the sort of its [`Effect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    // tidy: sorted
    /// To sign a certificate.
    Certify,
    /// To demand that something is so.
    Confirm,
    /// To make an object.
    Create,
    /// To delete an object.
    Delete,
    /// To delete every object of a resource in a namespace.
    DeleteAll,
    /// To say something.
    Event,
    /// To create something below an object.
    Post,
    /// To demand that an access is allowed.
    Review,
    /// To change an object, or its status.
    Write,
    // tidy: end
}

/// Why one action was not done, whichever that was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// As [`Failure::reason`].
    pub(crate) reason: String,
    /// As [`Failure::causes`].
    pub(crate) causes: Vec<String>,
    /// As [`Failure::message`].
    pub(crate) message: String,
}

impl Effect {
    /// Its sort.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        match self {
            Effect::Create(_) => Attempt::Create,
            Effect::Patch { .. } | Effect::Replace { .. } => Attempt::Write,
            Effect::Post { .. } => Attempt::Post,
            Effect::Delete(_) => Attempt::Delete,
            Effect::DeleteAll => Attempt::DeleteAll,
            Effect::Confirm(_) | Effect::ConfirmUnused { .. } => Attempt::Confirm,
            Effect::Review(_) => Attempt::Review,
            Effect::Event(_) => Attempt::Event,
            Effect::Certify(_) => Attempt::Certify,
        }
    }
}

impl Refused {
    /// For this reason, with this message.
    pub(crate) fn new(reason: &str, message: impl Into<String>) -> Refused {
        Refused { reason: reason.to_owned(), causes: Vec::new(), message: message.into() }
    }
}

impl Failure {
    /// The failure of an action.
    pub(crate) fn of(action: &Action, refused: Refused) -> Failure {
        let Refused { reason, causes, message } = refused;
        Failure { target: action.target.clone(), attempt: action.effect.attempt(), reason, causes, message }
    }

    /// Whether it was to make an object of kind `K`.
    #[must_use]
    pub fn is_creation_of<K: Kind>(&self) -> bool {
        self.attempt == Attempt::Create && self.target.is_of::<K>()
    }

    /// Whether nothing can be made in the namespace any longer, since it is being deleted.
    #[must_use]
    pub fn is_of_ending_namespace(&self) -> bool {
        self.causes.iter().any(|cause| cause == CAUSE_NAMESPACE_TERMINATING)
    }
}
