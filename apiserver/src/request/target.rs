//! Which resource a path and a method are about.

use http::Method;
use percent_encoding::percent_decode_str;

/// What is to be done, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow an object or a collection.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change a part of an object.
    Patch,
    /// Remove an object.
    Delete,
    /// Remove a collection.
    DeleteCollection,
}

impl Verb {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read_only(self) -> bool {
        matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }
}

/// A request for a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is to be done.
    pub verb: Verb,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace, if the path names one.
    pub namespace: String,
    /// The resource, such as `pods`.
    pub resource: String,
    /// The name of the object, if the path names one.
    pub name: String,
    /// The subresource, such as `status`; with its own path behind it where it has one.
    pub subresource: String,
}

impl Target {
    /// Reads a path such as `/apis/apps/v1/namespaces/default/deployments/web/scale`. `None` if it names no resource:
    /// discovery and everything outside `/api` and `/apis`.
    ///
    /// `watch` is whether the query asks for a watch.
    #[must_use]
    pub fn parse(method: &Method, path: &str, watch: bool) -> Option<Target> {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let (group, rest) = match segments.split_first()? {
            (api, rest) if api == "api" => (String::new(), rest),
            (apis, [group, rest @ ..]) if apis == "apis" => (group.clone(), rest),
            _ => return None,
        };
        let (version, mut rest) = rest.split_first()?;
        // The form that watches had before they were a parameter.
        let mut old_watch = false;
        if let [first, remaining @ ..] = rest
            && first == "watch"
        {
            (old_watch, rest) = (true, remaining);
        }
        let (namespace, resource, name, subresource) = match rest {
            [] => return None,
            // A subresource of a namespace, not a resource in it.
            [namespaces, name, sub] if namespaces == "namespaces" && is_namespace_subresource(sub) => {
                (name.clone(), namespaces, name.clone(), sub.clone())
            }
            [namespaces, namespace, resource, rest @ ..] if namespaces == "namespaces" => {
                let (name, sub) =
                    rest.split_first().map_or((String::new(), &[][..]), |(name, sub)| (name.clone(), sub));
                (namespace.clone(), resource, name, sub.join("/"))
            }
            [namespaces, name] if namespaces == "namespaces" => (name.clone(), namespaces, name.clone(), String::new()),
            [resource, rest @ ..] => {
                let (name, sub) =
                    rest.split_first().map_or((String::new(), &[][..]), |(name, sub)| (name.clone(), sub));
                (String::new(), resource, name, sub.join("/"))
            }
        };
        // Behind a subresource such as `proxy` the parameter is none of ours.
        let verb = verb(method, &name, old_watch || watch && subresource.is_empty())?;
        let (version, resource) = (version.clone(), resource.clone());
        Some(Target { verb, group, version, namespace, resource, name, subresource })
    }
}

impl Target {
    /// Whether a path has the form that watches had before they were a parameter.
    #[must_use]
    pub fn is_old_watch(path: &str) -> bool {
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let mut segments = segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy());
        match segments.next().as_deref() {
            Some("api") => segments.nth(1).as_deref() == Some("watch"),
            Some("apis") => segments.nth(2).as_deref() == Some("watch"),
            _ => false,
        }
    }
}

fn is_namespace_subresource(name: &str) -> bool {
    matches!(name, "status" | "finalize")
}

fn verb(method: &Method, name: &str, watch: bool) -> Option<Verb> {
    let collection = name.is_empty();
    Some(match *method {
        Method::GET | Method::HEAD if watch => Verb::Watch,
        Method::GET | Method::HEAD if collection => Verb::List,
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if collection => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expected: Option<(&str, [&str; 6])>) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = Target::parse(&method, path, path.contains("watch=1"));
        let found = found.as_ref().map(|target| {
            let Target { verb, group, version, namespace, resource, name, subresource } = target;
            (verb.as_str(), [&**group, version, namespace, resource, name, subresource])
        });
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn paths_name_resources() {
        check("GET", "/api/v1/pods", Some(("list", ["", "v1", "", "pods", "", ""])));
        check("GET", "/api/v1/namespaces/a/pods", Some(("list", ["", "v1", "a", "pods", "", ""])));
        check("DELETE", "/api/v1/namespaces/a/pods", Some(("deletecollection", ["", "v1", "a", "pods", "", ""])));
        check("GET", "/api/v1/namespaces/a/pods/p", Some(("get", ["", "v1", "a", "pods", "p", ""])));
        check("HEAD", "/api/v1/namespaces/a/pods/p/", Some(("get", ["", "v1", "a", "pods", "p", ""])));
        check("PUT", "/api/v1/namespaces/a/pods/p/status", Some(("update", ["", "v1", "a", "pods", "p", "status"])));
        check("POST", "/api/v1/namespaces/a/pods", Some(("create", ["", "v1", "a", "pods", "", ""])));
        check(
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            Some(("patch", ["apps", "v1", "a", "deployments", "d", "scale"])),
        );
        check(
            "GET",
            "/api/v1/namespaces/a/services/s:80/proxy/x/y",
            Some(("get", ["", "v1", "a", "services", "s:80", "proxy/x/y"])),
        );
        check(
            "GET",
            "/api/v1/nodes/n/proxy/pods?watch=1",
            Some(("get", ["", "v1", "", "nodes", "n", "proxy/pods?watch=1"])),
        );
        check("GET", "/api/v1/nodes/n%2F1", Some(("get", ["", "v1", "", "nodes", "n/1", ""])));
    }

    #[test]
    fn namespaces_are_resources_too() {
        check("GET", "/api/v1/namespaces", Some(("list", ["", "v1", "", "namespaces", "", ""])));
        check("GET", "/api/v1/namespaces/a", Some(("get", ["", "v1", "a", "namespaces", "a", ""])));
        check("PUT", "/api/v1/namespaces/a/finalize", Some(("update", ["", "v1", "a", "namespaces", "a", "finalize"])));
        check("PUT", "/api/v1/namespaces/a/status", Some(("update", ["", "v1", "a", "namespaces", "a", "status"])));
    }

    #[test]
    fn the_old_form_of_watch_is_understood() {
        check("GET", "/api/v1/watch/pods", Some(("watch", ["", "v1", "", "pods", "", ""])));
        check("GET", "/api/v1/watch/namespaces/a/pods/p", Some(("watch", ["", "v1", "a", "pods", "p", ""])));
    }

    #[test]
    fn the_old_form_of_watch_is_known_by_its_path() {
        let check = |path: &str, expected: bool| assert_eq!(Target::is_old_watch(path), expected, "{path}");
        check("/api/v1/watch/pods", true);
        check("//api/v1/w%61tch/namespaces/a/pods", true);
        check("/apis/apps/v1/watch/deployments", true);
        check("/api/v1/pods/watch", false);
        check("/apis/apps/watch/v1", false);
        check("/healthz/v1/watch", false);
    }

    #[test]
    fn other_paths_are_none() {
        for path in ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3/api/v1"] {
            check("GET", path, None);
        }
        check("OPTIONS", "/api/v1/pods", None);
    }
}
