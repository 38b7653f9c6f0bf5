//! Rust sources as the checks see them: which parts are test code, and which full path a name stands for.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, LineColumn, Spacing, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree};

use super::Finding;

/// One parsed file.
pub(crate) struct Source {
    /// Relative to the workspace's root.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) text: String,
    /// The content, parsed.
    pub(crate) file: syn::File,
    /// Whether all of it is test code: it lies below `tests/` or `benches/`, is called `tests.rs`, or is a module that
    /// only tests are built with.
    pub(crate) test: bool,
}

impl Source {
    /// Parses the text of the file at `path`.
    ///
    /// # Errors
    ///
    /// A finding at the place where the text stops being Rust.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, Finding> {
        let file = syn::parse_file(text)
            .map_err(|error| Finding::new(path, line(error.span()), format!("does not parse: {error}")))?;
        Ok(Self { path: path.to_owned(), text: text.to_owned(), file, test: is_test_path(path) })
    }

    /// Whether a program wrote the file, as its first line says.
    pub(crate) fn is_generated(&self) -> bool {
        self.text.lines().next().is_some_and(|first| first.starts_with("//") && first.contains("@generated"))
    }
}

/// The line that a span starts on, counted from 1.
pub(crate) fn line(span: Span) -> usize {
    let LineColumn { line, .. } = span.start();
    line.max(1)
}

/// Whether what carries these attributes is built for tests only: `#[cfg(test)]`, or a test function.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.is_ident("cfg") {
            return attribute.parse_args::<Meta>().is_ok_and(|condition| implies_test(&condition));
        }
        path.segments.last().is_some_and(|last| last.ident == "test")
    })
}

/// The attributes of an item of any kind.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Modules in files of their own that are declared `#[cfg(test)]`, as paths without `.rs`.
pub(crate) fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
    let (directory, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let below = if matches!(name, "lib" | "main" | "mod") { directory } else { stem };
    let declared = source.file.items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && is_for_tests(&module.attrs) => Some(&module.ident),
        _ => None,
    });
    declared.map(|name| format!("{below}/{name}")).collect()
}

/// Whether the file at `path` is the module's own or lies below it.
pub(crate) fn belongs_to(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// One name brought in by a `use`, as the full path that it stands for.
pub(crate) struct Import {
    /// The path's parts, `core` and `alloc` written as `std`.
    pub(crate) path: Vec<String>,
    /// What it is called here; `None` for a glob.
    pub(crate) name: Option<String>,
    /// Where it is written.
    pub(crate) span: Span,
}

/// The imports of one `use` tree, groups and nested groups included.
pub(crate) fn imports(tree: &UseTree) -> Vec<Import> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), tree)];
    while let Some((prefix, tree)) = open.pop() {
        match tree {
            UseTree::Path(path) => open.push((joined(&prefix, &path.ident), &path.tree)),
            UseTree::Group(group) => open.extend(group.items.iter().map(|item| (prefix.clone(), item))),
            UseTree::Glob(glob) => {
                found.push(Import { path: canonical(prefix), name: None, span: glob.star_token.span })
            }
            UseTree::Name(name) if name.ident == "self" => {
                let own = prefix.last().cloned();
                found.push(Import { path: canonical(prefix), name: own, span: name.ident.span() });
            }
            UseTree::Name(name) => {
                let path = canonical(joined(&prefix, &name.ident));
                found.push(Import { path, name: Some(name.ident.to_string()), span: name.ident.span() });
            }
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { prefix } else { joined(&prefix, &rename.ident) };
                let name = Some(rename.rename.to_string());
                found.push(Import { path: canonical(path), name, span: rename.ident.span() });
            }
        }
    }
    found
}

/// What the names of a file stand for, so that `use std::time as t; t::Instant` is seen for what it is.
#[derive(Debug, Default)]
pub(crate) struct Aliases(BTreeMap<String, Vec<String>>);

impl Aliases {
    /// The imports of the file; those of its `#[cfg(test)]` parts only if `with_tests`.
    pub(crate) fn of(file: &syn::File, with_tests: bool) -> Self {
        struct Collect {
            with_tests: bool,
            aliases: Aliases,
        }
        impl<'ast> Visit<'ast> for Collect {
            fn visit_item(&mut self, item: &'ast Item) {
                if self.with_tests || !is_for_tests(attributes(item)) {
                    visit::visit_item(self, item);
                }
            }
            fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
                let named = imports(&item.tree).into_iter().filter_map(|import| Some((import.name?, import.path)));
                self.aliases.0.extend(named);
            }
        }
        let mut collect = Collect { with_tests, aliases: Self::default() };
        collect.visit_file(file);
        collect.aliases
    }

    /// The path in full, as far as this file's imports tell.
    pub(crate) fn expand(&self, path: &[String]) -> Vec<String> {
        let full = path.first().and_then(|first| self.0.get(first)).cloned();
        match full {
            Some(full) => full.into_iter().chain(path[1..].iter().cloned()).collect(),
            None => canonical(path.to_vec()),
        }
    }
}

/// The parts of a path, without its generic arguments.
pub(crate) fn parts(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// What is told apart among the tokens of a macro call, which are not parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// `a::b::c`.
    Path(Vec<String>),
    /// `a::b!`.
    Macro(Vec<String>),
    /// `.await` or `async`.
    Async,
    /// `#[name …]`.
    Attribute(String),
}

