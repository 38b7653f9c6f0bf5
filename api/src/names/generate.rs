//! Generated names and identities, from random bits that the caller provides.

use std::fmt::Write;

/// A source of random bits. Every closure that returns a uniformly distributed `u64` is one.
pub trait RandomBits {
    /// The next 64 bits.
    fn next_bits(&mut self) -> u64;
}

impl<F: FnMut() -> u64> RandomBits for F {
    fn next_bits(&mut self) -> u64 {
        self()
    }
}

/// Longest part of a `generateName` that is kept: with the suffix, the name fits a DNS label.
pub const MAX_GENERATED_BASE_BYTES: usize = 58;

const SUFFIX_LENGTH: usize = 5;
/// No vowels and none of 0, 1 and 3: generated names are no words, and are hard to misread.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// `base`, cut if need be, and five random characters.
pub fn generate_name(base: &str, random: &mut impl RandomBits) -> String {
    let end = base.floor_char_boundary(MAX_GENERATED_BASE_BYTES);
    format!("{}{}", &base[..end], random_suffix(SUFFIX_LENGTH, random))
}

/// `length` random characters of the alphabet of generated names, each equally likely.
pub fn random_suffix(length: usize, random: &mut impl RandomBits) -> String {
    let mut suffix = String::with_capacity(length);
    while suffix.len() < length {
        let mut bits = random.next_bits();
        // Five bits a character; a value outside the alphabet is dropped, so that none is likelier than another.
        for _ in 0..12 {
            let index = (bits & 0x1f) as usize;
            bits >>= 5;
            if let Some(character) = ALPHABET.get(index)
                && suffix.len() < length
            {
                suffix.push(char::from(*character));
            }
        }
    }
    suffix
}

/// `text` spelled in the alphabet of generated names, byte by byte. Different texts may be spelled alike.
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

/// A random (version 4) UUID of RFC 4122 in lower case: the identity of an object.
pub fn uid(random: &mut impl RandomBits) -> String {
    let bits = (u128::from(random.next_bits()) << 64) | u128::from(random.next_bits());
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let mut text = String::with_capacity(36);
    for (i, byte) in bits.to_be_bytes().iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A source that repeats for a seed (splitmix64).
    fn seeded(mut state: u64) -> impl RandomBits {
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    #[test]
    fn uid_sets_version_and_variant() {
        assert_eq!(uid(&mut || 0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uid(&mut || u64::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let mut counter = 0x0123_4567_89ab_cdee_u64;
        let mut next = move || {
            counter += 1;
            counter
        };
        assert_eq!(uid(&mut next), "01234567-89ab-4def-8123-456789abcdf0");
    }

    #[test]
    fn bits_outside_the_alphabet_are_dropped() {
        let mut draws = [u64::MAX, 0].into_iter();
        assert_eq!(random_suffix(5, &mut || draws.next().unwrap()), "bbbbb");
        assert_eq!(random_suffix(5, &mut || 26 << 5), "b9bbb");
    }

    #[test]
    fn long_bases_are_cut() {
        let base = "a".repeat(60);
        let name = generate_name(&base, &mut || 0);
        assert_eq!(name, format!("{}bbbbb", "a".repeat(58)));
        assert_eq!(generate_name("web-", &mut || 0), "web-bbbbb");
        assert_eq!(generate_name(&"é".repeat(40), &mut || 0).len(), 63);
    }

    #[test]
    fn safe_encoding_as_upstream() {
        // The hash in the name of every Deployment's ReplicaSet is decimal digits spelled like this.
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
        assert_eq!(safe_encode(""), "");
    }

    proptest! {
        #[test]
        fn suffixes_have_the_length_and_alphabet(seed: u64, length in 0usize..40) {
            let suffix = random_suffix(length, &mut seeded(seed));
            prop_assert_eq!(suffix.len(), length);
            prop_assert!(suffix.bytes().all(|b| ALPHABET.contains(&b)));
        }
    }
}
