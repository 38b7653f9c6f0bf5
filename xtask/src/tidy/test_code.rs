//! Tests run, all of them, and none of them waits for time to pass.
//!
//! An ignored test or an unwritten one proves nothing, and a sleep is either too short or too long. Sleeping on tokio's
//! clock is fine where it is paused, and that takes no time: in a function that pauses it, and everywhere in the simulation.

use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, Item, Lit, Meta};

use super::Finding;
use super::syntax::{self, Aliases, Seen, Source, is_for_tests, line, parts, scan};

const IGNORED: &str = "an ignored test proves nothing: make it run or remove it";

/// What only ever runs on a paused clock, by how its path begins.
const SIMULATED: &str = "tests/src/sim/";

/// Finds `#[ignore]`, `todo!`, `unimplemented!` and sleeps in test code.
pub(crate) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(check_source).collect()
}

fn check_source(source: &Source) -> Vec<Finding> {
    let aliases = Aliases::of(&source.file, true);
    let paused = source.path.starts_with(SIMULATED);
    let mut visitor = TestCode { source, aliases, test: source.test, paused, findings: Vec::new() };
    visitor.visit_file(&source.file);
    visitor.findings
}

struct TestCode<'a> {
    source: &'a Source,
    aliases: Aliases,
    /// Whether what is being visited is test code.
    test: bool,
    /// Whether it runs with tokio's clock paused.
    paused: bool,
    findings: Vec<Finding>,
}

impl TestCode<'_> {
    fn find(&mut self, span: Span, message: impl Into<String>) {
        if self.test {
            self.findings.push(Finding::new(&self.source.path, line(span), message));
        }
    }

    fn path(&mut self, path: &[String], span: Span) {
        let full = self.aliases.expand(path);
        let [.., module, name] = full.as_slice() else { return };
        match (module.as_str(), name.as_str()) {
            ("thread", "sleep" | "sleep_ms" | "sleep_until" | "park_timeout") => {
                self.find(span, format!("`thread::{name}` in test code: wait for the condition itself"));
            }
            ("time", "sleep" | "sleep_until") if !self.paused => {
                let message = format!("`time::{name}` in test code: wait for the condition itself, or pause the clock");
                self.find(span, message);
            }
            _ => {}
        }
    }

    fn macro_call(&mut self, path: &[String], span: Span) {
        if let Some(name @ ("todo" | "unimplemented")) = path.last().map(String::as_str) {
            self.find(span, format!("`{name}!` in test code: write it or leave it out"));
        }
    }

    /// Visits a function, what is inside it included, knowing whether its clock stands still.
    fn function(&mut self, attributes: &[Attribute], body: Option<&Block>, visit: impl FnOnce(&mut Self)) {
        let outer = self.paused;
        self.paused |= attributes.iter().any(starts_paused) || body.is_some_and(builds_paused);
        visit(self);
        self.paused = outer;
    }
}

impl<'ast> Visit<'ast> for TestCode<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let outer = self.test;
        self.test |= is_for_tests(syntax::attributes(item));
        visit::visit_item(self, item);
        self.test = outer;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.attrs, Some(&function.block), |this| visit::visit_item_fn(this, function));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let outer = self.test;
        self.test |= is_for_tests(&function.attrs);
        self.function(&function.attrs, Some(&function.block), |this| visit::visit_impl_item_fn(this, function));
        self.test = outer;
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.function(&function.attrs, function.default.as_ref(), |this| visit::visit_trait_item_fn(this, function));
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if ignores(attribute) {
            self.find(attribute.pound_token.span, IGNORED);
        }
        visit::visit_attribute(self, attribute);
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
            Seen::Attribute(name) if name == "ignore" => self.find(span, IGNORED),
            Seen::Attribute(_) | Seen::Async => {}
        });
    }
}

/// `#[ignore]`, alone or by way of `#[cfg_attr(…, ignore)]`.
fn ignores(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return attribute.path().is_ident("ignore") };
    let mut found = false;
    scan(&list.tokens, &mut |seen, _| found |= matches!(seen, Seen::Path(path) if path == ["ignore"]));
    found && list.path.is_ident("cfg_attr")
}

/// `#[tokio::test(start_paused = true)]`.
fn starts_paused(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    let mut paused = false;
    let parsed = list.parse_nested_meta(|option| {
        let value: Expr = option.value()?.parse()?;
        paused |= option.path.is_ident("start_paused") && is_true(&value);
        Ok(())
    });
    parsed.is_ok() && paused
}

