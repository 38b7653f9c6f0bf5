//! What a failed request says about whether it was executed.
//!
//! The rule: a request counts as not executed only where that is proven, by its never having left us or by etcd's own
//! answer. Everything else is [`FailureKind::Unknown`].
//!
//! The messages are those of etcd's `rpctypes` package, which are the same from 3.4 to 3.6.

use std::error::Error as _;
use std::fmt;

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

/// Why a request has no answer that is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) detail: String,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Not executed, and another member or a later moment may do.
    NotExecuted,
    /// Not executed, because this member has too much to do.
    Busy,
    /// Not executed, and asking again will not help.
    Refused,
    /// The database is full. Whether the request was executed is *not* said: etcd applies a write that brings it over
    /// its quota, and answers with this all the same.
    NoSpace,
    /// Not executed: over etcd's limit of a request.
    TooLarge,
    /// Not executed: the revision asked for is compacted.
    Compacted,
    /// The answer was over our limit of a message.
    AnswerTooLong,
    /// It may have been executed, or may yet be.
    Unknown,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Failure { kind, detail: detail.into() }
    }

    /// Judges the error of a request to `endpoint`.
    pub(super) fn of(endpoint: &str, error: &Error) -> Self {
        let (kind, detail) = match error {
            Error::GRpcStatus(status) => (kind_of(status), describe(status)),
            Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::InvalidMetadataValue(_) => {
                (FailureKind::Refused, error.to_string())
            }
            _ => (FailureKind::Unknown, error.to_string()),
        };
        Failure { kind, detail: format!("{endpoint}: {detail}") }
    }

    /// The same failure, when it befell the connecting that precedes a request.
    pub(super) fn before_request(self) -> Self {
        let kind = if self.kind == FailureKind::Unknown { FailureKind::NotExecuted } else { self.kind };
        Failure { kind, ..self }
    }

    /// Whether the member should be left for another.
    pub(super) fn blames_member(&self) -> bool {
        matches!(self.kind, FailureKind::NotExecuted | FailureKind::Unknown)
    }

    /// Whether a request that may be executed twice is worth sending again.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.kind, FailureKind::NotExecuted | FailureKind::Busy | FailureKind::Unknown)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.detail.fmt(f)
    }
}

fn kind_of(status: &Status) -> FailureKind {
    if never_connected(status) {
        return FailureKind::NotExecuted;
    }
    let message = status.message();
    let by_message = [
        ("etcdserver: mvcc: database space exceeded", FailureKind::NoSpace),
        ("etcdserver: request is too large", FailureKind::TooLarge),
        // The gRPC library's own limit, which lies half a megabyte over etcd's.
        ("grpc: received message larger than max", FailureKind::TooLarge),
        ("etcdserver: mvcc: required revision has been compacted", FailureKind::Compacted),
        ("etcdserver: too many requests", FailureKind::Busy),
        ("etcdserver: no leader", FailureKind::NotExecuted),
        ("etcdserver: not capable", FailureKind::NotExecuted),
        // The member itself dropped it, for want of a leader or while leadership moves.
        ("raft proposal dropped", FailureKind::NotExecuted),
        // Reads are linearizable, so that no member lags: the revision is not one of this etcd's.
        ("etcdserver: mvcc: required revision is a future revision", FailureKind::Refused),
        ("Error, decoded message length too large", FailureKind::AnswerTooLong),
    ];
    if let Some((_, kind)) = by_message.iter().find(|(text, _)| message.contains(text)) {
        return *kind;
    }
    match status.code() {
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::DataLoss => FailureKind::Refused,
        _ => FailureKind::Unknown,
    }
}

fn never_connected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The message and its causes, each once: the outermost alone often says no more than "transport error".
fn describe(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().to_string(),
        message => message.to_owned(),
    };
    let mut source = status.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Status, expected: FailureKind) {
        let printed = format!("{status:?}");
        assert_eq!(Failure::of("http://a", &Error::GRpcStatus(status)).kind, expected, "{printed}");
    }

    #[test]
    fn only_what_is_proven_counts_as_not_executed() {
        use FailureKind::{AnswerTooLong, Busy, Compacted, NoSpace, NotExecuted, Refused, TooLarge, Unknown};
        let cases = [
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", NoSpace),
            (Code::InvalidArgument, "etcdserver: request is too large", TooLarge),
            (Code::ResourceExhausted, "grpc: received message larger than max (3 vs. 2)", TooLarge),
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", Compacted),
            (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision", Refused),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 9 bytes, the limit is: 4",
                AnswerTooLong,
            ),
            (Code::ResourceExhausted, "etcdserver: too many requests", Busy),
            (Code::Unavailable, "etcdserver: no leader", NotExecuted),
            (Code::Unknown, "raft proposal dropped", NotExecuted),
            (Code::PermissionDenied, "etcdserver: permission denied", Refused),
            (Code::InvalidArgument, "etcdserver: authentication failed, invalid user ID or password", Refused),
            (Code::Unauthenticated, "etcdserver: invalid auth token", Refused),
            (Code::Unavailable, "etcdserver: request timed out", Unknown),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure", Unknown),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to connection lost", Unknown),
            (Code::Unavailable, "etcdserver: leader changed", Unknown),
            (Code::Unavailable, "etcdserver: server stopped", Unknown),
            (Code::Unavailable, "transport is closing", Unknown),
            (Code::DeadlineExceeded, "context deadline exceeded", Unknown),
            (Code::Cancelled, "operation was canceled", Unknown),
            (Code::Internal, "h2 protocol error", Unknown),
            (Code::Unknown, "", Unknown),
        ];
        for (code, message, expected) in cases {
            check(Status::new(code, message), expected);
        }
    }

    #[test]
    fn a_connection_that_never_was_carried_nothing() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        assert!(describe(&status).contains("connection refused"), "{}", describe(&status));
        check(status, FailureKind::NotExecuted);
    }

    #[test]
    fn failing_to_connect_is_before_the_request() {
        for (kind, expected) in [
            (FailureKind::Unknown, FailureKind::NotExecuted),
            (FailureKind::Refused, FailureKind::Refused),
            (FailureKind::Busy, FailureKind::Busy),
        ] {
            assert_eq!(Failure::new(kind, "").before_request().kind, expected);
        }
    }
}
