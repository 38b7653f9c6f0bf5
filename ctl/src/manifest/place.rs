//! Where in a text something is: shown with the file, the line and column, the line itself and a mark below what is meant.
//!
//! Paths are those of the API's errors: `spec.containers[0].image`, `metadata.labels[app]`. What a path leads to that a text
//! does not have is missing there, and what is nearest on the way to it is shown.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// How much of a line is shown. What is behind it says nothing more of where it is.
const LONGEST_LINE: usize = 160;

/// The text that an object was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The file, as it was named.
    pub(super) source: String,
    /// The document, behind as many empty lines as are before it in the file.
    pub(super) text: Arc<str>,
    /// Which of its items the object is, of lists in lists; none if it is the whole document.
    pub(super) items: Vec<usize>,
}

impl Origin {
    /// Of a text that is one document.
    pub(crate) fn whole(source: &str, text: &str) -> Origin {
        Origin { source: source.to_owned(), text: text.into(), items: Vec::new() }
    }

    /// The same in a file where so many more lines stand above it.
    pub(crate) fn below(&self, lines: usize, source: &str) -> Origin {
        let text = format!("{}{}", "\n".repeat(lines), self.text);
        Origin { source: source.to_owned(), text: text.into(), items: self.items.clone() }
    }

    /// Shows where what a path leads to is. Nothing if the text says nothing of it.
    pub(crate) fn show(&self, path: &str) -> Option<String> {
        let root = self.read()?;
        let mut steps: Vec<Step> =
            self.items.iter().flat_map(|item| [Step::named("items"), Step::Item(*item)]).collect();
        steps.extend(Step::of_path(path)?);
        let mut at = (root.referenced, &root.value);
        for step in &steps {
            let Some(next) = at.1.step(step) else { break };
            at = next;
        }
        self.shown(at.0, path)
    }

    /// The same of a patch, which says only what changes: nothing if that is not what the path is about.
    pub(crate) fn show_in_patch(&self, path: &str, kind: Patch) -> Option<String> {
        let (root, steps) = (self.read()?, Step::of_path(path)?);
        let at = match kind {
            Patch::Strategic | Patch::Merge => root.value.in_patch(root.referenced, &steps, kind)?,
            Patch::Json => root.value.in_operations(&steps)?,
        };
        self.shown(at, path)
    }

    fn read(&self) -> Option<Spanned<Node>> {
        serde_saphyr::from_str_with_options(&self.text, super::options()).ok()
    }

    fn shown(&self, at: Location, path: &str) -> Option<String> {
        let (line, column) = (usize::try_from(at.line()).ok()?, usize::try_from(at.column()).ok()?);
        Some(format!("{}:{line}:{column}: {path}\n{}", self.source, marked(&self.text, line, column)?))
    }
}

/// How a patch says what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patch {
    /// Lists may have some of the items only, in another order than the object.
    Strategic,
    /// Lists are whole.
    Merge,
    /// A list of operations.
    Json,
}

/// A line with its number, and a mark below a column of it; both are counted from 1.
pub(super) fn marked(text: &str, line: usize, column: usize) -> Option<String> {
    let shown = text.lines().nth(line.checked_sub(1)?)?;
    let shown: String = shown.chars().take(LONGEST_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let number = line.to_string();
    let (gap, before) = (" ".repeat(number.len()), " ".repeat(column.saturating_sub(1).min(LONGEST_LINE)));
    Some(format!("  {number} | {}\n  {gap} | {before}^", shown.trim_end()))
}

/// The path of what begins in a line, by the indentation of those above it, as far as they are keys of blocks.
pub(super) fn path_above(text: &str, line: usize) -> String {
    let above: Vec<&str> = text.lines().take(line.saturating_sub(1)).collect();
    let depth = |text: &str| text.len() - text.trim_start_matches([' ', '-']).len();
    let mut least = text.lines().nth(line.saturating_sub(1)).map_or(0, depth);
    let mut path = Vec::new();
    for text in above.iter().rev() {
        let bare = text.trim_start_matches([' ', '-']);
        let is_key = bare.split('#').next().is_some_and(|text| text.trim_end().ends_with(':'));
        if depth(text) < least && is_key {
            least = depth(text);
            path.push(bare.split(':').next().unwrap_or_default().trim_matches(['"', '\'']));
        }
    }
    path.reverse();
    path.join(".")
}

/// A value of a text, with where each of its parts is.
enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Text(String),
    Plain,
}

