//! A table as text, in nftables' own language where it has words for it. What it has none for stands behind a `#`.
//!
//! The same table is always the same text: people compare it, and so do tests. Upstream's `nft` reads it, but for `dnat`, of
//! which it wants to be told the protocol first; we know it by the map that led there.

use std::fmt::{self, Display, Formatter};

use crate::{
    Act, Base, Chain, Datum, Endpoint, Family, Field, Hook, Key, Kind, Match, Rule, Set, Table, Type, Value, Verdict,
};

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
        })
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {{", self.family, self.name)?;
        for (name, set) in &self.sets {
            write_set(f, self.family, name, set)?;
        }
        for (name, chain) in &self.chains {
            write_chain(f, self.family, name, chain)?;
        }
        writeln!(f, "}}")
    }
}

fn write_set(f: &mut Formatter<'_>, family: Family, name: &str, set: &Set) -> fmt::Result {
    let shape = &set.shape;
    let word = if shape.value == Kind::Nothing { "set" } else { "map" };
    writeln!(f, "\t{word} {name} {{")?;
    write!(f, "\t\ttype {}", joined(shape.key.iter().map(|part| type_name(family, *part)), " . "))?;
    match shape.value {
        Kind::Nothing => writeln!(f)?,
        Kind::Verdict => writeln!(f, " : verdict")?,
        Kind::Endpoint => writeln!(f, " : {} . inet_service", type_name(family, Type::Address))?,
    }
    if let Some(time) = shape.learned {
        writeln!(f, "\t\tflags dynamic,timeout")?;
        writeln!(f, "\t\ttimeout {}s", time.as_secs())?;
    } else if shape.key.contains(&Type::Prefix) {
        writeln!(f, "\t\tflags interval")?;
    }
    if !set.elements.is_empty() {
        writeln!(f, "\t\telements = {{")?;
        for (key, value) in &set.elements {
            match value {
                Value::Nothing => writeln!(f, "\t\t\t{},", Keyed(key))?,
                Value::Verdict(verdict) => writeln!(f, "\t\t\t{} : {verdict},", Keyed(key))?,
            }
        }
        writeln!(f, "\t\t}}")?;
    }
    writeln!(f, "\t}}")
}

fn write_chain(f: &mut Formatter<'_>, family: Family, name: &str, chain: &Chain) -> fmt::Result {
    writeln!(f, "\tchain {name} {{")?;
    if let Some(base) = chain.base {
        writeln!(f, "\t\t{base}")?;
    }
    for rule in &chain.rules {
        write_rule(f, family, rule)?;
    }
    writeln!(f, "\t}}")
}

/// Words of a rule, and what there are no words for.
#[derive(Default)]
struct Words {
    words: Vec<String>,
    remarks: Vec<String>,
}

fn write_rule(f: &mut Formatter<'_>, family: Family, rule: &Rule) -> fmt::Result {
    let mut words = Words::default();
    for part in &rule.matches {
        words.words.push(match_text(family, part));
    }
    for act in &rule.acts {
        write_act(&mut words, family, act);
    }
    write!(f, "\t\t{}", words.words.join(" "))?;
    if !words.remarks.is_empty() {
        write!(f, " # {}", words.remarks.join("; "))?;
    }
    writeln!(f)
}

fn match_text(family: Family, part: &Match) -> String {
    let equal = |holds: bool| if holds { "" } else { "!= " };
    match part {
        Match::Is(field, datum, holds) => format!("{} {}{datum}", field_name(family, *field), equal(*holds)),
        Match::Within(field, prefix, holds) => {
            format!("{} {}{}", field_name(family, *field), equal(*holds), Datum::Prefix(*prefix))
        }
        Match::In(fields, set, holds) => format!("{} {}@{set}", fields_name(family, fields), equal(*holds)),
        Match::Local(field, holds) => format!("fib {} type {}local", short_name(*field), equal(*holds)),
        Match::Marked(bit, true) => format!("meta mark & {bit:#x} != 0"),
        Match::Marked(bit, false) => format!("meta mark & {bit:#x} == 0"),
        Match::New => "ct state new".to_owned(),
    }
}

fn write_act(words: &mut Words, family: Family, act: &Act) {
    let word = match act {
        Act::Verdict(verdict) => verdict.to_string(),
        Act::Dispatch(fields, map) => format!("{} vmap @{map}", fields_name(family, fields)),
        Act::Mark(bit) => format!("meta mark set meta mark | {bit:#x}"),
        Act::Unmark(bit) => format!("meta mark set meta mark & {:#x}", !bit),
        Act::Balance(endpoints, set) => {
            if let Some(set) = set {
                words.remarks.push(format!("update @{set} {{ {family} saddr : that one }}"));
            }
            let numbered = endpoints.iter().enumerate().map(|(number, endpoint)| format!("{number} : {endpoint}"));
            format!("dnat to numgen random mod {} map {{ {} }}", endpoints.len(), joined(numbered, ", "))
        }
        Act::Stick(set, endpoints) => {
            words.remarks.push(format!("if in {{ {} }}, and update @{set}", joined(endpoints.iter(), ", ")));
            format!("dnat to {family} saddr map @{set}")
        }
        Act::Masquerade => "masquerade fully-random".to_owned(),
        Act::Reject => "reject".to_owned(),
    };
    words.words.push(word);
}

