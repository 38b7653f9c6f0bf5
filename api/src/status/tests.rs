//! Bodies as upstream writes them, and what is made of the bodies of others.

use super::*;
use crate::field::{Error, Path};

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

fn deployments() -> GroupResource {
    GroupResource::new("apps", "deployments")
}

#[track_caller]
fn check(status: &Status, expected: &str) {
    assert_eq!(serde_json::to_string(status).unwrap(), expected);
    let back: Status = serde_json::from_str(expected).unwrap();
    assert_eq!(&back, status);
}

const HEAD: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#;

#[track_caller]
fn check_all(cases: &[(Status, &str)]) {
    for (status, expected) in cases {
        check(status, &format!("{HEAD}{expected}"));
    }
}

#[test]
fn failures_over_an_object() {
    check_all(&[
        (
            Status::not_found(&pods(), "x"),
            r#""message":"pods \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404}"#,
        ),
        (
            Status::not_found(&deployments(), "x"),
            concat!(
                r#""message":"deployments.apps \"x\" not found","reason":"NotFound","#,
                r#""details":{"name":"x","group":"apps","kind":"deployments"},"code":404}"#,
            ),
        ),
        (
            Status::already_exists(&pods(), "x"),
            concat!(
                r#""message":"pods \"x\" already exists","reason":"AlreadyExists","#,
                r#""details":{"name":"x","kind":"pods"},"code":409}"#,
            ),
        ),
        (
            Status::generate_name_conflict(&pods(), "x", 1),
            concat!(
                r#""message":"pods \"x\" already exists, the server was not able to generate a unique "#,
                r#"name for the object","reason":"AlreadyExists","details":{"name":"x","kind":"pods","#,
                r#""retryAfterSeconds":1},"code":409}"#,
            ),
        ),
        (Status::unauthorized(""), r#""message":"not authorized","reason":"Unauthorized","code":401}"#),
        (Status::unauthorized("Unauthorized"), r#""message":"Unauthorized","reason":"Unauthorized","code":401}"#),
        (
            Status::forbidden(&pods(), "x", "no"),
            concat!(
                r#""message":"pods \"x\" is forbidden: no","reason":"Forbidden","details":{"name":"x","#,
                r#""kind":"pods"},"code":403}"#,
            ),
        ),
        (
            Status::forbidden(&pods(), "", "no"),
            r#""message":"pods is forbidden: no","reason":"Forbidden","details":{"kind":"pods"},"code":403}"#,
        ),
        (
            Status::forbidden(&GroupResource::default(), "", "no"),
            r#""message":"forbidden: no","reason":"Forbidden","details":{},"code":403}"#,
        ),
        (
            Status::conflict(&pods(), "x", "changed"),
            concat!(
                r#""message":"Operation cannot be fulfilled on pods \"x\": changed","#,
                r#""reason":"Conflict","details":{"name":"x","kind":"pods"},"code":409}"#,
            ),
        ),
    ]);
}

#[test]
fn failures_of_a_request() {
    check_all(&[
        (Status::gone("bye"), r#""message":"bye","reason":"Gone","code":410}"#),
        (Status::resource_expired("old"), r#""message":"old","reason":"Expired","code":410}"#),
        (Status::bad_request("bad"), r#""message":"bad","reason":"BadRequest","code":400}"#),
        (
            Status::too_many_requests("slow", 10),
            r#""message":"slow","reason":"TooManyRequests","details":{"retryAfterSeconds":10},"code":429}"#,
        ),
        (Status::service_unavailable("down"), r#""message":"down","reason":"ServiceUnavailable","code":503}"#),
        (
            Status::method_not_supported(&deployments(), "create"),
            concat!(
                r#""message":"create is not supported on resources of kind \"deployments.apps\"","#,
                r#""reason":"MethodNotAllowed","details":{"group":"apps","kind":"deployments"},"#,
                r#""code":405}"#,
            ),
        ),
        (
            Status::server_timeout(&pods(), "list", 1),
            concat!(
                r#""message":"The list operation against pods could not be completed at this time, "#,
                r#"please try again.","reason":"ServerTimeout","details":{"name":"list","kind":"pods","#,
                r#""retryAfterSeconds":1},"code":500}"#,
            ),
        ),
        (
            Status::internal_error("boom"),
            concat!(
                r#""message":"Internal error occurred: boom","reason":"InternalError","#,
                r#""details":{"causes":[{"message":"boom"}]},"code":500}"#,
            ),
        ),
        (Status::timeout("late", 0), r#""message":"Timeout: late","reason":"Timeout","details":{},"code":504}"#),
        (
            Status::request_entity_too_large("limit is 3145728"),
            r#""message":"Request entity too large: limit is 3145728","reason":"RequestEntityTooLarge","code":413}"#,
        ),
        (
            Status::not_acceptable(&["application/json", "application/yaml"]),
            concat!(
                r#""message":"only the following media types are accepted: application/json, "#,
                r#"application/yaml","reason":"NotAcceptable","code":406}"#,
            ),
        ),
        (
            Status::unsupported_media_type(&["application/json"]),
            concat!(
                r#""message":"the body of the request was in an unknown format - accepted media types "#,
                r#"include: application/json","reason":"UnsupportedMediaType","code":415}"#,
            ),
        ),
    ]);
}

#[test]
fn invalid_lists_causes() {
    let name = Path::new("metadata").child("name");
    let mut errors = ErrorList::from(Error::required(&name, "name or generateName is required"));
    let kind = GroupKind::new("apps", "Deployment");
    check(
        &Status::invalid(&kind, "", &errors),
        &format!(
            "{HEAD}{}",
            concat!(
                r#""message":"Deployment.apps \"\" is invalid: metadata.name: Required value: name or "#,
                r#"generateName is required","reason":"Invalid","details":{"group":"apps","kind":"Deployment","#,
                r#""causes":["#,
                r#"{"reason":"FieldValueRequired","message":"Required value: name or generateName is required","#,
                r#""field":"metadata.name"}]},"code":422}"#,
            )
        ),
    );
    errors.push(Error::invalid(&Path::new("spec"), 1, "no"));
    assert_eq!(
        Status::invalid(&GroupKind::new("", "Pod"), "p", &errors).message,
        "Pod \"p\" is invalid: [metadata.name: Required value: name or generateName is required, spec: Invalid value: \
         1: no]"
    );
    assert_eq!(Status::invalid(&kind, "d", &ErrorList::new()).message, "Deployment.apps \"d\" is invalid");
}

#[test]
fn success_and_apply_conflict() {
    let details = StatusDetails { name: "x".into(), kind: "pods".into(), uid: "u".into(), ..Default::default() };
    check(
        &Status::success(Some(details)),
        concat!(
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","#,
            r#""details":{"name":"x","kind":"pods","uid":"u"},"code":200}"#,
        ),
    );
    let cause = StatusCause {
        reason: CAUSE_FIELD_MANAGER_CONFLICT.into(),
        message: "conflict with \"kubectl\"".into(),
        field: ".spec.replicas".into(),
    };
    let status = Status::apply_conflict(vec![cause.clone()], "Apply failed with 1 conflict");
    assert_eq!((status.code, status.cause(CAUSE_FIELD_MANAGER_CONFLICT)), (409, Some(&cause)));
}

#[test]
fn generic_responses() {
    let check = |code, verb, resource: GroupResource, name, message, expected: (Reason, &str)| {
        let response = GenericResponse { code, verb, resource, name, message, ..Default::default() };
        let status = Status::generic_server_response(&response);
        assert_eq!((status.reason, status.message.as_str(), status.code), (expected.0, expected.1, code));
    };
    let none = GroupResource::default;
    check(404, "GET", none(), "", "", (Reason::NotFound, "the server could not find the requested resource"));
    check(409, "POST", none(), "", "", (Reason::AlreadyExists, "the server reported a conflict"));
    check(409, "PUT", pods(), "x", "", (Reason::Conflict, "the server reported a conflict (put pods x)"));
    check(403, "GET", deployments(), "", "no", (Reason::Forbidden, "no (get deployments.apps)"));
    check(
        500,
        "GET",
        none(),
        "",
        "a\"b",
        (Reason::InternalError, "an error on the server (\"a\\\"b\") has prevented the request from succeeding"),
    );
    check(
        418,
        "GET",
        none(),
        "",
        "",
        (Reason::Unknown, "the server responded with the status code 418 but did not return more information"),
    );
    let response = GenericResponse { code: 502, message: "proxy", unexpected: true, ..Default::default() };
    let status = Status::generic_server_response(&response);
    assert_eq!(status.cause(CAUSE_UNEXPECTED_SERVER_RESPONSE).map(|c| c.message.as_str()), Some("proxy"));
}

#[test]
fn predicates() {
    let bare = |code, reason: &str| Status { code, reason: reason.into(), ..Status::empty() };
    assert!(Status::not_found(&pods(), "x").is(&Reason::NotFound));
    assert!(bare(404, "").is(&Reason::NotFound));
    assert!(bare(404, "Odd").is(&Reason::NotFound));
    assert!(!bare(404, "Gone").is(&Reason::NotFound));
    assert!(!bare(409, "").is(&Reason::AlreadyExists));
    assert!(bare(409, "").is(&Reason::Conflict));
    assert!(bare(429, "Conflict").is(&Reason::TooManyRequests));
    assert!(!bare(410, "").is(&Reason::Expired));
    assert_eq!(Status::server_timeout(&pods(), "get", 0).suggests_client_delay(), Some(0));
    assert_eq!(Status::too_many_requests("", 3).suggests_client_delay(), Some(3));
    assert_eq!(Status::gone("").suggests_client_delay(), None);
}

#[test]
fn reads_what_other_servers_send() {
    let check = |text: &str, expected: Option<(Outcome, &str, u16)>| {
        let status: Option<Status> = serde_json::from_str(text).ok();
        assert_eq!(status.as_ref().map(|s| (s.status, s.reason.as_str(), s.code)), expected, "{text}");
    };
    check(r#"{"kind":"Status","apiVersion":"meta.k8s.io/v1","code":404}"#, Some((Outcome::Unset, "", 404)));
    check(
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Newer","x":1}"#,
        Some((Outcome::Failure, "Newer", 0)),
    );
    check(r#"{"kind":"Status","apiVersion":"v1","status":"Odd"}"#, Some((Outcome::Unset, "", 0)));
    check(r#"{"kind":"Pod","apiVersion":"v1"}"#, None);
    check(r#"{"kind":"Status","apiVersion":"v2"}"#, None);
}

#[test]
fn is_small_enough_for_a_result() {
    assert!(size_of::<Status>() <= 96, "{}", size_of::<Status>());
}
