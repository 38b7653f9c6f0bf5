//! What the API's documentation says of types and fields: generated text, unpacked only while documents are made.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

/// `descriptions.txt`, compressed by the build script.
static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.zlib"));

/// The unpacked text. A line `type<TAB>description` is followed by a line `<TAB>field<TAB>reference<TAB>description` for
/// each field; types and fields are in byte order.
pub(super) struct Descriptions {
    text: String,
    /// Where the lines of types start.
    types: Vec<usize>,
}

/// What is said of a type or a field.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Description<'a> {
    /// The type of a field that holds any JSON; otherwise empty.
    pub(super) reference: &'a str,
    /// May be empty.
    pub(super) text: Cow<'a, str>,
}

impl Descriptions {
    /// Unpacks the text: a megabyte, to be dropped after use.
    pub(super) fn load() -> Descriptions {
        let mut text = String::new();
        ZlibDecoder::new(COMPRESSED).read_to_string(&mut text).expect("the build script compressed this text");
        let mut types = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if !line.starts_with('\t') {
                types.push(start);
            }
            start += line.len();
        }
        Descriptions { text, types }
    }

    /// What is said of a type.
    pub(super) fn of_type(&self, name: &str) -> Description<'_> {
        let Some(lines) = self.lines(name) else { return Description::default() };
        let text = lines.lines().next().and_then(|line| line.split_once('\t')).map_or("", |(_, text)| text);
        Description { reference: "", text: unescaped(text) }
    }

    /// What is said of a field of a type.
    pub(super) fn of_field(&self, name: &str, field: &str) -> Description<'_> {
        let lines = self.lines(name).into_iter().flat_map(|lines| lines.lines().skip(1));
        let fields = lines.take_while(|line| line.starts_with('\t'));
        let mut parts = fields.map(|line| line[1..].splitn(3, '\t'));
        let found = parts.find_map(|mut parts| (parts.next() == Some(field)).then_some(parts));
        let Some(mut parts) = found else { return Description::default() };
        let (reference, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Description { reference, text: unescaped(text) }
    }

    /// The text from a type's line on.
    fn lines(&self, name: &str) -> Option<&str> {
        let of = |start: &usize| self.text[*start..].split(['\t', '\n']).next().unwrap_or_default();
        let at = self.types.binary_search_by(|start| of(start).cmp(name)).ok()?;
        Some(&self.text[self.types[at]..])
    }
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                other => out.extend(other),
            },
            (letter, false) => out.push(letter),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_table_is_described() {
        let descriptions = Descriptions::load();
        for of in api::schema::Schema::types() {
            let found = descriptions.lines(of.name()).unwrap_or_else(|| panic!("{} is not described", of.name()));
            let fields: Vec<&str> = found
                .lines()
                .skip(1)
                .take_while(|line| line.starts_with('\t'))
                .filter_map(|line| line[1..].split('\t').next())
                .collect();
            assert_eq!(fields, of.fields().iter().map(|field| field.name()).collect::<Vec<_>>(), "{}", of.name());
        }
    }

    #[test]
    fn finds_types_and_fields() {
        let descriptions = Descriptions::load();
        let pod = "io.k8s.api.core.v1.Pod";
        assert!(
            descriptions.of_type(pod).text.starts_with("Pod is a collection of containers that can run on a host.")
        );
        assert!(
            descriptions.of_field(pod, "spec").text.starts_with("Specification of the desired behavior of the pod.")
        );
        assert_eq!(descriptions.of_field(pod, "speck"), Description::default());
        assert_eq!(descriptions.of_type("io.k8s.Nothing"), Description::default());
        let revision = descriptions.of_field("io.k8s.api.apps.v1.ControllerRevision", "data");
        assert_eq!(revision.reference, "io.k8s.apimachinery.pkg.runtime.RawExtension");
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescaped(r"one\ntwo\\n\tx"), "one\ntwo\\n\tx");
    }
}
