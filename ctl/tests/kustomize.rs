//! What `gantry kustomize` and the real kubectl print of the cases of the crate `kustomize`, byte by byte; and its options.

#[path = "../../kustomize/tests/case/mod.rs"]
mod case;

use std::path::Path;
use std::process::Command as Process;
use std::sync::{LazyLock, Mutex};

use case::Expected;
use clap::{Command as Parser, FromArgMatches, Subcommand};
use ctl::{Command, Output, Session};
use futures::executor::block_on;

/// What is printed, and what is said besides; whether it went well.
fn run(words: &[&str]) -> (String, String, bool) {
    // It is large, and made once.
    static PARSER: LazyLock<Mutex<Parser>> =
        LazyLock::new(|| Mutex::new(Command::augment_subcommands(Parser::new("gantry").no_binary_name(true))));
    let matches =
        PARSER.lock().expect("nobody panicked").try_get_matches_from_mut(words).expect("a line that makes sense");
    let command = Command::from_arg_matches(&matches).expect("a line that makes sense");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let output = Output { out: &mut out, err: &mut err, input: &mut std::io::empty(), is_terminal: false };
    let connection = command.connection().clone();
    let result = block_on(command.run(&mut Session::new(connection, output)));
    let mut said = String::from_utf8(err).expect("text");
    if let Err(error) = &result {
        said.push_str(&format!("{error}\n"));
    }
    (String::from_utf8(out).expect("text"), said, result.is_ok())
}

/// The same of kubectl.
fn run_kubectl(words: &[&str]) -> (String, String, bool) {
    let output = Process::new("kubectl").args(words).output().expect("kubectl can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[test]
fn it_is_printed_as_kubectl_prints_it() {
    let cases = case::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../kustomize/cases"));
    for case in cases {
        let files = tempfile::tempdir().expect("a directory");
        let root = files.path().canonicalize().expect("it is there");
        case.write(&root);
        let directory = root.join(&case.build).display().to_string();
        let mut words = vec!["kustomize", &directory];
        words.extend(case.flags.iter().map(String::as_str));
        assert_eq!(case.is_restricted(), case.flags.is_empty(), "{}", case.name);
        for (who, (out, said, well)) in [("gantry", run(&words)), ("kubectl", run_kubectl(&words))] {
            let said = said.replace(&root.display().to_string(), "$ROOT");
            let name = format!("{} by {who}", case.name);
            match &case.expected {
                Expected::Objects { yaml, warnings } => {
                    assert_eq!((&out, &said, well), (yaml, warnings, true), "{name}")
                }
                Expected::Error(_) if case.is_said_otherwise() => assert_eq!((&*out, well), ("", false), "{name}"),
                Expected::Error(error) => assert_eq!((&*out, &said, well), ("", error, false), "{name}"),
            }
        }
    }
}

#[test]
fn it_is_written_into_files() {
    let files = tempfile::tempdir().expect("a directory");
    let root = files.path().canonicalize().expect("it is there");
    let path = |name: &str| root.join(name).display().to_string();
    let written = |name: &str| std::fs::read_to_string(root.join(name)).expect("it is written");
    let generators =
        "configMapGenerator: [{name: a, literals: [x=1]}]\ngeneratorOptions: {disableNameSuffixHash: true}\n";
    std::fs::write(root.join("kustomization.yaml"), generators).expect("it can be written");
    let expected = "apiVersion: v1\ndata:\n  x: \"1\"\nkind: ConfigMap\nmetadata:\n  name: a\n";
    let nothing = (String::new(), String::new(), true);
    assert_eq!(run(&["kustomize", &path("."), "-o", &path("all.yaml")]), nothing);
    assert_eq!(written("all.yaml"), expected);
    std::fs::create_dir(root.join("each")).expect("it can be made");
    assert_eq!(run(&["kustomize", &path("."), "--output", &path("each")]), nothing);
    assert_eq!(written("each/v1_configmap_a.yaml"), expected);
}

#[test]
fn mistakes_are_said_in_the_words_of_kubectl() {
    let check = |words: &[&str], expected: &str| {
        assert_eq!(run(words), (String::new(), format!("error: {expected}\n"), false), "{words:?}");
    };
    check(&["kustomize", "a", "b"], "specify one path to kustomization.yaml");
    check(
        &["kustomize", "a", "--load-restrictor=Foo"],
        "illegal flag value --load-restrictor Foo; legal values: [LoadRestrictionsRootOnly LoadRestrictionsNone]",
    );
    // That every verb's options fit together shows here, too.
    Command::augment_subcommands(Parser::new("gantry")).debug_assert();
    check(
        &["kustomize", "https://example.com/a"],
        "'https://example.com/a' is a URL or a repository, and nothing is fetched from elsewhere: download it, and name \
         the directory or file",
    );
}
