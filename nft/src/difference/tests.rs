//! Whatever the tables, a kernel that holds on to what is used accepts the steps, and ends with the table.

use proptest::prelude::*;

use super::*;
use crate::{Datum, Family, Hook, Rule, Type, random};

/// What a kernel has of a table, and what it refuses.
#[derive(Debug, Default)]
struct Model {
    table: Option<Table>,
}

impl Model {
    fn take(&mut self, step: &Step, like: &Table) {
        if *step == Step::AddTable {
            self.table.get_or_insert_with(|| Table::new(like.family, like.name.clone()));
            return;
        }
        let table = self.table.as_mut().unwrap();
        match step {
            Step::AddTable => (),
            Step::RemoveTable => self.table = None,
            Step::Flush(name) => {
                let base = table.chains[name].base;
                table.chains.insert(name.clone(), Arc::new(Chain { base, rules: Vec::new() }));
            }
            Step::RemoveElements(name, elements) => {
                for (key, value) in elements {
                    assert_eq!(table.sets.get_mut(name).unwrap().elements.remove(key).as_ref(), Some(value), "{name}");
                }
            }
            Step::RemoveSet(name) => {
                let in_use = table.chains.values().flat_map(|chain| used(chain));
                assert!(
                    !in_use.into_iter().any(|used| matches!(used, Used::Set(set) if set == name)),
                    "{name} is used"
                );
                assert!(table.sets.remove(name).is_some(), "{name}");
            }
            Step::RemoveChain(name) => {
                assert!(table.chains[name].rules.is_empty(), "{name} is not empty");
                assert!(!jumps(table).contains(name), "{name} is jumped to");
                table.chains.remove(name);
            }
            Step::AddSet(name, shape) => {
                let set = Set { shape: shape.clone(), elements: imbl::OrdMap::new() };
                assert!(table.sets.insert(name.clone(), set).is_none(), "{name}");
            }
            Step::AddChain(name, base) => {
                let chain = Chain { base: *base, rules: Vec::new() };
                assert!(table.chains.insert(name.clone(), Arc::new(chain)).is_none(), "{name}");
            }
            Step::AddElements(name, elements) => {
                for (key, value) in elements {
                    assert!(target(value).is_none_or(|chain| table.chains[chain].base.is_none()), "{value:?}");
                    let old = table.sets.get_mut(name).unwrap().elements.insert(key.clone(), value.clone());
                    assert_eq!(old, None, "{name}: {key:?}");
                }
            }
            Step::AddRules(name, chain) => {
                for used in used(chain) {
                    match used {
                        Used::Set(set) => assert!(table.sets.contains_key(set), "{set}"),
                        Used::Chain(chain) => assert!(table.chains[chain].base.is_none(), "{chain}"),
                    }
                }
                assert!(table.chains[name].rules.is_empty(), "{name}");
                let base = table.chains[name].base;
                table.chains.insert(name.clone(), Arc::new(Chain { base, rules: chain.rules.clone() }));
            }
        }
    }
}

/// The chains that something jumps to.
fn jumps(table: &Table) -> BTreeSet<Name> {
    let rules = table.chains.values().flat_map(|chain| used(chain)).filter_map(|used| match used {
        Used::Chain(chain) => Some(chain),
        Used::Set(_) => None,
    });
    let elements = table.sets.values().flat_map(|set| set.elements.values()).filter_map(target);
    rules.chain(elements).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kernel_accepts_the_steps_and_ends_with_the_table((before, after) in random::pair()) {
        let tables = [random::build(Family::Ip, &before), random::build(Family::Ip, &after)];
        let mut states = vec![None];
        states.extend(tables.iter().map(Some));
        let mut model = Model::default();
        for (from, to) in [(0, 1), (1, 2), (2, 2), (2, 1), (1, 0), (0, 0), (0, 2)] {
            let steps = difference(states[from], states[to]);
            prop_assert!(states[from] != states[to] || steps.is_empty());
            for step in &steps {
                model.take(step, &tables[0]);
            }
            prop_assert_eq!(model.table.as_ref(), states[to]);
        }
    }
}

#[test]
fn one_element_more_is_one_step() {
    let mut before = Table::new(Family::Ip, "t");
    let shape = Arc::new(Shape { key: vec![Type::Port], value: Kind::Nothing, learned: None });
    let elements = (0..50_000).map(|port| (vec![Datum::Port(port)], Value::Nothing)).collect();
    before.sets.insert("ports".into(), Set { shape, elements });
    let mut after = before.clone();
    let new = (vec![Datum::Port(50_000)], Value::Nothing);
    after.sets.get_mut("ports").unwrap().elements.insert(new.0.clone(), new.1.clone());
    assert_eq!(difference(Some(&before), Some(&after)), [Step::AddElements("ports".into(), vec![new])]);
}

#[test]
fn what_uses_a_chain_that_is_made_anew_lets_go_of_it_in_between() {
    let rule = |verdict| Rule { matches: vec![], acts: vec![Act::Verdict(verdict)] };
    let mut before = Table::new(Family::Ip, "t");
    let to = Verdict::Jump("to".into());
    let from = Arc::new(Chain { base: None, rules: vec![rule(to.clone())] });
    before.chains.insert("from".into(), from.clone());
    before.chains.insert("to".into(), Arc::default());
    let shape = Arc::new(Shape { key: vec![Type::Port], value: Kind::Verdict, learned: None });
    let element = (vec![Datum::Port(1)], Value::Verdict(to));
    before.sets.insert("map".into(), Set { shape, elements: [element.clone()].into_iter().collect() });
    let mut after = before.clone();
    let base = Some(Base { translates: false, hook: Hook::Input, priority: 0 });
    after.chains.insert("to".into(), Arc::new(Chain { base, rules: vec![rule(Verdict::Drop)] }));
    let names: Vec<Name> = vec!["from".into(), "to".into(), "map".into()];
    let expected = [
        Step::Flush(names[0].clone()),
        Step::Flush(names[1].clone()),
        Step::RemoveElements(names[2].clone(), vec![element.clone()]),
        Step::RemoveChain(names[1].clone()),
        Step::AddChain(names[1].clone(), base),
        Step::AddElements(names[2].clone(), vec![element]),
        Step::AddRules(names[0].clone(), from),
        Step::AddRules(names[1].clone(), after.chains["to"].clone()),
    ];
    assert_eq!(difference(Some(&before), Some(&after)), expected);
}
