//! The events of requests that a pipeline answers in all the ways there are.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Response;
use http::request::Parts;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::log::{lost, stuck};
use super::*;
use crate::authn::Authenticators;
use crate::authz::Masters;
use crate::health::Health;
use crate::serve::{Handler, Pipeline, RequestBody, ResponseBody, read_body, status_response, text_response};

/// Answers by the last part of the path.
struct Script;

impl Handler for Script {
    fn handle(self: Arc<Self>, request: Request<RequestBody>) -> BoxFuture<'static, Response<ResponseBody>> {
        async move {
            let (parts, body) = request.into_parts();
            let mut response = match parts.uri.path().rsplit('/').next().unwrap_or_default() {
                "panic" => panic!("as it is told to"),
                "forever" => futures::future::pending().await,
                "gone" | "portforward" => status_response(&api::status::Status::bad_request("there is no such thing")),
                "log" => {
                    let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"event\n")))]);
                    Response::new(StreamBody::new(first).boxed_unsync())
                }
                "large" => text_response(StatusCode::OK, format!("{{\"data\": \"{}\"}}", "x".repeat(4 << 20))),
                "done" => {
                    let mut status = api::status::Status::success(None);
                    status.code = 200;
                    status_response(&status)
                }
                "echo" => {
                    let mut response = text_response(StatusCode::OK, read_body(body, 1 << 30).await.unwrap());
                    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
                    response
                }
                _ => text_response(StatusCode::OK, "{}"),
            };
            let noted = [("example.com/noted", "yes"), ("authorization.k8s.io/decision", "no")];
            let noted = noted.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            response.extensions_mut().insert(Annotations(noted));
            response
        }
        .boxed()
    }

    fn is_long_running(&self, parts: &Parts) -> bool {
        parts.uri.query().is_some_and(|query| query.contains("watch"))
    }
}

/// A pipeline with a log.
struct Stage {
    pipeline: Arc<Pipeline>,
    figures: Figures,
    log: PathBuf,
    directory: tempfile::TempDir,
}

impl Stage {
    fn new(rules: &str, options: impl FnOnce(&Path) -> LogOptions) -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.yaml");
        let mut policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n".to_owned();
        rules.split('\n').for_each(|rule| writeln!(policy, "- {{{rule}}}").unwrap());
        std::fs::write(&file, policy).unwrap();
        let options = options(directory.path());
        let log = options.path.clone();
        let audit = Audit::open(&Options { policy_file: Some(file), log: Some(options) }).unwrap().unwrap();
        let figures = audit.figures().clone();
        let pipeline = Pipeline::new(
            Arc::new(Script),
            Authenticators::new(None),
            Arc::new(Masters),
            Health::new(),
            Metrics::new(),
            Limits::default(),
            (system_clock(), system_random()),
        );
        Stage { pipeline: Arc::new(pipeline.with_audit(Some(audit))), figures, log, directory }
    }

    fn file(rules: &str, mode: Mode) -> Stage {
        let path = |directory: &Path| directory.join("audit.log");
        Stage::new(rules, |directory| LogOptions { path: path(directory), mode, ..LogOptions::default() })
    }

    fn begin(&self, who: &str, method: &str, path: &str, body: &str) -> BoxFuture<'static, Response<ResponseBody>> {
        let (mut local, pipeline) = (None, Arc::clone(&self.pipeline));
        if who.is_empty() {
            local = Some(Local::of_nobody(Arc::clone(&pipeline)));
        }
        let groups = if who == "root" { vec![MASTERS.to_owned()] } else { Vec::new() };
        let identity = Identity { user: who.to_owned(), groups, ..Identity::default() };
        let mut local = local.unwrap_or_else(|| Local::new(pipeline, identity, CancellationToken::new()));
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        async move { local.call(request).await.unwrap() }.boxed()
    }

    async fn ask(&self, who: &str, method: &str, path: &str, body: &str) -> u16 {
        let answer = self.begin(who, method, path, body).await;
        let code = answer.status().as_u16();
        let _ = answer.into_body().collect().await;
        code
    }

    /// What has been written.
    fn events(self) -> Vec<Value> {
        let Stage { pipeline, log, directory, .. } = self;
        // The last who can write ends, and with that everything is written.
        drop(pipeline);
        let events = read(&log);
        drop(directory);
        events
    }
}

