//! What templates say, beside what kubectl says.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn object() -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"},
        "data": {"x": "1", "y": "abc", "z": "a<b & \"c\""},
        "n": 3, "big": 1_000_000, "f": 1.5, "none": null, "yes": true,
        "list": [{"k": 1}, {"k": 2, "v": "w"}, null], "empty": [],
    })
}

fn shown(template: &str) -> String {
    let template = match GoTemplate::parse(template) {
        Ok(template) => template,
        Err(why) => return format!("E: {why}"),
    };
    let mut text = String::new();
    match template.write(&object(), false, &mut text) {
        Ok(()) => text,
        Err(why) => format!("{text}!{why}"),
    }
}

/// Templates, and what Go's library makes of them.
#[test]
fn values_are_shown() {
    let cases = [
        ("{{.metadata.name}} {{.nope.bar}} {{.none}}|{{.yes}}", "a <no value> <no value>|true"),
        ("{{.data}} {{.list}}", "map[x:1 y:abc z:a<b & \"c\"] [map[k:1] map[k:2 v:w] <nil>]"),
        ("{{.n}} {{.big}} {{.f}}", "3 1000000 1.5"),
        ("a {{- \"b\" -}} c {{/* no */ -}} d", "abc d"),
        ("{{- 3 -}} x", "3x"),
        ("{{/* a */}}x{{.a}}}", "x<no value>}"),
        ("{{ .n\n}}", "3"),
        ("{{$.n}}{{$x := .data}}{{$x.x}}{{$x = 3}}{{$x}}", "313"),
        ("{{(.data).x}}{{(index .list 1).v}}", "1w"),
        ("{{1e5}} {{1e6}} {{1e21}} {{1.5e-5}} {{123456789.0}}", "100000 1e+06 1e+21 1.5e-05 1.23456789e+08"),
        ("{{0x10}} {{'a'}} {{-3}} {{1_000}} {{010}}", "16 97 -3 1000 8"),
        ("{{\"a\\n\\u00e9\\x41\"}}{{`a\\n`}}", "a\néAa\\n"),
        ("{{.data.x | print \"a\" | len}}", "2"),
        ("{{.a | }}", "<no value>"),
    ];
    cases.iter().for_each(|(template, expected)| assert_eq!(shown(template), *expected, "{template}"));
}

#[test]
fn blocks_are_followed() {
    let cases = [
        ("{{range $k, $v := .data}}{{$k}}={{$v}};{{end}}", "x=1;y=abc;z=a<b & \"c\";"),
        ("{{range $i, $e := .list}}{{$i}}{{if $e}}{{$e.k}}{{else}}-{{end}}{{end}}", "01122-"),
        ("{{range .empty}}a{{else}}b{{end}}{{range .nope}}a{{else}}b{{end}}", "bb"),
        ("{{range 3}}{{.}}{{end}}{{range $i := .n}}{{$i}}{{end}}", "012012"),
        ("{{range $i, $e := .data}}{{if eq $i \"y\"}}{{continue}}{{end}}{{$i}}{{end}}", "xz"),
        ("{{range .list}}{{.k}}{{break}}{{end}}", "1"),
        ("{{range $k := .metadata}}{{$k}}{{end}}", "a"),
        ("{{$x := 1}}{{range .list}}{{$x = 5}}{{end}}{{$x}}", "5"),
        ("{{if .nope}}{{else if .data}}b{{end}}{{if and .n .f}}c{{end}}{{if not .empty}}d{{end}}", "bcd"),
        ("{{with .nope}}a{{else with .data}}{{.x}}{{else}}c{{end}}{{with $x := 3}}{{$x}}{{end}}", "13"),
        ("{{define \"t\"}}[{{.}}{{$}}]{{end}}{{template \"t\" .n}}{{template \"t\"}}", "[33][<no value><no value>]"),
        ("{{block \"a\" .n}}x{{.}}{{end}}{{template \"a\" .f}}", "x3x1.5"),
    ];
    cases.iter().for_each(|(template, expected)| assert_eq!(shown(template), *expected, "{template}"));
}

