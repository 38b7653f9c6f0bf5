//! A table with all that tables can have, to see whether the kernel can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;

use crate::{
    Act, Base, Chain, Endpoint, Family, Field, Hook, Kind, Match, Prefix, Rule, Set, Shape, Table, Type, Value, Verdict,
};

/// The table.
pub(crate) fn table(family: Family) -> Table {
    // Nobody else has one of that name, and this one is never there.
    let mut table = Table::new(family, "gantry-rehearsal");
    let shape = |key: Vec<Type>, value, learned| Arc::new(Shape { key, value, learned });
    let set = |shape| Set { shape, elements: OrdMap::new() };
    table.sets.insert("known".into(), set(shape(vec![Type::Address], Kind::Endpoint, Some(Duration::from_secs(1)))));
    let mut prefixes = set(shape(vec![Type::Prefix], Kind::Nothing, None));
    if let Some(prefix) = Prefix::new(endpoint(family, 1).address, 16) {
        prefixes.elements.insert(vec![crate::Datum::Prefix(prefix)], Value::Nothing);
    }
    table.sets.insert("prefixes".into(), prefixes);
    table
        .sets
        .insert("verdicts".into(), set(shape(vec![Type::Address, Type::Protocol, Type::Port], Kind::Verdict, None)));
    let mut add = |name: &str, translates, hook, rules| {
        let base = Some(Base { translates, hook, priority: 0 });
        table.chains.insert(name.into(), Arc::new(Chain { base, rules }));
    };
    let rule = |matches: Vec<Match>, act: Act| Rule { matches, acts: vec![act] };
    let endpoints: Arc<[Endpoint]> = Arc::new([endpoint(family, 1), endpoint(family, 2)]);
    let fields = vec![Field::Destination, Field::Protocol, Field::DestinationPort];
    add(
        "translation",
        true,
        Hook::Prerouting,
        vec![
            rule(vec![Match::Local(Field::Destination, true)], Act::Stick("known".into(), endpoints.clone())),
            rule(vec![], Act::Balance(endpoints, Some("known".into()))),
        ],
    );
    add(
        "filter",
        false,
        Hook::Input,
        vec![
            rule(
                vec![Match::In(vec![Field::Source], "prefixes".into(), true)],
                Act::Dispatch(fields, "verdicts".into()),
            ),
            rule(vec![Match::New, Match::Marked(1, true)], Act::Mark(2)),
            rule(vec![], Act::Reject),
        ],
    );
    add(
        "leaving",
        true,
        Hook::Postrouting,
        vec![rule(vec![], Act::Masquerade), rule(vec![], Act::Verdict(Verdict::Accept))],
    );
    table
}

fn endpoint(family: Family, port: u16) -> Endpoint {
    let address = match family {
        Family::Ip => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::Ip6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    Endpoint { address, port }
}
