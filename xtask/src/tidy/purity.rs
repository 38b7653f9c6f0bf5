//! The deciding parts of Gantry are pure: no `.await`, no clock, no randomness, no I/O.
//!
//! What they need of these comes in as an argument, so that a decision can be tested as data and replayed from a seed.
//! The check sees through imports and renames and into the arguments of macros. It cannot see through a call of an
//! impure function elsewhere, unless its name ends as a clock's or a generator's does. Test code is exempt.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::Item;
use syn::visit::{self, Visit};

use super::Finding;
use super::syntax::{self, Aliases, Import, Seen, Source, imports, is_for_tests, line, parts, scan};

/// Files that are pure from start to end, by how their paths begin.
const PURE: &[&str] = &[
    // tidy: sorted
    "api/src/",
    "kubelet/src/admission/",
    "kubelet/src/cgroups/cpu.rs",
    "kubelet/src/cgroups/layout.rs",
    "kubelet/src/cgroups/limits.rs",
    "kubelet/src/containers/",
    "kubelet/src/hollow/plan",
    "kubelet/src/pod_plan",
    "proxy/src/dns/answer.rs",
    "proxy/src/dns/names.rs",
    "proxy/src/rules",
    "scheduler/src/cycle",
    "scheduler/src/plugins.rs",
    "scheduler/src/plugins/",
    // tidy: end
];

/// Where only the functions of the name `PURE_FUNCTION` are.
const PURE_FUNCTIONS_BELOW: &str = "controller-manager/src/";
const PURE_FUNCTION: &str = "reconcile";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Impurity {
    Async,
    Clock,
    Randomness,
    Io,
}

impl Impurity {
    fn advice(self) -> &'static str {
        match self {
            Self::Async => "is asynchronous: decide here, wait outside",
            Self::Clock => "depends on the clock: take the time as an argument",
            Self::Randomness => "is random: take the value or a seeded generator as an argument",
            Self::Io => "reaches outside: take the data as an argument and return what to do",
        }
    }
}

use Impurity::{Clock, Io, Randomness};

/// What is impure together with everything below it.
const IMPURE_BELOW: &[(&str, Impurity)] = &[
    // tidy: sorted
    ("etcd_client", Io),
    ("fastrand", Randomness),
    ("getrandom", Randomness),
    ("hyper", Io),
    ("jiff::tz::TimeZone::system", Io),
    ("libc", Io),
    ("nix", Io),
    ("rand::fill", Randomness),
    ("rand::random", Randomness),
    ("rand::random_bool", Randomness),
    ("rand::random_iter", Randomness),
    ("rand::random_range", Randomness),
    ("rand::random_ratio", Randomness),
    ("rand::rng", Randomness),
    ("redb", Io),
    ("reqwest", Io),
    ("rustix", Io),
    ("std::env", Io),
    ("std::fs", Io),
    ("std::io::stderr", Io),
    ("std::io::stdin", Io),
    ("std::io::stdout", Io),
    ("std::net", Io),
    ("std::os", Io),
    ("std::process", Io),
    ("std::thread", Io),
    ("std::time::Instant", Clock),
    ("std::time::SystemTime", Clock),
    ("tempfile", Io),
    ("tokio", Io),
    ("tokio::time", Clock),
    // tidy: end
];

/// Addresses are values: parsing and comparing them reaches nowhere.
const PURE_BELOW: &[&str] = &[
    // tidy: sorted
    "std::net::AddrParseError",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV4",
    "std::net::SocketAddrV6",
    // tidy: end
];

/// What is impure whatever it belongs to, if it belongs to something: `Utc::now`, `Uuid::new_v4`, `rand::thread_rng`.
const IMPURE_LAST: &[(&str, Impurity)] = &[
    // tidy: sorted
    ("OsRng", Randomness),
    ("RandomState", Randomness),
    ("SysRng", Randomness),
    ("ThreadRng", Randomness),
    ("from_entropy", Randomness),
    ("from_os_rng", Randomness),
    ("new_v1", Randomness),
    ("new_v4", Randomness),
    ("new_v6", Randomness),
    ("new_v7", Randomness),
    ("now", Clock),
    ("now_local", Clock),
    ("now_utc", Clock),
    ("now_v1", Randomness),
    ("now_v6", Randomness),
    ("now_v7", Randomness),
    ("thread_rng", Randomness),
    ("try_from_os_rng", Randomness),
    // tidy: end
];

const IMPURE_MACROS: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];

