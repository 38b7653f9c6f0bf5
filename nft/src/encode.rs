//! Steps as messages to the kernel.

use crate::difference::{Elements, Step};
use crate::expressions::{self, OWN_MAP, Unfit, address, address_length, length, verdict};
use crate::message::{Attributes, Batch};
use crate::uapi::message::{self, APPEND, CREATE, EXCLUSIVE};
use crate::uapi::{LIST_ITEM, TABLE, chain, data, elements, rule, set};
use crate::{Base, Chain, Datum, Endpoint, Family, Hook, Key, Kind, Name, Shape, Type, Value};

/// How many elements a set that learns can have: as many as the kernel lets such a set have if nobody says.
const LEARNED: u32 = 65_535;

/// How long a list of elements may get. The kernel counts an attribute's bytes in 16 bits.
const LIST: usize = 60_000;

/// The steps for this table as one batch.
pub(crate) fn encode(family: Family, table: &Name, steps: &[Step]) -> Result<Batch, Unfit> {
    let mut encoder = Encoder { family, table, batch: Batch::new(), sets: 0 };
    for (index, step) in steps.iter().enumerate() {
        encoder.batch.at_step(index);
        encoder.step(step)?;
    }
    Ok(encoder.batch)
}

struct Encoder<'a> {
    family: Family,
    table: &'a Name,
    batch: Batch,
    /// How many sets have numbers already.
    sets: u32,
}

