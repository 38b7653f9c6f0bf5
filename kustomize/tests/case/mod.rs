//! Cases as files: a line that says what the case shows, options, and sections that begin with `-- name --`.

use std::path::Path;

use base64::Engine;

/// What is to come out.
pub(crate) enum Expected {
    /// What is printed, and what is said besides.
    Objects {
        yaml: String,
        warnings: String,
    },
    Error(String),
}

/// A case.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The directory that is built, below the case's own.
    pub(crate) build: String,
    pub(crate) flags: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
    pub(crate) expected: Expected,
}

/// All cases of a directory.
pub(crate) fn all(directory: &Path) -> Vec<Case> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .expect("there are cases")
        .map(|entry| entry.expect("a case can be found").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

impl Case {
    fn read(path: &Path) -> Case {
        let text = std::fs::read_to_string(path).expect("a case can be read");
        let name = path.file_stem().expect("a case has a name").to_string_lossy().into_owned();
        let mut case = Case {
            name,
            build: ".".to_owned(),
            flags: Vec::new(),
            files: Vec::new(),
            expected: Expected::Error(String::new()),
        };
        let mut warnings = String::new();
        for (title, content) in sections(&text, &mut case) {
            match title.as_str() {
                "expected" => {
                    case.expected = Expected::Objects { yaml: content, warnings: std::mem::take(&mut warnings) }
                }
                "warnings" => warnings = content,
                "error" => case.expected = Expected::Error(content),
                file => match file.strip_suffix(" base64") {
                    Some(file) => {
                        let content = base64::prelude::BASE64_STANDARD.decode(content.trim()).expect("it is base64");
                        case.files.push((file.to_owned(), content));
                    }
                    None => case.files.push((title, content.into_bytes())),
                },
            }
        }
        case
    }

    /// Writes the files.
    pub(crate) fn write(&self, root: &Path) {
        for (name, content) in &self.files {
            let path = root.join(name);
            let directory = path.parent().expect("a file is in a directory");
            std::fs::create_dir_all(directory).expect("a directory can be made");
            std::fs::write(path, content).expect("a file can be written");
        }
    }

    /// Whether files outside are refused.
    pub(crate) fn is_restricted(&self) -> bool {
        !self.flags.iter().any(|flag| flag.ends_with("LoadRestrictionsNone"))
    }

    /// Whether the error says it in other words than upstream's, which has several lines or shows what is in its memory.
    pub(crate) fn is_said_otherwise(&self) -> bool {
        matches!(
            self.name.as_str(),
            "error_bad_yaml"
                | "error_generator_exists"
                | "error_generator_merge"
                | "error_helm"
                | "error_namespace_conflict"
                | "error_patch_both"
                | "error_patch_file"
                | "error_patch_none"
                | "error_type"
                | "error_merge_kind"
        )
    }
}

fn sections(text: &str, case: &mut Case) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(title) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --\n")) {
            sections.push((title.to_owned(), String::new()));
        } else if let Some((_, content)) = sections.last_mut() {
            content.push_str(line);
        } else if let Some(build) = line.strip_prefix("# build: ") {
            case.build = build.trim().to_owned();
        } else if let Some(flags) = line.strip_prefix("# flags: ") {
            case.flags = flags.split_whitespace().map(str::to_owned).collect();
        }
    }
    sections
}
