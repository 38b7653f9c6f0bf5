//! The path from an object's root to one of its fields.

use std::fmt;

/// A path such as `spec.template.spec.containers[0].image` or `metadata.labels[foo]`.
///
/// Paths are values: every step makes a new one and leaves its parent as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Option<String>);

impl Path {
    /// A path of one field below the root.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Some(name.into()))
    }

    /// The path of something that is no field of an object, such as a query parameter. It renders as `<nil>`, as
    /// upstream's nil path does, and a child of it is a root.
    pub const fn nil() -> Self {
        Self(None)
    }

    /// The field `name` of the value at this path.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        match &self.0 {
            Some(parent) => Self(Some(format!("{parent}.{name}"))),
            None => Self::new(name),
        }
    }

    /// The element at `index` of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(Some(format!("{}[{index}]", self.0.as_deref().unwrap_or_default())))
    }

    /// The entry `key` of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(Some(format!("{}[{key}]", self.0.as_deref().unwrap_or_default())))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("<nil>"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_as_upstream() {
        let cases = [
            (Path::new("root"), "root"),
            (Path::new("root").child("first"), "root.first"),
            (Path::new("root").child("first").child("second"), "root.first.second"),
            (Path::new("root").index(0), "root[0]"),
            (Path::new("root").child("child").index(0), "root.child[0]"),
            (Path::new("root").index(0).child("child"), "root[0].child"),
            (Path::new("root").key("key"), "root[key]"),
            (Path::new("root").key("a").index(1).key("").child("x"), "root[a][1][].x"),
            (Path::nil(), "<nil>"),
            (Path::nil().child("values").index(0).key("k"), "values[0][k]"),
        ];
        for (path, expected) in cases {
            assert_eq!(path.to_string(), expected);
        }
    }

    #[test]
    fn steps_leave_the_parent_as_it_was() {
        let root = Path::new("a").child("b");
        let (x, y) = (root.child("x"), root.index(3));
        assert_eq!((root.to_string(), x.to_string(), y.to_string()), ("a.b".into(), "a.b.x".into(), "a.b[3]".into()));
    }
}
