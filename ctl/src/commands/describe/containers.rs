//! The containers of pods and of templates of pods.

use api::quantity::Quantity;
use serde_json::Value;

use super::page::{Page, list, or_none, shown, texts, truth};

/// Containers under a title. A pod's have statuses; a template's have none, and are indented.
pub(super) fn describe(page: &mut Page, title: &str, containers: &[Value], pod: Option<&Value>, statuses: &Value) {
    let indent = if pod.is_some() { "" } else { "  " };
    let none = if containers.is_empty() { " <none>" } else { "" };
    page.put(&format!("{indent}{title}:{none}\n"));
    for container in containers {
        let status = list(statuses).iter().find(|status| status["name"] == container["name"]);
        basics(page, container, status, pod.is_none());
        command(page, container);
        if let Some(status) = status {
            state(page, "State", &status["state"]);
            if !status["lastState"]["terminated"].is_null() {
                state(page, "Last State", &status["lastState"]);
            }
            page.field(2, "Ready", truth(status["ready"] == true));
            page.field(2, "Restart Count", &status["restartCount"].as_i64().unwrap_or(0).to_string());
        }
        resources(page, 2, &container["resources"]);
        for (title, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if !container[field].is_null() {
                page.field(2, title, &probe(&container[field]));
            }
        }
        sources(page, container);
        environment(page, container, pod);
        mounts(page, container);
    }
}

fn basics(page: &mut Page, container: &Value, status: Option<&Value>, of_template: bool) {
    let indent = if of_template { " " } else { "" };
    page.line(1, &format!("{indent}{}:", shown(&container["name"])));
    if let Some(status) = status {
        page.field(2, "Container ID", &shown(&status["containerID"]));
    }
    page.field(2, "Image", &shown(&container["image"]));
    if let Some(status) = status {
        page.field(2, "Image ID", &shown(&status["imageID"]));
    }
    for (title, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let ports: Vec<String> = list(&container["ports"]).iter().map(|port| port_text(port, field)).collect();
        let plural = if ports.len() > 1 { "s" } else { "" };
        page.field(2, &format!("{title}{plural}"), &or_none(ports.join(", ")));
    }
    let profile = &container["securityContext"]["seccompProfile"];
    if !profile.is_null() {
        page.field(2, "SeccompProfile", &shown(&profile["type"]));
        if profile["type"] == "Localhost" {
            page.field(3, "LocalhostProfile", &shown(&profile["localhostProfile"]));
        }
    }
}

/// A port, with its name.
fn port_text(port: &Value, field: &str) -> String {
    let text = format!("{}/{}", port[field].as_i64().unwrap_or(0), shown(&port["protocol"]));
    match port["name"].as_str().filter(|name| !name.is_empty()) {
        Some(name) => format!("{text} ({name})"),
        None => text,
    }
}

fn command(page: &mut Page, container: &Value) {
    for (title, field) in [("Command", "command"), ("Args", "args")] {
        let words = texts(&container[field]);
        if !words.is_empty() {
            page.line(2, &format!("{title}:"));
        }
        for line in words.iter().flat_map(|word| word.split('\n')) {
            page.line(3, line);
        }
    }
}

fn state(page: &mut Page, title: &str, state: &Value) {
    let (running, waiting, terminated) = (&state["running"], &state["waiting"], &state["terminated"]);
    if !running.is_null() {
        page.field(2, title, "Running");
        let started = page.clock.time(&running["startedAt"]);
        return page.field(3, "Started", &started);
    }
    if terminated.is_null() {
        page.field(2, title, "Waiting");
        return page.field_if(3, "Reason", &waiting["reason"]);
    }
    page.field(2, title, "Terminated");
    page.field_if(3, "Reason", &terminated["reason"]);
    page.field_if(3, "Message", &terminated["message"]);
    page.field(3, "Exit Code", &terminated["exitCode"].as_i64().unwrap_or(0).to_string());
    if terminated["signal"].as_i64().unwrap_or(0) > 0 {
        page.field(3, "Signal", &shown(&terminated["signal"]));
    }
    for (title, field) in [("Started", "startedAt"), ("Finished", "finishedAt")] {
        let time = page.clock.time(&terminated[field]);
        page.field(3, title, &time);
    }
}

