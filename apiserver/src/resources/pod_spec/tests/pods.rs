//! Specs that are refused, and the words in which they are.

use serde_json::json;

use super::{check, check_container};

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                     and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

#[test]
fn a_plain_pod_is_valid() {
    check(&json!({}), &[]);
}

#[test]
fn containers() {
    check(&json!({"containers": []}), &["spec.containers: Required value"]);
    check_container(
        &json!({"name": "", "image": ""}),
        &["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"],
    );
    check_container(&json!({"name": "App"}), &[&format!("spec.containers[0].name: Invalid value: \"App\": {LABEL}")]);
    check_container(
        &json!({"image": " app"}),
        &["spec.containers[0].image: Invalid value: \" app\": must not have leading or trailing whitespace"],
    );
    check_container(
        &json!({"terminationMessagePolicy": "Log", "imagePullPolicy": "Often"}),
        &[
            "spec.containers[0].terminationMessagePolicy: Unsupported value: \"Log\": supported values: \"File\", \
             \"FallbackToLogsOnError\"",
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \
             \"IfNotPresent\", \"Never\"",
        ],
    );
    let twice = json!([{"name": "a", "image": "a"}, {"name": "a", "image": "a"}]);
    check(&json!({"containers": twice}), &["spec.containers[1].name: Duplicate value: \"a\""]);
    check(
        &json!({"initContainers": [{"name": "app", "image": "a"}]}),
        &["spec.initContainers[0].name: Duplicate value: \"app\""],
    );
    check(
        &json!({"ephemeralContainers": [{"name": "debug", "image": "a"}]}),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
}

#[test]
fn init_containers() {
    let probe = json!({"exec": {"command": ["true"]}});
    check(
        &json!({"initContainers": [{"name": "i", "image": "a", "livenessProbe": probe,
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}]}),
        &[
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without \
             restartPolicy=Always",
            "spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set \
             to 'RestartContainer' for non-sidecar initContainers",
        ],
    );
    check(
        &json!({"initContainers": [{"name": "i", "image": "a", "restartPolicy": "Always", "livenessProbe": probe}]}),
        &[],
    );
}

#[test]
fn ports() {
    check_container(
        &json!({"ports": [
            {"containerPort": 0}, {"containerPort": 70000, "hostPort": -1}, {"containerPort": 1, "protocol": "tcp"},
            {"containerPort": 2, "name": "web"}, {"containerPort": 3, "name": "web"}, {"containerPort": 4, "name": "7"},
        ]}),
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[1].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[2].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \
             \"UDP\"",
            "spec.containers[0].ports[4].name: Duplicate value: \"web\"",
            "spec.containers[0].ports[5].name: Invalid value: \"7\": must contain at least one letter (a-z)",
        ],
    );
    check_container(
        &json!({"ports": [{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]}),
        &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""],
    );
    check(
        &json!({"hostNetwork": true, "containers":
            [{"name": "a", "image": "a", "ports": [{"containerPort": 1, "hostPort": 2}, {"containerPort": 3}]}]}),
        &["spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is \
             true"],
    );
}