fn read(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const PODS: &str = "/api/v1/namespaces/a/pods";
const ALL: &str = "level: Metadata";

#[tokio::test]
async fn each_stage_leaves_an_event() {
    let check = async |who: &str, method: &str, path: &str, expected: &[(&str, Value)]| {
        let stage = Stage::file(ALL, Mode::Batch);
        stage.ask(who, method, path, "").await;
        let events = stage.events();
        let found = events.iter().map(|event| (event["stage"].as_str().unwrap(), event["responseStatus"].clone()));
        let found: Vec<(&str, Value)> = found.collect();
        assert_eq!(found, expected, "{who} {method} {path}");
        let (first, last) = (&events[0], &events[events.len() - 1]);
        if first["stage"] == "RequestReceived" {
            assert_eq!(first["stageTimestamp"], first["requestReceivedTimestamp"]);
            assert_eq!(first.get("annotations"), None);
        }
        assert_eq!(first["requestReceivedTimestamp"], last["requestReceivedTimestamp"]);
    };
    let (came, began, ended) = ("RequestReceived", "ResponseStarted", "ResponseComplete");
    let code = |code: u16| json!({"metadata": {}, "code": code});
    let failed = |code: u16, reason: &str, message: &str| json!({"metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code});
    check("root", "GET", "/x", &[(came, Value::Null), (ended, code(200))]).await;
    let path = format!("{PODS}/p");
    check("root", "GET", &path, &[(came, Value::Null), (ended, code(200))]).await;
    let path = format!("{PODS}/gone");
    let gone = failed(400, "BadRequest", "there is no such thing");
    check("root", "GET", &path, &[(came, Value::Null), (ended, gone.clone())]).await;
    // Streams, by what is asked for.
    let path = format!("{PODS}?watch=true");
    check("root", "GET", &path, &[(came, Value::Null), (began, code(200)), (ended, code(200))]).await;
    let path = format!("{PODS}/p/log");
    check("root", "GET", &path, &[(came, Value::Null), (began, code(200)), (ended, code(200))]).await;
    let path = format!("{PODS}/p/portforward");
    check("root", "POST", &path, &[(came, Value::Null), (began, gone.clone()), (ended, gone)]).await;
    // Done, and no object to show for it.
    let path = format!("{PODS}/done");
    let done = json!({"metadata": {}, "status": "Success", "code": 200});
    check("root", "DELETE", &path, &[(came, Value::Null), (ended, done)]).await;
    check("root", "GET", &path, &[(came, Value::Null), (ended, code(200))]).await;
    // Whoever does not prove who they are.
    let unauthorized = failed(401, "Unauthorized", "Unauthorized");
    check("", "GET", PODS, &[(began, unauthorized)]).await;
    let path = format!("{PODS}/panic");
    let panicked = failed(500, "InternalError", "APIServer panic'd: as it is told to");
    check("root", "GET", &path, &[(came, Value::Null), ("Panic", panicked)]).await;
}

#[tokio::test]
async fn refusals_say_by_whom_and_why() {
    let stage = Stage::file(ALL, Mode::Batch);
    assert_eq!(stage.ask("ann", "GET", &format!("{PODS}?watch=true"), "").await, 403);
    assert_eq!(stage.ask("", "GET", "/metrics", "").await, 401);
    let events = stage.events();
    let denied = &events[1];
    assert_eq!((&denied["stage"], &denied["responseStatus"]["code"]), (&json!("ResponseStarted"), &json!(403)));
    assert_eq!(denied["responseStatus"]["reason"], "Forbidden");
    assert_eq!(denied["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(events[3]["user"], json!({}));
    assert_eq!(events[3].get("annotations"), None);
    assert_eq!(events.len(), 4);
}

#[tokio::test]
async fn a_client_that_goes_leaves_events() {
    let stage = Stage::file(ALL, Mode::Batch);
    assert!(stage.begin("root", "GET", &format!("{PODS}/forever"), "").now_or_never().is_none());
    let events = stage.events();
    let closed = json!({"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200});
    assert_eq!((&events[1]["stage"], &events[1]["responseStatus"]), (&json!("ResponseComplete"), &closed));
}

#[tokio::test]
async fn levels_say_how_much_is_told() {
    let object = json!({"metadata": {"name": "p", "uid": "u", "resourceVersion": "7", "managedFields": [{}]}});
    let bare = json!({"metadata": {"name": "p", "uid": "u", "resourceVersion": "7"}});
    let check = async |rule: &str, verb: &str, reference: &Value, sent: Option<&Value>, answered: Option<&Value>| {
        let stage = Stage::file(rule, Mode::Batch);
        stage.ask("root", verb, &format!("{PODS}/echo"), &object.to_string()).await;
        let event = stage.events().pop().unwrap();
        let found = (&event["objectRef"], event.get("requestObject"), event.get("responseObject"));
        assert_eq!(found, (reference, sent, answered), "{rule} {verb}");
        assert_eq!(event["annotations"]["example.com/noted"], "yes");
        // What was decided cannot be made another decision later.
        assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");
    };
    let named = json!({"resource": "pods", "namespace": "a", "name": "echo", "apiVersion": "v1"});
    let mut known = named.clone();
    (known["uid"], known["resourceVersion"]) = (json!("u"), json!("7"));
    check(ALL, "PUT", &known, None, None).await;
    check("level: Request", "PUT", &known, Some(&object), None).await;
    check("level: RequestResponse", "PUT", &known, Some(&object), Some(&object)).await;
    check("level: RequestResponse, omitManagedFields: true", "PUT", &known, Some(&bare), Some(&bare)).await;
    // A patch says nothing of what it is for.
    check("level: Request, omitManagedFields: true", "PATCH", &named, Some(&object), None).await;
    check(ALL, "PATCH", &named, None, None).await;
}

#[tokio::test]
async fn events_that_are_too_large_go_without_what_makes_them_so() {
    let size = |size| Some(Truncate { max_event_size: size, ..Truncate::default() });
    let check = async |path: &str, truncate: Option<Truncate>, body: usize, events: usize, is_whole: bool| {
        let stage = Stage::new("level: RequestResponse, omitStages: [RequestReceived]", |directory| LogOptions {
            path: directory.join("audit.log"),
            truncate,
            ..LogOptions::default()
        });
        let figures = stage.figures.clone();
        stage.ask("root", "PUT", &format!("{PODS}/{path}"), &json!({"data": "x".repeat(body)}).to_string()).await;
        let found = stage.events();
        assert_eq!((found.len(), lost(&figures, "truncate")), (events, 1 - events as u64), "{truncate:?}");
        for event in found {
            assert_eq!(event.get("requestObject").is_some() && event.get("responseObject").is_some(), is_whole);
            assert_eq!(event["annotations"].get("audit.k8s.io/truncated").is_none(), is_whole, "{event}");
        }
    };
    check("echo", None, 200 << 10, 1, true).await;
    check("echo", size(100 << 10), 10 << 10, 1, true).await;
    check("echo", size(100 << 10), 200 << 10, 1, false).await;
    check("echo", size(100), 10, 0, false).await;
    // More than is kept of a body in any case.
    check("large", None, 10, 1, false).await;
}

#[tokio::test]
async fn the_older_format_is_a_line_of_text() {
    let stage = Stage::new(ALL, |directory| LogOptions {
        path: directory.join("audit.log"),
        format: Format::Legacy,
        ..LogOptions::default()
    });
    stage.ask("root", "GET", &format!("{PODS}/p"), "").await;
    let Stage { pipeline, log, directory: _directory, .. } = stage;
    drop(pipeline);
    let text = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split_once(" AUDIT: id=").unwrap().1).collect();
    let expected = |stage: &str, response: &str| {
        format!(
            r#" stage="{stage}" ip="<unknown>" method="get" user="root" groups="\"system:masters\",\"system:authenticated\"" as="<self>" asgroups="<lookup>" user-agent="" namespace="a" uri="/api/v1/namespaces/a/pods/p" response="{response}""#
        )
    };
    let found: Vec<&str> = lines.iter().map(|line| &line["\"01234567-89ab-4def-8123-456789abcdef\"".len()..]).collect();
    assert_eq!(found, [expected("RequestReceived", "<deferred>"), expected("ResponseComplete", "200")]);
}

#[tokio::test]
async fn requests_wait_for_their_events_if_that_is_asked_for() {
    for mode in [Mode::Blocking, Mode::BlockingStrict] {
        let stage = Stage::file("level: RequestResponse", mode);
        let answer = stage.begin("root", "PUT", &format!("{PODS}/echo"), "{\"a\":1}").await;
        // Nothing of the answer has been sent, and everything is written.
        let events = read(&stage.log);
        let stages: Vec<&str> = events.iter().map(|event| event["stage"].as_str().unwrap()).collect();
        assert_eq!(stages, ["RequestReceived", "ResponseComplete"], "{mode:?}");
        assert_eq!(events[1]["responseObject"], json!({"a": 1}));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{\"a\":1}");
        let answer = stage.begin("root", "GET", &format!("{PODS}?watch=true"), "").await;
        assert_eq!(read(&stage.log).len(), 4, "{mode:?}");
        drop(answer);
        assert_eq!(stage.events().len(), 5, "{mode:?}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_refuses_requests_only_if_that_is_asked_for() {
    let check = async |rule: &str, mode: Mode, code: u16, events: u64, rejected: u64| {
        let full = |_: &Path| LogOptions { path: "/dev/full".into(), mode, ..LogOptions::default() };
        let stage = Stage::new(rule, full);
        assert_eq!(stage.ask("root", "GET", &format!("{PODS}/p"), "").await, code, "{mode:?}");
        let figures = stage.figures.clone();
        drop(stage);
        assert_eq!((lost(&figures, "log"), figures.rejected.get()), (events, rejected), "{rule} {mode:?}");
    };
    check(ALL, Mode::Batch, 200, 2, 0).await;
    check(ALL, Mode::Blocking, 200, 2, 0).await;
    check(ALL, Mode::BlockingStrict, 500, 1, 1).await;
    // What is written only afterwards refuses nothing.
    check("level: Metadata, omitStages: [RequestReceived]", Mode::BlockingStrict, 200, 1, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_slow_holds_no_request_up_longer_than_it_may_take() {
    for (mode, code) in [(Mode::Batch, 200), (Mode::Blocking, 504), (Mode::BlockingStrict, 504)] {
        let mut held = None;
        let stage = Stage::new("level: RequestResponse", |directory| {
            let path = directory.join("pipe");
            held = Some(stuck(&path));
            LogOptions { path, mode, ..LogOptions::default() }
        });
        assert_eq!(stage.ask("root", "GET", &format!("{PODS}/p"), "").await, code, "{mode:?}");
        drop(held);
    }
}
