//! `/healthz`, `/livez` and `/readyz`: named checks, and what they add up to, in upstream's words.
//!
//! The answers are for everybody, so they never say why a check failed; the log does, and `/healthz/<check>`, which is
//! only for those who may.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use api::field::go_quote;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use parking_lot::RwLock;

use crate::request::Query;
use crate::serve::{ResponseBody, text_response};

/// What one check finds: nothing wrong, or what.
pub type CheckResult = Result<(), String>;

/// Looks whether one thing works. It is called for every question, and given a few seconds.
pub type Check = Arc<dyn Fn() -> BoxFuture<'static, CheckResult> + Send + Sync>;

/// Where a check counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`, which is deprecated and much used.
    Healthz,
    /// `/livez`: whether the process should be restarted.
    Livez,
    /// `/readyz`: whether requests should be sent here.
    Readyz,
}

impl Endpoint {
    const ALL: [Endpoint; 3] = [Endpoint::Healthz, Endpoint::Livez, Endpoint::Readyz];

    fn name(self) -> &'static str {
        match self {
            Endpoint::Healthz => "healthz",
            Endpoint::Livez => "livez",
            Endpoint::Readyz => "readyz",
        }
    }
}

/// The checks of a server, which grow while it starts. Cloning gives another handle to the same checks.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<Vec<Named>>>,
}

#[derive(Clone)]
struct Named {
    name: String,
    endpoints: Vec<Endpoint>,
    check: Check,
}

impl Health {
    /// With `ping`, which says that there is somebody to answer.
    #[must_use]
    pub fn new() -> Health {
        let health = Health::default();
        health.register("ping", &Endpoint::ALL, || async { Ok(()) });
        health
    }

    /// Adds a check that counts at `endpoints`. They are listed in the order of their registration. A check of a name that
    /// is there already takes its place.
    pub fn register<F, R>(&self, name: &str, endpoints: &[Endpoint], check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = CheckResult> + Send + 'static,
    {
        let check: Check = Arc::new(move || Box::pin(check()));
        let named = Named { name: name.to_owned(), endpoints: endpoints.to_vec(), check };
        let mut checks = self.checks.write();
        match checks.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = named,
            None => checks.push(named),
        }
    }

    /// Adds a step of the start, which counts as failed until `done` is called, as `poststarthook/<name>` everywhere.
    #[must_use = "the step counts as failed until it is called"]
    pub fn start_step(&self, name: &str) -> impl FnOnce() + Send + 'static {
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = Arc::clone(&done);
        self.register(&format!("poststarthook/{name}"), &Endpoint::ALL, move || {
            let finished = seen.load(std::sync::atomic::Ordering::Acquire);
            async move { if finished { Ok(()) } else { Err("not finished".to_owned()) } }
        });
        move || done.store(true, std::sync::atomic::Ordering::Release)
    }

    /// Answers a request for `path`, giving each check `limit`; `None` if it is no path of a check.
    pub async fn answer(&self, path: &str, query: &str, limit: Duration) -> Option<Response<ResponseBody>> {
        let rest = path.strip_prefix('/')?;
        let (endpoint, single) = rest.split_once('/').map_or((rest, None), |(endpoint, name)| (endpoint, Some(name)));
        let endpoint = Endpoint::ALL.into_iter().find(|known| known.name() == endpoint)?;
        let checks = self.checks_of(endpoint);
        match single {
            None => Some(all(endpoint, &checks, query, limit).await),
            Some(name) => {
                let check = checks.into_iter().find(|check| check.name == name)?;
                Some(one(&check, limit).await)
            }
        }
    }

    fn checks_of(&self, endpoint: Endpoint) -> Vec<Named> {
        self.checks.read().iter().filter(|check| check.endpoints.contains(&endpoint)).cloned().collect()
    }
}

impl Named {
    async fn run(&self, limit: Duration) -> CheckResult {
        let timed = tokio::time::timeout(limit, (self.check)()).await;
        timed.unwrap_or_else(|_| Err(format!("no result within {limit:?}")))
    }
}