impl Node {
    fn step(&self, step: &Step) -> Option<(Location, &Node)> {
        let next = match (self, step) {
            (Node::Map(fields), Step::Field(name)) => {
                fields.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            (Node::List(items), Step::Item(at)) => items.get(*at),
            _ => None,
        };
        next.map(|next| (next.referenced, &next.value))
    }

    /// Where in this part of a patch the steps lead; nothing if not even the first one does.
    fn in_patch(&self, start: Location, steps: &[Step], kind: Patch) -> Option<Location> {
        let (mut at, mut node) = (start, self);
        for (index, step) in steps.iter().enumerate() {
            let next = match (node, step) {
                // Which of them it is nobody can know, unless there is only one.
                (Node::List(items), Step::Item(_)) if kind == Patch::Strategic => {
                    items.first().filter(|_| items.len() == 1).map(|item| (item.referenced, &item.value))
                }
                _ => node.step(step),
            };
            match next {
                Some(next) => (at, node) = next,
                None if index == 0 => return None,
                None => break,
            }
        }
        Some(at)
    }

    /// Where the last operation is that writes what the steps lead to, or a part of it.
    fn in_operations(&self, steps: &[Step]) -> Option<Location> {
        let Node::List(operations) = self else { return None };
        operations.iter().rev().find_map(|operation| {
            let (at, Node::Text(pointer)) = operation.value.step(&Step::named("path"))? else { return None };
            let pointer: Vec<String> =
                pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
            let is_same = steps.iter().zip(&pointer).all(|(step, part)| step.is_called(part));
            let rest = steps.get(pointer.len()..).unwrap_or_default();
            match operation.value.step(&Step::named("value")) {
                _ if !is_same || steps.is_empty() => None,
                Some((start, value)) if steps.len() >= pointer.len() => {
                    Some(value.in_patch(start, rest, Patch::Merge).unwrap_or(start))
                }
                _ => Some(at),
            }
        })
    }
}

/// From a value to one in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

impl Step {
    fn named(name: &str) -> Step {
        Step::Field(name.to_owned())
    }

    /// Whether a part of a JSON pointer is this step: `-` is behind the last item.
    fn is_called(&self, part: &str) -> bool {
        match self {
            Step::Field(name) => name == part,
            Step::Item(at) => part == "-" || part == at.to_string(),
        }
    }

