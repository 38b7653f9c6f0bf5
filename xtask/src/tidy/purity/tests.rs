//! What is pure and what is not, as data.

use super::super::workspace::Workspace;

const CLOCK: &str = "depends on the clock: take the time as an argument";
const RANDOM: &str = "is random: take the value or a seeded generator as an argument";
const IO: &str = "reaches outside: take the data as an argument and return what to do";
const ASYNC: &str = "is asynchronous: decide here, wait outside";

fn check_at(path: &str, text: &str, expected: &[&str]) {
    let findings = super::check(&Workspace::of(&[(path, text)]).sources);
    let found: Vec<String> = findings.iter().map(|f| format!("{} {}", f.line, f.message)).collect();
    assert_eq!(found, expected, "{path}: {text}");
}

/// Checks that the text, on line 1, is impure in one way; `what` is the path or the construct it is blamed for.
fn impure(text: &str, what: &str, advice: &str) {
    check_at("api/src/a.rs", text, &[&format!("1 `{what}` {advice}")]);
}

fn pure(text: &str) {
    check_at("api/src/a.rs", text, &[]);
}

#[test]
fn finds_clocks() {
    impure("fn f() { let t = std::time::Instant::now(); }", "std::time::Instant::now", CLOCK);
    impure("fn f(t: Option<std::time::Instant>) {}", "std::time::Instant", CLOCK);
    impure("fn f() { g(Utc::now()) }", "Utc::now", CLOCK);
    impure("fn f() { jiff::Timestamp::now() }", "jiff::Timestamp::now", CLOCK);
    impure("fn f() { <Utc as Clock>::now() }", "Clock::now", CLOCK);
    impure("fn f() { o.map(Timestamp::now) }", "Timestamp::now", CLOCK);
    impure("fn f() { crate::clock::now() }", "crate::clock::now", CLOCK);
    impure("use std::{collections::BTreeMap, time::{Duration, Instant as I}};", "std::time::Instant", CLOCK);
    impure("use std::time::*;", "std::time::*", CLOCK);
    impure("use tokio::time::Duration;", "tokio::time::Duration", CLOCK);
    impure("fn f() { started.elapsed() }", ".elapsed()", CLOCK);
    impure("fn f() { vec![Utc::now()] }", "Utc::now", CLOCK);
    impure("macro_rules! m { () => { Utc::now() } }", "Utc::now", CLOCK);
}

#[test]
fn finds_randomness() {
    impure("fn f() { rand::rng() }", "rand::rng", RANDOM);
    impure("fn f() { rand::thread_rng() }", "rand::thread_rng", RANDOM);
    impure("fn f() -> u8 { rand::random::<u8>() }", "rand::random", RANDOM);
    impure("fn f() { uuid::Uuid::new_v4() }", "uuid::Uuid::new_v4", RANDOM);
    impure("fn f() { SmallRng::from_os_rng() }", "SmallRng::from_os_rng", RANDOM);
    impure("fn f() { getrandom::fill(b) }", "getrandom::fill", RANDOM);
    impure("use rand::*;", "rand::*", RANDOM);
    impure("use rand::rngs::OsRng;", "rand::rngs::OsRng", RANDOM);
}

#[test]
fn finds_input_and_output() {
    impure("fn f() { std::fs::read(p) }", "std::fs::read", IO);
    impure("use std::fs;", "std::fs", IO);
    impure("use std::{self, fs::File};", "std::fs::File", IO);
    impure("use std::*;", "std::*", IO);
    impure("use std::net::{IpAddr, TcpStream};", "std::net::TcpStream", IO);
    impure("use std::net::*;", "std::net::*", IO);
    impure("fn f() { std::env::var(n) }", "std::env::var", IO);
    impure("fn f() { std::process::exit(1) }", "std::process::exit", IO);
    impure("use tokio::fs as disk;", "tokio::fs", IO);
    impure("fn f() { tokio::net::lookup_host(h) }", "tokio::net::lookup_host", IO);
    impure("fn f() { println!(\"{x}\") }", "println!", IO);
    impure("fn f() { std::eprintln!(\"{x}\") }", "eprintln!", IO);
    impure("fn f() { assert!(matches!(dbg!(x), 1)) }", "dbg!", IO);
}

