//! A template of pods, told as kubectl tells it: a line for each thing, with tabs between what it is called and what it is.

use std::fmt::Write;

use api::quantity::Quantity;
use serde_json::{Map, Value};

/// All of a template, for people.
pub(super) fn describe(template: &Value) -> String {
    let mut text = String::from("Pod Template:\n");
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    pairs(&mut text, "  Labels", &meta["labels"], "=");
    if meta["annotations"].as_object().is_some_and(|all| !all.is_empty()) {
        pairs(&mut text, "  Annotations", &meta["annotations"], ": ");
    }
    named(&mut text, "  Service Account", &spec["serviceAccountName"]);
    if list(&spec["initContainers"]).next().is_some() {
        containers(&mut text, "Init Containers", &spec["initContainers"]);
    }
    containers(&mut text, "Containers", &spec["containers"]);
    volumes(&mut text, &spec["volumes"]);
    spread(&mut text, &spec["topologySpreadConstraints"]);
    named(&mut text, "  Priority Class Name", &spec["priorityClassName"]);
    pairs(&mut text, "  Node-Selectors", &spec["nodeSelector"], "=");
    lines(&mut text, "  Tolerations", &tolerations(&spec["tolerations"]));
    text
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_true(value: &Value) -> bool {
    *value == true
}

/// Texts, one below the other, behind a name.
fn lines(text: &mut String, name: &str, all: &[String]) {
    let first = all.first().map_or("<none>", String::as_str);
    // Writing to a text cannot fail, here and below.
    let _ = writeln!(text, "{name}:\t{first}");
    for line in all.iter().skip(1) {
        let _ = writeln!(text, "\t{line}");
    }
}

fn pairs(text: &mut String, name: &str, map: &Value, between: &str) {
    let own = |(key, value): (&String, &Value)| format!("{key}{between}{}", string(value));
    let all: Vec<String> = map.as_object().into_iter().flatten().map(own).collect();
    lines(text, name, &all);
}

fn named(text: &mut String, name: &str, value: &Value) {
    if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
        let _ = writeln!(text, "{name}:\t{value}");
    }
}

fn containers(text: &mut String, name: &str, containers: &Value) {
    let _ = writeln!(text, "  {name}:{}", if list(containers).next().is_none() { " <none>" } else { "" });
    for container in list(containers) {
        let _ = writeln!(text, "   {}:", string(&container["name"]));
        let _ = writeln!(text, "    Image:\t{}", string(&container["image"]));
        ports(text, &container["ports"]);
        words(text, "Command", &container["command"]);
        words(text, "Args", &container["args"]);
        for (name, resources) in [("Limits", "limits"), ("Requests", "requests")] {
            let all = container["resources"][resources].as_object().filter(|all| !all.is_empty());
            let Some(all) = all else { continue };
            let _ = writeln!(text, "    {name}:");
            for (resource, quantity) in all {
                let _ = writeln!(text, "      {resource}:\t{}", string(quantity));
            }
        }
        for (name, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if let Some(probe) = container[field].as_object() {
                let _ = writeln!(text, "    {name}:\t{}", probe_words(probe));
            }
        }
        environment(text, container);
        mounts(text, container);
    }
}

fn ports(text: &mut String, ports: &Value) {
    let words = |field: &str| -> Vec<String> {
        let word = |port: &Value| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let name = port["name"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{}/{protocol}{name}", port[field].as_i64().unwrap_or(0))
        };
        list(ports).map(word).collect()
    };
    for (name, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let all = words(field);
        let shown = if all.is_empty() { "<none>".to_owned() } else { all.join(", ") };
        let _ = writeln!(text, "    {name}{}:\t{shown}", if all.len() > 1 { "s" } else { "" });
    }
}

/// Words, and each of their lines, on a line of its own.
fn words(text: &mut String, name: &str, all: &Value) {
    if list(all).next().is_none() {
        return;
    }
    let _ = writeln!(text, "    {name}:");
    for word in list(all).map(string) {
        for line in word.split('\n') {
            let _ = writeln!(text, "      {line}");
        }
    }
}

