//! What containers find: variables, files, names.

use serde_json::json;
use tests::node::User;

use crate::pod;

/// Variables come from everywhere they may come from.
pub(crate) fn variables(user: &User<'_>) {
    user.ok("create configmap settings --from-literal=COLOR=blue --from-literal=SIZE=large");
    user.ok("create secret generic keys --from-literal=password=secret");
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let container = json!({
        "args": ["$(COLOR)", "$$(COLOR)", "$(NONE)"],
        "command": ["sh", "-c", "env; echo args: $0 $1 $2"],
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "K_", "secretRef": {"name": "keys"}}],
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
        "env": [
            {"name": "PLAIN", "value": "a $(COLOR) b"},
            {"name": "POD", "valueFrom": field("metadata.name")},
            {"name": "LABEL", "valueFrom": field("metadata.labels['app']")},
            {"name": "IP", "valueFrom": field("status.podIP")},
            {"name": "NODE", "valueFrom": field("spec.nodeName")},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
            {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": true}}},
            {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        ],
    });
    user.apply(&pod("all", "", container, json!({"restartPolicy": "Never"})));
    user.wait("pod/all", "jsonpath={.status.phase}=Succeeded");
    let said = user.ok("logs all");
    let lines: Vec<&str> = said.lines().collect();
    for expected in [
        "COLOR=blue",
        "SIZE=large",
        "K_password=secret",
        "PLAIN=a blue b",
        "POD=all",
        "LABEL=all",
        "NODE=node-1",
        "PASSWORD=secret",
        "MEMORY=64",
        "KUBERNETES_SERVICE_PORT=443",
        "args: blue $(COLOR) $(NONE)",
    ] {
        assert!(lines.contains(&expected), "{expected} is not in {said}");
    }
    assert!(!said.contains("MAYBE="), "{said}");
    assert!(said.contains(&format!("IP={}", user.get("pod/all", ".status.podIP"))), "{said}");
    user.apply(&pod("lacks", "true", json!({"envFrom": [{"configMapRef": {"name": "later"}}]}), json!({})));
    user.wait("pod/lacks", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerConfigError");
    let message = user.get("pod/lacks", ".status.containerStatuses[0].state.waiting.message");
    assert_eq!(message, "configmap \"later\" not found");
    user.ok("create configmap later --from-literal=a=b");
    user.wait("pod/lacks", "jsonpath={.status.containerStatuses[0].restartCount}=1");
}

/// Volumes hold what they should, and follow what changes.
pub(crate) fn volumes(user: &User<'_>) {
    user.ok("create configmap content --from-literal=file=one");
    user.ok("create secret generic hidden --from-literal=key=value");
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path});
    let container = json!({"volumeMounts": [
        mount("config", "/config"), mount("secret", "/secret"), mount("down", "/down"), mount("disk", "/disk"),
        mount("memory", "/memory"), {"name": "disk", "mountPath": "/part", "subPath": "a/b"},
        {"name": "config", "mountPath": "/one-file", "subPath": "file"},
        mount("access", "/access"),
    ]});
    let spec = json!({
        "securityContext": {"fsGroup": 2000},
        "serviceAccountName": "default",
        "volumes": [
            {"name": "config", "configMap": {"name": "content"}},
            {"name": "secret", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
            {"name": "down", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            ]}},
            {"name": "disk", "emptyDir": {}},
            {"name": "access", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    });
    user.apply(&pod("all", "exec sleep 1000", container, spec));
    user.wait("pod/all", "condition=Ready");
    let shell = |script: &str| user.ok(&format!("exec all -- sh -c '{script}'"));
    assert_eq!(shell("cat /config/file /secret/key /one-file"), "onevalueone");
    assert_eq!(shell("cat /down/labels"), "app=\"all\"\n".trim_end());
    assert_eq!(shell("echo x > /part/y; cat /disk/a/b/y"), "x\n");
    assert_eq!(shell("stat -c %g /disk"), "2000\n");
    assert!(shell("grep /memory /proc/mounts").contains("tmpfs"));
    let token = "/access";
    assert_eq!(shell(&format!("cat {token}/namespace")), user.namespace());
    assert!(shell(&format!("head -1 {token}/ca.crt")).contains("BEGIN CERTIFICATE"));
    assert_eq!(shell(&format!("cat {token}/token")).split('.').count(), 3);
    user.ok("patch configmap content -p '{\"data\": {\"file\": \"two\"}}'");
    user.ok("label pod all new=label");
    shell("while [ $(cat /config/file) != two ]; do sleep 0.1; done");
    shell("while ! grep -q new= /down/labels; do sleep 0.1; done");
    assert_eq!(shell("cat /one-file"), "one", "what is a part of a volume is not followed");
    user.apply(&pod(
        "lacks",
        "true",
        json!({"volumeMounts": [mount("v", "/v")]}),
        json!({"volumes": [{"name": "v", "configMap": {"name": "none"}}]}),
    ));
    let event =
        "get events --field-selector involvedObject.name=lacks,reason=FailedMount -o jsonpath={.items[*].message}";
    user.ok("wait events --field-selector involvedObject.name=lacks,reason=FailedMount --for=create --timeout=60s");
    let message = user.ok(event);
    assert!(message.contains("MountVolume.SetUp failed for volume \"v\" : configmap \"none\" not found"), "{message}");
}
