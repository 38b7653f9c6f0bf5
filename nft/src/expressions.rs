//! Rules as the kernel runs them: expressions that load something of a packet into registers, compare it, look it up, and
//! do something with the packet. An expression that does not hold ends the rule.
//!
//! Registers are 4 bytes each, and a field takes as many as it needs, from the beginning of one. What a rule looks up is in
//! those from [`KEY`] on, and an endpoint (its address, and then its port) in those from [`ENDPOINT`] on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::message::{Attributes, number};
use crate::uapi::{LIST_ITEM, data, expression as e, rule};
use crate::{Act, Datum, Endpoint, Family, Field, Match, Prefix, Rule, Type, Verdict};

const VERDICT: u32 = 0;
const KEY: u32 = 8;
/// Behind the longest address.
const ENDPOINT: u32 = 12;

/// A rule that cannot be carried out in any kernel, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(crate) String);

/// A rule for the kernel.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// Endpoints by number, from 0 on, in a map that the rule has for itself, and by which number it knows that.
    pub(crate) map: Option<(u32, Vec<Endpoint>)>,
    pub(crate) expressions: Attributes,
}

/// The name of a map that a rule has for itself. The kernel puts a number in.
pub(crate) const OWN_MAP: &str = "__map%d";

/// How many bytes an address has.
pub(crate) const fn address_length(family: Family) -> u32 {
    match family {
        Family::Ip => 4,
        Family::Ip6 => 16,
    }
}

/// How many bytes a field has.
pub(crate) const fn length(family: Family, field: Type) -> u32 {
    match field {
        Type::Address | Type::Prefix => address_length(family),
        Type::Protocol => 1,
        Type::Port => 2,
    }
}

/// The bytes of an address of that family.
pub(crate) fn address(family: Family, address: IpAddr) -> Result<Vec<u8>, Unfit> {
    match (family, address) {
        (Family::Ip, IpAddr::V4(address)) => Ok(address.octets().to_vec()),
        (Family::Ip6, IpAddr::V6(address)) => Ok(address.octets().to_vec()),
        _ => Err(Unfit(format!("{address} is not of the table's family"))),
    }
}

/// The bytes of an endpoint, as maps and registers have it.
pub(crate) fn endpoint(family: Family, endpoint: Endpoint) -> Result<Vec<u8>, Unfit> {
    let mut bytes = address(family, endpoint.address)?;
    bytes.extend_from_slice(&endpoint.port.to_be_bytes());
    bytes.extend_from_slice(&[0; 2]);
    Ok(bytes)
}

/// The attributes of a verdict.
pub(crate) fn verdict(attributes: &mut Attributes, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Accept => (data::ACCEPT, None),
        Verdict::Drop => (data::DROP, None),
        Verdict::Return => (data::RETURN, None),
        Verdict::Jump(chain) => (data::JUMP, Some(chain)),
        Verdict::Goto(chain) => (data::GOTO, Some(chain)),
    };
    attributes.nested(data::VERDICT, |inner| {
        inner.bytes(data::VERDICT_CODE, &code.to_be_bytes());
        if let Some(chain) = chain {
            inner.text(data::VERDICT_CHAIN, chain);
        }
    });
}

/// Which part of what a rule does one of the kernel's rules does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it. Nothing is written down.
    Whole,
    /// The chance that is left of a connection's going to this endpoint, one in so many, and that being written down.
    Chance(Endpoint, u32),
    /// The client's being known to be with that endpoint.
    Known(Endpoint),
}

/// The rules of the kernel that do what this one says. A map that one of them has for itself gets that number.
///
/// Where endpoints are written down, or looked up there, each has a rule of its own: so `nft` can show them, which gives up
/// (and did so with a failed assertion, up to version 1.1 at least) on a register that it does not know the width of, as that
/// of what was found in a map. If an endpoint is to be written down, and there is no room, the kernel ends the rule before
/// the connection goes anywhere. So there is another one then, that writes nothing down.
pub(crate) fn compile(family: Family, rule: &Rule, map: u32) -> Result<Vec<Compiled>, Unfit> {
    let special = rule.acts.iter().find_map(|act| match act {
        Act::Stick(_, endpoints) => Some((endpoints, false)),
        Act::Balance(endpoints, Some(_)) => Some((endpoints, true)),
        _ => None,
    });
    let parts: Vec<Part> = match special {
        None => vec![Part::Whole],
        Some((endpoints, false)) => {
            let different: BTreeSet<Endpoint> = endpoints.iter().copied().collect();
            different.into_iter().map(Part::Known).collect()
        }
        Some((endpoints, true)) => {
            let chances = endpoints.iter().rev().zip(1..).map(|(endpoint, left)| Part::Chance(*endpoint, left));
            let mut parts: Vec<Part> = chances.collect();
            parts.reverse();
            parts.push(Part::Whole);
            parts
        }
    };
    if special.is_some() && asks_for_what_it_changes(rule) {
        return Err(Unfit("a rule whose marks change cannot ask for them and know endpoints".to_owned()));
    }
    parts.into_iter().map(|part| compile_part(family, rule, part, map)).collect()
}

