//! What the cluster's DNS counts, under the names that upstream's has for it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::message::Transport;

/// The types that are counted apart. All others are `other`.
const TYPES: [RecordType; 13] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::ANY,
    RecordType::CNAME,
    RecordType::DNSKEY,
    RecordType::DS,
    RecordType::HTTPS,
    RecordType::MX,
    RecordType::NS,
    RecordType::PTR,
    RecordType::SOA,
    RecordType::SRV,
    RecordType::TXT,
];

/// The codes that are counted apart, by the names that upstream has for them.
const CODES: [(ResponseCode, &str); 7] = [
    (ResponseCode::NoError, "NOERROR"),
    (ResponseCode::FormErr, "FORMERR"),
    (ResponseCode::ServFail, "SERVFAIL"),
    (ResponseCode::NXDomain, "NXDOMAIN"),
    (ResponseCode::NotImp, "NOTIMP"),
    (ResponseCode::Refused, "REFUSED"),
    (ResponseCode::BADVERS, "BADVERS"),
];

/// The first bucket of durations, in nanoseconds; each is twice as long as the one before. Upstream's are the same.
const FIRST_BUCKET: u64 = 250_000;
const BUCKETS: usize = 16;

type Count = AtomicU64;

/// What is counted. All counts are since the process began.
#[derive(Debug, Default)]
pub struct Metrics {
    /// By transport, family and type.
    requests: [[[Count; TYPES.len() + 1]; 2]; 2],
    responses: [Count; CODES.len() + 1],
    /// How many took no longer than each bucket and longer than the one before; the last are those beyond all.
    durations: [Count; BUCKETS + 1],
    nanoseconds: Count,
    /// Of records, and of denials.
    cache_hits: [Count; 2],
    cache_misses: Count,
    cache_entries: Count,
    forwards: Count,
    server_failures: Count,
    forward_failures: Count,
    rejects: Count,
    dropped: Count,
}

