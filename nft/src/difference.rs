//! What leads from one table to another. Pure.
//!
//! The steps stand in an order that the kernel accepts as one batch: what is used is there before what uses it, and goes
//! after it. So first everything is taken away that has to go (rules, elements, sets, chains), and then everything is put
//! there that is new (sets, chains, elements, rules); nobody sees what is between. How many steps there are, and how long
//! it takes to find them, depends on what differs and not on how large the tables are, if one came from the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;

use crate::{Act, Base, Chain, Key, Kind, Match, Name, Set, Shape, Table, Value, Verdict};

/// Elements of a set.
pub type Elements = Vec<(Key, Value)>;

/// One thing that is changed of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The table is there, if it was not.
    AddTable,
    /// It goes, with all that is in it.
    RemoveTable,
    /// A chain loses all its rules.
    Flush(Name),
    /// Elements go.
    RemoveElements(Name, Elements),
    /// A set goes that no rule uses.
    RemoveSet(Name),
    /// An empty chain goes that nothing jumps to.
    RemoveChain(Name),
    /// A set without elements.
    AddSet(Name, Arc<Shape>),
    /// A chain without rules.
    AddChain(Name, Option<Base>),
    /// Elements that the set does not have.
    AddElements(Name, Elements),
    /// A chain without rules gets those of this one.
    AddRules(Name, Arc<Chain>),
}

/// What leads from one table to another of the same family and name.
#[must_use]
pub fn difference(before: Option<&Table>, after: Option<&Table>) -> Vec<Step> {
    match (before, after) {
        (None, None) => Vec::new(),
        (Some(_), None) => vec![Step::RemoveTable],
        (Some(before), Some(after)) => Changes::between(before, after).into_steps(),
        (None, Some(after)) => {
            let mut steps = vec![Step::AddTable];
            steps.extend(Changes::between(&Table::new(after.family, after.name.clone()), after).into_steps());
            steps
        }
    }
}

/// What changes, by kind.
#[derive(Default)]
struct Changes<'a> {
    flushed: BTreeSet<&'a Name>,
    gone_elements: BTreeMap<&'a Name, Elements>,
    gone_sets: BTreeSet<&'a Name>,
    gone_chains: BTreeSet<&'a Name>,
    new_sets: BTreeMap<&'a Name, &'a Arc<Shape>>,
    new_chains: BTreeMap<&'a Name, Option<Base>>,
    new_elements: BTreeMap<&'a Name, Elements>,
    new_rules: BTreeMap<&'a Name, &'a Arc<Chain>>,
}

