//! Whether somebody may do something, and the words in which they are told that they may not.

#[cfg(test)]
mod defaults;
pub(crate) mod node;
pub(crate) mod rbac;
mod selectors;

use api::field::go_quote;
use api::selector::{field, label};
use api::status::{GroupResource, Status};
use http::Method;
use http::request::Parts;
use k8s_openapi::api::authorization::v1::{NonResourceRule, ResourceRule};
use percent_encoding::percent_decode_str;

pub use self::node::NodeAuthorizer;
pub use self::rbac::Rbac;
pub use self::selectors::Requirements;
use crate::authn::{Identity, MASTERS};
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
    /// Which fields the objects of a list, a watch or a deletecollection have.
    pub fields: Requirements<field::Requirement>,
    /// Which labels they have.
    pub labels: Requirements<label::Requirement>,
}

impl Attributes {
    /// What a request wants to do. A subresource is named by the first segment behind the object: what comes after that is
    /// a path of its own, such as with `proxy`.
    #[must_use]
    pub fn of_request(parts: &Parts) -> Attributes {
        let query = parts.uri.query().map(Query::parse).unwrap_or_default();
        let watch = query.flag("watch").unwrap_or(false);
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        if parts.method == Method::OPTIONS {
            // Upstream has no verb for it, so that only rules for all verbs allow it.
            let target = Target::parse(&Method::GET, parts.uri.path(), false);
            let asked = |target| Attributes { verb: String::new(), ..Attributes::of_target(target, path.clone()) };
            let other = || Attributes { verb: "options".to_owned(), path: path.clone(), ..Attributes::default() };
            return target.map_or_else(other, asked);
        }
        match Target::parse(&parts.method, parts.uri.path(), watch) {
            Some(target) => Attributes::of_target(target, path).selecting(parts.uri.path(), &query),
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
            ..Attributes::default()
        }
    }

    /// By what it selects objects. A list of the one object of a name counts as a request for it. What has a name in its path
    /// selects nothing further, and neither does the old form of a watch, as upstream has it.
    fn selecting(mut self, path: &str, query: &Query) -> Attributes {
        let selects = matches!(self.verb.as_str(), "list" | "watch" | "deletecollection");
        if !selects || !self.name.is_empty() || Target::is_old_watch(path) {
            return self;
        }
        self.fields = Requirements::<field::Requirement>::of_query(query);
        self.labels = Requirements::<label::Requirement>::of_query(query);
        if self.verb != "deletecollection"
            && let Some(name) = self.fields.value_of("metadata.name").filter(|name| is_path_segment(name))
        {
            self.name = name.to_owned();
        }
        self
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

/// Whether a name can stand in a path.
fn is_path_segment(name: &str) -> bool {
    !matches!(name, "." | "..") && !name.contains(['/', '%'])
}

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They may, and why, as reviews tell it; the reason may be empty.
    Allow(String),
    /// They may not, whatever others say. The reason is told to them, unless it is empty.
    Deny(String),
    /// Others may know. If nobody does, they may not.
    NoOpinion(String),
}

impl Decision {
    /// That they may, without a reason.
    #[must_use]
    pub fn allow() -> Decision {
        Decision::Allow(String::new())
    }
}

/// What somebody may do, as far as an authorizer can list it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// With resources.
    pub resources: Vec<ResourceRule>,
    /// With paths that are no resources.
    pub paths: Vec<NonResourceRule>,
    /// Why the list may lack something; empty if it does not.
    pub error: String,
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
        if identity.is_in(MASTERS) { Decision::allow() } else { Decision::NoOpinion(String::new()) }
    }

    /// That is for the role to say which every cluster gives them.
    fn rules(&self, _: &Identity, _: &str) -> Rules {
        Rules::default()
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
/// Asks one authorizer after the other until one has an opinion.
#[derive(Default)]
pub struct Chain(Vec<Box<dyn Authorizer>>);

impl Chain {
    /// With these, in this order.
    #[must_use]
    pub fn new(authorizers: Vec<Box<dyn Authorizer>>) -> Chain {
        Chain(authorizers)
    }

    /// Masters may do everything, nodes what is theirs, and all what roles give them.
    #[must_use]
    pub fn of_cluster(nodes: NodeAuthorizer, rbac: Rbac) -> Chain {
        Chain::new(vec![Box::new(Masters), Box::new(nodes), Box::new(rbac)])
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
        let mut errors = Vec::new();
        for Rules { resources, paths, error } in self.0.iter().map(|authorizer| authorizer.rules(identity, namespace)) {
            all.resources.extend(resources);
            all.paths.extend(paths);
            errors.extend((!error.is_empty()).then_some(error));
        }
        all.error = errors.join(", ");
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
    fn selectors_are_read_where_they_select() {
        let check = |method: &str, uri: &str, expected: [&str; 4]| {
            let Attributes { verb, name, fields, labels, .. } = attributes(method, uri);
            let fields = fields.all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let labels = labels.all.iter().map(label::Requirement::key).collect::<Vec<_>>().join(",");
            assert_eq!([verb, name, fields, labels], expected, "{method} {uri}");
        };
        let pods = |rest: &str| format!("/api/v1/namespaces/a/pods{rest}");
        check("GET", &pods("?fieldSelector=metadata.name%3Dp"), ["list", "p", "metadata.name=p", ""]);
        check("GET", &pods("?watch=1&fieldSelector=metadata.name%3Dp"), ["watch", "p", "metadata.name=p", ""]);
        check("DELETE", &pods("?fieldSelector=metadata.name%3Dp"), ["deletecollection", "", "metadata.name=p", ""]);
        check("GET", &pods("?fieldSelector=metadata.name!%3Dp&labelSelector=b"), ["list", "", "metadata.name!=p", "b"]);
        check("GET", &pods("?fieldSelector=metadata.name%3D..%2Fp"), ["list", "", "metadata.name=../p", ""]);
        check("GET", &pods("?fieldSelector=x"), ["list", "", "", ""]);
        // The first of several counts, as it does where the list is made.
        check("GET", &pods("?fieldSelector=a%3Db&fieldSelector=metadata.name%3Dp"), ["list", "", "a=b", ""]);
        check("GET", &pods("/q?fieldSelector=metadata.name%3Dp"), ["get", "q", "", ""]);
        check("GET", &pods("/q?watch=1&fieldSelector=spec.nodeName%3Dn"), ["watch", "q", "", ""]);
        check("GET", "/api/v1/watch/pods?fieldSelector=spec.nodeName%3Dn", ["watch", "", "", ""]);
        check("POST", &pods("?fieldSelector=metadata.name%3Dp"), ["create", "", "", ""]);
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
        check(&[none("a"), Decision::Deny("d".to_owned()), Decision::allow()], Decision::Deny("d".to_owned()));
        check(&[none("a"), Decision::allow(), Decision::Deny("d".to_owned())], Decision::allow());
    }
}
