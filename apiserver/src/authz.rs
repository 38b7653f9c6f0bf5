//! Whether somebody may do something, and the words in which they are told that they may not.

use std::collections::HashMap;
use std::sync::Arc;

use api::field::go_quote;
use api::status::{GroupResource, Status};
use http::Method;
use http::request::Parts;
use k8s_openapi::api::authorization::v1::{NonResourceRule, ResourceRule};
use percent_encoding::percent_decode_str;

use crate::authn::{AUTHENTICATED, CONFIGURATION_PATH, Identity, KEYS_PATH, MASTERS, TokenFile};
use crate::request::{Query, Target};

/// What somebody wants to do, as rules of authorization see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `create` and so on; for what is no resource, the HTTP method in lower case.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version of the group.
    pub version: String,
    /// The resource in the plural; empty if the request is for none.
    pub resource: String,
    /// The subresource, or empty.
    pub subresource: String,
    /// The namespace, or empty for all or none.
    pub namespace: String,
    /// The name of the object, or empty.
    pub name: String,
    /// The path, decoded.
    pub path: String,
}

impl Attributes {
    /// What a request wants to do. A subresource is named by the first segment behind the object: what comes after that is
    /// a path of its own, such as with `proxy`.
    #[must_use]
    pub fn of_request(parts: &Parts) -> Attributes {
        let watch = parts.uri.query().is_some_and(|query| Query::parse(query).flag("watch").unwrap_or(false));
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        if parts.method == Method::OPTIONS {
            // Upstream has no verb for it, so that only rules for all verbs allow it.
            let target = Target::parse(&Method::GET, parts.uri.path(), false);
            let asked = |target| Attributes { verb: String::new(), ..Attributes::of_target(target, path.clone()) };
            let other = || Attributes { verb: "options".to_owned(), path: path.clone(), ..Attributes::default() };
            return target.map_or_else(other, asked);
        }
        match Target::parse(&parts.method, parts.uri.path(), watch) {
            Some(target) => Attributes::of_target(target, path),
            None => Attributes { verb: parts.method.as_str().to_ascii_lowercase(), path, ..Attributes::default() },
        }
    }

    fn of_target(target: Target, path: String) -> Attributes {
        Attributes {
            verb: target.verb.as_str().to_owned(),
            group: target.group,
            version: target.version,
            resource: target.resource,
            subresource: target.subresource.split('/').next().unwrap_or_default().to_owned(),
            namespace: target.namespace,
            name: target.name,
            path,
        }
    }

    /// Whether it is a resource that is asked for.
    #[must_use]
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }

    /// Whether it changes nothing, whoever may do it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch" | "head" | "options")
    }
}

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They may.
    Allow,
    /// They may not, whatever others say. The reason is told to them, unless it is empty.
    Deny(String),
    /// Others may know. If nobody does, they may not.
    NoOpinion(String),
}

/// What somebody may do, as far as an authorizer can list it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// With resources.
    pub resources: Vec<ResourceRule>,
    /// With paths that are no resources.
    pub paths: Vec<NonResourceRule>,
}

impl Rules {
    /// Everything.
    fn everything() -> Rules {
        let all = || vec!["*".to_owned()];
        let resource =
            ResourceRule { api_groups: Some(all()), resources: Some(all()), verbs: all(), resource_names: None };
        let path = NonResourceRule { non_resource_urls: Some(all()), verbs: all() };
        Rules { resources: vec![resource], paths: vec![path] }
    }
}

/// Decides whether somebody may do something.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether `identity` may do what `attributes` says.
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision;

    /// What `identity` may do in `namespace`.
    fn rules(&self, identity: &Identity, namespace: &str) -> Rules;
}

/// Everything is allowed to the group `system:masters`, and nothing to anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Masters;

impl Authorizer for Masters {
    fn authorize(&self, identity: &Identity, _: &Attributes) -> Decision {
        if identity.is_in(MASTERS) { Decision::Allow } else { Decision::NoOpinion(String::new()) }
    }

    fn rules(&self, identity: &Identity, _: &str) -> Rules {
        if identity.is_in(MASTERS) { Rules::everything() } else { Rules::default() }
    }
}

/// Health and version are for everybody, as upstream's role `system:public-info-viewer` has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicInformation;

