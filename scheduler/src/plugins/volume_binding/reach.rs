//! Things that only some nodes reach, found without trying each of them.
//!
//! Most are pinned to one value of a label: a disk of a node to its name, a disk of a zone to the zone. A node looks only
//! at those of its own values, and at those that are not pinned.

use std::collections::{BTreeMap, HashMap};

/// A thing and its place among all.
type Placed<T> = (usize, T);
/// Things that are pinned to a label, by its value.
type ByValue<'a, T> = HashMap<&'a str, Vec<Placed<T>>>;

/// Things in an order, by what nodes must have to reach them.
pub(super) struct Reach<'a, T> {
    anywhere: Vec<Placed<T>>,
    /// By the key of the label.
    pinned: Vec<(&'a str, ByValue<'a, T>)>,
}

impl<'a, T: Copy> Reach<'a, T> {
    /// Takes the things in their order; `pin` is the label that a thing is pinned to.
    pub(super) fn new(
        things: impl Iterator<Item = T>,
        pin: impl Fn(T) -> Option<&'a (String, String)>,
    ) -> Reach<'a, T> {
        let mut reach = Reach { anywhere: Vec::new(), pinned: Vec::new() };
        for placed in things.enumerate() {
            let Some((key, value)) = pin(placed.1) else {
                reach.anywhere.push(placed);
                continue;
            };
            let position = reach.pinned.iter().position(|(other, _)| other == key).unwrap_or_else(|| {
                reach.pinned.push((key, HashMap::new()));
                reach.pinned.len() - 1
            });
            reach.pinned[position].1.entry(value.as_str()).or_default().push(placed);
        }
        reach
    }

    /// The first thing that does, of those that a node with these labels may reach.
    pub(super) fn first(&self, labels: &BTreeMap<String, String>, does: impl Fn(T) -> bool) -> Option<T> {
        let own = |(key, by_value): &(&'a str, ByValue<'a, T>)| {
            by_value.get(labels.get(*key)?.as_str()).and_then(|things| find(things, &does))
        };
        let pinned = self.pinned.iter().filter_map(own);
        let first = pinned.chain(find(&self.anywhere, &does)).min_by_key(|(place, _)| *place)?;
        Some(first.1)
    }
}

fn find<T: Copy>(things: &[Placed<T>], does: &impl Fn(T) -> bool) -> Option<Placed<T>> {
    things.iter().copied().find(|(_, thing)| does(*thing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_is_pinned() {
        let pin = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
        let pins = [pin("host", "a"), pin("host", "b"), None, pin("zone", "z"), pin("host", "b")];
        let reach = Reach::new(0..pins.len(), |thing| pins[thing].as_ref());
        let check = |labels: &[(&str, &str)], least: usize, expected: Option<usize>| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(reach.first(&labels, |thing| thing >= least), expected, "{labels:?} {least}");
        };
        check(&[], 0, Some(2));
        check(&[], 3, None);
        check(&[("host", "a")], 0, Some(0));
        check(&[("host", "a")], 1, Some(2));
        check(&[("host", "b"), ("zone", "z")], 0, Some(1));
        check(&[("host", "b"), ("zone", "z")], 2, Some(2));
        check(&[("host", "b"), ("zone", "z")], 3, Some(3));
        check(&[("host", "b"), ("zone", "z")], 4, Some(4));
        check(&[("host", "c")], 3, None);
    }
}
