//! The bearer token in a request's headers (RFC 6750, section 2.1), read as leniently as upstream reads it.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The token. Of several `Authorization` headers the first counts; one of another scheme is no token, and neither is an
/// empty one.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?;
    // A token that is not text is one that nobody has.
    let value = String::from_utf8_lossy(value.as_bytes());
    let mut parts = value.trim().split(' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tokens_are_read_as_upstream_reads_them() {
        let check = |values: &[&[u8]], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(token(&headers).as_deref(), expected, "{values:?}");
        };
        check(&[], None);
        check(&[b"Bearer abc"], Some("abc"));
        check(&[b"bearer abc"], Some("abc"));
        check(&[b"BEARER abc"], Some("abc"));
        check(&[b"  Bearer abc  "], Some("abc"));
        check(&[b"Bearer abc def"], Some("abc"));
        check(&[b"Bearer  abc"], None);
        check(&[b"Bearer"], None);
        check(&[b"Bearer "], None);
        check(&[b"Bearerabc"], None);
        check(&[b"Basic YTpi"], None);
        check(&[b"Bearer abc", b"Bearer def"], Some("abc"));
        check(&[b"Basic YTpi", b"Bearer abc"], None);
        check(&[b"Bearer \xff"], Some("\u{fffd}"));
    }
}
