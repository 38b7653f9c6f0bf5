//! Which headers are passed on, and which are not.
//!
//! What is about one connection stays there, and so does what a client says of itself to be known here: what is behind gets
//! requests from the API server.

use http::header::{AUTHORIZATION, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};

/// Headers of one connection (RFC 9110, section 7.6.1, and those that were in use before it).
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What an answer would allow to the pages of other sites, which is not for what is behind to decide (upstream removes
/// the same).
const OF_ORIGINS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];
/// What other headers begin with that say who a client is.
const OF_IDENTITY: [&str; 2] = ["impersonate-", "x-remote-"];
/// What a WebSocket's protocol begins with that is a token of the client's.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// What a client wants its connection to become, if it wants that.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    // As loosely as upstream looks for it.
    wanted.map(str::to_ascii_lowercase).any(|value| value.contains("upgrade")).then_some(())?;
    headers.get(UPGRADE).cloned()
}

/// The headers of a request as they are passed on; `upgrade` is what the connection is to become.
pub(super) fn of_request(headers: &HeaderMap, upgrade: Option<&HeaderValue>) -> HeaderMap {
    let mut passed = headers.clone();
    remove_of_connection(&mut passed);
    for name in [AUTHORIZATION, EXPECT, HOST] {
        passed.remove(name);
    }
    let identity = |name: &&HeaderName| OF_IDENTITY.iter().any(|prefix| name.as_str().starts_with(prefix));
    let removed: Vec<HeaderName> = passed.keys().filter(identity).cloned().collect();
    for name in removed {
        passed.remove(name);
    }
    if let Some(upgrade) = upgrade {
        passed.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        passed.insert(UPGRADE, upgrade.clone());
    }
    remove_tokens(&mut passed);
    passed
}

/// Removes from an answer what is about the connection that it came over, and what it allows to other sites.
pub(super) fn clean_answer(headers: &mut HeaderMap) {
    remove_of_connection(headers);
    for name in OF_ORIGINS {
        headers.remove(name);
    }
}

/// Adds one more to those for whom a request was passed on.
pub(super) fn add_forwarded_for(headers: &mut HeaderMap, client: &str) {
    const NAME: HeaderName = HeaderName::from_static("x-forwarded-for");
    let before = headers.get_all(&NAME).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(", ");
    let all = if before.is_empty() { client.to_owned() } else { format!("{before}, {client}") };
    if let Ok(all) = HeaderValue::from_str(&all) {
        headers.insert(NAME, all);
    }
}

fn remove_of_connection(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    for name in named.collect::<Vec<_>>() {
        headers.remove(name);
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
}

/// Takes tokens out of the protocols that a WebSocket may speak.
fn remove_tokens(headers: &mut HeaderMap) {
    const NAME: HeaderName = HeaderName::from_static("sec-websocket-protocol");
    let stated: Vec<&str> = headers.get_all(&NAME).iter().filter_map(|value| value.to_str().ok()).collect();
    let all = stated.iter().flat_map(|value| value.split(',')).map(str::trim);
    let kept: Vec<&str> = all.clone().filter(|protocol| !protocol.starts_with(TOKEN_PROTOCOL)).collect();
    if kept.len() == all.count() {
        return;
    }
    let kept = HeaderValue::from_str(&kept.join(", "));
    headers.remove(&NAME);
    if let Ok(kept) = kept
        && !kept.is_empty()
    {
        headers.insert(NAME, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let lines = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines
    }

    #[test]
    fn requests_keep_what_is_not_about_connection_or_client() {
        let check = |given: &[&str], expected: &[&str]| {
            let given = headers(given);
            let upgrade = upgrade(&given);
            assert_eq!(lines(&of_request(&given, upgrade.as_ref())), expected);
        };
        check(&[], &[]);
        check(
            &["accept: text/html", "cookie: a=b", "host: k", "expect: 100-continue"],
            &["accept: text/html", "cookie: a=b"],
        );
        check(&["authorization: Bearer x", "impersonate-user: u", "impersonate-extra-a: b", "x-remote-user: r"], &[]);
        check(
            &["connection: close, X-Mine", "x-mine: 1", "keep-alive: 5", "te: trailers", "x-yours: 2"],
            &["x-yours: 2"],
        );
        check(&["connection: keep-alive, upgrade", "upgrade: SPDY/3.1"], &["connection: Upgrade", "upgrade: SPDY/3.1"]);
        check(&["upgrade: h2c"], &[]);
        check(
            &["sec-websocket-protocol: v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0"],
            &["sec-websocket-protocol: v4.channel.k8s.io"],
        );
        check(&["sec-websocket-protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0"], &[]);
        check(
            &["sec-websocket-protocol: a", "sec-websocket-protocol: b"],
            &["sec-websocket-protocol: a", "sec-websocket-protocol: b"],
        );
    }

    #[test]
    fn answers_allow_nothing_to_other_sites() {
        let mut answer = headers(&[
            "access-control-allow-origin: *",
            "connection: x-a",
            "x-a: 1",
            "content-type: text/plain",
            "transfer-encoding: chunked",
        ]);
        clean_answer(&mut answer);
        assert_eq!(lines(&answer), ["content-type: text/plain"]);
    }

    #[test]
    fn those_for_whom_a_request_was_passed_on_are_listed() {
        let check = |given: &[&str], expected: &str| {
            let mut headers = headers(given);
            add_forwarded_for(&mut headers, "10.0.0.1");
            assert_eq!(lines(&headers), [format!("x-forwarded-for: {expected}")]);
        };
        check(&[], "10.0.0.1");
        check(&["x-forwarded-for: 1.2.3.4"], "1.2.3.4, 10.0.0.1");
        check(&["x-forwarded-for: 1.2.3.4", "x-forwarded-for: 5.6.7.8"], "1.2.3.4, 5.6.7.8, 10.0.0.1");
    }
}
