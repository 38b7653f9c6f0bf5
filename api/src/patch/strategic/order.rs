//! The order of a merged list.
//!
//! Elements that the patch names follow the patch's order, elements that only the server has keep theirs, and the two
//! are interleaved by where they stood in the server's list. The rules, odd corners included, are upstream's
//! `normalizeElementOrder`; places are looked up in a table, so that a long list costs no more than sorting it.

use std::collections::HashMap;

use serde_json::Value;

use super::lists::{key_of, object};
use super::{DELETE, DIRECTIVE, Error};
use crate::patch::go_format;

/// Up to this length Go sorts by plain insertion, which decides what an inconsistent comparison comes to.
const INSERTION_SORT_LIMIT: usize = 20;

/// Checks that a patch's list is a subsequence of its `$setElementOrder`, deletions aside.
pub(super) fn check(patch: &[Value], order: &[Value], merge_key: &str) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::with_capacity(patch.len());
    for item in patch {
        let deleted = !merge_key.is_empty() && object(item)?.get(DIRECTIVE).is_some_and(|found| found == DELETE);
        if !deleted {
            kept.push(item);
        }
    }
    let directed = |item: &Value| item.as_object().is_some_and(|map| map.contains_key(DIRECTIVE));
    let (mut at, mut place) = (0, 0);
    while at < kept.len() && place < order.len() {
        if directed(kept[at]) {
            at += 1;
            continue;
        }
        let (item, named) = (kept[at], &order[place]);
        let same =
            if merge_key.is_empty() { item == named } else { key_of(item, merge_key)? == key_of(named, merge_key)? };
        at += usize::from(same);
        place += 1;
    }
    if at < kept.len() {
        return Err(Error::OrderMismatch { patch: go_format::list(patch), order: go_format::list(order) });
    }
    Ok(())
}

/// Splits a list into the elements that `by` names and the others.
pub(super) fn partition(list: Vec<Value>, by: &[Value], merge_key: &str) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let places = if list.is_empty() { Places::default() } else { Places::of(by, merge_key)? };
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in list {
        let identity = if merge_key.is_empty() { &item } else { key_of(&item, merge_key)? };
        if places.0.contains_key(identity) { named.push(item) } else { others.push(item) }
    }
    Ok((named, others))
}

/// Sorts `named` as `order` says and `server_only` as `server_order` says, and interleaves them.
pub(super) fn interleave(
    named: Vec<Value>,
    server_only: Vec<Value>,
    order: &[Value],
    server_order: &[Value],
    merge_key: &str,
    objects: bool,
) -> Result<Vec<Value>, Error> {
    // Elements of scalars are their own identity, whatever merge key the field declares.
    let merge_key = if objects { merge_key } else { "" };
    if objects {
        for item in named.iter().chain(order).chain(&server_only).chain(server_order) {
            key_of(item, merge_key)?;
        }
    }
    let server_places = Places::of(server_order, merge_key)?;
    let named = sorted(named, &Places::of(order, merge_key)?, merge_key);
    let server_only = sorted(server_only, &server_places, merge_key);

    let place = |item: &Value| server_places.get(item, merge_key);
    let mut merged = Vec::with_capacity(named.len() + server_only.len());
    let (mut left, mut right) = (server_only.into_iter().peekable(), named.into_iter().peekable());
    while let (Some(server), Some(patched)) = (left.peek(), right.peek()) {
        let server_first = matches!((place(server), place(patched)), (Some(l), Some(r)) if l < r);
        merged.extend(if server_first { left.next() } else { right.next() });
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

/// Where each element of a list stands, by its identity; the first of equals.
#[derive(Default)]
struct Places<'a>(HashMap<&'a Value, usize>);

impl<'a> Places<'a> {
    fn of(list: &'a [Value], merge_key: &str) -> Result<Self, Error> {
        let mut places = HashMap::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let identity = if merge_key.is_empty() {
                item
            } else {
                let map = item.as_object().ok_or(Error::ElementNotMap { index })?;
                let Some(identity) = map.get(merge_key) else { continue };
                identity
            };
            places.entry(identity).or_insert(index);
        }
        Ok(Self(places))
    }

    fn get(&self, item: &Value, merge_key: &str) -> Option<usize> {
        let identity = if merge_key.is_empty() { item } else { item.get(merge_key)? };
        self.0.get(identity).copied()
    }
}

/// The list in the order of `places`, with deletions last.
///
/// Upstream's comparison calls an element without a place less than any other, which is no order. Short lists are sorted
/// exactly as Go sorts them; in longer ones such elements come first, the last of them foremost.
fn sorted(list: Vec<Value>, places: &Places<'_>, merge_key: &str) -> Vec<Value> {
    let deleted = |item: &Value| !merge_key.is_empty() && item.get(DIRECTIVE).is_some_and(|found| found == DELETE);
    let (deletions, kept): (Vec<_>, Vec<_>) = list.into_iter().partition(deleted);
    let mut kept: Vec<(Option<usize>, Value)> =
        kept.into_iter().map(|item| (places.get(&item, merge_key), item)).collect();
    if kept.iter().all(|(place, _)| place.is_some()) {
        kept.sort_by_key(|(place, _)| *place);
    } else if kept.len() <= INSERTION_SORT_LIMIT {
        insertion_sort(&mut kept);
    } else {
        let (found, mut lost): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(place, _)| place.is_some());
        lost.reverse();
        kept = lost;
        let start = kept.len();
        kept.extend(found);
        kept[start..].sort_by_key(|(place, _)| *place);
    }
    kept.into_iter().map(|(_, item)| item).chain(deletions).collect()
}

fn insertion_sort(items: &mut [(Option<usize>, Value)]) {
    let less = |left: Option<usize>, right: Option<usize>| match (left, right) {
        (Some(left), Some(right)) => left < right,
        _ => true,
    };
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && less(items[at].0, items[at - 1].0) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}