fn probe_words(probe: &Map<String, Value>) -> String {
    let field = |name: &str| probe.get(name).cloned().unwrap_or_default();
    let number = |name: &str| field(name).as_i64().unwrap_or(0);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds"),
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    let what = if let Some(exec) = probe.get("exec") {
        format!("exec [{}]", list(&exec["command"]).map(string).collect::<Vec<_>>().join(" "))
    } else if let Some(get) = probe.get("httpGet") {
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let (host, port, path) = (string(&get["host"]), string(&get["port"]), string(&get["path"]));
        let path = if path.is_empty() || path.starts_with('/') { path } else { format!("/{path}") };
        format!("http-get {scheme}://{host}:{port}{path}")
    } else if let Some(socket) = probe.get("tcpSocket") {
        format!("tcp-socket {}:{}", string(&socket["host"]), string(&socket["port"]))
    } else if let Some(grpc) = probe.get("grpc") {
        format!("grpc <pod>:{} {}", string(&grpc["port"]), string(&grpc["service"]))
    } else {
        "unknown".to_owned()
    };
    format!("{what} {attributes}")
}

fn environment(text: &mut String, container: &Value) {
    if list(&container["envFrom"]).next().is_some() {
        let _ = writeln!(text, "    Environment Variables from:");
        for from in list(&container["envFrom"]) {
            let (kind, source) = if from["configMapRef"].is_object() {
                ("ConfigMap", &from["configMapRef"])
            } else {
                ("Secret", &from["secretRef"])
            };
            let prefix = string(&from["prefix"]);
            let prefix = if prefix.is_empty() { prefix } else { format!(" with prefix '{prefix}'") };
            let _ = writeln!(
                text,
                "      {}\t{kind}{prefix}\tOptional: {}",
                string(&source["name"]),
                is_true(&source["optional"])
            );
        }
    }
    if list(&container["env"]).next().is_none() {
        let _ = writeln!(text, "    Environment:\t<none>");
        return;
    }
    let _ = writeln!(text, "    Environment:");
    for variable in list(&container["env"]) {
        let name = string(&variable["name"]);
        let from = &variable["valueFrom"];
        let key = |source: &Value| (string(&source["key"]), string(&source["name"]), is_true(&source["optional"]));
        if let Some(field) = from["fieldRef"].as_object() {
            let version = field.get("apiVersion").and_then(Value::as_str).unwrap_or("v1");
            let path = field.get("fieldPath").map(string).unwrap_or_default();
            let _ = writeln!(text, "      {name}:\t ({version}:{path})");
        } else if from["resourceFieldRef"].is_object() {
            let resource = &from["resourceFieldRef"]["resource"];
            let value = resource_value(container, &from["resourceFieldRef"]);
            let _ = writeln!(text, "      {name}:\t{value} ({})", string(resource));
        } else if from["configMapKeyRef"].is_object() {
            let (key, of, optional) = key(&from["configMapKeyRef"]);
            let _ =
                writeln!(text, "      {name}:\t<set to the key '{key}' of config map '{of}'>\tOptional: {optional}");
        } else if from["secretKeyRef"].is_object() {
            let (key, of, optional) = key(&from["secretKeyRef"]);
            let _ = writeln!(text, "      {name}:\t<set to the key '{key}' in secret '{of}'>\tOptional: {optional}");
        } else {
            for (index, line) in string(&variable["value"]).split('\n').enumerate() {
                let _ =
                    if index == 0 { writeln!(text, "      {name}:\t{line}") } else { writeln!(text, "      \t{line}") };
            }
        }
    }
}

