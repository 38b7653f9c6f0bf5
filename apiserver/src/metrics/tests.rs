//! Metrics as a reader of them finds them.

use store::Revision;

use super::*;

fn labels(resource: &str) -> RequestLabels {
    RequestLabels {
        verb: "GET",
        version: "v1".into(),
        resource: resource.to_owned().into(),
        ..RequestLabels::default()
    }
}

fn lines(text: &str, containing: &str) -> Vec<String> {
    text.lines().filter(|line| line.contains(containing)).map(str::to_owned).collect()
}

#[test]
fn requests_are_counted_under_upstreams_names() {
    let metrics = Metrics::new();
    metrics.request(labels("pods"), 200, Duration::from_millis(30));
    metrics.request(labels("pods"), 200, Duration::from_millis(1));
    let text = metrics.expose(Exposition::Plain);
    let expected = "apiserver_request_total{verb=\"GET\",dry_run=\"\",group=\"\",version=\"v1\",resource=\"pods\",\
                    subresource=\"\",scope=\"\",component=\"apiserver\",code=\"200\"} 2";
    assert_eq!(lines(&text, "apiserver_request_total{"), [expected]);
    assert_eq!(lines(&text, "# TYPE apiserver_request_total"), ["# TYPE apiserver_request_total counter"]);
    assert_eq!(lines(&text, "# HELP apiserver_request_total").len(), 1);
    let buckets = lines(&text, "apiserver_request_duration_seconds_bucket{");
    assert_eq!(buckets.len(), DURATION_BUCKETS.len() + 1);
    assert!(buckets[0].ends_with(" 1") && buckets[2].ends_with(" 2"), "{buckets:?}");
    assert!(lines(&text, "# EOF").is_empty());

    let open = metrics.expose(Exposition::OpenMetrics);
    assert!(open.ends_with("# EOF\n"));
    assert_eq!(lines(&open, "# TYPE apiserver_request "), ["# TYPE apiserver_request counter"]);
}

#[test]
fn what_is_under_way_is_counted_while_it_lives() {
    let metrics = Metrics::new();
    let count = |name: &str| {
        let text = metrics.expose(Exposition::Plain);
        lines(&text, name).iter().map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum::<i64>()
    };
    let under_way = (metrics.in_flight(RequestKind::Mutating), metrics.long_running(labels("pods")));
    assert_eq!(count("apiserver_current_inflight_requests{request_kind=\"mutating\"}"), 1);
    assert_eq!(count("apiserver_longrunning_requests{"), 1);
    drop(under_way);
    assert_eq!(count("apiserver_current_inflight_requests{request_kind=\"mutating\"}"), 0);
    assert_eq!(count("apiserver_longrunning_requests{"), 0);
    metrics.watch_events("", "v1", "pods").sent(100);
    assert_eq!(count("apiserver_watch_events_total{group=\"\",version=\"v1\",resource=\"pods\"}"), 1);
}

#[test]
fn the_number_of_series_is_bounded() {
    let metrics = Metrics::new();
    for n in 0..MAX_SERIES + 100 {
        metrics.request(labels(&format!("r{n}")), 200, Duration::ZERO);
    }
    let text = metrics.expose(Exposition::Plain);
    let series = lines(&text, "apiserver_request_total{");
    assert_eq!(series.len(), MAX_SERIES + 1);
    let other = series.iter().find(|line| line.contains("verb=\"other\"")).unwrap();
    assert!(other.ends_with(" 100"), "{other}");
}

#[test]
fn the_process_and_the_store_are_shown() {
    let metrics = Metrics::new();
    metrics.observe_store(|| StoreStats {
        revision: Revision(42),
        oldest: Revision(7),
        keys: 3,
        history_events: 35,
        history_weight: 1000,
        watches: 2,
    });
    let text = metrics.expose(Exposition::Plain);
    let value = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap()
    };
    assert_eq!(value("gantry_store_revision"), 42.0);
    assert_eq!(value("gantry_store_watches"), 2.0);
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_start_time_seconds") > 1.5e9);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
}

#[test]
fn formats_are_negotiated() {
    let check = |accept: &str, expected: Exposition| {
        let mut headers = http::HeaderMap::new();
        headers.insert("accept", accept.parse().unwrap());
        assert_eq!(Exposition::negotiate(&headers), expected, "{accept}");
    };
    check("*/*", Exposition::Plain);
    check("text/plain", Exposition::Plain);
    check("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4", Exposition::OpenMetrics);
}
