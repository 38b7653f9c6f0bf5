//! The whole server over real sockets on the loopback device, with upstream servers of the tests' own.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::dns::cache::CacheBounds;
use crate::dns::fixtures::{lines, namespace, question, service, slice};
use crate::dns::forward::ForwardLimits;
use crate::dns::names::Names;
use crate::dns::upstreams::Upstreams;

mod upstream;

use upstream::{Fake, address_of};

fn options(upstreams: &[SocketAddr]) -> Options {
    Options {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        upstreams: Upstreams::Servers(upstreams.to_vec()),
        ..Options::default()
    }
}

/// An address of this test's own, at which nobody else takes ports: each number for one test.
fn own_address(number: u32) -> Ipv4Addr {
    assert!(number < 8, "there are eight for each process");
    Ipv4Addr::from(0x7F00_0000 | (std::process::id() & 0x1F_FFFF) << 3 | number)
}

/// The cluster of the tests: one Service, one headless one with a hundred endpoints, and an external name.
fn fill(names: &mut Names) {
    names.put_namespace(&namespace("a"));
    names.put_service(&service("web.a", &["10.0.0.1"], &["http/TCP/80"]));
    names.put_service(&service("many.a", &["None"], &[]));
    names.put_service(&crate::dns::fixtures::external("away.a", "www.example.com"));
    let endpoints: Vec<String> = (0..100).map(|number| format!("10.1.0.{number}")).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    names.put_slice(&slice("many-1.a", "many", &endpoints, &[]));
    names.set_complete();
}

async fn started(options: Options) -> Server {
    let server = Server::start(options).await.unwrap();
    server.names().change(fill);
    server
}

/// A server that asks these, and knows the cluster.
async fn asking(upstreams: &[SocketAddr]) -> Server {
    started(options(upstreams)).await
}

fn message(asked: &str) -> Message {
    let question = question(asked);
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(question.name, question.kind));
    message
}

async fn exchange(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(bytes).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let size = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(size);
    buffer
}

async fn ask_with(server: SocketAddr, message: &Message) -> Message {
    let reply = Message::from_vec(&exchange(server, &message.to_vec().unwrap()).await).unwrap();
    assert_eq!((reply.metadata.id, &reply.queries), (message.metadata.id, &message.queries));
    reply
}

/// Asks by UDP.
async fn ask(server: SocketAddr, asked: &str) -> Message {
    ask_with(server, &message(asked)).await
}

async fn say(stream: &mut TcpStream, bytes: &[u8]) {
    let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await.unwrap();
}

async fn hear(stream: &mut TcpStream) -> io::Result<Message> {
    let mut buffer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut buffer).await?;
    Ok(Message::from_vec(&buffer).unwrap())
}

#[tokio::test]
async fn the_cluster_answers_by_both_transports() {
    let server = asking(&[]).await;
    let at = server.addresses()[0];
    let reply = ask(at, "Web.A.svc A").await;
    assert_eq!(lines(&reply.answers), ["Web.A.svc.@ 30 A 10.0.0.1"]);
    assert_eq!(reply.queries[0].name().to_ascii(), "Web.A.svc.cluster.local.");
    assert!(reply.metadata.authoritative && reply.metadata.recursion_available);

    let mut stream = TcpStream::connect(at).await.unwrap();
    for _ in 0..3 {
        say(&mut stream, &message("many.a.svc A").to_vec().unwrap()).await;
        let reply = hear(&mut stream).await.unwrap();
        assert_eq!((reply.answers.len(), reply.metadata.truncation), (100, false));
    }
    let reply = ask(at, "none.a.svc A").await;
    assert_eq!((reply.metadata.response_code, reply.authorities.len()), (ResponseCode::NXDomain, 1));
    server.stop().await;
}

#[tokio::test]
async fn each_address_answers_for_itself() {
    let listen = vec![(own_address(5), 0).into(), (own_address(6), 0).into(), "[::1]:0".parse().unwrap()];
    let without = listen[..2].to_vec();
    let there = std::path::Path::new("/proc/net/if_inet6").exists();
    let server = started(Options { listen: if there { listen } else { without }, ..options(&[]) }).await;
    for at in server.addresses() {
        let socket = UdpSocket::bind((at.ip(), 0)).await.unwrap();
        socket.send_to(&message("web.a.svc A").to_vec().unwrap(), at).await.unwrap();
        let (size, from) = socket.recv_from(&mut [0; 512]).await.unwrap();
        assert!(size > 12 && from == *at, "{at} was asked, and {from} answered");
        let mut stream = TcpStream::connect(at).await.unwrap();
        say(&mut stream, &message("@ NS").to_vec().unwrap()).await;
        let reply = hear(&mut stream).await.unwrap();
        assert_eq!(reply.additionals.len(), server.addresses().len(), "all are servers of the zone");
    }
}

