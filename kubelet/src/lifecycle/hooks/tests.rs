//! Hooks against servers that are there for the test.

use k8s_openapi::api::core::v1::TCPSocketAction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

async fn run_it(handler: &LifecycleHandler, limit: Option<Duration>) -> Result<(), HookError> {
    let cri = Cri::at("unix:///nonexistent").unwrap();
    let metadata = ObjectMeta {
        name: Some("p".to_owned()),
        namespace: Some("n".to_owned()),
        uid: Some("u".to_owned()),
        ..ObjectMeta::default()
    };
    let pod = Pod { metadata, ..Pod::default() };
    let container = Container { name: "web".to_owned(), ..Container::default() };
    run(&cri, &pod, &container, "a", Some([127, 0, 0, 1].into()), handler, limit).await
}

fn get(port: u16, scheme: &str) -> LifecycleHandler {
    let action = HTTPGetAction {
        path: Some("/hook".to_owned()),
        port: IntOrString::Int(port.into()),
        scheme: Some(scheme.to_owned()),
        ..HTTPGetAction::default()
    };
    LifecycleHandler { http_get: Some(action), ..LifecycleHandler::default() }
}

/// A server that answers everything by HTTP and with an error, and says what it was asked.
async fn server() -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (say, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let _ = say.send(String::from_utf8_lossy(&head[..length]).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    (port, asked)
}

#[tokio::test]
async fn any_answer_is_fine() {
    let (port, mut asked) = server().await;
    assert_eq!(run_it(&get(port, "HTTP"), None).await, Ok(()));
    let head = asked.recv().await.unwrap().to_lowercase();
    assert!(head.starts_with("get /hook http/1.1\r\n") && head.contains("user-agent: kube-lifecycle/1.37"), "{head}");
}

#[tokio::test]
async fn https_falls_back_to_http() {
    let (port, mut asked) = server().await;
    assert_eq!(run_it(&get(port, "HTTPS"), None).await, Ok(()));
    assert!(!asked.recv().await.unwrap().starts_with("GET"));
    assert!(asked.recv().await.unwrap().starts_with("GET /hook"));
}

#[tokio::test]
async fn what_cannot_be_run_fails_in_upstreams_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let tcp = TCPSocketAction { host: None, port: IntOrString::Int(80) };
    let exec = ExecAction { command: Some(vec!["a".to_owned(), "b c".to_owned()]) };
    let refused =
        format!("Get \"http://127.0.0.1:{port}/hook\": dial tcp 127.0.0.1:{port}: connect: connection refused");
    for (handler, expected) in [
        (
            get(port, "HTTP"),
            format!("HTTP lifecycle hook (/hook) for Container \"web\" in Pod \"p_n(u)\" failed - error: {refused}"),
        ),
        (
            LifecycleHandler { exec: Some(exec), ..LifecycleHandler::default() },
            "Exec lifecycle hook ([a b c]) for Container \"web\" in Pod \"p_n(u)\" failed - error: rpc error: code = Unavailable".to_owned(),
        ),
        (LifecycleHandler { tcp_socket: Some(tcp), ..LifecycleHandler::default() }, "Cannot run handler: invalid handler".to_owned()),
        (LifecycleHandler::default(), "Cannot run handler: invalid handler".to_owned()),
    ] {
        let error = run_it(&handler, None).await.unwrap_err().to_string();
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn sleeping_takes_its_time_and_no_more_than_the_limit() {
    let nap = |seconds| LifecycleHandler { sleep: Some(SleepAction { seconds }), ..LifecycleHandler::default() };
    let began = tokio::time::Instant::now();
    assert_eq!(run_it(&nap(30), Some(Duration::from_secs(31))).await, Ok(()));
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(run_it(&nap(-1), None).await, Ok(()));
    let late = HookError::Late { container: "web".to_owned(), seconds: 5 };
    assert_eq!(run_it(&nap(30), Some(Duration::from_secs(5))).await, Err(late));
    assert_eq!(began.elapsed().as_secs(), 35);
}
