//! What `/version` says (`k8s.io/apimachinery/pkg/version.Info`).

use serde::Serialize;

/// The Kubernetes version whose API is served.
const MAJOR: &str = "1";
const MINOR: &str = "37";
/// The oldest version that a control plane of this one can be rolled back to, as upstream has it: the one before.
const MINOR_COMPATIBLE: &str = "36";

/// The versions of this program and of the API that it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// The major version of the API.
    pub major: &'static str,
    /// The minor version of the API.
    pub minor: &'static str,
    /// The version that is emulated: no other than this one.
    pub emulation_major: &'static str,
    /// The version that is emulated: no other than this one.
    pub emulation_minor: &'static str,
    /// The oldest version that this one works with.
    pub min_compatibility_major: &'static str,
    /// The oldest version that this one works with.
    pub min_compatibility_minor: &'static str,
    /// The version of the API, with our own as build metadata.
    pub git_version: &'static str,
    /// The commit that was built, if the build was told.
    pub git_commit: &'static str,
    /// Whether that commit was built unchanged, if the build was told.
    pub git_tree_state: &'static str,
    /// When it was built, if the build was told.
    pub build_date: &'static str,
    /// The language, where Go's version would be.
    pub go_version: &'static str,
    /// The compiler.
    pub compiler: &'static str,
    /// The operating system and processor, in Go's words.
    pub platform: &'static str,
}

/// The versions of this program.
pub const INFO: Info = Info {
    major: MAJOR,
    minor: MINOR,
    emulation_major: MAJOR,
    emulation_minor: MINOR,
    min_compatibility_major: MAJOR,
    min_compatibility_minor: MINOR_COMPATIBLE,
    git_version: concat!("v1.37.0+gantry.", env!("CARGO_PKG_VERSION")),
    git_commit: or_empty(option_env!("GANTRY_GIT_COMMIT")),
    git_tree_state: or_empty(option_env!("GANTRY_GIT_TREE_STATE")),
    build_date: or_empty(option_env!("GANTRY_BUILD_DATE")),
    go_version: concat!("rust", env!("CARGO_PKG_RUST_VERSION")),
    compiler: "rustc",
    platform: PLATFORM,
};

/// The version as JSON, indented as upstream does.
#[must_use]
pub fn json() -> Vec<u8> {
    serde_json::to_vec_pretty(&INFO).expect("it is all strings")
}

const PLATFORM: &str = match std::env::consts::ARCH.as_bytes() {
    b"x86_64" => "linux/amd64",
    b"aarch64" => "linux/arm64",
    b"riscv64" => "linux/riscv64",
    _ => "linux/unknown",
};

const fn or_empty(text: Option<&'static str>) -> &'static str {
    match text {
        Some(text) => text,
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_what_they_look_for() {
        let text = String::from_utf8(json()).unwrap();
        assert!(
            text.starts_with("{\n  \"major\": \"1\",\n  \"minor\": \"37\",\n  \"emulationMajor\": \"1\","),
            "{text}"
        );
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["gitVersion"], format!("v1.37.0+gantry.{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(parsed["minCompatibilityMinor"], "36");
        assert_eq!(parsed.as_object().unwrap().len(), 13);
    }
}
