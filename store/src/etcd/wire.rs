//! Between etcd's numbers and ours.

use etcd_client::{Error, ResponseHeader};

use crate::key::Revision;

/// What of a response's header matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cluster: u64,
    pub(super) revision: Revision,
}

/// etcd's revisions are positive; 0 is before the first, as ours.
pub(super) fn revision(etcd: i64) -> Revision {
    Revision(u64::try_from(etcd).unwrap_or(0))
}

/// The other way round. etcd counts in `i64`, so that no revision that came from it is cut.
pub(super) fn to_etcd(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

pub(super) fn header(header: Option<&ResponseHeader>) -> Result<Header, Error> {
    let header = header.ok_or_else(|| Error::Internal("the answer has no header".to_owned()))?;
    Ok(Header { cluster: header.cluster_id(), revision: revision(header.revision()) })
}

/// The first key after `key`.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