/// What a container would see of its own resources: in units of the divisor, rounded up.
fn resource_value(container: &Value, reference: &Value) -> String {
    let resource = string(&reference["resource"]);
    let Some((kind, name)) = resource.split_once('.') else { return String::new() };
    let quantity = |text: &Value| Quantity::parse(&string(text)).ok();
    let Some(amount) = quantity(&container["resources"][kind][name]) else {
        // The node decides, and it is not known yet which one.
        return if name == "cpu" || name == "memory" { "node allocatable".to_owned() } else { "0".to_owned() };
    };
    let divisor = quantity(&reference["divisor"]).filter(|divisor| !divisor.is_zero());
    let divisor = divisor.unwrap_or_else(|| Quantity::new(1, amount.format()));
    if name == "cpu" {
        return (amount.milli_value().max(0) as u64).div_ceil(divisor.milli_value().max(1) as u64).to_string();
    }
    (amount.value().max(0) as u64).div_ceil(divisor.value().max(1) as u64).to_string()
}

fn mounts(text: &mut String, container: &Value) {
    let mut all: Vec<&Value> = list(&container["volumeMounts"]).collect();
    all.sort_by_key(|mount| string(&mount["mountPath"]));
    let _ = writeln!(text, "    Mounts:{}", if all.is_empty() { "\t<none>" } else { "" });
    for mount in all {
        let mut flags = vec![if is_true(&mount["readOnly"]) { "ro".to_owned() } else { "rw".to_owned() }];
        let path = string(&mount["subPath"]);
        if !path.is_empty() {
            flags.push(format!("path={path:?}"));
        }
        let _ = writeln!(
            text,
            "      {} from {} ({})",
            string(&mount["mountPath"]),
            string(&mount["name"]),
            flags.join(",")
        );
    }
    if list(&container["volumeDevices"]).next().is_some() {
        let _ = writeln!(text, "    Devices:");
        for device in list(&container["volumeDevices"]) {
            let _ = writeln!(text, "      {} from {}", string(&device["devicePath"]), string(&device["name"]));
        }
    }
}

/// Where the value of a line of a volume comes from, and what is shown if there is none.
type Field = (&'static str, &'static str, &'static str);

/// Kinds of volumes: their field, what they are, and their lines.
const VOLUMES: &[(&str, &str, &[Field])] = &[
    (
        "emptyDir",
        "EmptyDir (a temporary directory that shares a pod's lifetime)",
        &[("Medium", "medium", ""), ("SizeLimit", "sizeLimit", "<unset>")],
    ),
    (
        "configMap",
        "ConfigMap (a volume populated by a ConfigMap)",
        &[("Name", "name", ""), ("Optional", "optional", "false")],
    ),
    (
        "secret",
        "Secret (a volume populated by a Secret)",
        &[("SecretName", "secretName", ""), ("Optional", "optional", "false")],
    ),
    ("hostPath", "HostPath (bare host directory volume)", &[("Path", "path", ""), ("HostPathType", "type", "")]),
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[("ClaimName", "claimName", ""), ("ReadOnly", "readOnly", "false")],
    ),
    (
        "nfs",
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        &[("Server", "server", ""), ("Path", "path", ""), ("ReadOnly", "readOnly", "false")],
    ),
    (
        "image",
        "Image (a container image or OCI artifact)",
        &[("Reference", "reference", ""), ("PullPolicy", "pullPolicy", "")],
    ),
    (
        "csi",
        "CSI (a Container Storage Interface (CSI) volume source)",
        &[("Driver", "driver", ""), ("FSType", "fsType", ""), ("ReadOnly", "readOnly", "false")],
    ),
    ("downwardAPI", "DownwardAPI (a volume populated by information about the pod)", &[]),
    ("projected", "Projected (a volume that contains injected data from multiple sources)", &[]),
];

fn volumes(text: &mut String, volumes: &Value) {
    let _ = writeln!(text, "  Volumes:{}", if list(volumes).next().is_none() { "\t<none>" } else { "" });
    for volume in list(volumes) {
        let _ = writeln!(text, "   {}:", string(&volume["name"]));
        let Some((field, what, shown)) = VOLUMES.iter().find(|(field, ..)| volume[*field].is_object()) else {
            let _ = writeln!(text, "    <unknown>");
            continue;
        };
        let source = &volume[*field];
        let _ = writeln!(text, "    Type:\t{what}");
        for (name, field, otherwise) in *shown {
            let value = &source[*field];
            let value = if value.is_null() { (*otherwise).to_owned() } else { string(value) };
            let _ = writeln!(text, "    {name}:\t{value}");
        }
        match *field {
            "csi" => pairs(text, "    VolumeAttributes", &source["volumeAttributes"], "="),
            "downwardAPI" => {
                let _ = writeln!(text, "    Items:");
                for item in list(&source["items"]) {
                    let field = [&item["fieldRef"]["fieldPath"], &item["resourceFieldRef"]["resource"]];
                    let from: String = field.into_iter().map(string).collect();
                    let _ = writeln!(text, "      {from} -> {}", string(&item["path"]));
                }
            }
            "projected" => list(&source["sources"]).for_each(|source| projected(text, source)),
            _ => {}
        }
    }
}