#[test]
fn environment() {
    let env = |variable: serde_json::Value| json!({"env": [variable]});
    let at = "spec.containers[0].env[0].valueFrom";
    check_container(&env(json!({"name": ""})), &["spec.containers[0].env[0].name: Required value"]);
    check_container(
        &env(json!({"name": "a=b"})),
        &[
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only \
           of printable ASCII characters other than '='",
        ],
    );
    check_container(
        &env(json!({"name": "A", "valueFrom": {}})),
        &[&format!(
            "{at}: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
             `secretKeyRef` or `fileKeyRef`"
        )],
    );
    check_container(
        &env(json!({"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})),
        &[&format!("{at}: Invalid value: \"\": may not be specified when `value` is not empty")],
    );
    check_container(
        &env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}})),
        &[&format!(
            "{at}.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \"metadata.name\", \
             \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \
             \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\""
        )],
    );
    check_container(
        &env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.whoops"}}})),
        &[&format!(
            "{at}.fieldRef.fieldPath: Invalid value: \"metadata.whoops\": error converting fieldPath: field label not \
             supported: metadata.whoops"
        )],
    );
    check_container(
        &env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}})),
        &[],
    );
    check_container(
        &env(json!({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1k"}}})),
        &[&format!(
            "{at}.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported \
             with the cpu resource"
        )],
    );
    check_container(
        &env(json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": ""}}})),
        &[&format!("{at}.secretKeyRef.key: Required value")],
    );
    check_container(
        &env(json!({"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "../f", "key": "K"}}})),
        &[
            &format!("{at}.fileKeyRef.path: Invalid value: \"../f\": must not contain '..'"),
            &format!("{at}.fileKeyRef.volumeName: Not found: \"v\""),
        ],
    );
    check_container(
        &json!({"envFrom": [{}]}),
        &["spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
    );
}

#[test]
fn handlers() {
    check_container(
        &json!({"livenessProbe": {"successThreshold": 2, "periodSeconds": -1}}),
        &[
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
    check_container(
        &json!({"readinessProbe": {"exec": {}, "tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 3}}),
        &[
            "spec.containers[0].readinessProbe.exec.command: Required value",
            "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: must not be set for \
             readinessProbes",
        ],
    );
    check_container(
        &json!({"startupProbe": {"httpGet": {"port": "", "scheme": "ftp", "httpHeaders": [{"name": "a b", "value": ""}]}}}),
        &[
            "spec.containers[0].startupProbe.httpGet.port: Invalid value: \"\": must contain only alpha-numeric \
             characters (a-z, 0-9), and hyphens (-)",
            "spec.containers[0].startupProbe.httpGet.port: Invalid value: \"\": must contain at least one letter (a-z)",
            "spec.containers[0].startupProbe.httpGet.scheme: Unsupported value: \"ftp\": supported values: \"HTTP\", \
             \"HTTPS\"",
            "spec.containers[0].startupProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must \
             consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is \
             '[-A-Za-z0-9]+')",
        ],
    );
    check_container(
        &json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}, "postStart": {}}}),
        &[
            "spec.containers[0].lifecycle.postStart: Required value: must specify a handler type",
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than \
             terminationGracePeriodSeconds (30)",
        ],
    );
}

#[test]
fn restarts_and_resizes() {
    check_container(
        &json!({"restartPolicyRules": [{"action": "Stop", "exitCodes": {"operator": "Is", "values": [1]}}]}),
        &[
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            "spec.containers[0].restartPolicyRules[0].action: Unsupported value: \"Stop\": supported values: \
             \"Restart\", \"RestartAllContainers\"",
            "spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: \"Is\": supported values: \
             \"In\", \"NotIn\"",
        ],
    );
    check_container(
        &json!({"restartPolicy": "Sometimes"}),
        &[
            "spec.containers[0].restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \
           \"OnFailure\"",
        ],
    );
    check(
        &json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "a", "resizePolicy": [
            {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "cpu", "restartPolicy": "RestartContainer"},
            {"resourceName": "disk", "restartPolicy": "NotRequired"}]}]}),
        &[
            "spec.containers[0].resizePolicy[1]: Duplicate value: \"cpu\"",
            "spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod \
             `restartPolicy` is 'Never'",
            "spec.containers[0].resizePolicy: Unsupported value: \"disk\": supported values: \"cpu\", \"memory\"",
        ],
    );
}

#[test]
fn security_contexts() {
    check(
        &json!({"hostPID": true, "hostNetwork": true, "shareProcessNamespace": true, "securityContext": {
            "fsGroup": -1, "supplementalGroups": [1, -2], "fsGroupChangePolicy": "Never",
            "sysctls": [{"name": "net.core.somaxconn", "value": "1"}, {"name": "A", "value": ""}],
            "seccompProfile": {"type": "Localhost"}, "appArmorProfile": {"type": "Other"}}}),
        &[
            "spec.securityContext.fsGroup: Invalid value: -1: must be between 0 and 4294967295, inclusive",
            "spec.securityContext.supplementalGroups[1]: Invalid value: -2: must be between 0 and 4294967295, inclusive",
            "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot \
             both be enabled",
            "spec.securityContext.sysctls[0].name: Invalid value: \"net.core.somaxconn\": may not be specified when \
             'hostNetwork' is true",
            "spec.securityContext.sysctls[1].name: Invalid value: \"A\": must have at most 253 characters and match \
             regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"Never\": supported values: \"Always\", \
             \"OnRootMismatch\"",
            "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is \
             Localhost",
            "spec.securityContext.appArmorProfile.type: Unsupported value: \"Other\": supported values: \"Localhost\", \
             \"RuntimeDefault\", \"Unconfined\"",
        ],
    );
    check_container(
        &json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false, "procMount": "Unmasked"}}),
        &[
            "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use \
             `Unmasked`",
            "spec.containers[0].securityContext: Invalid value: {\"Capabilities\":null,\"Privileged\":true,\
             \"SELinuxOptions\":null,\"WindowsOptions\":null,\"RunAsUser\":null,\"RunAsGroup\":null,\
             \"RunAsNonRoot\":null,\"ReadOnlyRootFilesystem\":null,\"AllowPrivilegeEscalation\":false,\
             \"ProcMount\":\"Unmasked\",\"SeccompProfile\":null,\"AppArmorProfile\":null}: cannot set \
             `allowPrivilegeEscalation` to false and `privileged` to true",
        ],
    );
    check(&json!({"hostUsers": false, "hostIPC": true}), &["spec.HostIPC: Forbidden: when `hostUsers` is false"]);
}

#[test]
fn operating_systems() {
    check(
        &json!({"os": {"name": "plan9"}}),
        &["spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
    );
    check(
        &json!({"os": {"name": "windows"}, "securityContext": {"runAsUser": 1}, "containers": [
            {"name": "a", "image": "a", "securityContext": {"privileged": true}}]}),
        &[
            "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
            "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
        ],
    );
    check(
        &json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}}),
        &[
            "spec.securityContext.windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": runAsUserName cannot \
             contain more than one backslash",
            "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
        ],
    );
    check(
        &json!({"containers": [
            {"name": "a", "image": "a", "securityContext": {"windowsOptions": {"hostProcess": true}}},
            {"name": "b", "image": "b"}]}),
        &[
            "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be \
             HostProcess containers",
            "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
        ],
    );
}

