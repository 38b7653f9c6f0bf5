//! How a pod resolves names: what its containers see as `/etc/resolv.conf`.

use k8s_openapi::api::core::v1::{Pod, PodDNSConfigOption};

use super::{Node, described, on_host_network};
use crate::cri::v1::DnsConfig;
use crate::pod_plan::Says;

/// As many servers as resolvers look at.
const MOST_SERVERS: usize = 3;
/// As many domains as the API takes.
const MOST_SEARCHES: usize = 32;
/// As many characters of domains as the API takes.
const MOST_SEARCH_CHARACTERS: usize = 2048;
/// Names with fewer dots than this are looked for in the cluster's domains first.
const CLUSTER_OPTIONS: &str = "ndots:5";

/// How the node resolves names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// The servers' addresses.
    pub servers: Vec<String>,
    /// The domains in which names are looked for.
    pub searches: Vec<String>,
    /// Options, each a name, or a name, a colon and a value.
    pub options: Vec<String>,
}

impl Resolver {
    /// Reads a `resolv.conf`. Of several lines with domains the last counts, of several options of one name likewise. Lines
    /// that say nothing known are passed over.
    #[must_use]
    pub fn parse(content: &str) -> Resolver {
        let mut resolver = Resolver::default();
        for line in content.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(words.next().map(str::to_owned)),
                Some("search") => {
                    // One domain with and without the dot at its end is one domain.
                    let without_dot = |word: &str| match word {
                        "." => word.to_owned(),
                        _ => word.strip_suffix('.').unwrap_or(word).to_owned(),
                    };
                    resolver.searches = words.map(without_dot).collect();
                }
                Some("options") => words.for_each(|word| set_option(&mut resolver.options, word.to_owned())),
                _ => {}
            }
        }
        resolver
    }
}

/// How a pod resolves names, and what is to be said of it in Events: that servers or domains were left out
/// (`DNSConfigForming`), or that the node knows no server of the cluster (`MissingClusterDNS`).
#[must_use]
pub fn config(pod: &Pod, node: &Node) -> (DnsConfig, Vec<Says>) {
    let mut says = Vec::new();
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|spec| spec.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let of_cluster = match policy {
        "None" => None,
        "Default" => Some(false),
        "ClusterFirst" => Some(!on_host_network(pod)),
        _ => Some(true),
    };
    let mut config = match of_cluster {
        None => DnsConfig::default(),
        Some(true) if !node.cluster_dns.is_empty() => of_cluster_first(pod, node),
        Some(of_cluster) => {
            if of_cluster {
                let problem = "kubelet does not have ClusterDNS IP configured and cannot create Pod using \
                    \"ClusterFirst\" policy. Falling back to \"Default\" policy.";
                let message = format!("pod: {:?}. {problem}", described(pod));
                says.push(Says { warning: true, reason: "MissingClusterDNS", message, field: None });
            }
            of_node(node)
        }
    };
    if let Some(own) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        add_new(&mut config.servers, own.nameservers.iter().flatten());
        add_new(&mut config.searches, own.searches.iter().flatten());
        own.options.iter().flatten().for_each(|option| set_option(&mut config.options, written(option)));
    }
    limit(&mut config, &mut says);
    (config, says)
}

/// The cluster's servers and domains, and then the node's domains.
fn of_cluster_first(pod: &Pod, node: &Node) -> DnsConfig {
    let mut searches = Vec::new();
    let domain = &node.cluster_domain;
    if !domain.is_empty() {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        searches.extend([format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()]);
    }
    add_new(&mut searches, node.resolver.iter().flat_map(|resolver| &resolver.searches));
    let servers = node.cluster_dns.iter().map(ToString::to_string).collect();
    DnsConfig { servers, searches, options: vec![CLUSTER_OPTIONS.to_owned()] }
}

/// What the node has. One that is to have nothing for its pods sends them to themselves, where nobody answers: without any
/// server the resolver would ask there too, but the runtime would put in the node's.
fn of_node(node: &Node) -> DnsConfig {
    match &node.resolver {
        Some(Resolver { servers, searches, options }) => {
            DnsConfig { servers: servers.clone(), searches: searches.clone(), options: options.clone() }
        }
        None => {
            let server = if node.address.is_some_and(|address| address.is_ipv6()) { "::1" } else { "127.0.0.1" };
            DnsConfig { servers: vec![server.to_owned()], searches: vec![".".to_owned()], options: Vec::new() }
        }
    }
}

fn add_new<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

fn written(option: &PodDNSConfigOption) -> String {
    let name = option.name.as_deref().unwrap_or_default();
    match option.value.as_deref().filter(|value| !value.is_empty()) {
        Some(value) => format!("{name}:{value}"),
        None => name.to_owned(),
    }
}

/// Puts an option in the place of the one of the same name, or at the end.
fn set_option(options: &mut Vec<String>, option: String) {
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    match options.iter_mut().find(|known| name(known) == name(&option)) {
        Some(known) => *known = option,
        None => options.push(option),
    }
}

