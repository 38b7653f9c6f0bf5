//! Questions and answers as upstream's tests have them, and as the specification demands where those have none; and random
//! clusters whose answers are those of a zone file that lists every record.

mod random;

use super::*;
use crate::dns::fixtures::{cluster, lines, question, zone};

const NOERROR: ResponseCode = ResponseCode::NoError;
const NXDOMAIN: ResponseCode = ResponseCode::NXDomain;

fn here(names: &Names, asked: &str) -> Reply {
    match answer(names, &question(asked)) {
        Answer::Here(reply) => reply,
        other => panic!("{asked}: {other:?}"),
    }
}

/// A question with its answers and additional records.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn check(cases: &[Case<'_>]) {
    let names = cluster();
    for (asked, answers, additionals) in cases {
        let reply = here(&names, asked);
        assert_eq!(reply.code, NOERROR, "{asked}");
        assert_eq!(lines(&reply.answers), *answers, "{asked}");
        assert_eq!(lines(&reply.additionals), *additionals, "{asked}: additional");
        assert_eq!(reply.authorities, [], "{asked}");
    }
}

fn check_denied(code: ResponseCode, cases: &[&str]) {
    let names = cluster();
    for asked in cases {
        let reply = here(&names, asked);
        assert_eq!((reply.code, lines(&reply.answers)), (code, vec![]), "{asked}");
        let soa = ["@ 30 SOA ns.dns.@ hostmaster.@ 1 7200 1800 86400 30"];
        assert_eq!(lines(&reply.authorities), soa, "{asked}");
    }
}

#[test]
fn services_have_addresses() {
    check(&[
        ("svc1.testns.svc A", &["svc1.testns.svc.@ 30 A 10.0.0.1"], &[]),
        ("svc6.testns.svc AAAA", &["svc6.testns.svc.@ 30 AAAA 1234:abcd::1"], &[]),
        ("svc-dual-stack.testns.svc A", &["svc-dual-stack.testns.svc.@ 30 A 10.0.0.3"], &[]),
        ("svc-dual-stack.testns.svc AAAA", &["svc-dual-stack.testns.svc.@ 30 AAAA 10::3"], &[]),
        ("two.testns.svc A", &["two.testns.svc.@ 30 A 10.0.0.4"], &[]),
        ("SvC1.TestNS.sVc A", &["SvC1.TestNS.sVc.@ 30 A 10.0.0.1"], &[]),
        // Upstream answers so, though nobody demands it.
        ("_http._tcp.svc1.testns.svc A", &["_http._tcp.svc1.testns.svc.@ 30 A 10.0.0.1"], &[]),
    ]);
}

#[test]
fn headless_services_have_those_of_their_ready_endpoints() {
    let all = ["172.0.0.2", "172.0.0.3", "172.0.0.4", "172.0.0.5"];
    let all: Vec<String> = all.iter().map(|address| format!("hdls1.testns.svc.@ 30 A {address}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    check(&[
        ("hdls1.testns.svc A", &all, &[]),
        (
            "hdls1.testns.svc AAAA",
            &["hdls1.testns.svc.@ 30 AAAA 5678:abcd::1", "hdls1.testns.svc.@ 30 AAAA 5678:abcd::2"],
            &[],
        ),
        ("hdlsprtls.testns.svc A", &["hdlsprtls.testns.svc.@ 30 A 172.0.0.20"], &[]),
        ("172-0-0-20.hdlsprtls.testns.svc A", &["172-0-0-20.hdlsprtls.testns.svc.@ 30 A 172.0.0.20"], &[]),
        ("172-0-0-2.hdls1.testns.svc A", &["172-0-0-2.hdls1.testns.svc.@ 30 A 172.0.0.2"], &[]),
        ("5678-ABCD--1.hdls1.testns.svc AAAA", &["5678-ABCD--1.hdls1.testns.svc.@ 30 AAAA 5678:abcd::1"], &[]),
        (
            "dup-name.hdls1.testns.svc A",
            &["dup-name.hdls1.testns.svc.@ 30 A 172.0.0.4", "dup-name.hdls1.testns.svc.@ 30 A 172.0.0.5"],
            &[],
        ),
        // Upstream names the endpoints of other Services as well.
        ("ep1a.svc1.testns.svc A", &["ep1a.svc1.testns.svc.@ 30 A 172.0.0.1"], &[]),
        ("unready.testns.svc A", &["unready.testns.svc.@ 30 A 172.0.0.40"], &[]),
        ("early.unready.testns.svc A", &["early.unready.testns.svc.@ 30 A 172.0.0.40"], &[]),
    ]);
}