/// Limits and requests.
pub(super) fn resources(page: &mut Page, level: usize, resources: &Value) {
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let Some(quantities) = resources[field].as_object().filter(|quantities| !quantities.is_empty()) else {
            continue;
        };
        page.line(level, &format!("{title}:"));
        let mut quantities: Vec<_> = quantities.iter().collect();
        quantities.sort_by_key(|(name, _)| *name);
        for (name, quantity) in quantities {
            page.field(level + 1, name, &shown(quantity));
        }
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str| probe[field].as_i64().unwrap_or(0);
    let limits = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    let (exec, get, tcp, grpc) = (&probe["exec"], &probe["httpGet"], &probe["tcpSocket"], &probe["grpc"]);
    if !exec.is_null() {
        format!("exec [{}] {limits}", texts(&exec["command"]).join(" "))
    } else if !get.is_null() {
        let host = shown(&get["host"]);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let scheme = shown(&get["scheme"]).to_lowercase();
        let path = shown(&get["path"]);
        let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
        format!("http-get {scheme}://{host}:{}{slash}{} {limits}", shown(&get["port"]), escaped(&path))
    } else if !tcp.is_null() {
        format!("tcp-socket {}:{} {limits}", shown(&tcp["host"]), shown(&tcp["port"]))
    } else if !grpc.is_null() {
        format!("grpc <pod>:{} {} {limits}", shown(&grpc["port"]), shown(&grpc["service"]))
    } else {
        format!("unknown {limits}")
    }
}

/// A path as Go's URLs write it.
fn escaped(path: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const OTHER: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b'\\')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    utf8_percent_encode(path, OTHER).to_string()
}

fn sources(page: &mut Page, container: &Value) {
    let sources = list(&container["envFrom"]);
    if !sources.is_empty() {
        page.line(2, "Environment Variables from:");
    }
    for source in sources {
        let (kind, reference) = if source["configMapRef"].is_null() {
            ("Secret", &source["secretRef"])
        } else {
            ("ConfigMap", &source["configMapRef"])
        };
        let prefix = shown(&source["prefix"]);
        let with = if prefix.is_empty() { String::new() } else { format!(" with prefix '{prefix}'") };
        let optional = reference["optional"] == true;
        page.line(3, &format!("{}\t{kind}{with}\tOptional: {optional}", shown(&reference["name"])));
    }
}

fn environment(page: &mut Page, container: &Value, pod: Option<&Value>) {
    let variables = list(&container["env"]);
    page.line(2, if variables.is_empty() { "Environment:\t<none>" } else { "Environment:" });
    for variable in variables {
        let (name, from) = (shown(&variable["name"]), &variable["valueFrom"]);
        if from.is_null() {
            let value = shown(&variable["value"]);
            for (index, line) in value.split('\n').enumerate() {
                page.line(3, &if index == 0 { format!("{name}:\t{line}") } else { format!("\t{line}") });
            }
            continue;
        }
        let (field, resource) = (&from["fieldRef"], &from["resourceFieldRef"]);
        if !field.is_null() {
            let path = shown(&field["fieldPath"]);
            let value = pod.map(|pod| field_value(pod, &path)).unwrap_or_default();
            page.field(3, &name, &format!("{value} ({}:{path})", shown(&field["apiVersion"])));
        } else if !resource.is_null() {
            let of = shown(&resource["resource"]);
            let mut value = resource_value(container, &of, &shown(&resource["divisor"]));
            if value == "0" && (of == "limits.cpu" || of == "limits.memory") {
                "node allocatable".clone_into(&mut value);
            }
            page.field(3, &name, &format!("{value} ({of})"));
        }
        for (kind, what) in [("secretKeyRef", "in secret"), ("configMapKeyRef", "of config map")] {
            let reference = &from[kind];
            if !reference.is_null() {
                let (key, object) = (shown(&reference["key"]), shown(&reference["name"]));
                let optional = reference["optional"] == true;
                page.line(3, &format!("{name}:\t<set to the key '{key}' {what} '{object}'>\tOptional: {optional}"));
            }
        }
    }
}

/// What a variable is set to by a field of its pod. Only those of its metadata are told.
fn field_value(pod: &Value, path: &str) -> String {
    let meta = &pod["metadata"];
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        return map.strip_prefix("metadata.").map(|map| shown(&meta[map][key])).unwrap_or_default();
    }
    match path {
        "metadata.name" | "metadata.namespace" | "metadata.uid" => shown(&meta[&path["metadata.".len()..]]),
        _ => String::new(),
    }
}

