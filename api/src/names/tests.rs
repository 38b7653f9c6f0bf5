//! Upstream's own good and bad values, and its messages in full.

use super::*;
use crate::field::Path;

#[track_caller]
fn check(validator: impl Fn(&str) -> Messages, good: &[&str], bad: &[&str]) {
    for value in good {
        assert_eq!(validator(value), Messages::new(), "{value:?}");
    }
    for value in bad {
        assert!(!validator(value).is_empty(), "{value:?} should be refused");
    }
}

fn repeat(text: &str, times: usize) -> String {
    text.repeat(times)
}

const LABELS: [&str; 12] = ["a", "ab", "abc", "a1", "a-1", "a--1--2--b", "0", "01", "012", "1a", "1-a", "1--a--b--2"];
const NO_LABELS: [&str; 35] = [
    "", "A", "ABC", "aBc", "A1", "A-1", "1-A", "-", "a-", "-a", "1-", "-1", "_", "a_", "_a", "a_b", "1_", "_1", "1_2",
    ".", "a.", ".a", "1.", ".1", " ", "a ", " a", "a b", "1 ", " 1", "1 2", "a@b", "a:b", "a%b", "ä",
];

#[test]
fn dns_labels() {
    check(dns1123_label, &LABELS, &NO_LABELS);
    check(dns1123_label, &[&repeat("a", 63)], &[&repeat("a", 64), "a.b", "1.2"]);
    check(dns1035_label, &LABELS[..6], &NO_LABELS);
    check(dns1035_label, &[&repeat("a", 63)], &LABELS[6..]);
    check(dns1035_label, &[], &[&repeat("a", 64), "a.b", "1.2"]);
}

#[test]
fn dns_subdomains() {
    check(dns1123_subdomain, &LABELS, &NO_LABELS);
    check(
        dns1123_subdomain,
        &["a.a", "a--1--2--b.a", "a.1", "0.a", "0.1", "a.b.c.d.e", "11.22.33.44.55", &repeat("a", 253)],
        &["a..b", "1..2", "A.a", "aB.a", "a1.A", "A.1", "0.A", "AA.BB", "a_b", "a,b", "a;b", "a?b", &repeat("a", 254)],
    );
    check(
        dns1123_subdomain_with_underscore,
        &["a", "_a", "a_b", "_a._b", "a_b.c", "_tcp.example.com"],
        &["", "a_", "__a", "_", "a._", "A", "-a", "_-a"],
    );
    check(
        wildcard_dns1123_subdomain,
        &["*.example.com", "*.bar.com", "*.foo.bar.com"],
        &["*.*.bar.com", "*.foo.*.com", "*bar.com", "f*.bar.com", "*", "*.", ""],
    );
}

#[test]
fn qualified_domains() {
    let path = Path::new("f");
    let messages = |errors: crate::field::ErrorList| errors.iter().map(ToString::to_string).collect();
    check(
        |v| messages(fully_qualified_name(&path, v)),
        &["dev.k8s.io", "10.0.0.1", &(repeat("a", 246) + ".k8s.io")],
        &["", "...", "dev.k8s.io.", ".io", "Dev.k8s.io", "k8s.io", "*.example.com", &(repeat("a", 247) + ".k8s.io")],
    );
    check(
        |v| messages(fully_qualified_domain_name(&path, v)),
        &["a.com", "k8s.io", "dev.k8s.io.", "bbc.co.uk", "10.0.0.1", &(repeat("a", 63) + ".k8s.io")],
        &[".", "...", ".io", "com", ".com", "Dev.k8s.io", "*.bar.com", "a@b.c", "", &(repeat("a", 64) + ".k8s.io")],
    );
    assert_eq!(
        fully_qualified_name(&path, "k8s.io").to_string(),
        "f: Invalid value: \"k8s.io\": should be a domain with at least three segments separated by dots"
    );
    assert_eq!(
        fully_qualified_domain_name(&path, "com").to_string(),
        "f: Invalid value: \"com\": should be a domain with at least two segments separated by dots"
    );
}

