//! What is decided about pods, and what they and their volumes are made of, beside the rules of their kinds.

use serde_json::{Value, json};

use crate::harness::{Ask, MERGE, Server};

const NAMESPACES: &str = "/api/v1/namespaces";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c", "image": "example.com/i"}]);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

/// Sets labels of the default namespace, such as `enforce`; tells what the client is warned of.
async fn label(server: &Server, labels: &[(&str, &str)]) -> Vec<String> {
    let named = labels.iter().map(|(name, value)| (format!("pod-security.kubernetes.io/{name}"), json!(value)));
    let patch = json!({"metadata": {"labels": named.collect::<serde_json::Map<_, _>>()}});
    server.with_warnings(Ask { media_type: MERGE, ..Ask::patch("/api/v1/namespaces/default", &patch) }).await.1
}

async fn server() -> Server {
    let server = Server::start().await;
    server.add_account("default").await;
    server
}

#[tokio::test]
async fn pods_that_break_what_is_enforced_are_refused() {
    let server = server().await;
    label(&server, &[("enforce", "baseline"), ("warn", "restricted"), ("warn-version", "v1.7")]).await;
    let refused = server.refusal(Ask::post(PODS, &pod("p", json!({"hostNetwork": true})))).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message,
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    );
    let (_, warnings) = server.with_warnings(Ask::post(PODS, &pod("p", json!({})))).await;
    let expected = "would violate PodSecurity \"restricted:v1.7\": runAsNonRoot != true (pod or container \"c\" must set \
                    securityContext.runAsNonRoot=true)";
    assert_eq!(warnings, [expected]);
    // Labels of a pod say nothing of what it may do, and a new image does.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let path = format!("{PODS}/p");
    let patch = |body| Ask { media_type: MERGE, ..Ask::patch(&path, body) };
    label(&server, &[("enforce", "restricted")]).await;
    server.json(patch(&labels)).await;
    let image = json!({"spec": {"containers": [{"name": "c", "image": "example.com/other"}]}});
    let refused = server.refusal(Ask { media_type: crate::harness::STRATEGIC, ..patch(&image) }).await;
    assert!(refused.message.contains("violates PodSecurity \"restricted:latest\""), "{}", refused.message);
}

#[tokio::test]
async fn containers_that_are_added_are_judged() {
    let server = server().await;
    label(&server, &[("enforce", "baseline")]).await;
    server.json(Ask::post(PODS, &pod("p", json!({})))).await;
    let path = format!("{PODS}/p/ephemeralcontainers");
    let added = |context: Value| json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "i", "securityContext": context}]}});
    let wrong = added(json!({"privileged": true}));
    let patch = |body| Ask { media_type: crate::harness::STRATEGIC, ..Ask::patch(&path, body) };
    let refused = server.refusal(patch(&wrong)).await;
    assert_eq!(
        refused.message,
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"e\" must not set \
         securityContext.privileged=true)"
    );
    server.json(patch(&added(json!({})))).await;
}

#[tokio::test]
async fn what_makes_pods_is_warned_of_and_not_refused() {
    let server = server().await;
    label(&server, &[("enforce", "baseline"), ("warn", "baseline")]).await;
    let template = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {"hostPID": true, "containers": [{"name": "c", "image": "i"}]},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    });
    let warned = "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    let collection = "/apis/apps/v1/namespaces/default/deployments";
    assert_eq!(server.with_warnings(Ask::post(collection, &deployment)).await.1, [warned]);
    let mut template = template;
    template["spec"]["restartPolicy"] = json!("OnFailure");
    let job = json!({"spec": {"template": template}});
    let cron = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
        "spec": {"schedule": "@daily", "jobTemplate": job},
    });
    let collection = "/apis/batch/v1/namespaces/default/cronjobs";
    assert_eq!(server.with_warnings(Ask::post(collection, &cron)).await.1, [warned]);
}

