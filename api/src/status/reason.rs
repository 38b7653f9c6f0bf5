//! The reasons of a failure, the code that goes with each, and what a bare code is taken to mean.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::GenericResponse;
use crate::field::go_quote;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a request failed, for machines.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// No reason given.
            #[default]
            Unknown,
            /// A reason that this version does not know.
            Other(String),
        }

        impl Reason {
            /// The name on the wire; empty for `Unknown`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Unknown => "",
                    Self::Other(name) => name,
                }
            }

            /// The HTTP status code that goes with the reason; 0 for `Unknown` and unknown ones.
            pub const fn code(&self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown | Self::Other(_) => 0,
                }
            }
        }

        impl From<&str> for Reason {
            fn from(name: &str) -> Self {
                match name {
                    $(stringify!($name) => Self::$name,)*
                    "" => Self::Unknown,
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

reasons! {
    /// Who is asking is not known.
    Unauthorized = 401,
    /// Who is asking may not, or nobody may.
    Forbidden = 403,
    /// No such object or resource.
    NotFound = 404,
    /// The name is taken.
    AlreadyExists = 409,
    /// The object is not in the state that the request presumes.
    Conflict = 409,
    /// What was asked for is gone for good.
    Gone = 410,
    /// The object breaks the rules of its kind.
    Invalid = 422,
    /// A passing fault of the server's.
    ServerTimeout = 500,
    /// What is stored cannot be read.
    StoreReadError = 500,
    /// No answer in time.
    Timeout = 504,
    /// The client is to try later.
    TooManyRequests = 429,
    /// The request makes no sense.
    BadRequest = 400,
    /// The resource does not have this verb.
    MethodNotAllowed = 405,
    /// The server cannot answer in a media type that the client takes.
    NotAcceptable = 406,
    /// The body exceeds a bound.
    RequestEntityTooLarge = 413,
    /// The server does not take the body's media type.
    UnsupportedMediaType = 415,
    /// A fault of the server's.
    InternalError = 500,
    /// The resource version is older than the history.
    Expired = 410,
    /// The server cannot answer at all for the time being.
    ServiceUnavailable = 503,
}

impl Reason {
    pub(super) fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown | Self::Other(_))
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self::from(name.as_ref()))
    }
}

/// The reason and the first part of the message that a bare HTTP response stands for.
pub(super) fn of_response(response: &GenericResponse<'_>) -> (Reason, String) {
    let body = response.message;
    let fixed = |reason, message: &str| (reason, message.to_owned());
    match response.code {
        409 if response.verb == "POST" => fixed(Reason::AlreadyExists, "the server reported a conflict"),
        409 => fixed(Reason::Conflict, "the server reported a conflict"),
        404 => fixed(Reason::NotFound, "the server could not find the requested resource"),
        400 => fixed(Reason::BadRequest, "the server rejected our request for an unknown reason"),
        401 => fixed(Reason::Unauthorized, "the server has asked for the client to provide credentials"),
        403 => fixed(Reason::Forbidden, body),
        406 if body.is_empty() || body == "unknown" => fixed(
            Reason::NotAcceptable,
            "the server was unable to respond with a content type that the client supports",
        ),
        406 => fixed(Reason::NotAcceptable, body),
        415 => fixed(Reason::UnsupportedMediaType, body),
        405 => fixed(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"),
        422 => fixed(Reason::Invalid, "the server rejected our request due to an error in our request"),
        503 => fixed(Reason::ServiceUnavailable, "the server is currently unable to handle the request"),
        504 => fixed(
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        429 => fixed(
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later",
        ),
        code if code >= 500 => {
            let message =
                format!("an error on the server ({}) has prevented the request from succeeding", go_quote(body));
            (Reason::InternalError, message)
        }
        code => {
            let message =
                format!("the server responded with the status code {code} but did not return more information");
            (Reason::Unknown, message)
        }
    }
}
