//! Goes through a table with a packet, as the kernel does, and insists on what the kernel insists on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nft::{
    Act, Chain, Datum, Endpoint, Family, Field, Hook, Kind, Match, Name, Rule, Set, Table, Type, Value, Verdict,
};

/// How deep the kernel lets chains jump.
const DEEPEST: usize = 16;

/// The first packet of a connection, or a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// Whether the node itself sends it.
    pub(super) by_node: bool,
    pub(super) new: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It goes on as it is.
    Untouched,
    /// It goes there, with the node's address or its own.
    Delivered(Endpoint, bool),
    Rejected,
    Dropped,
}

/// The machine around the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// Its own addresses.
    pub(super) local: Vec<IpAddr>,
    /// What sets have learned: whom a client is with.
    pub(super) learned: BTreeMap<(Name, IpAddr), Endpoint>,
}

/// How far a rule or a chain brought a packet.
enum Step {
    /// The next rule is up.
    Next,
    /// The chain that was jumped from is up.
    Return,
    /// The base chain is done.
    Accept,
    Lost(Outcome),
}

struct Way<'a> {
    table: &'a Table,
    machine: &'a mut Machine,
    packet: Packet,
    mark: u32,
    /// Which of the endpoints chance chooses.
    choice: usize,
    /// The base chain that it is in.
    hook: Hook,
    translates: bool,
    translated: bool,
    masqueraded: bool,
}

impl Machine {
    /// What becomes of a packet, with chance choosing so.
    pub(super) fn pass(&mut self, table: &Table, packet: Packet, choice: usize) -> Outcome {
        let mut way = Way {
            table,
            machine: self,
            packet,
            mark: 0,
            choice,
            hook: Hook::Prerouting,
            translates: false,
            translated: false,
            masqueraded: false,
        };
        let first = if packet.by_node { Hook::Output } else { Hook::Prerouting };
        if let Some(lost) = way.through(first) {
            return lost;
        }
        let arrived = way.machine.local.contains(&way.packet.destination);
        let onward = if arrived { Hook::Input } else { Hook::Forward };
        if !packet.by_node
            && let Some(lost) = way.through(onward)
        {
            return lost;
        }
        // What arrives is answered from here, whatever its source: it needs no other, and its mark ends with it.
        if !arrived || packet.by_node {
            assert!(way.through(Hook::Postrouting).is_none(), "nothing is lost there");
            assert_eq!(way.mark, 0, "a mark stays for others to see");
        }
        if !way.translated {
            assert!(!way.masqueraded, "{packet:?} is masqueraded without need");
            return Outcome::Untouched;
        }
        Outcome::Delivered(Endpoint { address: way.packet.destination, port: way.packet.port }, way.masqueraded)
    }
}