#[test]
fn label_keys_and_values() {
    check(
        label_key,
        &[
            "simple",
            "now-with-dashes",
            "1-starts-with-num",
            "1234",
            "simple/simple",
            "now-with.dashes-and.dots/simple",
            "1.2.3.4/5678",
            "Uppercase_Is_OK_123",
            "example.com/Uppercase_Is_OK_123",
            "requests.storage-foo",
            &repeat("a", 63),
            &(repeat("a", 253) + "/" + &repeat("b", 63)),
        ],
        &[
            "nospecialchars%^=@",
            "cantendwithadash-",
            "-cantstartwithadash-",
            "only/one/slash",
            "Example.com/abc",
            "example_com/abc",
            "example.com/",
            "/simple",
            "",
            &repeat("a", 64),
            &(repeat("a", 254) + "/abc"),
        ],
    );
    check(
        label_value,
        &["simple", "now-with-dashes", "1-starts-with-num", "end-with-num-1", "1234", "", &repeat("a", 63)],
        &[
            "nospecialchars%^=@",
            "Tama-nui-te-rā.is.Māori.sun",
            "\\backslashes\\are\\bad",
            "-starts-with-dash",
            "ends-with-dash-",
            ".starts.with.dot",
            "ends.with.dot.",
            &repeat("a", 64),
        ],
    );
    check(prefixed_label_key, &["a.b/c"], &["c", "/c", "a.b/"]);
}

#[test]
fn domain_prefixed() {
    let path = Path::new("f");
    let messages = |errors: crate::field::ErrorList| errors.iter().map(ToString::to_string).collect();
    check(
        |v| messages(domain_prefixed_path(&path, v)),
        &["a/b", "a/b/c/d", "a.com/foo", "k8s.io/FOO/BAR", "10.0.0.1/foo", &("k8s.io/".to_owned() + &repeat("a", 240))],
        &["", ".", "/b", "com", "a/", "a.b/foo?a=b", "a.b/foo#a", "a_b.io/foo", "foo@bar.com/foo", "e.com/foo{}[]@^`"],
    );
    check(|v| messages(domain_prefixed_key(&path, v)), &["a.b/c"], &["", "c", "a/b/c", "A/b"]);
}

#[test]
fn the_rest() {
    check(
        port_name,
        &["telnet", "re-mail-ck", "pop3", "a", "a-1", "1-a", "a-1-b-2-c", "1-a-2-b-3"],
        &["longerthan15characters", "", &repeat("a", 16), "12345", "1-2-3-4", "-begin", "end-", "two--hyphens", "w++"],
    );
    check(
        http_header_name,
        &["Accept-Encoding", "Host", "a", "-a", "a-", "--abc-123", "A-1"],
        &["Host:", "X-@Home", "", "_", "a_", ".", "a.b", " ", "a b", "#a#", "{"],
    );
    check(
        percent,
        &["0%", "00000%", "1%", "01%", "99%", "100%", "101%"],
        &["", "0", "100", "0.0%", "99.9%", "hundred", " 1%", "1% ", "-0%", "-1%", "+1%", "%"],
    );
    check(
        config_map_key,
        &["a", "good", "good-good", "still.good", ".so.is.this", "THIS_IS_GOOD", "so_is_this_17", &repeat("a", 253)],
        &["", ".", "..", "..bad", "b*d", "bad!&bad", &repeat("a", 254)],
    );
    check(
        c_identifier,
        &["a", "ab", "a1", "_a", "a_", "A_B_1", "_abc_123"],
        &["", "1", "1a", "a-b", "a.b", "#", "a b"],
    );
    check(env_var_name, &["my.env", "MY_ENV", "-a", ".a", "_a", "a1"], &["", "1a", "a b", "a=b", ".", "..", "..a"]);
    check(
        relaxed_env_var_name,
        &["-", ":", "_", "+a", ">a", "a.", "a..", "*a", "a:a", "~a", "a0a", "a ", "#a", "0 a", "'a", "(a", "@a"],
        &["", "=", "a=", "1=a", "a=b", "a\t", "é", "\u{7f}"],
    );
    check(path_segment_name, &["", "a", "system:node", "a b", "..."], &[".", "..", "a/b", "a%b"]);
    check(|v| port_number(v.parse().unwrap()), &["1", "65535"], &["0", "-1", "65536"]);
    check(|v| user_id(v.parse().unwrap()), &["0", "4294967295"], &["-1", "4294967296"]);
    check(|v| group_id(v.parse().unwrap()), &["0", "4294967295"], &["-1", "4294967296"]);
}