#[tokio::test]
async fn what_does_not_fit_a_datagram_is_cut_and_said_to_be() {
    let server = asking(&[]).await;
    let at = server.addresses()[0];
    let reply = ask(at, "many.a.svc A").await;
    assert!(reply.metadata.truncation && !reply.answers.is_empty() && reply.answers.len() < 100);
    let mut long = message("many.a.svc A");
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    long.set_edns(edns);
    let reply = ask_with(at, &long).await;
    assert_eq!((reply.answers.len(), reply.metadata.truncation, reply.edns.is_some()), (100, false, true));
    // They come in another order each time, so that the first is not always the same.
    let mut firsts = std::collections::BTreeSet::new();
    while firsts.len() < 3 {
        firsts.insert(lines(&ask_with(at, &long).await.answers[..1]));
    }
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let server = asking(&[]).await;
    let at = server.addresses()[0];
    let check = async |bytes: Vec<u8>, code: ResponseCode| {
        let reply = Message::from_vec(&exchange(at, &bytes).await).unwrap();
        assert_eq!((reply.metadata.id.to_be_bytes(), reply.metadata.response_code), ([bytes[0], bytes[1]], code));
    };
    let mut two = message("web.a.svc A");
    two.add_query(Query::query(Name::root(), RecordType::A));
    check(two.to_vec().unwrap(), ResponseCode::FormErr).await;
    let mut chaos = message("version.bind. TXT");
    chaos.queries[0].set_query_class(DNSClass::CH);
    check(chaos.to_vec().unwrap(), ResponseCode::Refused).await;
    let mut cut = message("web.a.svc A").to_vec().unwrap();
    cut.truncate(20);
    check(cut, ResponseCode::FormErr).await;
    check(message("cluster.local. AXFR").to_vec().unwrap(), ResponseCode::Refused).await;
    check(message("www.example.com. A").to_vec().unwrap(), ResponseCode::ServFail).await;
    // What gets no answer does not disturb what does.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&[1, 2, 3], at).await.unwrap();
    check(message("web.a.svc A").to_vec().unwrap(), ResponseCode::NoError).await;
}

#[tokio::test]
async fn nothing_is_denied_before_the_cluster_is_known() {
    let server = Server::start(options(&[])).await.unwrap();
    let at = server.addresses()[0];
    assert_eq!(ask(at, "web.a.svc A").await.metadata.response_code, ResponseCode::ServFail);
    server.names().change(fill);
    assert_eq!(ask(at, "web.a.svc A").await.metadata.response_code, ResponseCode::NoError);
}

#[tokio::test(start_paused = true)]
async fn other_names_are_asked_of_others_and_kept_for_a_while() {
    let fake = Fake::start(|asked, _| Some(address_of(asked, 3600))).await;
    let server = asking(&[fake.at]).await;
    let at = server.addresses()[0];
    let reply = ask(at, "www.Example.com. A").await;
    assert_eq!(lines(&reply.answers), ["www.Example.com. 30 A 192.0.2.1"]);
    assert!(!reply.metadata.authoritative && reply.metadata.recursion_available);
    tokio::time::advance(Duration::from_secs(12)).await;
    let reply = ask(at, "WWW.example.com. A").await;
    assert_eq!((reply.answers[0].name.to_ascii(), reply.answers[0].ttl), ("WWW.example.com.".to_owned(), 18));
    assert_eq!(fake.count("www.example.com."), 1);
    tokio::time::advance(Duration::from_secs(18)).await;
    assert_eq!(ask(at, "www.example.com. A").await.answers[0].ttl, 30);
    assert_eq!(fake.count("www.example.com."), 2);
    // Another type, and one who wants proofs, are other questions.
    ask(at, "www.example.com. TXT").await;
    let mut proof = message("www.example.com. A");
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    proof.set_edns(edns);
    ask_with(at, &proof).await;
    assert_eq!(fake.count("www.example.com."), 4);
}

#[tokio::test]
async fn addresses_that_nobody_here_has_are_asked_of_others() {
    let fake = Fake::start(|asked, _| Some(address_of(asked, 60))).await;
    let server = asking(&[fake.at]).await;
    let at = server.addresses()[0];
    let reply = ask(at, "1.0.0.10.in-addr.arpa. PTR").await;
    assert_eq!(lines(&reply.answers), ["1.0.0.10.in-addr.arpa. 30 PTR web.a.svc.@"]);
    ask(at, "1.2.0.192.in-addr.arpa. PTR").await;
    assert_eq!((fake.count("1.0.0.10.in-addr.arpa."), fake.count("1.2.0.192.in-addr.arpa.")), (0, 1));
}

