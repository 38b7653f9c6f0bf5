//! Acting as somebody else: who may impersonate the user, and every group, ID and extra that goes with it, is that user from
//! here on.
//!
//! What always holds: a request with any header of impersonation is refused or done as the user that it names, never as the one
//! who sent it; and no such header gets any further.

use std::sync::Arc;

use api::status::{Reason, Status};
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

use crate::authn::{ANONYMOUS, AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::authz::{Attributes, Authorizer, Decision, forbidden};

const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// What the names of the users begin with who are ServiceAccounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
const GROUP_OF_EXTRAS: &str = "authentication.k8s.io";

/// Who a request of `identity` is by.
pub(super) fn act(
    identity: Arc<Identity>,
    headers: &mut HeaderMap,
    authorizer: &dyn Authorizer,
) -> Result<Arc<Identity>, Box<Status>> {
    let asked: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    if asked.is_empty() {
        return Ok(identity);
    }
    let wanted = wanted(headers, &asked)?;
    for name in asked {
        while headers.remove(&name).is_some() {}
    }
    for attributes in demands(&wanted) {
        match authorizer.authorize(&identity, &attributes) {
            Decision::Allow(_) => {}
            Decision::Deny(reason) | Decision::NoOpinion(reason) => {
                return Err(Box::new(forbidden(&identity, &attributes, &reason)));
            }
        }
    }
    Ok(Arc::new(completed(wanted)))
}

/// Whom the headers name.
fn wanted(headers: &HeaderMap, asked: &[HeaderName]) -> Result<Identity, Box<Status>> {
    let values = |name: &HeaderName| -> Result<Vec<String>, Box<Status>> {
        let read = |value: &http::HeaderValue| {
            let text = value.to_str().map_err(|_| refused(format!("{name} must be printable ASCII")))?;
            Ok(text.to_owned())
        };
        headers.get_all(name).iter().map(read).collect()
    };
    let mut identity = Identity::default();
    for name in asked {
        let values = values(name)?;
        match name.as_str() {
            USER => identity.user = values.into_iter().next().unwrap_or_default(),
            UID => identity.uid = values.into_iter().next().unwrap_or_default(),
            GROUP => identity.groups = values,
            other => match other.strip_prefix(EXTRA) {
                Some(key) if !key.is_empty() => {
                    let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
                    identity.extra.entry(key).or_default().extend(values);
                }
                _ => return Err(refused(format!("{name} is no header of impersonation"))),
            },
        }
    }
    if identity.user.is_empty() {
        return Err(refused("requested impersonation without impersonating a user".to_owned()));
    }
    Ok(identity)
}

fn refused(why: String) -> Box<Status> {
    Box::new(Status::of(Reason::InternalError, format!("Internal error occurred: {why}")))
}

/// The namespace and name of a user that is a ServiceAccount.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// What one has to be allowed to act as `wanted`.
fn demands(wanted: &Identity) -> Vec<Attributes> {
    let demand = |group: &str, resource: &str, name: &str| Attributes {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let user = match service_account(&wanted.user) {
        Some((namespace, name)) => {
            Attributes { namespace: namespace.to_owned(), ..demand("", "serviceaccounts", name) }
        }
        None => demand("", "users", &wanted.user),
    };
    let mut demands = vec![user];
    demands.extend(wanted.groups.iter().map(|group| demand("", "groups", group)));
    for (key, values) in &wanted.extra {
        let of_value =
            |value: &String| Attributes { subresource: key.clone(), ..demand(GROUP_OF_EXTRAS, "userextras", value) };
        demands.extend(values.iter().map(of_value));
    }
    if !wanted.uid.is_empty() {
        demands.push(demand(GROUP_OF_EXTRAS, "uids", &wanted.uid));
    }
    demands
}

/// With the groups that go without saying.
fn completed(mut wanted: Identity) -> Identity {
    if let Some((namespace, _)) = service_account(&wanted.user).filter(|_| wanted.groups.is_empty()) {
        wanted.groups = vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")];
    }
    let is_known = wanted.user != ANONYMOUS;
    let says = wanted.is_in(UNAUTHENTICATED) || is_known && wanted.is_in(AUTHENTICATED);
    if !says {
        wanted.groups.push(if is_known { AUTHENTICATED } else { UNAUTHENTICATED }.to_owned());
    }
    wanted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::authz::Rules;

    /// Allows `impersonate` of what it lists: `group/resource/subresource/namespace/name`.
    struct Only(&'static [&'static str]);

    impl Authorizer for Only {
        fn authorize(&self, _: &Identity, asked: &Attributes) -> Decision {
            let Attributes { verb, group, resource, subresource, namespace, name, .. } = asked;
            assert_eq!(verb, "impersonate");
            let asked = format!("{group}/{resource}/{subresource}/{namespace}/{name}");
            if self.0.contains(&asked.as_str()) { Decision::allow() } else { Decision::NoOpinion(String::new()) }
        }

        fn rules(&self, _: &Identity, _: &str) -> Rules {
            Rules::default()
        }
    }

    fn acting(allowed: &'static [&'static str], headers: &[(&str, &str)]) -> Result<Identity, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let me = Identity { user: "me".to_owned(), ..Identity::default() };
        let acting = act(Arc::new(me), &mut map, &Only(allowed));
        assert!(acting.is_err() || !map.keys().any(|name| name.as_str().starts_with(PREFIX)), "{map:?}");
        acting
            .map(|identity| Identity::clone(&identity))
            .map_err(|status| format!("{} {}", status.code, status.message))
    }

    #[test]
    fn who_may_is_somebody_else() {
        let check = |allowed: &'static [&'static str], headers: &[(&str, &str)], expected: (&str, &[&str])| {
            let identity = acting(allowed, headers).unwrap_or_else(|error| panic!("{headers:?}: {error}"));
            assert_eq!(
                (identity.user.as_str(), &identity.groups[..]),
                (expected.0, &expected.1.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>()[..])
            );
        };
        check(&[], &[], ("me", &[]));
        check(&["/users///ann"], &[("Impersonate-User", "ann")], ("ann", &["system:authenticated"]));
        let as_dev = [("impersonate-user", "ann"), ("impersonate-group", "dev"), ("impersonate-group", "ops")];
        check(
            &["/users///ann", "/groups///dev", "/groups///ops"],
            &as_dev,
            ("ann", &["dev", "ops", "system:authenticated"]),
        );
        check(
            &["/serviceaccounts//a/robot"],
            &[("impersonate-user", "system:serviceaccount:a:robot")],
            (
                "system:serviceaccount:a:robot",
                &["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"],
            ),
        );
        check(
            &["/users///system:anonymous"],
            &[("impersonate-user", "system:anonymous")],
            ("system:anonymous", &["system:unauthenticated"]),
        );
        let unknown = [("impersonate-user", "x"), ("impersonate-group", "system:unauthenticated")];
        check(&["/users///x", "/groups///system:unauthenticated"], &unknown, ("x", &["system:unauthenticated"]));
    }

    #[test]
    fn extras_and_ids_are_allowed_one_by_one() {
        let headers = [
            ("impersonate-user", "ann"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-acme.com%2Fproject", "one"),
            ("impersonate-extra-acme.com%2Fproject", "two"),
        ];
        let identity = acting(
            &[
                "/users///ann",
                "authentication.k8s.io/uids///7",
                "authentication.k8s.io/userextras/acme.com/project//one",
                "authentication.k8s.io/userextras/acme.com/project//two",
            ],
            &headers,
        )
        .unwrap();
        assert_eq!(identity.uid, "7");
        let project = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(identity.extra, BTreeMap::from([("acme.com/project".to_owned(), project)]));
        let error = acting(&["/users///ann", "authentication.k8s.io/uids///7"], &headers).unwrap_err();
        assert!(
            error.starts_with(
                "403 userextras.authentication.k8s.io \"one\" is forbidden: User \"me\" cannot impersonate"
            ),
            "{error}"
        );
    }

    #[test]
    fn who_may_not_is_refused() {
        let check = |headers: &[(&str, &str)], expected: &str| {
            let error = acting(&["/users///ann"], headers).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check(
            &[("impersonate-user", "bob")],
            "403 users \"bob\" is forbidden: User \"me\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
        );
        check(&[("impersonate-user", "ann"), ("impersonate-group", "system:masters")], "403 groups \"system:masters\"");
        check(&[("impersonate-group", "dev")], "500 Internal error occurred: requested impersonation without");
        check(&[("impersonate-user", "")], "500 ");
        check(&[("impersonate-extra-", "x"), ("impersonate-user", "ann")], "500 ");
        check(&[("impersonate-anything", "x"), ("impersonate-user", "ann")], "500 ");
    }
}
