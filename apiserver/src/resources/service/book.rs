//! How what Services have is claimed: a cluster IP by its IPAddress object, as upstream's are, a node port by a key that
//! nobody sees.
//!
//! An IPAddress names the Service in `parentRef` and has no place for more; but a Service is not to be taken for its
//! successor of the same name, nor one write of it for another. So the object's uid is made of both: its first half is
//! that of the Service's uid, and its second half is the write's token.

use api::names::parse_ip_sloppy;
use bytes::Bytes;
use k8s_openapi::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;

use super::pool::{CLUSTER_IPS, NODE_PORTS};
use super::spec::{IPV4, IPV6};
use crate::object::Object;
use crate::reservation::Book;

/// The label that says of which family an address is.
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
/// The label that says who looks after an address, and what it says of those that were allocated here.
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";

/// The resource that holders begin with.
const SERVICES: &str = "services";

/// How much of a uid tells one Service from another: three groups of its digits, of which 60 bits are random.
const UID_BYTES: usize = 18;
/// How long a token is: two groups of digits.
const TOKEN_BYTES: usize = 17;

static ADDRESSES: Book =
    Book { prefix: "/registry/networking.k8s.io/ipaddresses/", write: write_address, read: read_address, erase };
static PORTS: Book = Book::hidden("/registry/gantry.dev/claims/node-ports/");