/// What a variable is set to by a resource of its container, in whole divisors, rounded up.
fn resource_value(container: &Value, resource: &str, divisor: &str) -> String {
    let Some((of, name)) = resource.split_once('.') else { return String::new() };
    let quantity = shown(&container["resources"][of][name]);
    let quantity = Quantity::parse(if quantity.is_empty() { "0" } else { &quantity });
    let divisor = Quantity::parse(if matches!(divisor, "" | "0") { "1" } else { divisor });
    let (Ok(quantity), Ok(divisor)) = (quantity, divisor) else { return String::new() };
    let (amount, unit) = match name {
        "cpu" => (quantity.milli_value(), divisor.milli_value()),
        _ => (quantity.value(), divisor.value()),
    };
    if unit <= 0 { String::new() } else { (amount / unit + i64::from(amount % unit > 0)).to_string() }
}

fn mounts(page: &mut Page, container: &Value) {
    let mut mounts: Vec<&Value> = list(&container["volumeMounts"]).iter().collect();
    mounts.sort_by_key(|mount| shown(&mount["mountPath"]));
    let none = if mounts.is_empty() { "\t<none>" } else { "" };
    page.line(2, &format!("Mounts:{none}"));
    for mount in mounts {
        let mut flags = if mount["readOnly"] == true { "ro".to_owned() } else { "rw".to_owned() };
        let path = shown(&mount["subPath"]);
        if !path.is_empty() {
            flags = format!("{flags},path={path:?}");
        }
        page.line(3, &format!("{} from {} ({flags})", shown(&mount["mountPath"]), shown(&mount["name"])));
    }
    let mut devices: Vec<&Value> = list(&container["volumeDevices"]).iter().collect();
    devices.sort_by_key(|device| shown(&device["devicePath"]));
    if !devices.is_empty() {
        page.line(2, &format!("Devices:{none}"));
    }
    for device in devices {
        page.line(3, &format!("{} from {}", shown(&device["devicePath"]), shown(&device["name"])));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn probes_are_told_in_a_line() {
        let check = |value: Value, expected: &str| assert_eq!(probe(&value), expected, "{value}");
        let rest = "delay=0s timeout=1s period=10s #success=1 #failure=3";
        let with = |field: &str, value: Value| json!({field: value, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3});
        check(with("exec", json!({"command": ["cat", "/x"]})), &format!("exec [cat /x] {rest}"));
        let get = json!({"scheme": "HTTP", "port": "http", "path": "/a b"});
        check(with("httpGet", get), &format!("http-get http://:http/a%20b {rest}"));
        let get = json!({"scheme": "HTTPS", "port": 8443, "host": "::1", "path": "x"});
        check(with("httpGet", get), &format!("http-get https://[::1]:8443/x {rest}"));
        check(with("tcpSocket", json!({"port": 80})), &format!("tcp-socket :80 {rest}"));
        check(with("grpc", json!({"port": 9, "service": "s"})), &format!("grpc <pod>:9 s {rest}"));
        check(with("other", json!({})), &format!("unknown {rest}"));
    }

    #[test]
    fn resources_of_variables_are_in_divisors() {
        let container = json!({"resources": {"limits": {"cpu": "1500m", "memory": "10Mi"}, "requests": {"cpu": "1"}}});
        let check = |resource: &str, divisor: &str, expected: &str| {
            assert_eq!(resource_value(&container, resource, divisor), expected, "{resource} {divisor}");
        };
        check("limits.cpu", "", "2");
        check("limits.cpu", "0", "2");
        check("limits.cpu", "1m", "1500");
        check("limits.memory", "1Mi", "10");
        check("requests.memory", "", "0");
        check("nonsense", "", "");
    }

    #[test]
    fn fields_of_variables_are_of_the_metadata() {
        let pod = json!({"metadata": {"name": "a", "labels": {"x/y": "z"}}, "spec": {"nodeName": "n"}});
        let check = |path: &str, expected: &str| assert_eq!(field_value(&pod, path), expected, "{path}");
        check("metadata.name", "a");
        check("metadata.labels['x/y']", "z");
        check("metadata.annotations['x']", "");
        check("spec.nodeName", "");
    }
}
