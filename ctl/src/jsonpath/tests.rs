//! Templates and what they say, by the examples of kubectl's documentation and by its own peculiarities.

use serde_json::json;

use super::*;

fn object() -> Value {
    json!({
        "kind": "List",
        "items": [
            {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "a"}},
             "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
            {"kind": "None", "metadata": {"name": "127.0.0.2", "deletionTimestamp": null},
             "status": {"capacity": {"cpu": "8"}, "addresses": [
                {"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}},
        ],
        "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin", "password": "secret", "age": 7}}],
    })
}

#[test]
fn templates_say_what_kubectls_say() {
    let check = |template: &str, expected: &str| {
        let shown = Template::parse(template).unwrap_or_else(|error| panic!("{template}: {error}")).text(&object());
        assert_eq!(shown, expected, "{template}");
    };
    check("kind is {.kind}", "kind is List");
    check("{.kind}", "List");
    check("{['kind']}", "List");
    check("{..name}", "127.0.0.1 127.0.0.2 myself e2e");
    check("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2");
    check("{.users[0].name}", "myself");
    check("{.users[-1].name}", "e2e");
    check("{.users[0:1].name}", "myself");
    check("{.users[-1:].name}", "e2e");
    check("{.users[::2].name}", "myself");
    check("{.items[*]['metadata.name', 'kind']}", "None None");
    check("{.items[*]['kind','status']['capacity']}", "{\"cpu\":\"4\"} {\"cpu\":\"8\"}");
    check("{.users[?(@.name==\"e2e\")].user.password}", "secret");
    check("{.users[?(@.user.age > 6)].name}", "e2e");
    check("{.users[?(@.user.age != 7)].name}", "");
    check("{.users[?(@.user.username)].name}", "e2e");
    check("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "a");
    check("{.items[?(@.metadata.labels['kubernetes\\.io/hostname']=='a')].metadata.name}", "127.0.0.1");
    check(
        "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
        "[127.0.0.1, {\"cpu\":\"4\"}] [127.0.0.2, {\"cpu\":\"8\"}] ",
    );
    check("{range .items[*]}{.metadata.name}{\"\\t\"}{.kind}{\"\\n\"}{end}", "127.0.0.1\tNone\n127.0.0.2\tNone\n");
    check("{range .items[*]}{range .status.addresses[*]}{.address},{end};{end}", "127.0.0.1,;127.0.0.2,127.0.0.3,;");
    check("{.users[*].name}{'!'}", "myself e2e!");
    check("{$.kind} {@.kind}", "List List");
    check("{.nothing.at[0].all}", "");
    check("{.users[1].user.age}", "7");
    check("", "");
}

#[test]
fn paths_can_be_written_shortly() {
    for text in ["{.users[0].name}", ".users[0].name", "users[0].name"] {
        assert_eq!(Path::parse(text).unwrap().find(&object()), [&json!("myself")], "{text}");
    }
    assert!(Path::parse("{.a").unwrap_err().contains("expected a '}'"));
}

#[test]
fn mistakes_are_named() {
    let check = |template: &str, expected: &str| {
        let error = Template::parse(template).unwrap_err();
        assert!(error.contains(expected), "{template}: {error}");
    };
    check("{.a", "unclosed action");
    check("{range .a}{.b}", "unclosed range");
    check("{end}", "not in range");
    check("{.a[}", "unterminated array");
    check("{.a[x]}", "invalid array index");
    check("{.a[0}", "unterminated array");
    check("{.a[?(@.b==\"c\"]}", "unclosed filter");
    check("{\"a}", "unclosed action");
    check("{.a[?(@.b==c)]}", "is no value");
}
