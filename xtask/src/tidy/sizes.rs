//! A file has at most 500 lines of code (800 if it is test code), a function at most 70.
//!
//! A line of code is one with a token on it: blank lines, comments and doc comments are free, and so are
//! `#[cfg(test)]` modules in a file that is otherwise not test code. Generated files are not measured.
//! The few files that are larger stand in `exceptions.txt`, each with its limit, and a limit only ever goes down.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::Block;
use syn::visit::{self, Visit};

use super::Finding;
use super::syntax::{Source, is_for_tests, line};
use super::workspace::Workspace;

const FILE: usize = 500;
const TEST_FILE: usize = 800;
const FUNCTION: usize = 70;
const EXCEPTIONS: &str = "xtask/src/tidy/exceptions.txt";

/// Finds what is too long, and exceptions that are no longer needed.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let text = workspace.files.iter().find(|file| file.path == EXCEPTIONS).map_or("", |file| &file.text);
    let (exceptions, mut findings) = exceptions(text);
    let measured: Vec<Measured<'_>> = workspace.sources.iter().filter(|s| !s.is_generated()).map(measure).collect();
    for file in &measured {
        let exception = exceptions.iter().find(|exception| exception.path == file.source.path);
        let limit = exception.map_or(0, |exception| exception.limit).max(file.standard());
        if file.lines > limit {
            let message = format!("{} lines of code, {limit} at most: split it by subject", file.lines);
            findings.push(Finding::new(&file.source.path, 1, message));
        }
        findings.extend(file.functions.iter().filter(|function| function.lines > FUNCTION).map(|function| {
            let (name, lines) = (&function.name, function.lines);
            let message = format!("`{name}` has {lines} lines of code, {FUNCTION} at most: split it into steps");
            Finding::new(&file.source.path, function.line, message)
        }));
    }
    for exception in &exceptions {
        let file = measured.iter().find(|file| file.source.path == exception.path);
        findings.extend(exception.outdated(file).map(|message| Finding::new(EXCEPTIONS, exception.line, message)));
    }
    findings
}

struct Exception<'a> {
    line: usize,
    path: &'a str,
    limit: usize,
}

impl Exception<'_> {
    /// Why the entry cannot stay as it is.
    fn outdated(&self, file: Option<&Measured<'_>>) -> Option<String> {
        let Self { path, limit, .. } = self;
        match file {
            None => Some(format!("there is no file {path} to measure: remove this line")),
            Some(file) if file.lines <= file.standard() => {
                Some(format!("{path} needs no exception, with {} lines of code: remove this line", file.lines))
            }
            Some(file) if file.lines < *limit => {
                Some(format!("{path} has become smaller: write `{path} {}`", file.lines))
            }
            Some(_) => None,
        }
    }
}

/// Reads `path limit` lines, sorted by path. Lines that start with `#` are comments.
fn exceptions(text: &str) -> (Vec<Exception<'_>>, Vec<Finding>) {
    let (mut read, mut findings) = (Vec::<Exception<'_>>::new(), Vec::new());
    for (line, entry) in
        (1..).zip(text.lines()).filter(|(_, entry)| !entry.trim().is_empty() && !entry.starts_with('#'))
    {
        let parsed = entry.split_once(' ').and_then(|(path, limit)| Some((path, limit.trim().parse().ok()?)));
        let Some((path, limit)) = parsed else {
            findings.push(Finding::new(EXCEPTIONS, line, "write a path, a space and a number of lines"));
            continue;
        };
        if read.last().is_some_and(|last| last.path >= path) {
            findings.push(Finding::new(
                EXCEPTIONS,
                line,
                format!("{path} is out of order or here twice: keep it sorted"),
            ));
        }
        read.push(Exception { line, path, limit });
    }
    (read, findings)
}

struct Measured<'a> {
    source: &'a Source,
    lines: usize,
    functions: Vec<Function>,
}

impl Measured<'_> {
    fn standard(&self) -> usize {
        if self.source.test { TEST_FILE } else { FILE }
    }
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

fn measure(source: &Source) -> Measured<'_> {
    let mut code = code_lines(&source.text);
    let mut visitor = Extents { code: &code, functions: Vec::new(), test_modules: Vec::new() };
    visitor.visit_file(&source.file);
    let Extents { functions, test_modules, .. } = visitor;
    if !source.test {
        code.retain(|line| !test_modules.iter().any(|module| module.contains(line)));
    }
    Measured { source, lines: code.len(), functions }
}

struct Extents<'a> {
    code: &'a BTreeSet<usize>,
    functions: Vec<Function>,
    test_modules: Vec<RangeInclusive<usize>>,
}

impl Extents<'_> {
    fn function(&mut self, signature: &syn::Signature, body: &Block) {
        let start = line(signature.fn_token.span);
        let lines = self.code.range(start..=last_line(body.brace_token.span.close())).count();
        self.functions.push(Function { name: signature.ident.to_string(), line: start, lines });
    }
}

