//! Upstream's own selectors, and the algebra of text and matching.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn canonical_text() {
    let check = |text: &str, expected: &str| {
        assert_eq!(Selector::parse(text).map(|s| s.to_string()), Ok(expected.to_owned()), "{text:?}");
    };
    for text in ["x=a,y=b,z=c", "", "x!=a,y=b", "x=", "!x", "x>1", "x>1,z<5", "x,y", "x==a", "x in (a,b)"] {
        check(text, text);
    }
    check("x= ", "x=");
    check("x= ,z= ", "x=,z=");
    check("x=a,a=x", "a=x,x=a");
    check("\rx", "x");
    check("a=b,c!=d,e in (y,x),f notin (z),g,!h,i>1,j<2", "a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1,j<2");
    check(
        "0.1.2.domain/99 notin (10.10.100.1, tick.tack.clock)",
        "0.1.2.domain/99 notin (10.10.100.1,tick.tack.clock)",
    );
    check("foo  in\t (abc)", "foo in (abc)");
    check("x notin\n (abc)", "x notin (abc)");
    check("x in (abc,)", "x in (,abc)");
    check("x in (,abc)", "x in (,abc)");
    check("x in (a,,b)", "x in (,a,b)");
    check("x in (a,a)", "x in (a)");
    check("x in ()", "x in ()");
    check("x in (,)", "x in ()");
    check("x notin (abc,def),bar,z in (),w", "bar,w,x notin (abc,def),z in ()");
    check("notin=in", "notin=in");
    check("in in (in,notin)", "in in (in,notin)");
    check("in,notin", "in,notin");
    check("x > 07", "x>07");
}

