//! A list between the markers `tidy: sorted` and `tidy: end` is in ascending order and has no entry twice.
//!
//! A marker is a comment on a line of its own (`//` in Rust, `#` elsewhere). Entries are the lines indented as the
//! first one is; deeper lines, closing brackets, attributes and comments belong to the entry that they stand with.

use super::Finding;
use super::workspace::TextFile;

/// Finds what is out of order, and markers without their counterpart.
pub(crate) fn check(files: &[TextFile]) -> Vec<Finding> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Vec<Finding> {
    let comment = if file.path.ends_with(".rs") { "//" } else { "#" };
    let (start, end) = (format!("{comment} tidy: sorted"), format!("{comment} tidy: end"));
    let mut findings = Vec::new();
    let mut open: Option<List<'_>> = None;
    for (line, text) in (1..).zip(file.text.lines()) {
        let trimmed = text.trim();
        if trimmed == start {
            if let Some(list) = open.replace(List::starting(line)) {
                findings.push(list.unclosed(file, &end));
            }
        } else if trimmed == end {
            match open.take() {
                Some(list) => findings.extend(list.findings),
                None => {
                    findings.push(Finding::new(&file.path, line, format!("ends no list: remove it or add `{start}`")));
                }
            }
        } else if let Some(list) = &mut open
            && let Some(message) = list.next(text, comment)
        {
            list.findings.push(Finding::new(&file.path, line, message));
        }
    }
    findings.extend(open.map(|list| list.unclosed(file, &end)));
    findings
}

/// A list that is being read.
struct List<'a> {
    marker: usize,
    indent: Option<usize>,
    last: Option<&'a str>,
    /// Of use only once the list turns out to have an end: without one, all that follows would be out of order.
    findings: Vec<Finding>,
}

impl<'a> List<'a> {
    fn starting(marker: usize) -> Self {
        Self { marker, indent: None, last: None, findings: Vec::new() }
    }

    /// Takes the next line in; says what is wrong with it.
    fn next(&mut self, text: &'a str, comment: &str) -> Option<String> {
        let trimmed = text.trim();
        let is_attribute = comment == "//" && trimmed.starts_with("#[");
        if trimmed.is_empty() || trimmed.starts_with(comment) || is_attribute || trimmed.starts_with([')', ']', '}']) {
            return None;
        }
        let indent = text.len() - text.trim_start().len();
        if indent > *self.indent.get_or_insert(indent) {
            return None;
        }
        let entry = trimmed.trim_end_matches([',', ';', '\\', ' ', '\t']);
        match self.last.replace(entry) {
            Some(last) if last == entry => Some(format!("`{entry}` stands here twice: remove one")),
            Some(last) if last > entry => {
                // The greatest entry so far stays the measure, so that one misplaced line is one finding.
                self.last = Some(last);
                Some(format!("`{entry}` belongs before `{last}`: keep the list sorted"))
            }
            _ => None,
        }
    }

    fn unclosed(self, file: &TextFile, end: &str) -> Finding {
        Finding::new(&file.path, self.marker, format!("starts a list without an end: add `{end}` after it"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Workspace;

    fn check(path: &str, text: &str, expected: &[(usize, &str)]) {
        let findings = super::check(&Workspace::of(&[(path, text)]).files);
        let found: Vec<(usize, &str)> = findings.iter().map(|f| (f.line, f.message.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn accepts_what_is_in_order() {
        check("a.rs", "b\na\n", &[]);
        check("a.rs", "// tidy: sorted\nmod a;\nmod a1;\nmod b;\n// tidy: end\nmod a;\n", &[]);
        check("a.rs", "    // tidy: sorted\n    \"a\",\n\n    // why b\n    \"b\",\n    // tidy: end\n", &[]);
        check("a.rs", "// tidy: sorted\nb => {\n    a\n}\nc => {\n    a\n}\n// tidy: end\n", &[]);
        check("a.rs", "// tidy: sorted\n#[cfg(unix)]\nmod b;\n#[cfg(all())]\nmod c;\n// tidy: end\n", &[]);
        check("Makefile", "# tidy: sorted\nX += gcc\nX += libc6-dev\n# tidy: end\n", &[]);
        check("Cargo.toml", "# tidy: sorted\nserde = \"1\"\nserde_json = \"1\"\n# tidy: end\n", &[]);
    }

    #[test]
    fn finds_what_is_not() {
        let message = "`mod a` belongs before `mod c`: keep the list sorted";
        check("a.rs", "// tidy: sorted\nmod b;\nmod c;\nmod a;\nmod d;\n// tidy: end\n", &[(4, message)]);
        check("a.rs", "// tidy: sorted\na,\na\n// tidy: end\n", &[(3, "`a` stands here twice: remove one")]);
        let message = "`X += a` belongs before `X += b`: keep the list sorted";
        check("Makefile", "# tidy: sorted\nX += b\nX += a\n# tidy: end\n", &[(3, message)]);
    }

    #[test]
    fn finds_markers_that_stand_alone() {
        let open = "starts a list without an end: add `// tidy: end` after it";
        let close = "ends no list: remove it or add `// tidy: sorted`";
        check("a.rs", "// tidy: sorted\nb\na\n", &[(1, open)]);
        check("a.rs", "a\n// tidy: end\n", &[(2, close)]);
        check("a.rs", "// tidy: sorted\nb\n// tidy: sorted\na\n// tidy: end\n", &[(1, open)]);
    }
}