#[tokio::test]
async fn external_names_are_followed() {
    let fake = Fake::start(|asked, _| Some(address_of(asked, 60))).await;
    let server = asking(&[fake.at]).await;
    let reply = ask(server.addresses()[0], "away.a.svc A").await;
    assert_eq!(
        reply.answers.iter().map(Record::record_type).collect::<Vec<_>>(),
        [RecordType::CNAME, RecordType::A],
        "the alias stands before what it leads to"
    );
    let expected = ["away.a.svc.@ 30 CNAME www.example.com.", "www.example.com. 30 A 192.0.2.1"];
    assert_eq!(lines(&reply.answers), expected);
    // And so is a denial: the alias is there, what it leads to is not.
    let denying = Fake::start(|asked, _| {
        let mut reply = upstream::reply(asked, ResponseCode::NXDomain);
        let name = Name::from_ascii("example.com.").unwrap();
        let soa = SOA::new(name.clone(), name.clone(), 1, 1, 1, 1, 60);
        reply.add_authority(Record::from_rdata(name, 60, RData::SOA(soa)));
        Some(reply)
    });
    let denying = denying.await;
    let server = asking(&[denying.at]).await;
    let reply = ask(server.addresses()[0], "away.a.svc A").await;
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NXDomain, 1));
    assert_eq!(reply.authorities.len(), 1);
}

#[tokio::test]
async fn what_a_server_cuts_is_fetched_by_connection() {
    let fake = Fake::start(|asked, transport| {
        let mut reply = upstream::reply(asked, ResponseCode::NoError);
        reply.metadata.truncation = transport == Transport::Udp;
        let answers = if transport == Transport::Udp { 1 } else { 200 };
        let name = asked.queries[0].name();
        let address = |number: u32| RData::A(A(Ipv4Addr::from(0xC000_0200 + number)));
        reply.add_answers((0..answers).map(|number| Record::from_rdata(name.clone(), 60, address(number))));
        Some(reply)
    });
    let fake = fake.await;
    let server = asking(&[fake.at]).await;
    let at = server.addresses()[0];
    assert!(ask(at, "big.example.com. A").await.metadata.truncation);
    let mut stream = TcpStream::connect(at).await.unwrap();
    say(&mut stream, &message("big.example.com. A").to_vec().unwrap()).await;
    let reply = hear(&mut stream).await.unwrap();
    assert_eq!((reply.answers.len(), reply.metadata.truncation), (200, false));
    assert_eq!(fake.count("big.example.com."), 2, "once by datagram and once by connection");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_or_failing_is_passed_over() {
    let silent = Fake::start(|_, _| None).await;
    let failing = Fake::start(|asked, _| Some(upstream::reply(asked, ResponseCode::ServFail))).await;
    let good = Fake::start(|asked, _| Some(address_of(asked, 60))).await;
    let server = asking(&[silent.at, failing.at, good.at]).await;
    for number in 0..8 {
        let reply = ask(server.addresses()[0], &format!("n{number}.example.com. A")).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
    }
    // When all fail, so does the question: as a server says, or else after a while.
    let server = asking(&[silent.at, failing.at]).await;
    let begin = tokio::time::Instant::now();
    let reply = ask(server.addresses()[0], "www.example.com. A").await;
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let server = asking(&[silent.at]).await;
    let reply = ask(server.addresses()[0], "www.example.com. A").await;
    assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::ServFail, 0));
    assert!(begin.elapsed() <= 2 * ForwardLimits::default().all, "on the test's own clock");
}

#[tokio::test]
async fn wrong_answers_are_not_listened_to() {
    let fake = Fake::start_many(|asked, _| {
        let mut other_number = address_of(asked, 60);
        other_number.metadata.id ^= 1;
        let mut other_name = address_of(asked, 60);
        other_name.queries[0].set_name(Name::from_ascii("evil.example.com.").unwrap());
        let mut no_reply = address_of(asked, 60);
        no_reply.metadata.message_type = MessageType::Query;
        let mut good = upstream::reply(asked, ResponseCode::NoError);
        let address = RData::A(A([192, 0, 2, 99].into()));
        good.add_answer(Record::from_rdata(asked.queries[0].name().clone(), 60, address));
        vec![other_number, other_name, no_reply, good]
    });
    let fake = fake.await;
    let server = asking(&[fake.at]).await;
    let reply = ask(server.addresses()[0], "www.example.com. A").await;
    assert_eq!(lines(&reply.answers), ["www.example.com. 30 A 192.0.2.99"]);
}

