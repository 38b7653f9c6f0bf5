//! How long it takes to have the kernel have a table, in a network of the benchmark's own: all of it, and one endpoint's
//! change. Only root can measure that.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use imbl::OrdMap;
use nft::{
    Act, Base, Chain, Datum, Endpoint, Family, Field, Hook, Kernel, Kind, Rule, Set, Shape, Table, Type, Value,
    Verdict, difference,
};

/// How many endpoints a service has.
const ENDPOINTS: u32 = 10;

fn service(number: u32, endpoints: u32) -> Arc<Chain> {
    let endpoint =
        |index| Endpoint { address: Ipv4Addr::from(0x0a00_0000 + number * ENDPOINTS + index).into(), port: 80 };
    let balance = Act::Balance((0..endpoints).map(endpoint).collect(), None);
    Arc::new(Chain { base: None, rules: vec![Rule { matches: vec![], acts: vec![balance] }] })
}

/// A table that sends what goes to each of so many services to one of its endpoints.
fn table(services: u32) -> Table {
    let mut table = Table::new(Family::Ip, "bench");
    let key = vec![Type::Address, Type::Protocol, Type::Port];
    let shape = Arc::new(Shape { key, value: Kind::Verdict, learned: None });
    let mut set = Set { shape, elements: OrdMap::new() };
    for number in 0..services {
        let address = Datum::Address(Ipv4Addr::from(0xac10_0000 + number).into());
        let key = vec![address, Datum::Protocol(6), Datum::Port(80)];
        set.elements.insert(key, Value::Verdict(Verdict::Goto(name(number).into())));
        table.chains.insert(name(number).into(), service(number, ENDPOINTS));
    }
    table.sets.insert("services".into(), set);
    let fields = vec![Field::Destination, Field::Protocol, Field::DestinationPort];
    let dispatch = Rule { matches: vec![], acts: vec![Act::Dispatch(fields, "services".into())] };
    let base = Some(Base { translates: true, hook: Hook::Prerouting, priority: -100 });
    table.chains.insert("prerouting".into(), Arc::new(Chain { base, rules: vec![dispatch] }));
    table
}

fn name(number: u32) -> String {
    format!("service-{number}")
}

fn apply(criterion: &mut Criterion) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // SAFETY: no file descriptors or memory are set apart, only the network that is used from now on.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.expect("root can");
    let mut group = criterion.benchmark_group("apply");
    group.sample_size(10);
    for services in [10, 5_000] {
        let before = table(services);
        let mut after = before.clone();
        after.chains.insert(name(services / 2).into(), service(services / 2, ENDPOINTS - 1));
        let mut kernel = Kernel::default();
        group.bench_function(BenchmarkId::new("all", services), |bencher| {
            bencher.iter(|| {
                kernel.forget(Family::Ip, "bench");
                kernel.apply(&before).expect("the kernel takes it");
            });
        });
        group.bench_function(BenchmarkId::new("one endpoint", services), |bencher| {
            let mut tables = [&before, &after].into_iter().cycle();
            bencher.iter(|| kernel.apply(tables.next().expect("there is no end")).expect("the kernel takes it"));
        });
        group.bench_function(BenchmarkId::new("difference of one endpoint", services), |bencher| {
            bencher.iter(|| difference(Some(black_box(&before)), Some(black_box(&after))));
        });
        kernel.remove(Family::Ip, "bench").expect("the kernel lets it go");
    }
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
