//! What is run or called in a container: probes, lifecycle hooks and the signal to stop.

use api::field::{Error, ErrorList, Path};
use api::names;
use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::absent::{list, number, text};
use super::container::validate_port_number;
use super::containers::Surroundings;
use super::rules::{named, non_negative, present, supported};

/// The signals that have one name each; the real-time ones follow from their bounds.
const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGRTMIN",
    "SIGRTMAX",
];
const MAX_ABOVE_RTMIN: u32 = 15;
const MAX_BELOW_RTMAX: u32 = 14;

/// The hooks and probes of a container that may have them.
pub(super) fn validate(container: &Container, context: &Surroundings<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let grace = context.spec.termination_grace_period_seconds;
    if let Some(lifecycle) = &container.lifecycle {
        let os = context.spec.os.as_ref().map(|os| &*os.name);
        errors.extend(validate_lifecycle(lifecycle, grace, os, &path.child("lifecycle")));
    }
    let once = |probe: &Probe, path: &Path| {
        let threshold = number(probe.success_threshold);
        (threshold != 1).then(|| Error::invalid(&path.child("successThreshold"), threshold, "must be 1"))
    };
    if let Some(probe) = &container.liveness_probe {
        let path = path.child("livenessProbe");
        errors.extend(validate_probe(probe, &path));
        errors.extend(once(probe, &path));
    }
    if let Some(probe) = &container.readiness_probe {
        let path = path.child("readinessProbe");
        errors.extend(validate_probe(probe, &path));
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let path = path.child("terminationGracePeriodSeconds");
            errors.push(Error::invalid(&path, seconds, "must not be set for readinessProbes"));
        }
    }
    if let Some(probe) = &container.startup_probe {
        let path = path.child("startupProbe");
        errors.extend(validate_probe(probe, &path));
        errors.extend(once(probe, &path));
    }
    errors
}

fn validate_probe(probe: &Probe, path: &Path) -> ErrorList {
    let handlers = [
        ("exec", probe.exec.as_ref().map(Handler::Exec)),
        ("httpGet", probe.http_get.as_ref().map(Handler::HttpGet)),
        ("tcpSocket", probe.tcp_socket.as_ref().map(Handler::TcpSocket)),
        ("grpc", probe.grpc.as_ref().map(Handler::Grpc)),
    ];
    let mut errors = validate_handlers(handlers, None, path);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        errors.extend(non_negative(number(value).into(), &path.child(field)));
    }
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|seconds| *seconds <= 0) {
        let path = path.child("terminationGracePeriodSeconds");
        errors.push(Error::invalid(&path, seconds, "must be greater than 0"));
    }
    errors
}

fn validate_lifecycle(lifecycle: &Lifecycle, grace: Option<i64>, os: Option<&str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let hooks = [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)];
    for (field, hook) in hooks {
        if let Some(hook) = hook {
            errors.extend(validate_hook(hook, grace, &path.child(field)));
        }
    }
    if let Some(signal) = &lifecycle.stop_signal {
        errors.extend(validate_stop_signal(signal, os, &path.child("stopSignal")));
    }
    errors
}

fn validate_hook(hook: &LifecycleHandler, grace: Option<i64>, path: &Path) -> ErrorList {
    let handlers = [
        ("exec", hook.exec.as_ref().map(Handler::Exec)),
        ("httpGet", hook.http_get.as_ref().map(Handler::HttpGet)),
        ("tcpSocket", hook.tcp_socket.as_ref().map(Handler::TcpSocket)),
        ("sleep", hook.sleep.as_ref().map(Handler::Sleep)),
    ];
    validate_handlers(handlers, grace, path)
}

enum Handler<'a> {
    Exec(&'a ExecAction),
    HttpGet(&'a HTTPGetAction),
    TcpSocket(&'a TCPSocketAction),
    Grpc(&'a GRPCAction),
    Sleep(&'a SleepAction),
}

/// That there is exactly one handler, and its own rules.
fn validate_handlers(handlers: [(&str, Option<Handler<'_>>); 4], grace: Option<i64>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut found = false;
    for (field, handler) in handlers {
        let Some(handler) = handler else { continue };
        let path = path.child(field);
        if std::mem::replace(&mut found, true) {
            errors.push(Error::forbidden(&path, "may not specify more than 1 handler type"));
            continue;
        }
        match handler {
            Handler::Exec(exec) if list(&exec.command).is_empty() => {
                errors.push(Error::required(&path.child("command"), ""));
            }
            Handler::Exec(_) => {}
            Handler::HttpGet(action) => errors.extend(validate_http_get(action, &path)),
            Handler::TcpSocket(action) => errors.extend(validate_port(&action.port, &path.child("port"))),
            Handler::Grpc(action) => {
                errors.extend(validate_port_number(action.port, &path.child("port")));
                if let Some(mode) = &action.mode {
                    errors.extend(supported(mode, &["Plaintext", "TLS"], &path.child("mode")));
                }
            }
            Handler::Sleep(action) => errors.extend(validate_sleep(action, grace, &path)),
        }
    }
    if !found {
        errors.push(Error::required(path, "must specify a handler type"));
    }
    errors
}

fn validate_http_get(action: &HTTPGetAction, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    errors.extend(present(text(&action.path), &path.child("path")));
    errors.extend(validate_port(&action.port, &path.child("port")));
    errors.extend(supported(text(&action.scheme), &["HTTP", "HTTPS"], &path.child("scheme")));
    for header in list(&action.http_headers) {
        errors.extend(named(&header.name, names::http_header_name(&header.name), &path.child("httpHeaders")));
    }
    errors
}

fn validate_port(port: &IntOrString, path: &Path) -> ErrorList {
    match port {
        IntOrString::Int(port) => validate_port_number(*port, path),
        IntOrString::String(name) => named(name, names::port_name(name), path),
    }
}

/// Without a grace period of the pod, which is an error of its own, nothing is said.
fn validate_sleep(action: &SleepAction, grace: Option<i64>, path: &Path) -> Option<Error> {
    let grace = grace.filter(|grace| !(0..=*grace).contains(&action.seconds))?;
    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
    Some(Error::invalid(path, action.seconds, detail))
}

fn validate_stop_signal(signal: &str, os: Option<&str>, path: &Path) -> Option<Error> {
    match os {
        None => Some(Error::forbidden(path, "may not be set for containers with empty `spec.os.name`")),
        Some("windows") => supported(signal, &["SIGKILL", "SIGTERM"], path),
        Some("linux") => {
            let above = (1..=MAX_ABOVE_RTMIN).map(|n| format!("SIGRTMIN+{n}"));
            let below = (1..=MAX_BELOW_RTMAX).map(|n| format!("SIGRTMAX-{n}"));
            let mut signals: Vec<String> = SIGNALS.iter().map(|signal| (*signal).to_owned()).collect();
            signals.extend(above.chain(below));
            signals.sort_unstable();
            let signals: Vec<&str> = signals.iter().map(String::as_str).collect();
            supported(signal, &signals, path)
        }
        Some(_) => None,
    }
}