/// Leaves out what is too much, and says so.
fn limit(config: &mut DnsConfig, says: &mut Vec<Says>) {
    let mut say = |message| says.push(Says { warning: true, reason: "DNSConfigForming", message, field: None });
    if config.servers.len() > MOST_SERVERS {
        config.servers.truncate(MOST_SERVERS);
        let servers = config.servers.join(" ");
        say(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {servers}"
        ));
    }
    let all = config.searches.len();
    config.searches.truncate(MOST_SEARCHES);
    while config.searches.join(" ").len() > MOST_SEARCH_CHARACTERS {
        config.searches.pop();
    }
    if config.searches.len() < all {
        let searches = config.searches.join(" ");
        say(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {searches}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(node: &Node, spec: Value, expected: Value) -> Vec<Says> {
        let mut pod = json!({"metadata": {"name": "web", "namespace": "ns", "uid": "u"}, "spec": {"containers": []}});
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let (found, says) = config(&serde_json::from_value(pod).unwrap(), node);
        assert_eq!(json!([found.servers, found.searches, found.options]), expected, "{spec}");
        says
    }

    fn node() -> Node {
        let resolver = Resolver::parse("nameserver 9.9.9.9\nsearch example.com\noptions rotate timeout:2\n");
        Node { cluster_dns: vec!["10.96.0.10".parse().unwrap()], resolver: Some(resolver), ..Node::default() }
    }

    #[test]
    fn resolv_conf_is_read_as_upstream_does() {
        let content = "# nameserver 0.0.0.0\nnameserver 1.1.1.1\n nameserver  2.2.2.2 x\nnameserver\nsearch a b\n\
            search c. . d\noptions ndots:2 rotate\noptions ndots:3\nsortlist 1\n; comment\n";
        let resolver = Resolver::parse(content);
        let expected = (["1.1.1.1", "2.2.2.2"], ["c", ".", "d"], ["ndots:3", "rotate"]);
        assert_eq!(
            (&resolver.servers[..], &resolver.searches[..], &resolver.options[..]),
            (
                &expected.0.map(str::to_owned)[..],
                &expected.1.map(str::to_owned)[..],
                &expected.2.map(str::to_owned)[..]
            )
        );
    }

    #[test]
    fn policies() {
        let of_node = json!([["9.9.9.9"], ["example.com"], ["rotate", "timeout:2"]]);
        let domains = ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"];
        let of_cluster = json!([["10.96.0.10"], domains, ["ndots:5"]]);
        let cases = [
            (json!({}), &of_cluster),
            (json!({"dnsPolicy": "ClusterFirst"}), &of_cluster),
            (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), &of_node),
            (json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), &of_cluster),
            (json!({"dnsPolicy": "Default"}), &of_node),
            (json!({"dnsPolicy": "None"}), &json!([[], [], []])),
        ];
        for (spec, expected) in cases {
            assert_eq!(check(&node(), spec, expected.clone()), []);
        }
        let own = json!({"nameservers": ["1.1.1.1", "9.9.9.9"], "searches": ["example.com", "own"],
            "options": [{"name": "timeout", "value": "9"}, {"name": "debug"}]});
        let merged = json!([["9.9.9.9", "1.1.1.1"], ["example.com", "own"], ["rotate", "timeout:9", "debug"]]);
        check(&node(), json!({"dnsPolicy": "Default", "dnsConfig": own}), merged);
        let alone = json!([["1.1.1.1", "9.9.9.9"], ["example.com", "own"], ["timeout:9", "debug"]]);
        check(&node(), json!({"dnsPolicy": "None", "dnsConfig": own}), alone);
    }

    #[test]
    fn without_servers_of_the_cluster_the_nodes_are_used() {
        let node = Node { cluster_dns: Vec::new(), ..node() };
        let says = check(&node, json!({}), json!([["9.9.9.9"], ["example.com"], ["rotate", "timeout:2"]]));
        assert_eq!((says.len(), says[0].reason), (1, "MissingClusterDNS"));
        assert!(says[0].message.starts_with("pod: \"web_ns(u)\". kubelet does not have ClusterDNS IP configured"));
        let nothing = Node { resolver: None, ..node };
        check(&nothing, json!({"dnsPolicy": "Default"}), json!([["127.0.0.1"], ["."], []]));
        let nothing = Node { address: Some("fd00::1".parse().unwrap()), ..nothing };
        check(&nothing, json!({"dnsPolicy": "Default"}), json!([["::1"], ["."], []]));
    }

    #[test]
    fn what_is_too_much_is_left_out_and_said() {
        let says =
            |own: Value, expected: Value| check(&node(), json!({"dnsPolicy": "None", "dnsConfig": own}), expected);
        let found = says(json!({"nameservers": ["1", "2", "3", "4"]}), json!([["1", "2", "3"], [], []]));
        let message = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver \
            line is: 1 2 3";
        assert_eq!((found[0].reason, found[0].message.as_str()), ("DNSConfigForming", message));
        let names: Vec<String> = (0..33).map(|number| format!("d{number}")).collect();
        let found = says(json!({"searches": names}), json!([[], names[..32], []]));
        assert!(found[0].message.starts_with("Search Line limits were exceeded, some search paths have been omitted"));
        let long: Vec<String> = (0..10).map(|number| format!("{number}{}", "x".repeat(249))).collect();
        let found = says(json!({"searches": long}), json!([[], long[..8], []]));
        assert_eq!(found.len(), 1);
    }
}
