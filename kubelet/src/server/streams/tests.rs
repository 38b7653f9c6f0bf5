//! What of a request for streams is understood, and in which words it is not.

use http::HeaderValue;

use super::*;

#[test]
fn streams_are_wanted_by_upstreams_names() {
    let check = |query: &str, expected: Option<(bool, bool, bool, bool)>| {
        let wanted = Wanted::of(&Query::of(Some(query))).ok();
        let expected = expected.map(|(stdin, stdout, stderr, tty)| Wanted { stdin, stdout, stderr, tty });
        assert_eq!(wanted, expected, "{query}");
    };
    check("output=1", Some((false, true, false, false)));
    check("input=1&output=1&error=1", Some((true, true, true, false)));
    check("input=1&output=1&error=1&tty=1", Some((true, true, false, true)));
    check("error=1&tty=1", None);
    check("output=true", None);
    check("tty=1", None);
    check("", None);
}

#[test]
fn ports_are_numbers() {
    let check = |query: &str, expected: Result<&[i32], &str>| {
        let ports = ports(&Query::of(Some(query)));
        assert_eq!(ports.as_deref().map_err(|why| &**why), expected, "{query}");
    };
    check("port=80&port=443", Ok(&[80, 443]));
    check("", Err("query parameter \"port\" is required"));
    check("port=", Err("query parameter \"port\" cannot be empty"));
    check("port=0", Err("port \"0\" must be > 0"));
    check("port=65536", Err("unable to parse \"65536\" as a port: number too large to fit in target type"));
}

#[test]
fn an_upgrade_is_asked_for_in_two_headers() {
    let check = |pairs: &[(http::HeaderName, &'static str)], expected: bool| {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        assert_eq!(is_upgrade(&headers.collect()).is_ok(), expected, "{pairs:?}");
    };
    check(&[(CONNECTION, "Upgrade"), (UPGRADE, "SPDY/3.1")], true);
    check(&[(CONNECTION, "keep-alive, upgrade"), (UPGRADE, "websocket")], true);
    check(&[(CONNECTION, "upgrade")], false);
    check(&[(UPGRADE, "websocket")], false);
    check(&[], false);
}