#[tokio::test]
async fn what_is_to_be_audited_is_noted() {
    let server = server().await;
    let check = async |ask: Ask<'_>, expected: &[(&str, &str)]| {
        let what = String::from_utf8_lossy(&ask.body).into_owned();
        let noted = server.noted(ask).await;
        let prefixed = expected.iter().map(|(name, value)| (format!("pod-security.kubernetes.io/{name}"), *value));
        let found: Vec<_> = noted.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
        assert_eq!(found, prefixed.collect::<Vec<_>>(), "{what}");
    };
    let enforced = |standard| ("enforce-policy", standard);
    let violation = "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    let violated = ("audit-violations", violation);
    let bad = json!({"hostPID": true});
    check(Ask::post(PODS, &pod("a", bad.clone())), &[enforced("privileged:latest")]).await;
    label(&server, &[("audit", "baseline")]).await;
    check(Ask::post(PODS, &pod("b", json!({}))), &[enforced("privileged:latest")]).await;
    check(Ask::post(PODS, &pod("c", bad.clone())), &[violated, enforced("privileged:latest")]).await;
    // A pod that is refused is noted, too.
    label(&server, &[("enforce", "baseline"), ("enforce-version", "v1.30")]).await;
    check(Ask::post(PODS, &pod("d", bad.clone())), &[violated, enforced("baseline:v1.30")]).await;
    // A change that is none for the standards is not.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    check(Ask { media_type: MERGE, ..Ask::patch(&format!("{PODS}/b"), &labels) }, &[]).await;
    let template = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {"hostPID": true, "containers": [{"name": "c", "image": "i"}]},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    });
    check(Ask::post("/apis/apps/v1/namespaces/default/deployments", &deployment), &[violated]).await;
    check(Ask::post("/api/v1/namespaces/default/configmaps", &json!({"metadata": {"name": "m"}})), &[]).await;
}

#[tokio::test]
async fn labels_of_namespaces_are_to_be_understood() {
    let server = server().await;
    let namespace = |value: &str| {
        let labels = json!({"pod-security.kubernetes.io/enforce": value});
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": labels}})
    };
    let refused = server.refusal(Ask::post(NAMESPACES, &namespace("strict"))).await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.message,
        "Namespace \"n\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be \
         one of privileged, baseline, restricted"
    );
    server.json(Ask::post(NAMESPACES, &namespace("baseline"))).await;
}

#[tokio::test]
async fn who_makes_a_namespace_stricter_is_told_of_its_pods() {
    let server = server().await;
    for name in ["b", "a", "c"] {
        server.json(Ask::post(PODS, &pod(name, json!({"hostNetwork": true})))).await;
    }
    server.json(Ask::post(PODS, &pod("fine", json!({})))).await;
    let found = [
        "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"baseline:v1.30\"",
        "a (and 2 other pods): host namespaces",
    ];
    assert_eq!(label(&server, &[("enforce", "baseline"), ("enforce-version", "v1.30")]).await, found);
    let none: [&str; 0] = [];
    assert_eq!(label(&server, &[("warn", "restricted")]).await, none);
    assert_eq!(label(&server, &[("enforce", "privileged")]).await, none);
}

#[tokio::test]
async fn limit_ranges_fill_in_and_bound_what_is_asked_for() {
    let server = server().await;
    let limits = json!([
        {"type": "Container", "min": {"cpu": "100m"}, "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "200m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}},
    ]);
    let range =
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": limits}});
    server.json(Ask::post("/api/v1/namespaces/default/limitranges", &range)).await;
    let created = server.json(Ask::post(PODS, &pod("p", json!({})))).await;
    assert_eq!(
        created["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let resources = &created["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "200m"}}));
    let asking = |cpu: &str| json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]);
    let said = "minimum cpu usage per Container is 100m, but request is 50m";
    let refused = server.refusal(Ask::post(PODS, &pod("q", json!({"containers": asking("50m")})))).await;
    assert_eq!((refused.code, refused.message), (403, format!("pods \"q\" is forbidden: {said}")));
    let path = format!("{PODS}/p/resize");
    let resize = json!({"spec": {"containers": asking("50m")}});
    let patch = Ask { media_type: crate::harness::STRATEGIC, ..Ask::patch(&path, &resize) };
    assert_eq!(server.refusal(patch).await.message, format!("pods \"p\" is forbidden: {said}"));
    // A label is no reason to look at what a pod has asked for.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let path = format!("{PODS}/p");
    server.json(Ask { media_type: MERGE, ..Ask::patch(&path, &labels) }).await;
    let refused = server.refusal(Ask::post(CLAIMS, &claim("big", "6Gi"))).await;
    assert_eq!(
        refused.message,
        "persistentvolumeclaims \"big\" is forbidden: maximum storage usage per PersistentVolumeClaim is 5Gi, but request \
         is 6Gi"
    );
}

