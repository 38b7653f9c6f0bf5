//! Requests over a clock that stands still until everybody waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::metrics::Exposition;

fn control(read_only: usize, mutating: usize) -> (Arc<FlowControl>, Metrics) {
    let metrics = Metrics::new();
    let limits = Limits { read_only_in_flight: read_only, mutating_in_flight: mutating, ..Limits::default() };
    (FlowControl::new(&limits, &metrics), metrics)
}

fn somebody(name: &str, groups: &[&str]) -> Identity {
    let groups = groups.iter().chain(&["system:authenticated"]).map(|group| (*group).to_owned()).collect();
    Identity { user: name.to_owned(), groups, ..Identity::default() }
}

fn asked(path: &str) -> Attributes {
    Attributes::of_request(&http::Request::builder().uri(path).body(()).unwrap().into_parts().0)
}

const PODS: &str = "/api/v1/namespaces/a/pods";
const MINUTE: Duration = Duration::from_secs(60);

async fn enter(control: &Arc<FlowControl>, who: &Identity) -> Result<Option<Admitted>, Arc<Class>> {
    control.admit(who, &asked(PODS), None, MINUTE).await
}

#[tokio::test(start_paused = true)]
async fn a_client_in_a_loop_holds_up_nobody_but_itself() {
    let (control, _) = control(400, 200);
    let done = Arc::new(AtomicUsize::new(0));
    let greedy = somebody("greedy", &[]);
    // As many as it likes, each of which takes a second: most wait, and those for which there is no place are told so.
    for _ in 0..2000 {
        let (control, greedy, done) = (Arc::clone(&control), greedy.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let admitted = enter(&control, &greedy).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            done.fetch_add(usize::from(admitted.is_ok()), Ordering::Relaxed);
        });
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begin = Instant::now();
    for who in [
        somebody("admin", &["system:masters"]),
        somebody("system:node:n", &["system:nodes"]),
        somebody("system:kube-scheduler", &[]),
        somebody("system:kube-controller-manager", &[]),
        somebody("system:serviceaccount:kube-system:x", &["system:serviceaccounts"]),
    ] {
        assert!(enter(&control, &who).await.is_ok(), "{}", who.user);
        assert_eq!(begin.elapsed(), Duration::ZERO, "{} did not wait", who.user);
    }
    // Another of the same level does not wait for all of the greedy one's that came before, which take nine seconds.
    let modest = somebody("modest", &[]);
    let mut took = Vec::new();
    for _ in 0..5 {
        let before = Instant::now();
        assert!(enter(&control, &modest).await.is_ok());
        took.push(before.elapsed());
    }
    assert!(took.iter().all(|took| *took <= Duration::from_secs(4)), "{took:?}");
    assert!(done.load(Ordering::Relaxed) > 0, "it is served, too");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_so_and_who_goes_leaves_nothing() {
    let (control, metrics) = control(1, 0);
    let jane = somebody("jane", &[]);
    // One seat, rounded up for each level.
    let first = enter(&control, &jane).await.ok().flatten().unwrap();
    let begin = Instant::now();
    assert!(control.admit(&jane, &asked(PODS), None, Duration::from_secs(8)).await.is_err());
    assert_eq!(begin.elapsed(), Duration::from_secs(2), "a quarter of its time");
    // Its client is gone before its turn.
    let gone = tokio::time::timeout(Duration::from_secs(1), enter(&control, &jane)).await;
    assert!(gone.is_err());
    let waits = tokio::spawn({
        let (control, jane) = (Arc::clone(&control), jane.clone());
        async move { enter(&control, &jane).await.is_ok() }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let text = metrics.expose(Exposition::Plain);
    let of = |name: &str, more: &str| {
        format!(
            "apiserver_flowcontrol_{name}{{priority_level=\"global-default\",flow_schema=\"global-default\"{more}}} 1"
        )
    };
    for line in [
        of("current_inqueue_requests", ""),
        of("current_executing_requests", ""),
        of("dispatched_requests_total", ""),
        of("rejected_requests_total", ",reason=\"time-out\""),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    drop(first);
    assert!(waits.await.unwrap());
    let level = Arc::clone(&control.classes.read().levels["global-default"]);
    assert_eq!(level.demand(), 0);
}

#[tokio::test(start_paused = true)]
async fn levels_borrow_what_others_do_not_need() {
    let (control, metrics) = control(400, 200);
    let mut held = Vec::new();
    let robot = |number: usize| somebody(&format!("system:serviceaccount:a:{number}"), &["system:serviceaccounts"]);
    // More than the level of all workloads has by itself.
    for number in 0..245 {
        held.push(tokio::time::timeout(Duration::from_millis(1), enter(&control, &robot(number))).await);
    }
    let nominal = held.iter().filter(|entered| entered.is_ok()).count();
    assert!((130..=245).contains(&nominal), "{nominal}");
    let more: Vec<_> = (0..400)
        .map(|number| {
            let (control, robot) = (Arc::clone(&control), robot(number));
            tokio::spawn(async move { enter(&control, &robot).await })
        })
        .collect();
    tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
    // Whatever comes next has it lend.
    let admin = somebody("admin", &["system:masters"]);
    drop(enter(&control, &admin).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let borrowed = more.iter().filter(|entered| entered.is_finished()).count();
    assert!(nominal + borrowed > 300, "{nominal} and {borrowed}");
    let text = metrics.expose(Exposition::Plain);
    assert!(text.contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"} 245"), "{text}");
    // What others never lend is still theirs.
    let node = somebody("system:node:n", &["system:nodes"]);
    let begin = Instant::now();
    assert!(enter(&control, &node).await.is_ok());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn schemas_and_levels_may_change_at_any_time() {
    let (control, _) = control(10, 10);
    let jane = somebody("jane", &[]);
    let level: PriorityLevelConfiguration = serde_json::from_value(json!({
        "metadata": {"name": "small", "uid": "u-level"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}}},
    }))
    .unwrap();
    let schema: FlowSchema = serde_json::from_value(json!({
        "metadata": {"name": "of-jane", "uid": "u-schema"},
        "spec": {"priorityLevelConfiguration": {"name": "small"}, "matchingPrecedence": 5, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "jane"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
        }]},
    }))
    .unwrap();
    // Its level is not there: the schema is as if it were not, either.
    control.configure(vec![schema.clone()], Vec::new());
    let class = Arc::clone(enter(&control, &jane).await.ok().flatten().unwrap().class());
    assert_eq!(class.schema, "catch-all", "and what every cluster needs is there");
    control.configure(vec![schema], vec![level]);
    // As by upstream, one that finds nobody is served even where there are no seats.
    let alone = enter(&control, &jane).await;
    assert!(alone.is_ok());
    let Err(class) = enter(&control, &jane).await else { panic!("there are no seats") };
    let mut headers = HeaderMap::new();
    class.tell(&mut headers);
    assert_eq!(
        (&headers[SCHEMA_UID], &headers[LEVEL_UID]),
        (&"u-schema".parse().unwrap(), &"u-level".parse().unwrap())
    );
    assert!(enter(&control, &somebody("bob", &[])).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nobody_waits() {
    let (control, _) = control(0, 0);
    for _ in 0..1000 {
        assert!(enter(&control, &somebody("jane", &[])).await.is_ok_and(|admitted| admitted.is_none()));
    }
}
