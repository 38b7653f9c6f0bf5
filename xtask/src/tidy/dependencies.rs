//! Dependencies between our crates point one way, and every crate takes its lints and versions from the workspace.
//!
//! `{api, store} ← apiserver`, `api ← client ← {scheduler, controller-manager, kubelet, network, proxy, ctl}`,
//! `api ← kustomize ← ctl`, all of them `← gantry ← tests`. Normal, development and build dependencies count alike, whatever
//! target they are for.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Finding;
use super::workspace::TextFile;

const ALL_BUT_THE_TOP: &[&str] = &[
    // tidy: sorted
    "api",
    "apiserver",
    "client",
    "controller-manager",
    "ctl",
    "kubelet",
    "kustomize",
    "network",
    "nft",
    "oci",
    "proxy",
    "scheduler",
    "store",
    // tidy: end
];

const ALL: &[&str] = &[
    // tidy: sorted
    "api",
    "apiserver",
    "client",
    "controller-manager",
    "ctl",
    "gantry",
    "kubelet",
    "kustomize",
    "network",
    "nft",
    "oci",
    "proxy",
    "scheduler",
    "store",
    // tidy: end
];

/// Each of our crates, with those of ours that it may depend on.
const MAP: &[(&str, &[&str])] = &[
    // tidy: sorted
    ("api", &[]),
    ("apiserver", &["api", "store"]),
    ("client", &["api"]),
    ("controller-manager", &["api", "client"]),
    ("ctl", &["api", "client", "kustomize"]),
    ("gantry", ALL_BUT_THE_TOP),
    ("kubelet", &["api", "client", "oci"]),
    ("kustomize", &["api"]),
    ("network", &["api", "client", "nft"]),
    ("nft", &[]),
    ("oci", &[]),
    ("proxy", &["api", "client", "nft"]),
    ("scheduler", &["api", "client"]),
    ("store", &[]),
    ("test-image", &[]),
    ("tests", ALL),
    ("xtask", &["api", "oci"]),
    // tidy: end
];

const KINDS: [&str; 5] =
    ["build-dependencies", "build_dependencies", "dependencies", "dev-dependencies", "dev_dependencies"];

/// Checks every manifest. A crate counts as ours if it is in the map or has a manifest here.
pub(crate) fn check(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut manifests = Vec::new();
    for file in files.iter().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml")) {
        match DeTable::parse(&file.text) {
            Ok(table) => manifests.push(Manifest { file, table: table.into_inner() }),
            Err(error) => {
                let line = error.span().map_or(1, |span| line(&file.text, span.start));
                findings.push(Finding::new(&file.path, line, format!("does not parse: {}", error.message())));
            }
        }
    }
    let root = manifests.iter().find(|manifest| manifest.file.path == "Cargo.toml").map(|manifest| &manifest.table);
    let versions = root.and_then(|root| table(root, "workspace")).and_then(|it| table(it, "dependencies"));
    let ours: Vec<&str> =
        manifests.iter().filter_map(Manifest::name).chain(MAP.iter().map(|(name, _)| *name)).collect();
    for manifest in manifests.iter().filter(|manifest| table(&manifest.table, "package").is_some()) {
        manifest.check_lints(&mut findings);
        manifest.check_dependencies(versions, &ours, &mut findings);
    }
    findings
}

struct Manifest<'a> {
    file: &'a TextFile,
    table: DeTable<'a>,
}

impl Manifest<'_> {
    fn name(&self) -> Option<&str> {
        get(table(&self.table, "package")?, "name")?.as_str()
    }

    fn check_lints(&self, findings: &mut Vec<Finding>) {
        let inherits = table(&self.table, "lints").and_then(|lints| get(lints, "workspace")).and_then(DeValue::as_bool);
        if inherits != Some(true) {
            let message = "write `workspace = true` under `[lints]`: lints are the same for every crate";
            findings.push(Finding::new(&self.file.path, 1, message));
        }
    }

    fn check_dependencies(&self, versions: Option<&DeTable<'_>>, ours: &[&str], findings: &mut Vec<Finding>) {
        let name = self.name().unwrap_or_default();
        let allowed = MAP.iter().find(|(known, _)| *known == name).map(|(_, allowed)| *allowed);
        if allowed.is_none() {
            let message = format!("`{name}` has no place in the map: give it one in xtask/src/tidy/dependencies.rs");
            findings.push(Finding::new(&self.file.path, 1, message));
        }
        for (key, value) in self.dependencies() {
            let line = line(&self.file.text, key.span().start);
            let key: &str = key.get_ref();
            let inherits = get_value(value, "workspace").and_then(DeValue::as_bool) == Some(true);
            if !inherits {
                let message = format!("write `{key} = {{ workspace = true }}`, its version in the root's Cargo.toml");
                findings.push(Finding::new(&self.file.path, line, message));
            }
            let described = if inherits { versions.and_then(|versions| get(versions, key)) } else { Some(value) };
            let package = described.and_then(|it| get_value(it, "package")).and_then(DeValue::as_str).unwrap_or(key);
            if ours.contains(&package) && allowed.is_some_and(|allowed| !allowed.contains(&package)) {
                let message = format!("`{name}` may not depend on `{package}`: {}", may(allowed.unwrap_or_default()));
                findings.push(Finding::new(&self.file.path, line, message));
            }
        }
    }

    /// Every dependency of every kind, for every target.
    fn dependencies(&self) -> impl Iterator<Item = (&Spanned<std::borrow::Cow<'_, str>>, &DeValue<'_>)> {
        let targets = table(&self.table, "target").into_iter().flat_map(|targets| targets.values());
        let owners = targets.filter_map(|target| target.get_ref().as_table()).chain([&self.table]);
        let kinds = owners.flat_map(|owner| KINDS.iter().filter_map(|kind| table(owner, kind)));
        kinds.flat_map(|kind| kind.iter().map(|(key, value)| (key, value.get_ref())))
    }
}

