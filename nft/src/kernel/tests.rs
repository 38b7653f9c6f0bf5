//! What real kernels make of tables, each in a network of the test's own. Skipped without root.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use imbl::OrdMap;
use proptest::test_runner::{Config, TestRunner};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use serde_json::Value as Json;

use super::*;
use crate::{
    Act, Base, Chain, Datum, Endpoint, Field, Hook, Kind, Match, Rule, Set, Shape, Type, Value, Verdict, random,
};
use networks::{nft, own, possible};

mod networks;
mod packets;

/// What the kernel has, in an order that is always the same.
fn dump() -> Vec<Json> {
    let mut listing: Json = serde_json::from_str(&nft("-j list ruleset")).unwrap();
    normalise(&mut listing);
    let mut items = std::mem::take(listing["nftables"].as_array_mut().unwrap());
    items.retain(|item| item.get("metainfo").is_none());
    let of = |item: &Json| {
        let (kind, what) = item.as_object().unwrap().iter().next().unwrap();
        let text = |name: &str| what[name].as_str().unwrap_or_default().to_owned();
        (kind.clone(), text("chain"), text("name"))
    };
    // Rules of a chain stay in their order.
    items.sort_by_key(of);
    items
}

fn normalise(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            fields.remove("handle");
            for (name, field) in fields {
                normalise(field);
                if let ("elem" | "set", Json::Array(elements)) = (&**name, field) {
                    elements.sort_by_key(Json::to_string);
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(normalise),
        _ => (),
    }
}

#[test]
fn a_change_leaves_the_kernel_as_a_fresh_start_does() {
    if !possible() {
        return;
    }
    own();
    let kernel = std::cell::RefCell::new(Kernel::default());
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    for family in [Family::Ip, Family::Ip6] {
        let result = runner.run(&random::pair(), |(before, after)| {
            let (before, after) = (random::build(family, &before), random::build(family, &after));
            let mut kernel = kernel.borrow_mut();
            kernel.remove(family, &before.name).unwrap();
            kernel.apply(&before).unwrap();
            let steps = difference(Some(&before), Some(&after));
            // Not by replacing the whole.
            kernel.carry_out(family, &after.name, &steps).unwrap();
            let changed = dump();
            kernel.forget(family, &after.name);
            kernel.apply(&after).unwrap();
            assert_eq!(changed, dump(), "{before:#?}\n{after:#?}");
            assert!(kernel.remove(family, &after.name).unwrap());
            assert_eq!(dump(), Vec::<Json>::new());
            Ok(())
        });
        result.unwrap();
    }
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint { address: Ipv4Addr::new(10, 0, 0, last).into(), port: 80 }
}

/// A table with a chain that lets everything pass.
fn simple(name: &str) -> Table {
    let mut table = Table::new(Family::Ip, name);
    let base = Some(Base { translates: false, hook: Hook::Forward, priority: 0 });
    let rules = vec![Rule { matches: vec![], acts: vec![Act::Verdict(Verdict::Accept)] }];
    table.chains.insert("forward".into(), Arc::new(Chain { base, rules }));
    table
}

fn add_set(table: &mut Table, name: &str, key: Type) {
    let shape = Arc::new(Shape { key: vec![key], value: Kind::Nothing, learned: None });
    table.sets.insert(name.into(), Set { shape, elements: OrdMap::new() });
}

fn add_rule(table: &mut Table, chain: &str, rule: Rule) {
    let mut changed = table.chains.get(chain).map(|chain| Chain::clone(chain)).unwrap_or_default();
    changed.rules.push(rule);
    table.chains.insert(chain.into(), Arc::new(changed));
}

#[test]
fn what_an_earlier_process_left_is_replaced() {
    if !possible() {
        return;
    }
    own();
    nft("add table ip t");
    nft("add chain ip t old");
    nft("add set ip t ports { type inet_service ; }");
    nft("add rule ip t old tcp dport @ports accept");
    nft("add table ip other");
    let mut kernel = Kernel::default();
    kernel.apply(&simple("t")).unwrap();
    assert_eq!(nft("list table ip t").matches("chain").count(), 1);
    assert!(nft("list tables").contains("other"));
    assert!(kernel.remove(Family::Ip, "t").unwrap());
    assert!(!kernel.remove(Family::Ip, "t").unwrap());
    assert!(Kernel::default().remove(Family::Ip, "other").unwrap());
}

#[test]
fn what_somebody_else_took_away_comes_back() {
    if !possible() {
        return;
    }
    own();
    let mut table = simple("t");
    add_set(&mut table, "ports", Type::Port);
    let mut kernel = Kernel::default();
    kernel.apply(&table).unwrap();
    for (number, change) in
        ["delete set ip t ports", "delete table ip t", "add element ip t ports { 2 }"].into_iter().enumerate()
    {
        nft(change);
        let port = Datum::Port(u16::try_from(number).unwrap());
        table.sets.get_mut("ports").unwrap().elements.insert(vec![port], Value::Nothing);
        kernel.apply(&table).unwrap();
        let changed = dump();
        Kernel::default().apply(&table).unwrap();
        assert_eq!(changed, dump(), "{change}");
    }
    // Of some changes we do not learn by a later one.
    nft("flush ruleset");
    kernel.forget(Family::Ip, "t");
    kernel.apply(&table).unwrap();
    assert_eq!(dump().len(), 4);
}

#[test]
fn what_the_kernel_refuses_changes_nothing_and_says_which_step_it_was() {
    if !possible() {
        return;
    }
    own();
    let mut kernel = Kernel::default();
    let good = simple("t");
    kernel.apply(&good).unwrap();
    let before = dump();
    let check = |kernel: &mut Kernel, table: &Table, expected: &str| {
        let error = kernel.apply(table).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(dump(), before, "{error}");
    };
    let act = |act: Act| Rule { matches: vec![], acts: vec![act] };
    let with = |rule: Rule| {
        let mut table = good.clone();
        add_set(&mut table, "ports", Type::Port);
        add_rule(&mut table, "more", rule);
        table
    };
    let jump = act(Act::Verdict(Verdict::Jump("nowhere".into())));
    check(
        &mut kernel,
        &with(jump),
        "rules of chain more: No such file or directory (os error 2) (expression immediate",
    );
    let mut long = good.clone();
    add_set(&mut long, &"x".repeat(70_000), Type::Port);
    check(&mut kernel, &long, "set xxx");
    check(&mut kernel, &with(act(Act::Balance(Arc::new([]), None))), "there is no endpoint");
    let other = Datum::Address(IpAddr::from([0_u16; 8]));
    let other = Rule { matches: vec![Match::Is(Field::Source, other, true)], acts: vec![] };
    check(&mut kernel, &with(other), ":: is not of the table's family");
    let mut misplaced = good.clone();
    add_rule(&mut misplaced, "forward", act(Act::Balance(Arc::new([endpoint(1)]), None)));
    check(&mut kernel, &misplaced, "refuses rules of chain forward: Operation not supported");
    let mut circle = with(act(Act::Verdict(Verdict::Jump("more".into()))));
    add_rule(&mut circle, "forward", act(Act::Verdict(Verdict::Jump("more".into()))));
    check(&mut kernel, &circle, "the kernel refuses");
    // What was known is still known.
    kernel.apply(&with(act(Act::Verdict(Verdict::Drop)))).unwrap();
    assert_eq!(nft("list table ip t").matches("chain").count(), 2);
}

#[test]
fn kernels_that_can_do_all_of_it_say_so_and_are_left_alone() {
    if !possible() {
        return;
    }
    own();
    let mut kernel = Kernel::default();
    kernel.available(Family::Ip).unwrap();
    kernel.available(Family::Ip6).unwrap();
    assert_eq!(dump(), Vec::<Json>::new());
    kernel.apply(&simple("t")).unwrap();
    kernel.available(Family::Ip).unwrap();
    assert_eq!(nft("list tables"), "table ip t\n");
}

#[test]
fn those_that_may_not_are_told_so() {
    if !possible() {
        return;
    }
    own();
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::NET_ADMIN);
    set_capabilities(None, sets).unwrap();
    let error = Kernel::default().apply(&simple("t")).unwrap_err();
    assert!(matches!(error, KernelError::Permission), "{error}");
    let error = Kernel::default().available(Family::Ip).unwrap_err();
    assert!(matches!(error, KernelError::Permission), "{error}");
}