#[test]
fn object_names() {
    let check = |validator: NameValidator, name: &str, prefix, valid| {
        assert_eq!(validator(name, prefix).is_empty(), valid, "{name:?} {prefix}");
    };
    check(object_dns_subdomain, "web-", true, true);
    check(object_dns_subdomain, "web-", false, false);
    check(object_dns_subdomain, "-", true, false);
    check(object_dns_subdomain, "a-", true, true);
    check(object_dns_label, "a.b", false, false);
    check(object_dns1035_label, "1a", false, false);
    check(object_path_segment, "..", true, true);
    check(object_path_segment, "..", false, false);
    check(namespace_name, "kube-system", false, true);
    // Upstream masks two characters, so that a dash before the last one passes.
    check(object_dns_label, "a--", true, true);
}

#[track_caller]
fn check_messages(cases: &[(Messages, &[&str])]) {
    for (actual, expected) in cases {
        assert_eq!(actual, expected);
    }
}

#[test]
fn messages_of_dns_names_in_full() {
    check_messages(&[
        (
            dns1123_label("A"),
            &["a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                 start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                 validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"],
        ),
        (dns1123_label("a.b"), &["must not contain dots"]),
        (dns1123_label(&repeat("a", 64)), &["must be no more than 63 bytes"]),
        (
            dns1123_subdomain("A"),
            &[concat!(
                r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, ",
                r"'-' or '.', and must start and end with an alphanumeric character ",
                r"(e.g. 'example.com', regex used for validation is '",
                r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            )],
        ),
        (
            dns1035_label("1"),
            &["a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                 alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex \
                 used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"],
        ),
    ]);
}

#[test]
fn messages_of_labels_in_full() {
    check_messages(&[
        (
            label_key("a/-"),
            &["name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                 '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"],
        ),
        (
            label_key("a/b/c"),
            &["a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                 with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                 validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix \
                 and '/' (e.g. 'example.com/MyName')"],
        ),
        (
            label_key("/"),
            &[
                "prefix part must be non-empty",
                "name part must be non-empty",
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                 '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
        (
            label_value("-"),
            &["a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                 must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
                 regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"],
        ),
    ]);
}

#[test]
fn messages_of_the_rest_in_full() {
    check_messages(&[
        (config_map_key(".."), &["must not be '..'"]),
        (
            config_map_key("..a!"),
            &[
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                "must not start with '..'",
            ],
        ),
        (
            port_name("--"),
            &[
                "must contain at least one letter (a-z)",
                "must not contain consecutive hyphens",
                "must not begin or end with a hyphen",
            ],
        ),
        (
            percent("x"),
            &["a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                 regex used for validation is '[0-9]+%')"],
        ),
        (port_number(0), &["must be between 1 and 65535, inclusive"]),
        (relaxed_env_var_name(""), &["environment variable name must be non-empty"]),
        (
            relaxed_env_var_name("="),
            &["a valid environment variable name must consist only of printable ASCII characters other than '='"],
        ),
        (path_segment_name("."), &["may not be '.'"]),
        (path_segment_name("/%"), &["may not contain '/'", "may not contain '%'"]),
    ]);
}
