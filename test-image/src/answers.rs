//! What is answered over HTTP.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` and whatever is not below | who this is, and what was asked, in JSON |
//! | `/name`, `/version`, `/env` | the host's name; `VERSION`; the environment |
//! | `/started`, `/live`, `/ready` | 200, or 503 if it was told to fail |
//! | `/do?ACTION=VALUE&…` | does it (`actions.rs`) |
//! | `/resolve?name=N[&type=A\|AAAA\|CNAME\|PTR\|SRV]` | what a name stands for, the search list tried |
//! | `/dial?tcp=HOST:PORT[&send=TEXT]`, `/dial?udp=HOST:PORT&send=TEXT` | whether there is an answer, and which |
//! | `/get?url=http://HOST:PORT/PATH` | what another server answers |
//! | `/hammered` | what has come of `hammer=URL` |
//! | `/file?path=P` | a file's content; with a body, writes it |
//! | `/status?code=N`, `/redirect?to=URL`, `/sleep?seconds=N`, `/bytes?count=N` | an answer of that kind |

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::state::State;
use crate::{actions, dial, dns};

/// The most bytes that `/bytes` gives.
const BYTES: usize = 64 << 20;

/// Answers a request.
pub(crate) fn answer(state: &Arc<State>, request: &Request) -> Answer {
    match request.path.as_str() {
        "/name" => Answer::text(200, host_name()),
        "/version" => Answer::text(200, version()),
        "/env" => Answer::json(200, &environment()),
        "/started" => probe(&state.started),
        "/live" => probe(&state.live),
        "/ready" => probe(&state.ready),
        "/do" => act(state, request),
        "/resolve" => {
            told(dns::resolve(request.parameter("name"), request.parameter("type")).map(|found| json!(found)))
        }
        "/dial" => told(dial::dial(request.parameter("tcp"), request.parameter("udp"), request.parameter("send"))),
        "/get" => told(dial::get(request.parameter("url"))),
        "/hammered" => Answer::json(200, &state.hammer.tally()),
        "/file" => file(request),
        "/status" => match request.parameter("code").parse() {
            Ok(code @ 200..=599) => Answer::text(code, format!("{code}\n")),
            _ => Answer::text(400, "code is a number from 200 to 599\n"),
        },
        "/redirect" => {
            let to = request.parameter("to").replace(['\r', '\n'], "");
            Answer { headers: vec![("Location", to)], ..Answer::text(302, "elsewhere\n") }
        }
        "/sleep" => {
            std::thread::sleep(Duration::from_secs(request.parameter("seconds").parse().unwrap_or(0)));
            Answer::text(200, "slept\n")
        }
        "/bytes" => {
            let count = request.parameter("count").parse().unwrap_or(0).min(BYTES);
            Answer { content_type: "application/octet-stream", ..Answer::text(200, "x".repeat(count)) }
        }
        _ => Answer::json(200, &everything(request)),
    }
}

fn probe(flag: &AtomicBool) -> Answer {
    if flag.load(Ordering::Relaxed) { Answer::text(200, "ok\n") } else { Answer::text(503, "told to fail\n") }
}

fn act(state: &Arc<State>, request: &Request) -> Answer {
    for (name, value) in &request.query {
        if let Err(problem) = actions::act(state, name, value) {
            return Answer::text(400, format!("{name}: {problem}\n"));
        }
    }
    Answer::text(200, "done\n")
}

/// What was found, or why not: both are answers, so that a test can tell that it was this that failed.
fn told(found: Result<Value, String>) -> Answer {
    match found {
        Ok(value) => Answer::json(200, &json!({"ok": value})),
        Err(problem) => Answer::json(200, &json!({"error": problem})),
    }
}

fn file(request: &Request) -> Answer {
    let path = request.parameter("path");
    let result = if request.method == "GET" {
        std::fs::read(path)
    } else {
        std::fs::write(path, &request.body).map(|()| b"written\n".to_vec())
    };
    match result {
        Ok(body) => Answer { body, ..Answer::text(200, "") },
        Err(error) => Answer::text(404, format!("{path}: {error}\n")),
    }
}

fn everything(request: &Request) -> Value {
    // SAFETY: these calls only return numbers.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    json!({
        "name": host_name(),
        "version": version(),
        "process": std::process::id(),
        "user": uid,
        "group": gid,
        "arguments": std::env::args().collect::<Vec<_>>(),
        "environment": environment(),
        "request": {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "body": String::from_utf8_lossy(&request.body),
            "from": request.remote.map(plain),
            "to": request.local.map(plain),
        },
    })
}

/// An address as its family writes it, whatever socket it came to.
fn plain(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

fn environment() -> Value {
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
    json!(variables.collect::<BTreeMap<String, String>>())
}

fn version() -> String {
    std::env::var("VERSION").unwrap_or_default()
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: &Arc<State>, path: &str, query: &[(&str, &str)], status: u16, body: &str) {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request { method: "GET".into(), path: path.into(), query, ..Request::default() };
        let answer = answer(state, &request);
        let found = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, status, "{path}: {found}");
        assert!(found.contains(body), "{path}: {found}");
    }

    #[test]
    fn it_answers_as_it_was_told() {
        let state = Arc::new(State::default());
        check(&state, "/ready", &[], 200, "ok");
        check(&state, "/do", &[("ready", "false"), ("live", "")], 200, "done");
        check(&state, "/ready", &[], 503, "told to fail");
        check(&state, "/live", &[], 200, "ok");
        check(&state, "/do", &[("ready", "maybe")], 400, "ready: \"maybe\" is neither true nor false");
        check(&state, "/do", &[("dance", "")], 400, "dance: there is no such action");
        check(&state, "/status", &[("code", "418")], 418, "418");
        check(&state, "/redirect", &[("to", "http://elsewhere")], 302, "");
        check(&state, "/file", &[("path", "/nowhere")], 404, "/nowhere: No such file");
        check(&state, "/bytes", &[("count", "3")], 200, "xxx");
        check(&state, "/dial", &[("tcp", "127.0.0.1:1")], 200, "error");
        check(&state, "/else/where", &[("a", "b")], 200, "\"path\": \"/else/where\"");
    }
}