#[test]
fn named_ports_have_srv_records() {
    check(&[
        (
            "_http._tcp.svc1.testns.svc SRV",
            &["_http._tcp.svc1.testns.svc.@ 30 SRV 0 100 80 svc1.testns.svc.@"],
            &["svc1.testns.svc.@ 30 A 10.0.0.1"],
        ),
        (
            "svc1.testns.svc SRV",
            &["svc1.testns.svc.@ 30 SRV 0 100 80 svc1.testns.svc.@"],
            &["svc1.testns.svc.@ 30 A 10.0.0.1"],
        ),
        (
            "svc-dual-stack.testns.svc SRV",
            &["svc-dual-stack.testns.svc.@ 30 SRV 0 50 80 svc-dual-stack.testns.svc.@"],
            &["svc-dual-stack.testns.svc.@ 30 A 10.0.0.3", "svc-dual-stack.testns.svc.@ 30 AAAA 10::3"],
        ),
        (
            "_admin._UDP.two.testns.svc SRV",
            &["_admin._UDP.two.testns.svc.@ 30 SRV 0 100 81 two.testns.svc.@"],
            &["two.testns.svc.@ 30 A 10.0.0.4"],
        ),
        (
            "_http._tcp.unready.testns.svc SRV",
            &["_http._tcp.unready.testns.svc.@ 30 SRV 0 100 80 early.unready.testns.svc.@"],
            &["early.unready.testns.svc.@ 30 A 172.0.0.40"],
        ),
        (
            "_http._tcp.hdls1.testns.svc SRV",
            // One endpoint is in two slices, and counts twice for the weights, as upstream has it.
            &[
                "_http._tcp.hdls1.testns.svc.@ 30 SRV 0 14 80 172-0-0-2.hdls1.testns.svc.@",
                "_http._tcp.hdls1.testns.svc.@ 30 SRV 0 14 80 172-0-0-3.hdls1.testns.svc.@",
                "_http._tcp.hdls1.testns.svc.@ 30 SRV 0 14 80 5678-abcd--1.hdls1.testns.svc.@",
                "_http._tcp.hdls1.testns.svc.@ 30 SRV 0 14 80 5678-abcd--2.hdls1.testns.svc.@",
                "_http._tcp.hdls1.testns.svc.@ 30 SRV 0 14 80 dup-name.hdls1.testns.svc.@",
            ],
            &[
                "172-0-0-2.hdls1.testns.svc.@ 30 A 172.0.0.2",
                "172-0-0-3.hdls1.testns.svc.@ 30 A 172.0.0.3",
                "5678-abcd--1.hdls1.testns.svc.@ 30 AAAA 5678:abcd::1",
                "5678-abcd--2.hdls1.testns.svc.@ 30 AAAA 5678:abcd::2",
                "dup-name.hdls1.testns.svc.@ 30 A 172.0.0.4",
                "dup-name.hdls1.testns.svc.@ 30 A 172.0.0.5",
            ],
        ),
    ]);
}