/// Whether what holds before its acts does not have to hold behind them.
fn asks_for_what_it_changes(rule: &Rule) -> bool {
    let changed = rule.acts.iter().fold(0, |bits, act| match act {
        Act::Mark(bit) | Act::Unmark(bit) => bits | bit,
        _ => bits,
    });
    rule.matches.iter().any(|condition| matches!(condition, Match::Marked(bit, _) if bit & changed != 0))
}

fn compile_part(family: Family, rule: &Rule, part: Part, map: u32) -> Result<Compiled, Unfit> {
    let mut compiler = Compiler { family, part, map, compiled: Compiled::default() };
    for condition in &rule.matches {
        compiler.condition(condition)?;
    }
    for act in &rule.acts {
        compiler.act(act)?;
        if matches!(act, Act::Balance(..) | Act::Stick(..)) {
            // The packet does not come further.
            break;
        }
    }
    Ok(compiler.compiled)
}

struct Compiler {
    family: Family,
    part: Part,
    map: u32,
    compiled: Compiled,
}

impl Compiler {
    fn condition(&mut self, condition: &Match) -> Result<(), Unfit> {
        match condition {
            Match::Is(field, Datum::Prefix(prefix), yes) | Match::Within(field, prefix, yes) => {
                self.within(*field, *prefix, *yes)?;
            }
            Match::Is(field, datum, yes) => {
                let value = match (field, datum) {
                    (Field::Source | Field::Destination, Datum::Address(value)) => address(self.family, *value)?,
                    (Field::Protocol, Datum::Protocol(value)) => vec![*value],
                    (Field::DestinationPort, Datum::Port(value)) => value.to_be_bytes().to_vec(),
                    _ => return Err(Unfit(format!("{field:?} is never {datum:?}"))),
                };
                self.load(*field, KEY);
                self.compare(&value, *yes);
            }
            Match::In(fields, set, yes) => {
                self.load_all(fields);
                self.lookup(set, None, KEY, None, !yes);
            }
            Match::Local(field, yes) => {
                let flag = match field {
                    Field::Source => e::FIB_SOURCE,
                    Field::Destination => e::FIB_DESTINATION,
                    Field::Protocol | Field::DestinationPort => return Err(Unfit(format!("{field:?} is no address"))),
                };
                self.expression("fib", |fib| {
                    fib.number(e::FIB_INTO, KEY);
                    fib.number(e::FIB_RESULT, e::FIB_KIND_OF_ADDRESS);
                    fib.number(e::FIB_FLAGS, flag);
                });
                self.compare(&e::FIB_LOCAL.to_ne_bytes(), *yes);
            }
            Match::Marked(bit, yes) => {
                self.meta(e::META_MARK);
                self.mask(&bit.to_ne_bytes(), &[0; 4]);
                self.compare(&[0; 4], !yes);
            }
            Match::New => {
                self.expression("ct", |ct| {
                    ct.number(e::CT_INTO, KEY);
                    ct.number(e::CT_KEY, e::CT_STATE);
                });
                self.mask(&e::CT_STATE_NEW.to_ne_bytes(), &[0; 4]);
                self.compare(&[0; 4], false);
            }
        }
        Ok(())
    }

    fn within(&mut self, field: Field, prefix: Prefix, yes: bool) -> Result<(), Unfit> {
        if !matches!(field, Field::Source | Field::Destination) {
            return Err(Unfit(format!("{field:?} is no address")));
        }
        let value = address(self.family, prefix.address)?;
        let mask: Vec<u8> = (0..value.len() * 8)
            .step_by(8)
            .map(|bits| u8::MAX.checked_shl(8_u32.saturating_sub(u32::from(prefix.length).saturating_sub(bits as u32))))
            .map(|byte| byte.unwrap_or(0))
            .collect();
        self.load(field, KEY);
        if mask.iter().any(|byte| *byte != u8::MAX) {
            self.mask(&mask, &vec![0; mask.len()]);
        }
        self.compare(&value, yes);
        Ok(())
    }

