//! Directories, and what kubectl makes of them: each file of `cases/` has the files of a directory and what
//! `kubectl kustomize` (1.36, kustomize 5.8.1) printed for it. Objects and their order are compared here; the bytes are in
//! the tests of the command line.

mod case;

use std::path::Path;

use case::{Case, Expected};
use kustomize::{Disk, build};
use serde_json::Value;

#[test]
fn directories_become_what_kubectl_makes_of_them() {
    let cases = case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases"));
    assert!(cases.len() >= 80, "there are {}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        case.write(&root);
        let built = build(&Disk, &root.join(&case.build), case.is_restricted());
        if let Some(difference) = difference(case, built, &root) {
            wrong.push(format!("== {}: {difference}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn difference(case: &Case, built: kustomize::Built, root: &Path) -> Option<String> {
    let root = root.display().to_string();
    let said: String = built.warnings.iter().map(|line| format!("{line}\n")).collect();
    match (&case.expected, built.objects) {
        (Expected::Error(_), Err(_)) if case.is_said_otherwise() => None,
        (Expected::Error(expected), Err(error)) => {
            let words = format!("{said}error: {error}\n").replace(&root, "$ROOT");
            (*expected != words).then(|| format!("\n  {expected}  {words}"))
        }
        (Expected::Error(expected), Ok(_)) => Some(format!("it was built, and should not be: {expected}")),
        (Expected::Objects { .. }, Err(error)) => Some(format!("it was not built: {error}")),
        (Expected::Objects { yaml, warnings }, Ok(objects)) => {
            if said != *warnings {
                return Some(format!("warnings:\n  expected {warnings}\n  found    {said}"));
            }
            let expected = parse(yaml);
            for (index, (left, right)) in expected.iter().zip(&objects).enumerate() {
                if left != right {
                    return Some(format!("object {index}:\n  expected {left}\n  found    {right}"));
                }
            }
            (expected.len() != objects.len()).then(|| format!("{} objects", objects.len()))
        }
    }
}

/// The objects of what is printed.
fn parse(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("---\n").filter(|document| !document.trim().is_empty());
    documents.map(|document| serde_saphyr::from_str(document).expect("what kubectl prints is YAML")).collect()
}
