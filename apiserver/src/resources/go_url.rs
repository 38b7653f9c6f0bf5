//! Reads URLs as Go's `net/url` does: what is no URL there is none here, with the same words.

use api::field::go_quote;

/// A URL's parts, as far as rules are about them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    /// In lower case; empty if there is none.
    pub(super) scheme: String,
    /// What precedes the `@`.
    pub(super) user: Option<String>,
    /// Host and port.
    pub(super) host: String,
    /// What follows the `?`.
    pub(super) query: String,
    /// What follows the `#`.
    pub(super) fragment: String,
}

/// Reads a URL or a reference.
///
/// # Errors
/// What Go says.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let parsed = parts(rest, false).and_then(|url| {
        check_escapes(fragment)?;
        Ok(Url { fragment: fragment.to_owned(), ..url })
    });
    parsed.map_err(|why| format!("parse {}: {why}", go_quote(text)))
}

/// Reads a URL as a request states it: absolute, or a path that begins with a slash, and without a fragment.
///
/// # Errors
/// What Go says.
pub(super) fn parse_request(text: &str) -> Result<Url, String> {
    parts(text, true).map_err(|why| format!("parse {}: {why}", go_quote(text)))
}

fn parts(text: &str, request: bool) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && request {
        return Err("empty url".to_owned());
    }
    let mut url = Url::default();
    if text == "*" {
        return Ok(url);
    }
    let (scheme, rest) = split_scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    url.query = query.to_owned();
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            return Ok(url);
        }
        if request {
            return Err("invalid URI for request".to_owned());
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut path = rest;
    let may_have_host = !url.scheme.is_empty() || (!request && !rest.starts_with("///"));
    if let Some(after) = rest.strip_prefix("//").filter(|_| may_have_host) {
        let end = after.find('/').unwrap_or(after.len());
        let (authority, after) = after.split_at(end);
        path = after;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        check_host(host)?;
        if user.is_some_and(|user| !user.chars().all(is_user_character)) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        url.user = user.map(str::to_owned);
        url.host = host.to_owned();
    }
    check_escapes(path)?;
    Ok(url)
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn is_user_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c)
}

fn check_host(host: &str) -> Result<(), String> {
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or_else(|| "missing ']' in host".to_owned())?;
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = port.strip_prefix(':');
    if !port.is_empty() && !digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(format!("invalid port {} after host", go_quote(port)));
    }
    if host.contains('%') {
        check_escapes(host)?;
    }
    let is_allowed = |c: &char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"%".contains(*c);
    match host.chars().find(|c| !is_allowed(c)) {
        Some(c) => Err(format!("invalid character {} in host name", go_quote(&c.to_string()))),
        None => Ok(()),
    }
}

fn check_escapes(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let shown: String = text[at..].chars().take(3).collect();
            return Err(format!("invalid URL escape {}", go_quote(&shown)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go() {
        let check = |text: &str, expected: &str| {
            let shown = match parse(text) {
                Ok(Url { scheme, user, host, query, fragment }) => {
                    format!("{scheme}|{}|{host}|{query}|{fragment}", user.unwrap_or_else(|| "-".to_owned()))
                }
                Err(why) => why,
            };
            assert_eq!(shown, expected, "{text}");
        };
        check("https://example.com:443/a?b=c#d", "https|-|example.com:443|b=c|d");
        check("HTTPS://a:b@[::1]:8/x", "https|a:b|[::1]:8||");
        check("", "|-|||");
        check("/only/path", "|-|||");
        check("mailto:a@b", "mailto|-|||");
        check("//host/path", "|-|host||");
        check("*", "|-|||");
        check(":a", "parse \":a\": missing protocol scheme");
        check("1a:b", "parse \"1a:b\": first path segment in URL cannot contain colon");
        check("https://a b/", "parse \"https://a b/\": invalid character \" \" in host name");
        check("https://a:x/", "parse \"https://a:x/\": invalid port \":x\" after host");
        check("https://[::1/", "parse \"https://[::1/\": missing ']' in host");
        check("https://a\n", "parse \"https://a\\n\": net/url: invalid control character in URL");
        check("https://a/%zz", "parse \"https://a/%zz\": invalid URL escape \"%zz\"");
        check("https://a{b@c/", "parse \"https://a{b@c/\": net/url: invalid userinfo");
        assert_eq!(parse_request("").unwrap_err(), "parse \"\": empty url");
        assert_eq!(parse_request("a").unwrap_err(), "parse \"a\": invalid URI for request");
        assert_eq!(parse_request("https://a.b/c").unwrap().host, "a.b");
    }
}