/// A call of `.start_paused(true)` on a runtime's builder.
fn builds_paused(body: &Block) -> bool {
    struct Builder(bool);
    impl<'ast> Visit<'ast> for Builder {
        fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
            self.0 |= call.method == "start_paused" && call.args.first().is_some_and(is_true);
            visit::visit_expr_method_call(self, call);
        }
    }
    let mut builder = Builder(false);
    builder.visit_block(body);
    builder.0
}

fn is_true(value: &Expr) -> bool {
    matches!(value, Expr::Lit(literal) if matches!(&literal.lit, Lit::Bool(it) if it.value))
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Workspace;
    use super::IGNORED;

    const THREAD: &str = "`thread::sleep` in test code: wait for the condition itself";
    const TIME: &str = "`time::sleep` in test code: wait for the condition itself, or pause the clock";

    fn check(text: &str, expected: &[(usize, &str)]) {
        check_at("tests/a.rs", text, expected);
        check_at("api/src/a.rs", &format!("#[cfg(test)] mod tests {{ {text} }}"), expected);
        check_at("api/src/a.rs", &text.replace("#[test]", "").replace("#[tokio::test]", ""), &[]);
    }

    fn check_at(path: &str, text: &str, expected: &[(usize, &str)]) {
        let findings = super::check(&Workspace::of(&[(path, text)]).sources);
        let found: Vec<(usize, &str)> = findings.iter().map(|f| (f.line, f.message.as_str())).collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    #[test]
    fn finds_tests_that_do_not_run() {
        check("#[test]\n#[ignore]\nfn t() {}", &[(2, IGNORED)]);
        check("#[test]\n#[ignore = \"slow\"]\nfn t() {}", &[(2, IGNORED)]);
        check("#[test]\n#[cfg_attr(unix, ignore)]\nfn t() {}", &[(2, IGNORED)]);
        check("proptest! {\n#[test]\n#[ignore]\nfn t() {} }", &[(3, IGNORED)]);
        check("#[test]\nfn t() {\ntodo!() }", &[(3, "`todo!` in test code: write it or leave it out")]);
        let message = "`unimplemented!` in test code: write it or leave it out";
        check("#[test]\nfn t() { assert!(\nunimplemented!()) }", &[(3, message)]);
    }

    #[test]
    fn simulations_sleep_on_a_paused_clock() {
        let text = "async fn t() { tokio::time::sleep(D).await; std::thread::sleep(D) }";
        check_at("tests/src/sim/a.rs", text, &[(1, THREAD)]);
    }

    #[test]
    fn finds_sleeps() {
        check("#[test]\nfn t() { std::thread::sleep(D) }", &[(2, THREAD)]);
        check("use std::thread::sleep as nap;\n#[test]\nfn t() { nap(D) }", &[(3, THREAD)]);
        check("use std::{thread};\nfn wait() { thread::sleep(D) }", &[(2, THREAD)]);
        check("#[tokio::test]\nasync fn t() { tokio::time::sleep(D).await }", &[(2, TIME)]);
        check("use tokio::time;\n#[tokio::test]\nasync fn t() { select! {\n_ = time::sleep(D) => {} } }", &[(4, TIME)]);
        check("use tokio::time::sleep;\n#[tokio::test]\nasync fn t() { sleep(D).await }", &[(3, TIME)]);
    }

    #[test]
    fn accepts_paused_time() {
        let paused = "#[tokio::test(start_paused = true)]\nasync fn t() {";
        check(&format!("{paused} tokio::time::sleep(D).await }}"), &[]);
        check(&format!("{paused} spawn(async {{ tokio::time::sleep(D).await }}); }}"), &[]);
        check(&format!("{paused} }}\nasync fn u() {{ tokio::time::sleep(D).await }}"), &[(3, TIME)]);
        check_at("tests/a.rs", &format!("{paused}\nstd::thread::sleep(D) }}"), &[(3, THREAD)]);
        let unpaused = "#[tokio::test(start_paused = false)]\nasync fn t() { tokio::time::sleep(D).await }";
        check_at("tests/a.rs", unpaused, &[(2, TIME)]);
        check("fn t() { Builder::new().start_paused(true).block_on(async { tokio::time::sleep(D).await }) }", &[]);
    }

    #[test]
    fn leaves_what_is_alike_alone() {
        check("#[test]\nfn ignore() { let sleep = thread::spawn; time::timeout(D, sleep) }", &[]);
        check("#[test]\nfn t() { assert!(todo); self.time.sleep(D); }", &[]);
    }

    #[test]
    fn knows_a_test_outside_of_a_test_module() {
        check_at("api/src/a.rs", "#[test]\n#[ignore]\nfn t() { std::thread::sleep(D) }", &[(2, IGNORED), (3, THREAD)]);
    }
}