#[test]
fn finds_what_waits() {
    impure("async fn f() {}", "async fn f", ASYNC);
    impure("trait T { async fn f(); }", "async fn f", ASYNC);
    impure("fn f() { g(async { 1 }) }", "async", ASYNC);
    impure("fn f() { g(async || 1) }", "async", ASYNC);
    impure("fn f() { g.await }", ".await", ASYNC);
    impure("fn f() { assert!(g.await) }", "async", ASYNC);
    impure("fn f() { tokio::select! {} }", "tokio::select", IO);
}

#[test]
fn sees_through_imports() {
    let text = "use std::time as t;\nfn f() { t::Instant::now() }";
    check_at("api/src/a.rs", text, &[&format!("2 `std::time::Instant::now` {CLOCK}")]);
    let text = "use std::net;\nfn f() { net::UdpSocket::bind(a) }\nfn g(a: net::IpAddr) {}";
    check_at("api/src/a.rs", text, &[&format!("2 `std::net::UdpSocket::bind` {IO}")]);
    let text = "use rand as r;\nfn f() { json!({\"a\": [r::random()]}) }";
    check_at("api/src/a.rs", text, &[&format!("2 `rand::random` {RANDOM}")]);
}

#[test]
fn leaves_the_pure_alone() {
    pure("use std::{net::IpAddr, time::Duration, io::{Read, Write}, fmt};");
    pure("fn f(now: Timestamp, rng: &mut impl rand::Rng) { rng.random_range(0..4); plan(now, o.now) }");
    pure("fn f() { rand::rngs::SmallRng::seed_from_u64(7); time.elapsed(now); env!(\"CARGO_PKG_VERSION\") }");
    pure("fn f() { write!(out, \"{x}\"); format!(\"{now}\") }");
    pure("#[cfg(test)] mod tests { use std::time::Instant; async fn f() { Instant::now(); std::fs::read(p) } }");
    pure("#[cfg(test)] use std::fs; #[test] fn f() { std::fs::read(p); }");
    pure("impl S { #[cfg(test)] fn f() { std::fs::read(p); } }");
    check_at("api/src/a/tests.rs", "use std::fs;", &[]);
}

#[test]
fn knows_where_to_look() {
    let impure = "use std::fs;";
    for path in [
        "api/src/patch/json.rs",
        "kubelet/src/pod_plan.rs",
        "kubelet/src/pod_plan/probes.rs",
        "proxy/src/rules_nftables.rs",
        "scheduler/src/cycle/mod.rs",
        "scheduler/src/plugins/node_affinity.rs",
    ] {
        check_at(path, impure, &[&format!("1 `std::fs` {IO}")]);
    }
    for path in ["api/build.rs", "store/src/lib.rs", "kubelet/src/cri.rs", "scheduler/src/plugins_dir.rs"] {
        check_at(path, impure, &[]);
    }
}

#[test]
fn checks_reconcile_functions_only_in_controllers() {
    let check = |text: &str, expected: &[&str]| check_at("controller-manager/src/job.rs", text, expected);
    check("use std::time::Instant;\nfn observe() { Instant::now(); }", &[]);
    let now = format!("2 `std::time::Instant::now` {CLOCK}");
    check(
        "use std::time::Instant as I;\nimpl C for J { fn reconcile() { I::now(); } fn other() { I::now(); } }",
        &[&now],
    );
    check("mod a {\nfn reconcile() { fn inner() { std::time::Instant::now(); } } }", &[&now]);
    check("trait C {\n    async fn reconcile();\n}", &[&format!("2 `async fn reconcile` {ASYNC}")]);
    check("fn reconcile() {\nuse std::fs;\n}", &[&format!("2 `std::fs` {IO}")]);
}