impl<'a> Changes<'a> {
    fn between(before: &'a Table, after: &'a Table) -> Changes<'a> {
        let mut changes = Changes::default();
        for item in before.sets.diff(&after.sets) {
            match item {
                DiffItem::Add(name, set) => changes.set_comes(name, set),
                DiffItem::Remove(name, set) => changes.set_goes(name, set),
                DiffItem::Update { old: (name, old), new: (_, new) } if old.shape != new.shape => {
                    changes.set_goes(name, old);
                    changes.set_comes(name, new);
                }
                DiffItem::Update { old: (name, old), new: (_, new) } => changes.set_differs(name, old, new),
            }
        }
        for item in before.chains.diff(&after.chains) {
            match item {
                DiffItem::Add(name, chain) => changes.chain_comes(name, chain),
                DiffItem::Remove(name, _) => changes.chain_goes(name),
                DiffItem::Update { old: (name, old), new: (_, new) } if old.base != new.base => {
                    changes.chain_goes(name);
                    changes.chain_comes(name, new);
                }
                DiffItem::Update { old: (name, _), new: (_, new) } => changes.chain_differs(name, new),
            }
        }
        changes.take_up_users(before, after);
        changes
    }

    fn set_comes(&mut self, name: &'a Name, set: &'a Set) {
        self.new_sets.insert(name, &set.shape);
        if !set.elements.is_empty() {
            let elements = set.elements.iter().map(|(key, value)| (key.clone(), value.clone()));
            self.new_elements.insert(name, elements.collect());
        }
    }

    fn set_goes(&mut self, name: &'a Name, set: &'a Set) {
        self.gone_sets.insert(name);
        // Kernels before 6.4 hold on to the chains that elements of a set jump to until all is over.
        let jumps: Elements = set.elements.iter().filter(|(_, value)| target(value).is_some()).map(owned).collect();
        if !jumps.is_empty() {
            self.gone_elements.insert(name, jumps);
        }
    }

    fn set_differs(&mut self, name: &'a Name, old: &'a Set, new: &'a Set) {
        for item in old.elements.diff(&new.elements) {
            let (gone, comes) = match item {
                DiffItem::Add(key, value) => (None, Some((key, value))),
                DiffItem::Remove(key, value) => (Some((key, value)), None),
                DiffItem::Update { old, new } => (Some(old), Some(new)),
            };
            if let Some(gone) = gone {
                self.gone_elements.entry(name).or_default().push(owned(gone));
            }
            if let Some(comes) = comes {
                self.new_elements.entry(name).or_default().push(owned(comes));
            }
        }
    }

    fn chain_comes(&mut self, name: &'a Name, chain: &'a Arc<Chain>) {
        self.new_chains.insert(name, chain.base);
        if !chain.rules.is_empty() {
            self.new_rules.insert(name, chain);
        }
    }

    fn chain_goes(&mut self, name: &'a Name) {
        self.flushed.insert(name);
        self.gone_chains.insert(name);
    }

    fn chain_differs(&mut self, name: &'a Name, chain: &'a Arc<Chain>) {
        self.flushed.insert(name);
        if !chain.rules.is_empty() {
            self.new_rules.insert(name, chain);
        }
    }

    /// What is made anew goes first. So what uses it, and stays as it is, has to let go of it and to come back.
    fn take_up_users(&mut self, before: &'a Table, after: &'a Table) {
        let sets: BTreeSet<&Name> =
            self.gone_sets.iter().filter(|name| self.new_sets.contains_key(*name)).copied().collect();
        let chains: BTreeSet<&Name> =
            self.gone_chains.iter().filter(|name| self.new_chains.contains_key(*name)).copied().collect();
        if sets.is_empty() && chains.is_empty() {
            return;
        }
        for (name, chain) in &before.chains {
            let uses = used(chain).any(|used| match used {
                Used::Set(set) => sets.contains(set),
                Used::Chain(chain) => chains.contains(chain),
            });
            if let (true, false, Some(chain)) = (uses, self.flushed.contains(name), after.chains.get(name)) {
                self.chain_differs(name, chain);
            }
        }
        let maps = before.sets.iter().filter(|(_, set)| set.shape.value == Kind::Verdict && !chains.is_empty());
        for (name, set) in maps.filter(|(name, _)| !self.gone_sets.contains(*name)).collect::<Vec<_>>() {
            let new = after.sets.get(name).map(|set| &set.elements);
            for (key, value) in &set.elements {
                let stays = new.is_some_and(|new| new.get(key) == Some(value));
                if stays && target(value).is_some_and(|chain| chains.contains(chain)) {
                    self.gone_elements.entry(name).or_default().push(owned((key, value)));
                    self.new_elements.entry(name).or_default().push(owned((key, value)));
                }
            }
        }
    }

    fn into_steps(self) -> Vec<Step> {
        let mut steps = Vec::new();
        steps.extend(self.flushed.into_iter().cloned().map(Step::Flush));
        let gone = self.gone_elements.into_iter();
        steps.extend(gone.map(|(name, elements)| Step::RemoveElements(name.clone(), elements)));
        steps.extend(self.gone_sets.into_iter().cloned().map(Step::RemoveSet));
        steps.extend(self.gone_chains.into_iter().cloned().map(Step::RemoveChain));
        steps.extend(self.new_sets.into_iter().map(|(name, shape)| Step::AddSet(name.clone(), shape.clone())));
        steps.extend(self.new_chains.into_iter().map(|(name, base)| Step::AddChain(name.clone(), base)));
        let new = self.new_elements.into_iter();
        steps.extend(new.map(|(name, elements)| Step::AddElements(name.clone(), elements)));
        steps.extend(self.new_rules.into_iter().map(|(name, chain)| Step::AddRules(name.clone(), chain.clone())));
        steps
    }
}

/// What a rule uses.
pub(crate) enum Used<'a> {
    /// A set, by name.
    Set(&'a Name),
    /// A chain, by name.
    Chain(&'a Name),
}

/// What the rules of a chain use.
pub(crate) fn used(chain: &Chain) -> impl Iterator<Item = Used<'_>> {
    chain.rules.iter().flat_map(|rule| {
        let matches = rule.matches.iter().filter_map(|condition| match condition {
            Match::In(_, set, _) => Some(Used::Set(set)),
            Match::Is(..) | Match::Within(..) | Match::Local(..) | Match::Marked(..) | Match::New => None,
        });
        let acts = rule.acts.iter().filter_map(|act| match act {
            Act::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(Used::Chain(chain)),
            Act::Dispatch(_, set) | Act::Balance(_, Some(set)) | Act::Stick(set, _) => Some(Used::Set(set)),
            Act::Verdict(_) | Act::Balance(_, None) | Act::Mark(_) | Act::Unmark(_) | Act::Masquerade | Act::Reject => {
                None
            }
        });
        matches.chain(acts)
    })
}

/// The chain that an element jumps to.
pub(crate) fn target(value: &Value) -> Option<&Name> {
    match value {
        Value::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(chain),
        Value::Verdict(Verdict::Accept | Verdict::Drop | Verdict::Return) | Value::Nothing => None,
    }
}

fn owned((key, value): (&Key, &Value)) -> (Key, Value) {
    (key.clone(), value.clone())
}

#[cfg(test)]
mod tests;
