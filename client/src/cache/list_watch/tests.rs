//! List-watches against a server that ends, fails, forgets and falls behind, on a clock that stands still while they work.

use std::collections::BTreeMap;
use std::future::pending;

use k8s_openapi::api::core::v1::ConfigMap;
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::json;
use tokio::task::JoinSet;

use super::super::Subscription;
use super::*;
use crate::testing::{Asked, FakeServer, Fault};

const ALL: &str = "/api/v1/configmaps";
const MOMENT: Duration = Duration::from_millis(1);

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/a/configmaps/{name}")
}

/// Lets everybody go on until they wait for something.
async fn settle() {
    pass(MOMENT).await;
}

async fn pass(time: Duration) {
    let waited = timeout(time, pending::<()>()).await;
    assert!(waited.is_err());
}

/// A server, a cache of its ConfigMaps, and what a listener was told.
struct Setup {
    server: FakeServer,
    cache: Cache,
    told: Arc<Mutex<Vec<String>>>,
    _subscription: Subscription,
    _tasks: JoinSet<()>,
}

fn resource() -> Resource {
    Resource::of::<ConfigMap>()
}

impl Setup {
    fn new(server: FakeServer) -> Setup {
        Setup::with(server, |list_watch| list_watch)
    }

    fn with(server: FakeServer, change: impl FnOnce(ListWatch) -> ListWatch) -> Setup {
        let (cache, told) = (Cache::new(), Arc::<Mutex<Vec<String>>>::default());
        let (to, state) = (Arc::clone(&told), Mutex::new(BTreeMap::new()));
        let _subscription = cache.subscribe(&resource(), move |change| {
            let describe = |object: &Option<crate::resource::AnyObject>| {
                let object = object.as_ref().map(|object| object.meta().clone())?;
                Some((object.name?, object.resource_version?))
            };
            let (old, new) = (describe(&change.old), describe(&change.new));
            let name = new.as_ref().or(old.as_ref()).map(|(name, _)| name.clone()).unwrap();
            assert_eq!(state.lock().remove(&name), old, "the old state is what was told last");
            assert_ne!(old, new, "nothing is told twice");
            let version = |object: &Option<(String, String)>| object.as_ref().map_or("-".to_owned(), |it| it.1.clone());
            to.lock().push(format!("{name} {}>{}", version(&old), version(&new)));
            if let Some(new) = new {
                state.lock().insert(name, new);
            }
        });
        let mut _tasks = JoinSet::new();
        let list_watch = ListWatch::new(server.client(), cache.clone(), resource());
        _tasks.spawn(change(list_watch).run::<ConfigMap>());
        Setup { server, cache, told, _subscription, _tasks }
    }

    fn put(&self, name: &str) -> u64 {
        self.server.put(&path(name), json!({"data": {}}))
    }

    /// What the listener was told since the last call.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock())
    }

    /// What the server was asked since the last call, in short.
    fn asked(&self) -> Vec<String> {
        self.server.take_asked().iter().map(short).collect()
    }

    /// The cache has what the server has.
    fn check(&self) {
        let versions = |version: &str| version.parse::<u64>().unwrap();
        let expected = self.server.list(ALL);
        let expected: Vec<u64> =
            expected.iter().map(|object| versions(object["metadata"]["resourceVersion"].as_str().unwrap())).collect();
        let cached: Vec<Arc<ConfigMap>> = self.cache.list(None);
        let cached: Vec<u64> =
            cached.iter().map(|object| versions(object.metadata.resource_version.as_ref().unwrap())).collect();
        assert_eq!(cached, expected);
    }
}