fn add(count: &Count) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn read(count: &Count) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Metrics {
    pub(super) fn requested(&self, transport: Transport, client: SocketAddr, kind: RecordType) {
        let known = TYPES.iter().position(|known| *known == kind).unwrap_or(TYPES.len());
        add(&self.requests[usize::from(transport == Transport::Tcp)][usize::from(client.is_ipv6())][known]);
    }

    pub(super) fn responded(&self, code: ResponseCode, took: Duration) {
        add(&self.responses[CODES.iter().position(|(known, _)| *known == code).unwrap_or(CODES.len())]);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (0..BUCKETS).find(|bucket| took <= FIRST_BUCKET << bucket).unwrap_or(BUCKETS);
        add(&self.durations[bucket]);
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
    }

    pub(super) fn cache_hit(&self, denial: bool) {
        add(&self.cache_hits[usize::from(denial)]);
    }

    pub(super) fn cache_miss(&self) {
        add(&self.cache_misses);
    }

    pub(super) fn cache_holds(&self, entries: usize) {
        self.cache_entries.store(entries as u64, Ordering::Relaxed);
    }

    pub(super) fn forwarded(&self) {
        add(&self.forwards);
    }

    pub(super) fn server_failed(&self) {
        add(&self.server_failures);
    }

    pub(super) fn forward_failed(&self) {
        add(&self.forward_failures);
    }

    pub(super) fn rejected(&self) {
        add(&self.rejects);
    }

    pub(super) fn dropped(&self) {
        add(&self.dropped);
    }

    /// The counts in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        family(&mut text, "coredns_dns_requests_total", "counter", "DNS requests made.");
        for (by_family, proto) in self.requests.iter().zip(["udp", "tcp"]) {
            for (by_type, family) in by_family.iter().zip(["1", "2"]) {
                for (at, count) in by_type.iter().enumerate().filter(|(_, count)| read(count) > 0) {
                    let kind = TYPES.get(at).map_or_else(|| "other".to_owned(), ToString::to_string);
                    let labels = format!("family=\"{family}\",proto=\"{proto}\",type=\"{kind}\"");
                    line(&mut text, "coredns_dns_requests_total", &labels, read(count));
                }
            }
        }
        family(&mut text, "coredns_dns_responses_total", "counter", "DNS responses sent, by their code.");
        for (at, count) in self.responses.iter().enumerate().filter(|(_, count)| read(count) > 0) {
            let code = CODES.get(at).map_or("other", |(_, name)| name);
            line(&mut text, "coredns_dns_responses_total", &format!("rcode=\"{code}\""), read(count));
        }
        self.render_durations(&mut text);
        family(&mut text, "coredns_cache_hits_total", "counter", "Answers from the cache.");
        for (count, kind) in self.cache_hits.iter().zip(["success", "denial"]) {
            line(&mut text, "coredns_cache_hits_total", &format!("type=\"{kind}\""), read(count));
        }
        let plain = [
            ("coredns_cache_misses_total", "counter", "Questions that the cache had no answer to.", &self.cache_misses),
            ("coredns_cache_entries", "gauge", "Answers in the cache.", &self.cache_entries),
            ("coredns_forward_requests_total", "counter", "Questions sent to upstream servers.", &self.forwards),
            (
                "coredns_forward_max_concurrent_rejects_total",
                "counter",
                "Questions refused because too many were under way.",
                &self.rejects,
            ),
            (
                "gantry_dns_upstream_failures_total",
                "counter",
                "Questions that an upstream server did not answer.",
                &self.server_failures,
            ),
            (
                "gantry_dns_forward_failures_total",
                "counter",
                "Questions that no upstream server answered.",
                &self.forward_failures,
            ),
            ("gantry_dns_dropped_total", "counter", "Messages that got no answer.", &self.dropped),
        ];
        for (name, kind, help, count) in plain {
            family(&mut text, name, kind, help);
            line(&mut text, name, "", read(count));
        }
        text
    }

    fn render_durations(&self, text: &mut String) {
        let name = "coredns_dns_request_duration_seconds";
        family(text, name, "histogram", "How long requests took.");
        let mut total = 0;
        for (at, count) in self.durations.iter().enumerate() {
            total += read(count);
            #[allow(clippy::cast_precision_loss, reason = "the bounds are small powers of two times a short number")]
            let bound = if at == BUCKETS { "+Inf".to_owned() } else { ((FIRST_BUCKET << at) as f64 / 1e9).to_string() };
            line(text, &format!("{name}_bucket"), &format!("le=\"{bound}\""), total);
        }
        #[allow(clippy::cast_precision_loss, reason = "a sum of durations need not be exact")]
        let sum = read(&self.nanoseconds) as f64 / 1e9;
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {total}");
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = writeln!(text, "{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rendered_as_upstreams_are() {
        let metrics = Metrics::default();
        let (v4, v6) = ("10.0.0.1:1".parse().unwrap(), "[fd00::1]:1".parse().unwrap());
        metrics.requested(Transport::Udp, v4, RecordType::A);
        metrics.requested(Transport::Udp, v4, RecordType::A);
        metrics.requested(Transport::Tcp, v6, RecordType::HINFO);
        metrics.responded(ResponseCode::NXDomain, Duration::from_micros(300));
        metrics.responded(ResponseCode::NoError, Duration::from_secs(60));
        metrics.cache_hit(true);
        metrics.cache_holds(7);
        let text = metrics.render();
        let has = |line: &str| assert!(text.lines().any(|known| known == line), "{line} in {text}");
        has("# TYPE coredns_dns_requests_total counter");
        has("coredns_dns_requests_total{family=\"1\",proto=\"udp\",type=\"A\"} 2");
        has("coredns_dns_requests_total{family=\"2\",proto=\"tcp\",type=\"other\"} 1");
        has("coredns_dns_responses_total{rcode=\"NXDOMAIN\"} 1");
        has("coredns_dns_request_duration_seconds_bucket{le=\"0.00025\"} 0");
        has("coredns_dns_request_duration_seconds_bucket{le=\"0.0005\"} 1");
        has("coredns_dns_request_duration_seconds_bucket{le=\"+Inf\"} 2");
        has("coredns_dns_request_duration_seconds_count 2");
        has("coredns_cache_hits_total{type=\"denial\"} 1");
        has("coredns_cache_entries 7");
    }
}