impl Authorizer for PublicInformation {
    fn authorize(&self, _: &Identity, attributes: &Attributes) -> Decision {
        let public = PUBLIC.contains(&attributes.path.as_str());
        if public && !attributes.is_resource() && attributes.verb == "get" {
            Decision::Allow
        } else {
            Decision::NoOpinion(String::new())
        }
    }

    fn rules(&self, _: &Identity, _: &str) -> Rules {
        Rules { resources: Vec::new(), paths: vec![path_rule(&PUBLIC)] }
    }
}

const PUBLIC: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// What everybody who is known may ask of the server: what it serves, who they are, and what they may do, as upstream's
/// roles `system:discovery` and `system:basic-user` have it; and ServiceAccounts, how their tokens can be checked, as
/// `system:service-account-issuer-discovery` has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct BasicUsers;

const DISCOVERY: [&str; 6] = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];
const ISSUER: [&str; 2] = [KEYS_PATH, CONFIGURATION_PATH];
const SELF_REVIEWS: [(&str, &str); 3] = [
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

impl Authorizer for BasicUsers {
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision {
        let Attributes { verb, group, resource, subresource, path, .. } = attributes;
        let within = |paths: &[&str]| {
            paths.iter().any(|known| match known.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => path == known,
            })
        };
        let allowed = if attributes.is_resource() {
            let asked = (group.as_str(), resource.as_str());
            identity.is_in(AUTHENTICATED) && verb == "create" && subresource.is_empty() && SELF_REVIEWS.contains(&asked)
        } else {
            verb == "get"
                && (identity.is_in(AUTHENTICATED) && within(&DISCOVERY)
                    || identity.is_in(SERVICE_ACCOUNTS) && within(&ISSUER))
        };
        if allowed { Decision::Allow } else { Decision::NoOpinion(String::new()) }
    }

    fn rules(&self, identity: &Identity, _: &str) -> Rules {
        let mut rules = Rules::default();
        if identity.is_in(AUTHENTICATED) {
            rules.resources.extend(SELF_REVIEWS.map(|(group, resource)| ResourceRule {
                api_groups: Some(vec![group.to_owned()]),
                resources: Some(vec![resource.to_owned()]),
                verbs: vec!["create".to_owned()],
                resource_names: None,
            }));
            rules.paths.push(path_rule(&DISCOVERY));
        }
        if identity.is_in(SERVICE_ACCOUNTS) {
            rules.paths.push(path_rule(&ISSUER));
        }
        rules
    }
}

fn path_rule(paths: &[&str]) -> NonResourceRule {
    let non_resource_urls = Some(paths.iter().map(|path| (*path).to_owned()).collect());
    NonResourceRule { non_resource_urls, verbs: vec!["get".to_owned()] }
}

/// Allows everything to the cluster's own parts: the controllers, the scheduler, the proxies and the nodes, by the names that
/// upstream gives them. A node's proxy may also come as the node: of what nodes may do, it needs to see all Services,
/// EndpointSlices and Namespaces and its own Node, and to record Events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Components;

impl Components {
    fn has(identity: &Identity) -> bool {
        COMPONENTS.contains(&identity.user.as_str())
            || identity.is_in(NODES) && identity.user.starts_with("system:node:")
    }
}

/// The controllers' user, as their certificate names it.
pub const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
/// The scheduler's.
pub const SCHEDULER: &str = "system:kube-scheduler";
/// The proxies', which make Services reachable on nodes.
pub const PROXY: &str = "system:kube-proxy";
/// The group of all nodes.
pub const NODES: &str = "system:nodes";
const COMPONENTS: [&str; 3] = [CONTROLLER_MANAGER, SCHEDULER, PROXY];

impl Authorizer for Components {
    fn authorize(&self, identity: &Identity, _: &Attributes) -> Decision {
        if Components::has(identity) { Decision::Allow } else { Decision::NoOpinion(String::new()) }
    }

    fn rules(&self, identity: &Identity, _: &str) -> Rules {
        if Components::has(identity) { Rules::everything() } else { Rules::default() }
    }
}

/// Allows everything to whoever has a token in the token file: an operator who lists one means it to be used.
#[derive(Clone, Debug, Default)]
pub struct TokenHolders(HashMap<String, Vec<Arc<Identity>>>);