#[tokio::test]
async fn pods_cost_what_their_runtime_class_says() {
    let server = server().await;
    let refused = server.refusal(Ask::post(PODS, &pod("p", json!({"runtimeClassName": "none"})))).await;
    assert_eq!(refused.code, 403);
    assert_eq!(refused.message, "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
    let class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "box"}, "handler": "h",
        "overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {"nodeSelector": {"box": "yes"}},
    });
    server.json(Ask::post("/apis/node.k8s.io/v1/runtimeclasses", &class)).await;
    let created = server.json(Ask::post(PODS, &pod("p", json!({"runtimeClassName": "box"})))).await;
    assert_eq!(created["spec"]["overhead"], json!({"cpu": "250m"}));
    assert_eq!(created["spec"]["nodeSelector"], json!({"box": "yes"}));
    let other = json!({"runtimeClassName": "box", "overhead": {"cpu": "1"}});
    let refused = server.refusal(Ask::post(PODS, &pod("q", other))).await;
    assert!(
        refused.message.ends_with("Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        "{}",
        refused.message
    );
}

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

fn claim(name: &str, storage: &str) -> Value {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}});
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn claims_get_the_default_class_and_grow_if_it_allows_it() {
    let server = server().await;
    let class = |name: &str, grows: bool| {
        let annotations = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "example.com/p",
            "metadata": {"name": name, "annotations": annotations}, "allowVolumeExpansion": grows,
        })
    };
    let classes = "/apis/storage.k8s.io/v1/storageclasses";
    let none = server.json(Ask::post(CLAIMS, &claim("none", "1Gi"))).await;
    assert!(none["spec"]["storageClassName"].is_null(), "{none}");
    for (name, grows) in [("fixed", false), ("growing", true)] {
        server.json(Ask::post(classes, &class(name, grows))).await;
        let created = server.json(Ask::post(CLAIMS, &claim(name, "1Gi"))).await;
        assert_eq!(created["spec"]["storageClassName"], name);
        let path = format!("{CLAIMS}/{name}");
        let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let patch = || Ask { media_type: MERGE, ..Ask::patch(&path, &more) };
        // The rules of the kind refuse what is not bound, too.
        assert!(server.ask(patch()).await.is_err());
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        let status = format!("{path}/status");
        server.json(Ask { media_type: MERGE, ..Ask::patch(&status, &bound) }).await;
        if grows {
            server.json(patch()).await;
        } else {
            let refused = server.refusal(patch()).await;
            assert!(refused.message.contains("only dynamically provisioned pvc can be resized"), "{}", refused.message);
        }
        server.ask(Ask::delete(&format!("{classes}/{name}"))).await.unwrap();
    }
}

#[tokio::test]
async fn ingresses_get_the_default_class() {
    let server = server().await;
    let annotations = json!({"ingressclass.kubernetes.io/is-default-class": "true"});
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "spec": {"controller": "example.com/c"},
        "metadata": {"name": "web", "annotations": annotations},
    });
    server.json(Ask::post("/apis/networking.k8s.io/v1/ingressclasses", &class)).await;
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let ingress = |name: &str, annotations: Value| {
        let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"defaultBackend": backend},
            "metadata": {"name": name, "annotations": annotations},
        })
    };
    let created = server.json(Ask::post(ingresses, &ingress("a", json!({})))).await;
    assert_eq!(created["spec"]["ingressClassName"], "web");
    let named = ingress("b", json!({"kubernetes.io/ingress.class": "other"}));
    assert!(server.json(Ask::post(ingresses, &named)).await["spec"]["ingressClassName"].is_null());
}