#[test]
fn addresses_have_names() {
    check(&[
        ("1.0.0.10.in-addr.arpa. PTR", &["1.0.0.10.in-addr.arpa. 30 PTR svc1.testns.svc.@"], &[]),
        ("4.0.0.172.in-addr.arpa. PTR", &["4.0.0.172.in-addr.arpa. 30 PTR dup-name.hdls1.testns.svc.@"], &[]),
        ("2.0.0.172.in-addr.arpa. PTR", &["2.0.0.172.in-addr.arpa. 30 PTR 172-0-0-2.hdls1.testns.svc.@"], &[]),
        ("40.0.0.172.IN-ADDR.arpa. PTR", &["40.0.0.172.IN-ADDR.arpa. 30 PTR early.unready.testns.svc.@"], &[]),
        (
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.a.4.3.2.1.ip6.arpa. PTR",
            &["1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.a.4.3.2.1.ip6.arpa. 30 PTR svc6.testns.svc.@"],
            &[],
        ),
    ]);
    let elsewhere = [
        "101.0.0.10.in-addr.arpa. PTR",
        "6.0.0.172.in-addr.arpa. PTR",
        "50.0.0.172.in-addr.arpa. PTR",
        "1.0.0.10.in-addr.arpa. A",
        "0.0.10.in-addr.arpa. PTR",
        "01.0.0.10.in-addr.arpa. PTR",
        "in-addr.arpa. SOA",
        "1.1.0.0.10.in-addr.arpa. PTR",
        "www.example.com. A",
        "cluster.local.example.com. A",
        "notcluster.local. A",
        "local. A",
        ". NS",
    ];
    for asked in elsewhere {
        assert_eq!(answer(&cluster(), &question(asked)), Answer::Elsewhere, "{asked}");
    }
}

#[test]
fn external_names_are_aliases() {
    check(&[
        ("external.testns.svc CNAME", &["external.testns.svc.@ 30 CNAME ext.interwebs.test."], &[]),
        (
            "external-to-service.testns.svc A",
            &["external-to-service.testns.svc.@ 30 CNAME svc1.testns.svc.@", "svc1.testns.svc.@ 30 A 10.0.0.1"],
            &[],
        ),
    ]);
    let names = cluster();
    let beyond = |asked: &str| match answer(&names, &question(asked)) {
        Answer::Beyond { aliases, target } => (lines(&aliases), target.to_ascii()),
        other => panic!("{asked}: {other:?}"),
    };
    let expected =
        (vec!["external.testns.svc.@ 30 CNAME ext.interwebs.test.".to_owned()], "ext.interwebs.test.".into());
    assert_eq!(beyond("external.testns.svc A"), expected);
    assert_eq!(beyond("external.testns.svc MX"), expected);
    assert_eq!(beyond("external-to-external.testns.svc AAAA").0.len(), 2);

    let nothing = here(&names, "external-to-nothing.testns.svc A");
    assert_eq!((nothing.code, nothing.answers.len(), nothing.authorities.len()), (NXDOMAIN, 1, 1));
    let nodata = here(&names, "external-to-service.testns.svc AAAA");
    assert_eq!((nodata.code, nodata.answers.len(), nodata.authorities.len()), (NOERROR, 1, 1));
    assert_eq!(here(&names, "circle1.testns.svc A"), Reply::only(ResponseCode::ServFail));
}

#[test]
fn the_zone_says_what_it_is() {
    let names = cluster();
    check(&[
        ("dns-version TXT", &["dns-version.@ 28800 TXT 1.1.0"], &[]),
        ("@ SOA", &["@ 30 SOA ns.dns.@ hostmaster.@ 1 7200 1800 86400 30"], &[]),
        ("ns.dns A", &["ns.dns.@ 30 A 10.96.0.10"], &[]),
        ("ns.dns AAAA", &["ns.dns.@ 30 AAAA fd00:96::a"], &[]),
        (
            "@ NS",
            &["@ 30 NS kube-dns.kube-system.svc.@", "@ 30 NS ns.dns.@"],
            &["kube-dns.kube-system.svc.@ 30 A 10.96.0.10", "ns.dns.@ 30 AAAA fd00:96::a"],
        ),
    ]);
    for refused in ["@ AXFR", "web.a.svc AXFR", "example.com. AXFR"] {
        assert_eq!(here(&names, refused), Reply::only(ResponseCode::Refused), "{refused}");
    }
    let ixfr = Question { kind: RecordType::IXFR, ..question("@ A") };
    assert_eq!(answer(&names, &ixfr), Answer::Here(Reply::only(ResponseCode::Refused)));
}