#[test]
fn missing_parts_of_a_kernel_are_named() {
    let table = rehearsal::table(Family::Ip6);
    let steps = difference(None, Some(&table));
    let batch = encode(Family::Ip6, &table.name, &steps).unwrap().finish(false);
    let named = |name: &str| {
        let at = batch.bytes.windows(name.len()).position(|bytes| bytes == name.as_bytes()).unwrap();
        let found = crate::message::received(&batch.bytes).zip(0_u32..);
        let (sequence, start) = found
            .map(|(message, sequence)| (sequence, message.bytes.as_ptr() as usize - batch.bytes.as_ptr() as usize))
            .take_while(|(_, start)| *start < at)
            .last()
            .unwrap();
        // An item of a list, and in it the name.
        let offset = u32::try_from(at - start - 8).unwrap();
        let code = Errno::NOENT;
        let refusal = Refusal { code, sequence, offset: Some(offset), text: None };
        refused(Family::Ip6, &steps, &batch, refusal).to_string()
    };
    for (name, option) in [
        ("ct\0", "CONFIG_NFT_CT"),
        ("fib\0", "CONFIG_NFT_FIB_IPV6"),
        ("masq\0", "CONFIG_NFT_MASQ"),
        ("numgen\0", "CONFIG_NFT_NUMGEN"),
        ("reject\0", "CONFIG_NFT_REJECT_IPV6"),
    ] {
        let error = named(name);
        assert!(error.contains(name.trim_end_matches('\0')) && error.contains(option), "{error}");
    }
    let refusal = Refusal { code: Errno::OPNOTSUPP, sequence: 0, offset: None, text: None };
    let error = refused(Family::Ip6, &steps, &batch, refusal).to_string();
    assert!(error.contains("CONFIG_NF_TABLES,"), "{error}");
}