/// The book of a pool.
pub(super) fn book(pool: &'static str) -> &'static Book {
    debug_assert!(matches!(pool, CLUSTER_IPS | NODE_PORTS), "{pool}");
    if pool == CLUSTER_IPS { &ADDRESSES } else { &PORTS }
}

/// A token of these random bits: the end of a uid of version 4.
pub(super) fn token(bits: u64) -> String {
    format!("{:04x}-{:012x}", 0x8000 | (bits >> 48 & 0x3fff), bits & 0xffff_ffff_ffff)
}

/// Who holds a claim: a Service, whichever write of it made the claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner(String);

impl Owner {
    pub(super) fn of(meta: &ObjectMeta) -> Owner {
        let text = |field: &'_ Option<String>| field.clone().unwrap_or_default();
        let uid = text(&meta.uid);
        Owner(format!("{SERVICES}/{}/{}/{}", text(&meta.namespace), text(&meta.name), first_half(&uid)))
    }

    /// The owner that a ledger's holder names. Everything before the last `/`, since tokens have none.
    pub(super) fn of_holder(holder: &str) -> Owner {
        let owner = holder.rsplit_once('/').map_or(holder, |(owner, _)| owner);
        let (service, uid) = owner.rsplit_once('/').unwrap_or(("", owner));
        Owner(format!("{service}/{}", first_half(uid)))
    }

    /// The holder of the claims that were made with `token`.
    pub(super) fn holder(&self, token: &str) -> String {
        format!("{}/{token}", self.0)
    }

    /// Such as `services/default/web/4f1c…`.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

fn first_half(uid: &str) -> &str {
    uid.get(..UID_BYTES).unwrap_or(uid)
}

fn write_address(item: &str, holder: &str, now: Timestamp) -> Bytes {
    let mut parts = holder.splitn(5, '/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let (resource, namespace, name, uid, token) = (part(), part(), part(), part(), part());
    let family = if parse_ip_sloppy(item).is_some_and(|ip| ip.is_ipv6()) { IPV6 } else { IPV4 };
    let labels = [(FAMILY, family), (MANAGED_BY, ALLOCATOR)];
    let address = IPAddress {
        metadata: ObjectMeta {
            name: Some(item.to_owned()),
            uid: Some(format!("{uid}-{token}")),
            creation_timestamp: Some(Time(now)),
            labels: Some(labels.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect()),
            ..ObjectMeta::default()
        },
        spec: IPAddressSpec { parent_ref: ParentReference { group: None, resource, namespace: Some(namespace), name } },
    };
    address.to_json().expect("it has texts only").into()
}

fn read_address(value: &[u8]) -> (String, bool) {
    match serde_json::from_slice::<IPAddress>(value) {
        Ok(address) => (holder(&address), is_managed(&address)),
        // Whatever it is, it is in the way.
        Err(_) => (String::new(), false),
    }
}

/// The holder that an address states; of one that a client has made, whoever its parent is.
pub(super) fn holder(address: &IPAddress) -> String {
    let parent = &address.spec.parent_ref;
    let group = parent.group.as_deref().filter(|group| !group.is_empty());
    let resource = group.map_or_else(|| parent.resource.clone(), |group| format!("{}.{group}", parent.resource));
    let uid = address.metadata.uid.as_deref().unwrap_or_default();
    let at = uid.len().saturating_sub(TOKEN_BYTES + 1);
    let (owner, token) = (uid.get(..at).unwrap_or_default(), uid.get(at + 1..).unwrap_or_default());
    format!("{resource}/{}/{}/{owner}/{token}", parent.namespace.as_deref().unwrap_or_default(), parent.name)
}

fn is_managed(address: &IPAddress) -> bool {
    let label = address.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    label.is_some_and(|manager| manager == ALLOCATOR)
}

/// An address that somebody has put a finalizer on ends when that is done, like every object.
fn erase(value: &[u8], now: Timestamp) -> Option<Bytes> {
    let mut address = serde_json::from_slice::<IPAddress>(value).ok()?;
    address.metadata.finalizers.as_ref().filter(|finalizers| !finalizers.is_empty())?;
    address.metadata.deletion_timestamp.get_or_insert(Time(now));
    address.metadata.deletion_grace_period_seconds = Some(0);
    address.metadata.resource_version = None;
    address.to_json().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HOLDER: &str = "services/default/web/85e7bb0f-1227-4575/8917-18de357e3da8";

    fn read(value: &Value) -> (String, bool) {
        (book(CLUSTER_IPS).read)(value.to_string().as_bytes())
    }

    #[test]
    fn an_address_is_an_object_and_a_claim() {
        let check = |item: &str, family: &str| {
            let value = (book(CLUSTER_IPS).write)(item, HOLDER, Timestamp::UNIX_EPOCH);
            let expected = json!({
                "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
                "metadata": {
                    "name": item, "uid": "85e7bb0f-1227-4575-8917-18de357e3da8", "creationTimestamp": "1970-01-01T00:00:00Z",
                    "labels": {
                        "ipaddress.kubernetes.io/ip-family": family,
                        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                    },
                },
                "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "web"}},
            });
            assert!(value.starts_with(br#"{"kind":"IPAddress","apiVersion":"#), "{value:?}");
            assert_eq!(serde_json::from_slice::<Value>(&value).unwrap(), expected);
            assert_eq!(read(&expected), (HOLDER.to_owned(), true));
        };
        check("10.96.0.1", "IPv4");
        check("fd00::1", "IPv6");
    }

    #[test]
    fn objects_of_others_are_no_claims() {
        let parent = json!({"group": "example.com", "resource": "gateways", "name": "edge"});
        let object = json!({"metadata": {"name": "10.0.0.1", "uid": "u"}, "spec": {"parentRef": parent}});
        assert_eq!(read(&object), ("gateways.example.com//edge//".to_owned(), false));
        assert_eq!(read(&json!([])), (String::new(), false));
        assert_ne!(Owner::of_holder("gateways.example.com//edge//").as_str().split('/').next(), Some(SERVICES));
    }

    #[test]
    fn owners_are_told_apart_by_half_of_their_uid() {
        let meta = |uid: &str| ObjectMeta {
            namespace: Some("default".to_owned()),
            name: Some("web".to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectMeta::default()
        };
        let owner = Owner::of(&meta("85e7bb0f-1227-4575-a000-000000000000"));
        assert_eq!(owner, Owner::of_holder(HOLDER));
        assert_eq!(owner.holder("8917-18de357e3da8"), HOLDER);
        assert_eq!(owner, Owner::of_holder("services/default/web/85e7bb0f-1227-4575-a000-000000000000/7"));
        assert_ne!(owner, Owner::of(&meta("85e7bb0f-1227-4576-a000-000000000000")));
        assert_ne!(owner, Owner::of_holder("not a service"));
    }

    #[test]
    fn tokens_end_uids() {
        for (bits, expected) in
            [(0, "8000-000000000000"), (u64::MAX, "bfff-ffffffffffff"), (0x4001 << 48 | 5, "8001-000000000005")]
        {
            assert_eq!(token(bits), expected);
            assert_eq!(token(bits).len(), TOKEN_BYTES);
        }
    }

    #[test]
    fn finalizers_hold_addresses_back() {
        let erased = |finalizers: Value| {
            let metadata = json!({"name": "10.0.0.1", "resourceVersion": "7", "finalizers": finalizers});
            let object = json!({"metadata": metadata, "spec": {"parentRef": {"resource": "services", "name": "web"}}});
            let value = (book(CLUSTER_IPS).erase)(object.to_string().as_bytes(), Timestamp::UNIX_EPOCH);
            value.map(|value| serde_json::from_slice::<Value>(&value).unwrap()["metadata"].clone())
        };
        assert_eq!(erased(json!([])), None);
        let marked = json!({
            "name": "10.0.0.1", "finalizers": ["example.com/a"],
            "deletionTimestamp": "1970-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0,
        });
        assert_eq!(erased(json!(["example.com/a"])), Some(marked));
    }
}