#[test]
fn pods_are_called_by_their_addresses() {
    check(&[
        ("10-240-0-1.testns.pod A", &["10-240-0-1.testns.pod.@ 30 A 10.240.0.1"], &[]),
        ("1234-abcd--5.testns.pod AAAA", &["1234-abcd--5.testns.pod.@ 30 AAAA 1234:abcd::5"], &[]),
    ]);
    check_denied(NOERROR, &["10-240-0-1.testns.pod AAAA", "testns.pod A", "pod A", "10-240-0-1.testns.pod SRV"]);
    let none = ["10-240-0-1.nons.pod A", "10-240-0.testns.pod A", "10-240-0-256.testns.pod A", "web.testns.pod A"];
    check_denied(NXDOMAIN, &none);
}

#[test]
fn what_exists_has_no_records_of_other_types_and_what_does_not_has_no_name() {
    check_denied(
        NOERROR,
        &[
            "@ A",
            "@ HINFO",
            "svc A",
            "svc NS",
            "dns TXT",
            "dns-version A",
            "testns.svc A",
            "testns.svc NS",
            "TESTNS.svc A",
            "svc1.testns.svc AAAA",
            "svc1.testns.svc SOA",
            "svc1.testns.svc TXT",
            "svc1.testns.svc ANY",
            "svc1.testns.svc CNAME",
            "svc6.testns.svc A",
            "pending.testns.svc A",
            "_http._tcp.svc1.testns.svc TXT",
            "_tcp.svc1.testns.svc A",
            "_tcp.hdls1.testns.svc SRV",
            "_udp.two.testns.svc A",
            "hdlsprtls.testns.svc SRV",
            "external.testns.svc ANY",
        ],
    );
    check_denied(
        NXDOMAIN,
        &[
            "foo A",
            "foo NS",
            "foo.svc NS",
            "nons.svc A",
            "svc1.nons.svc A",
            "svc0.testns.svc A",
            "svc0.testns.svc AAAA",
            "svc0.testns.svc SOA",
            "svc0.testns.svc TXT",
            "svc1.testns A",
            "svc1.testns.node A",
            "hdlsempty.testns.svc A",
            "_tcp.hdlsempty.testns.svc A",
            "bogusendpoint.hdls1.testns.svc A",
            "172-0-0-6.hdls1.testns.svc A",
            "bogusendpoint.svc0.testns.svc A",
            "endpoint.external.testns.svc CNAME",
            "external-to-address.testns.svc A",
            "_http._udp.svc1.testns.svc SRV",
            "_none._tcp.svc1.testns.svc SRV",
            "_tcp.unnamed.testns.svc A",
            "_udp.svc1.testns.svc A",
            "a._http._tcp.svc1.testns.svc SRV",
            "a.ns.dns A",
            "svc1\\.testns.svc A",
            "*.testns.svc A",
        ],
    );
}

#[test]
fn nothing_is_denied_before_everything_is_known() {
    let mut names = Names::new(zone());
    let failed = ["svc1.testns.svc A", "testns.svc A", "foo A", "svc1\\.testns.svc A", "1.0.0.10.in-addr.arpa. PTR"];
    for asked in failed {
        assert_eq!(here(&names, asked), Reply::only(ResponseCode::ServFail), "{asked}");
    }
    assert_eq!(here(&names, "dns-version TXT").code, NOERROR);
    assert_eq!(here(&names, "@ SOA").answers.len(), 1);
    assert_eq!(answer(&names, &question("example.com. A")), Answer::Elsewhere);
    names.set_complete();
    assert_eq!(here(&names, "svc1.testns.svc A").code, NXDOMAIN);
}

#[test]
fn a_cluster_may_have_a_zone_of_any_depth() {
    let zone = Zone { name: Name::from_ascii("k8s.example.com.").unwrap(), ttl: 5, addresses: Vec::new() };
    let mut names = Names::new(zone);
    names.put_namespace(&crate::dns::fixtures::namespace("a"));
    names.put_service(&crate::dns::fixtures::service("web.a", &["10.0.0.1"], &[]));
    names.set_complete();
    let reply = here(&names, "web.a.svc.k8s.example.com. A");
    assert_eq!(lines(&reply.answers), ["web.a.svc.k8s.example.com. 5 A 10.0.0.1"]);
    assert_eq!(here(&names, "web.a.svc.K8S.example.com. TXT").authorities[0].ttl, 5);
    assert_eq!(answer(&names, &question("example.com. A")), Answer::Elsewhere);
}