#[test]
fn the_rest_of_the_spec() {
    check(
        &json!({"restartPolicy": "Maybe", "activeDeadlineSeconds": 0, "dnsPolicy": "Random", "preemptionPolicy": "x"}),
        &[
            "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            "spec.dnsPolicy: Unsupported value: \"Random\": supported values: \"ClusterFirstWithHostNet\", \
             \"ClusterFirst\", \"Default\", \"None\"",
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            "spec.preemptionPolicy: Unsupported value: \"x\": supported values: \"PreemptLowerPriority\", \"Never\"",
        ],
    );
    check(
        &json!({"dnsPolicy": "None"}),
        &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    );
    check(
        &json!({"dnsConfig": {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "x"], "options": [{}]}}),
        &[
            "spec.dnsConfig.nameservers: Invalid value: [\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"x\"]: must not have more \
             than 3 nameservers",
            "spec.dnsConfig.nameservers[3]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or \
             2001:db8::ffff)",
            "spec.dnsConfig.options[0]: Required value: must not be empty",
        ],
    );
    check(
        &json!({"hostname": "a.b", "hostnameOverride": "x", "setHostnameAsFQDN": true}),
        &[
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostname: Invalid value: \"a.b\": must not contain dots",
        ],
    );
    check(
        &json!({"overhead": {"disk": "1"}, "nodeSelector": {"a": "b c"}}),
        &[
            "spec.nodeSelector: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric \
             characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
             'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            "spec.overhead.limits[disk]: Invalid value: \"disk\": must be a standard resource type or fully qualified",
            "spec.overhead.limits[disk]: Invalid value: \"disk\": must be a standard resource for containers",
        ],
    );
}

/// Fields that the defaults drop are checked all the same, for specs that come by another way.
#[test]
fn fields_behind_closed_gates() {
    let check = |patch: serde_json::Value, expected: &[&str]| {
        let mut spec = super::spec(&patch);
        crate::resources::pod_spec::set_pod_defaults(&mut spec);
        let given = super::spec(&patch);
        spec.containers[0].lifecycle = given.containers[0].lifecycle.clone();
        spec.scheduling_group = given.scheduling_group;
        let errors = crate::resources::pod_spec::validate_new_pod(&spec, &super::meta());
        let messages = super::rendered(&errors);
        assert_eq!(messages, expected);
    };
    let signal = |os: serde_json::Value, signal: &str| json!({"os": os, "containers": [{"name": "a", "image": "a", "lifecycle": {"stopSignal": signal}}]});
    check(signal(json!({"name": "linux"}), "SIGRTMIN+15"), &[]);
    check(
        signal(json!({"name": "windows"}), "SIGINT"),
        &[
            "spec.containers[0].lifecycle.stopSignal: Unsupported value: \"SIGINT\": supported values: \"SIGKILL\", \"SIGTERM\"",
        ],
    );
    check(
        signal(json!(null), "SIGINT"),
        &[
            "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
        ],
    );
    check(
        json!({"schedulingGroup": {}}),
        &["spec.schedulingGroup.podGroupName: Invalid value: null: must specify one of: `podGroupName`"],
    );
}