impl Encoder<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Unfit> {
        match step {
            Step::AddTable => self.message(message::NEW_TABLE, CREATE, |_| ()),
            Step::RemoveTable => self.message(message::DELETE_TABLE, 0, |_| ()),
            Step::Flush(name) => self.message(message::DELETE_RULE, 0, |all| all.text(rule::CHAIN, name)),
            Step::RemoveSet(name) => self.message(message::DELETE_SET, 0, |all| all.text(set::NAME, name)),
            Step::RemoveChain(name) => self.message(message::DELETE_CHAIN, 0, |all| all.text(chain::NAME, name)),
            Step::AddSet(name, shape) => self.named_set(name, shape),
            Step::AddChain(name, base) => self.chain(name, base.as_ref()),
            Step::AddElements(name, added) => self.elements(name, added, true)?,
            Step::RemoveElements(name, removed) => self.elements(name, removed, false)?,
            Step::AddRules(name, added) => self.rules(name, added)?,
        }
        Ok(())
    }

    fn message(&mut self, kind: u16, flags: u16, write: impl FnOnce(&mut Attributes)) {
        self.batch.message(kind, flags, self.family, |all| {
            all.text(TABLE, self.table);
            write(all);
        });
    }

    fn chain(&mut self, name: &Name, base: Option<&Base>) {
        const ACCEPT: u32 = 1;
        self.message(message::NEW_CHAIN, CREATE | EXCLUSIVE, |all| {
            all.text(chain::NAME, name);
            let Some(base) = base else { return };
            all.nested(chain::HOOK, |hook| {
                hook.number(chain::HOOK_NUMBER, hook_number(base.hook));
                hook.bytes(chain::HOOK_PRIORITY, &base.priority.to_be_bytes());
            });
            all.number(chain::POLICY, ACCEPT);
            all.text(chain::TYPE, if base.translates { "nat" } else { "filter" });
        });
    }

    fn named_set(&mut self, name: &Name, shape: &Shape) {
        let id = self.set_id();
        let family = self.family;
        let mut flags = 0;
        if shape.key.contains(&Type::Prefix) {
            flags |= set::INTERVAL;
        }
        if shape.value != Kind::Nothing {
            flags |= set::MAP;
        }
        if shape.learned.is_some() {
            flags |= set::TIMED | set::LEARNED;
        }
        self.message(message::NEW_SET, CREATE | EXCLUSIVE, |all| {
            all.text(set::NAME, name);
            all.number(set::FLAGS, flags);
            all.number(set::KEY_TYPE, hint(family, &shape.key));
            all.number(set::KEY_LENGTH, key_length(family, &shape.key));
            match shape.value {
                Kind::Nothing => (),
                Kind::Verdict => {
                    all.number(set::DATA_TYPE, set::VERDICTS);
                    all.number(set::DATA_LENGTH, 0);
                }
                Kind::Endpoint => endpoint_data(all, family),
            }
            all.number(set::ID, id);
            if let Some(time) = shape.learned {
                let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                all.bytes(set::TIMEOUT, &milliseconds.to_be_bytes());
                all.nested(set::DESCRIPTION, |inner| inner.number(set::DESCRIPTION_SIZE, LEARNED));
            }
        });
    }

    fn rules(&mut self, name: &Name, added: &Chain) -> Result<(), Unfit> {
        for model in &added.rules {
            let at = |unfit: Unfit| Unfit(format!("a rule of chain {name}: {unfit}"));
            for compiled in expressions::compile(self.family, model, self.sets).map_err(at)? {
                if let Some((id, endpoints)) = &compiled.map {
                    self.own_map(*id, endpoints).map_err(at)?;
                }
                self.message(message::NEW_RULE, CREATE | APPEND, |all| {
                    all.text(rule::CHAIN, name);
                    all.nested(rule::EXPRESSIONS, |list| list.append(&compiled.expressions));
                });
            }
        }
        Ok(())
    }

    /// A map of numbered endpoints that goes with the rule that comes next.
    fn own_map(&mut self, id: u32, endpoints: &[Endpoint]) -> Result<(), Unfit> {
        // As this machine has numbers, and endpoints as the network has them: so that `nft` shows them well.
        const NOTES: [(u8, u32); 2] = [(0, 1), (1, 2)];
        const NUMBER: u32 = 4;
        let family = self.family;
        let entries = numbered(family, endpoints)?;
        let size = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        self.sets += 1;
        self.message(message::NEW_SET, CREATE, |all| {
            all.text(set::NAME, OWN_MAP);
            all.number(set::FLAGS, set::ANONYMOUS | set::CONSTANT | set::MAP);
            all.number(set::KEY_TYPE, NUMBER);
            all.number(set::KEY_LENGTH, 4);
            endpoint_data(all, family);
            let notes = NOTES.iter().flat_map(|(kind, value)| [*kind, 4].into_iter().chain(value.to_ne_bytes()));
            all.bytes(set::USER_DATA, &notes.collect::<Vec<_>>());
            all.number(set::ID, id);
            all.nested(set::DESCRIPTION, |inner| inner.number(set::DESCRIPTION_SIZE, size));
        });
        self.lists(OWN_MAP, Some(id), message::NEW_ELEMENTS, CREATE, entries);
        Ok(())
    }

    fn set_id(&mut self) -> u32 {
        self.sets += 1;
        self.sets - 1
    }

    fn elements(&mut self, name: &Name, changed: &Elements, added: bool) -> Result<(), Unfit> {
        let mut entries = Vec::with_capacity(changed.len());
        for (key, value) in changed {
            let at = |unfit: Unfit| Unfit(format!("an element of {name}: {unfit}"));
            element(self.family, key, value, &mut entries).map_err(at)?;
        }
        let (kind, flags) =
            if added { (message::NEW_ELEMENTS, CREATE | EXCLUSIVE) } else { (message::DELETE_ELEMENTS, 0) };
        self.lists(name, None, kind, flags, entries);
        Ok(())
    }

    /// Elements in as many messages as it takes.
    fn lists(&mut self, name: &str, id: Option<u32>, kind: u16, flags: u16, entries: Vec<Attributes>) {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            self.message(kind, flags, |all| {
                all.text(elements::SET, name);
                if let Some(id) = id {
                    all.number(elements::SET_ID, id);
                }
                all.nested(elements::LIST, |list| {
                    let mut room = LIST;
                    while let Some(entry) = entries.next_if(|entry| entry.len() <= room) {
                        room -= entry.len();
                        list.append(&entry);
                    }
                });
            });
        }
    }
}

/// What `nft` calls what a key is made of, to show it well. The kernel does not look at it.
fn hint(family: Family, key: &[Type]) -> u32 {
    key.iter().fold(0, |hint, field| {
        let field = match (field, family) {
            (Type::Address | Type::Prefix, Family::Ip) => 7,
            (Type::Address | Type::Prefix, Family::Ip6) => 8,
            (Type::Protocol, _) => 12,
            (Type::Port, _) => 13,
        };
        hint << 6 | field
    })
}

/// Keys of several fields have each of them begin at 4 bytes.
fn key_length(family: Family, key: &[Type]) -> u32 {
    match key {
        [only] => length(family, *only),
        several => several.iter().map(|field| length(family, *field).next_multiple_of(4)).sum(),
    }
}

