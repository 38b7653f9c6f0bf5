//! Where an answer leads its client to: what would lead away from the proxy is made to lead through it.

/// Under which path something is passed on, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Through<'a> {
    /// The path that leads to the other server's root, without a slash at its end.
    pub(super) prefix: &'a str,
    /// The other server, as host and port.
    pub(super) backend: &'a str,
    /// The host that the client asked.
    pub(super) client: &'a str,
}

/// The value of `Location` as the client is to have it. One that is relative, or leads to another host, stays as it is; one
/// that leads to a path of the same server gets the prefix, unless it has it.
pub(super) fn location(target: &str, through: &Through<'_>) -> String {
    let (origin, authority, rest) = split(target);
    let elsewhere = !authority.is_empty() && authority != through.backend && authority != through.client;
    if elsewhere || !rest.starts_with('/') {
        return target.to_owned();
    }
    let origin = if authority == through.client { origin } else { "" };
    let prefix = if rest.starts_with(through.prefix) { "" } else { through.prefix };
    format!("{origin}{prefix}{rest}")
}

/// A reference (RFC 3986) as what comes before its path, the authority in that, and the rest.
fn split(target: &str) -> (&str, &str, &str) {
    let start = match target.split_once("://") {
        _ if target.starts_with("//") => 2,
        Some((scheme, _)) if is_scheme(scheme) => scheme.len() + 3,
        _ => return ("", "", target),
    };
    let end = target[start..].find(['/', '?', '#']).map_or(target.len(), |at| start + at);
    (&target[..end], &target[start..end], &target[end..])
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_same_server_are_reached_through_the_proxy() {
        const PREFIX: &str = "/api/v1/namespaces/a/services/s:80/proxy";
        let through = Through { prefix: PREFIX, backend: "10.0.0.7:8080", client: "k:6443" };
        let check = |target: &str, expected: &str| {
            assert_eq!(location(target, &through), expected.replace("PREFIX", PREFIX), "{target}");
        };
        check("/login", "PREFIX/login");
        check("/login/?next=/a#b", "PREFIX/login/?next=/a#b");
        check("/", "PREFIX/");
        check("http://10.0.0.7:8080/login", "PREFIX/login");
        check("//10.0.0.7:8080/login", "PREFIX/login");
        check("https://k:6443/login", "https://k:6443PREFIX/login");
        check(&format!("{PREFIX}/login"), "PREFIX/login");
        check(&format!("https://k:6443{PREFIX}/login"), "https://k:6443PREFIX/login");
        check("login", "login");
        check("../up", "../up");
        check("?page=2", "?page=2");
        check("http://elsewhere/login", "http://elsewhere/login");
        check("http://10.0.0.7:9090/login", "http://10.0.0.7:9090/login");
        check("http://10.0.0.7:8080", "http://10.0.0.7:8080");
        check("mailto:a@b", "mailto:a@b");
        check("", "");
    }
}
