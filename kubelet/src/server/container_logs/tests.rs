//! Which log is meant, and in which words there is none.

use serde_json::json;

use super::*;

fn check_options(query: &str, expected: Result<(LogOptions, bool), Malformed>) {
    let now = Timestamp::from_second(1000).unwrap();
    assert_eq!(options(&Query::of(Some(query)), now), expected, "{query}");
}

#[test]
fn options_are_read_as_by_upstream() {
    let at = |second| Some(Timestamp::from_second(second).unwrap());
    let none = LogOptions::default;
    let good = |options| Ok((options, false));
    check_options("", good(none()));
    check_options("follow=true&timestamps=1", good(LogOptions { follow: true, timestamps: true, ..none() }));
    check_options("previous=true", Ok((none(), true)));
    check_options("tailLines=0", good(LogOptions { tail_lines: Some(0), ..none() }));
    check_options("tailLines=5&tail=7", good(LogOptions { tail_lines: Some(7), ..none() }));
    check_options("tailLines=5&tail=all", good(none()));
    check_options("limitBytes=9", good(LogOptions { limit_bytes: Some(9), ..none() }));
    check_options("sinceSeconds=10", good(LogOptions { since: at(990), ..none() }));
    check_options("sinceSeconds=9223372036854775807", good(LogOptions { since: Some(Timestamp::MIN), ..none() }));
    check_options("sinceTime=1970-01-01T00:00:07Z", good(LogOptions { since: at(7), ..none() }));
    check_options("stream=All&tailLines=1", good(LogOptions { tail_lines: Some(1), ..none() }));
    check_options("stream=Stderr", good(LogOptions { streams: LogStreams::Stderr, ..none() }));
    for undecodable in ["tailLines=x", "limitBytes=", "sinceTime=yesterday", "sinceSeconds=1.5"] {
        check_options(undecodable, Err(Malformed::Undecodable));
    }
    let invalid = [
        "tailLines=-1",
        "limitBytes=0",
        "sinceSeconds=0",
        "sinceSeconds=1&sinceTime=1970-01-01T00:00:07Z",
        "stream=Stdin",
        "stream=Stdout&tailLines=1",
    ];
    for invalid in invalid {
        check_options(invalid, Err(Malformed::Invalid));
    }
}

fn check_choice(status: serde_json::Value, previous: bool, expected: Result<&str, &str>) {
    let mut status = status;
    status["name"] = "app".into();
    let pod = json!({"metadata": {"name": "web"}, "status": {"containerStatuses": [status]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let chosen = choose(&pod, "app", previous);
    assert_eq!(chosen.as_deref().map_err(|why| &**why), expected, "{status} {previous}");
}

#[test]
fn the_running_one_is_meant_or_the_last_that_ran() {
    let running = json!({"running": {}});
    let ended = |id: &str| json!({"terminated": {"exitCode": 0, "containerID": id}});
    let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
    let (now, before) = ("containerd://now", "containerd://before");
    check_choice(json!({"state": running, "containerID": now}), false, Ok("now"));
    check_choice(json!({"state": running, "containerID": now, "lastState": ended(before)}), true, Ok("before"));
    check_choice(json!({"state": ended(now)}), false, Ok("now"));
    check_choice(json!({"state": waiting("CrashLoopBackOff"), "lastState": ended(before)}), false, Ok("before"));
    check_choice(json!({"state": ended(""), "lastState": ended(before)}), false, Ok("before"));
    let refused = |what: &str| format!("container \"app\" in pod \"web\" {what}");
    check_choice(json!({"state": ended("")}), false, Err(&refused("is terminated")));
    check_choice(json!({"state": waiting("x"), "lastState": ended("")}), false, Err(&refused("is terminated")));
    for (reason, words) in [
        ("ContainerCreating", "is waiting to start: ContainerCreating"),
        ("PodInitializing", "is waiting to start: PodInitializing"),
        ("ErrImagePull", "is waiting to start: image can't be pulled"),
        ("ImagePullBackOff", "is waiting to start: trying and failing to pull image"),
    ] {
        check_choice(json!({"state": waiting(reason)}), false, Err(&refused(words)));
    }
    check_choice(json!({}), false, Err(&refused("is waiting to start - no logs yet")));
    let previous = "previous terminated container \"app\" in pod \"web\" not found";
    check_choice(json!({"state": running, "containerID": now}), true, Err(previous));
    check_choice(json!({"state": ended(now)}), true, Err(previous));
}

#[test]
fn containers_of_every_role_have_logs() {
    let status = |name: &str| json!([{"name": name, "state": {"running": {}}, "containerID": format!("x://{name}")}]);
    let pod = json!({"metadata": {"name": "web"}, "status": {
        "containerStatuses": status("a"), "initContainerStatuses": status("b"), "ephemeralContainerStatuses": status("c"),
    }});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(choose(&pod, name, false).as_deref(), Ok(name));
    }
    assert_eq!(choose(&pod, "d", false).unwrap_err(), "container \"d\" in pod \"web\" is not available");
    assert_eq!(choose(&Pod::default(), "d", false).unwrap_err(), "container \"d\" in pod \"\" is not available");
}