    fn act(&mut self, act: &Act) -> Result<(), Unfit> {
        match act {
            Act::Verdict(what) => self.expression("immediate", |immediate| {
                immediate.number(e::IMMEDIATE_INTO, VERDICT);
                immediate.nested(e::IMMEDIATE_DATA, |inner| verdict(inner, what));
            }),
            Act::Dispatch(fields, map) => {
                self.load_all(fields);
                self.lookup(map, None, KEY, Some(VERDICT), false);
            }
            Act::Mark(bit) => self.mark(!bit, *bit),
            Act::Unmark(bit) => self.mark(!bit, 0),
            Act::Balance(endpoints, learned) => {
                match (learned, self.part) {
                    (Some(learned), Part::Chance(endpoint, left)) => {
                        self.chance(left);
                        self.fixed(endpoint)?;
                        self.load(Field::Source, KEY);
                        // An update of what is there leaves it leading to where it did.
                        self.learn(learned, e::DYNSET_DELETE);
                        self.learn(learned, e::DYNSET_UPDATE);
                    }
                    _ => self.choose(endpoints)?,
                }
                self.translate();
            }
            Act::Stick(learned, _) => {
                if let Part::Known(endpoint) = self.part {
                    self.known(learned, endpoint)?;
                    self.fixed(endpoint)?;
                    self.learn(learned, e::DYNSET_UPDATE);
                    self.translate();
                }
            }
            Act::Masquerade => self.expression("masq", |masq| masq.number(e::MASQ_FLAGS, e::MASQ_FULLY_RANDOM)),
            Act::Reject => {
                let code = match self.family {
                    Family::Ip => e::ICMP_PORT_UNREACHABLE,
                    Family::Ip6 => e::ICMP6_PORT_UNREACHABLE,
                };
                self.expression("reject", |reject| {
                    reject.number(e::REJECT_TYPE, e::REJECT_BY_ICMP);
                    reject.bytes(e::REJECT_CODE, &[code]);
                });
            }
        }
        Ok(())
    }

    /// Has one of these in the registers for endpoints.
    fn choose(&mut self, endpoints: &[Endpoint]) -> Result<(), Unfit> {
        match endpoints {
            [] => Err(Unfit("there is no endpoint to choose".to_owned())),
            [only] => self.fixed(*only),
            several => {
                let count = u32::try_from(several.len()).map_err(|_| Unfit("too many endpoints".to_owned()))?;
                self.random(count);
                self.lookup(OWN_MAP, Some(self.map), KEY, Some(ENDPOINT), false);
                self.compiled.map = Some((self.map, several.to_vec()));
                Ok(())
            }
        }
    }

    /// Has this one in the registers for endpoints.
    fn fixed(&mut self, endpoint: Endpoint) -> Result<(), Unfit> {
        self.immediate(ENDPOINT, &address(self.family, endpoint.address)?);
        self.immediate(self.port(), &endpoint.port.to_be_bytes());
        Ok(())
    }

    /// Holds once in so many times.
    fn chance(&mut self, count: u32) {
        if count > 1 {
            self.random(count);
            self.compare(&0_u32.to_ne_bytes(), true);
        }
    }

    fn random(&mut self, count: u32) {
        self.expression("numgen", |numgen| {
            numgen.number(e::NUMGEN_INTO, KEY);
            numgen.number(e::NUMGEN_MODULUS, count);
            numgen.number(e::NUMGEN_TYPE, e::NUMGEN_RANDOM);
        });
    }

    /// Holds if the client is known to be with that endpoint. The client is in the registers for keys then.
    fn known(&mut self, learned: &str, endpoint: Endpoint) -> Result<(), Unfit> {
        let (address, port) = (address(self.family, endpoint.address)?, self.port());
        // For `nft` alone, which wants to know of something in the register before it is compared.
        self.load(Field::DestinationPort, port);
        self.load(Field::Source, KEY);
        self.lookup(learned, None, KEY, Some(ENDPOINT), false);
        self.compare_at(ENDPOINT, &address, true);
        self.compare_at(port, &endpoint.port.to_be_bytes(), true);
        Ok(())
    }

    /// The register of an endpoint's port.
    const fn port(&self) -> u32 {
        ENDPOINT + address_length(self.family) / 4
    }

    fn translate(&mut self) {
        let (family, port) = (u32::from(number(self.family)), self.port());
        self.expression("nat", |nat| {
            nat.number(e::NAT_TYPE, e::NAT_DESTINATION);
            nat.number(e::NAT_FAMILY, family);
            nat.number(e::NAT_ADDRESS, ENDPOINT);
            nat.number(e::NAT_PORT, port);
        });
    }