async fn one(check: &Named, limit: Duration) -> Response<ResponseBody> {
    match check.run(limit).await {
        Ok(()) => text_response(StatusCode::OK, "ok"),
        Err(why) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

async fn all(endpoint: Endpoint, checks: &[Named], query: &str, limit: Duration) -> Response<ResponseBody> {
    let query = Query::parse(query);
    let mut excluded: BTreeSet<&str> = query.all("exclude").iter().map(String::as_str).collect();
    let (mut output, mut failed) = (String::new(), Vec::new());
    for check in checks {
        let name = &check.name;
        let line = if excluded.remove(name.as_str()) {
            format!("[+]{name} excluded: ok")
        } else {
            match check.run(limit).await {
                Ok(()) => format!("[+]{name} ok"),
                Err(why) => {
                    tracing::warn!(check = %name, endpoint = endpoint.name(), %why, "a health check failed");
                    failed.push(name);
                    format!("[-]{name} failed: reason withheld")
                }
            }
        };
        output.push_str(&line);
        output.push('\n');
    }
    if !excluded.is_empty() {
        let unknown = excluded.iter().map(|name| go_quote(name)).collect::<Vec<_>>().join(",");
        // Writing to a string does not fail.
        let _ = writeln!(output, "warn: some health checks cannot be excluded: no matches for {unknown}");
    }
    let endpoint = endpoint.name();
    if !failed.is_empty() {
        return text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{output}{endpoint} check failed\n"));
    }
    if query.has("verbose") {
        text_response(StatusCode::OK, format!("{output}{endpoint} check passed\n"))
    } else {
        text_response(StatusCode::OK, "ok")
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn health() -> Health {
        let health = Health::new();
        health.register("etcd", &Endpoint::ALL, || async { Ok(()) });
        health.register("shutdown", &[Endpoint::Readyz], || async { Err("process is shutting down".to_owned()) });
        health
    }

    async fn check(health: &Health, uri: &str, expected: Option<(u16, &str)>) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let found = match health.answer(path, query, LIMIT).await {
            None => None,
            Some(response) => {
                assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                Some((status, String::from_utf8(body.to_vec()).unwrap()))
            }
        };
        assert_eq!(found.as_ref().map(|(status, body)| (*status, body.as_str())), expected, "{uri}");
    }

    #[tokio::test]
    async fn answers_are_in_upstreams_words() {
        let health = health();
        check(&health, "/healthz", Some((200, "ok"))).await;
        check(&health, "/healthz?verbose", Some((200, "[+]ping ok\n[+]etcd ok\nhealthz check passed\n"))).await;
        check(
            &health,
            "/livez?verbose&exclude=etcd",
            Some((200, "[+]ping ok\n[+]etcd excluded: ok\nlivez check passed\n")),
        )
        .await;
        let failed = "[+]ping ok\n[+]etcd ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n";
        check(&health, "/readyz", Some((500, failed))).await;
        check(&health, "/readyz?exclude=shutdown", Some((200, "ok"))).await;
        let unknown = "[+]ping ok\n[+]etcd ok\nwarn: some health checks cannot be excluded: no matches for \
                       \"a\",\"b\"\nhealthz check passed\n";
        check(&health, "/healthz?verbose=1&exclude=b&exclude=a", Some((200, unknown))).await;
        check(&health, "/healthz/ping", Some((200, "ok"))).await;
        check(&health, "/readyz/shutdown", Some((500, "internal server error: process is shutting down\n"))).await;
        check(&health, "/livez/shutdown", None).await;
        check(&health, "/healthz/", None).await;
        check(&health, "/version", None).await;
    }

    #[tokio::test]
    async fn steps_of_the_start_fail_until_they_are_done() {
        let health = Health::new();
        let done = health.start_step("load");
        let before = "[+]ping ok\n[-]poststarthook/load failed: reason withheld\nlivez check failed\n";
        check(&health, "/livez", Some((500, before))).await;
        check(&health, "/livez/poststarthook/load", Some((500, "internal server error: not finished\n"))).await;
        done();
        check(&health, "/livez?verbose", Some((200, "[+]ping ok\n[+]poststarthook/load ok\nlivez check passed\n")))
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn checks_that_hang_fail() {
        let health = Health::new();
        health.register("slow", &[Endpoint::Livez], std::future::pending);
        check(&health, "/livez", Some((500, "[+]ping ok\n[-]slow failed: reason withheld\nlivez check failed\n")))
            .await;
    }

    #[tokio::test]
    async fn a_check_takes_the_place_of_its_predecessor() {
        let health = health();
        health.register("etcd", &[Endpoint::Healthz], || async { Err("gone".to_owned()) });
        check(&health, "/healthz", Some((500, "[+]ping ok\n[-]etcd failed: reason withheld\nhealthz check failed\n")))
            .await;
    }
}