#[test]
fn functions_are_gos() {
    let cases = [
        ("{{eq .nope .nope2}} {{eq nil .nope}} {{eq .data.x nil \"1\"}} {{eq .n 3}}", "true true true true"),
        ("{{ge 2 1}}{{gt 2 2}}{{le \"a\" \"b\"}}{{ne 1 1}}{{lt 1.5 2.5}}", "truefalsetruefalsetrue"),
        ("{{and 1 0}} {{or 0 \"\"}}|{{or 1 (index .nope 1)}}{{and .data \"y\" 3}}", "0 |13"),
        ("{{true | not | printf \"%v\"}}", "false"),
        ("{{len \"héé\"}}{{len .data}}{{len .list}}", "533"),
        (
            "{{index .data \"x\" 0}} {{index \"abc\" 1}} {{(index .list 0).k}} {{index .data \"no\"}}",
            "49 98 1 <no value>",
        ),
        ("{{slice .data.y 1 2}} {{slice .list 1 1}} {{slice .data.y}}", "b [] abc"),
        (
            "{{exists .data \"x\"}} {{exists .data \"no\"}} {{exists .data \"x\" 0}} {{exists .list 2}}",
            "true false true false",
        ),
        ("{{base64decode \"aGk=\"}}", "hi"),
        (
            "{{html .data.z}} {{js .data.z}} {{urlquery .data.z}}",
            "a&lt;b &amp; &#34;c&#34; a\\u003Cb \\u0026 \\\"c\\\" a%3Cb+%26+%22c%22",
        ),
        ("{{html .nope 1}} {{js \"\\u00e9\\u2028\\x01=\"}}", "&lt;no value&gt;1 é\\u2028\\u0001\\u003D"),
        ("{{print .nope 1 2 \"a\" \"b\" 3}} {{println 1 \"a\"}}{{print nil 1}}", "<nil> 1 2ab3 1 a\n<nil> 1"),
        (
            "{{printf \"%d %s %v %q %t %z %!\" .data.x 3 .data.x \"a\" true 1}}",
            "%!d(string=1) %!s(int=3) 1 \"a\" true %!z(int=1) %!!(MISSING)",
        ),
        (
            "{{printf \"%d\" 1 2 \"x\"}}{{printf \"%d\"}}{{printf \"%\"}}",
            "1%!(EXTRA int=2, string=x)%!d(MISSING)%!(NOVERB)",
        ),
        (
            "{{printf \"%5d|%-5d|%05d|%x|%X|%q|%c|%U\" 1 2 3 255 \"hi\" \"a\\\"b\" 97 97}}",
            "    1|2    |00003|ff|6869|\"a\\\"b\"|a|U+0061",
        ),
        (
            "{{printf \"%e|%.2f|%6.2f|%g|%T|%T|%T\" 1.5 1.5 1.5 1e21 1 .n .data}}",
            "1.500000e+00|1.50|  1.50|1e+21|int|int64|map[string]interface {}",
        ),
        (
            "{{printf \"%s|%t|%o|%b|%v|%+d|% d\" .nope \"x\" 8 5 nil 5 5}}",
            "%!s(<nil>)|%!t(string=x)|10|101|<nil>|+5| 5",
        ),
        (
            "{{printf \"%g %g %.3g %.3g %8.3f %08.3f\" 1e20 123456789.0 1234.5 0.5 2.5 3.14159}}",
            "1e+20 1.23456789e+08 1.23e+03 0.5    2.500 0003.142",
        ),
        (
            "{{printf \"%10s|%-10s|%.2s|%q %q|%*d|%[2]d %[1]d\" \"ab\" \"ab\" \"abc\" 97 \"é☃\\n\" 5 1 2}}",
            "        ab|ab        |ab|'a' \"é☃\\n\"|    1|%!d(string=ab) %!d(string=ab)",
        ),
        (
            "{{printf \"%s %d\" .metadata .list}}",
            "map[name:a] [map[%!d(string=k):1] map[%!d(string=k):2 %!d(string=v):%!d(string=w)] %!d(<nil>)]",
        ),
    ];
    cases.iter().for_each(|(template, expected)| assert_eq!(shown(template), *expected, "{template}"));
}