fn joined<T: Display>(parts: impl Iterator<Item = T>, between: &str) -> String {
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(between)
}

const fn type_name(family: Family, part: Type) -> &'static str {
    match (part, family) {
        (Type::Address | Type::Prefix, Family::Ip) => "ipv4_addr",
        (Type::Address | Type::Prefix, Family::Ip6) => "ipv6_addr",
        (Type::Protocol, _) => "inet_proto",
        (Type::Port, _) => "inet_service",
    }
}

const fn short_name(field: Field) -> &'static str {
    match field {
        Field::Source => "saddr",
        Field::Destination => "daddr",
        Field::Protocol => "l4proto",
        Field::DestinationPort => "dport",
    }
}

fn field_name(family: Family, field: Field) -> String {
    match field {
        Field::Source | Field::Destination => format!("{family} {}", short_name(field)),
        Field::Protocol => format!("meta {}", short_name(field)),
        Field::DestinationPort => format!("th {}", short_name(field)),
    }
}

fn fields_name(family: Family, fields: &[Field]) -> String {
    joined(fields.iter().map(|field| field_name(family, *field)), " . ")
}

impl Display for Base {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = if self.translates { "nat" } else { "filter" };
        let hook = match self.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        };
        write!(f, "type {kind} hook {hook} priority {}; policy accept;", self.priority)
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Return => f.write_str("return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl Display for Datum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Address(address) => write!(f, "{address}"),
            Datum::Prefix(prefix) => write!(f, "{}/{}", prefix.address, prefix.length),
            Datum::Protocol(6) => f.write_str("tcp"),
            Datum::Protocol(17) => f.write_str("udp"),
            Datum::Protocol(132) => f.write_str("sctp"),
            Datum::Protocol(number) => write!(f, "{number}"),
            Datum::Port(port) => write!(f, "{port}"),
        }
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} . {}", self.address, self.port)
    }
}

struct Keyed<'a>(&'a Key);

impl Display for Keyed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&joined(self.0.iter(), " . "))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use imbl::OrdMap;

    use super::*;
    use crate::{Prefix, Shape};

    fn set(key: &[Type], value: Kind, elements: &[(Key, Value)]) -> Set {
        let shape = Arc::new(Shape { key: key.to_vec(), value, learned: None });
        Set { shape, elements: elements.iter().cloned().collect() }
    }

    fn rule(matches: Vec<Match>, acts: Vec<Act>) -> Rule {
        Rule { matches, acts }
    }

    fn table() -> Table {
        let address = Datum::Address("10.0.0.1".parse().unwrap());
        let prefix = Prefix::new("10.0.0.0".parse().unwrap(), 8).unwrap();
        let endpoints: Arc<[Endpoint]> =
            [80, 81].map(|port| Endpoint { address: "10.0.0.2".parse().unwrap(), port }).into();
        let fields = vec![Field::Destination, Field::Protocol, Field::DestinationPort];
        let to = Value::Verdict(Verdict::Goto("one".into()));
        let mut learned = set(&[Type::Address], Kind::Endpoint, &[]);
        Arc::make_mut(&mut learned.shape).learned = Some(Duration::from_secs(60));
        let key = vec![address, Datum::Protocol(6), Datum::Port(80)];
        let sets: [(_, Set); 3] = [
            ("services", set(&[Type::Address, Type::Protocol, Type::Port], Kind::Verdict, &[(key, to)])),
            ("ranges", set(&[Type::Prefix], Kind::Nothing, &[(vec![Datum::Prefix(prefix)], Value::Nothing)])),
            ("clients", learned),
        ];
        let base = Base { translates: true, hook: Hook::Prerouting, priority: -100 };
        let first = vec![
            rule(vec![Match::New], vec![Act::Dispatch(fields, "services".into())]),
            rule(
                vec![Match::In(vec![Field::Source], "ranges".into(), false), Match::Marked(0x4000, true)],
                vec![Act::Unmark(0x4000), Act::Masquerade],
            ),
            rule(
                vec![Match::Within(Field::Source, prefix, false), Match::Local(Field::Destination, true)],
                vec![Act::Mark(0x4000), Act::Verdict(Verdict::Jump("one".into()))],
            ),
            rule(vec![Match::Is(Field::Protocol, Datum::Protocol(17), false)], vec![Act::Reject]),
        ];
        let one = vec![
            rule(vec![], vec![Act::Stick("clients".into(), endpoints.clone())]),
            rule(vec![], vec![Act::Balance(endpoints, Some("clients".into()))]),
        ];
        let chains = [("first", Some(base), first), ("one", None, one)];
        Table {
            family: Family::Ip,
            name: "example".into(),
            sets: sets.into_iter().map(|(name, set)| (Arc::from(name), set)).collect(),
            chains: chains
                .into_iter()
                .map(|(name, base, rules)| (Arc::from(name), Arc::new(Chain { base, rules })))
                .collect::<OrdMap<_, _>>(),
        }
    }

    #[test]
    fn a_table_reads_as_nftables_would_say_it() {
        insta::assert_snapshot!(table());
    }
}