impl TokenHolders {
    /// With the tokens of this file.
    #[must_use]
    pub fn of(file: Option<&TokenFile>) -> TokenHolders {
        let mut holders: HashMap<String, Vec<Arc<Identity>>> = HashMap::new();
        for identity in file.into_iter().flat_map(TokenFile::identities) {
            holders.entry(identity.user.clone()).or_default().push(Arc::clone(identity));
        }
        TokenHolders(holders)
    }
}

impl TokenHolders {
    /// By the whole identity and not the name alone, because a certificate may have the same name.
    fn has(&self, identity: &Identity) -> bool {
        let holders = self.0.get(&identity.user);
        holders.is_some_and(|holders| holders.iter().any(|holder| **holder == *identity))
    }
}

impl Authorizer for TokenHolders {
    fn authorize(&self, identity: &Identity, _: &Attributes) -> Decision {
        if self.has(identity) { Decision::Allow } else { Decision::NoOpinion(String::new()) }
    }

    fn rules(&self, identity: &Identity, _: &str) -> Rules {
        if self.has(identity) { Rules::everything() } else { Rules::default() }
    }
}

/// Asks one authorizer after the other until one has an opinion.
#[derive(Default)]
pub struct Chain(Vec<Box<dyn Authorizer>>);

impl Chain {
    /// With these, in this order.
    #[must_use]
    pub fn new(authorizers: Vec<Box<dyn Authorizer>>) -> Chain {
        Chain(authorizers)
    }

    /// What holds until there is RBAC: masters, holders of tokens and the cluster's own parts may do everything, others see
    /// health and version, and ask about themselves if they are known.
    #[must_use]
    pub fn until_rbac(tokens: Option<&TokenFile>) -> Chain {
        Chain::new(vec![
            Box::new(Masters),
            Box::new(PublicInformation),
            Box::new(BasicUsers),
            Box::new(Components),
            Box::new(TokenHolders::of(tokens)),
        ])
    }
}