/// Calls `see` for everything of interest among the tokens, those inside brackets included.
pub(crate) fn scan(tokens: &TokenStream, see: &mut dyn FnMut(Seen, Span)) {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while let Some(tree) = trees.get(at) {
        match tree {
            TokenTree::Group(group) => {
                let after_hash = at > 0 && is_punct(trees.get(at - 1), '#');
                if let Some(TokenTree::Ident(name)) = group.stream().into_iter().next()
                    && after_hash
                    && group.delimiter() == Delimiter::Bracket
                {
                    see(Seen::Attribute(name.to_string()), name.span());
                }
                scan(&group.stream(), see);
            }
            TokenTree::Ident(first) if first == "async" || first == "await" => see(Seen::Async, first.span()),
            TokenTree::Ident(first) => {
                let mut path = vec![first.to_string()];
                while let Some(TokenTree::Ident(next)) = after_colons(&trees, at) {
                    path.push(next.to_string());
                    at += 3;
                }
                let is_macro = is_punct(trees.get(at + 1), '!') && !is_punct(trees.get(at + 2), '=');
                see(if is_macro { Seen::Macro(path) } else { Seen::Path(path) }, first.span());
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

fn after_colons(trees: &[TokenTree], at: usize) -> Option<&TokenTree> {
    let joint = matches!(trees.get(at + 1), Some(TokenTree::Punct(p)) if p.spacing() == Spacing::Joint);
    let colons = joint && is_punct(trees.get(at + 1), ':') && is_punct(trees.get(at + 2), ':');
    if colons { trees.get(at + 3) } else { None }
}

fn is_punct(tree: Option<&TokenTree>, character: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_test_path(path: &str) -> bool {
    let mut parts = path.split('/').rev();
    parts.next() == Some("tests.rs") || parts.any(|directory| directory == "tests" || directory == "benches")
}

/// `any(test, …)` also builds without tests, `not(test)` only so: neither counts.
fn implies_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => {
            let mut found = false;
            let parsed = list.parse_nested_meta(|nested| {
                found |= nested.path.is_ident("test");
                // What follows the name, `= "value"` or `(…)`, is of no interest but has to be read.
                if nested.input.peek(syn::token::Paren) {
                    let inside;
                    syn::parenthesized!(inside in nested.input);
                    inside.parse::<TokenStream>()?;
                } else if nested.input.peek(syn::Token![=]) {
                    nested.value()?.parse::<syn::Lit>()?;
                }
                Ok(())
            });
            parsed.is_ok() && found
        }
        _ => false,
    }
}

fn joined(prefix: &[String], name: &syn::Ident) -> Vec<String> {
    prefix.iter().cloned().chain([name.to_string()]).collect()
}

fn canonical(mut path: Vec<String>) -> Vec<String> {
    if let Some(first) = path.first_mut()
        && (first == "core" || first == "alloc")
    {
        "std".clone_into(first);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_test_code_by_its_attributes() {
        let check = |attribute: &str, expected: bool| {
            let item: Item = syn::parse_str(&format!("{attribute} fn f() {{}}")).unwrap();
            assert_eq!(is_for_tests(attributes(&item)), expected, "{attribute}");
        };
        check("#[cfg(test)]", true);
        check("#[cfg(all(test, unix))]", true);
        check("#[cfg(all(feature = \"x\", not(windows), test))]", true);
        check("#[test]", true);
        check("#[tokio::test(start_paused = true)]", true);
        check("#[cfg(any(test, unix))]", false);
        check("#[cfg(not(test))]", false);
        check("#[cfg(feature = \"test\")]", false);
        check("#[inline]", false);
    }

    #[test]
    fn knows_test_code_by_its_path() {
        let check = |path: &str, expected: bool| assert_eq!(is_test_path(path), expected, "{path}");
        check("tests/src/lib.rs", true);
        check("api/tests/patch.rs", true);
        check("store/benches/commit.rs", true);
        check("api/src/selector/tests.rs", true);
        check("api/src/tests/cases.rs", true);
        check("api/src/contests/a.rs", false);
        check("api/src/tests_of_mettle.rs", false);
    }

    #[test]
    fn expands_names_by_the_imports() {
        let file = syn::parse_file(
            "use std::{fs::{self, File as F}, time as t}; use core::fmt; use tokio as rt; \
             #[cfg(test)] mod tests { use std::time::Instant; }",
        )
        .unwrap();
        let aliases = Aliases::of(&file, false);
        let check = |path: &str, expected: &str| {
            let path: Vec<String> = path.split("::").map(str::to_owned).collect();
            assert_eq!(aliases.expand(&path).join("::"), expected);
        };
        check("fs::read", "std::fs::read");
        check("F", "std::fs::File");
        check("t::Instant", "std::time::Instant");
        check("fmt::Debug", "std::fmt::Debug");
        check("core::mem::take", "std::mem::take");
        check("rt::time::sleep", "tokio::time::sleep");
        check("Instant", "Instant");
        check("crate::fs", "crate::fs");
    }

    #[test]
    fn tells_tokens_apart() {
        let tokens: TokenStream = "a::b(c.await, x != y) println!(\"{}\", d) #[ignore] fn".parse().expect("tokens");
        let mut seen = Vec::new();
        scan(&tokens, &mut |what, _| seen.push(what));
        let path = |path: &str| Seen::Path(path.split("::").map(str::to_owned).collect());
        assert!(seen.contains(&path("a::b")));
        assert!(seen.contains(&path("x")));
        assert!(seen.contains(&path("d")));
        assert!(seen.contains(&Seen::Async));
        assert!(seen.contains(&Seen::Macro(vec!["println".to_owned()])));
        assert!(seen.contains(&Seen::Attribute("ignore".to_owned())));
    }
}
