//! The images that tests run, in archives: `gantry.local/test:1`, `:2` and `:nobody`, and `gantry.local/busybox:1`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What the archives are called, in the directory that [`archives`] returns.
pub const ARCHIVES: [&str; 4] = ["test-1.tar", "test-2.tar", "test-nobody.tar", "busybox-1.tar"];

/// Where the archives are, built at most once a process. Panics if they cannot be built: what xtask says is on standard error.
pub fn archives() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/images");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--quiet", "--locked", "--package", "xtask", "--", "images", "--out"]).arg(&directory);
        let status = command.status().expect("cargo should run");
        assert!(status.success(), "the images of tests could not be built: {command:?}");
        directory
    };
    BUILT.get_or_init(build).clone()
}