impl<'ast> Visit<'ast> for Extents<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if let (Some(first), Some((braces, _)), true) =
            (module.attrs.first(), &module.content, is_for_tests(&module.attrs))
        {
            self.test_modules.push(line(first.pound_token.span)..=last_line(braces.span.close()));
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.function(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// The lines that have code on them. The text has been parsed before, so it does fall into tokens.
fn code_lines(text: &str) -> BTreeSet<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = BTreeSet::new();
    let mut open = vec![text.parse::<TokenStream>().unwrap_or_default()];
    while let Some(tokens) = open.pop() {
        for token in tokens {
            if is_comment(&lines, token.span()) {
                continue;
            }
            if let TokenTree::Group(group) = token {
                found.extend([line(group.span_open()), line(group.span_close())]);
                open.push(group.stream());
            } else {
                let span = token.span();
                found.extend(line(span)..=last_line(span));
            }
        }
    }
    found.retain(|line| lines.get(line - 1).is_some_and(|text| !text.trim().is_empty()));
    found
}

/// Doc comments become attribute tokens that all carry the place of the comment.
fn is_comment(lines: &[&str], span: Span) -> bool {
    let start = span.start();
    let rest = lines.get(start.line.saturating_sub(1)).map(|text| text.chars().skip(start.column));
    rest.is_some_and(|mut rest| rest.next() == Some('/') && matches!(rest.next(), Some('/' | '*')))
}

fn last_line(span: Span) -> usize {
    span.end().line.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let found: Vec<String> = super::check(&Workspace::of(files)).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    fn consts(count: usize) -> String {
        "const A: u8 = 1;\n".repeat(count)
    }

    #[test]
    fn counts_lines_of_code_only() {
        let check = |text: &str, expected: usize| assert_eq!(code_lines(text).len(), expected, "{text}");
        check("", 0);
        check("//! Doc.\n\n// Comment.\n/* More\n   of it. */\n", 0);
        check("/// Doc\n/// of two lines.\nfn f() {\n    // why\n\n    g();\n}\n", 3);
        check("/** Doc\n * of it. */\nstruct S;\n", 1);
        check("const S: &str = \"a\n\nb\";\n", 2);
        check("const D: u8 = 4 / 2; // half\n", 1);
        check("#[derive(Debug)]\nstruct S(\n    u8,\n);\n", 4);
        check("fn é() { /* ü */ }\n", 1);
    }

    #[test]
    fn limits_files() {
        check(&[("a.rs", &consts(500)), ("tests/b.rs", &consts(800))], &[]);
        check(&[("a.rs", &consts(501))], &["a.rs:1: 501 lines of code, 500 at most: split it by subject"]);
        check(&[("a/tests.rs", &consts(801))], &["a/tests.rs:1: 801 lines of code, 800 at most: split it by subject"]);
        check(&[("a.rs", &format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", consts(500), consts(900)))], &[]);
        check(&[("a.rs", &format!("// @generated by a program\n{}", consts(900)))], &[]);
    }

    #[test]
    fn limits_functions() {
        let message = |line: usize| format!("a.rs:{line}: `f` has 71 lines of code, 70 at most: split it into steps");
        let function = |lines: usize| format!("fn f() {{\n{}\n    // why\n}}\n", "g();\n".repeat(lines - 2));
        check(&[("a.rs", &function(70))], &[]);
        check(&[("a.rs", &function(71))], &[&message(1)]);
        check(&[("a.rs", &format!("impl S {{\n#[inline]\npub {}}}\n", function(71)))], &[&message(3)]);
        check(&[("a.rs", &format!("trait T {{\n{}}}\n", function(71)))], &[&message(2)]);
        check(&[("a.rs", &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(71)))], &[&message(3)]);
    }

    #[test]
    fn lets_exceptions_only_shrink() {
        let with = |entries: &str, lines: usize, expected: &[&str]| {
            check(&[("a.rs", &consts(lines)), (EXCEPTIONS, entries)], expected);
        };
        let at = |line: usize, message: &str| format!("{EXCEPTIONS}:{line}: {message}");
        with("# Why a.rs is large.\na.rs 510\n", 510, &[]);
        with("a.rs 510\n", 511, &["a.rs:1: 511 lines of code, 510 at most: split it by subject"]);
        with("a.rs 510\n", 505, &[&at(1, "a.rs has become smaller: write `a.rs 505`")]);
        with("a.rs 510\n", 499, &[&at(1, "a.rs needs no exception, with 499 lines of code: remove this line")]);
        with("b.rs 510\n", 1, &[&at(1, "there is no file b.rs to measure: remove this line")]);
        with("a.rs many\n", 1, &[&at(1, "write a path, a space and a number of lines")]);
        let twice = at(2, "a.rs is out of order or here twice: keep it sorted");
        with("a.rs 510\na.rs 510\n", 510, &[&twice]);
    }
}