impl Way<'_> {
    fn through(&mut self, hook: Hook) -> Option<Outcome> {
        let mut chains: Vec<&Chain> = self.table.chains.values().map(|chain| &**chain).collect();
        chains.retain(|chain| chain.base.is_some_and(|base| base.hook == hook));
        chains.sort_by_key(|chain| chain.base.unwrap().priority);
        self.hook = hook;
        for chain in chains {
            self.translates = chain.base.unwrap().translates;
            if self.translates && !self.packet.new {
                continue;
            }
            if let Step::Lost(outcome) = self.chain(chain, 0) {
                return Some(outcome);
            }
        }
        None
    }

    fn named(&mut self, name: &Name, depth: usize) -> Step {
        let chain = self.table.chains.get(name).unwrap_or_else(|| panic!("no chain {name}"));
        assert!(chain.base.is_none(), "{name} is a base chain");
        self.chain(chain, depth + 1)
    }

    fn chain(&mut self, chain: &Chain, depth: usize) -> Step {
        assert!(depth < DEEPEST, "too deep");
        for rule in &chain.rules {
            match self.rule(rule, depth) {
                Step::Next => {}
                done => return done,
            }
        }
        Step::Return
    }

    fn rule(&mut self, rule: &Rule, depth: usize) -> Step {
        if !rule.matches.iter().all(|part| self.matches(part)) {
            return Step::Next;
        }
        for act in &rule.acts {
            match self.act(act, depth) {
                Step::Next => {}
                done => return done,
            }
        }
        Step::Next
    }

    fn field(&self, field: Field) -> Datum {
        match field {
            Field::Source => Datum::Address(self.packet.source),
            Field::Destination => Datum::Address(self.packet.destination),
            Field::Protocol => Datum::Protocol(self.packet.protocol),
            Field::DestinationPort => Datum::Port(self.packet.port),
        }
    }

    fn address(&self, field: Field) -> IpAddr {
        let Datum::Address(address) = self.field(field) else { panic!("{field:?} is no address") };
        address
    }

    fn set(&self, name: &Name) -> &Set {
        self.table.sets.get(name).unwrap_or_else(|| panic!("no set {name}"))
    }

    fn value(&self, fields: &[Field], name: &Name) -> Option<Value> {
        let set = self.set(name);
        assert_eq!(set.shape.key.len(), fields.len(), "{name}");
        if *set.shape.key == [Type::Prefix] {
            let address = self.address(fields[0]);
            let within = |datum: &Datum| matches!(datum, Datum::Prefix(prefix) if prefix.contains(address));
            return set.elements.iter().find(|(key, _)| within(&key[0])).map(|(_, value)| value.clone());
        }
        let key: Vec<Datum> = fields.iter().map(|field| self.field(*field)).collect();
        set.elements.get(&key).cloned()
    }

    fn matches(&self, part: &Match) -> bool {
        match part {
            Match::Is(field, datum, holds) => (self.field(*field) == *datum) == *holds,
            Match::Within(field, prefix, holds) => prefix.contains(self.address(*field)) == *holds,
            Match::In(fields, name, holds) => {
                assert_eq!(self.set(name).shape.value, Kind::Nothing, "the kernel does not look into maps so");
                self.value(fields, name).is_some() == *holds
            }
            Match::Local(field, holds) => self.machine.local.contains(&self.address(*field)) == *holds,
            Match::Marked(bit, holds) => (self.mark & bit != 0) == *holds,
            Match::New => self.packet.new,
        }
    }

    fn verdict(&mut self, verdict: &Verdict, depth: usize) -> Step {
        match verdict {
            Verdict::Accept => Step::Accept,
            Verdict::Drop => Step::Lost(Outcome::Dropped),
            Verdict::Return => Step::Return,
            Verdict::Jump(name) => match self.named(name, depth) {
                Step::Return => Step::Next,
                other => other,
            },
            Verdict::Goto(name) => self.named(name, depth),
        }
    }

    fn act(&mut self, act: &Act, depth: usize) -> Step {
        match act {
            Act::Verdict(verdict) => self.verdict(verdict, depth),
            Act::Dispatch(fields, name) => match self.value(fields, name) {
                Some(Value::Verdict(verdict)) => self.verdict(&verdict, depth),
                Some(Value::Nothing) => panic!("{name} is no map"),
                None => Step::Next,
            },
            Act::Mark(bit) => {
                self.mark |= bit;
                Step::Next
            }
            Act::Unmark(bit) => {
                self.mark &= !bit;
                Step::Next
            }
            Act::Balance(endpoints, set) => self.translate(endpoints[self.choice % endpoints.len()], set.as_ref()),
            Act::Stick(set, endpoints) => match self.machine.learned.get(&(set.clone(), self.packet.source)) {
                Some(endpoint) if endpoints.contains(endpoint) => self.translate(*endpoint, Some(set)),
                _ => Step::Next,
            },
            Act::Masquerade => {
                assert!(self.translates && self.hook == Hook::Postrouting);
                self.masqueraded = true;
                Step::Accept
            }
            Act::Reject => {
                assert!(!self.translates && self.hook != Hook::Postrouting);
                Step::Lost(Outcome::Rejected)
            }
        }
    }

    fn translate(&mut self, endpoint: Endpoint, set: Option<&Name>) -> Step {
        assert!(self.translates && matches!(self.hook, Hook::Prerouting | Hook::Output));
        if let Some(set) = set {
            self.machine.learned.insert((set.clone(), self.packet.source), endpoint);
        }
        self.packet.destination = endpoint.address;
        self.packet.port = endpoint.port;
        self.translated = true;
        Step::Accept
    }
}

/// Insists that the kernel would take a table.
pub(super) fn validate(table: &Table) {
    for (name, set) in &table.sets {
        assert!(name.len() <= 255, "{name}");
        for (key, value) in &set.elements {
            assert_eq!(key.len(), set.shape.key.len(), "{name}");
            assert!(key.iter().zip(&set.shape.key).all(|(datum, of)| has_type(table.family, *datum, *of)), "{name}");
            match (set.shape.value, value) {
                (Kind::Nothing, Value::Nothing) => {}
                (Kind::Verdict, Value::Verdict(verdict)) => validate_verdict(table, verdict),
                _ => panic!("{name} has other values"),
            }
        }
        let prefixes: Vec<Datum> = set.elements.keys().map(|key| key[0]).collect();
        for pair in prefixes.windows(2) {
            if let [Datum::Prefix(one), Datum::Prefix(other)] = pair {
                assert!(!one.contains(other.address) && !other.contains(one.address), "{name} overlaps");
            }
        }
    }
    for (name, chain) in &table.chains {
        assert!(name.len() <= 255, "{name}");
        for act in chain.rules.iter().flat_map(|rule| &rule.acts) {
            validate_act(table, act);
        }
    }
}

fn has_type(family: Family, datum: Datum, of: Type) -> bool {
    match (datum, of) {
        (Datum::Address(address), Type::Address) => Family::of(address) == family,
        (Datum::Prefix(prefix), Type::Prefix) => Family::of(prefix.address) == family,
        (Datum::Protocol(_), Type::Protocol) | (Datum::Port(_), Type::Port) => true,
        _ => false,
    }
}

fn validate_verdict(table: &Table, verdict: &Verdict) {
    if let Verdict::Jump(name) | Verdict::Goto(name) = verdict {
        assert!(table.chains.get(name).is_some_and(|chain| chain.base.is_none()), "no chain {name}");
    }
}

fn validate_act(table: &Table, act: &Act) {
    match act {
        Act::Verdict(verdict) => validate_verdict(table, verdict),
        Act::Dispatch(_, set) => assert_eq!(table.sets[set].shape.value, Kind::Verdict),
        Act::Balance(endpoints, set) => {
            assert!(!endpoints.is_empty() && endpoints.iter().all(|one| Family::of(one.address) == table.family));
            if let Some(set) = set {
                assert!(table.sets[set].shape.learned.is_some());
            }
        }
        Act::Stick(set, _) => assert!(table.sets[set].shape.learned.is_some()),
        Act::Mark(_) | Act::Unmark(_) | Act::Masquerade | Act::Reject => {}
    }
}