#[tokio::test]
async fn a_server_without_edns_is_asked_without() {
    let fake = Fake::start(|asked, _| match asked.edns {
        Some(_) => {
            let mut reply = upstream::reply(asked, ResponseCode::FormErr);
            reply.queries.clear();
            Some(reply)
        }
        None => Some(address_of(asked, 60)),
    });
    let fake = fake.await;
    let server = asking(&[fake.at]).await;
    assert_eq!(ask(server.addresses()[0], "www.example.com. A").await.answers.len(), 1);
}

/// An upstream server that answers nothing until it is told to.
async fn held() -> (Fake, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let fake = Fake::start_after(Arc::clone(&go), |asked, _| Some(address_of(asked, 60))).await;
    (fake, go)
}

fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

#[tokio::test]
async fn the_same_question_is_forwarded_once_at_a_time() {
    let (fake, go) = held().await;
    let server = asking(&[fake.at]).await;
    let at = server.addresses()[0];
    let metrics = AtomicUsize::new(0);
    let asked: Vec<_> = (0..20).map(|_| spawn(async move { ask(at, "www.example.com. A").await })).collect();
    fake.until_asked("www.example.com.").await;
    go.notify_one();
    for asked in asked {
        assert_eq!(asked.await.unwrap().answers.len(), 1);
        metrics.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!((fake.count("www.example.com."), metrics.into_inner()), (1, 20));
}

#[tokio::test]
async fn more_questions_than_may_wait_are_refused() {
    let (fake, go) = held().await;
    let limits = ForwardLimits { concurrent: 1, ..ForwardLimits::default() };
    let server = started(Options { forward: limits, ..options(&[fake.at]) }).await;
    let at = server.addresses()[0];
    let first = spawn(async move { ask(at, "one.example.com. A").await });
    fake.until_asked("one.example.com.").await;
    assert_eq!(ask(at, "two.example.com. A").await.metadata.response_code, ResponseCode::Refused);
    // The cluster's own names do not wait for anybody.
    assert_eq!(ask(at, "web.a.svc A").await.answers.len(), 1);
    go.notify_one();
    assert_eq!(first.await.unwrap().answers.len(), 1);

    let (fake, go) = held().await;
    let limits = ServeLimits { waiting: 1, ..ServeLimits::default() };
    let options = Options { serve: limits, ..options(&[fake.at]) };
    let metrics = Arc::clone(&options.metrics);
    let server = started(options).await;
    let at = server.addresses()[0];
    let first = spawn(async move { ask(at, "one.example.com. A").await });
    fake.until_asked("one.example.com.").await;
    assert_eq!(ask(at, "one.example.com. A").await.metadata.response_code, ResponseCode::Refused);
    go.notify_one();
    first.await.unwrap();
    assert!(metrics.render().contains("coredns_forward_max_concurrent_rejects_total 1\n"), "{}", metrics.render());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_forwards_back_is_asked_no_more() {
    let relay = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let server = asking(&[relay.local_addr().unwrap()]).await;
    let at = server.addresses()[0];
    let relayed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&relayed);
    tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        loop {
            let (size, from) = relay.recv_from(&mut buffer).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let (relay, asked) = (Arc::clone(&relay), buffer[..size].to_vec());
            tokio::spawn(async move { relay.send_to(&exchange(at, &asked).await, from).await });
        }
    });
    // The question goes round once, joins itself and ends with it; and what is asked for nobody's name comes back.
    for name in ["www.example.com. A", "www.example.org. A"] {
        assert_eq!(ask(at, name).await.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(relayed.load(Ordering::Relaxed), 2, "{name}");
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let taken = UdpSocket::bind((own_address(2), 10_053)).await.unwrap();
    let address = taken.local_addr().unwrap();
    let start = async |listen: &[&str]| {
        let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
        match Server::start(Options { listen, ..options(&[]) }).await {
            Ok(_) => panic!("it listens"),
            Err(error) => error.to_string(),
        }
    };
    let error = start(&[&address.to_string()]).await;
    let expected = format!(
        "another DNS server listens at {address} (UDP): end it, or give the cluster's DNS another address with --cluster-dns"
    );
    assert_eq!(error, expected);
    let taken = TcpListener::bind((own_address(3), 10_053)).await.unwrap();
    assert!(start(&[&taken.local_addr().unwrap().to_string()]).await.contains("(TCP)"));
    assert!(start(&["192.0.2.1:53"]).await.contains("192.0.2.1:53: no network device"));
    assert!(start(&["0.0.0.0:0"]).await.contains("name the addresses themselves"));
    assert!(start(&[]).await.contains("no address"));
    for zone in ["", ".", "a..b"] {
        let options = Options { zone: zone.to_owned(), ..options(&[]) };
        assert!(matches!(Server::start(options).await, Err(DnsError::Zone { .. })), "{zone}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_say_nothing_are_closed_and_only_so_many_are_open() {
    let limits = ServeLimits { connections: 1, ..ServeLimits::default() };
    let server = started(Options { serve: limits, ..options(&[]) }).await;
    let at = server.addresses()[0];
    let mut first = TcpStream::connect(at).await.unwrap();
    say(&mut first, &message("web.a.svc A").to_vec().unwrap()).await;
    hear(&mut first).await.unwrap();
    // The second is heard when the first, which has no more to say, is gone.
    let mut second = TcpStream::connect(at).await.unwrap();
    let begin = tokio::time::Instant::now();
    say(&mut second, &message("web.a.svc A").to_vec().unwrap()).await;
    assert_eq!(hear(&mut second).await.unwrap().answers.len(), 1);
    assert!(begin.elapsed() >= limits.idle - Duration::from_secs(1), "on the test's own clock");
    assert_eq!(hear(&mut first).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_stopped_server_leaves_nothing() {
    let (fake, _go) = held().await;
    let listen = vec![(own_address(4), 0).into()];
    let server = started(Options { listen, ..options(&[fake.at]) }).await;
    let at = server.addresses()[0];
    let mut open = TcpStream::connect(at).await.unwrap();
    let waiting = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    waiting.send_to(&message("www.example.com. A").to_vec().unwrap(), at).await.unwrap();
    fake.until_asked("www.example.com.").await;
    server.stop().await;
    assert_eq!(hear(&mut open).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    UdpSocket::bind(at).await.unwrap();
}

#[tokio::test]
async fn it_goes_on_with_what_a_cache_last_knew() {
    use client::cache::Cache;
    use client::resource::Resource;
    use k8s_openapi::api::core::v1::{Namespace, Service};
    use k8s_openapi::api::discovery::v1::EndpointSlice;

    let cache = Cache::new();
    let (at, stop) = (SocketAddr::from((own_address(1), 10_053)), CancellationToken::new());
    let options = Options { listen: vec![at], ..options(&[]) };
    let metrics = Arc::clone(&options.metrics);
    let running = spawn(crate::dns::run(cache.clone(), options, stop.clone()));
    let code = async |asked: &str| {
        // It may not listen yet, and then a datagram is for nobody.
        loop {
            let answered = tokio::time::timeout(Duration::from_millis(200), ask(at, asked)).await;
            if let Ok(reply) = answered {
                return reply.metadata.response_code;
            }
        }
    };
    while TcpStream::connect(at).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(code("web.a.svc A").await, ResponseCode::ServFail);
    cache.put_all(&Resource::of::<Namespace>(), vec![Arc::new(namespace("a"))], 1);
    cache.put_all(&Resource::of::<Service>(), vec![Arc::new(service("web.a", &["10.0.0.1"], &[]))], 1);
    assert_eq!(code("none.a.svc A").await, ResponseCode::ServFail, "the slices have not been listed");
    cache.put_all(&Resource::of::<EndpointSlice>(), Vec::new(), 1);
    while code("none.a.svc A").await != ResponseCode::NXDomain {}
    assert_eq!(code("web.a.svc A").await, ResponseCode::NoError);
    // What changes is seen at once.
    let new = service("new.a", &["10.0.0.2"], &[]);
    cache.put(new.clone());
    assert_eq!(code("new.a.svc A").await, ResponseCode::NoError);
    cache.remove(&Resource::of::<Service>(), &new.metadata);
    assert_eq!(code("new.a.svc A").await, ResponseCode::NXDomain);
    assert!(metrics.render().contains("type=\"A\"}"));
    stop.cancel();
    running.await.unwrap().unwrap();
    UdpSocket::bind(at).await.unwrap();
}

#[tokio::test]
async fn nothing_is_kept_if_nothing_is_to_be() {
    let fake = Fake::start(|asked, _| Some(address_of(asked, 60))).await;
    let cache = CacheBounds { longest: Duration::ZERO, ..CacheBounds::default() };
    let server = started(Options { cache, ..options(&[fake.at]) }).await;
    for _ in 0..2 {
        assert_eq!(ask(server.addresses()[0], "www.example.com. A").await.answers[0].ttl, 60);
    }
    assert_eq!(fake.count("www.example.com."), 2);
}