/// Finds what is impure where nothing may be.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().filter(|source| !source.test).flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let whole = PURE.iter().any(|start| source.path.starts_with(start));
    if !whole && !source.path.starts_with(PURE_FUNCTIONS_BELOW) {
        return Vec::new();
    }
    let aliases = Aliases::of(&source.file, false);
    let mut visitor = Purity { source, aliases, pure: whole, seen: BTreeSet::new(), findings: Vec::new() };
    visitor.visit_file(&source.file);
    visitor.findings
}

struct Purity<'a> {
    source: &'a Source,
    aliases: Aliases,
    /// Whether what is being visited has to be pure.
    pure: bool,
    /// Names that a finding was made of, by line: one finding a line for each is enough.
    seen: BTreeSet<(usize, String)>,
    findings: Vec<Finding>,
}

impl Purity<'_> {
    fn find(&mut self, span: Span, what: &str, impurity: Impurity) {
        if self.pure && self.seen.insert((line(span), what.to_owned())) {
            let message = format!("`{what}` {}", impurity.advice());
            self.findings.push(Finding::new(&self.source.path, line(span), message));
        }
    }

    fn path(&mut self, path: &[String], span: Span) {
        let full = self.aliases.expand(path);
        if let Some(impurity) = impurity(&full) {
            self.find(span, &full.join("::"), impurity);
        }
    }

    fn macro_call(&mut self, path: &[String], span: Span) {
        match path.last() {
            Some(name) if IMPURE_MACROS.contains(&name.as_str()) => self.find(span, &format!("{name}!"), Io),
            _ => self.path(path, span),
        }
    }

    /// Visits a function, which is pure if its name says so.
    fn function(&mut self, name: &syn::Ident, visit: impl FnOnce(&mut Self)) {
        let outer = self.pure;
        self.pure |= name == PURE_FUNCTION;
        visit(self);
        self.pure = outer;
    }
}

impl<'ast> Visit<'ast> for Purity<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(syntax::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for Import { path, name, span } in imports(&item.tree) {
            let found = if name.is_none() { impurity_below(&path) } else { impurity(&path) };
            if let Some(impurity) = found {
                let glob = if name.is_none() { "::*" } else { "" };
                self.find(span, &format!("{}{glob}", path.join("::")), impurity);
            }
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig.ident, |this| visit::visit_item_fn(this, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            self.function(&function.sig.ident, |this| visit::visit_impl_item_fn(this, function));
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.function(&function.sig.ident, |this| visit::visit_trait_item_fn(this, function));
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(word) = &signature.asyncness {
            self.find(word.span, &format!("async fn {}", signature.ident), Impurity::Async);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.find(block.async_token.span, "async", Impurity::Async);
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        if let Some(word) = &closure.asyncness {
            self.find(word.span, "async", Impurity::Async);
        }
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.find(expression.await_token.span, ".await", Impurity::Async);
        visit::visit_expr_await(self, expression);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "elapsed" && call.args.is_empty() {
            self.find(call.method.span(), ".elapsed()", Clock);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            self.path(&parts(path), first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(first) = call.path.segments.first() {
            self.macro_call(&parts(&call.path), first.ident.span());
        }
        scan(&call.tokens, &mut |seen, span| match seen {
            Seen::Path(path) => self.path(&path, span),
            Seen::Macro(path) => self.macro_call(&path, span),
            Seen::Async => self.find(span, "async", Impurity::Async),
            Seen::Attribute(_) => {}
        });
    }
}

/// What is impure about a path written in full.
fn impurity(path: &[String]) -> Option<Impurity> {
    let whole = path.join("::");
    // Naming the module alone does nothing, and its values are pure.
    if whole == "std::net" || PURE_BELOW.iter().any(|pure| is_below(&whole, pure)) {
        return None;
    }
    let below = IMPURE_BELOW.iter().rev().find(|(start, _)| is_below(&whole, start));
    let last = path.last().filter(|_| path.len() > 1);
    let by_name = || IMPURE_LAST.iter().find(|(name, _)| last.is_some_and(|last| last == name));
    below.or_else(by_name).map(|(_, impurity)| *impurity)
}

/// What is impure about importing everything below a path: what it holds as well as what it is.
fn impurity_below(path: &[String]) -> Option<Impurity> {
    let whole = path.join("::");
    let held = IMPURE_BELOW.iter().find(|(start, _)| is_below(start, &whole) || is_below(&whole, start));
    held.map(|(_, impurity)| *impurity)
}

fn is_below(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests;