/// What is said while a template is read.
#[test]
fn what_makes_no_sense_is_refused() {
    let cases = [
        ("{{", "1: unclosed action"),
        ("{{}}", "1: missing value for command"),
        ("{{.a}", "1: bad character U+007D '}'"),
        ("{{\"a}}", "1: unterminated quoted string"),
        ("{{`a}}", "1: unterminated raw quoted string"),
        ("{{'a}}", "1: unterminated character constant"),
        ("{{/* a", "1: unclosed comment"),
        ("{{/* a */ }}", "1: comment ends before closing delimiter"),
        ("{{(.a}}", "1: unclosed left paren"),
        ("{{.a)}}", "1: unexpected right paren"),
        ("{{end}}", "1: unexpected {{end}}"),
        ("{{else}}", "1: unexpected {{else}}"),
        ("{{if}}", "1: missing value for if"),
        ("{{if .a}}", "1: unexpected EOF"),
        ("{{range .a}}{{else if .b}}{{end}}", "1: unexpected <if> in input"),
        ("{{if .a}}{{else}}{{else}}{{end}}", "1: expected end; found {{else}}"),
        ("{{break}}", "1: {{break}} outside {{range}}"),
        ("{{range .a}}{{break 1}}{{end}}", "1: unexpected \"1\" in {{break}}"),
        ("{{$x}}", "1: undefined variable \"$x\""),
        ("{{| .a}}", "1: unexpected \"|\" in command"),
        ("{{.a |1}}", "1: non executable command in pipeline stage 2"),
        ("{{1a}}", "1: bad number syntax: \"1a\""),
        ("{{.a$}}", "1: bad character U+0024 '$'"),
        ("{{nope}}", "1: function \"nope\" not defined"),
        ("{{\"a\".b}}", "1: unexpected . after term \"\\\"a\\\"\""),
        ("{{template}}", "1: unexpected \"}}\" in template clause"),
        ("{{define}}", "1: unexpected \"}}\" in define clause"),
        ("{{define \"a\"}}x{{end}}{{define \"a\"}}y{{end}}", "1: template: multiple definition of template \"a\""),
        ("{{if .a}}{{define \"a\"}}{{end}}{{end}}", "1: unexpected <define> in command"),
        ("{{range $a, $b, $c := .x}}{{end}}", "1: too many declarations in range"),
        ("{{range $a,}}{{end}}", "1: missing value for range"),
        ("{{$a, $b := .x}}", "1: too many declarations in command"),
        ("{{.a, .b}}", "1: unexpected \",\" in operand"),
        ("{{\"a\\z\"}}", "1: invalid syntax"),
        ("{{'ab'}}", "1: malformed character constant: 'ab'"),
        ("{{☃}}", "1: unrecognized character in action: U+2603 '☃'"),
        ("{{-}}", "1: illegal number syntax: \"-\""),
        ("{{0x}}", "1: illegal number syntax: \"0x\""),
        ("{{08}}", "1: integer overflow: \"08\""),
        ("{{end 1}}", "1: unexpected \"1\" in end"),
        ("x\n{{.a\n.b\n", "4: unclosed action started at output:2"),
        ("{{if .a}}{{end", "1: unclosed action"),
    ];
    for (template, expected) in cases {
        assert_eq!(shown(template), format!("E: template: output:{expected}"), "{template}");
    }
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(DEEPEST + 1), ")".repeat(DEEPEST + 1));
    assert!(shown(&deep).ends_with("max expression depth exceeded"));
}

/// What is said while a template is executed.
const MISTAKES: [(&str, &str); 32] = [
    (
        "{{.data.x}} {{.nope.bar}} {{.data.x.b}}",
        "1 <no value> !1:33: executing \"output\" at <.data.x.b>: can't evaluate field b in type interface {}",
    ),
    ("{{$x := .data.x}}{{$x.b}}", "!1:21: executing \"output\" at <$x.b>: can't evaluate field b in type string"),
    ("{{(.data.x).b}}", "!1:8: executing \"output\" at <.data.x>: can't evaluate field b in type string"),
    ("{{.none.b}}", "!1:7: executing \"output\" at <.none.b>: nil pointer evaluating interface {}.b"),
    (
        "{{index .data \"nope\" \"x\"}}",
        "!1:2: executing \"output\" at <index .data \"nope\" \"x\">: error calling index: index of nil pointer",
    ),
    ("{{index .nope}}", "!1:2: executing \"output\" at <index .nope>: error calling index: index of untyped nil"),
    (
        "{{index .data 1}}",
        "!1:2: executing \"output\" at <index .data 1>: error calling index: value has type int; should be string",
    ),
    (
        "{{index \"abc\" 3}}",
        "!1:2: executing \"output\" at <index \"abc\" 3>: error calling index: reflect: string index out of range",
    ),
    ("{{index .list 9}}", "!1:2: executing \"output\" at <index .list 9>: error calling index: index out of range: 9"),
    (
        "{{slice .data.y 2 1}}",
        "!1:2: executing \"output\" at <slice .data.y 2 1>: error calling slice: invalid slice index: 2 > 1",
    ),
    (
        "{{len .nope}}",
        "!1:2: executing \"output\" at <len .nope>: error calling len: reflect: call of reflect.Value.Type on zero Value",
    ),
    ("{{len 3}}", "!1:2: executing \"output\" at <len 3>: error calling len: len of type int"),
    (
        "{{call .data}}",
        "!1:2: executing \"output\" at <call .data>: error calling call: non-function .data of type map[string]interface {}",
    ),
    ("{{call nil}}", "!1:2: executing \"output\" at <call nil>: error calling call: call of nil"),
    (
        "{{eq .data.x 1}}",
        "!1:2: executing \"output\" at <eq .data.x 1>: error calling eq: incompatible types for comparison: string and int",
    ),
    ("{{eq .n}}", "!1:2: executing \"output\" at <eq .n>: error calling eq: missing argument for comparison"),
    ("{{lt .n}}", "!1:2: executing \"output\" at <lt>: wrong number of args for lt: want 2 got 1"),
    (
        "{{lt true false}}",
        "!1:2: executing \"output\" at <lt true false>: error calling lt: invalid type for comparison",
    ),
    ("{{and}}", "!1:2: executing \"output\" at <and>: wrong number of args for and: want at least 1 got 0"),
    (
        "{{printf .data}}",
        "!1:9: executing \"output\" at <.data>: wrong type for value; expected string; got map[string]interface {}",
    ),
    ("{{printf 3}}", "!1:9: executing \"output\" at <3>: expected string; found 3"),
    (
        "{{base64decode .data.y}}",
        "!1:2: executing \"output\" at <base64decode .data.y>: error calling base64decode: base64 decode failed: illegal base64 data at input byte 0",
    ),
    ("{{base64decode .nope}}", "!1:15: executing \"output\" at <.nope>: invalid value; expected string"),
    ("{{base64decode nil}}", "!1:15: executing \"output\" at <nil>: cannot assign nil to string"),
    ("{{nil}}", "!1:2: executing \"output\" at <nil>: nil is not a command"),
    ("{{1 2}}", "!1:2: executing \"output\" at <1>: can't give argument to non-function 1"),
    ("{{.data.x 1}}", "!1:7: executing \"output\" at <.data.x>: x is not a method but has arguments"),
    ("{{range .data.x}}{{end}}", "!1:13: executing \"output\" at <.data.x>: range can't iterate over 1"),
    (
        "{{18446744073709551615}}",
        "!1:2: executing \"output\" at <18446744073709551615>: 18446744073709551615 overflows int",
    ),
    ("{{$x = 1}}", "!1:7: executing \"output\" at <1>: undefined variable: $x"),
    ("{{template \"x\"}}", "!1:11: executing \"output\" at <{{template \"x\"}}>: template \"x\" not defined"),
    (
        "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
        "!1:25: executing \"x\" at <{{template \"x\"}}>: exceeded maximum template depth (200)",
    ),
];