/// The rule in words, for the one who broke it.
fn may(allowed: &[&str]) -> String {
    match allowed {
        [] => "it depends on none of our crates".to_owned(),
        _ => format!("of our crates it may use only {}", allowed.join(", ")),
    }
}

fn get<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<&'a DeValue<'i>> {
    table.iter().find(|(known, _)| known.get_ref() == key).map(|(_, value)| value.get_ref())
}

fn get_value<'a, 'i>(value: &'a DeValue<'i>, key: &str) -> Option<&'a DeValue<'i>> {
    get(value.as_table()?, key)
}

fn table<'a, 'i>(parent: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    get(parent, key)?.as_table()
}

fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Workspace;

    const ROOT: &str = "[workspace.dependencies]\nserde = \"1\"\nstore = { path = \"store\" }\n\
                        rows = { path = \"store\", package = \"store\" }\n";

    /// Checks a crate with this name and these dependency sections, which start on line 5.
    fn check(name: &str, sections: &str, expected: &[(usize, &str)]) {
        let manifest = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{sections}");
        check_text(&format!("{name}/Cargo.toml"), &manifest, expected);
    }

    fn check_text(path: &str, manifest: &str, expected: &[(usize, &str)]) {
        let findings = super::check(&Workspace::of(&[("Cargo.toml", ROOT), (path, manifest)]).files);
        let found: Vec<(usize, &str)> = findings.iter().map(|f| (f.line, f.message.as_str())).collect();
        assert_eq!(found, expected, "{manifest}");
    }

    #[test]
    fn accepts_the_right_direction() {
        check("apiserver", "[dependencies]\nstore = { workspace = true }\nserde.workspace = true\n", &[]);
        check("tests", "[dev-dependencies]\ngantry = { workspace = true }\nstore = { workspace = true }\n", &[]);
        check("kubelet", "[dependencies]\nclient = { workspace = true }\napi = { workspace = true }\n", &[]);
    }

    #[test]
    fn finds_the_wrong_direction() {
        let store = "`kubelet` may not depend on `store`: of our crates it may use only api, client, oci";
        check("kubelet", "[dependencies]\nstore = { workspace = true }\n", &[(6, store)]);
        check("kubelet", "[dev-dependencies]\nstore.workspace = true\n", &[(6, store)]);
        check("kubelet", "[build-dependencies.store]\nworkspace = true\n", &[(5, store)]);
        check("kubelet", "[target.'cfg(unix)'.dependencies]\nstore = { workspace = true }\n", &[(6, store)]);
        check("kubelet", "[dependencies]\nrows = { workspace = true }\n", &[(6, store)]);
        let none = "`store` may not depend on `api`: it depends on none of our crates";
        check("store", "[dev-dependencies]\napi = { workspace = true }\n", &[(6, none)]);
        let gantry = "`xtask` may not depend on `gantry`: of our crates it may use only api, oci";
        check("xtask", "[dependencies]\ngantry = { workspace = true }\n", &[(6, gantry)]);
    }

    #[test]
    fn finds_versions_outside_the_root() {
        let message = "write `serde = { workspace = true }`, its version in the root's Cargo.toml";
        check("api", "[dependencies]\nserde = \"1\"\n", &[(6, message)]);
        check("api", "[dependencies]\nserde = { version = \"1\" }\n", &[(6, message)]);
        check("api", "[dependencies]\nserde = { workspace = true, features = [\"rc\"] }\n", &[]);
    }

    #[test]
    fn finds_crates_without_a_place_or_the_lints() {
        let place = "`web` has no place in the map: give it one in xtask/src/tidy/dependencies.rs";
        check("web", "", &[(1, place)]);
        let lints = "write `workspace = true` under `[lints]`: lints are the same for every crate";
        check_text("api/Cargo.toml", "[package]\nname = \"api\"\n", &[(1, lints)]);
        check_text("api/Cargo.toml", "[package]\nname = \"api\"\n[lints]\nworkspace = false\n", &[(1, lints)]);
    }

    #[test]
    fn names_the_line_that_does_not_parse() {
        let findings = super::check(&Workspace::of(&[("api/Cargo.toml", "[package]\nname = \n")]).files);
        assert_eq!(findings[0].line, 2);
    }
}