#[test]
fn refusals_in_upstreams_words() {
    let check = |text: &str, expected: &str| {
        let error = Selector::parse(text).map(|s| s.to_string()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text:?}");
    };
    check("x=a=b", "found '=', expected: ',' or 'end of string'");
    check("!x=a", "found '=', expected: ',' or 'end of string'");
    check("x==a==b", "found '==', expected: ',' or 'end of string'");
    check("x,,y", "found ',', expected: identifier after ','");
    check("a=b,", "found '', expected: identifier after ','");
    check(",a", "found ',', expected: !, identifier, or 'end of string'");
    check("=a", "found '=', expected: !, identifier, or 'end of string'");
    check("x a", "unable to parse requirement: found 'a', expected: in, notin, =, ==, !=, gt, lt");
    check("x (a)", "unable to parse requirement: found '(', expected: in, notin, =, ==, !=, gt, lt");
    check("x in a", "unable to parse requirement: found 'a' expected: '('");
    check("x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'");
    check("x in (a", "unable to parse requirement: found '', expected: ',' or ')'");
    check("x in (", "unable to parse requirement: found '', expected: ',', ')' or identifier");
    check("x in (a,=)", "unable to parse requirement: found '=', expected: ',', or identifier");
    check("x=(", "unable to parse requirement: found '(', expected: identifier");
    check("!", "unable to parse requirement: found '', expected: identifier");
    check("!=", "found '!=', expected: !, identifier, or 'end of string'");
    check(
        "x<a",
        "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an \
         integer",
    );
    check(
        "a/b/=x",
        "unable to parse requirement: <nil>: Invalid value: \"a/b/\": a valid label key must consist of alphanumeric \
         characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or \
         'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an \
         optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
    );
    check(
        "a=-",
        "unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label must be an empty string or \
         consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character \
         (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
         '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    );
    let long = "a".repeat(super::super::MAX_TEXT_BYTES + 1);
    check(&long, "selector must be no more than 1048576 bytes");
}

#[test]
fn matching_as_upstream() {
    let check = |selector: &str, pairs: &[(&str, &str)], expected: bool| {
        let selector = Selector::parse(selector).unwrap();
        assert_eq!(selector.matches(&labels(pairs)), expected, "{selector} {pairs:?}");
        assert_eq!(selector.matches(pairs), expected);
    };
    check("", &[("x", "y")], true);
    check("x=y", &[("x", "y")], true);
    check("x=y,z=w", &[("x", "y"), ("z", "w")], true);
    check("x!=y,z!=w", &[("x", "z"), ("z", "a")], true);
    check("notin=in", &[("notin", "in")], true);
    check("x", &[("x", "z")], true);
    check("!x", &[("y", "z")], true);
    check("x>1", &[("x", "2")], true);
    check("x<1", &[("x", "0")], true);
    check("x=z", &[], false);
    check("x=y", &[("x", "z")], false);
    check("x=y,z=w", &[("x", "w"), ("z", "w")], false);
    check("x!=y,z!=w", &[("x", "z"), ("z", "w")], false);
    check("x", &[("y", "z")], false);
    check("!x", &[("x", "z")], false);
    check("x>1", &[("x", "0")], false);
    check("x>1", &[("x", "v2")], false);
    check("x>1", &[], false);
    check("x<1", &[("x", "2")], false);
    check("x>9223372036854775806", &[("x", "9223372036854775807")], true);
    check("x>1", &[("x", "9223372036854775808")], false);
    check("x notin (a)", &[], true);
    check("x!=a", &[], true);
    check("x in (a,b)", &[("x", "b")], true);
    check("x in ()", &[("x", "")], true);
    check("x=", &[("x", "")], true);
    check("x=", &[], false);
    assert!(!Selector::Nothing.matches(&labels(&[])));
    assert!(Selector::everything().matches(&None::<BTreeMap<String, String>>));
}

#[test]
fn exact_matches_are_found() {
    let check = |selector: &str, expected: Option<&str>| {
        assert_eq!(Selector::parse(selector).unwrap().requires_exact_match("x"), expected, "{selector}");
    };
    check("x=a", Some("a"));
    check("x==a,y", Some("a"));
    check("x in (a)", Some("a"));
    check("x in (a,b)", None);
    check("x!=a", None);
    check("y=a", None);
    check("", None);
}

fn expression(key: &str, operator: &str, values: &[&str]) -> LabelSelectorRequirement {
    let values = (!values.is_empty()).then(|| values.iter().map(|v| (*v).to_owned()).collect());
    LabelSelectorRequirement { key: key.into(), operator: operator.into(), values }
}

#[test]
fn api_selectors() {
    let check = |pairs: &[(&str, &str)], expressions: Vec<LabelSelectorRequirement>, expected: Result<&str, &str>| {
        let selector = LabelSelector { match_labels: Some(labels(pairs)), match_expressions: Some(expressions) };
        let actual = from_api(Some(&selector)).map(|s| s.to_string());
        assert_eq!(actual.as_ref().map(String::as_str).map_err(String::as_str), expected);
    };
    check(&[("foo", "bar")], vec![], Ok("foo=bar"));
    check(&[], vec![], Ok(""));
    check(
        &[("foo", "bar")],
        vec![expression("baz", "In", &["qux", "norf"]), expression("a", "DoesNotExist", &[])],
        Ok("!a,baz in (norf,qux),foo=bar"),
    );
    check(&[], vec![expression("baz", "Near", &["x"])], Err("\"Near\" is not a valid label selector operator"));
    check(
        &[],
        vec![expression("baz", "In", &[])],
        Err("values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty"),
    );
    check(
        &[],
        vec![expression("baz", "Exists", &["a"])],
        Err("values: Invalid value: [\"a\"]: values set must be empty for exists and does not exist"),
    );
    assert_eq!(from_api(None), Ok(Selector::Nothing));
    assert_eq!(from_api(Some(&LabelSelector::default())), Ok(Selector::everything()));
}

#[test]
fn api_validation() {
    let selector = LabelSelector {
        match_labels: Some(labels(&[("a", "b")])),
        match_expressions: Some(vec![
            expression("a", "In", &[]),
            expression("a", "Exists", &["x"]),
            expression("a", "Near", &[]),
            expression("a", "NotIn", &["ok", "-"]),
            expression("", "Exists", &[]),
        ]),
    };
    let fields = |allow| {
        let errors = validate_api(Some(&selector), allow, &Path::new("spec").child("selector"));
        errors.iter().map(|e| e.to_string().chars().take(90).collect()).collect::<Vec<String>>()
    };
    let strict = fields(false);
    assert_eq!(
        strict[..3],
        [
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator",
            "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` ",
            "spec.selector.matchExpressions[2].operator: Invalid value: \"Near\": not a valid selector op",
        ]
    );
    assert!(strict[3].starts_with("spec.selector.matchExpressions[3].values[1]: Invalid value: \"-\""));
    assert!(
        strict[4].starts_with("spec.selector.matchExpressions[4].key: Invalid value: \"\": name part must be non-")
    );
    assert_eq!((strict.len(), fields(true).len()), (6, 5));
    assert!(validate_api(None, false, &Path::new("f")).is_empty());
}

/// Few keys and values, so that matches happen.
fn requirement() -> impl Strategy<Value = Requirement> {
    let key = prop_oneof![Just("a"), Just("b"), Just("in"), Just("x.io/notin")];
    let value = prop_oneof![Just(""), Just("in"), Just("v"), Just("w")].prop_map(str::to_owned);
    let integer = (-2i64..12).prop_filter("a label value does not start with a dash", |n| *n >= 0);
    let restriction = prop_oneof![
        (prop_oneof![Just(Operator::In), Just(Operator::NotIn)], prop::collection::btree_set(value.clone(), 1..4))
            .prop_map(|(operator, values)| (operator, values.into_iter().collect::<Vec<_>>())),
        (prop_oneof![Just(Operator::Equals), Just(Operator::DoubleEquals), Just(Operator::NotEquals)], value)
            .prop_map(|(operator, value)| (operator, vec![value])),
        prop_oneof![Just(Operator::Exists), Just(Operator::DoesNotExist)].prop_map(|operator| (operator, vec![])),
        (prop_oneof![Just(Operator::GreaterThan), Just(Operator::LessThan)], integer)
            .prop_map(|(operator, n)| (operator, vec![n.to_string()])),
    ];
    (key, restriction).prop_map(|(key, (operator, values))| {
        Requirement::new(key, operator, values, &Path::nil()).expect("the generator makes valid requirements")
    })
}

/// What the words say, without regard for speed.
fn naive(requirement: &Requirement, labels: &BTreeMap<String, String>) -> bool {
    let label = labels.get(requirement.key());
    let values = requirement.values();
    let numbers = || Some((label?.parse::<i64>().ok()?, values[0].parse::<i64>().ok()?));
    match requirement.operator() {
        Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some() && values.contains(label.unwrap()),
        Operator::NotIn | Operator::NotEquals => label.is_none() || !values.contains(label.unwrap()),
        Operator::Exists => label.is_some(),
        Operator::DoesNotExist => label.is_none(),
        Operator::GreaterThan => numbers().is_some_and(|(a, b)| a > b),
        Operator::LessThan => numbers().is_some_and(|(a, b)| a < b),
    }
}

proptest! {
    #[test]
    fn parsing_inverts_display(requirements in prop::collection::vec(requirement(), 0..6)) {
        let selector = Selector::new(requirements);
        prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    }

    #[test]
    fn matching_is_what_the_words_say(
        requirements in prop::collection::vec(requirement(), 0..4),
        labels in prop::collection::btree_map(
            prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("in".to_owned())],
            prop_oneof![Just(String::new()), Just("v".to_owned()), Just("7".to_owned()), Just("-1".to_owned())],
            0..3,
        ),
    ) {
        let expected = requirements.iter().all(|r| naive(r, &labels));
        prop_assert_eq!(Selector::new(requirements).matches(&labels), expected);
    }

    #[test]
    fn any_text_is_answered(text in "[a-c=!<>(), /.-]{0,24}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }
}