#[test]
fn mistakes_are_told_with_their_place() {
    for (template, expected) in MISTAKES {
        let expected = expected.replacen('!', "!template: output:", 1);
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn a_mistake_is_shown_with_what_helps_to_find_it() {
    let template = GoTemplate::parse("{{.a}}\"{{.a.b}}").unwrap();
    let mut text = String::new();
    let why = template.show(&json!({"a": "<1>"}), false, &mut text).unwrap_err();
    let at = "template: output:1:11: executing \"output\" at <.a.b>: can't evaluate field b in type interface {}";
    assert_eq!(why, format!("error executing template \"{{{{.a}}}}\\\"{{{{.a.b}}}}\": {at}"));
    let expected = format!(
        "<1>\"Error executing template: {at}. Printing more information for debugging the template:\n\ttemplate \
         was:\n\t\t{{{{.a}}}}\"{{{{.a.b}}}}\n\traw data was:\n\t\t{{\"a\":\"\\u003c1\\u003e\"}}\n\tobject given to template \
         engine was:\n\t\tmap[a:<1>]\n\n"
    );
    assert_eq!(text, expected);
    let strict = template.write(&json!({}), true, &mut text).unwrap_err();
    assert_eq!(strict, "template: output:1:2: executing \"output\" at <.a>: map has no entry for key \"a\"");
}

/// Pieces of templates, so that random ones get far.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        ".",
        ".a",
        ".list",
        ".data",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        "if",
        "else",
        "end",
        "range",
        "with",
        "define",
        "template",
        "block",
        "break",
        "continue",
        "nil",
        "true",
        "\"t\"",
        "`a`",
        "'c'",
        "1",
        "-1",
        "1.5",
        "08",
        "printf",
        "\"%[2]*.9d%v%q\"",
        "index",
        "slice",
        "len",
        "eq",
        "lt",
        "and",
        "print",
        "html",
        "js",
        "call",
        "exists",
        "base64decode",
        "\n",
        "é",
        "\\",
        "{{end}}",
        "{{range .list}}",
        "{{if .data}}",
        "/*",
        "*/",
    ];
    prop_oneof![proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), "\\PC{0,3}"]
}

proptest! {
    /// No template is too strange to be refused or executed.
    #[test]
    fn nothing_panics(pieces in proptest::collection::vec(piece(), 0..24)) {
        let _ = shown(&pieces.concat());
        let _ = shown(&format!("{{{{{}}}}}", pieces.join(" ")));
    }

    /// Nor is any format.
    #[test]
    fn no_format_panics(format in "[%+# 0-9.*\\[\\]vdsqxXcUegfoOtTbz]{0,12}", text in "\\PC{0,4}", number: i64, float: f64) {
        let values = [value::Val::Text(text.into()), value::Val::Long(number), value::Val::Float(float), value::Val::Null];
        let _ = printf::format(&format, &values);
    }
}
