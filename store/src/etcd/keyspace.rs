//! Which of etcd's keys are ours, and which of those are objects.
//!
//! The backend keeps a few keys of its own, inside the watched range so that a change of them moves the watch on, and
//! below a segment that no API group can be named, so that they never meet an object.

use crate::key::{Key, Prefix};

/// The segment below the prefix that the backend's own keys stand under. API groups are DNS names, which do not begin
/// with a dot.
const OWN_SEGMENT: &str = ".gantry/";

/// The range of keys that a backend works in.
pub(super) struct Keyspace {
    prefix: Prefix,
    own: String,
}

impl Keyspace {
    pub(super) fn new(prefix: Prefix) -> Self {
        let own = format!("{}{OWN_SEGMENT}", prefix.as_str());
        Keyspace { prefix, own }
    }

    /// The first text of the range.
    pub(super) fn start(&self) -> &str {
        self.prefix.as_str()
    }

    /// The first text after the range.
    pub(super) fn end(&self) -> String {
        self.prefix.end()
    }

    /// The one key that barriers are written to. All servers share it: each barrier is a revision, not a value, so that
    /// one key does for any number of servers and nothing is left to clean up after one that died.
    pub(super) fn barrier(&self) -> String {
        format!("{}barrier", self.own)
    }

    /// The key that says through which revision etcd was last compacted.
    pub(super) fn compaction(&self) -> String {
        format!("{}compaction", self.own)
    }

    /// Whether objects may be written under `key`.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.prefix.contains(key) && !key.as_str().starts_with(&self.own)
    }

    /// The key of an object, if `raw` is one: neither the backend's own nor something that another program put here and
    /// that is no key of ours.
    pub(super) fn object(&self, raw: &[u8]) -> Option<Key> {
        if raw.starts_with(self.own.as_bytes()) {
            return None;
        }
        let key = std::str::from_utf8(raw).ok().and_then(|text| Key::new(text).ok());
        if key.is_none() {
            tracing::warn!(key = %raw.escape_ascii(), "ignoring a key in etcd that is not a path");
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_outside_the_own_keys_are_objects() {
        let keyspace = Keyspace::new(Prefix::new("/registry/").unwrap());
        let barrier = keyspace.barrier();
        let compaction = keyspace.compaction();
        let cases: &[(&[u8], bool)] = &[
            (b"/registry/core/pods/default/web-0", true),
            (b"/registry/gantry.dev/things/a", true),
            (b"/registry/.gantryish/a", true),
            (barrier.as_bytes(), false),
            (compaction.as_bytes(), false),
            (b"/registry//x", false),
            (b"/registry/x/", false),
            (b"/registry/\xff", false),
            (b"/registry/a\nb", false),
        ];
        for (raw, expected) in cases {
            assert_eq!(keyspace.object(raw).is_some(), *expected, "{}", raw.escape_ascii());
        }
        let holds = |text: &str| keyspace.holds(&Key::new(text).unwrap());
        assert!(holds("/registry/core/pods/default/web-0"));
        assert!(!holds(&barrier));
        assert!(!holds("/elsewhere/a"));
    }

    #[test]
    fn own_keys_are_inside_the_watched_range() {
        for prefix in ["/", "/registry/", "/a/b/"] {
            let keyspace = Keyspace::new(Prefix::new(prefix).unwrap());
            for own in [keyspace.barrier(), keyspace.compaction()] {
                assert!(own.as_str() >= keyspace.start() && own < keyspace.end(), "{own}");
            }
        }
    }
}