fn endpoint_data(all: &mut Attributes, family: Family) {
    all.number(set::DATA_TYPE, hint(family, &[Type::Address, Type::Port]));
    all.number(set::DATA_LENGTH, address_length(family) + 4);
}

fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

fn numbered(family: Family, endpoints: &[Endpoint]) -> Result<Vec<Attributes>, Unfit> {
    let entries = endpoints.iter().zip(0_u32..).map(|(endpoint, index)| {
        let value = expressions::endpoint(family, *endpoint)?;
        Ok(entry(&index.to_ne_bytes(), 0, |all| {
            all.nested(elements::DATA, |inner| inner.bytes(data::VALUE, &value));
        }))
    });
    entries.collect()
}

/// An element, or the two ends of one.
fn element(family: Family, key: &Key, value: &Value, entries: &mut Vec<Attributes>) -> Result<(), Unfit> {
    let value = |all: &mut Attributes| match value {
        Value::Nothing => (),
        Value::Verdict(what) => all.nested(elements::DATA, |inner| verdict(inner, what)),
    };
    if let [Datum::Prefix(prefix)] = &**key {
        let start = address(family, prefix.address)?;
        let end = behind(&start, prefix.length);
        entries.push(entry(&start, 0, value));
        // What goes to the last address of all has no end.
        entries.extend(end.map(|end| entry(&end, elements::END_OF_INTERVAL, |_| ())));
        return Ok(());
    }
    let mut bytes = Vec::new();
    for datum in key {
        match datum {
            Datum::Address(value) => bytes.extend(address(family, *value)?),
            Datum::Protocol(value) => bytes.push(*value),
            Datum::Port(value) => bytes.extend_from_slice(&value.to_be_bytes()),
            Datum::Prefix(_) => return Err(Unfit("a prefix among other fields".to_owned())),
        }
        if key.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    entries.push(entry(&bytes, 0, value));
    Ok(())
}

/// The address behind those that have so many bits in common with this one, which is the first of them.
fn behind(start: &[u8], length: u8) -> Option<Vec<u8>> {
    let mut end = start.to_vec();
    let last = usize::from(length).checked_sub(1)?;
    let mut carry = 0x80_u8 >> (last % 8);
    for byte in end.get_mut(..=last / 8)?.iter_mut().rev() {
        let (sum, over) = byte.overflowing_add(carry);
        *byte = sum;
        if !over {
            return Some(end);
        }
        carry = 1;
    }
    None
}

fn entry(key: &[u8], flags: u32, write: impl FnOnce(&mut Attributes)) -> Attributes {
    let mut list = Attributes::default();
    list.nested(LIST_ITEM, |all| {
        all.nested(elements::KEY, |inner| inner.bytes(data::VALUE, key));
        write(all);
        if flags != 0 {
            all.number(elements::FLAGS, flags);
        }
    });
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_address_behind_it() {
        let check = |start: [u8; 4], length: u8, expected: Option<[u8; 4]>| {
            assert_eq!(behind(&start, length), expected.map(|end| end.to_vec()), "{start:?}/{length}");
        };
        check([10, 1, 2, 3], 32, Some([10, 1, 2, 4]));
        check([10, 1, 2, 255], 32, Some([10, 1, 3, 0]));
        check([10, 0, 0, 0], 8, Some([11, 0, 0, 0]));
        check([10, 255, 0, 0], 16, Some([11, 0, 0, 0]));
        check([10, 64, 0, 0], 10, Some([10, 128, 0, 0]));
        check([0, 0, 0, 0], 1, Some([128, 0, 0, 0]));
        check([128, 0, 0, 0], 1, None);
        check([255, 255, 255, 255], 32, None);
        check([0, 0, 0, 0], 0, None);
    }

    #[test]
    fn elements_are_spread_over_messages() {
        let added: Elements = (0..10_000_u32)
            .map(|n| (vec![Datum::Address(std::net::Ipv4Addr::from(n).into())], Value::Nothing))
            .collect();
        let batch = encode(Family::Ip, &"t".into(), &[Step::AddElements("s".into(), added)]).unwrap();
        let sent = batch.finish(true);
        let messages = crate::message::received(&sent.bytes).map(|message| (message.kind, message.bytes.len()));
        let lists: Vec<usize> =
            messages.filter(|(kind, _)| *kind == message::NEW_ELEMENTS).map(|(_, length)| length).collect();
        assert!(lists.len() > 1 && lists.iter().all(|length| *length < 65_536), "{lists:?}");
    }
}
