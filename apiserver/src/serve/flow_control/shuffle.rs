//! Shuffle sharding: each flow is dealt a few of the queues, so that two flows seldom share all of theirs.
//!
//! What always holds: the hand of a flow is the same every time, has no queue twice, and every hand is equally likely.

use sha2::{Digest as _, Sha256};

/// The most queues that a flow can be dealt. With more the hash would not tell all hands apart.
pub(super) const LARGEST_HAND: usize = 15;

/// What tells the flow of a schema apart from others; the same number as upstream's.
pub(super) fn hash_of(schema: &str, flow: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(schema.as_bytes());
    hash.update([0]);
    hash.update(flow.as_bytes());
    let sum = hash.finalize();
    sum.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Deals `size` of the numbers below `deck`.
pub(super) fn deal(mut hash: u64, deck: usize, size: usize) -> impl Iterator<Item = usize> {
    let mut hand = [0; LARGEST_HAND];
    let size = size.min(deck).min(LARGEST_HAND);
    for at in 0..size {
        let left = (deck - at) as u64;
        // The place among the numbers that are left.
        let mut card = usize::try_from(hash % left).unwrap_or_default();
        hash /= left;
        let mut taken: [usize; LARGEST_HAND] = [usize::MAX; LARGEST_HAND];
        taken[..at].copy_from_slice(&hand[..at]);
        taken[..at].sort_unstable();
        for dealt in &taken[..at] {
            if card >= *dealt {
                card += 1;
            }
        }
        hand[at] = card;
    }
    hand.into_iter().take(size)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flows_are_told_apart_by_schema_and_name() {
        assert_eq!(hash_of("a", "b"), hash_of("a", "b"));
        for (schema, flow) in [("a", "c"), ("ab", ""), ("", "ab"), ("b", "a")] {
            assert_ne!(hash_of(schema, flow), hash_of("a", "b"), "{schema} {flow}");
        }
    }

    #[test]
    fn every_hand_is_dealt_as_often() {
        let mut seen: HashMap<Vec<usize>, usize> = HashMap::new();
        for hash in 0..5 * 4 * 3 {
            *seen.entry(deal(hash, 5, 3).collect()).or_default() += 1;
        }
        assert_eq!(seen.len(), 60, "each order of three of five");
        assert!(seen.values().all(|times| *times == 1));
    }

    proptest! {
        #[test]
        fn hands_have_no_queue_twice(hash: u64, deck in 1..512_usize, size in 1..=LARGEST_HAND) {
            let mut hand: Vec<usize> = deal(hash, deck, size).collect();
            prop_assert_eq!(hand.len(), size.min(deck));
            prop_assert!(hand.iter().all(|queue| *queue < deck));
            hand.sort_unstable();
            hand.dedup();
            prop_assert_eq!(hand.len(), size.min(deck));
        }
    }
}