    /// The steps of a path of the API's; nothing if it is none.
    fn of_path(path: &str) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        let mut rest = path;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (inside, behind) = inner.split_once(']')?;
                steps.push(inside.parse().map_or_else(|_| Step::named(inside), Step::Item));
                rest = behind;
                continue;
            }
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            if name.is_empty() {
                return None;
            }
            steps.push(Step::named(name));
            rest = behind;
        }
        Some(steps)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Node::Map(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Plain)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Plain)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Plain)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Plain)
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Plain)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Plain)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_api_are_taken_apart() {
        let check = |path: &str, expected: Option<&[Step]>| {
            assert_eq!(Step::of_path(path).as_deref(), expected, "{path}");
        };
        let (spec, item) = (Step::named("spec"), Step::Item(0));
        check("spec", Some(std::slice::from_ref(&spec)));
        check("spec.a[0].b", Some(&[spec.clone(), Step::named("a"), item, Step::named("b")]));
        check("spec[app.kubernetes.io/name]", Some(&[spec, Step::named("app.kubernetes.io/name")]));
        check("", Some(&[]));
        check("spec..a", None);
        check("spec[0", None);
    }

    #[test]
    fn fields_are_shown_where_they_are() {
        let check = |text: &str, items: &[usize], path: &str, expected: &str| {
            let origin = Origin { items: items.to_vec(), ..Origin::whole("f.yaml", text) };
            assert_eq!(origin.show(path).unwrap_or_default(), expected, "{path} in {text}");
        };
        let text = "\nspec:\n  replicas: -1\n  containers:\n  - name: a\n    image: 'b'\n";
        check(text, &[], "spec.replicas", "f.yaml:3:13: spec.replicas\n  3 |   replicas: -1\n    |             ^");
        check(
            text,
            &[],
            "spec.containers[0].image",
            "f.yaml:6:12: spec.containers[0].image\n  6 |     image: 'b'\n    |            ^",
        );
        // What is not there is missing in what is.
        check(
            text,
            &[],
            "spec.containers[0].ports[0].containerPort",
            "f.yaml:5:5: spec.containers[0].ports[0].containerPort\n  5 |   - name: a\n    |     ^",
        );
        check(
            "{\"spec\": {\"replicas\": -1}}",
            &[],
            "spec.replicas",
            "f.yaml:1:23: spec.replicas\n  1 | {\"spec\": {\"replicas\": -1}}\n    |                       ^",
        );
        check("items:\n- a: 1\n- a: 2\n", &[1], "a", "f.yaml:3:6: a\n  3 | - a: 2\n    |      ^");
        check(text, &[], "<nil>[", "");
    }

    #[test]
    fn fields_are_shown_below_other_lines() {
        let shown = Origin::whole("f.yaml", "a: 1\nb: 2\n").below(9, "g.yaml").show("b");
        assert_eq!(shown.as_deref(), Some("g.yaml:11:4: b\n  11 | b: 2\n     |    ^"));
    }

    #[test]
    fn fields_are_shown_where_a_patch_says_them() {
        let check = |kind: Patch, text: &str, path: &str, column: Option<usize>| {
            let found = Origin::whole("p", text).show_in_patch(path, kind);
            let expected = column.map(|column| format!("p:1:{column}: {path}"));
            assert_eq!(found.as_ref().and_then(|found| found.lines().next()), expected.as_deref(), "{path} in {text}");
        };
        use Patch::{Json, Merge, Strategic};
        check(Strategic, "{\"spec\":{\"replicas\":-1}}", "spec.replicas", Some(21));
        check(Strategic, "{\"spec\":{\"replicas\":-1}}", "spec.selector", Some(9));
        check(Strategic, "{\"spec\":{\"replicas\":-1}}", "metadata.name", None);
        // The second container of the object is the only one of the patch.
        check(Strategic, "{a: [{b: 1}]}", "a[1].b", Some(10));
        check(Strategic, "{a: [{b: 1}, {b: 2}]}", "a[1].b", Some(5));
        check(Merge, "{a: [{b: 1}, {b: 2}]}", "a[1].b", Some(18));
        let operation = "[{op: replace, path: /a/0/b~1c, value: {d: 1}}]";
        check(Json, operation, "a[0][b/c].d", Some(44));
        check(Json, operation, "a[0][b/c]", Some(40));
        check(Json, operation, "a", Some(22));
        check(Json, operation, "b", None);
        check(Json, "[{op: remove, path: /a}]", "a", Some(21));
        check(Json, "{a: 1}", "a", None);
    }

    #[test]
    fn a_line_is_shown_with_what_it_is_in() {
        let text = "spec:\n  template:\n    spec:\n      containers:\n      - name: a\n       image: b\n";
        assert_eq!(path_above(text, 6), "spec.template.spec.containers");
        assert_eq!(path_above("a: 1\nb: [\n", 2), "");
        assert_eq!(path_above("data:\n  a: \"x\n  b: y\n", 3), "data");
    }
}