#[tokio::test]
async fn nobody_gets_a_certificate_for_masters() {
    use base64::Engine;
    use rcgen::{CertificateParams, DnType, KeyPair};

    let server = server().await;
    let request = |name: &str, group: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, group);
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let encoded = base64::engine::general_purpose::STANDARD.encode(pem);
        let signer = "kubernetes.io/kube-apiserver-client";
        json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {"request": encoded, "signerName": signer, "usages": ["client auth"]},
        })
    };
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let refused = server.refusal(Ask::post(requests, &request("a", "system:masters"))).await;
    assert_eq!(
        refused.message,
        "certificatesigningrequests.certificates.k8s.io \"a\" is forbidden: use of kubernetes.io/kube-apiserver-client signer \
         with system:masters group is not allowed"
    );
    server.json(Ask::post(requests, &request("a", "web"))).await;
}

#[tokio::test]
async fn images_are_always_pulled_where_that_is_wanted() {
    let server = server().await;
    let policies = async |server: &Server, name: &str| {
        let pod = server.json(Ask::get(&format!("{PODS}/{name}"))).await;
        let fields = ["containers", "initContainers", "ephemeralContainers"].map(|field| pod["spec"][field].clone());
        let containers = fields.iter().flat_map(|field| field.as_array().into_iter().flatten());
        let policies = containers.map(|container| container["imagePullPolicy"].clone());
        let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
        let volumes = volumes.map(|volume| volume["image"]["pullPolicy"].clone()).filter(Value::is_string);
        policies.chain(volumes).map(|policy| policy.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let spec = json!({
        "containers": [{"name": "c", "image": "example.com/i:1", "imagePullPolicy": "Never"}],
        "initContainers": [{"name": "i", "image": "example.com/i:2"}],
        "volumes": [{"name": "v", "image": {"reference": "example.com/i:3", "pullPolicy": "IfNotPresent"}}],
    });
    server.json(Ask::post(PODS, &pod("before", spec.clone()))).await;
    assert_eq!(policies(&server, "before").await, ["Never", "IfNotPresent", "IfNotPresent"]);

    let server = server.enabling(&["AlwaysPullImages"]);
    server.json(Ask::post(PODS, &pod("p", spec))).await;
    assert_eq!(policies(&server, "p").await, ["Always"; 3]);
    for (name, expected) in [("p", 4), ("before", 1)] {
        let added =
            json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "i:1", "imagePullPolicy": "Never"}]}});
        let path = format!("{PODS}/{name}/ephemeralcontainers");
        server.json(Ask { media_type: crate::harness::STRATEGIC, ..Ask::patch(&path, &added) }).await;
        let policies = policies(&server, name).await;
        assert_eq!(policies.iter().filter(|policy| *policy == "Always").count(), expected, "{name}");
    }
    // A pod that was there before may be changed as long as it gets no other image: its policies cannot be.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    server.json(Ask { media_type: MERGE, ..Ask::patch(&format!("{PODS}/before"), &labels) }).await;
    assert_eq!(policies(&server, "before").await[0], "Never");
}

/// The file of a plugin's configuration, and the directory that it is gone with.
fn told(plugin: &str, configuration: &Value) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.yaml");
    let file = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [{"name": plugin, "configuration": configuration}],
    });
    std::fs::write(&path, file.to_string()).unwrap();
    (directory, path)
}

