//! No crate, directory or module has a name that anything would fit into.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};

use super::Finding;
use super::syntax::{Source, line};
use super::workspace::Workspace;

const VAGUE: [&str; 5] = ["common", "helpers", "misc", "util", "utils"];

/// Finds the vague names.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let places: BTreeSet<&str> = workspace.paths.iter().flat_map(|path| vague_places(path)).collect();
    let mut findings: Vec<Finding> = places.into_iter().map(|place| finding(place, 1, last_name(place))).collect();
    for source in &workspace.sources {
        let mut modules = Modules { source, findings: &mut findings };
        modules.visit_file(&source.file);
    }
    findings
}

/// The leading parts of the path that end in a vague name.
fn vague_places(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.map(|end| &path[..end]).filter(|place| VAGUE.contains(&last_name(place)))
}

fn last_name(place: &str) -> &str {
    let name = place.rsplit('/').next().unwrap_or(place);
    name.strip_suffix(".rs").unwrap_or(name)
}

fn finding(path: &str, line: usize, name: &str) -> Finding {
    Finding::new(path, line, format!("`{name}` says nothing: name it after its subject, or move its parts to theirs"))
}

struct Modules<'a> {
    source: &'a Source,
    findings: &'a mut Vec<Finding>,
}

impl<'ast> Visit<'ast> for Modules<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        if VAGUE.contains(&name.as_str()) {
            self.findings.push(finding(&self.source.path, line(module.ident.span()), &name));
        }
        visit::visit_item_mod(self, module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let findings = super::check(&Workspace::of(files));
        let places: Vec<String> = findings.iter().map(|f| format!("{}:{}", f.path, f.line)).collect();
        assert_eq!(places, expected, "{files:?}");
    }

    #[test]
    fn finds_vague_names() {
        check(&[("api/src/util.rs", "")], &["api/src/util.rs:1"]);
        check(&[("common/Cargo.toml", ""), ("common/src/lib.rs", "")], &["common:1"]);
        check(&[("api/src/helpers/mod.rs", ""), ("api/src/helpers/a.rs", "")], &["api/src/helpers:1"]);
        check(&[("api/tests/misc/data.json", "")], &["api/tests/misc:1"]);
        check(&[("api/src/lib.rs", "mod a {\n  mod utils {}\n}")], &["api/src/lib.rs:2"]);
    }

    #[test]
    fn leaves_other_names_alone() {
        check(&[("api/src/utility_function.rs", ""), ("api/src/lib.rs", "mod common_name {} fn util() {}")], &[]);
    }
}
