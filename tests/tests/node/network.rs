//! How pods are reached and what they call themselves.

use serde_json::json;
use tests::machine::ADDRESS;
use tests::node::User;

use crate::pod;

const SERVE: &str = "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www";

/// Pods reach each other, the node reaches them, and ports of the node lead to them.
pub(crate) fn reach(user: &User<'_>) {
    let ports = json!({"ports": [{"containerPort": 8080, "hostPort": 18080}]});
    user.apply(&pod("server", SERVE, ports, json!({})));
    user.apply(&pod("client", "exec sleep 1000", json!({}), json!({})));
    user.wait("pod/server", "condition=Ready");
    user.wait("pod/client", "condition=Ready");
    let address = user.get("pod/server", ".status.podIP");
    let fetch = |from: &str, at: &str, port: u16| {
        let script = format!("printf \"GET / HTTP/1.0\r\n\r\n\" | nc -w 10 {at} {port} | tail -1");
        user.ok(&format!("exec {from} -- sh -c '{script}'"))
    };
    assert_eq!(fetch("client", &address, 8080), "server\n");
    assert_eq!(fetch("client", ADDRESS, 18080), "server\n");
    user.wait("node/node-1", "condition=NetworkUnavailable=False");
    // There is room for what a tunnel to another node takes.
    assert_eq!(user.ok("exec client -- cat /sys/class/net/eth0/mtu"), "1450\n");
    let own = json!({"hostNetwork": true});
    user.apply(&pod("host", "exec sleep 1000", json!({}), own));
    user.wait("pod/host", "condition=Ready");
    assert_eq!(user.get("pod/host", ".status.podIP"), ADDRESS);
    assert_eq!(fetch("host", &address, 8080), "server\n");
    assert!(user.ok("exec host -- ip addr").contains(ADDRESS));
    user.apply(&pod(
        "taken",
        "true",
        json!({"ports": [{"containerPort": 1, "hostPort": 18080}]}),
        json!({"nodeName": "node-1"}),
    ));
    user.wait("pod/taken", "jsonpath={.status.phase}=Failed");
    assert_eq!(user.get("pod/taken", ".status.reason"), "NodePorts");
}

/// Names: of the pod itself, of others, and who is asked for them.
pub(crate) fn names(user: &User<'_>) {
    let spec = json!({
        "hostname": "me", "subdomain": "group", "shareProcessNamespace": true,
        "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["other", "other.example"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.9.8.7"], "searches": ["example.org"], "options": [{"name": "ndots", "value": "3"}]},
    });
    user.apply(&pod("named", "exec sleep 1000", json!({}), spec));
    user.wait("pod/named", "condition=Ready");
    let shell = |script: &str| user.ok(&format!("exec named -- sh -c '{script}'"));
    assert_eq!(shell("hostname"), "me\n");
    let hosts = shell("cat /etc/hosts");
    let address = user.get("pod/named", ".status.podIP");
    assert!(hosts.contains(&format!("{address}\tme.group.names.svc.cluster.local\tme")), "{hosts}");
    assert!(hosts.contains("10.1.2.3\tother\tother.example"), "{hosts}");
    assert_eq!(shell("cat /etc/resolv.conf"), "search example.org\nnameserver 10.9.8.7\noptions ndots:3\n");
    assert!(shell("ps").contains("/pause"), "processes are shared");
}