fn projected(text: &mut String, source: &Value) {
    for (field, name) in [("secret", "SecretName"), ("configMap", "ConfigMapName")] {
        if source[field].is_object() {
            let _ = writeln!(text, "    {name}:\t{}", string(&source[field]["name"]));
            let _ = writeln!(text, "    Optional:\t{}", is_true(&source[field]["optional"]));
        }
    }
    if source["downwardAPI"].is_object() {
        let _ = writeln!(text, "    DownwardAPI:\ttrue");
    }
    if source["serviceAccountToken"].is_object() {
        let _ = writeln!(
            text,
            "    TokenExpirationSeconds:\t{}",
            string(&source["serviceAccountToken"]["expirationSeconds"])
        );
    }
}

fn spread(text: &mut String, constraints: &Value) {
    let mut all: Vec<&Value> = list(constraints).collect();
    all.sort_by_key(|constraint| string(&constraint["topologyKey"]));
    let one = |constraint: &&Value| {
        let labels = constraint["labelSelector"]["matchLabels"].as_object().into_iter().flatten();
        let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={}", string(value))).collect();
        let selector = if labels.is_empty() { String::new() } else { format!(" for selector {}", labels.join(",")) };
        format!(
            "{}:{} when max skew {} is exceeded{selector}",
            string(&constraint["topologyKey"]),
            string(&constraint["whenUnsatisfiable"]),
            string(&constraint["maxSkew"])
        )
    };
    let shown: Vec<String> = all.iter().map(one).collect();
    if !shown.is_empty() {
        lines(text, "  Topology Spread Constraints", &shown);
    }
}

fn tolerations(tolerations: &Value) -> Vec<String> {
    let mut all: Vec<&Value> = list(tolerations).collect();
    all.sort_by_key(|toleration| string(&toleration["key"]));
    let one = |toleration: &&Value| {
        let field = |name: &str| string(&toleration[name]);
        let mut text = field("key");
        if !field("value").is_empty() {
            let _ = write!(text, "={}", field("value"));
        }
        if !field("effect").is_empty() {
            let _ = write!(text, ":{}", field("effect"));
        }
        if field("operator") == "Exists" && field("value").is_empty() {
            text.push_str(if field("key").is_empty() && field("effect").is_empty() {
                "op=Exists"
            } else {
                " op=Exists"
            });
        }
        if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
            let _ = write!(text, " for {seconds}s");
        }
        text
    };
    all.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_told_line_by_line() {
        let template = json!({"metadata": {"labels": {"a": "b", "c": "d"}}, "spec": {
            "containers": [{"name": "m", "image": "i", "command": ["x\ny"], "resources": {"limits": {"cpu": "1500m"}},
                "ports": [{"containerPort": 80}],
                "env": [{"name": "N", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}],
            "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}]}});
        let expected = "Pod Template:\n  Labels:\ta=b\n\tc=d\n  Containers:\n   m:\n    Image:\ti\n    Port:\t80/TCP\n    Host \
                        Port:\t0/TCP\n    Command:\n      x\n      y\n    Limits:\n      cpu:\t1500m\n    Environment:\n      N:\t2 \
                        (limits.cpu)\n    Mounts:\t<none>\n  Volumes:\t<none>\n  Node-Selectors:\t<none>\n  \
                        Tolerations:\tk:NoExecute op=Exists\n";
        assert_eq!(describe(&template), expected);
    }
}
