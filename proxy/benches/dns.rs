//! How many questions the cluster's DNS answers in a second, and how long an answer takes, with 5,000 Services.
//!
//! The questions come over UDP on the loopback device, from several clients at once of which each waits for its answer before
//! it asks again; the throughput that is stated is theirs together. So the figures are of the whole way, sockets included, and the clients take their share of the machine.
//! The 50th and the 99th percentile of the waits stand on a line of their own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use k8s_openapi::api::core::v1::{Namespace, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proxy::dns::{Names, Options, Published, Question, Server, Upstreams, Zone, answer};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;

const SERVICES: u32 = 5_000;
const NAMESPACES: u32 = 50;
const CLIENTS: usize = 16;

fn meta(name: String, namespace: Option<String>) -> ObjectMeta {
    ObjectMeta { name: Some(name), namespace, ..ObjectMeta::default() }
}

fn fill(names: &mut Names) {
    for number in 0..NAMESPACES {
        names.put_namespace(&Namespace { metadata: meta(format!("ns-{number}"), None), ..Namespace::default() });
    }
    (0..SERVICES).for_each(|number| names.put_service(&service(number)));
    names.set_complete();
}

fn service(number: u32) -> Service {
    let address = std::net::Ipv4Addr::from(0x0A60_0000 + number + 1).to_string();
    let port = ServicePort { name: Some("http".to_owned()), port: 80, ..ServicePort::default() };
    let spec = ServiceSpec {
        cluster_ip: Some(address.clone()),
        cluster_ips: Some(vec![address]),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    let metadata = meta(format!("service-{number}"), Some(format!("ns-{}", number % NAMESPACES)));
    Service { metadata, spec: Some(spec), ..Service::default() }
}

fn name(number: u32) -> Name {
    let number = number % SERVICES;
    let name = format!("service-{number}.ns-{}.svc.cluster.local.", number % NAMESPACES);
    Name::from_ascii(name).expect("a name")
}

/// One client, which asks `count` questions one after another. Returns how long each took.
async fn client(server: SocketAddr, first: u32, count: u64) -> Vec<Duration> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    socket.connect(server).await.expect("a server");
    let (mut buffer, mut waits) = ([0; 1_232], Vec::new());
    for number in 0..u32::try_from(count).expect("a small number") {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(name(first + number * 37), RecordType::A));
        let bytes = message.to_vec().expect("a message");
        let began = Instant::now();
        socket.send(&bytes).await.expect("sent");
        let size = socket.recv(&mut buffer).await.expect("an answer");
        waits.push(began.elapsed());
        assert!(size > bytes.len(), "there is an answer");
    }
    waits
}

#[allow(clippy::print_stdout, reason = "the percentiles are what the benchmark is for")]
fn over_udp(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let options = Options {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        upstreams: Upstreams::Servers(Vec::new()),
        ..Options::default()
    };
    let server = runtime.block_on(Server::start(options)).expect("a server");
    server.names().change(fill);
    let at = server.addresses()[0];
    let mut waits = Vec::new();
    let mut group = criterion.benchmark_group("dns");
    group.throughput(Throughput::Elements(CLIENTS as u64)).sample_size(20);
    group.bench_function("udp/5000-services", |bencher| {
        bencher.iter_custom(|count| {
            let began = Instant::now();
            let clients: Vec<_> =
                (0..CLIENTS).map(|number| runtime.spawn(client(at, 11 * number as u32, count))).collect();
            for client in clients {
                waits.extend(runtime.block_on(client).expect("a client"));
            }
            began.elapsed()
        });
    });
    group.finish();
    waits.sort();
    if !waits.is_empty() {
        let (half, most) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
        println!("dns/udp/5000-services  p50 {half:?}  p99 {most:?} of {} questions", waits.len());
    }
    runtime.block_on(server.stop());
}

fn in_memory(criterion: &mut Criterion) {
    let zone = Zone { name: Name::from_ascii("cluster.local.").expect("a name"), ttl: 30, addresses: Vec::new() };
    let published = Published::new(zone);
    published.change(fill);
    let mut group = criterion.benchmark_group("dns");
    group.throughput(Throughput::Elements(1));
    let (names, mut number) = (published.now(), 0);
    group.bench_function("answer/5000-services", |bencher| {
        bencher.iter(|| {
            number += 37;
            answer(&names, &Question { name: name(number), kind: RecordType::A })
        });
    });
    group.bench_function("change/5000-services", |bencher| {
        bencher.iter(|| {
            number += 37;
            let service = service(number % SERVICES);
            published.change(|names| names.put_service(&service));
        });
    });
    group.finish();
}

criterion_group!(benches, in_memory, over_udp);
criterion_main!(benches);