/// `list`, `list not before 7` or `watch from 7`.
fn short(asked: &Asked) -> String {
    let version = asked.parameter("resourceVersion");
    match asked.parameter("resourceVersionMatch") {
        _ if asked.is_watch() => format!("watch from {version}"),
        "NotOlderThan" => format!("list not before {version}"),
        other => format!("list{version}{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_as_the_api_wants_them() {
    let server = FakeServer::new();
    server.put(&path("x"), json!({}));
    let setup = Setup::with(server, |list_watch| list_watch.selecting("metadata.name=x"));
    settle().await;
    let asked: Vec<String> = setup.server.take_asked().iter().map(Asked::to_string).collect();
    let watch =
        "allowWatchBookmarks=true&fieldSelector=metadata.name=x&resourceVersion=1&timeoutSeconds=290&watch=true";
    let list = format!("GET {ALL}?fieldSelector=metadata.name=x&limit=10000");
    assert_eq!(asked, [list, format!("GET {ALL}?{watch}")]);
    assert!(setup.cache.has_synced(&resource()));
}

#[tokio::test(start_paused = true)]
async fn changes_are_seen_as_they_happen() {
    let server = FakeServer::new();
    server.put(&path("x"), json!({}));
    let setup = Setup::new(server);
    settle().await;
    assert_eq!(setup.told(), ["x ->1"]);
    setup.put("y");
    setup.put("x");
    setup.server.remove(&path("y"));
    setup.put("y");
    settle().await;
    assert_eq!(setup.told(), ["y ->2", "x 1>3", "y 2>-", "y ->5"]);
    assert_eq!(setup.asked(), ["list", "watch from 1"]);
    setup.check();
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_where_it_was() {
    let setup = Setup::new(FakeServer::new());
    setup.put("x");
    settle().await;
    setup.asked();
    // After an event, after none, after a bookmark, and after a removal.
    let end = async |expected: &str| {
        pass(SHORT).await;
        setup.server.end_watches();
        settle().await;
        assert_eq!(setup.asked(), [expected]);
    };
    end("watch from 1").await;
    end("watch from 1").await;
    setup.server.pass_revisions(10);
    setup.server.bookmark();
    end("watch from 11").await;
    setup.server.remove(&path("x"));
    end("watch from 12").await;
    assert_eq!(setup.told(), ["x ->1", "x 1>-"]);
}

#[tokio::test(start_paused = true)]
async fn what_happens_between_watches_is_not_lost() {
    for within_event in [false, true] {
        let setup = Setup::new(FakeServer::new());
        setup.put("x");
        settle().await;
        setup.server.hold_watches(true);
        setup.put("y");
        setup.server.break_watches(within_event);
        setup.server.remove(&path("x"));
        setup.server.hold_watches(false);
        settle().await;
        pass(BACKOFF.first).await;
        assert_eq!(setup.asked(), ["list", "watch from 1", "watch from 1"]);
        assert_eq!(setup.told(), ["x ->1", "y ->2", "x 1>-"]);
        setup.check();
    }
}

/// Sees `x` and `y`; then a watch is away while `x` goes, `y` changes and `z` comes, and the server forgets.
async fn behind(setup: &Setup) {
    setup.put("x");
    setup.put("y");
    pass(SHORT).await;
    setup.asked();
    setup.told();
    setup.server.hold_watches(true);
    setup.server.remove(&path("x"));
    setup.put("y");
    setup.put("z");
    setup.server.compact();
}

const DIFFERENCES: [&str; 3] = ["x 1>-", "y 2>4", "z ->5"];

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_listed_again() {
    let check = async |fail: &dyn Fn(&FakeServer), expected: &[&str]| {
        let setup = Setup::new(FakeServer::new());
        settle().await;
        behind(&setup).await;
        fail(&setup.server);
        settle().await;
        setup.server.hold_watches(false);
        assert_eq!(setup.told(), DIFFERENCES);
        assert_eq!(setup.asked(), expected);
        setup.put("x");
        settle().await;
        assert_eq!(setup.told(), ["x ->6"]);
        setup.check();
    };
    let expected = ["watch from 2", "list not before 2", "watch from 5"];
    check(&FakeServer::end_watches, &expected).await;
    check(&|server| server.tell_error(410, "Expired"), &expected[1..]).await;
    check(&|server| server.tell_error(410, "Gone"), &expected[1..]).await;
    let refuse = |server: &FakeServer| {
        server.fail("NotOlderThan", 1, Fault::Refused(410, "Expired"));
        server.end_watches();
    };
    check(&refuse, &["watch from 2", "list not before 2", "list", "watch from 5"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_gone_back_is_followed() {
    let setup = Setup::new(FakeServer::new());
    setup.put("x");
    setup.server.pass_revisions(100);
    setup.put("y");
    settle().await;
    setup.asked();
    setup.server.remove(&path("y"));
    pass(SHORT).await;
    setup.server.restore(50);
    setup.put("z");
    settle().await;
    pass(BACKOFF.first).await;
    assert_eq!(setup.asked(), ["watch from 103", "list not before 103", "list", "watch from 51"]);
    assert_eq!(setup.told(), ["x ->1", "y ->102", "y 102>-", "z ->51"]);
    setup.cache.shows(&crate::resource::Key::of::<ConfigMap>("a", "z"), &super::super::Written::At(51)).await;
    setup.check();
}

/// How long was waited between the requests of which there were more than one.
fn waits(asked: &[Asked]) -> Vec<u64> {
    let between = asked.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at));
    between.map(|wait| u64::try_from(wait.as_millis()).unwrap()).collect()
}

const DOUBLING: [u64; 9] = [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000];

#[tokio::test(start_paused = true)]
async fn lists_that_fail_wait_longer_each_time() {
    for fault in [Fault::Refused(500, "InternalError"), Fault::Refused(403, "Forbidden"), Fault::Broken] {
        let server = FakeServer::new();
        server.put(&path("x"), json!({}));
        server.fail("limit=", DOUBLING.len(), fault);
        let setup = Setup::new(server);
        setup.cache.synced(&resource()).await;
        let lists: Vec<Asked> = setup.server.take_asked().into_iter().filter(|asked| !asked.is_watch()).collect();
        assert_eq!(waits(&lists), DOUBLING);
        settle().await;
        assert_eq!(setup.told(), ["x ->1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_fail_wait_longer_each_time_and_go_on() {
    let fail = Fault::Refused(503, "ServiceUnavailable");
    for fault in [fail, Fault::Refused(429, "TooManyRequests"), Fault::Broken, Fault::Ended] {
        let setup = Setup::new(FakeServer::new());
        setup.put("x");
        pass(SHORT).await;
        setup.server.fail("watch=true", DOUBLING.len(), fault);
        setup.server.take_asked();
        setup.server.end_watches();
        pass(Duration::from_secs(100)).await;
        let asked = setup.server.take_asked();
        assert_eq!(waits(&asked), DOUBLING);
        assert!(asked.iter().all(|asked| short(asked) == "watch from 1"));
        // It is well again, and what happens then is no further failure.
        setup.put("x");
        settle().await;
        setup.server.end_watches();
        settle().await;
        assert_eq!(setup.asked(), ["watch from 2"]);
        assert_eq!(setup.told(), ["x ->1", "x 1>2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_be_is_listed_again_later() {
    let setup = Setup::new(FakeServer::new());
    setup.put("x");
    settle().await;
    setup.server.take_asked();
    setup.server.fail("watch=true", 3, Fault::Refused(403, "Forbidden"));
    pass(SHORT).await;
    setup.server.end_watches();
    pass(Duration::from_secs(10)).await;
    let asked = setup.server.take_asked();
    assert_eq!(waits(&asked), [200, 0, 400, 0, 800, 0]);
    assert_eq!(short(&asked[1]), "list not before 1");
}

#[tokio::test(start_paused = true)]
async fn lists_whose_watches_always_expire_wait_longer_each_time() {
    let setup = Setup::new(FakeServer::new());
    setup.server.fail("watch=true", 5, Fault::Refused(410, "Expired"));
    pass(Duration::from_secs(10)).await;
    assert_eq!(waits(&setup.server.take_asked()), [0, 200, 0, 400, 0, 800, 0, 1600, 0, 3200, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let server = FakeServer::new();
    server.fail("limit=", 1, Fault::Silence);
    server.fail("watch=true", 1, Fault::Silence);
    let setup = Setup::new(server);
    pass(Duration::from_secs(1000)).await;
    // The second watch begins, and hears nothing.
    assert_eq!(waits(&setup.server.take_asked()), [60_200, 0, 300_000, 300_000, 300_000]);
    assert_eq!(setup.server.under_way(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages_of_one_revision() {
    let server = FakeServer::new();
    for name in ["p", "q", "r", "s", "t"] {
        server.put(&path(name), json!({}));
    }
    server.take(MOMENT);
    let setup = Setup::with(server, |list_watch| ListWatch { page: 2, ..list_watch });
    pass(MOMENT + MOMENT / 2).await;
    setup.server.remove(&path("t"));
    assert!(setup.told().is_empty(), "a part of a list is shown to nobody");
    pass(10 * MOMENT).await;
    let asked = setup.server.take_asked();
    let tokens: Vec<&str> = asked.iter().map(|asked| asked.parameter("continue")).collect();
    assert!(asked.iter().all(|asked| asked.is_watch() || asked.parameter("limit") == "2"));
    assert!(tokens[0].is_empty() && !tokens[1].is_empty() && !tokens[2].is_empty() && tokens[1] != tokens[2]);
    assert_eq!(short(&asked[3]), "watch from 5");
    assert_eq!(setup.told(), ["p ->1", "q ->2", "r ->3", "s ->4", "t ->5", "t 5>-"]);
    setup.check();
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_pages_expire_is_read_whole() {
    let server = FakeServer::new();
    for name in ["p", "q", "r"] {
        server.put(&path(name), json!({}));
    }
    server.take(MOMENT);
    let setup = Setup::with(server, |list_watch| ListWatch { page: 2, ..list_watch });
    pass(MOMENT + MOMENT / 2).await;
    setup.server.remove(&path("p"));
    setup.server.compact();
    pass(10 * MOMENT).await;
    let asked = setup.server.take_asked();
    let limits: Vec<&str> = asked.iter().map(|asked| asked.parameter("limit")).collect();
    assert_eq!(limits, ["2", "2", "", ""]);
    assert!(asked[2].parameter("continue").is_empty());
    assert_eq!(short(&asked[3]), "watch from 4");
    assert_eq!(setup.told(), ["q ->2", "r ->3"]);
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_is_not_served_has_no_objects() {
    let server = FakeServer::new();
    server.put(&path("x"), json!({}));
    server.fail(ALL, 2, Fault::Refused(404, "NotFound"));
    let setup = Setup::new(server);
    settle().await;
    assert!(setup.cache.has_synced(&resource()) && setup.told().is_empty());
    pass(SHORT).await;
    assert_eq!(setup.told(), ["x ->1"]);
    // What was there once may come back.
    setup.server.fail(ALL, 3, Fault::Refused(404, "NotFound"));
    setup.server.end_watches();
    pass(BACKOFF.first).await;
    assert!(setup.told().is_empty());
    pass(Duration::from_secs(10)).await;
    setup.check();
}

#[tokio::test(start_paused = true)]
async fn metadata_is_all_that_is_asked_for() {
    let (server, cache) = (FakeServer::new(), Cache::new());
    server.put(&path("x"), json!({"data": {"a": "b"}}));
    let mut tasks = JoinSet::new();
    tasks.spawn(ListWatch::new(server.client(), cache.clone(), resource()).run_metadata());
    settle().await;
    server.put(&path("y"), json!({}));
    settle().await;
    let accepted: Vec<String> = server.asked().into_iter().map(|asked| asked.accept).collect();
    let kind = |kind: &str| format!("application/json;as={kind};g=meta.k8s.io;v=v1");
    assert_eq!(accepted, [kind("PartialObjectMetadataList"), kind("PartialObjectMetadata")]);
    assert_eq!(cache.list_any("configmaps", Some("a")).len(), 2);
    assert!(cache.list::<ConfigMap>(None).is_empty());
}

/// Writes down what it is told.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Sink<ConfigMap> for Arc<Log> {
    fn replace(&self, listed: Vec<ConfigMap>, revision: u64) {
        self.0.lock().push(format!("{} at {revision}", listed.len()));
    }

    fn put(&self, object: ConfigMap) {
        self.0.lock().push(format!("put {}", object.metadata.name.unwrap()));
    }

    fn remove(&self, object: ConfigMap) {
        self.0.lock().push(format!("remove {}", object.metadata.name.unwrap()));
    }

    fn advance(&self, revision: u64) {
        self.0.lock().push(format!("now {revision}"));
    }
}

#[tokio::test(start_paused = true)]
async fn sinks_are_told_what_caches_are() {
    let (server, log) = (FakeServer::new(), Arc::<Log>::default());
    server.put(&path("x"), json!({}));
    let mut tasks = JoinSet::new();
    tasks.spawn(ListWatch::telling(server.client(), Arc::clone(&log), resource()).tell::<ConfigMap>());
    settle().await;
    server.put(&path("y"), json!({}));
    server.remove(&path("x"));
    server.pass_revisions(4);
    server.bookmark();
    settle().await;
    assert_eq!(*log.0.lock(), ["1 at 1", "put y", "remove x", "now 7"]);
    drop(tasks);
    settle().await;
    assert_eq!(server.under_way(), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Remove(usize),
    End,
    Break(bool),
    Forget,
    Lag(bool),
    Bookmark,
    Fail(&'static str, Fault),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(Fault::Refused(410, "Expired")),
        Just(Fault::Refused(500, "InternalError")),
        Just(Fault::Refused(404, "NotFound")),
        Just(Fault::Broken),
        Just(Fault::Silence),
    ];
    let what = prop_oneof![Just("watch=true"), Just("limit="), Just("continue=")];
    prop_oneof![
        6 => (0..6_usize).prop_map(Step::Put),
        3 => (0..6_usize).prop_map(Step::Remove),
        1 => Just(Step::End),
        1 => any::<bool>().prop_map(Step::Break),
        1 => Just(Step::Forget),
        2 => any::<bool>().prop_map(Step::Lag),
        1 => Just(Step::Bookmark),
        2 => (what, fault).prop_map(|(what, fault)| Step::Fail(what, fault)),
        4 => (1..500_u64).prop_map(Step::Pass),
    ]
}

async fn run(steps: Vec<Step>) {
    let server = FakeServer::new();
    server.take(MOMENT);
    let setup = Setup::with(server, |list_watch| ListWatch { page: 2, ..list_watch });
    for step in steps {
        let name = |number: usize| format!("o{number}");
        match step {
            Step::Put(number) => drop(setup.put(&name(number)).to_string()),
            Step::Remove(number) => setup.server.remove(&path(&name(number))),
            Step::End => setup.server.end_watches(),
            Step::Break(within_event) => setup.server.break_watches(within_event),
            Step::Forget => setup.server.compact(),
            Step::Lag(hold) => setup.server.hold_watches(hold),
            // A real one says only what it has come to.
            Step::Bookmark => {
                setup.server.hold_watches(false);
                setup.server.bookmark();
            }
            Step::Fail(what, fault) => setup.server.fail(what, 1, fault),
            Step::Pass(millis) => pass(Duration::from_millis(millis)).await,
        }
    }
    setup.server.recover();
    setup.server.hold_watches(false);
    // Longer than any silence and any wait.
    pass(Duration::from_secs(1000)).await;
    setup.check();
    assert_eq!(setup.server.under_way(), (0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_happens_the_cache_comes_to_what_there_is(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(steps));
    }
}

#[tokio::test(start_paused = true)]
async fn labels_are_asked_for_in_lists_and_watches() {
    let setup = Setup::with(FakeServer::new(), |it| it.labelled("app=web,!canary"));
    settle().await;
    let asked = setup.server.asked();
    assert!(asked.len() >= 2, "{asked:?}");
    assert!(asked.iter().all(|asked| asked.parameter("labelSelector") == "app=web,!canary"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn one_object_of_a_namespace_is_asked_for_where_it_is() {
    let setup = Setup::with(FakeServer::new(), |it| it.within("a").selecting("metadata.name=x"));
    settle().await;
    let asked: Vec<Asked> = setup.server.asked();
    assert!(asked.iter().all(|asked| asked.path == "/api/v1/namespaces/a/configmaps"), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.parameter("fieldSelector") == "metadata.name=x"), "{asked:?}");
    assert!(asked.len() == 2 && asked[1].is_watch(), "{asked:?}");
}