    fn learn(&mut self, set: &str, operation: u32) {
        self.expression("dynset", |dynset| {
            dynset.text(e::DYNSET_SET, set);
            dynset.number(e::DYNSET_OPERATION, operation);
            dynset.number(e::DYNSET_KEY, KEY);
            dynset.number(e::DYNSET_DATA, ENDPOINT);
        });
    }

    fn mark(&mut self, keep: u32, set: u32) {
        self.meta(e::META_MARK);
        self.mask(&keep.to_ne_bytes(), &set.to_ne_bytes());
        self.expression("meta", |meta| {
            meta.number(e::META_KEY, e::META_MARK);
            meta.number(e::META_FROM, KEY);
        });
    }

    fn meta(&mut self, key: u32) {
        self.meta_into(key, KEY);
    }

    fn meta_into(&mut self, key: u32, register: u32) {
        self.expression("meta", |meta| {
            meta.number(e::META_KEY, key);
            meta.number(e::META_INTO, register);
        });
    }

    /// Has fields in registers, one behind the other.
    fn load_all(&mut self, fields: &[Field]) {
        let mut register = KEY;
        for field in fields {
            self.load(*field, register);
            register += match field {
                Field::Source | Field::Destination => address_length(self.family) / 4,
                Field::Protocol | Field::DestinationPort => 1,
            };
        }
    }

    fn load(&mut self, field: Field, register: u32) {
        let (base, offset, length) = match (field, self.family) {
            (Field::Protocol, _) => return self.meta_into(e::META_PROTOCOL, register),
            (Field::DestinationPort, _) => (e::PAYLOAD_TRANSPORT, 2, 2),
            (Field::Source, Family::Ip) => (e::PAYLOAD_NETWORK, 12, 4),
            (Field::Destination, Family::Ip) => (e::PAYLOAD_NETWORK, 16, 4),
            (Field::Source, Family::Ip6) => (e::PAYLOAD_NETWORK, 8, 16),
            (Field::Destination, Family::Ip6) => (e::PAYLOAD_NETWORK, 24, 16),
        };
        self.expression("payload", |payload| {
            payload.number(e::PAYLOAD_INTO, register);
            payload.number(e::PAYLOAD_BASE, base);
            payload.number(e::PAYLOAD_OFFSET, offset);
            payload.number(e::PAYLOAD_LENGTH, length);
        });
    }

    fn compare(&mut self, value: &[u8], equal: bool) {
        self.compare_at(KEY, value, equal);
    }

    fn compare_at(&mut self, register: u32, value: &[u8], equal: bool) {
        self.expression("cmp", |cmp| {
            cmp.number(e::CMP_FROM, register);
            cmp.number(e::CMP_OPERATION, if equal { e::CMP_EQUAL } else { e::CMP_DIFFERENT });
            cmp.nested(e::CMP_DATA, |inner| inner.bytes(data::VALUE, value));
        });
    }

    /// Keeps bits, and turns others over.
    fn mask(&mut self, keep: &[u8], turn: &[u8]) {
        self.expression("bitwise", |bitwise| {
            bitwise.number(e::BITWISE_FROM, KEY);
            bitwise.number(e::BITWISE_INTO, KEY);
            bitwise.number(e::BITWISE_LENGTH, u32::try_from(keep.len()).unwrap_or(u32::MAX));
            bitwise.nested(e::BITWISE_MASK, |inner| inner.bytes(data::VALUE, keep));
            bitwise.nested(e::BITWISE_XOR, |inner| inner.bytes(data::VALUE, turn));
        });
    }

    fn immediate(&mut self, register: u32, value: &[u8]) {
        self.expression("immediate", |immediate| {
            immediate.number(e::IMMEDIATE_INTO, register);
            immediate.nested(e::IMMEDIATE_DATA, |inner| inner.bytes(data::VALUE, value));
        });
    }

    fn lookup(&mut self, set: &str, id: Option<u32>, from: u32, into: Option<u32>, inverted: bool) {
        self.expression("lookup", |lookup| {
            lookup.text(e::LOOKUP_SET, set);
            lookup.number(e::LOOKUP_FROM, from);
            if let Some(into) = into {
                lookup.number(e::LOOKUP_INTO, into);
            }
            if let Some(id) = id {
                lookup.number(e::LOOKUP_SET_ID, id);
            }
            if inverted {
                lookup.number(e::LOOKUP_FLAGS, e::LOOKUP_INVERTED);
            }
        });
    }

    fn expression(&mut self, name: &str, write: impl FnOnce(&mut Attributes)) {
        self.compiled.expressions.nested(LIST_ITEM, |item| {
            item.text(rule::EXPRESSION_NAME, name);
            item.nested(rule::EXPRESSION_DATA, write);
        });
    }
}
