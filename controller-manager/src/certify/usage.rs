//! The usages of certificates: the API's words for them, and how certificates have them.

/// A purpose that certificates name one by one.
type Purpose = (&'static [&'static str], &'static [u8]);

/// The basic usages: their words, and their bit in a certificate.
const BASIC: &[(&str, u16)] = &[
    ("signing", 0x8000),
    ("digital signature", 0x8000),
    ("content commitment", 0x4000),
    ("key encipherment", 0x2000),
    ("data encipherment", 0x1000),
    ("key agreement", 0x0800),
    ("cert sign", 0x0400),
    ("crl sign", 0x0200),
    ("encipher only", 0x0100),
    ("decipher only", 0x0080),
];

/// The purposes: their words, and the content of their object identifier, in the order in which certificates have them.
const PURPOSES: &[Purpose] = &[
    (&["any"], &[0x55, 0x1d, 0x25, 0x00]),
    (&["server auth"], &[0x2b, 6, 1, 5, 5, 7, 3, 1]),
    (&["client auth"], &[0x2b, 6, 1, 5, 5, 7, 3, 2]),
    (&["code signing"], &[0x2b, 6, 1, 5, 5, 7, 3, 3]),
    (&["email protection", "s/mime"], &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    (&["ipsec end system"], &[0x2b, 6, 1, 5, 5, 7, 3, 5]),
    (&["ipsec tunnel"], &[0x2b, 6, 1, 5, 5, 7, 3, 6]),
    (&["ipsec user"], &[0x2b, 6, 1, 5, 5, 7, 3, 7]),
    (&["timestamping"], &[0x2b, 6, 1, 5, 5, 7, 3, 8]),
    (&["ocsp signing"], &[0x2b, 6, 1, 5, 5, 7, 3, 9]),
    (&["microsoft sgc"], &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x0a, 3, 3]),
    (&["netscape sgc"], &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]),
];

/// What a certificate may be used for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usages {
    /// The bits of the basic usages.
    pub(super) basic: u16,
    /// The contents of the object identifiers of the purposes.
    pub(super) purposes: Vec<&'static [u8]>,
}

impl Usages {
    /// Takes the API's words, each in any number; fails with those that it does not know.
    pub(super) fn read(words: &[String]) -> Result<Usages, Vec<String>> {
        let basic = |word: &str| BASIC.iter().find(|(known, _)| *known == word).map(|(_, bit)| *bit);
        let is_purpose = |word: &str| PURPOSES.iter().any(|(known, _)| known.contains(&word));
        let unknown: Vec<String> =
            words.iter().filter(|word| basic(word).is_none() && !is_purpose(word)).cloned().collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let asked = |(known, _): &&Purpose| words.iter().any(|word| known.contains(&word.as_str()));
        Ok(Usages {
            basic: words.iter().filter_map(|word| basic(word)).fold(0, |bits, bit| bits | bit),
            purposes: PURPOSES.iter().filter(asked).map(|(_, identifier)| *identifier).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let check = |words: &[&str], expected: Result<(u16, &[u8]), &[&str]>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let read = Usages::read(&words);
            // The last byte is different for all of the purposes that are used here.
            let read =
                read.map(|usages| (usages.basic, usages.purposes.iter().map(|oid| oid[oid.len() - 1]).collect()));
            let expected = expected.map(|(basic, purposes)| (basic, purposes.to_vec()));
            assert_eq!(read, expected.map_err(|words| words.iter().map(|word| (*word).to_owned()).collect()));
        };
        check(&[], Ok((0, &[])));
        check(&["client auth", "digital signature", "server auth", "client auth"], Ok((0x8000, &[1, 2])));
        check(&["signing", "digital signature", "decipher only"], Ok((0x8080, &[])));
        check(&["s/mime", "any", "email protection"], Ok((0, &[0, 4])));
        check(&["client auth", "flying", "Any"], Err(&["flying", "Any"]));
    }
}