impl Authorizer for Chain {
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision {
        let mut reasons = Vec::new();
        for authorizer in &self.0 {
            match authorizer.authorize(identity, attributes) {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    fn rules(&self, identity: &Identity, namespace: &str) -> Rules {
        let mut all = Rules::default();
        for Rules { resources, paths } in self.0.iter().map(|authorizer| authorizer.rules(identity, namespace)) {
            all.resources.extend(resources);
            all.paths.extend(paths);
        }
        all
    }
}

/// The answer to somebody who may not, in upstream's words.
#[must_use]
pub fn forbidden(identity: &Identity, attributes: &Attributes, reason: &str) -> Status {
    let mut message = forbidden_message(&identity.user, attributes);
    if !reason.is_empty() {
        message.push_str(": ");
        message.push_str(reason);
    }
    let resource = GroupResource::new(attributes.group.clone(), attributes.resource.clone());
    Status::forbidden(&resource, &attributes.name, message)
}

fn forbidden_message(user: &str, attributes: &Attributes) -> String {
    let Attributes { verb, group, resource, subresource, namespace, path, .. } = attributes;
    let user = go_quote(user);
    let message = if !attributes.is_resource() {
        format!("User {user} cannot {verb} path {}", go_quote(path))
    } else {
        let slash = if subresource.is_empty() { "" } else { "/" };
        let resource = go_quote(&format!("{resource}{slash}{subresource}"));
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {}", go_quote(namespace))
        };
        format!("User {user} cannot {verb} resource {resource} in API group {} {place}", go_quote(group))
    };
    // Upstream keeps what a browser could take for markup out of it.
    message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(method: &str, uri: &str) -> Attributes {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        Attributes::of_request(&request.into_parts().0)
    }

    fn user(name: &str, groups: &[&str]) -> Identity {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Identity { user: name.to_owned(), groups, ..Identity::default() }
    }

    #[test]
    fn refusals_are_in_upstreams_words() {
        let check = |method: &str, uri: &str, reason: &str, expected: &str| {
            let status = forbidden(&user("x", &[]), &attributes(method, uri), reason);
            assert_eq!((status.code, status.message.as_str()), (403, expected));
        };
        check(
            "GET",
            "/api/v1/namespaces/default/pods",
            "",
            "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        );
        check(
            "GET",
            "/api/v1/pods?watch=true",
            "",
            "pods is forbidden: User \"x\" cannot watch resource \"pods\" in API group \"\" at the cluster scope",
        );
        check(
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "",
            "deployments.apps \"d\" is forbidden: User \"x\" cannot patch resource \"deployments/scale\" in API group \
             \"apps\" in the namespace \"a\"",
        );
        check(
            "GET",
            "/api/v1/namespaces/a/services/s/proxy/x/y",
            "",
            "services \"s\" is forbidden: User \"x\" cannot get resource \"services/proxy\" in API group \"\" in the \
             namespace \"a\"",
        );
        check("GET", "/metrics", "", "forbidden: User \"x\" cannot get path \"/metrics\"");
        check("POST", "/a%3Cb", "", "forbidden: User \"x\" cannot post path \"/a&lt;b\"");
        check("GET", "/metrics", "no rule", "forbidden: User \"x\" cannot get path \"/metrics\": no rule");
    }

    #[test]
    fn options_of_resources_have_no_verb() {
        let check = |uri: &str, expected: [&str; 4]| {
            let Attributes { verb, resource, subresource, name, .. } = attributes("OPTIONS", uri);
            assert_eq!([verb, resource, subresource, name], expected);
        };
        check("/api/v1/namespaces/a/services/s/proxy/x", ["", "services", "proxy", "s"]);
        check("/api/v1/nodes?watch=1", ["", "nodes", "", ""]);
        check("/metrics", ["options", "", "", ""]);
    }

    #[test]
    fn who_may_do_what_until_there_are_rules() {
        let anonymous = user("system:anonymous", &["system:unauthenticated"]);
        let admin = user("a", &["system:masters", "system:authenticated"]);
        let tokens = TokenFile::parse("secret,t,1,dev").unwrap();
        let token = Identity::clone(&tokens.identity("secret").unwrap());
        let mut other = token.clone();
        other.extra.insert(crate::authn::CREDENTIAL_ID.to_owned(), vec!["X509SHA256=0".to_owned()]);
        let check = |who: &Identity, method: &str, uri: &str, expected: bool| {
            let decision = Chain::until_rbac(Some(&tokens)).authorize(who, &attributes(method, uri));
            assert_eq!(decision == Decision::Allow, expected, "{} {method} {uri}", who.user);
        };
        for who in [&admin, &token] {
            check(who, "GET", "/api/v1/pods", true);
            check(who, "DELETE", "/api/v1/namespaces/a", true);
            check(who, "GET", "/metrics", true);
        }
        for (name, groups) in [(PROXY, &[][..]), (SCHEDULER, &[]), ("system:node:n", &[NODES])] {
            check(&user(name, groups), "GET", "/api/v1/services?watch=1", true);
        }
        check(&user("system:node:n", &[]), "GET", "/api/v1/services", false);
        for who in [&anonymous, &other] {
            check(who, "GET", "/api/v1/pods", false);
            check(who, "GET", "/metrics", false);
            check(who, "GET", "/healthz/ping", false);
            check(who, "POST", "/healthz", false);
            check(who, "GET", "/readyz", true);
            check(who, "GET", "/version", true);
        }
    }

    #[test]
    fn the_first_opinion_counts() {
        struct Says(Decision);
        impl Authorizer for Says {
            fn authorize(&self, _: &Identity, _: &Attributes) -> Decision {
                self.0.clone()
            }

            fn rules(&self, _: &Identity, _: &str) -> Rules {
                Rules::default()
            }
        }
        let check = |decisions: &[Decision], expected: Decision| {
            let chain = decisions.iter().map(|says| Box::new(Says(says.clone())) as Box<dyn Authorizer>).collect();
            assert_eq!(Chain::new(chain).authorize(&user("x", &[]), &Attributes::default()), expected);
        };
        let none = |why: &str| Decision::NoOpinion(why.to_owned());
        check(&[], none(""));
        check(&[none("a"), none(""), none("b")], none("a\nb"));
        check(&[none("a"), Decision::Deny("d".to_owned()), Decision::Allow], Decision::Deny("d".to_owned()));
        check(&[none("a"), Decision::Allow, Decision::Deny("d".to_owned())], Decision::Allow);
    }
}
