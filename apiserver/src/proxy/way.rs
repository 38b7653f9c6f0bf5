//! Which requests are passed on, and by which methods they come.

use http::Method;

use crate::request::Target;

/// To what a request is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `pods/log`.
    Log,
    /// `pods/exec`.
    Exec,
    /// `pods/attach`.
    Attach,
    /// `pods/portforward`.
    PortForward,
    /// `pods/proxy`.
    Pod,
    /// `services/proxy`.
    Service,
    /// `nodes/proxy`.
    Node,
}

const READ: &[Method] = &[Method::GET];
/// WebSockets begin with a GET, SPDY with a POST.
const STREAMS: &[Method] = &[Method::GET, Method::POST];
const ALL: &[Method] =
    &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

impl Way {
    /// The way of a request for `target`, if it is one that is passed on.
    #[must_use]
    pub fn of(target: &Target) -> Option<Way> {
        if (target.group.as_str(), target.version.as_str()) != ("", "v1") {
            return None;
        }
        let is_proxy = target.subresource == "proxy" || target.subresource.starts_with("proxy/");
        Some(match (target.resource.as_str(), target.subresource.as_str()) {
            ("pods", "log") => Way::Log,
            ("pods", "exec") => Way::Exec,
            ("pods", "attach") => Way::Attach,
            ("pods", "portforward") => Way::PortForward,
            ("pods", _) if is_proxy => Way::Pod,
            ("services", _) if is_proxy => Way::Service,
            ("nodes", _) if is_proxy => Way::Node,
            _ => return None,
        })
    }

    /// The methods that are passed on.
    pub(super) fn methods(self) -> &'static [Method] {
        match self {
            Way::Log => READ,
            Way::Exec | Way::Attach | Way::PortForward => STREAMS,
            Way::Pod | Way::Service | Way::Node => ALL,
        }
    }

    /// Whether the target has a namespace if and only if its resource has.
    pub(super) fn has_place(self, target: &Target) -> bool {
        !target.name.is_empty() && target.namespace.is_empty() == (self == Way::Node)
    }

    /// How many segments a path has up to the subresource, and with it.
    pub(super) fn segments(self) -> usize {
        if self == Way::Node { 5 } else { 7 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_follow_from_paths() {
        let check = |path: &str, expected: Option<Way>| {
            let target = Target::parse(&Method::GET, path, false).unwrap();
            let found = Way::of(&target).filter(|way| way.has_place(&target));
            assert_eq!(found, expected, "{path}");
        };
        let pod = |rest: &str| format!("/api/v1/namespaces/a/pods/p/{rest}");
        check(&pod("log"), Some(Way::Log));
        check(&pod("exec"), Some(Way::Exec));
        check(&pod("attach"), Some(Way::Attach));
        check(&pod("portforward"), Some(Way::PortForward));
        check(&pod("proxy"), Some(Way::Pod));
        check(&pod("proxy/a/b"), Some(Way::Pod));
        check(&pod("proxyx"), None);
        check(&pod("exec/x"), None);
        check(&pod("status"), None);
        check("/api/v1/namespaces/a/services/s:80/proxy/", Some(Way::Service));
        check("/api/v1/nodes/n/proxy/logs/", Some(Way::Node));
        check("/api/v1/namespaces/a/nodes/n/proxy", None);
        check("/api/v1/pods/p/log", None);
        check("/apis/apps/v1/namespaces/a/pods/p/log", None);
    }
}