#[test]
fn a_first_table_of_many_services_passes() {
    if !possible() {
        return;
    }
    own();
    let mut table = simple("t");
    let shape = Shape { key: vec![Type::Address, Type::Port], value: Kind::Verdict, learned: None };
    let mut set = Set { shape: Arc::new(shape), elements: OrdMap::new() };
    for number in 0..5_000_u32 {
        let endpoints = (0..10)
            .map(|index| Endpoint { address: Ipv4Addr::from(0x0a00_0000 + number * 10 + index).into(), port: 80 });
        let name = format!("service-{number}");
        let rule = Rule { matches: vec![], acts: vec![Act::Balance(endpoints.collect(), None)] };
        table.chains.insert((&*name).into(), Arc::new(Chain { base: None, rules: vec![rule] }));
        let key = vec![Datum::Address(Ipv4Addr::from(0x0b00_0000 + number).into()), Datum::Port(80)];
        set.elements.insert(key, Value::Verdict(Verdict::Goto((&*name).into())));
    }
    table.sets.insert("services".into(), set);
    let mut kernel = Kernel::default();
    kernel.apply(&table).unwrap();
    assert_eq!(nft("list map ip t services").matches("goto").count(), 5_000);
    let rule = Rule { matches: vec![], acts: vec![Act::Balance(Arc::new([endpoint(1)]), None)] };
    let mut after = table.clone();
    after.chains.insert("service-4999".into(), Arc::new(Chain { base: None, rules: vec![rule] }));
    assert_eq!(difference(Some(&table), Some(&after)).len(), 2);
    kernel.apply(&after).unwrap();
    assert!(nft("list chain ip t service-4999").contains("10.0.0.1:80"));
}

#[tokio::test]
async fn only_changes_by_others_are_heard_of() {
    if !possible() {
        return;
    }
    own();
    let mut kernel = Kernel::default();
    let name = |name: &str| (Family::Ip, Name::from(name));
    let mut watch = kernel.watch([name("a"), name("b")]).unwrap();
    kernel.apply(&simple("a")).unwrap();
    kernel.apply(&simple("b")).unwrap();
    nft("add table ip c");
    nft("add table ip6 a");
    nft("add chain ip b other");
    assert_eq!(watch.changed().await.unwrap(), [name("b")].into());
    nft("delete table ip a");
    nft("flush ruleset");
    assert_eq!(watch.changed().await.unwrap(), [name("a"), name("b")].into());
    for lost in ["a", "b"] {
        kernel.forget(Family::Ip, lost);
        kernel.apply(&simple(lost)).unwrap();
    }
    assert_eq!(nft("list tables"), "table ip a\ntable ip b\n");
    nft("add set ip a s { type ipv4_addr ; }");
    assert_eq!(watch.changed().await.unwrap(), [name("a")].into());
}

#[tokio::test]
async fn what_was_not_heard_may_be_about_any_table() {
    if !possible() {
        return;
    }
    own();
    let mut kernel = Kernel::default();
    let name = |name: &str| (Family::Ip, Name::from(name));
    let mut watch = kernel.watch([name("a"), name("b")]).unwrap();
    let mut large = simple("c");
    add_set(&mut large, "addresses", Type::Address);
    let addresses =
        (0..200_000_u32).map(|number| (vec![Datum::Address(Ipv4Addr::from(number).into())], Value::Nothing));
    large.sets.get_mut("addresses").unwrap().elements = addresses.collect();
    // Our own do not even fill it.
    kernel.apply(&large).unwrap();
    nft("add table ip a");
    assert_eq!(watch.changed().await.unwrap(), [name("a")].into());
    Kernel::default().apply(&large).unwrap();
    assert_eq!(watch.changed().await.unwrap(), [name("a"), name("b")].into());
}

#[test]
fn tables_can_be_read() {
    if !possible() {
        return;
    }
    own();
    for (family, ip, local) in [(Family::Ip, "ip", "127.0.0.1"), (Family::Ip6, "ip6", "::1")] {
        let mut kernel = Kernel::default();
        kernel.apply(&rehearsal::table(family)).unwrap();
        let listing = nft("list ruleset");
        for line in [
            format!("type {ip}v_addr . inet_proto . inet_service : verdict"),
            format!("type {ip}v_addr : {ip}v_addr . inet_service"),
            format!("{ip} saddr @prefixes {ip} daddr . meta l4proto . th dport vmap @verdicts"),
            "ct state new meta mark & 0x00000001 != 0x00000000 meta mark set meta mark | 0x00000002".to_owned(),
            "masquerade fully-random".to_owned(),
            format!("update @known {{ {ip} saddr : {local} . 1 }} dnat to"),
            format!("dnat {ip} to numgen random mod 2 map {{ 0 : {local} . 1, 1 : {local} . 2 }}"),
        ] {
            let line = line.replace("ip6v_addr", "ipv6_addr").replace("ipv_addr", "ipv4_addr");
            assert!(listing.contains(&line), "{line}\n{listing}");
        }
        // As JSON too.
        assert!(dump().len() > 10);
        kernel.remove(family, "gantry-rehearsal").unwrap();
    }
}