#[tokio::test]
async fn a_file_says_what_is_asked_of_pods_and_who_is_exempt() {
    let server = server().await;
    for name in ["kata", "runc"] {
        let class = json!({"metadata": {"name": name}, "handler": name});
        server.json(Ask::post("/apis/node.k8s.io/v1/runtimeclasses", &class)).await;
    }
    let system =
        json!({"metadata": {"name": "system", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let (_directory, path) = told(
        "PodSecurity",
        &json!({
            "apiVersion": "pod-security.admission.config.k8s.io/v1",
            "kind": "PodSecurityConfiguration",
            "defaults": {"enforce": "baseline", "warn": "restricted"},
            "exemptions": {"usernames": ["operator"], "namespaces": ["system"], "runtimeClasses": ["kata"]},
        }),
    );
    let server = server.told(&[], &path);
    let (_, warnings) = server.with_warnings(Ask::post(NAMESPACES, &system)).await;
    let ignored =
        "namespace \"system\" is exempt from Pod Security, and the policy (enforce=restricted:latest) will be ignored";
    assert_eq!(warnings, [ignored]);
    server.add_account_in("system", "default").await;

    let free = |class: Value| json!({"hostNetwork": true, "runtimeClassName": class});
    let violates = "violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    for class in [Value::Null, json!("runc")] {
        let refused = server.refusal(Ask::post(PODS, &pod("p", free(class)))).await;
        assert!(refused.message.ends_with(violates), "{}", refused.message);
    }
    let exempt = async |server: &Server, path: &str, pod: Value| {
        let (_, warnings) = server.with_warnings(Ask::post(path, &pod)).await;
        assert_eq!(warnings, Vec::<String>::new());
    };
    exempt(&server, PODS, pod("by-class", free(json!("kata")))).await;
    exempt(&server, "/api/v1/namespaces/system/pods", pod("by-namespace", free(Value::Null))).await;
    exempt(&server.by("operator", &["system:masters"]), PODS, pod("by-user", free(Value::Null))).await;
    let (_, warnings) = server.with_warnings(Ask::post(PODS, &pod("plain", json!({})))).await;
    assert!(warnings[0].starts_with("would violate PodSecurity \"restricted:latest\""), "{warnings:?}");

    // Of those that are there already, who is exempt is not told of.
    let restrict = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let patch = Ask { media_type: MERGE, ..Ask::patch("/api/v1/namespaces/default", &restrict) };
    let (_, warnings) = server.with_warnings(patch).await;
    assert!(warnings.iter().any(|warning| warning.starts_with("by-user: host namespaces")), "{warnings:?}");
    assert!(!warnings.iter().any(|warning| warning.contains("by-class")), "{warnings:?}");
}

#[tokio::test]
async fn events_are_limited_where_that_is_wanted() {
    let (_directory, path) = told(
        "EventRateLimit",
        &json!({
            "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
            "kind": "Configuration",
            "limits": [{"type": "User", "qps": 1, "burst": 2}, {"type": "SourceAndObject", "qps": 1, "burst": 1}],
        }),
    );
    let server = Server::start().await.told(&["EventRateLimit"], &path);
    let about = |name: &str, pod: &str| json!({"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "namespace": "default", "name": pod}});
    let events = "/api/v1/namespaces/default/events";
    server.json(Ask::post(events, &about("a", "one"))).await;
    let tried = Ask::post(events, &about("b", "one")).query("dryRun=All");
    server.json(tried).await;
    let refused = server.refusal(Ask::post(events, &about("b", "one"))).await;
    let message = "Too many requests: limit reached on type SourceAndObject for key Poddefaultone";
    assert_eq!((refused.code, refused.message.as_str()), (429, message));
    // In the other form of them, too.
    let other = json!({
        "metadata": {"name": "c"},
        "eventTime": "2026-03-01T12:00:00.000000Z",
        "reportingController": "example.com/c", "reportingInstance": "i", "action": "a", "reason": "R", "type": "Normal",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "one"},
    });
    let refused = server.refusal(Ask::post("/apis/events.k8s.io/v1/namespaces/default/events", &other)).await;
    let message = "Too many requests: [limit reached on type User for key jane, limit reached on type SourceAndObject for key \
                   Poddefaultone]";
    assert_eq!((refused.code, refused.message.as_str()), (429, message));
    // Somebody else has their own, and what is no Event has none.
    server.by("ann", &["system:masters"]).json(Ask::post(events, &about("b", "two"))).await;
    server.json(Ask::post("/api/v1/namespaces/default/configmaps", &json!({"metadata": {"name": "a"}}))).await;
}
